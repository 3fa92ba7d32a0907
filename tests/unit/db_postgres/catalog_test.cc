#include "db/postgres/catalog.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "server.h"

namespace crossfade::postgres {
namespace {

class CatalogTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    if (connection_) {
      Run("DROP SCHEMA IF EXISTS \"the Schop\" CASCADE; CREATE SCHEMA \"the Schop\"; SET search_path = \"the Schop\"");
    }
  }
  void TearDown() override {
    if (connection_) {
      Run("DROP SCHEMA IF EXISTS \"the Schop\" CASCADE");
    }
  }

  Catalog ReadAll() {
    auto catalog = ReadCatalog(*connection_, "the Schop");
    EXPECT_TRUE(catalog) << catalog.error().ToString();
    Run("SET search_path = \"the Schop\"");
    return catalog ? std::move(*catalog) : Catalog();
  }

  static const CatalogTable& TableOf(const Catalog& catalog, const std::string& name) {
    static const CatalogTable kNone;
    const auto found = std::find_if(catalog.tables.begin(), catalog.tables.end(),
                                    [&](const CatalogTable& t) { return t.schema.name == name; });
    EXPECT_TRUE(found != catalog.tables.end()) << name;
    return found == catalog.tables.end() ? kNone : *found;
  }

  static const Column& ColumnOf(const TableSchema& table, const std::string& name) {
    static const Column kNone;
    const auto index = table.FindColumn(name);
    EXPECT_TRUE(index) << name;
    return index ? table.columns[*index] : kNone;
  }

  static std::string CodesOf(const Catalog& catalog, const std::string& table) {
    std::string codes;
    for (const CatalogFinding& finding : catalog.findings) {
      if (finding.table == table) {
        codes += (codes.empty() ? "" : " ") + finding.code + (finding.blocks ? "!" : "");
      }
    }
    return codes;
  }

  // The one finding of a table, and that its fix mends it.
  void ExpectMended(const std::string& table, const std::string& code) {
    const Catalog before = ReadAll();
    EXPECT_EQ(CodesOf(before, table), code);
    for (const CatalogFinding& finding : before.findings) {
      if (finding.table == table) {
        Run(finding.fix.substr(0, finding.fix.find(", or")));
      }
    }
    EXPECT_EQ(CodesOf(ReadAll(), table), "") << table;
  }
};

TEST_F(CatalogTest, TypesOfColumns) {
  Run("CREATE TYPE mood AS ENUM ('sad', 'it''s fine'); CREATE DOMAIN mail AS varchar(99) CHECK (value LIKE '%@%');"
      "CREATE DOMAIN work_mail AS mail; CREATE DOMAIN numbers AS int[];"
      "CREATE TABLE t (b bool, s smallint, i int, l bigint, o oid, f real, d float8, n numeric, np numeric(10,3),"
      " x text, v varchar(7), vu varchar, c char(3), cu bpchar, y bytea, da date, ti time(3), ts timestamp, tz "
      "timestamptz(0),"
      " j json, jb jsonb, u uuid, bi bit(5), bl bit(65), vb varbit(9), m mood, ma mood[], iv interval(2), w work_mail,"
      " na numbers, cc char, q \"char\")");
  const Catalog catalog = ReadAll();
  const TableSchema& table = TableOf(catalog, "t").schema;
  const auto is = [&](const std::string& name, ColumnType type, uint64_t length, const std::string& source_type) {
    const Column& column = ColumnOf(table, name);
    EXPECT_EQ(ColumnTypeName(column.type), ColumnTypeName(type)) << name;
    EXPECT_EQ(column.length, length) << name;
    EXPECT_EQ(column.source_type, source_type) << name;
    EXPECT_TRUE(column.of_postgres && column.nullable) << name;
  };
  is("b", ColumnType::kBool, 0, "boolean");
  is("s", ColumnType::kInt, 0, "smallint");
  EXPECT_EQ(ColumnOf(table, "s").bits, 16);
  is("i", ColumnType::kInt, 0, "integer");
  is("l", ColumnType::kInt, 0, "bigint");
  is("o", ColumnType::kInt, 0, "oid");
  is("f", ColumnType::kFloat, 0, "real");
  is("d", ColumnType::kDouble, 0, "double precision");
  is("n", ColumnType::kDecimal, 0, "numeric");
  EXPECT_EQ(ColumnOf(table, "n").precision, 0);
  is("np", ColumnType::kDecimal, 0, "numeric(10,3)");
  EXPECT_EQ(ColumnOf(table, "np").precision, 10);
  EXPECT_EQ(ColumnOf(table, "np").scale, 3);
  is("x", ColumnType::kText, 0, "text");
  is("v", ColumnType::kVarchar, 7, "character varying(7)");
  is("vu", ColumnType::kText, 0, "character varying");
  is("c", ColumnType::kChar, 3, "character(3)");
  is("cu", ColumnType::kChar, 0, "bpchar");
  is("y", ColumnType::kBlob, 0, "bytea");
  is("da", ColumnType::kDate, 0, "date");
  is("ti", ColumnType::kTime, 0, "time(3) without time zone");
  EXPECT_EQ(ColumnOf(table, "ti").fraction, 3);
  is("ts", ColumnType::kDateTime, 0, "timestamp without time zone");
  EXPECT_EQ(ColumnOf(table, "ts").fraction, 6);
  is("tz", ColumnType::kTimestamp, 0, "timestamp(0) with time zone");
  is("j", ColumnType::kJsonText, 0, "json");
  is("jb", ColumnType::kJson, 0, "jsonb");
  is("u", ColumnType::kUuid, 0, "uuid");
  is("bi", ColumnType::kBit, 5, "bit(5)");
  is("bl", ColumnType::kNative, 0, "bit(65)");
  is("vb", ColumnType::kNative, 0, "bit varying(9)");
  is("m", ColumnType::kNative, 0, "\"the Schop\".mood");
  EXPECT_EQ(ColumnOf(table, "m").labels, (std::vector<std::string>{"sad", "it's fine"}));
  is("ma", ColumnType::kNative, 0, "\"the Schop\".mood[]");
  is("iv", ColumnType::kNative, 0, "interval(2)");
  is("w", ColumnType::kVarchar, 99, "\"the Schop\".work_mail");
  is("na", ColumnType::kNative, 0, "\"the Schop\".numbers");
  is("cc", ColumnType::kChar, 1, "character(1)");
  is("q", ColumnType::kNative, 0, "\"char\"");
  EXPECT_EQ(CodesOf(catalog, "t"), "CF1436");
}

