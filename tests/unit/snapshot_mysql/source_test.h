// A throw-away database on a real server, and a snapshot source for it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "db/mysql/catalog.h"
#include "snapshot/mysql/mysql_snapshot.h"
#include "tests/unit/db_mysql/server.h"

namespace crossfade::snapshot {

using mysql::Why;

class SourceTest : public mysql::ServerTest {
 protected:
  void SetUp() override {
    mysql::ServerTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    UseDatabase("crossfade_snapshot");
    options_.database = "crossfade_snapshot";
    root_ = options_;
    source_ = MakeSource();
  }

  std::unique_ptr<MySqlSnapshotSource> MakeSource(std::vector<std::string> tables = {}) {
    MySqlSnapshotOptions options;
    options.connection = options_;
    options.tables = std::move(tables);
    options.lock_wait_s = 1;
    options.lock_attempts = 2;
    return std::make_unique<MySqlSnapshotSource>(options);
  }

  std::unique_ptr<mysql::Connection> Connect() {
    auto opened = mysql::Connection::Open(options_);
    EXPECT_TRUE(opened.has_value()) << Why(opened.error());
    return std::move(*opened);
  }

  TableSchema Schema(const std::string& table) {
    auto schema = mysql::ReadTable(*connection_, options_.database, table);
    EXPECT_TRUE(schema && *schema) << table;
    return schema && *schema ? **schema : TableSchema();
  }

  std::unique_ptr<Reader> OpenReader() {
    auto reader = source_->OpenReader();
    EXPECT_TRUE(reader.has_value()) << Why(reader.error());
    return std::move(*reader);
  }

  // Rows as text, fields joined by '|'.
  static std::vector<std::string> ReadAll(Reader* reader, const TableSchema& table, const ChunkRange& range = {}) {
    std::vector<std::string> rows;
    const Status status = reader->Read(table, range, [&](std::span<const Value> row) -> Status {
      std::string text;
      for (const Value& value : row) {
        text += (text.empty() ? "" : "|") + ToDisplay(value);
      }
      rows.push_back(text);
      return {};
    });
    EXPECT_TRUE(status.has_value()) << Why(status.error());
    return rows;
  }

  // The last number that the server itself gave out: "<uuid>:1-N" before any tag, or "<domain>-<server>-N".
  uint64_t CountTransactions(const Position& position) const {
    const std::string own = mariadb() ? ",0-" : "," + connection_->server().identity + ":";
    const std::string set = "," + position.set;
    const size_t at = set.find(own);
    if (at == std::string::npos) {
      return 0;
    }
    const size_t from = at + own.size();
    const std::string interval = set.substr(from, set.find_first_of(",:", from) - from);
    return std::stoull(interval.substr(interval.rfind('-') + 1));
  }

  mysql::ConnectionOptions root_;
  std::unique_ptr<MySqlSnapshotSource> source_;
};

// Threads that move money between accounts, each transfer one transaction that also notes itself in a ledger.
class Bank {
 public:
  static constexpr int kAccounts = 200;
  static constexpr int64_t kEach = 1000;

  explicit Bank(std::vector<std::unique_ptr<mysql::Connection>> connections) {
    for (auto& connection : connections) {
      tellers_.emplace_back(
          [this, connection = std::move(connection), teller = tellers_.size()](const std::stop_token& stop) {
            uint64_t random = teller * 7919 + 13;
            while (!stop.stop_requested()) {
              random = random * 6364136223846793005ULL + 1442695040888963407ULL;
              Transfer(connection.get(), 1 + (random >> 33) % kAccounts, 1 + (random >> 17) % kAccounts);
            }
          });
    }
  }

  static std::vector<std::string> Setup() {
    std::vector<std::string> statements = {
        "CREATE TABLE account (id INT PRIMARY KEY, balance BIGINT NOT NULL) ENGINE=InnoDB",
        "CREATE TABLE ledger (id BIGINT AUTO_INCREMENT PRIMARY KEY, src INT, dst INT, amount INT) ENGINE=InnoDB"};
    std::string insert = "INSERT INTO account VALUES ";
    for (int id = 1; id <= kAccounts; ++id) {
      insert += (id > 1 ? "," : "") + std::string("(") + std::to_string(id) + "," + std::to_string(kEach) + ")";
    }
    statements.push_back(insert);
    return statements;
  }

  uint64_t transfers() const { return transfers_; }

 private:
  void Transfer(mysql::Connection* connection, uint64_t from, uint64_t to) {
    const std::string source = std::to_string(from);
    const std::string destination = std::to_string(to);
    const bool done =
        connection->Execute("START TRANSACTION") &&
        connection->Execute("INSERT INTO ledger (src, dst, amount) VALUES (" + source + "," + destination + ",1)") &&
        connection->Execute("UPDATE account SET balance = balance - 1 WHERE id = " + source) &&
        connection->Execute("UPDATE account SET balance = balance + 1 WHERE id = " + destination) &&
        connection->Execute("COMMIT");
    if (done) {
      ++transfers_;
    } else {
      (void)connection->Execute("ROLLBACK");
    }
  }

  std::atomic<uint64_t> transfers_{0};
  std::vector<std::jthread> tellers_;
};

}  // namespace crossfade::snapshot
