// Makes the files of tests/golden anew from real servers: run with CROSSFADE_RECORD_GOLDEN set, and look at the
// difference before committing it.
#include <algorithm>

#include "golden.h"
#include "server.h"

namespace crossfade::capture {
namespace {

const char* const kTypes =
    "CREATE TABLE types (id INT UNSIGNED PRIMARY KEY, a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT, d BIGINT, e FLOAT, "
    "f DOUBLE, g DECIMAL(20,5), h BIT(12), i CHAR(5), j VARCHAR(300), k TEXT, l VARCHAR(9) CHARACTER SET latin1, "
    "m BINARY(4), n VARBINARY(9), o BLOB, p DATE, q TIME(3), r DATETIME(6), s TIMESTAMP(2) NULL, t YEAR, "
    "u ENUM('x','y'), v SET('p','q','r'), w JSON, x GEOMETRY)";
const char* const kTypesRow =
    "INSERT INTO types VALUES (4000000000, -1, 65535, -2, 9000000000000, 1.5, -2.25, -12345.6789, 3000, 'ab', 'cd', "
    "'text', 'é', x'01', x'0200', x'00ff', '2024-02-29', '-12:34:56.789', '2024-02-29 23:59:59.123456', "
    "'2024-02-29 23:59:59.12', 2024, 'y', 'p,r', '{\"a\": [1, 2.5, null]}', ST_GeomFromText('POINT(1 2)')), "
    "(1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
    "NULL, NULL, NULL, NULL, NULL, NULL)";

class RecordTest : public ServerTest {
 protected:
  void Record(const std::string& name, const std::vector<std::string>& statements) {
    Run("SET time_zone = '+00:00', sql_mode = ''");
    Golden golden;
    golden.flavor = flavor_;
    golden.database = database_;
    golden.tables = SourceOptions().tables;
    const Position from = Head();
    for (const std::string& sql : statements) {
      Run(sql);
    }
    ReadEvents(from, &golden.events);
    const Status decoded = DecodeAll(golden, &golden.outcome);
    EXPECT_TRUE(decoded.has_value()) << decoded.error().ToString();
    std::ofstream file(GoldenDirectory() + name);
    file << "flavor " << (flavor_ == mysql::Flavor::kMySql ? "mysql" : "mariadb") << "\n";
    file << "database " << golden.database << "\n";
    for (const TableSchema& table : golden.tables) {
      file << "table " << ToHex(table.Encode()) << "\n";
    }
    for (const std::string& event : golden.events) {
      file << "event " << ToHex(event) << "\n";
    }
    for (const std::string& line : golden.outcome) {
      file << "= " << line << "\n";
    }
  }

  void ReadEvents(const Position& from, std::vector<std::string>* events) {
    auto opened = mysql::Connection::Open(options_);
    ASSERT_TRUE(opened.has_value());
    mysql::Connection& dump = **opened;
    ASSERT_TRUE(dump.Execute("SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32', "
                             "@mariadb_slave_capability = 4")
                    .has_value());
    std::string payload;
    ByteWriter out(&payload);
    out.FixedU32(static_cast<uint32_t>(from.offset));
    out.U8(1);  // end at the end of the log
    out.U8(0);
    out.FixedU32(77);
    out.Bytes(from.file);
    ASSERT_TRUE(dump.SendCommand(0x12, payload).has_value());
    for (;;) {
      const auto packet = dump.ReadPacket();
      ASSERT_TRUE(packet.has_value()) << packet.error().ToString();
      if (packet->empty()) {
        return;
      }
      events->emplace_back(packet->substr(1));
    }
  }

