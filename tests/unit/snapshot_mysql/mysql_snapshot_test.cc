#include "snapshot/mysql/mysql_snapshot.h"

#include <chrono>
#include <cstdlib>
#include <numeric>

#include "tests/unit/snapshot_mysql/source_test.h"

namespace crossfade::snapshot {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

class SnapshotTest : public SourceTest {
 protected:
  std::unique_ptr<Bank> OpenBank(int tellers) {
    std::vector<std::unique_ptr<mysql::Connection>> connections;
    for (int i = 0; i < tellers; ++i) {
      connections.push_back(Connect());
    }
    return std::make_unique<Bank>(std::move(connections));
  }

  // Balances by account, and transfers by ledger, as `read` gives them.
  struct Books {
    std::map<int64_t, int64_t> balances;
    std::map<int64_t, int64_t> moved;
    uint64_t transfers = 0;

    Reader::RowSink Accounts() {
      return [this](std::span<const Value> row) -> Status {
        EXPECT_TRUE(balances.emplace(row[0].i, row[1].i).second) << "read twice: " << row[0].i;
        return {};
      };
    }
    Reader::RowSink Ledger() {
      return [this](std::span<const Value> row) -> Status {
        moved[row[1].i] -= row[3].i;
        moved[row[2].i] += row[3].i;
        ++transfers;
        return {};
      };
    }
    void ExpectOneState() {
      ASSERT_EQ(balances.size(), static_cast<size_t>(Bank::kAccounts));
      int64_t sum = 0;
      for (const auto& [id, balance] : balances) {
        sum += balance;
        EXPECT_EQ(balance, Bank::kEach + moved[id]) << "account " << id;
      }
      EXPECT_EQ(sum, Bank::kAccounts * Bank::kEach);
    }
  };

  void SetUpBank() {
    for (const std::string& statement : Bank::Setup()) {
      Do(statement);
    }
    CountBefore();
  }
  void CountBefore() {
    const auto head = source_->OpenConsistent(1);
    ASSERT_TRUE(head.has_value()) << Why(head.error());
    before_ = CountTransactions(head->position);
  }

  void MakeReaderAccount() {
    Do("DROP USER IF EXISTS crossfade_reader");
    Do("CREATE USER crossfade_reader IDENTIFIED BY 'pw'");
    Do("GRANT REPLICATION CLIENT ON *.* TO crossfade_reader");
    Do("GRANT SELECT ON crossfade_snapshot.* TO crossfade_reader");
  }
  void UseReaderAccount() {
    options_.user = "crossfade_reader";
    options_.password = "pw";
    // MySQL's login over a line in clear needs the server's key.
    options_.tls = mariadb() ? mysql::TlsMode::kOff : mysql::TlsMode::kRequired;
    source_ = MakeSource({"account", "ledger"});
  }
  void UseRoot() {
    options_.user = root_.user;
    options_.password = root_.password;
    options_.tls = root_.tls;
    source_ = MakeSource();
  }

  // Each one that is had counts exactly what it shows, while the bank works.
  void ExpectExactSnapshots(int tellers, int rounds, bool as_reader = false) {
    const TableSchema ledger = Schema("ledger");
    auto bank = OpenBank(tellers);
    if (as_reader) {
      UseReaderAccount();
    }
    int exact = 0;
    for (int round = 0; round < rounds; ++round) {
      const auto reader = OpenReader();
      const auto position = reader->OpenExactSnapshot();
      if (!position) {
        ASSERT_EQ(position.error().code, "CF1605") << Why(position.error());
        ASSERT_FALSE(mariadb());
        continue;
      }
      ++exact;
      Books books;
      ASSERT_OK(reader->Read(ledger, {}, books.Ledger()));
      EXPECT_EQ(CountTransactions(*position) - before_, books.transfers);
    }
    RecordProperty("exact", exact);
    bank.reset();
    const auto reader = OpenReader();
    ASSERT_OK(reader->OpenExactSnapshot());
    UseRoot();
  }

