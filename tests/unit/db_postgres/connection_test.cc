#include "db/postgres/connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "db/postgres/error.h"
#include "server.h"

namespace crossfade::postgres {
namespace {

std::string BigEndian32(uint32_t v) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(v >> shift));
  }
  return out;
}

TEST(SqlStateTest, IsClassedByWhatToDoNext) {
  EXPECT_EQ(ClassOfSqlState("08006"), ErrorClass::kReconnect);
  EXPECT_EQ(ClassOfSqlState("57P01"), ErrorClass::kReconnect);
  EXPECT_EQ(ClassOfSqlState("57014"), ErrorClass::kTransient);
  EXPECT_EQ(ClassOfSqlState("40001"), ErrorClass::kTransient);
  EXPECT_EQ(ClassOfSqlState("40P01"), ErrorClass::kTransient);
  EXPECT_EQ(ClassOfSqlState("55P03"), ErrorClass::kTransient);
  EXPECT_EQ(ClassOfSqlState("53100"), ErrorClass::kTransient);
  EXPECT_EQ(ClassOfSqlState("28P01"), ErrorClass::kConfig);
  EXPECT_EQ(ClassOfSqlState("3D000"), ErrorClass::kConfig);
  EXPECT_EQ(ClassOfSqlState("42501"), ErrorClass::kConfig);
  EXPECT_EQ(ClassOfSqlState("23505"), ErrorClass::kData);
  EXPECT_EQ(ClassOfSqlState("22003"), ErrorClass::kData);
  EXPECT_EQ(ClassOfSqlState("42P01"), ErrorClass::kData);
  EXPECT_EQ(ClassOfSqlState("XX001"), ErrorClass::kCorrupt);
}

TEST(ConnectionStringTest, QuotesValues) {
  ConnectionOptions options;
  options.password = R"(a'b\c d)";
  options.tls = TlsMode::kVerify;
  options.tls_ca = "/ca.pem";
  const std::string text = ConnectionString(options);
  EXPECT_NE(text.find(R"(password='a\'b\\c d')"), std::string::npos);
  EXPECT_NE(text.find("sslmode='verify-full'"), std::string::npos);
  EXPECT_NE(text.find("sslrootcert='/ca.pem'"), std::string::npos);
}

TEST(IdentifierTest, DoublesQuotes) { EXPECT_EQ(Connection::Identifier("a\"b"), "\"a\"\"b\""); }

TEST(ConnectTest, NobodyListens) {
  ConnectionOptions options;
  options.port = 1;
  options.password = "hunter2";
  auto connection = Connection::Open(options);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().error_class, ErrorClass::kReconnect);
  EXPECT_EQ(connection.error().code, "CF1401");
  EXPECT_EQ(connection.error().ToString().find("hunter2"), std::string::npos);
}

using ConnectionTest = ServerTest;

// Set by the session itself: a reload of the server's configuration does not move it.
TEST_F(ConnectionTest, CommitsDurablyWhateverTheServerSays) {
  const char* const kSource = "SELECT setting || ' by ' || source FROM pg_settings WHERE name = 'synchronous_commit'";
  ASSERT_TRUE(connection_->CommitDurably());
  EXPECT_EQ(Ask(kSource), "on by session");
  ASSERT_TRUE(connection_->Execute("SET synchronous_commit = off"));
  ASSERT_TRUE(connection_->CommitDurably());
  EXPECT_EQ(Ask(kSource), "on by session");
  ASSERT_TRUE(connection_->Execute("SET synchronous_commit = remote_apply"));
  ASSERT_TRUE(connection_->CommitDurably());
  EXPECT_EQ(Ask(kSource), "remote_apply by session");
}

TEST_F(ConnectionTest, WrongDatabaseIsConfig) {
  options_.database = "no_such_database";
  auto connection = Connection::Open(options_);
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().error_class, ErrorClass::kConfig);
  EXPECT_EQ(connection.error().server_code, "3D000");
}

TEST_F(ConnectionTest, SessionIsSetUp) {
  EXPECT_EQ(Ask("SHOW TimeZone"), "UTC");
  EXPECT_EQ(Ask("SHOW client_encoding"), "UTF8");
  EXPECT_EQ(Ask("SHOW transaction_isolation"), "read committed");
  EXPECT_EQ(Ask("SELECT pg_backend_pid()"), std::to_string(connection_->backend_pid()));
}

