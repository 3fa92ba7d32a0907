#include "db/mysql/catalog.h"

#include <gtest/gtest.h>

#include "db/mysql/account.h"
#include "db/mysql/column_text.h"
#include "tests/unit/db_mysql/server.h"

namespace crossfade::mysql {
namespace {

using Labels = std::vector<std::string>;

TEST(ColumnText, ParsesLabels) {
  EXPECT_EQ(ParseLabels("enum('a')"), Labels{"a"});
  EXPECT_EQ(ParseLabels("enum('a','b''c','d,e','é','')"), (Labels{"a", "b'c", "d,e", "é", ""}));
  EXPECT_EQ(ParseLabels("set('''','('',''','x'')')"), (Labels{"'", "(','", "x')"}));
  EXPECT_EQ(ParseLabels("enum('')"), Labels{""});
  for (const char* bad : {"", "enum", "enum()", "enum('", "enum('a", "enum('a'b')", "enum('a', 'b')", "')('", "('"}) {
    EXPECT_EQ(ParseLabels(bad), std::nullopt) << bad;
  }
}

ColumnText TextOf(const std::string& data_type, const std::string& column_type) {
  ColumnText text;
  text.table = "d.t";
  text.name = "c";
  text.data_type = data_type;
  text.column_type = column_type;
  return text;
}

TEST(ColumnText, RefusesUnknownTypesByName) {
  const auto column = ColumnFromText(TextOf("xmltype", "xmltype"), Flavor::kMariaDb);
  ASSERT_FALSE(column.has_value());
  EXPECT_EQ(column.error().code, "CF1110");
  EXPECT_EQ(column.error().error_class, ErrorClass::kData);
  EXPECT_EQ(column.error().object, "d.t.c");
  EXPECT_EQ(column.error().found, "xmltype");
  EXPECT_EQ(ColumnFromText(TextOf("enum", "enum(a)"), Flavor::kMariaDb).error().code, "CF1110");
}

std::string DefaultOf(Flavor flavor, const std::string& type, const std::string& text, const std::string& extra = "") {
  ColumnText column_text = TextOf(type, type);
  column_text.default_value = text;
  column_text.extra = extra;
  const Column column = ColumnFromText(column_text, flavor).value();
  return (column.default_is_expression ? "expression " : "") + column.default_value.value_or("none");
}

TEST(ColumnText, ReadsDefaultsOfMariaDb) {
  const auto read = [](const std::string& text) { return DefaultOf(Flavor::kMariaDb, "varchar", text); };
  EXPECT_EQ(read("NULL"), "none");
  EXPECT_EQ(read("'NULL'"), "NULL");
  EXPECT_EQ(read("''"), "");
  EXPECT_EQ(read("'a''b\\\\c\\n\\r\\0'"), std::string("a'b\\c\n\r\0", 8));
  EXPECT_EQ(read("-5"), "-5");
  EXPECT_EQ(read("007"), "007");
  EXPECT_EQ(read("1.50"), "1.50");
  EXPECT_EQ(read("1e-7"), "1e-7");
  EXPECT_EQ(read("b'101'"), "101");
  EXPECT_EQ(read("0xff"), "0xff");
  for (const std::string expression : {"uuid()", "current_timestamp(6)", "concat('a','b')", "'a' + 'b'", "-(5)",
                                       "`a` + 1", "1 + 1", "'a", "nextval(`s`)", "-", "inf", "nan", "b'12'", "'a\\'"}) {
    EXPECT_EQ(read(expression), "expression " + expression);
  }
}

TEST(ColumnText, ReadsDefaultsOfMySql) {
  const auto read = [](const std::string& text, const std::string& extra = "") {
    return DefaultOf(Flavor::kMySql, "varchar", text, extra);
  };
  EXPECT_EQ(read("NULL"), "NULL");
  EXPECT_EQ(read(""), "");
  EXPECT_EQ(read("'a'"), "'a'");
  EXPECT_EQ(read("uuid()"), "uuid()");
  EXPECT_EQ(read("uuid()", "DEFAULT_GENERATED"), "expression uuid()");
  EXPECT_EQ(read("concat(_utf8mb4\\'x\\\\\\'y\\',`a`)", "DEFAULT_GENERATED"), "expression concat(_utf8mb4'x\\'y',`a`)");
  EXPECT_EQ(DefaultOf(Flavor::kMySql, "bit", "b'101'"), "101");
  EXPECT_EQ(DefaultOf(Flavor::kMySql, "timestamp", "CURRENT_TIMESTAMP"), "expression CURRENT_TIMESTAMP");
  EXPECT_EQ(DefaultOf(Flavor::kMySql, "varchar", "CURRENT_TIMESTAMP"), "CURRENT_TIMESTAMP");
}

TEST(Privileges, AreReadFromGrants) {
  Privileges privileges;
  privileges.AddGrant("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*1'");
  privileges.AddGrant("GRANT SELECT, UPDATE (`a`, `b`) ON `my\\_db`.* TO `u`@`%`");
  privileges.AddGrant("GRANT ALL PRIVILEGES ON `other%`.* TO `u`@`%` WITH GRANT OPTION");
  privileges.AddGrant("GRANT INSERT ON `my_db`.`t` TO `u`@`%`");
  privileges.AddGrant("GRANT `role`@`%` TO `u`@`%`");
  privileges.AddGrant("GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION");
  privileges.AddGrant("GRANT SELECT ON `open");
  privileges.AddGrant("");
  EXPECT_TRUE(privileges.HasGlobal("REPLICATION SLAVE"));
  EXPECT_TRUE(privileges.HasGlobal("BINLOG MONITOR"));
  EXPECT_FALSE(privileges.HasGlobal("SELECT"));
  EXPECT_TRUE(privileges.HasOn("my_db", "SELECT"));
  EXPECT_FALSE(privileges.HasOn("myxdb", "SELECT"));
  EXPECT_FALSE(privileges.HasOn("my_db", "UPDATE"));
  EXPECT_FALSE(privileges.HasOn("my_db", "INSERT"));
  EXPECT_TRUE(privileges.HasOn("other_one", "LOCK TABLES"));
  EXPECT_TRUE(privileges.HasOn("any", "REPLICATION SLAVE"));
  privileges.AddGrant("GRANT SELECT ON *.* TO `u`@`%`");
  privileges.AddGrant("REVOKE SELECT ON `secret`.* FROM `u`@`%`");
  EXPECT_TRUE(privileges.HasOn("any", "SELECT"));
  EXPECT_FALSE(privileges.HasOn("secret", "SELECT"));
}

class CatalogTest : public ServerTest {
 protected:
  TableSchema Table(const std::string& name) {
    auto table = ReadTable(*connection_, database_, name);
    EXPECT_TRUE(table.has_value()) << Why(table.error());
    EXPECT_TRUE(table.has_value() && table->has_value()) << name;
    return table.value().value_or(TableSchema());
  }
  static Column Of(const TableSchema& table, const std::string& name) {
    const auto index = table.FindColumn(name);
    EXPECT_TRUE(index.has_value()) << name;
    return index ? table.columns[*index] : Column();
  }
  static Key KeyOf(const TableSchema& table, const std::string& name) {
    for (const Key& key : table.keys) {
      if (key.name == name) {
        return key;
      }
    }
    ADD_FAILURE() << "no key " << name;
    return {};
  }
};
INSTANTIATE_ON_SERVERS(CatalogTest);

TEST_P(CatalogTest, ReadsNumbers) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE n (a TINYINT UNSIGNED ZEROFILL NOT NULL DEFAULT 7, b SMALLINT DEFAULT -5, c MEDIUMINT UNSIGNED, d "
     "INT, "
     "e BIGINT UNSIGNED, f BIT(9) DEFAULT b'101', g BOOL DEFAULT TRUE, h FLOAT UNSIGNED, i DOUBLE(10,3), "
     "j DECIMAL(10,2) UNSIGNED DEFAULT 1.5, k DECIMAL(65,30), l YEAR DEFAULT 1999, m FLOAT(30), o BIT, p DECIMAL)");
  const TableSchema t = Table("n");
  const auto is_int = [&](const std::string& name, int bits, bool is_unsigned) {
    const Column column = Of(t, name);
    EXPECT_EQ(column.type, ColumnType::kInt) << name;
    EXPECT_EQ(column.bits, bits) << name;
    EXPECT_EQ(column.is_unsigned, is_unsigned) << name;
    EXPECT_EQ(column.charset, "");
  };
  is_int("a", 8, true);
  is_int("b", 16, false);
  is_int("c", 24, true);
  is_int("d", 32, false);
  is_int("e", 64, true);
  is_int("g", 8, false);
  EXPECT_FALSE(Of(t, "a").nullable);
  EXPECT_EQ(Of(t, "a").default_value, "007");
  EXPECT_EQ(Of(t, "b").default_value, "-5");
  EXPECT_TRUE(Of(t, "b").nullable);
  EXPECT_EQ(Of(t, "d").default_value, std::nullopt);
  EXPECT_EQ(Of(t, "f").type, ColumnType::kBit);
  EXPECT_EQ(Of(t, "f").length, 9u);
  EXPECT_EQ(Of(t, "f").default_value, "101");
  EXPECT_EQ(Of(t, "o").length, 1u);
  EXPECT_EQ(Of(t, "g").source_type, "tinyint(1)");
  EXPECT_EQ(Of(t, "h").type, ColumnType::kFloat);
  EXPECT_TRUE(Of(t, "h").is_unsigned);
  EXPECT_EQ(Of(t, "i").type, ColumnType::kDouble);
  EXPECT_EQ(Of(t, "m").type, ColumnType::kDouble);
  EXPECT_EQ(Of(t, "j").precision, 10);
  EXPECT_EQ(Of(t, "j").scale, 2);
  EXPECT_TRUE(Of(t, "j").is_unsigned);
  EXPECT_EQ(Of(t, "j").default_value, "1.50");
  EXPECT_EQ(Of(t, "k").precision, 65);
  EXPECT_EQ(Of(t, "k").scale, 30);
  EXPECT_EQ(Of(t, "p").precision, 10);
  EXPECT_EQ(Of(t, "l").type, ColumnType::kYear);
  EXPECT_EQ(Of(t, "l").default_value, "1999");
}

TEST_P(CatalogTest, ReadsTextAndBytes) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE s (a CHAR(10) CHARACTER SET ucs2, b VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT "
     "'é''\\\\', "
     "c TINYTEXT, d LONGTEXT CHARACTER SET utf8mb3, e BINARY(4) DEFAULT 0xFF00, f VARBINARY(9) DEFAULT 'a''\\\\', g "
     "BLOB, "
     "h VARCHAR(5) CHARACTER SET binary, i CHAR(3) CHARACTER SET binary, j TEXT CHARACTER SET binary, k CHAR(0), "
     "l VARCHAR(9) NOT NULL DEFAULT '', m VARCHAR(9) NOT NULL, o VARCHAR(9) DEFAULT 'NULL', p VARCHAR(36) DEFAULT "
     "(UUID()), "
     "q VARCHAR(9) CHARACTER SET utf8mb4 DEFAULT '😀?', r VARBINARY(3) DEFAULT NULL, s VARCHAR(9) DEFAULT '0x41', "
     "t VARCHAR(20) CHARACTER SET ucs2 DEFAULT 'é?', u BINARY(2) DEFAULT '')");
  const TableSchema t = Table("s");
  EXPECT_EQ(Of(t, "a").type, ColumnType::kChar);
  EXPECT_EQ(Of(t, "a").length, 10u);
  EXPECT_EQ(Of(t, "a").charset, "ucs2");
  EXPECT_EQ(Of(t, "b").type, ColumnType::kVarchar);
  EXPECT_EQ(Of(t, "b").collation, "latin1_bin");
  EXPECT_EQ(Of(t, "b").default_value, "é'\\");
  EXPECT_EQ(Of(t, "c").type, ColumnType::kText);
  EXPECT_EQ(Of(t, "c").charset, "utf8mb4");
  EXPECT_EQ(Of(t, "d").type, ColumnType::kText);
  EXPECT_EQ(Of(t, "d").charset, "utf8mb3");
  EXPECT_EQ(Of(t, "e").type, ColumnType::kBinary);
  EXPECT_EQ(Of(t, "e").length, 4u);
  EXPECT_EQ(Of(t, "e").default_value, "0xFF000000");
  EXPECT_EQ(Of(t, "f").type, ColumnType::kVarbinary);
  EXPECT_EQ(Of(t, "f").default_value, "0x61275C");
  EXPECT_EQ(Of(t, "g").type, ColumnType::kBlob);
  EXPECT_EQ(Of(t, "h").type, ColumnType::kVarbinary);
  EXPECT_EQ(Of(t, "i").type, ColumnType::kBinary);
  EXPECT_EQ(Of(t, "j").type, ColumnType::kBlob);
  EXPECT_EQ(Of(t, "j").charset, "");
  EXPECT_EQ(Of(t, "k").length, 0u);
  EXPECT_EQ(Of(t, "l").default_value, "");
  EXPECT_EQ(Of(t, "m").default_value, std::nullopt);
  EXPECT_EQ(Of(t, "o").default_value, "NULL");
  EXPECT_FALSE(Of(t, "o").default_is_expression);
  EXPECT_EQ(Of(t, "p").default_value, "uuid()");
  EXPECT_TRUE(Of(t, "p").default_is_expression);
  EXPECT_EQ(Of(t, "q").default_value, "😀?");
  EXPECT_EQ(Of(t, "r").default_value, std::nullopt);
  EXPECT_EQ(Of(t, "s").default_value, "0x41");
  EXPECT_EQ(Of(t, "t").default_value, "é?");
  EXPECT_EQ(Of(t, "u").default_value, "0x0000");
}