  uint64_t before_ = 0;
};

TEST_P(SnapshotTest, FourReadersSeeOneStateWhoseTransactionsThePositionCounts) {
  SetUpBank();
  const TableSchema account = Schema("account");
  const TableSchema ledger = Schema("ledger");
  const auto bank = OpenBank(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(milliseconds(30));
    auto opened = source_->OpenConsistent(4);
    ASSERT_TRUE(opened.has_value()) << Why(opened.error());
    std::this_thread::sleep_for(milliseconds(30));  // so that readers that are not in their snapshots would drift
    Books books;
    for (int i = 0; i < 3; ++i) {
      const ChunkRange range{i == 0 ? std::nullopt : std::optional<int64_t>(i * 70),
                             i == 2 ? std::nullopt : std::optional<int64_t>((i + 1) * 70)};
      ASSERT_OK(opened->readers[static_cast<size_t>(i)]->Read(account, range, books.Accounts()));
    }
    ASSERT_OK(opened->readers[3]->Read(ledger, {}, books.Ledger()));
    books.ExpectOneState();
    EXPECT_EQ(CountTransactions(opened->position) - before_, books.transfers);
    EXPECT_FALSE(opened->position.server.empty());
    const LockReport report = source_->last_lock();
    EXPECT_EQ(report.statement, "FLUSH TABLES WITH READ LOCK");
    EXPECT_LT(report.held, milliseconds(500));
  }
  EXPECT_GT(bank->transfers(), 20U);
}

TEST_P(SnapshotTest, AChunksWindowHoldsWhatItsSnapshotSees) {
  SetUpBank();
  const TableSchema account = Schema("account");
  const TableSchema ledger = Schema("ledger");
  const auto bank = OpenBank(3);
  const auto reader = OpenReader();
  for (int round = 0; round < 20; ++round) {
    const auto window = reader->OpenSnapshot();
    ASSERT_TRUE(window.has_value()) << Why(window.error());
    Books books;
    ASSERT_OK(reader->Read(account, {}, books.Accounts()));
    ASSERT_OK(reader->Read(ledger, {}, books.Ledger()));
    books.ExpectOneState();
    EXPECT_TRUE(window->low.set.empty() || CountTransactions(window->low) - before_ <= books.transfers);
    // Where the account may not ask for the set that belongs to the log's end, there is none.
    EXPECT_TRUE(window->high.set.empty() || CountTransactions(window->high) - before_ >= books.transfers);
    EXPECT_FALSE(window->high.file.empty());
    if (mariadb()) {
      EXPECT_EQ(window->low, window->high);
    } else {
      EXPECT_TRUE(window->low.file.empty()) << "the log's end is never a low";
    }
  }
}

TEST_P(SnapshotTest, AnExactSnapshotHasOnePosition) {
  SetUpBank();
  ExpectExactSnapshots(3, 10);
}

// MySQL then has to wait for a moment in which nothing is committed.
TEST_P(SnapshotTest, AnExactSnapshotNeedsNoSpecialRight) {
  SetUpBank();
  MakeReaderAccount();
  CountBefore();
  UseReaderAccount();
  const auto reader = OpenReader();
  ASSERT_OK(reader->OpenExactSnapshot());
  UseRoot();
  ExpectExactSnapshots(1, 2, /*as_reader=*/true);
  Do("DROP USER crossfade_reader");
}

TEST_P(SnapshotTest, WithoutTheRightToLockTheServerTheTablesAreLocked) {
  SetUpBank();
  MakeReaderAccount();
  UseReaderAccount();
  const auto refused = source_->OpenConsistent(2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "CF1601") << Why(refused.error());
  EXPECT_EQ(refused.error().error_class, ErrorClass::kConfig);
  EXPECT_NE(refused.error().fix, "");
  const auto without_tables = MakeSource()->OpenConsistent(2);
  ASSERT_FALSE(without_tables);
  EXPECT_EQ(without_tables.error().code, "CF1601");

  Do("GRANT LOCK TABLES ON crossfade_snapshot.* TO crossfade_reader");
  CountBefore();
  UseRoot();
  const TableSchema account = Schema("account");
  const TableSchema ledger = Schema("ledger");
  const auto bank = OpenBank(2);
  UseReaderAccount();
  for (int round = 0; round < 5; ++round) {
    auto opened = source_->OpenConsistent(2);
    ASSERT_TRUE(opened.has_value()) << Why(opened.error());
    EXPECT_EQ(source_->last_lock().statement, "LOCK TABLES ... READ");
    Books books;
    ASSERT_OK(opened->readers[0]->Read(account, {}, books.Accounts()));
    ASSERT_OK(opened->readers[1]->Read(ledger, {}, books.Ledger()));
    books.ExpectOneState();
    EXPECT_EQ(CountTransactions(opened->position) - before_, books.transfers);
  }
  Do("DROP USER crossfade_reader");
}

TEST_P(SnapshotTest, ALockThatCannotBeHadIsGivenUpFast) {
  Do("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB");
  auto holder = Connect();
  ASSERT_OK(holder->Execute("LOCK TABLES t WRITE"));
  const auto start = Clock::now();
  const auto opened = source_->OpenConsistent(1);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "CF1602") << Why(opened.error());
  EXPECT_EQ(opened.error().error_class, ErrorClass::kTransient);
  EXPECT_LT(Clock::now() - start, milliseconds(4500));
  // And nobody is left standing behind us.
  ASSERT_OK(holder->Execute("UNLOCK TABLES"));
  Do("INSERT INTO t VALUES (1)");
  EXPECT_TRUE(source_->OpenConsistent(1).has_value());
}

TEST_P(SnapshotTest, ALongQueryDoesNotHoldEverybodyUp) {
  Do("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB");
  Do("INSERT INTO t VALUES (1)");
  auto slow = Connect();
  std::jthread query([&] { (void)slow->Execute("SELECT SLEEP(3) FROM t"); });
  std::this_thread::sleep_for(milliseconds(200));
  const auto start = Clock::now();
  const auto opened = source_->OpenConsistent(1);  // either got, or given up, before the query is over
  EXPECT_LT(Clock::now() - start, milliseconds(2900));
  if (!opened) {
    EXPECT_EQ(opened.error().code, "CF1602");
  }
  const auto write = Clock::now();
  Do("INSERT INTO t VALUES (2)");
  EXPECT_LT(Clock::now() - write, milliseconds(1000));
}

