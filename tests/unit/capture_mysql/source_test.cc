// The source against real servers, what both have in common: CROSSFADE_TEST_MARIADB, CROSSFADE_TEST_MYSQL.
#include <chrono>
#include <thread>

#include "server.h"

namespace crossfade::capture {
namespace {

class SourceTest : public ServerTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (!Connect(GetParam(), "capture_source")) {
      GTEST_SKIP() << GetParam() << " is not set";
    }
    Run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))");
  }

  bool IsMySql() const { return flavor_ == mysql::Flavor::kMySql; }

  // "insert 1, update 2" of the first column.
  static std::string Summary(const SeenTransaction& transaction) {
    std::string text;
    for (const SeenChange& change : transaction.changes) {
      const char* const kinds[] = {"?", "insert", "update", "delete", "truncate"};
      text += text.empty() ? "" : ", ";
      text += kinds[static_cast<int>(change.kind)];
      const auto& image = change.kind == ChangeKind::kDelete ? change.before : change.after;
      text += image.empty() ? "" : " " + std::to_string(image[0].value.i);
    }
    return text;
  }

  static std::vector<std::string> Summaries(const Seen& seen) {
    std::vector<std::string> all;
    for (const SeenTransaction& transaction : seen.transactions) {
      all.push_back(Summary(transaction));
    }
    return all;
  }
};

