// What only one of the servers has: CROSSFADE_TEST_MARIADB, CROSSFADE_TEST_MYSQL.
#include "server.h"

namespace crossfade::capture {
namespace {

class MariaDbSpecialsTest : public ServerTest {
 protected:
  void SetUp() override {
    if (!Connect("CROSSFADE_TEST_MARIADB", "capture_maria")) {
      GTEST_SKIP() << "CROSSFADE_TEST_MARIADB is not set";
    }
  }
};

class MySqlSpecialsTest : public ServerTest {
 protected:
  void SetUp() override {
    if (!Connect("CROSSFADE_TEST_MYSQL", "capture_mysql")) {
      GTEST_SKIP() << "CROSSFADE_TEST_MYSQL is not set";
    }
  }

  std::string Scalar(const std::string& sql) {
    auto value = connection_->Scalar(sql);
    EXPECT_TRUE(value.has_value()) << sql;
    return value && *value ? **value : "NULL";
  }
};

constexpr const char* kAllSorts =
    "CREATE TABLE s (id INT UNSIGNED PRIMARY KEY, a TINYINT, b VARCHAR(20) CHARACTER SET latin1, c TEXT, "
    "d ENUM('x','é') CHARACTER SET latin1, e SET('p','q'), f DECIMAL(10,2), g DOUBLE, h YEAR, i BIT(3), j JSON, "
    "k BINARY(4), l VARCHAR(10) CHARACTER SET ucs2, m GEOMETRY, n TIMESTAMP(3) NULL, o CHAR(3) COLLATE utf8mb4_bin)";
constexpr const char* kAllSortsRow =
    "INSERT INTO s VALUES (4000000000, -1, 'é', 'ü', 'é', 'p,q', -1.5, 2.5, 2024, 5, '[1]', x'01', 'ö', "
    "ST_GeomFromText('POINT(1 1)'), '2024-01-01 00:00:00.5', 'abc')";

TEST_F(MariaDbSpecialsTest, FullMetadataIsCompared) {
  Run(kAllSorts);
  Run("CREATE TABLE x (id INT PRIMARY KEY, a UUID, b INET6, c INET4, d TEXT COMPRESSED, e VARCHAR(20) COMPRESSED, "
      "f ENUM('a'), g BIT(3), h DATE, i POINT, j CHAR(3) CHARACTER SET latin1, k VARBINARY(3), l BLOB COMPRESSED, "
      "m YEAR, n TINYINT UNSIGNED, o INT UNSIGNED)");
  const WithGlobal full(connection_.get(), "binlog_row_metadata", "FULL");
  const Seen others = Capture({"INSERT INTO x (id, j, n) VALUES (1, 'ä', 200)"});
  ASSERT_FALSE(others.error) << others.error->ToString();
  EXPECT_EQ(others.Changes()[0].after[10].bytes, "ä");
  const Seen seen = Capture({kAllSortsRow});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(seen.Changes().size(), 1U);
  EXPECT_EQ(seen.Changes()[0].after[2].bytes, "é");
  EXPECT_EQ(seen.Changes()[0].after[4].bytes, "é");

  for (const std::string change :
       {"CHANGE b bb VARCHAR(20) CHARACTER SET latin1", "MODIFY d ENUM('x','z') CHARACTER SET latin1", "MODIFY id INT",
        "MODIFY b VARCHAR(20) CHARACTER SET latin2"}) {
    Run("DROP TABLE s");
    Run(kAllSorts);
    const MySqlSourceOptions options = SourceOptions();
    Run("ALTER TABLE s " + change);
    const Position from = Head();
    Run("INSERT INTO s (id) VALUES (1)");
    MySqlSource source(options);
    ASSERT_TRUE(source.Open(from).has_value());
    const Seen after = ReadUntil(&source, Head(), flavor_);
    ASSERT_TRUE(after.error) << change;
    EXPECT_EQ(after.error->code, "CF1210") << after.error->ToString();
  }
}

TEST_F(MariaDbSpecialsTest, CompressedEvents) {
  Run("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)");
  const WithGlobal compress(connection_.get(), "log_bin_compress", "1");
  const WithGlobal length(connection_.get(), "log_bin_compress_min_len", "10");
  const Seen seen =
      Capture({"INSERT INTO t VALUES (1, REPEAT('abc', 500)), (2, REPEAT('d', 20000))",
               "UPDATE t SET v = REPEAT('e', 30000) WHERE id = 2", "DELETE FROM t WHERE id = 1",
               "ALTER TABLE t COMMENT 'a long comment, that it may be compressed, compressed, compressed'"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  const auto changes = seen.Changes();
  ASSERT_EQ(changes.size(), 4U);
  EXPECT_EQ(changes[1].after[1].bytes, std::string(20000, 'd'));
  EXPECT_EQ(changes[2].after[1].bytes, std::string(30000, 'e'));
  ASSERT_EQ(seen.schema_changes.size(), 1U);
  EXPECT_EQ(seen.schema_changes[0].table, "t");
}

TEST_F(MariaDbSpecialsTest, SeveralDomains) {
  Run("CREATE TABLE t (id INT PRIMARY KEY)");
  const Position from = Head();
  Run("SET SESSION gtid_domain_id = 7");
  Run("INSERT INTO t VALUES (1)");
  Run("SET SESSION gtid_domain_id = 0");
  Run("INSERT INTO t VALUES (2)");
  const Position middle = Head();
  Run("SET SESSION gtid_domain_id = 7, server_id = 42");
  Run("INSERT INTO t VALUES (3)");
  Run("SET SESSION gtid_domain_id = 0");
  Run("INSERT INTO t VALUES (4)");
  const Position head = Head();
  EXPECT_EQ(ReadUntil(OpenSource(from).get(), head, flavor_).Changes().size(), 4U);
  const Seen rest = ReadUntil(OpenSource(middle).get(), head, flavor_);
  EXPECT_EQ(rest.Changes().size(), 2U);
  EXPECT_EQ(rest.last.set, head.set);
  Position ahead = head;
  ahead.set = head.set.substr(0, head.set.find(',')) + ",7-42-9999";
  MySqlSource source(SourceOptions());
  EXPECT_EQ(source.Open(ahead).error().code, "CF1204");
}

TEST_F(MariaDbSpecialsTest, VirtualAndInvisibleColumns) {
  Run("CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a + 1) VIRTUAL, s INT AS (a + 2) STORED, "
      "i INT INVISIBLE DEFAULT 9)");
  const Seen seen = Capture({"INSERT INTO t (id, a) VALUES (1, 10)", "UPDATE t SET a = 11"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  const auto changes = seen.Changes();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].after[2].value.i, 11);
  EXPECT_EQ(changes[0].after[3].value.i, 12);
  EXPECT_EQ(changes[0].after[4].value.i, 9);
  EXPECT_EQ(changes[1].after[2].value.i, 12);
}

TEST_F(MariaDbSpecialsTest, ImagesWithoutAllColumns) {
  Run("CREATE TABLE t (id INT PRIMARY KEY, a INT, b TEXT)");
  Run("INSERT INTO t VALUES (1, 1, 'x')");
  Run("SET SESSION binlog_row_image = MINIMAL");
  const Seen seen = Capture({"UPDATE t SET a = 2", "DELETE FROM t"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  const auto changes = seen.Changes();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].before[0].value.i, 1);
  EXPECT_TRUE(changes[0].before[1].value.is_absent());
  EXPECT_TRUE(changes[0].after[0].value.is_absent());
  EXPECT_EQ(changes[0].after[1].value.i, 2);
  EXPECT_TRUE(changes[1].before[2].value.is_absent());
}

TEST_F(MariaDbSpecialsTest, PurgedLogIsNamed) {
  Run("CREATE TABLE t (id INT PRIMARY KEY)");
  const Position from = Head();
  Run("INSERT INTO t VALUES (1)");
  Run("FLUSH BINARY LOGS");
  Run("INSERT INTO t VALUES (2)");
  PurgeAll();
  MySqlSource source(SourceOptions());
  ASSERT_TRUE(source.Open(from).has_value());
  const Seen seen = ReadUntil(&source, Head(), flavor_);
  ASSERT_TRUE(seen.error);
  EXPECT_EQ(seen.error->code, "CF1203") << seen.error->ToString();
  Position by_file = from;
  by_file.set.clear();
  EXPECT_EQ(source.Open(by_file).error().code, "CF1203");
}

TEST_F(MySqlSpecialsTest, CascadesAreToldFromUncheckedStatements) {
  Run("CREATE TABLE p (id INT PRIMARY KEY, v INT)");
  Run("CREATE TABLE c (id INT PRIMARY KEY, p INT, "
      "FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE)");
  Run("CREATE TABLE g (id INT PRIMARY KEY, c INT, FOREIGN KEY (c) REFERENCES c (id) ON DELETE SET NULL)");
  Run("INSERT INTO p VALUES (1, 1), (2, 2), (3, 3), (4, 4)");
  Run("INSERT INTO c VALUES (1, 1), (2, 1), (3, 2), (4, 3)");
  Run("INSERT INTO g VALUES (1, 1), (2, 3), (3, 4)");
  const Seen seen =
      Capture({"DELETE FROM p WHERE id IN (1, 2)", "UPDATE p SET id = 30 WHERE id = 3", "SET foreign_key_checks = 0",
               "DELETE c, p FROM c JOIN p ON c.p = p.id", "SET foreign_key_checks = 1", "DELETE FROM p"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(seen.transactions.size(), 4U);
  std::vector<std::string> told;
  for (const SeenTransaction& transaction : seen.transactions) {
    std::string text;
    for (const SeenChange& change : transaction.changes) {
      text += change.table + ((change.flags & kCascaded) != 0 ? " cascaded" : "") +
              ((change.flags & kNoForeignKeyChecks) != 0 ? " unchecked" : "") +
              ((change.flags & kEndOfStatement) != 0 ? " end" : "") + "; ";
    }
    told.push_back(text);
  }
  // Children before their parents, but what the child's own change did to others behind the child.
  EXPECT_EQ(told[0], "c cascaded; g cascaded; c cascaded; p; c cascaded; g cascaded; p end; ");
  EXPECT_EQ(told[1], "c cascaded; p end; ");
  EXPECT_EQ(told[2], "c unchecked; p unchecked end; ");
  EXPECT_EQ(told[3], "p end; ");
}

TEST_F(MySqlSpecialsTest, CompressedTransactions) {
  Run("CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)");
  Run("SET SESSION binlog_transaction_compression = ON");
  const Seen seen = Capture({"INSERT INTO t VALUES (1, REPEAT('abc', 500)), (2, REPEAT('d', 5000000))", "BEGIN",
                             "UPDATE t SET v = REPEAT('e', 3000000) WHERE id = 2", "SAVEPOINT s",
                             "DELETE FROM t WHERE id = 1", "COMMIT", "XA START 'x'", "INSERT INTO t VALUES (9, '')",
                             "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  const auto changes = seen.Changes();
  ASSERT_EQ(changes.size(), 5U);
  EXPECT_EQ(changes[1].after[1].bytes, std::string(5000000, 'd'));
  EXPECT_EQ(changes[2].after[1].bytes, std::string(3000000, 'e'));
  ASSERT_EQ(seen.transactions.size(), 4U);
  EXPECT_EQ(seen.transactions[2].end.outcome, Outcome::kPrepare);
  EXPECT_EQ(seen.last.set, Head().set);
  EXPECT_EQ(seen.last.offset, Head().offset);
}

TEST_F(MySqlSpecialsTest, TaggedTransactions) {
  Run("CREATE TABLE t (id INT PRIMARY KEY)");
  const Position from = Head();
  Run("SET gtid_next = 'AUTOMATIC:blue'");
  Run("INSERT INTO t VALUES (1)");
  Run("INSERT INTO t VALUES (2)");
  Run("SET gtid_next = 'AUTOMATIC'");
  Run("INSERT INTO t VALUES (3)");
  Run("SET gtid_next = 'AUTOMATIC:blue'");
  Run("INSERT INTO t VALUES (4)");
  const std::string number = std::to_string(WallMicros());
  Run("SET gtid_next = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee:red:" + number + "'");
  Run("INSERT INTO t VALUES (5)");
  Run("SET gtid_next = 'AUTOMATIC'");
  Run("FLUSH BINARY LOGS");
  Run("INSERT INTO t VALUES (6)");
  const Position head = Head();
  const Seen seen = ReadUntil(OpenSource(from).get(), head, flavor_);
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(seen.transactions.size(), 6U);
  EXPECT_EQ(seen.last.set, head.set);
  EXPECT_EQ(seen.transactions[4].end.position.last, "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee:red:" + number);
  for (size_t i = 0; i < 6; ++i) {
    const Seen rest = ReadUntil(OpenSource(seen.transactions[i].end.position).get(), head, flavor_);
    EXPECT_EQ(rest.transactions.size(), 5 - i);
  }
}

TEST_F(MySqlSpecialsTest, PartialJson) {
  Run("CREATE TABLE t (id INT PRIMARY KEY, j JSON, k JSON, l JSON)");
  const std::string long_text(300, 'x');
  Run("INSERT INTO t VALUES (1, JSON_OBJECT('name', '" + long_text +
      "', 'list', JSON_ARRAY(1, 2, 3), 'o', JSON_OBJECT('in', 1)), JSON_ARRAY(JSON_ARRAY('" + long_text +
      "')), JSON_OBJECT('a b', 1, 'q\"', 2, 'long', '" + long_text + "'))");
  Run("SET SESSION binlog_row_value_options = PARTIAL_JSON");
  const std::vector<std::string> updates = {
      "UPDATE t SET j = JSON_SET(j, '$.name', 'short')",
      "UPDATE t SET j = JSON_SET(j, '$.new', 1.5, '$.list[1]', 'two', '$.list[7]', NULL)",
      "UPDATE t SET j = JSON_REMOVE(j, '$.list[0]', '$.o.in'), l = JSON_SET(l, '$.\"a b\"', CAST('[1]' AS JSON))",
      "UPDATE t SET k = JSON_REPLACE(k, '$[0][0]', JSON_OBJECT('z', 1, 'y', 2)), id = 2",
      "UPDATE t SET l = JSON_SET(l, '$.\"q\\\\\"\"', 3, '$.\"new\\\\nkey\"', 'n', '$.\"\"', 0)",
      "UPDATE t SET l = JSON_REMOVE(l, '$.\"a b\"'), j = JSON_SET(j, '$.zz', CAST('2024-01-01' AS DATE))",
      "UPDATE t SET id = 3",
      "UPDATE t SET j = NULL, k = JSON_SET(k, '$[0][0].z', 5)",
  };
  const Position from = Head();
  std::vector<std::vector<std::string>> expected;
  for (const std::string& sql : updates) {
    Run(sql);
    expected.push_back({Scalar("SELECT CAST(j AS CHAR) FROM t"), Scalar("SELECT CAST(k AS CHAR) FROM t"),
                        Scalar("SELECT CAST(l AS CHAR) FROM t")});
  }
  const Seen seen = ReadUntil(OpenSource(from).get(), Head(), flavor_);
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  const auto changes = seen.Changes();
  ASSERT_EQ(changes.size(), updates.size());
  for (size_t i = 0; i < changes.size(); ++i) {
    for (size_t k = 0; k < 3; ++k) {
      const OwnedValue& value = changes[i].after[k + 1];
      EXPECT_EQ(value.value.is_null() ? "NULL" : value.bytes, expected[i][k]) << updates[i];
    }
  }
}

TEST_F(MySqlSpecialsTest, PartialJsonWithoutTheWholeImage) {
  Run("CREATE TABLE t (id INT PRIMARY KEY, j JSON)");
  Run("INSERT INTO t VALUES (1, JSON_OBJECT('name', REPEAT('x', 300)))");
  Run("SET SESSION binlog_row_value_options = PARTIAL_JSON, binlog_row_image = MINIMAL");
  const Seen seen = Capture({"UPDATE t SET j = JSON_SET(j, '$.name', 'short')"});
  ASSERT_TRUE(seen.error);
  EXPECT_EQ(seen.error->code, "CF1215") << seen.error->ToString();
  EXPECT_EQ(seen.error->error_class, ErrorClass::kData);
}

TEST_F(MySqlSpecialsTest, FullMetadataIsCompared) {
  Run(kAllSorts);
  const WithGlobal full(connection_.get(), "binlog_row_metadata", "FULL");
  const Seen seen = Capture({kAllSortsRow});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(seen.Changes().size(), 1U);
  EXPECT_EQ(seen.Changes()[0].after[2].bytes, "é");
  EXPECT_EQ(seen.Changes()[0].after[4].bytes, "é");
  for (const std::string change :
       {"CHANGE b bb VARCHAR(20) CHARACTER SET latin1", "MODIFY d ENUM('x','z') CHARACTER SET latin1", "MODIFY id INT",
        "MODIFY b VARCHAR(20) CHARACTER SET latin2"}) {
    Run("DROP TABLE s");
    Run(kAllSorts);
    const MySqlSourceOptions options = SourceOptions();
    Run("ALTER TABLE s " + change);
    const Position from = Head();
    Run("INSERT INTO s (id) VALUES (1)");
    MySqlSource source(options);
    ASSERT_TRUE(source.Open(from).has_value());
    const Seen after = ReadUntil(&source, Head(), flavor_);
    ASSERT_TRUE(after.error) << change;
    EXPECT_EQ(after.error->code, "CF1210") << after.error->ToString();
  }
}

TEST_F(MySqlSpecialsTest, GeneratedAndFunctionalColumns) {
  Run("SET SESSION sql_generate_invisible_primary_key = ON");
  Run("CREATE TABLE t (a INT, v INT AS (a + 1) VIRTUAL, s INT AS (a + 2) STORED, t VARCHAR(20), j JSON, "
      "KEY ((UPPER(t))), KEY ((CAST(j AS UNSIGNED ARRAY))))");
  const Seen seen = Capture({"INSERT INTO t (a, t, j) VALUES (10, 'x', '[1, 2]')", "UPDATE t SET a = 11"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  const auto changes = seen.Changes();
  ASSERT_EQ(changes.size(), 2U);
  ASSERT_EQ(changes[0].after.size(), 6U);
  EXPECT_EQ(changes[0].after[1].value.i, 10);
  EXPECT_EQ(changes[0].after[2].value.i, 11);
  EXPECT_EQ(changes[0].after[3].value.i, 12);
  EXPECT_EQ(changes[1].after[3].value.i, 13);
}

TEST_F(MySqlSpecialsTest, PurgedLogIsNamed) {
  Run("CREATE TABLE t (id INT PRIMARY KEY)");
  const Position from = Head();
  Run("INSERT INTO t VALUES (1)");
  PurgeAll();
  MySqlSource source(SourceOptions());
  const Status opened = source.Open(from);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, "CF1203") << opened.error().ToString();
  Position by_file = from;
  by_file.set.clear();
  EXPECT_EQ(source.Open(by_file).error().code, "CF1203");
}

TEST_F(MySqlSpecialsTest, CommitTimesAreInMicroseconds) {
  Run("CREATE TABLE t (id INT PRIMARY KEY)");
  const int64_t before = WallMicros();
  const Seen seen = Capture({"INSERT INTO t VALUES (1)"});
  ASSERT_EQ(seen.transactions.size(), 1U);
  EXPECT_GE(seen.transactions[0].end.commit_time_us, before);
  EXPECT_LE(seen.transactions[0].end.commit_time_us, WallMicros());
}

}  // namespace
}  // namespace crossfade::capture