// A table that is changed after the snapshot must never look empty or different.
TEST_P(SnapshotTest, ChangedTablesAreRefused) {
  const std::vector<std::string> changes = {
      "ALTER TABLE t ADD COLUMN c INT DEFAULT 5",
      "ALTER TABLE t DROP COLUMN b",
      "ALTER TABLE t MODIFY b BIGINT",
      "ALTER TABLE t CHANGE b renamed INT",
      "ALTER TABLE t FORCE",
      "TRUNCATE TABLE t",
      "DROP TABLE t",
      "RENAME TABLE t TO gone",
      "DROP TABLE t; CREATE TABLE t (id INT PRIMARY KEY, b INT) ENGINE=InnoDB",
  };
  for (const std::string& change : changes) {
    for (const bool read_before : {false, true}) {
      SCOPED_TRACE(change + (read_before ? ", read before" : ""));
      Do("DROP TABLE IF EXISTS t, gone");
      Do("CREATE TABLE t (id INT PRIMARY KEY, b INT) ENGINE=InnoDB");
      Do("INSERT INTO t VALUES (1, 1), (2, 2)");
      const TableSchema table = Schema("t");
      const auto reader = OpenReader();
      ASSERT_TRUE(reader->OpenSnapshot().has_value());
      if (read_before) {
        ASSERT_EQ(ReadAll(reader.get(), table).size(), 2U);
      }
      const size_t semicolon = change.find(';');
      const auto start = Clock::now();
      Do(change.substr(0, semicolon));
      if (semicolon != std::string::npos) {
        Do(change.substr(semicolon + 1));
      }
      EXPECT_LT(Clock::now() - start, milliseconds(2000)) << "our snapshot must not hold a schema change up";
      std::vector<std::string> rows;
      const Status status = reader->Read(table, {}, [&](std::span<const Value> row) -> Status {
        rows.push_back(ToDisplay(row[0]));
        return {};
      });
      if (status) {
        EXPECT_EQ(rows.size(), 2U) << "only the old state, whole, may be read";
      } else {
        EXPECT_EQ(status.error().code, "CF1610") << Why(status.error());
        EXPECT_EQ(status.error().error_class, ErrorClass::kData);
        EXPECT_NE(status.error().fix, "");
      }
    }
  }
}

TEST_P(SnapshotTest, ATableThatNoLongerLooksAsPlannedIsRefused) {
  Do("CREATE TABLE t (id INT PRIMARY KEY, b VARCHAR(10)) ENGINE=InnoDB");
  const TableSchema planned = Schema("t");
  for (const std::string change :
       {"ALTER TABLE t ADD COLUMN c INT", "ALTER TABLE t DROP COLUMN c", "ALTER TABLE t MODIFY b VARCHAR(20)"}) {
    Do(change);
    const auto reader = OpenReader();
    ASSERT_TRUE(reader->OpenSnapshot().has_value());
    const Status status = reader->Read(planned, {}, [](std::span<const Value>) -> Status { return {}; });
    if (change.find("DROP") != std::string::npos) {
      EXPECT_TRUE(status.has_value()) << Why(status.error());
    } else {
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().code, "CF1610") << change;
    }
  }
}

TEST_P(SnapshotTest, TablesWithoutSnapshotsAreRefused) {
  Do("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=MyISAM");
  const auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot().has_value());
  const Status status = reader->Read(Schema("t"), {}, [](std::span<const Value>) -> Status { return {}; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, "CF1611");
}

TEST_P(SnapshotTest, TheSinksErrorIsHandedBack) {
  Do("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB");
  Do("INSERT INTO t VALUES (1), (2), (3)");
  const auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot().has_value());
  int rows = 0;
  const Status status = reader->Read(Schema("t"), {}, [&](std::span<const Value>) -> Status {
    ++rows;
    return MakeError(ErrorClass::kData, "CF9999", "test", "no more");
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, "CF9999");
  EXPECT_EQ(rows, 1);
}

TEST_P(SnapshotTest, InterruptEndsAReadFromAnotherThread) {
  Do("CREATE TABLE t (id INT PRIMARY KEY, b INT) ENGINE=InnoDB");
  Do("INSERT INTO t VALUES (1,1)");
  TableSchema table = Schema("t");
  auto locker = Connect();
  ASSERT_OK(locker->Execute("LOCK TABLES t WRITE"));  // the read waits for it
  const auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot().has_value());
  std::jthread interrupter([&] {
    std::this_thread::sleep_for(milliseconds(200));
    reader->Interrupt();
  });
  const auto start = Clock::now();
  const Status status = reader->Read(table, {}, [](std::span<const Value>) -> Status { return {}; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().error_class, ErrorClass::kReconnect) << Why(status.error());
  EXPECT_LT(Clock::now() - start, milliseconds(1200));
}

INSTANTIATE_ON_SERVERS(SnapshotTest);

}  // namespace
}  // namespace crossfade::snapshot
