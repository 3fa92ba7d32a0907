#include "snapshot/mysql/snapshot_lock.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.mysql";
constexpr auto kFirstPause = std::chrono::milliseconds(250);
constexpr auto kLongestPause = std::chrono::milliseconds(2000);
constexpr auto kFirstWait = std::chrono::milliseconds(100);
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

bool SaysLockWait(const Error& error) {
  return error.server_code == "1205" || error.server_code == "1969"  // the session's own limit
         || error.server_code == "1317";                             // interrupted by us
}

// MySQL has marked all tables as to be opened again and waits for a long query. Others will wait for that query whether
// we give up or not.
bool WaitsForQuery(mysql::Connection* other, uint64_t id) {
  const auto rows = other->Rows("SHOW PROCESSLIST");
  return rows && std::any_of(rows->begin(), rows->end(), [&](const auto& row) {
           return row.size() > 6 && row[0] == std::to_string(id) && row[6] == "Waiting for table flush";
         });
}

// Doubled with each attempt, up to the limit that the session has anyway.
std::chrono::milliseconds WaitOf(uint32_t attempt, uint32_t limit_s) {
  const auto limit = std::chrono::milliseconds(std::chrono::seconds(std::max(limit_s, 1U)));
  return std::min(limit, kFirstWait * (1U << std::min(attempt - 1, 10U)));
}

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
                          "the short lock for a consistent copy could not be had: {} attempts of up to {} s",
                          options.lock_attempts, options.lock_wait_s);
  failed.value().server_code = cause.server_code;
  failed.value().found = "a long statement, transaction or lock on the source";
  failed.value().fix = "wait for it or end it (SHOW PROCESSLIST), or set snapshot.mode = \"chunked\"";
  return failed;
}

}  // namespace

Result<SnapshotLock> SnapshotLock::Take(const MySqlSnapshotOptions& options) {
  SnapshotLock lock;
  CROSSFADE_TRY(lock.Open(options));
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
    pause = std::min(pause * 2, kLongestPause);
    // A new session: an interruption that came late must not meet the next attempt.
    CROSSFADE_TRY(lock.Open(options));
  }
}

Status SnapshotLock::Open(const MySqlSnapshotOptions& options) {
  CROSSFADE_ASSIGN(connection_, mysql::Connection::Open(options.connection));
  return connection_->Execute(fmt::format("SET SESSION lock_wait_timeout = {}", std::max(options.lock_wait_s, 1U)));
}

// The session's limit has whole seconds. Another session ends the statement earlier; where it cannot, that limit holds.
Status SnapshotLock::ExecuteWithin(const MySqlSnapshotOptions& options, const std::string& sql) {
  const auto wait = WaitOf(report_.attempts, options.lock_wait_s);
  bool interrupted = false;  // read when the thread has ended
  Status status;
  {
    const std::jthread watch([&, id = connection_->thread_id()](std::stop_token stop) {
      std::mutex mutex;
      std::condition_variable_any ended;
      std::unique_lock guard(mutex);
      ended.wait_for(guard, stop, wait, [] { return false; });
      if (stop.stop_requested()) {
        return;
      }
      const auto other = mysql::Connection::Open(options.connection);
      if (other && !stop.stop_requested() && !WaitsForQuery(other->get(), id)) {
        interrupted = true;
        (void)(*other)->Execute(fmt::format("KILL QUERY {}", id));
      }
    });
    status = connection_->Execute(sql);
  }
  if (status && interrupted) {
    // It came with the lock or behind it, and would end whatever this session does next. The lock goes with the
    // session.
    connection_.reset();
    auto late = MakeError(ErrorClass::kTransient, "CF1602", kComponent, "the lock came too late");
    late.value().server_code = "1317";
    return late;
  }
  return status;
}

Status SnapshotLock::TryOnce(const MySqlSnapshotOptions& options) {
  ++report_.attempts;
  const Clock::time_point start = Clock::now();
  Status status;
  if (whole_server_) {
    report_.statement = kServerLock;
    status = ExecuteWithin(options, std::string(kServerLock));
    if (!status && SaysNotAllowed(status.error())) {
      if (options.tables.empty()) {
        return NotAllowed(options, status.error());
      }
      whole_server_ = false;
    }
  }
  if (!whole_server_) {
    report_.statement = "LOCK TABLES ... READ";
    status = ExecuteWithin(options, TableLock(options));
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