TEST_F(ConnectionTest, QueryGivesTextNullsAndCounts) {
  auto set = connection_->Query("SELECT $1::int + 1 AS n, $2::text AS t", {"41", std::nullopt});
  ASSERT_TRUE(set) << set.error().ToString();
  EXPECT_EQ(set->columns, (std::vector<std::string>{"n", "t"}));
  EXPECT_EQ(set->rows[0][0], "42");
  EXPECT_FALSE(set->rows[0][1].has_value());
  auto made = connection_->Execute("CREATE TEMP TABLE t (a int); INSERT INTO t SELECT generate_series(1, 7)");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->affected, 7u);
}

TEST_F(ConnectionTest, ErrorNamesTableColumnAndConstraint) {
  Run("CREATE TEMP TABLE t (a int PRIMARY KEY, b int NOT NULL)");
  Run("INSERT INTO t VALUES (1, 1)");
  auto again = connection_->Execute("INSERT INTO t VALUES (1, 1)");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().error_class, ErrorClass::kData);
  EXPECT_EQ(again.error().server_code, "23505");
  EXPECT_NE(again.error().message.find("constraint: t_pkey"), std::string::npos) << again.error().message;
  auto null = connection_->Execute("INSERT INTO t VALUES (2, NULL)");
  ASSERT_FALSE(null);
  EXPECT_NE(null.error().message.find("column: b"), std::string::npos) << null.error().message;
  EXPECT_EQ(Ask("SELECT count(*) FROM t"), "1");
}

TEST_F(ConnectionTest, WhatAStatementMeetsHasItsCode) {
  Run("CREATE TEMP TABLE t (a int)");
  const auto code_of = [&](const std::string& sqlstate) {
    const auto raised = connection_->Execute("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '" + sqlstate + "'; END $$");
    return raised ? "" : raised.error().code;
  };
  EXPECT_EQ(code_of("40P01"), "CF1403");
  EXPECT_EQ(code_of("42501"), "CF1404");
  EXPECT_EQ(code_of("23505"), "CF1405");
  EXPECT_EQ(code_of("XX001"), "CF1406");
  EXPECT_TRUE(connection_->Execute("INSERT INTO t VALUES (1)"));
}

TEST_F(ConnectionTest, CallsInTheWrongOrderAreRefusedAndDoNoHarm) {
  Run("CREATE TEMP TABLE t (a int)");
  EXPECT_EQ(connection_->PipelineQueue("never prepared", {}).error().code, "CF1408");
  size_t failed = 0;
  EXPECT_EQ(connection_->PipelineCollect(&failed).error().code, "CF1408");
  EXPECT_EQ(connection_->CopyBegin("SELECT 1").error().code, "CF1408");
  EXPECT_EQ(Ask("SELECT count(*) FROM t"), "0");
}

TEST_F(ConnectionTest, CommitOfAFailedTransactionIsAnError) {
  Run("BEGIN");
  EXPECT_TRUE(connection_->in_transaction());
  EXPECT_FALSE(connection_->Execute("SELECT 1/0"));
  auto commit = connection_->Execute("COMMIT");
  ASSERT_FALSE(commit);
  EXPECT_EQ(commit.error().code, "CF1409");
  EXPECT_FALSE(connection_->in_transaction());
}

TEST_F(ConnectionTest, PipelineCountsAndStopsAtTheFirstError) {
  Run("CREATE TEMP TABLE t (a int PRIMARY KEY)");
  const uint32_t types[] = {23};
  ASSERT_TRUE(connection_->Prepare("ins", "INSERT INTO t VALUES ($1)", types));
  ASSERT_TRUE(connection_->Prepare("del", "DELETE FROM t WHERE a >= $1", types));
  ASSERT_TRUE(connection_->PipelineBegin());
  const auto queue = [&](const char* name, uint32_t value) {
    const std::string bytes = BigEndian32(value);
    const Parameter parameter{23, bytes};
    ASSERT_TRUE(connection_->PipelineQueue(name, {&parameter, 1}));
  };
  queue("ins", 1);
  queue("ins", 2);
  queue("del", 1);
  auto counts = connection_->PipelineCollect();
  ASSERT_TRUE(counts) << counts.error().ToString();
  EXPECT_EQ(*counts, (std::vector<uint64_t>{1, 1, 2}));

  ASSERT_TRUE(connection_->PipelineBegin());
  queue("ins", 1);
  queue("ins", 1);
  queue("ins", 2);
  size_t failed = 99;
  auto broken = connection_->PipelineCollect(&failed);
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().server_code, "23505");
  EXPECT_EQ(failed, 1u);
  EXPECT_EQ(Ask("SELECT count(*) FROM t"), "0");
}