  const std::vector<std::string> common_ = {
      kTypesRow,
      "UPDATE types SET a = 5, j = 'ef', w = '[1]' WHERE id > 1",
      "BEGIN",
      "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
      "SAVEPOINT s",
      "DELETE FROM t WHERE id = 1",
      "COMMIT",
      "TRUNCATE TABLE t",
      "DELETE FROM types",
      "XA START 'x', 'y', 3",
      "INSERT INTO t VALUES (3, 'xa')",
      "XA END 'x', 'y', 3",
      "XA PREPARE 'x', 'y', 3",
      "XA COMMIT 'x', 'y', 3",
      "SET foreign_key_checks = 0",
      "DELETE FROM t WHERE id = 3",
      "SET foreign_key_checks = 1",
      "FLUSH BINARY LOGS",
      "ALTER TABLE t COMMENT 'changed'",
  };
};

TEST_F(RecordTest, MariaDb) {
  if (std::getenv("CROSSFADE_RECORD_GOLDEN") == nullptr || !Connect("CROSSFADE_TEST_MARIADB", "golden")) {
    GTEST_SKIP() << "CROSSFADE_RECORD_GOLDEN or CROSSFADE_TEST_MARIADB is not set";
  }
  Run("RESET MASTER");
  Run(kTypes);
  Run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))");
  Run("CREATE TABLE n (id INT PRIMARY KEY, u UUID, a INET4, b INET6, c TEXT COMPRESSED, d VARCHAR(300) COMPRESSED)");
  Run("CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM");
  std::vector<std::string> statements = common_;
  const std::vector<std::string> own = {
      "INSERT INTO n VALUES (1, '123e4567-e89b-12d3-a456-426655440000', '1.2.3.0', '2001:db8::', REPEAT('ab', 200), "
      "'x')",
      "BEGIN",
      "INSERT INTO t VALUES (5, 'five')",
      "SAVEPOINT a",
      "INSERT INTO m VALUES (1)",
      "INSERT INTO t VALUES (6, 'six')",
      "ROLLBACK TO a",
      "INSERT INTO t VALUES (7, 'seven')",
      "COMMIT",
  };
  statements.insert(statements.begin(), own.begin(), own.end());
  Record("mariadb.txt", statements);

  Run("DROP TABLE m");
  Run("SET GLOBAL log_bin_compress = 1, GLOBAL log_bin_compress_min_len = 10, GLOBAL binlog_row_metadata = 'FULL'");
  Run("FLUSH BINARY LOGS");
  Record("mariadb_compressed.txt", common_);
  Run("SET GLOBAL log_bin_compress = 0, GLOBAL log_bin_compress_min_len = 256, GLOBAL binlog_row_metadata = 'NO_LOG'");
}

TEST_F(RecordTest, MySql) {
  if (std::getenv("CROSSFADE_RECORD_GOLDEN") == nullptr || !Connect("CROSSFADE_TEST_MYSQL", "golden")) {
    GTEST_SKIP() << "CROSSFADE_RECORD_GOLDEN or CROSSFADE_TEST_MYSQL is not set";
  }
  Run("RESET BINARY LOGS AND GTIDS");
  Run(kTypes);
  Run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))");
  Run("CREATE TABLE p (id INT PRIMARY KEY, e VECTOR(2))");
  Run("CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)");
  std::vector<std::string> statements = common_;
  const std::vector<std::string> own = {
      "INSERT INTO p VALUES (1, STRING_TO_VECTOR('[1,2]')), (2, NULL)",
      "INSERT INTO c VALUES (1, 1), (2, 1)",
      "DELETE FROM p WHERE id = 1",
      "SET gtid_next = 'AUTOMATIC:blue'",
      "INSERT INTO c VALUES (3, 2)",
      "SET gtid_next = 'AUTOMATIC'",
      "SET binlog_row_value_options = PARTIAL_JSON",
      "INSERT INTO types (id, w) VALUES (7, JSON_OBJECT('k', REPEAT('z', 100), 'l', JSON_ARRAY(1, 2)))",
      "UPDATE types SET w = JSON_REMOVE(JSON_SET(w, '$.k', 'y', '$.n', 1), '$.l[0]') WHERE id = 7",
      "DELETE FROM types",
  };
  statements.insert(statements.begin(), own.begin(), own.end());
  Record("mysql.txt", statements);
  Run("SET GLOBAL binlog_row_metadata = 'FULL'");
  Run("SET SESSION binlog_transaction_compression = ON");
  Run("FLUSH BINARY LOGS");
  Record("mysql_compressed.txt", common_);
  Run("SET GLOBAL binlog_row_metadata = 'MINIMAL'");
}

}  // namespace
}  // namespace crossfade::capture