TEST_P(CatalogTest, ReadsTimes) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE w (a DATE DEFAULT '2020-01-02', b TIME(3), c DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE "
     "CURRENT_TIMESTAMP(6), d TIMESTAMP NULL DEFAULT NULL, e TIMESTAMP(2) NOT NULL DEFAULT '2020-01-02 03:04:05.67')");
  const TableSchema t = Table("w");
  EXPECT_EQ(Of(t, "a").type, ColumnType::kDate);
  EXPECT_EQ(Of(t, "a").default_value, "2020-01-02");
  EXPECT_EQ(Of(t, "b").type, ColumnType::kTime);
  EXPECT_EQ(Of(t, "b").fraction, 3);
  EXPECT_EQ(Of(t, "c").type, ColumnType::kDateTime);
  EXPECT_EQ(Of(t, "c").fraction, 6);
  EXPECT_TRUE(Of(t, "c").default_is_expression);
  EXPECT_EQ(Of(t, "d").type, ColumnType::kTimestamp);
  EXPECT_EQ(Of(t, "d").default_value, std::nullopt);
  EXPECT_EQ(Of(t, "e").default_value, "2020-01-02 03:04:05.67");
}

// Labels with characters beyond the three-byte UTF-8 of information_schema come out as they are.
TEST_P(CatalogTest, ReadsLabelsExactly) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE l (a ENUM('x','b''c','d,e','é','') DEFAULT 'b''c', b SET('x','y','z') NOT NULL DEFAULT 'x,y', "
     "c ENUM('😀','?','a unsigned') DEFAULT '😀', d SET('a','b?','😀😀','é'), e ENUM('?é') CHARACTER SET latin1, "
     "f ENUM('ÿ?') CHARACTER SET ucs2, g "
     "SET('?0','?1','?2','?3','4','5','6','7','8','9','10','11','12','13','14','15','16',"
     "'17','18','19','20','21','22','23','24','25','26','27','28','29','30','31','32','33','34','35','36','37','38','"
     "39','40',"
     "'41','42','43','44','45','46','47','48','49','50','51','52','53','54','55','56','57','58','59','60','61','62','"
     "63'))");
  const TableSchema t = Table("l");
  EXPECT_EQ(Of(t, "a").type, ColumnType::kEnum);
  EXPECT_EQ(Of(t, "a").labels, (Labels{"x", "b'c", "d,e", "é", ""}));
  EXPECT_EQ(Of(t, "a").default_value, "b'c");
  EXPECT_EQ(Of(t, "b").type, ColumnType::kSet);
  EXPECT_EQ(Of(t, "b").labels, (Labels{"x", "y", "z"}));
  EXPECT_EQ(Of(t, "b").default_value, "x,y");
  EXPECT_EQ(Of(t, "c").labels, (Labels{"😀", "?", "a unsigned"}));
  EXPECT_EQ(Of(t, "c").default_value, "😀");
  EXPECT_FALSE(Of(t, "c").is_unsigned);
  EXPECT_EQ(Of(t, "d").labels, (Labels{"a", "b?", "😀😀", "é"}));
  EXPECT_EQ(Of(t, "e").labels, (Labels{"?é"}));
  EXPECT_EQ(Of(t, "e").charset, "latin1");
  EXPECT_EQ(Of(t, "f").labels, (Labels{"ÿ?"}));
  EXPECT_EQ(Of(t, "g").labels.size(), 64u);
  EXPECT_EQ(Of(t, "g").labels.back(), "63");
  EXPECT_EQ(Of(t, "g").labels.front(), "?0");
}