// 200,000 statements and 60 MB of parameters: far more than both sides' socket buffers, in both directions.
TEST_F(ConnectionTest, PipelineNeverBlocksBothSides) {
  Run("CREATE TEMP TABLE t (a text)");
  const uint32_t types[] = {25};
  ASSERT_TRUE(connection_->Prepare("ins", "INSERT INTO t SELECT '' WHERE length($1) < 0", types));
  ASSERT_TRUE(connection_->PipelineBegin());
  const std::string text(3000, 'x');
  constexpr size_t kStatements = 20000;
  for (size_t i = 0; i < kStatements; ++i) {
    const Parameter parameter{25, text};
    ASSERT_TRUE(connection_->PipelineQueue("ins", {&parameter, 1}));
  }
  auto counts = connection_->PipelineCollect();
  ASSERT_TRUE(counts) << counts.error().ToString();
  EXPECT_EQ(counts->size(), kStatements);
}

TEST_F(ConnectionTest, NullAndEmptyParametersDiffer) {
  Run("CREATE TEMP TABLE t (a text)");
  const uint32_t types[] = {25};
  ASSERT_TRUE(connection_->Prepare("ins", "INSERT INTO t VALUES ($1)", types));
  ASSERT_TRUE(connection_->PipelineBegin());
  const Parameter null{25, std::nullopt};
  const Parameter empty{25, std::string_view()};
  ASSERT_TRUE(connection_->PipelineQueue("ins", {&null, 1}));
  ASSERT_TRUE(connection_->PipelineQueue("ins", {&empty, 1}));
  ASSERT_TRUE(connection_->PipelineCollect());
  EXPECT_EQ(Ask("SELECT count(*) FROM t WHERE a = ''"), "1");
  EXPECT_EQ(Ask("SELECT count(*) FROM t WHERE a IS NULL"), "1");
}

TEST_F(ConnectionTest, CopyAndItsErrors) {
  Run("CREATE TEMP TABLE t (a int)");
  ASSERT_TRUE(connection_->CopyBegin("COPY t FROM STDIN"));
  std::string rows;
  for (int i = 0; i < 500000; ++i) {
    rows += std::to_string(i) + "\n";
  }
  ASSERT_TRUE(connection_->CopyData(rows));
  auto loaded = connection_->CopyEnd();
  ASSERT_TRUE(loaded) << loaded.error().ToString();
  EXPECT_EQ(*loaded, 500000u);

  ASSERT_TRUE(connection_->CopyBegin("COPY t FROM STDIN"));
  ASSERT_TRUE(connection_->CopyData("x\n"));
  auto broken = connection_->CopyEnd();
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().error_class, ErrorClass::kData);
  ASSERT_TRUE(connection_->CopyBegin("COPY t FROM STDIN"));
  connection_->CopyAbort("changed my mind");
  EXPECT_EQ(Ask("SELECT count(*) FROM t"), "500000");
}

TEST_F(ConnectionTest, CancelFromAnotherThread) {
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    connection_->Cancel();
  });
  auto slept = connection_->Execute("SELECT pg_sleep(20)");
  canceller.join();
  ASSERT_FALSE(slept);
  EXPECT_EQ(slept.error().error_class, ErrorClass::kTransient);
  EXPECT_EQ(slept.error().server_code, "57014");
  EXPECT_EQ(Ask("SELECT 1"), "1");
}

TEST_F(ConnectionTest, ALostSessionIsReconnectAndStaysLost) {
  auto other = Connect();
  const std::string kill = fmt::format("SELECT pg_terminate_backend({})", other->backend_pid());
  ASSERT_TRUE(other->Execute("BEGIN"));
  Run(kill);
  auto lost = other->Execute("SELECT 1");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().error_class, ErrorClass::kReconnect);
  auto again = other->Execute("ROLLBACK");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().error_class, ErrorClass::kReconnect);
}