TEST_F(CatalogTest, DefaultsNumbersAndGeneratedColumns) {
  Run("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SEQUENCE loose;"
      "CREATE TABLE t (id serial PRIMARY KEY, a int GENERATED ALWAYS AS IDENTITY, k text DEFAULT 'it''s',"
      " n timestamptz DEFAULT now(), o int DEFAULT one(), s bigint DEFAULT nextval('loose'),"
      " g int GENERATED ALWAYS AS (a * 2) STORED NOT NULL)");
  Run("COMMENT ON TABLE t IS 'all of it'; COMMENT ON COLUMN t.k IS 'a word'");
  const Catalog catalog = ReadAll();
  const TableSchema& table = TableOf(catalog, "t").schema;
  EXPECT_EQ(table.comment, "all of it");
  EXPECT_EQ(ColumnOf(table, "k").comment, "a word");
  EXPECT_TRUE(ColumnOf(table, "id").auto_increment);
  EXPECT_FALSE(ColumnOf(table, "id").default_value);
  EXPECT_TRUE(ColumnOf(table, "a").auto_increment);
  EXPECT_EQ(ColumnOf(table, "k").default_value, "'it''s'::text");
  EXPECT_FALSE(ColumnOf(table, "k").default_is_expression);
  EXPECT_EQ(ColumnOf(table, "n").default_value, "now()");
  EXPECT_FALSE(ColumnOf(table, "n").default_is_expression);
  EXPECT_EQ(ColumnOf(table, "o").default_value, "\"the Schop\".one()");
  EXPECT_TRUE(ColumnOf(table, "o").default_is_expression);
  EXPECT_FALSE(ColumnOf(table, "s").auto_increment);
  EXPECT_TRUE(ColumnOf(table, "s").default_is_expression);
  EXPECT_EQ(ColumnOf(table, "g").generated, GeneratedKind::kStored);
  EXPECT_EQ(ColumnOf(table, "g").generation_expression, "(a * 2)");
  EXPECT_FALSE(ColumnOf(table, "g").default_value);
  const auto& person = catalog.for_a_person;
  EXPECT_TRUE(std::find(person.begin(), person.end(), "function one") != person.end());
  EXPECT_TRUE(std::find(person.begin(), person.end(), "sequence loose") != person.end());
  EXPECT_TRUE(std::find(person.begin(), person.end(), "sequence t_id_seq") == person.end());
}