TEST_P(CatalogTest, ReadsWhatOneServerHas) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE o (id INT, j JSON, g GEOMETRY NOT NULL, p POINT, c GEOMETRYCOLLECTION, m MULTIPOLYGON)");
  TableSchema t = Table("o");
  EXPECT_EQ(Of(t, "j").type, mariadb() ? ColumnType::kJsonText : ColumnType::kJson);
  EXPECT_TRUE(t.checks.empty());
  for (const char* name : {"g", "p", "c", "m"}) {
    EXPECT_EQ(Of(t, name).type, ColumnType::kGeometry) << name;
  }
  const uint32_t version = connection_->server().version_number;
  if (mariadb()) {
    Do("CREATE TABLE m (a LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin CHECK (json_valid(`a`)), "
       "b LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin CHECK (json_valid(`a`)), "
       "c LONGTEXT CHECK (json_valid(`c`) and `c` <> '1'), d TEXT COMPRESSED, e INET6, f JSON DEFAULT '{}')");
    t = Table("m");
    EXPECT_EQ(Of(t, "a").type, ColumnType::kJsonText);
    EXPECT_EQ(Of(t, "a").charset, "utf8mb4");
    EXPECT_EQ(Of(t, "b").type, ColumnType::kText);
    EXPECT_EQ(Of(t, "c").type, ColumnType::kText);
    EXPECT_EQ(Of(t, "d").type, ColumnType::kText);
    EXPECT_EQ(Of(t, "e").type, ColumnType::kInet6);
    EXPECT_EQ(Of(t, "f").default_value, "{}");
    EXPECT_EQ(t.checks.size(), 2u);
  }
  if (mariadb() && version >= 101000) {
    Do("CREATE TABLE u (a UUID DEFAULT UUID(), b INET4 DEFAULT '1.2.3.4')");
    t = Table("u");
    EXPECT_EQ(Of(t, "a").type, ColumnType::kUuid);
    EXPECT_EQ(Of(t, "b").type, ColumnType::kInet4);
    EXPECT_EQ(Of(t, "b").default_value, "1.2.3.4");
  }
  if (mariadb() ? version >= 110700 : version >= 90000) {
    Do("CREATE TABLE v (a VECTOR(3))");
    t = Table("v");
    EXPECT_EQ(Of(t, "a").type, ColumnType::kVector);
    EXPECT_EQ(Of(t, "a").length, 3u);
  }
}