TEST_P(SourceTest, GivesRowsOfOneTransactionInOrder) {
  const int64_t before = WallMicros();
  const Seen seen = Capture({"BEGIN", "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
                             "UPDATE t SET v = 'zwei' WHERE id = 2", "DELETE FROM t WHERE id = 1", "COMMIT"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(seen.transactions.size(), 1U);
  const auto& changes = seen.transactions[0].changes;
  ASSERT_EQ(changes.size(), 4U);
  EXPECT_EQ(changes[0].kind, ChangeKind::kInsert);
  EXPECT_EQ(changes[0].flags, 0);
  EXPECT_EQ(changes[1].flags, kEndOfStatement);
  EXPECT_EQ(changes[1].after[1].bytes, "two");
  EXPECT_EQ(changes[2].kind, ChangeKind::kUpdate);
  EXPECT_EQ(changes[2].before[1].bytes, "two");
  EXPECT_EQ(changes[2].after[1].bytes, "zwei");
  EXPECT_EQ(changes[3].kind, ChangeKind::kDelete);
  EXPECT_EQ(changes[3].before[0].value.i, 1);
  const TransactionEnd& end = seen.transactions[0].end;
  EXPECT_EQ(end.outcome, Outcome::kCommit);
  const Position head = Head();
  EXPECT_EQ(end.position.set, head.set);
  EXPECT_EQ(end.position.file, head.file);
  EXPECT_EQ(end.position.offset, head.offset);
  EXPECT_EQ(end.position.server, head.server);
  EXPECT_FALSE(end.position.last.empty());
  EXPECT_NEAR(static_cast<double>(end.commit_time_us), static_cast<double>(before), 2e6);
  EXPECT_GE(end.arrival_time_us, before);
}

TEST_P(SourceTest, StartsAgainBehindEachTransaction) {
  const Position from = Head();
  for (int i = 0; i < 5; ++i) {
    Run("INSERT INTO t VALUES (" + std::to_string(i) + ", 'x')");
    Run("FLUSH BINARY LOGS");
  }
  const Position head = Head();
  const auto first = OpenSource(from);
  const Seen all = ReadUntil(first.get(), head, flavor_);
  ASSERT_EQ(all.transactions.size(), 5U);
  for (const bool by_gtid : {true, false}) {
    for (size_t i = 0; i < all.transactions.size(); ++i) {
      Position at = all.transactions[i].end.position;
      if (!by_gtid) {
        at.set.clear();
      }
      const auto again = OpenSource(at);
      const Seen rest = ReadUntil(again.get(), head, flavor_);
      ASSERT_FALSE(rest.error) << rest.error->ToString();
      ASSERT_EQ(rest.transactions.size(), 4U - i) << by_gtid;
      for (size_t k = 0; k < rest.transactions.size(); ++k) {
        EXPECT_EQ(rest.transactions[k].end.position, all.transactions[i + 1 + k].end.position) << by_gtid;
      }
    }
  }
}

TEST_P(SourceTest, KeepsTransactionsOfOthersOutOfSightButNotTheirPositions) {
  Run("CREATE DATABASE IF NOT EXISTS capture_other");
  Run("CREATE OR REPLACE VIEW capture_other.w AS SELECT 1");
  Run("CREATE TABLE IF NOT EXISTS capture_other.t (id INT PRIMARY KEY, g GEOMETRY, j JSON)");
  const Seen seen = Capture({"INSERT INTO capture_other.t VALUES (1, NULL, '[]')", "BEGIN",
                             "DELETE FROM capture_other.t", "INSERT INTO t VALUES (1, 'x')", "COMMIT",
                             "INSERT INTO capture_other.t VALUES (2, NULL, '[]')", "DROP DATABASE capture_other"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  EXPECT_EQ(Summaries(seen), std::vector<std::string>{"insert 1"});
  EXPECT_TRUE(seen.schema_changes.empty());
  EXPECT_EQ(seen.last.set, Head().set);
  EXPECT_GE(seen.heartbeats, 1U);
}

TEST_P(SourceTest, HeartbeatsWhileNothingHappens) {
  const Position head = Head();
  const auto source = OpenSource(head);
  size_t heartbeats = 0;
  const Deadline deadline = After(std::chrono::milliseconds(1000));
  while (std::chrono::steady_clock::now() < deadline) {
    auto next = source->Next(deadline);
    ASSERT_TRUE(next.has_value()) << next.error().ToString();
    if (*next && std::holds_alternative<Heartbeat>(**next)) {
      ++heartbeats;
      EXPECT_EQ(std::get<Heartbeat>(**next).position.set, head.set);
      EXPECT_EQ(std::get<Heartbeat>(**next).position.offset, head.offset);
    }
  }
  EXPECT_GE(heartbeats, 5U);
}

TEST_P(SourceTest, WaitsNoLongerThanAsked) {
  const auto source = OpenSource(Head());
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(source->Next(After(std::chrono::milliseconds(10))).has_value());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(60));
  }
}

TEST_P(SourceTest, TakesXaInTwoHalves) {
  const Seen seen =
      Capture({"XA START 'one', 'b', 7", "INSERT INTO t VALUES (1, 'x')", "XA END 'one', 'b', 7",
               "XA PREPARE 'one', 'b', 7", "XA COMMIT 'one', 'b', 7",  //
               "XA START 'two'", "INSERT INTO t VALUES (2, 'x')", "XA END 'two'", "XA PREPARE 'two'",
               "XA ROLLBACK 'two'",  //
               "XA START 'three'", "INSERT INTO t VALUES (3, 'x')", "XA END 'three'", "XA COMMIT 'three' ONE PHASE"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(Summaries(seen), (std::vector<std::string>{"insert 1", "", "insert 2", "", "insert 3"}));
  EXPECT_EQ(seen.transactions[0].end.outcome, Outcome::kPrepare);
  EXPECT_EQ(seen.transactions[0].end.xid, "X'6f6e65',X'62',7");
  EXPECT_EQ(seen.transactions[1].end.outcome, Outcome::kCommitPrepared);
  EXPECT_EQ(seen.transactions[1].end.xid, "X'6f6e65',X'62',7");
  EXPECT_EQ(seen.transactions[2].end.outcome, Outcome::kPrepare);
  EXPECT_EQ(seen.transactions[3].end.outcome, Outcome::kRollbackPrepared);
  EXPECT_EQ(seen.transactions[3].end.xid, seen.transactions[2].end.xid);
  EXPECT_EQ(seen.transactions[4].end.outcome, Outcome::kCommit);
  EXPECT_EQ(seen.last.set, Head().set);
}

TEST_P(SourceTest, ReadOnlyXaLeavesNoTrace) {
  const Seen seen = Capture({"XA START 'r'", "SELECT COUNT(*) FROM t", "XA END 'r'", "XA PREPARE 'r'", "XA COMMIT 'r'",
                             "INSERT INTO t VALUES (1, 'x')"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  // What is prepared and what is committed must match, if the server logs them at all.
  int open = 0;
  for (const SeenTransaction& transaction : seen.transactions) {
    open += transaction.end.outcome == Outcome::kPrepare ? 1 : 0;
    open -= transaction.end.outcome == Outcome::kCommitPrepared ? 1 : 0;
  }
  EXPECT_EQ(open, 0);
}

TEST_P(SourceTest, LeavesOutWhatASavepointTookBack) {
  const Seen seen =
      Capture({"BEGIN", "INSERT INTO t VALUES (1, 'x')", "SAVEPOINT a", "INSERT INTO t VALUES (2, 'x')",
               "ROLLBACK TO a", "INSERT INTO t VALUES (3, 'x')", "SAVEPOINT b", "RELEASE SAVEPOINT b", "COMMIT"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  EXPECT_EQ(Summaries(seen), std::vector<std::string>{"insert 1, insert 3"});
}

// A change of a table without transactions makes the server log what the rollback took back, too.
TEST_P(SourceTest, LeavesOutWhatALoggedRollbackToASavepointTookBack) {
  if (IsMySql()) {
    GTEST_SKIP() << "MySQL with GTIDs refuses such a transaction";
  }
  Run("CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM");
  const Seen seen =
      Capture({"BEGIN", "INSERT INTO t VALUES (1, 'x')", "SAVEPOINT a", "INSERT INTO m VALUES (1)",
               "INSERT INTO t VALUES (2, 'x')", "SAVEPOINT `b``c`", "UPDATE t SET v = 'y'", "ROLLBACK TO `b``c`",
               "INSERT INTO t VALUES (4, 'x')", "ROLLBACK TO A", "INSERT INTO t VALUES (3, 'x')", "COMMIT"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  EXPECT_EQ(Summaries(seen), (std::vector<std::string>{"insert 1", "insert 1, insert 3"}));
  EXPECT_EQ(seen.transactions[0].changes[0].table, "m");
}

TEST_P(SourceTest, TablesWithoutTransactions) {
  Run("CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM");
  const Seen seen = Capture({"INSERT INTO m VALUES (1), (2)", "BEGIN", "INSERT INTO m VALUES (3)",
                             "INSERT INTO t VALUES (4, 'x')", "ROLLBACK"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  EXPECT_EQ(Summaries(seen), (std::vector<std::string>{"insert 1, insert 2", "insert 3"}));
}

TEST_P(SourceTest, TruncateIsATransactionOfItsOwn) {
  const Seen seen = Capture({"INSERT INTO t VALUES (1, 'x')", "TRUNCATE TABLE t", "INSERT INTO t VALUES (2, 'x')",
                             "/* c */ TRUNCATE `capture_source`.`t` -- d"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  EXPECT_EQ(Summaries(seen), (std::vector<std::string>{"insert 1", "truncate", "insert 2", "truncate"}));
}

TEST_P(SourceTest, SchemaChangesOfCapturedAndNewTables) {
  for (const std::string statement :
       {"ALTER TABLE t ADD COLUMN w INT", "CREATE INDEX i ON t (v)", "DROP INDEX i ON t", "CREATE TABLE n (id INT)",
        "RENAME TABLE t TO t2", "RENAME TABLE t2 TO t", "DROP TABLE n", "ALTER TABLE t DROP COLUMN w",
        "CREATE TABLE c2 AS SELECT * FROM t", "DROP TABLE IF EXISTS c2, nope"}) {
    const Seen seen = Capture({statement});
    ASSERT_FALSE(seen.error) << seen.error->ToString();
    ASSERT_FALSE(seen.schema_changes.empty()) << statement;
    EXPECT_FALSE(seen.schema_changes[0].table.empty());
    EXPECT_TRUE(seen.transactions.empty());
  }
}

TEST_P(SourceTest, ReadsStatementsInTheClientsCharacterSet) {
  Run("CREATE TABLE `tä` (id INT PRIMARY KEY)");
  const Position from = Head();
  const auto source = OpenSource(from);
  Run("SET NAMES latin1");
  Run("TRUNCATE TABLE `t\xe4`");
  Run("ALTER TABLE `t\xe4` ADD COLUMN `\xfc` INT");
  Run("SET NAMES utf8mb4");
  const Seen seen = ReadUntil(source.get(), Head(), flavor_);
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(seen.transactions.size(), 1U);
  EXPECT_EQ(seen.transactions[0].changes[0].table, "tä");
  ASSERT_EQ(seen.schema_changes.size(), 1U);
  EXPECT_EQ(seen.schema_changes[0].table, "tä");
  EXPECT_EQ(seen.schema_changes[0].statement, "ALTER TABLE `tä` ADD COLUMN `ü` INT");
}

TEST_P(SourceTest, StatementsThatDoNotConcernUs) {
  const std::string user = "'capture_" + std::to_string(WallMicros()) + "'@'localhost'";
  const Seen seen = Capture({"CREATE USER " + user,
                             "GRANT SELECT ON capture_source.* TO " + user,
                             "DROP USER " + user,
                             "CREATE VIEW w AS SELECT * FROM t",
                             "ALTER VIEW w AS SELECT id FROM t",
                             "DROP VIEW w",
                             "CREATE TEMPORARY TABLE tmp (id INT)",
                             "INSERT INTO tmp VALUES (1)",
                             "DROP TEMPORARY TABLE tmp",
                             "CREATE TABLE IF NOT EXISTS t (other INT)",
                             "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 'g'",
                             "DROP TRIGGER g",
                             "CREATE PROCEDURE p() DELETE FROM t",
                             "CALL p()",
                             "DROP PROCEDURE p",
                             "FLUSH TABLES",
                             "OPTIMIZE TABLE t",
                             "ANALYZE TABLE t",
                             "FLUSH PRIVILEGES",
                             "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM t",
                             "DROP EVENT e"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  for (const SchemaChange& change : seen.schema_changes) {
    ADD_FAILURE() << change.statement;
  }
  EXPECT_TRUE(seen.transactions.empty());
  EXPECT_EQ(seen.last.set, Head().set);
}

TEST_P(SourceTest, DetectsAShapeItDoesNotKnow) {
  MySqlSourceOptions options = SourceOptions();
  const Position from = Head();
  Run("ALTER TABLE t MODIFY v VARCHAR(30)");
  Run("INSERT INTO t VALUES (1, 'x')");
  MySqlSource source(options);
  ASSERT_TRUE(source.Open(from).has_value());
  const Seen seen = ReadUntil(&source, Head(), flavor_);
  EXPECT_EQ(seen.schema_changes.size(), 1U);
  ASSERT_TRUE(seen.error);
  EXPECT_EQ(seen.error->code, "CF1210");
  EXPECT_EQ(seen.error->error_class, ErrorClass::kData);
  EXPECT_NE(seen.error->message.find("column v"), std::string::npos) << seen.error->ToString();
}

TEST_P(SourceTest, StopsAtRowsChangedByAStatement) {
  Run("SET SESSION binlog_format = STATEMENT");
  for (const std::string statement :
       {"INSERT INTO t VALUES (1, 'x')", "UPDATE t SET v = CONCAT(v, @x := 'q')", "INSERT INTO t VALUES (2, RAND())",
        "DELETE FROM capture_source.t WHERE id = 2"}) {
    const Seen seen = Capture({statement});
    ASSERT_TRUE(seen.error) << statement;
    EXPECT_EQ(seen.error->code, "CF1212") << seen.error->ToString();
    EXPECT_EQ(seen.error->error_class, ErrorClass::kData);
  }
}

// A table that nobody follows may get the name of one that should be: each name is told.
TEST_P(SourceTest, ARenameTellsBothNames) {
  Run("CREATE TABLE aside (id INT)");
  const Seen seen = Capture({"RENAME TABLE aside TO wanted"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(seen.schema_changes.size(), 1U);
  EXPECT_EQ(seen.schema_changes[0].table, "aside");
  EXPECT_EQ(seen.schema_changes[0].also, std::vector<std::string>{"wanted"});
  Run("DROP TABLE wanted");
}

// What a function writes is logged as its SELECT, without the rows.
TEST_P(SourceTest, StopsAtAFunctionThatWrites) {
  Run("SET GLOBAL log_bin_trust_function_creators = 1");
  Run("DROP FUNCTION IF EXISTS writes");
  Run("CREATE FUNCTION writes(n INT) RETURNS INT BEGIN INSERT INTO t VALUES (n, 'f'); RETURN n; END");
  Run("SET SESSION binlog_format = STATEMENT");
  for (const std::string statement : {"SELECT writes(10)", "DO writes(11)"}) {
    const Seen seen = Capture({statement});
    ASSERT_TRUE(seen.error) << statement;
    EXPECT_EQ(seen.error->code, "CF1212") << seen.error->ToString();
  }
  Run("SET SESSION binlog_format = ROW");
  Run("DROP FUNCTION writes");
}

// Its statements are in the log, and name the table that stays as well as this one.
TEST_P(SourceTest, StopsAtATemporaryTableWithTheNameOfOneThatIsFollowed) {
  Run("SET SESSION binlog_format = STATEMENT");
  const Seen seen = Capture({"CREATE TEMPORARY TABLE t (id INT)", "TRUNCATE TABLE t", "DROP TEMPORARY TABLE t"});
  Run("SET SESSION binlog_format = ROW");
  ASSERT_TRUE(seen.error);
  EXPECT_EQ(seen.error->code, "CF1212") << seen.error->ToString();
  EXPECT_TRUE(seen.transactions.empty());
}

TEST_P(SourceTest, LogsWithAndWithoutChecksums) {
  const Position from = Head();
  const auto source = OpenSource(from);
  Run("INSERT INTO t VALUES (1, 'x')");
  Run("SET GLOBAL binlog_checksum = NONE");
  Run("INSERT INTO t VALUES (2, 'x')");
  const Position middle = Head();
  Run("INSERT INTO t VALUES (3, 'x')");
  Run("FLUSH BINARY LOGS");
  Run("SET GLOBAL binlog_checksum = CRC32");
  Run("INSERT INTO t VALUES (4, 'x')");
  const Position head = Head();
  const Seen seen = ReadUntil(source.get(), head, flavor_);
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  EXPECT_EQ(Summaries(seen), (std::vector<std::string>{"insert 1", "insert 2", "insert 3", "insert 4"}));
  const Seen rest = ReadUntil(OpenSource(middle).get(), head, flavor_);
  ASSERT_FALSE(rest.error) << rest.error->ToString();
  EXPECT_EQ(Summaries(rest), (std::vector<std::string>{"insert 3", "insert 4"}));
}

TEST_P(SourceTest, UncheckedForeignKeys) {
  Run("CREATE TABLE p (id INT PRIMARY KEY)");
  Run("CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)");
  Run("INSERT INTO p VALUES (1), (2)");
  Run("INSERT INTO c VALUES (1, 1), (2, 2)");
  const Seen seen =
      Capture({"SET foreign_key_checks = 0", "DELETE FROM p WHERE id = 1", "DELETE c, p FROM c JOIN p ON c.p = p.id",
               "SET foreign_key_checks = 1", "INSERT INTO p VALUES (3)"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  const auto changes = seen.Changes();
  ASSERT_EQ(changes.size(), 4U);
  EXPECT_EQ(changes[0].flags, kNoForeignKeyChecks | kEndOfStatement);
  EXPECT_EQ(changes[1].flags & ~kEndOfStatement, kNoForeignKeyChecks);
  EXPECT_EQ(changes[2].flags & ~kEndOfStatement, kNoForeignKeyChecks);
  EXPECT_EQ(changes[3].flags, kEndOfStatement);
}

TEST_P(SourceTest, LargePackets) {
  Run("SET GLOBAL max_allowed_packet = 268435456");
  Run("CREATE TABLE big (id INT PRIMARY KEY, v LONGBLOB)");
  Connect(GetParam(), "capture_source");
  Run("CREATE TABLE big (id INT PRIMARY KEY, v LONGBLOB)");
  const Seen seen = Capture({"INSERT INTO big VALUES (1, REPEAT('a', 16777216))", "INSERT INTO big VALUES (2, 'x')",
                             "UPDATE big SET v = REPEAT('b', 33554400) WHERE id = 1",
                             "INSERT INTO big VALUES (3, REPEAT('c', 16777215 - 80)), (4, REPEAT('d', 100))"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  const auto changes = seen.Changes();
  ASSERT_EQ(changes.size(), 5U);
  EXPECT_EQ(changes[0].after[1].bytes, std::string(16777216, 'a'));
  EXPECT_EQ(changes[2].before[1].bytes, std::string(16777216, 'a'));
  EXPECT_EQ(changes[2].after[1].bytes, std::string(33554400, 'b'));
  EXPECT_EQ(changes[3].after[1].bytes, std::string(16777215 - 80, 'c'));
}

TEST_P(SourceTest, EveryOffsetOfAPacketsEnd) {
  Run("CREATE TABLE big (id INT PRIMARY KEY, v LONGBLOB)");
  std::vector<std::string> statements;
  for (int i = 0; i < 8; ++i) {
    statements.push_back("INSERT INTO big VALUES (" + std::to_string(i) + ", REPEAT('a', 16777150 + " +
                         std::to_string(i * 5) + "))");
  }
  const Seen seen = Capture(statements);
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  EXPECT_EQ(seen.Changes().size(), 8U);
}

TEST_P(SourceTest, InterruptEndsAWait) {
  const auto source = OpenSource(Head());
  std::thread other([&source] {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    source->Interrupt();
  });
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    auto next = source->Next(After(std::chrono::seconds(20)));
    if (!next) {
      EXPECT_EQ(next.error().code, "CF1200");
      EXPECT_EQ(next.error().error_class, ErrorClass::kTransient);
      break;
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  other.join();
  EXPECT_FALSE(source->Open(Head()).has_value());
}

TEST_P(SourceTest, KilledSessionIsReconnectAndTheOpenTransactionIsRolledBack) {
  MySqlSourceOptions options = SourceOptions();
  const Position from = Head();
  Run("INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')");
  const Position head = Head();
  MySqlSource source(options);
  ASSERT_TRUE(source.Open(from).has_value());
  for (int i = 0; i < 2;) {  // Begin and one row
    auto next = source.Next(After(std::chrono::seconds(5)));
    ASSERT_TRUE(next.has_value());
    i += *next && !std::holds_alternative<Heartbeat>(**next) ? 1 : 0;
  }
  ASSERT_TRUE(source.Open(from).has_value());
  auto next = source.Next(After(std::chrono::seconds(5)));
  ASSERT_TRUE(next.has_value() && next->has_value());
  ASSERT_TRUE(std::holds_alternative<TransactionEnd>(**next));
  EXPECT_EQ(std::get<TransactionEnd>(**next).outcome, Outcome::kRollback);
  EXPECT_EQ(std::get<TransactionEnd>(**next).position.set, from.set);
  const Seen seen = ReadUntil(&source, head, flavor_);
  EXPECT_EQ(Summaries(seen), std::vector<std::string>{"insert 1, insert 2, insert 3"});

  const auto processes =
      connection_->Rows("SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog%'");
  ASSERT_TRUE(processes.has_value() && !processes->empty());
  for (const auto& row : *processes) {
    const Status killed = connection_->Execute("KILL " + *row[0]);  // an earlier test's may end by itself meanwhile
    EXPECT_TRUE(killed || killed.error().server_code == "1094");
  }
  std::optional<Error> error;
  const Deadline deadline = After(std::chrono::seconds(5));
  while (!error && std::chrono::steady_clock::now() < deadline) {
    auto after = source.Next(deadline);
    if (!after) {
      error = after.error();
    }
  }
  ASSERT_TRUE(error);
  EXPECT_EQ(error->error_class, ErrorClass::kReconnect) << error->ToString();
  source.Close();
  EXPECT_EQ(source.Next(After(std::chrono::seconds(1))).error().code, "CF1206") << "read without a log";
  EXPECT_TRUE(source.Open(head).has_value());
}

TEST_P(SourceTest, RefusesPositionsThatAreNotHere) {
  const Position head = Head();
  MySqlSource source(SourceOptions());
  EXPECT_EQ(source.Open(Position()).error().code, "CF1201");

  Position other = head;
  other.set.clear();
  other.server = "somebody else";
  EXPECT_EQ(source.Open(other).error().code, "CF1201");

  Position beyond = head;
  beyond.set.clear();
  beyond.offset += 1000;
  EXPECT_EQ(source.Open(beyond).error().code, "CF1204");

  Position gone = head;
  gone.set.clear();
  gone.file = "binlog.000000";
  EXPECT_EQ(source.Open(gone).error().code, "CF1203");

  Position lost = head;
  lost.set = IsMySql() ? head.set + ",aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-7" : "0-99-1000000000";
  const Status refused = source.Open(lost);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, "CF1204");
  EXPECT_EQ(refused.error().error_class, ErrorClass::kCorrupt);
  EXPECT_NE(refused.error().message.find(IsMySql() ? "aaaaaaaaaaaa:1-7" : "0-99-1000000000"), std::string::npos);
}

// A server put back to an older copy that then used the same numbers for other transactions.
TEST_P(SourceTest, NoticesThatAPlaceInTheLogHoldsSomethingElse) {
  const Seen seen = Capture({"INSERT INTO t VALUES (1, 'x')", "INSERT INTO t VALUES (2, 'y')"});
  ASSERT_EQ(seen.transactions.size(), 2U);
  const Position& first = seen.transactions[0].end.position;
  const Position& second = seen.transactions[1].end.position;
  MySqlSource source(SourceOptions());
  EXPECT_TRUE(source.Open(second).has_value());
  Position other_bytes = second;
  other_bytes.offset -= 1;
  Position other_transaction = second;
  other_transaction.offset = first.offset;
  Position beyond = second;
  beyond.offset += 100000;
  Position other_file = second;
  other_file.file = "binlog.999999";
  for (const Position& position : {other_bytes, other_transaction, beyond, other_file}) {
    const Status opened = source.Open(position);
    ASSERT_FALSE(opened.has_value()) << position.ToString();
    EXPECT_EQ(opened.error().code, "CF1204") << opened.error().ToString();
  }
}

TEST_P(SourceTest, InvalidTextNamesItsColumn) {
  const WithGlobal least(connection_.get(), "binlog_row_metadata", IsMySql() ? "MINIMAL" : "NO_LOG");
  Run("CREATE TABLE b (id INT PRIMARY KEY, v VARBINARY(20))");
  MySqlSourceOptions options = SourceOptions();
  for (TableSchema& table : options.tables) {
    if (table.name == "b") {  // as if it were text: servers keep wrong bytes out of real text
      table.columns[1].type = ColumnType::kVarchar;
      table.columns[1].length = 5;
      table.columns[1].charset = "utf8mb4";
    }
  }
  const Position from = Head();
  Run("INSERT INTO b VALUES (1, x'61ff62')");
  MySqlSource source(options);
  ASSERT_TRUE(source.Open(from).has_value());
  const Seen seen = ReadUntil(&source, Head(), flavor_);
  ASSERT_TRUE(seen.error);
  if (IsMySql()) {
    EXPECT_EQ(seen.error->code, "CF1210") << seen.error->ToString();  // its log says that the column is binary
    return;
  }
  EXPECT_EQ(seen.error->code, "CF1213") << seen.error->ToString();
  EXPECT_EQ(seen.error->object, "capture_source.b.v");
  EXPECT_EQ(seen.error->found, "61ff62");
}

INSTANTIATE_TEST_SUITE_P(Servers, SourceTest, ::testing::Values("CROSSFADE_TEST_MARIADB", "CROSSFADE_TEST_MYSQL"),
                         [](const auto& info) { return std::string(info.param).substr(15); });

}  // namespace
}  // namespace crossfade::capture
