// A real server's log.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>
#include <thread>
#include <variant>

#include "capture/postgres/postgres_source.h"
#include "db/postgres/head.h"
#include "db/postgres/slot.h"

namespace crossfade::capture {
namespace {

using postgres::Connection;
using std::chrono::milliseconds;

constexpr const char* kName = "crossfade_source";
constexpr const char* kDatabase = "capture_postgres";

template <typename T>
std::string CodeOf(const Result<T>& result) {
  return result ? "" : result.error().code;
}

Column OfType(const std::string& name, ColumnType type, const std::string& source_type) {
  Column column;
  column.name = name;
  column.type = type;
  column.source_type = source_type;
  column.bits = 32;
  column.of_postgres = true;
  return column;
}

TableSchema Table(const std::string& name, const std::vector<std::string>& texts) {
  TableSchema table;
  table.database = "public";
  table.name = name;
  table.columns.push_back(OfType("id", ColumnType::kInt, "integer"));
  table.primary_key = {KeyPart{0, 0, false}};
  for (const std::string& text : texts) {
    table.columns.push_back(OfType(text, ColumnType::kText, "text"));
  }
  return table;
}

std::string Shown(std::span<const Value> image) {
  std::string out;
  for (const Value& value : image) {
    out += (out.empty() ? "" : ",") + (value.is_absent() ? "-" : ToDisplay(value, 20));
  }
  return out;
}

class SourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const text = std::getenv("CROSSFADE_TEST_POSTGRES");
    if (text == nullptr) {
      GTEST_SKIP() << "CROSSFADE_TEST_POSTGRES is not set";
    }
    connection_.tls = postgres::TlsMode::kOff;
    connection_.database = "postgres";
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      const std::string key = word.substr(0, word.find('='));
      const std::string value = word.substr(word.find('=') + 1);
      (key == "host" ? connection_.host : key == "user" ? connection_.user : ignored_) = value;
      if (key == "port") {
        connection_.port = static_cast<uint16_t>(std::stoi(value));
      }
    }
    admin_ = Connect();
    DropAll();
    ASSERT_TRUE(admin_->Execute(std::string("CREATE DATABASE ") + kDatabase));
    connection_.database = kDatabase;
    sql_ = Connect();
    Run("CREATE TABLE t (id int PRIMARY KEY, x text, big text)");
    Run("ALTER TABLE t ALTER COLUMN big SET STORAGE EXTERNAL");
    Run("CREATE TABLE parent (id int PRIMARY KEY, x text)");
    Run("CREATE TABLE child (id int PRIMARY KEY, pid int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE)");
    tables_ = {Table("t", {"x", "big"}), Table("parent", {"x"}), Table("child", {})};
    tables_[2].columns.push_back(OfType("pid", ColumnType::kInt, "integer"));
  }
  void TearDown() override {
    source_.reset();
    if (admin_) {
      DropAll();
    }
  }
  void DropAll() {
    sql_.reset();
    for (int i = 0; i < 100 && !postgres::DropSlot(admin_.get(), kName); ++i) {
      std::this_thread::sleep_for(milliseconds(50));
    }
    EXPECT_TRUE(admin_->Execute(fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", kDatabase)));
  }
  std::unique_ptr<Connection> Connect() {
    auto opened = Connection::Open(connection_);
    EXPECT_TRUE(opened) << opened.error().ToString();
    return opened ? std::move(*opened) : nullptr;
  }
  void Run(const std::string& sql) {
    const auto done = sql_->Execute(sql);
    EXPECT_TRUE(done) << sql << ": " << done.error().ToString();
  }
  std::string Ask(const std::string& sql) { return sql_->Scalar(sql)->value_or("NULL"); }

  // Publication and slot, and where they begin.
  void Begin() {
    std::vector<std::string> names;
    for (const TableSchema& table : tables_) {
      names.push_back(table.name);
    }
    ASSERT_TRUE(postgres::EnsurePublication(sql_.get(), kName, "public", names));
    const auto lsn = postgres::EnsureSlot(sql_.get(), kName, milliseconds(20'000));
    ASSERT_TRUE(lsn) << lsn.error().ToString();
    from_ = {.server = postgres::ReadServerName(sql_.get())->ToString(), .offset = *lsn};
  }
  PostgresSourceOptions Options() {
    PostgresSourceOptions options;
    options.connection = connection_;
    options.tables = tables_;
    options.slot = options.publication = kName;
    return options;
  }
  Status Open() {
    source_ = std::make_unique<PostgresSource>(Options());
    Status opened;
    for (int i = 0; i < 100; ++i) {  // the last reader of the slot may not be gone yet
      opened = source_->Open(from_);
      if (opened || opened.error().error_class != ErrorClass::kTransient) {
        break;
      }
      std::this_thread::sleep_for(milliseconds(50));
    }
    return opened;
  }

  // Events up to a heartbeat or commit at or behind what the server has acknowledged by now; an error's code.
  std::string Follow() {
    const auto head = source_->Head();
    EXPECT_TRUE(head) << head.error().ToString();
    std::string out;
    Position at;
    const Deadline deadline = After(milliseconds(60'000));
    while (head && at.offset < head->offset && std::chrono::steady_clock::now() < deadline) {
      const auto event = source_->Next(After(milliseconds(1000)));
      if (!event) {
        last_error_ = event.error();
        return out + event.error().code;
      }
      if (!*event) {
        continue;
      }
      if (const auto* beat = std::get_if<Heartbeat>(&**event)) {
        at = beat->position;
        continue;
      }
      out += Describe(**event) + "\n";
      if (const auto* end = std::get_if<TransactionEnd>(&**event)) {
        at = end->position;
        ends_.push_back(*end);
      }
    }
    EXPECT_GE(at.offset, head ? head->offset : 1);
    from_ = at;
    return out;
  }
  static std::string Describe(const Event& event) {
    if (const auto* change = std::get_if<Change>(&event)) {
      constexpr const char* kNames[] = {"?", "insert", "update", "delete", "truncate"};
      return fmt::format("{} {} {}>{}", kNames[static_cast<int>(change->kind)], change->table->name,
                         Shown(change->before), Shown(change->after));
    }
    if (const auto* end = std::get_if<TransactionEnd>(&event)) {
      return end->outcome == Outcome::kCommit ? "commit" : "rollback";
    }
    const auto* schema = std::get_if<SchemaChange>(&event);
    return schema != nullptr ? schema->statement : "begin";
  }

  postgres::ConnectionOptions connection_;
  std::string ignored_;
  std::unique_ptr<Connection> admin_;
  std::unique_ptr<Connection> sql_;
  std::vector<TableSchema> tables_;
  Position from_;
  std::unique_ptr<PostgresSource> source_;
  std::vector<TransactionEnd> ends_;
  Error last_error_;
};

TEST_F(SourceTest, FollowsTransactionsInTheOrderOfTheirCommits) {
  Begin();
  const auto other = Connect();
  ASSERT_TRUE(other->Execute("BEGIN; INSERT INTO t VALUES (1, 'first to write', NULL)"));
  Run("BEGIN; INSERT INTO t VALUES (2, 'first to commit', ''); SAVEPOINT s; INSERT INTO t VALUES (3); ROLLBACK TO s;"
      " UPDATE t SET x = 'y' WHERE id = 2; COMMIT");
  ASSERT_TRUE(other->Execute("COMMIT"));
  Run("BEGIN; INSERT INTO t VALUES (9); ROLLBACK");
  Run("UPDATE t SET id = 7 WHERE id = 1; DELETE FROM t WHERE id = 2");
  ASSERT_TRUE(Open());
  EXPECT_EQ(Follow(),
            "begin\ninsert t >2,'first to commit',''\nupdate t 2,-,->2,'y',''\ncommit\n"
            "begin\ninsert t >1,'first to write',NULL\ncommit\n"
            "begin\nupdate t 1,-,->7,'first to write',NULL\ndelete t 2,-,->\ncommit\n");
  ASSERT_EQ(ends_.size(), 3U);
  const std::string xid = Ask("SELECT pg_snapshot_xmax(pg_current_snapshot())");
  for (const TransactionEnd& end : ends_) {
    EXPECT_LT(std::stoull(end.position.last), std::stoull(xid));
    EXPECT_GT(end.commit_time_us, 0);
    EXPECT_LT(std::abs(end.arrival_time_us - end.commit_time_us), int64_t{300'000'000});
  }
  EXPECT_GT(std::stoull(ends_[0].position.last), std::stoull(ends_[1].position.last));
}

// A position is the exact border: what is behind it comes, and comes once.
TEST_F(SourceTest, GoesOnExactlyBehindEachPosition) {
  Begin();
  for (int i = 1; i <= 4; ++i) {
    Run(fmt::format("INSERT INTO t VALUES ({})", i));
  }
  const Position begin = from_;
  ASSERT_TRUE(Open());
  ASSERT_NE(Follow(), "");
  const std::vector<TransactionEnd> ends = ends_;
  const Position idle = from_;
  ASSERT_EQ(ends.size(), 4U);
  const auto count = [&](const Position& from) {
    source_.reset();
    from_ = from;
    ends_.clear();
    EXPECT_TRUE(Open());
    (void)Follow();
    return ends_.size();
  };
  EXPECT_EQ(count(begin), 4U);
  EXPECT_EQ(count(ends[0].position), 3U);
  EXPECT_EQ(count(ends[2].position), 1U);
  EXPECT_EQ(count(ends[3].position), 0U);
  EXPECT_EQ(count(idle), 0U);
  // Confirmed, the server goes back no further.
  ASSERT_TRUE(Open());
  ASSERT_TRUE(source_->Confirm(ends[1].position));
  for (int i = 0; i < 100 && (*postgres::ReadSlot(sql_.get(), kName))->confirmed < ends[1].position.offset; ++i) {
    (void)source_->Next(After(milliseconds(100)));
  }
  EXPECT_EQ((*postgres::ReadSlot(sql_.get(), kName))->confirmed, ends[1].position.offset);
  EXPECT_EQ(count(ends[1].position), 2U);
  source_.reset();
  from_ = ends[0].position;
  const Status late = Open();
  EXPECT_EQ(CodeOf(late), "CF1203");
  EXPECT_EQ(late.error().error_class, ErrorClass::kConfig);
}

TEST_F(SourceTest, LeavesOutWhatTheLogDoesNotHold) {
  Run("INSERT INTO t SELECT 1, 'a', string_agg(md5(i::text), '') FROM generate_series(1, 300) i");
  Begin();
  Run("UPDATE t SET x = 'b'");
  Run("UPDATE t SET id = 2");
  Run("ALTER TABLE t REPLICA IDENTITY FULL");
  Run("UPDATE t SET x = 'c'");
  Run("DELETE FROM t");
  ASSERT_TRUE(Open());
  const std::string big = "'c4ca4238a0b923820dcc'... (9600 bytes)";
  const std::string seen = Follow();
  EXPECT_NE(seen.find("update t 1,-,->1,'b',-\n"), std::string::npos) << seen;
  EXPECT_NE(seen.find("update t 1,-,->2,'b',-\n"), std::string::npos) << seen;
  EXPECT_NE(seen.find("update t 2,'b','c4ca"), std::string::npos) << seen;
  EXPECT_NE(seen.find(">2,'c','c4ca"), std::string::npos) << seen;
  EXPECT_NE(seen.find("delete t 2,'c','c4ca"), std::string::npos) << seen;
}

// Hazard H10: the children's changes are in the log, behind their parent's.
TEST_F(SourceTest, CascadesAreChangesOfTheirOwn) {
  Run("INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (10, 1), (20, 2)");
  Begin();
  Run("DELETE FROM parent WHERE id = 1; UPDATE parent SET id = 3 WHERE id = 2");
  ASSERT_TRUE(Open());
  EXPECT_EQ(
      Follow(),
      "begin\ndelete parent 1,->\ndelete child 10,->\nupdate parent 2,->3,NULL\nupdate child 20,->20,3\ncommit\n");
}

TEST_F(SourceTest, ATruncateNamesEveryTable) {
  Begin();
  Run("TRUNCATE parent CASCADE");
  ASSERT_TRUE(Open());
  const std::string seen = Follow();
  EXPECT_EQ(seen, "begin\ntruncate parent >\ntruncate child >\ncommit\n");
}

TEST_F(SourceTest, APreparedTransactionCountsWhenItIsCommitted) {
  Begin();
  Run("BEGIN; INSERT INTO t VALUES (1, 'prepared'); PREPARE TRANSACTION 'one'");
  Run("INSERT INTO t VALUES (2, 'between')");
  Run("BEGIN; INSERT INTO t VALUES (3, 'never'); PREPARE TRANSACTION 'two'");
  Run("COMMIT PREPARED 'one'");
  Run("ROLLBACK PREPARED 'two'");
  ASSERT_TRUE(Open());
  EXPECT_EQ(Follow(), "begin\ninsert t >2,'between',NULL\ncommit\nbegin\ninsert t >1,'prepared',NULL\ncommit\n");
}

TEST_F(SourceTest, ALargeTransactionComesWhole) {
  Begin();
  Run("INSERT INTO t SELECT i, repeat('x', 1000), NULL FROM generate_series(1, 20000) i");
  ASSERT_TRUE(Open());
  size_t rows = 0;
  for (const Deadline deadline = After(milliseconds(100'000)); std::chrono::steady_clock::now() < deadline;) {
    const auto event = source_->Next(deadline);
    ASSERT_TRUE(event && *event);
    rows += std::holds_alternative<Change>(**event) ? 1 : 0;
    if (std::holds_alternative<TransactionEnd>(**event)) {
      break;
    }
  }
  EXPECT_EQ(rows, 20'000U);
}

TEST_F(SourceTest, ASchemaChangeStandsBeforeTheRowsOfItsShape) {
  Begin();
  Run("INSERT INTO t VALUES (1)");
  Run("ALTER TABLE t ADD COLUMN more int DEFAULT 5");
  Run("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(Open());
  const std::string seen = Follow();
  EXPECT_EQ(seen,
            "begin\ninsert t >1,NULL,NULL\ncommit\nALTER TABLE t: its columns were (id integer, x text, big text) and "
            "are (id integer, x text, big text, more integer)\nCF1922");
}

TEST_F(SourceTest, ARenamedTableIsNotLostSilently) {
  Begin();
  ASSERT_TRUE(Open());
  EXPECT_EQ(Follow(), "");
  Run("ALTER TABLE t RENAME TO other");
  Run("INSERT INTO other VALUES (1)");
  EXPECT_EQ(Follow(), "ALTER TABLE t: it is public.other now\nCF1922");
  source_.reset();
  const Status renamed = Open();
  EXPECT_EQ(CodeOf(renamed), "CF1203");
  EXPECT_NE(renamed.error().found.find("public.t"), std::string::npos);
}

// Hazard M10: a commit with synchronous_commit = off is acknowledged before it is on the disk.
TEST_F(SourceTest, TheHeadIsBehindEveryAcknowledgedCommitAndIsReachedAtRest) {
  Begin();
  ASSERT_TRUE(Open());
  for (int i = 1; i <= 5; ++i) {
    Run(fmt::format("SET synchronous_commit = off; INSERT INTO t VALUES ({})", i));
    EXPECT_NE(Follow().find(fmt::format("insert t >{},", i)), std::string::npos);
  }
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(Follow(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, milliseconds(10'000));
}

// At rest the slot goes on, though nothing is written to what we capture.
TEST_F(SourceTest, AnIdleSourcesSlotMoves) {
  Begin();
  ASSERT_TRUE(Open());
  Run("CREATE TABLE elsewhere (id int); INSERT INTO elsewhere SELECT generate_series(1, 1000)");
  EXPECT_EQ(Follow(), "");
  EXPECT_GE(from_.offset, *postgres::ParseLsn(Ask("SELECT confirmed_flush_lsn FROM pg_replication_slots")));
  ASSERT_TRUE(source_->Confirm(from_));
  for (int i = 0; i < 100 && (*postgres::ReadSlot(sql_.get(), kName))->confirmed < from_.offset; ++i) {
    (void)source_->Next(After(milliseconds(100)));
  }
  EXPECT_GE((*postgres::ReadSlot(sql_.get(), kName))->confirmed, from_.offset);
}

TEST_F(SourceTest, APositionThatIsNotOfThisLogIsRefused) {
  Begin();
  const Position good = from_;
  const auto opened = [&](const Position& from) {
    from_ = from;
    return CodeOf(Open());
  };
  EXPECT_EQ(opened({}), "CF1201");
  EXPECT_EQ(opened({.server = good.server, .set = "1:1:", .offset = good.offset}), "CF1201");
  EXPECT_EQ(opened({.server = "123/1", .offset = good.offset}), "CF1201");
  Position position = good;
  position.offset += uint64_t{1} << 32;
  EXPECT_EQ(opened(position), "CF1204");  // the server's log is shorter than it was
  position = good;
  position.server.back() = '2';
  EXPECT_EQ(opened(position), "CF1204");  // its timeline went back
  EXPECT_EQ(opened(good), "");
}

TEST_F(SourceTest, ASlotOrPublicationThatIsGoneIsSaid) {
  Begin();
  Run("ALTER PUBLICATION crossfade_source DROP TABLE child");
  EXPECT_EQ(CodeOf(Open()), "CF1203");
  Run("DROP PUBLICATION crossfade_source");
  EXPECT_EQ(CodeOf(Open()), "CF1203");
  ASSERT_TRUE(postgres::DropSlot(admin_.get(), kName));
  EXPECT_EQ(CodeOf(Open()), "CF1203");
  Run("SELECT pg_create_logical_replication_slot('crossfade_source', 'test_decoding')");
  EXPECT_EQ(CodeOf(Open()), "CF1201");
}

TEST_F(SourceTest, ARoleWithoutTheRightIsTold) {
  Begin();
  Run("DROP ROLE IF EXISTS unready; CREATE ROLE unready LOGIN");
  connection_.user = "unready";
  const Status opened = Open();
  EXPECT_FALSE(opened);
  EXPECT_EQ(CodeOf(opened), "CF1202") << opened.error().ToString();
  connection_.user = "postgres";
  Run("ALTER ROLE unready REPLICATION");
  connection_.user = "unready";
  EXPECT_TRUE(Open());
  connection_.user = "postgres";
  source_.reset();
  Run("DROP ROLE unready");
}

// Far more than lies between the server and us when the session ends.
TEST_F(SourceTest, WhatWasBegunIsRolledBackByTheNextOpen) {
  Begin();
  Run("INSERT INTO t SELECT i, repeat('x', 2000) FROM generate_series(1, 20000) i");
  ASSERT_TRUE(Open());
  const auto next = [&] {
    for (;;) {
      const auto event = source_->Next(After(milliseconds(60'000)));
      if (!event || (*event && !std::holds_alternative<Heartbeat>(**event))) {
        return event ? Describe(**event) : event.error().code;
      }
    }
  };
  EXPECT_EQ(next(), "begin");
  EXPECT_EQ(next().substr(0, 12), "insert t >1,");
  ASSERT_TRUE(admin_->Execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication"));
  std::string last;
  for (int i = 0; i < 20'000 && !last.starts_with("CF"); ++i) {
    last = next();
  }
  EXPECT_EQ(last, "CF1401");
  source_->Close();
  for (int i = 0; i < 100 && !source_->Open(from_); ++i) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_EQ(next(), "rollback");
  EXPECT_EQ(next(), "begin");
  EXPECT_EQ(next().substr(0, 12), "insert t >1,");
}

TEST_F(SourceTest, ANextUnderWayIsInterrupted) {
  Begin();
  ASSERT_TRUE(Open());
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(200));
    source_->Interrupt();
  });
  Result<std::optional<Event>> event;
  while (event) {
    event = source_->Next(After(milliseconds(30'000)));
  }
  other.join();
  EXPECT_EQ(event.error().code, "CF1200");
  EXPECT_EQ(event.error().error_class, ErrorClass::kTransient);
  EXPECT_EQ(CodeOf(source_->Open(from_)), "CF1200");
  EXPECT_EQ(CodeOf(source_->Head()), "CF1200");
}

TEST_F(SourceTest, AServerThatIsSilentIsTakenForDead) {
  Begin();
  PostgresSourceOptions options = Options();
  options.silence_ms = 300;
  options.heartbeat_ms = 60'000;
  source_ = std::make_unique<PostgresSource>(options);
  ASSERT_TRUE(source_->Open(from_));
  Result<std::optional<Event>> event;
  const Deadline deadline = After(milliseconds(60'000));
  while (event && std::chrono::steady_clock::now() < deadline) {
    event = source_->Next(deadline);
  }
  EXPECT_EQ(CodeOf(event), "CF1206");
  EXPECT_EQ(event.error().error_class, ErrorClass::kReconnect);
}

}  // namespace
}  // namespace crossfade::capture