TEST_P(CatalogTest, ReadsGeneratedAndHiddenColumns) {
  UseDatabase("cf_catalog");
  Do(std::string(
         "CREATE TABLE g (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'it''s', a INT, m VARCHAR(9), "
         "v INT GENERATED ALWAYS AS (a + 1) VIRTUAL, s VARCHAR(40) GENERATED ALWAYS AS (CONCAT(m, 'x')) STORED, ") +
     (mariadb() ? "h INT INVISIBLE DEFAULT 3" : "h INT DEFAULT 3 INVISIBLE") + ") COMMENT = 'the \"table\"'");
  const TableSchema t = Table("g");
  EXPECT_TRUE(Of(t, "id").auto_increment);
  EXPECT_EQ(Of(t, "id").comment, "it's");
  EXPECT_EQ(Of(t, "v").generated, GeneratedKind::kVirtual);
  EXPECT_EQ(Of(t, "v").generation_expression, mariadb() ? "`a` + 1" : "(`a` + 1)");
  EXPECT_EQ(Of(t, "s").generated, GeneratedKind::kStored);
  EXPECT_EQ(Of(t, "s").generation_expression, mariadb() ? "concat(`m`,'x')" : "concat(`m`,_utf8mb4'x')");
  EXPECT_EQ(Of(t, "s").default_value, std::nullopt);
  EXPECT_TRUE(Of(t, "h").invisible);
  EXPECT_FALSE(Of(t, "a").invisible);
  EXPECT_EQ(Of(t, "h").default_value, "3");
  EXPECT_EQ(t.comment, "the \"table\"");
  EXPECT_EQ(t.engine, "InnoDB");
  if (!mariadb()) {
    Do("SET sql_generate_invisible_primary_key = 1");
    Do("CREATE TABLE i (x INT)");
    const TableSchema with_key = Table("i");
    EXPECT_EQ(with_key.columns.size(), 2u);
    EXPECT_EQ(with_key.primary_key, (std::vector<KeyPart>{{0, 0, false}}));
    EXPECT_TRUE(with_key.columns[0].invisible);
  }
}