TEST_F(ConnectionTest, ASessionLostDuringCommitIsInDoubt) {
  Run("DROP TABLE IF EXISTS in_doubt; CREATE TABLE in_doubt (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
  // The commit waits in its deferred check for a lock on the key, and is killed there.
  Run("BEGIN; INSERT INTO in_doubt VALUES (1)");
  for (const bool pipelined : {false, true}) {
    auto other = Connect();
    ASSERT_TRUE(other->Execute("BEGIN; INSERT INTO in_doubt VALUES (1)"));
    std::thread killer([&, pid = other->backend_pid()] {
      auto third = Connect();
      for (int i = 0; i < 500; ++i) {
        auto waiting = third->Scalar(
            fmt::format("SELECT 1 FROM pg_stat_activity WHERE pid = {} AND wait_event_type = 'Lock'", pid));
        if (waiting && waiting->has_value()) {
          break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      (void)third->Execute(fmt::format("SELECT pg_terminate_backend({})", pid));
    });
    std::optional<Error> error;
    if (pipelined) {
      ASSERT_TRUE(other->Prepare("commit", "COMMIT", {}));
      ASSERT_TRUE(other->PipelineBegin());
      ASSERT_TRUE(other->PipelineQueue("commit", {}));
      auto done = other->PipelineCollect();
      ASSERT_FALSE(done);
      error = done.error();
    } else {
      auto done = other->Execute(" commit");
      ASSERT_FALSE(done);
      error = done.error();
    }
    killer.join();
    EXPECT_EQ(error->error_class, ErrorClass::kInDoubt) << error->ToString();
    EXPECT_EQ(error->code, "CF1402");
  }
  Run("ROLLBACK; DROP TABLE in_doubt");
}

TEST_F(ConnectionTest, TlsAskedForIsTlsProven) {
  if (Ask("SHOW ssl") != "off") {
    GTEST_SKIP() << "the server speaks TLS";
  }
  options_.tls = TlsMode::kRequired;
  auto connection = Connection::Open(options_);
  ASSERT_FALSE(connection);
  // No waiting makes a server speak TLS.
  EXPECT_EQ(connection.error().error_class, ErrorClass::kConfig);
  EXPECT_EQ(connection.error().code, "CF1407");
}

TEST(ConnectTest, AMissingCertificateIsConfig) {
  ConnectionOptions options;
  options.tls = TlsMode::kVerify;
  options.tls_ca = "/nonexistent/ca.pem";
  EXPECT_EQ(Connection::Open(options).error().code, "CF1407");
}

TEST_F(ConnectionTest, CopyOutGivesRowsAsTheyAreStored) {
  std::vector<std::string> rows;
  const auto take = [&](std::string_view fields) -> Status {
    rows.emplace_back(fields);
    return {};
  };
  ASSERT_TRUE(connection_->CopyOut(
      "SELECT 7::smallint, NULL::text, 'ab' UNION ALL SELECT 8::smallint, 'x', '' ORDER BY 1", take));
  using namespace std::string_literals;
  EXPECT_EQ(rows,
            (std::vector<std::string>{"\0\0\0\2\0\7\xff\xff\xff\xff\0\0\0\2ab"s, "\0\0\0\2\0\b\0\0\0\1x\0\0\0\0"s}));
  rows.clear();
  ASSERT_TRUE(connection_->CopyOut("SELECT 1 WHERE false", take));
  EXPECT_TRUE(rows.empty());
  const Parameter parameter{23, std::string_view("\0\0\0\5", 4)};
  ASSERT_TRUE(connection_->QueryBinary("SELECT n::smallint FROM generate_series(1, $1) n", {&parameter, 1}, take));
  EXPECT_EQ(rows.size(), 5u);
}

TEST_F(ConnectionTest, AReadThatIsRefusedOrFailsLeavesTheConnectionFree) {
  int taken = 0;
  const auto refuse = [&](std::string_view) -> Status {
    return ++taken == 3 ? Status(MakeError(ErrorClass::kData, "CF0", "test", "enough")) : Status{};
  };
  const auto stopped = connection_->CopyOut("SELECT generate_series(1, 1000000)", refuse);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, "CF0");
  EXPECT_EQ(taken, 3);
  taken = 0;
  EXPECT_EQ(connection_->QueryBinary("SELECT generate_series(1, 100000)", {}, refuse).error().code, "CF0");
  const auto failed =
      connection_->CopyOut("SELECT 1 / (3 - n) FROM generate_series(1, 9) n", [](auto) { return Status{}; });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().server_code, "22012");
  EXPECT_FALSE(connection_->QueryBinary("SELECT no_such", {}, [](auto) { return Status{}; }));
  EXPECT_EQ(Ask("SELECT 42"), "42");
}

}  // namespace
}  // namespace crossfade::postgres
