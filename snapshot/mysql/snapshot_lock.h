// The short lock under which the position of a state is read.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "db/mysql/connection.h"
#include "snapshot/mysql/mysql_snapshot.h"

namespace crossfade::snapshot {

// No transaction that touches the migration's tables commits while it is held.
class SnapshotLock {
 public:
  // FLUSH TABLES WITH READ LOCK, or where that is not allowed LOCK TABLES ... READ.
  // Config CF1601: neither is allowed. Transient CF1602: not within the time limit; nothing is held then.
  static Result<SnapshotLock> Take(const MySqlSnapshotOptions& options);

  // Everybody stands still, not only the migration's tables.
  bool whole_server() const { return whole_server_; }
  mysql::Connection& connection() { return *connection_; }
  // Ends it. Dropping the object, and with it the connection, ends it too.
  Result<LockReport> Release();

 private:
  Status Open(const MySqlSnapshotOptions& options);
  Status TryOnce(const MySqlSnapshotOptions& options);
  Status ExecuteWithin(const MySqlSnapshotOptions& options, const std::string& sql);

  std::unique_ptr<mysql::Connection> connection_;
  std::chrono::steady_clock::time_point taken_;
  LockReport report_;
  bool whole_server_ = true;
};

}  // namespace crossfade::snapshot