TEST_P(CatalogTest, ReadsKeys) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE k (a INT, b INT, m VARCHAR(50), n TEXT, g GEOMETRY NOT NULL, PRIMARY KEY (b, a), "
     "UNIQUE KEY u (m), KEY p (n(10), b DESC), FULLTEXT KEY f (m, n), SPATIAL KEY s (g))");
  const TableSchema t = Table("k");
  EXPECT_EQ(t.primary_key, (std::vector<KeyPart>{{1, 0, false}, {0, 0, false}}));
  EXPECT_EQ(t.keys.size(), 4u);
  EXPECT_TRUE(KeyOf(t, "u").unique);
  EXPECT_EQ(KeyOf(t, "u").parts, (std::vector<KeyPart>{{2, 0, false}}));
  EXPECT_EQ(KeyOf(t, "u").method, "");
  EXPECT_FALSE(KeyOf(t, "p").unique);
  EXPECT_EQ(KeyOf(t, "p").parts, (std::vector<KeyPart>{{3, 10, false}, {1, 0, true}}));
  EXPECT_EQ(KeyOf(t, "f").method, "FULLTEXT");
  EXPECT_EQ(KeyOf(t, "f").parts.size(), 2u);
  EXPECT_EQ(KeyOf(t, "s").method, "SPATIAL");
  EXPECT_EQ(KeyOf(t, "s").parts, (std::vector<KeyPart>{{4, 0, false}}));
  if (!mariadb()) {
    Do("CREATE TABLE e (a INT, b INT, UNIQUE KEY x ((a + 1), b))");
    const TableSchema e = Table("e");
    EXPECT_EQ(e.columns.size(), 2u);
    EXPECT_EQ(KeyOf(e, "x").method, "EXPRESSION");
    EXPECT_TRUE(KeyOf(e, "x").unique);
    EXPECT_TRUE(KeyOf(e, "x").parts.empty());
  } else {
    Do("CREATE TABLE h (a TEXT, UNIQUE KEY x (a))");  // a hash behind the scenes
    const TableSchema h = Table("h");
    EXPECT_EQ(KeyOf(h, "x"), (Key{"x", true, {{0, 0, false}}, ""}));
  }
}

