// Reads MariaDB and MySQL as of one state.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "db/mysql/connection.h"
#include "snapshot/reader.h"

namespace crossfade::snapshot {

struct MySqlSnapshotOptions {
  mysql::ConnectionOptions connection;  // with its database
  std::vector<std::string> tables;      // of the migration: locked where the account may not lock the server
  // Writers on the source wait behind us that long, at most, for each attempt; the first ones give up earlier, since
  // what they wait for may be waiting for a writer behind them.
  uint32_t lock_wait_s = 2;
  uint32_t lock_attempts = 7;  // with pauses of growing length between them
};

// How the lock of the last consistent opening went.
struct LockReport {
  std::string statement;  // "FLUSH TABLES WITH READ LOCK", "LOCK TABLES ... READ"; empty: not locked
  uint32_t attempts = 0;
  std::chrono::microseconds waited{0};  // for the attempt that got it
  std::chrono::microseconds held{0};
};

// Error codes of this folder (CF16xx):
//   CF1601 no right to lock (Config)                CF1610 a table changed its shape (Data)
//   CF1602 lock not had in time (Transient)         CF1611 a table's engine has no snapshots (Config)
//   CF1603 a position cannot be told (Config)       CF1612 malformed packet (Corrupt)
//   CF1604 readers disagree (Transient)             CF1613 invalid text (Data)
//   CF1605 source did not hold still (Transient)
class MySqlSnapshotSource : public SnapshotSource {
 public:
  explicit MySqlSnapshotSource(MySqlSnapshotOptions options);
  ~MySqlSnapshotSource() override;

  Result<ConsistentReaders> OpenConsistent(uint32_t count) override;
  Result<std::unique_ptr<Reader>> OpenReader() override;
  Result<std::optional<KeySpan>> ReadKeySpan(const TableSchema& table) override;

  LockReport last_lock() const;

 private:
  Result<std::optional<int64_t>> ReadKeyEnd(const TableSchema& table, bool smallest);

  const MySqlSnapshotOptions options_;
  mutable std::mutex mutex_;
  std::unique_ptr<mysql::Connection> connection_;  // mutex_; for key spans
  LockReport last_lock_;                           // mutex_
};

}  // namespace crossfade::snapshot
