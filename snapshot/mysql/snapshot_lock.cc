#include "snapshot/mysql/snapshot_lock.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.mysql";
constexpr auto kFirstPause = std::chrono::milliseconds(250);
constexpr std::string_view kServerLock = "FLUSH TABLES WITH READ LOCK";

using Clock = std::chrono::steady_clock;

std::chrono::microseconds Since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
}

bool SaysNotAllowed(const Error& error) {
  return error.server_code == "1227"      // a right on the server is missing
         || error.server_code == "1044"   // on the database
         || error.server_code == "1142"   // on a table
         || error.server_code == "1290";  // an option forbids it
}

bool SaysLockWait(const Error& error) { return error.server_code == "1205" || error.server_code == "1969"; }

std::string TableLock(const MySqlSnapshotOptions& options) {
  std::string sql = "LOCK TABLES ";
  for (const std::string& table : options.tables) {
    sql += fmt::format("{}.{} READ,", mysql::Connection::Identifier(options.connection.database),
                       mysql::Connection::Identifier(table));
  }
  sql.pop_back();
  return sql;
}

tl::unexpected<Error> NotAllowed(const MySqlSnapshotOptions& options, const Error& cause) {
  auto failed = MakeError(ErrorClass::kConfig, "CF1601", kComponent,
                          "the account may lock neither the server nor the migration's tables: {}", cause.message);
  failed.value().object = options.connection.user;
  failed.value().server_code = cause.server_code;
  failed.value().found = "neither RELOAD nor LOCK TABLES";
  failed.value().fix =
      "GRANT RELOAD ON *.* to the account, or GRANT LOCK TABLES on the database; or set snapshot.mode = \"chunked\"";
  return failed;
}

tl::unexpected<Error> NotInTime(const MySqlSnapshotOptions& options, const Error& cause) {
  auto failed = MakeError(ErrorClass::kTransient, "CF1602", kComponent,
                          "the short lock for a consistent copy could not be had: {} attempts of {} s each",
                          options.lock_attempts, options.lock_wait_s);
  failed.value().server_code = cause.server_code;
  failed.value().found = "a long statement, transaction or lock on the source";
  failed.value().fix = "wait for it or end it (SHOW PROCESSLIST), or set snapshot.mode = \"chunked\"";
  return failed;
}

}  // namespace

Result<SnapshotLock> SnapshotLock::Take(const MySqlSnapshotOptions& options) {
  SnapshotLock lock;
  CROSSFADE_ASSIGN(lock.connection_, mysql::Connection::Open(options.connection));
  CROSSFADE_TRY(
      lock.connection_->Execute(fmt::format("SET SESSION lock_wait_timeout = {}", std::max(options.lock_wait_s, 1U))));
  auto pause = kFirstPause;
  for (;;) {
    const Status status = lock.TryOnce(options);
    if (status) {
      return lock;
    }
    if (!SaysLockWait(status.error())) {
      return Fail(status.error());
    }
    spdlog::info("snapshot: lock attempt {} gave up after {} ms", lock.report_.attempts,
                 lock.report_.waited.count() / 1000);
    if (lock.report_.attempts >= options.lock_attempts) {
      return NotInTime(options, status.error());
    }
    // Those who waited behind our attempt go first.
    std::this_thread::sleep_for(pause);
    pause *= 2;
  }
}

Status SnapshotLock::TryOnce(const MySqlSnapshotOptions& options) {
  ++report_.attempts;
  const Clock::time_point start = Clock::now();
  Status status;
  if (whole_server_) {
    report_.statement = kServerLock;
    status = connection_->Execute(kServerLock);
    if (!status && SaysNotAllowed(status.error())) {
      if (options.tables.empty()) {
        return NotAllowed(options, status.error());
      }
      whole_server_ = false;
    }
  }
  if (!whole_server_) {
    report_.statement = "LOCK TABLES ... READ";
    status = connection_->Execute(TableLock(options));
    if (!status && SaysNotAllowed(status.error())) {
      return NotAllowed(options, status.error());
    }
  }
  report_.waited = Since(start);
  taken_ = Clock::now();
  return status;
}

Result<LockReport> SnapshotLock::Release() {
  CROSSFADE_TRY(connection_->Execute("UNLOCK TABLES"));
  report_.held = Since(taken_);
  connection_.reset();
  return report_;
}

}  // namespace crossfade::snapshot