TEST_P(CatalogTest, ReadsForeignKeysAndChecks) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE parent (x INT, y INT, PRIMARY KEY (x, y))");
  Do("CREATE TABLE child (id INT PRIMARY KEY, q INT, p INT, r INT, s INT, c INT, d INT, CHECK (c <> 5), CONSTRAINT "
     "named CHECK (d > "
     "-10), "
     "CONSTRAINT b_fk FOREIGN KEY (p, q) REFERENCES parent (x, y) ON DELETE CASCADE ON UPDATE SET NULL, "
     "CONSTRAINT a_fk FOREIGN KEY (r, s) REFERENCES parent (x, y) ON DELETE RESTRICT ON UPDATE NO ACTION, "
     "CONSTRAINT c_fk FOREIGN KEY (r) REFERENCES child (id))");
  const TableSchema t = Table("child");
  ASSERT_EQ(t.foreign_keys.size(), 3u);
  EXPECT_EQ(t.foreign_keys[0].name, "a_fk");
  EXPECT_FALSE(t.foreign_keys[0].has_action());
  EXPECT_EQ(t.foreign_keys[1].columns, (std::vector<uint32_t>{2, 1}));
  EXPECT_EQ(t.foreign_keys[1].parent_table, "parent");
  EXPECT_EQ(t.foreign_keys[1].parent_columns, (Labels{"x", "y"}));
  EXPECT_EQ(t.foreign_keys[1].on_delete, ReferenceAction::kCascade);
  EXPECT_EQ(t.foreign_keys[1].on_update, ReferenceAction::kSetNull);
  EXPECT_EQ(t.foreign_keys[2].parent_table, "child");
  EXPECT_EQ(t.checks, mariadb() ? (Labels{"`c` <> 5", "`d` > -10"}) : (Labels{"(`c` <> 5)", "(`d` > -(10))"}));
  EXPECT_EQ(Table("child"), t);
}