TEST_F(CatalogTest, KeysAndForeignKeys) {
  Run("CREATE TABLE p (a int, b text, PRIMARY KEY (b, a));"
      "CREATE TABLE c (id bigint PRIMARY KEY, dropped int, pa int, pb text, q int UNIQUE, r int, s int, e int4range,"
      " FOREIGN KEY (pb, pa) REFERENCES p ON DELETE CASCADE ON UPDATE SET NULL,"
      " CHECK (r > 0), EXCLUDE USING gist (e WITH &&));"
      "ALTER TABLE c DROP COLUMN dropped;"
      "CREATE INDEX plain ON c (r DESC, s); CREATE UNIQUE INDEX with_more ON c (s) INCLUDE (r);"
      "CREATE UNIQUE INDEX partly ON c (r) WHERE r > 5; CREATE INDEX computed ON c ((r + s));"
      "CREATE INDEX hashed ON c USING hash (r);"
      "ALTER TABLE c REPLICA IDENTITY FULL; ALTER TABLE p REPLICA IDENTITY NOTHING");
  const Catalog catalog = ReadAll();
  const CatalogTable& child = TableOf(catalog, "c");
  const TableSchema& table = child.schema;
  EXPECT_EQ(child.identity, ReplicaIdentity::kFull);
  EXPECT_EQ(TableOf(catalog, "p").identity, ReplicaIdentity::kNothing);
  ASSERT_EQ(TableOf(catalog, "p").schema.primary_key.size(), 2U);
  EXPECT_EQ(TableOf(catalog, "p").schema.primary_key[0].column, 1U);
  ASSERT_EQ(table.keys.size(), 3U);
  EXPECT_EQ(table.keys[0].name, "c_q_key");
  EXPECT_TRUE(table.keys[0].unique);
  EXPECT_EQ(table.keys[1].name, "plain");
  EXPECT_FALSE(table.keys[1].unique);
  ASSERT_EQ(table.keys[1].parts.size(), 2U);
  EXPECT_TRUE(table.keys[1].parts[0].descending);
  EXPECT_FALSE(table.keys[1].parts[1].descending);
  EXPECT_EQ(table.keys[2].name, "with_more");
  EXPECT_EQ(table.keys[2].parts.size(), 1U);
  ASSERT_EQ(table.foreign_keys.size(), 1U);
  const ForeignKey& key = table.foreign_keys[0];
  EXPECT_EQ(key.columns, (std::vector<uint32_t>{2, 1}));
  EXPECT_EQ(key.parent_columns, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(key.on_delete, ReferenceAction::kCascade);
  EXPECT_EQ(key.on_update, ReferenceAction::kSetNull);
  EXPECT_EQ(table.checks, (std::vector<std::string>{"CHECK ((r > 0))"}));
  size_t indexes = 0;
  for (const std::string& line : catalog.for_a_person) {
    indexes += line.find("INDEX") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(indexes, 5U);  // the exclusion, and all but "plain" and the unique key
}

TEST_F(CatalogTest, IdentityByIndex) {
  Run("CREATE TABLE t (a int NOT NULL, b int NOT NULL); CREATE UNIQUE INDEX u ON t (b);"
      "ALTER TABLE t REPLICA IDENTITY USING INDEX u");
  const Catalog catalog = ReadAll();
  EXPECT_EQ(TableOf(catalog, "t").identity, ReplicaIdentity::kIndex);
  EXPECT_EQ(TableOf(catalog, "t").identity_columns, (std::vector<uint32_t>{1}));
}

TEST_F(CatalogTest, PartitionedTablesAreOne) {
  Run("CREATE TABLE m (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
      "CREATE TABLE m1 PARTITION OF m FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
      "CREATE TABLE m2 PARTITION OF m DEFAULT PARTITION BY HASH (id);"
      "CREATE TABLE m20 PARTITION OF m2 FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
      "INSERT INTO m SELECT n, '2024-01-01' FROM generate_series(1, 100) n; ANALYZE m1");
  const Catalog catalog = ReadAll();
  ASSERT_EQ(catalog.tables.size(), 1U);
  EXPECT_TRUE(catalog.tables[0].partitioned);
  EXPECT_EQ(catalog.tables[0].size.rows, 100U);
  EXPECT_EQ(catalog.tables[0].schema.primary_key.size(), 2U);
  EXPECT_TRUE(catalog.findings.empty());
}

TEST_F(CatalogTest, RefusesWhatTheLogDoesNotHold) {
  Run("CREATE UNLOGGED TABLE u (id int PRIMARY KEY)");
  ExpectMended("u", "CF1430!");
  Run("CREATE FOREIGN DATA WRAPPER cf_none; CREATE SERVER cf_none FOREIGN DATA WRAPPER cf_none;"
      "CREATE FOREIGN TABLE f (id int) SERVER cf_none");
  EXPECT_EQ(CodesOf(ReadAll(), "f"), "CF1430!");
  Run("DROP FOREIGN DATA WRAPPER cf_none CASCADE");
  Run("CREATE TABLE above (id int PRIMARY KEY); CREATE TABLE below () INHERITS (above)");
  const Catalog catalog = ReadAll();
  EXPECT_EQ(CodesOf(catalog, "above"), "CF1431!");
  EXPECT_EQ(CodesOf(catalog, "below"), "CF1431!");
  EXPECT_EQ(catalog.tables.size(), 1U);  // u
  Run("ALTER TABLE below NO INHERIT above");
  EXPECT_EQ(CodesOf(ReadAll(), "below"), "");
}

TEST_F(CatalogTest, RefusesLargeObjects) {
  Run("CREATE TABLE t (id int PRIMARY KEY, picture oid)");
  EXPECT_EQ(CodesOf(ReadAll(), "t"), "");
  Run("SELECT lo_create(424242)");
  EXPECT_EQ(CodesOf(ReadAll(), "t"), "CF1432!");
  Run("ALTER TABLE t DROP COLUMN picture");
  const Catalog catalog = ReadAll();
  EXPECT_EQ(CodesOf(catalog, "t"), "");
  EXPECT_EQ(CodesOf(catalog, ""), "CF1432");
  Run("SELECT lo_unlink(424242)");
}

TEST_F(CatalogTest, RefusesKeysThatAreEqualWithDifferentTexts) {
  Run("CREATE COLLATION coarse (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
      "CREATE TABLE n (id numeric PRIMARY KEY); CREATE TABLE w (id text COLLATE coarse PRIMARY KEY);"
      "CREATE TABLE i (id interval PRIMARY KEY); CREATE TABLE good (id numeric(9,2) PRIMARY KEY, e int[] UNIQUE,"
      " m money UNIQUE, c char(3) UNIQUE, x interval, y numeric)");
  ExpectMended("n", "CF1434!");
  Run("DROP TABLE n");
  const Catalog catalog = ReadAll();
  EXPECT_EQ(CodesOf(catalog, "w"), "CF1437 CF1434!");
  EXPECT_EQ(CodesOf(catalog, "i"), "CF1434!");
  EXPECT_EQ(CodesOf(catalog, "good"), "");
}

TEST_F(CatalogTest, RefusesGeneratedPrimaryKeys) {
  Run("CREATE TABLE t (a int NOT NULL, g int GENERATED ALWAYS AS (a) STORED PRIMARY KEY)");
  EXPECT_EQ(CodesOf(ReadAll(), "t"), "CF1433!");
}

TEST_F(CatalogTest, ForeignKeysThatCannotBeMade) {
  Run("DROP SCHEMA IF EXISTS cf_other CASCADE; CREATE SCHEMA cf_other; CREATE TABLE cf_other.p (id int PRIMARY KEY);"
      "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE away (id int PRIMARY KEY, p int REFERENCES cf_other.p);"
      "CREATE TABLE unchecked (id int PRIMARY KEY, p int);"
      "ALTER TABLE unchecked ADD CONSTRAINT later FOREIGN KEY (p) REFERENCES p NOT VALID");
  const Catalog catalog = ReadAll();
  EXPECT_EQ(CodesOf(catalog, "away"), "CF1435");
  EXPECT_TRUE(TableOf(catalog, "away").schema.foreign_keys.empty());
  ExpectMended("unchecked", "CF1435");
  EXPECT_EQ(TableOf(ReadAll(), "unchecked").schema.foreign_keys.size(), 1U);
  Run("DROP SCHEMA cf_other CASCADE");
}

TEST_F(CatalogTest, ForeignKeysThatSetSomeColumnsNull) {
  if (std::stoi(Ask("SHOW server_version_num")) < 150000) {
    GTEST_SKIP() << "PostgreSQL 15 brought them";
  }
  Run("CREATE TABLE p (a int, b int, PRIMARY KEY (a, b)); CREATE TABLE c (id int PRIMARY KEY, a int, b int,"
      " FOREIGN KEY (a, b) REFERENCES p ON DELETE SET NULL (b))");
  EXPECT_EQ(CodesOf(ReadAll(), "c"), "CF1435!");
}

TEST_F(CatalogTest, ListsWhatAPersonMoves) {
  Run("CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT * FROM t; CREATE MATERIALIZED VIEW mv AS SELECT 1 "
      "AS x;"
      "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
      "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();"
      "CREATE RULE r AS ON DELETE TO t DO ALSO NOTHING; CREATE POLICY p ON t");
  EXPECT_EQ(ReadAll().for_a_person, (std::vector<std::string>{"function f", "materialized view mv", "policy p on t",
                                                              "rule r on t", "trigger tr on t", "view v"}));
}

TEST_F(CatalogTest, TwoReadsAreEqual) {
  Run("CREATE TABLE t (id int PRIMARY KEY, b text DEFAULT 'x', c int UNIQUE, d int REFERENCES t)");
  const Catalog first = ReadAll();
  const Catalog second = ReadAll();
  EXPECT_EQ(TableOf(first, "t").schema, TableOf(second, "t").schema);
}

TEST_F(CatalogTest, RefusesToReadInsideATransaction) {
  Run("BEGIN");
  EXPECT_EQ(ReadCatalog(*connection_, "the Schop").error().code, "CF1438");
  Run("ROLLBACK");
}

}  // namespace
}  // namespace crossfade::postgres