TEST_P(CatalogTest, RefusesForeignKeyToAnotherDatabase) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE parent (x INT PRIMARY KEY)");
  Do("DROP DATABASE IF EXISTS cf_catalog2");
  Do("CREATE DATABASE cf_catalog2");
  Do("CREATE TABLE cf_catalog2.child (x INT, CONSTRAINT away FOREIGN KEY (x) REFERENCES cf_catalog.parent (x))");
  const auto catalog = ReadCatalog(*connection_, "cf_catalog2");
  if (!catalog) {
    Do(catalog.error().fix);
  }
  const bool mended = ReadCatalog(*connection_, "cf_catalog2").has_value();
  Do("DROP DATABASE cf_catalog2");
  EXPECT_TRUE(mended);
  ASSERT_FALSE(catalog.has_value());
  EXPECT_EQ(catalog.error().code, "CF1111");
  EXPECT_EQ(catalog.error().error_class, ErrorClass::kData);
  EXPECT_EQ(catalog.error().found, "cf_catalog.parent");
}

TEST_P(CatalogTest, ReadsTheWholeDatabase) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE b (id INT PRIMARY KEY, note VARCHAR(100))");
  Do("CREATE TABLE `A``x'\\é` (`i``d'\\é` INT PRIMARY KEY, j JSON)");
  Do("INSERT INTO b SELECT 1, REPEAT('x', 100) UNION SELECT 2, 'y'");
  Do("ANALYZE TABLE b");
  Do("CREATE VIEW vw AS SELECT * FROM b");
  Do("CREATE TRIGGER tg BEFORE INSERT ON b FOR EACH ROW SET NEW.note = 'z'");
  Do("CREATE PROCEDURE pr() SELECT 1");
  Do("CREATE FUNCTION fn() RETURNS INT DETERMINISTIC NO SQL RETURN 1");
  Do("CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1");
  if (mariadb()) {
    Do("CREATE SEQUENCE sq");
  }
  const auto read = ReadCatalog(*connection_, database_);
  ASSERT_OK(read);
  ASSERT_EQ(read->tables.size(), 2u);
  EXPECT_EQ(read->tables[0].schema.name, "A`x'\\é");
  EXPECT_EQ(read->tables[0].schema.columns[0].name, "i`d'\\é");
  EXPECT_EQ(read->tables[0].schema.primary_key.size(), 1u);
  EXPECT_EQ(read->tables[1].schema.name, "b");
  EXPECT_EQ(read->tables[1].schema, Table("b"));
  EXPECT_EQ(read->tables[1].size.rows, 2u);
  EXPECT_GT(read->tables[1].size.bytes, 0u);
  EXPECT_EQ(read->views, Labels{"vw"});
  EXPECT_EQ(read->triggers, Labels{"tg on b"});
  EXPECT_EQ(read->routines, mariadb() ? (Labels{"function fn", "procedure pr", "sequence sq"})
                                      : (Labels{"function fn", "procedure pr"}));
  EXPECT_EQ(read->events, Labels{"ev"});
}

TEST_P(CatalogTest, KnowsWhatIsNotThere) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE b (id INT)");
  Do("CREATE VIEW vw AS SELECT * FROM b");
  EXPECT_EQ(ReadTable(*connection_, database_, "nothing").value(), std::nullopt);
  EXPECT_EQ(ReadTable(*connection_, database_, "vw").value(), std::nullopt);
  if (connection_->Scalar("SELECT @@lower_case_table_names").value() == "0") {
    EXPECT_EQ(ReadTable(*connection_, database_, "B").value(), std::nullopt);
  }
  EXPECT_EQ(ReadTable(*connection_, "cf_no_such_database", "b").value(), std::nullopt);
  EXPECT_TRUE(ReadCatalog(*connection_, "cf_no_such_database").value().tables.empty());
}

TEST_P(CatalogTest, RefusesSystemVersionedTables) {
  if (!mariadb()) {
    GTEST_SKIP() << "MariaDB only";
  }
  UseDatabase("cf_catalog");
  Do("CREATE TABLE v (id INT PRIMARY KEY) WITH SYSTEM VERSIONING");
  const auto refused = ReadCatalog(*connection_, database_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "CF1113");
  Do(refused.error().fix);
  EXPECT_TRUE(ReadCatalog(*connection_, database_));
}

// An account that may read reads the same as root; one that may read some columns only is told so.
TEST_P(CatalogTest, NeedsOnlySelect) {
  UseDatabase("cf_catalog");
  Do("CREATE TABLE t (id INT PRIMARY KEY, a ENUM('😀','b?') DEFAULT '😀', b BINARY(3) DEFAULT 'x', c INT, p INT, "
     "CHECK (c > 1), CONSTRAINT fk FOREIGN KEY (p) REFERENCES t (id) ON DELETE CASCADE)");
  Do("CREATE USER cf_reader IDENTIFIED BY 'reader-pw', cf_reader@localhost IDENTIFIED BY 'reader-pw'");
  Do("GRANT SELECT ON cf_catalog.* TO cf_reader");
  Do("GRANT SELECT ON cf_catalog.* TO cf_reader@localhost");
  ConnectionOptions reader = options_;
  reader.user = "cf_reader";
  reader.password = "reader-pw";
  auto connection = Connection::Open(reader);
  ASSERT_OK(connection);
  // The fix that the error names, by itself, is enough.
  auto seen = ReadTable(**connection, database_, "t");
  ASSERT_FALSE(seen.has_value());
  const std::string wanted = mariadb() ? "REFERENCES" : "CREATE TEMPORARY TABLES";
  EXPECT_EQ(seen.error().fix.find("GRANT " + wanted + " ON `cf_catalog`.* TO `cf_reader`@"), 0u) << seen.error().fix;
  EXPECT_EQ(seen.error().error_class, ErrorClass::kConfig);
  Do(seen.error().fix);
  connection = Connection::Open(reader);
  ASSERT_OK(connection);
  seen = ReadTable(**connection, database_, "t");
  EXPECT_TRUE(seen.has_value()) << Why(seen.error());
  if (seen) {
    EXPECT_EQ(**seen, Table("t"));
  }
  for (const char* account : {"cf_reader", "cf_reader@localhost"}) {
    Do(fmt::format("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {}", account));
    Do(fmt::format("GRANT SELECT (id, c) ON cf_catalog.t TO {}", account));
  }
  auto partly = Connection::Open(reader);
  ASSERT_OK(partly);
  const auto refused = ReadTable(**partly, database_, "t");
  EXPECT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, "CF1116");
  // What is named, one right after the other, is enough.
  auto mended = refused;
  for (int rights = 0; rights < 3 && !mended; ++rights) {
    Do(mended.error().fix);
    partly = Connection::Open(reader);
    ASSERT_OK(partly);
    mended = ReadTable(**partly, database_, "t");
  }
  EXPECT_TRUE(mended) << Why(mended.error());
  Do("DROP USER cf_reader, cf_reader@localhost");
}

}  // namespace
}  // namespace crossfade::mysql
