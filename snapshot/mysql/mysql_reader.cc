#include "snapshot/mysql/mysql_reader.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <limits>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "core/bytes.h"
#include "db/mysql/catalog.h"
#include "db/mysql/position.h"
#include "snapshot/mysql/binary_query.h"
#include "snapshot/mysql/select.h"

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.mysql";
// How often a snapshot is opened anew until the source held still around it. Each try takes three round trips.
constexpr int kExactAttempts = 100;
// The server reads its log file up to a place to tell the GTID state there, at about 3 GB/s. For each chunk that is too
// much load on a source with large files; file and offset are exact without it.
constexpr uint64_t kCheapSearchBytes = uint64_t{64} << 20;
constexpr auto kGroupCommitTime = std::chrono::milliseconds(20);

using mysql::Flavor;

tl::unexpected<Error> Changed(const TableSchema& table, std::string found, std::string server_code) {
  auto failed = MakeError(ErrorClass::kData, "CF1610", kComponent, "{} changed its shape while it was being copied",
                          table.QualifiedName());
  Error& error = failed.value();
  error.object = table.QualifiedName();
  error.found = std::move(found);
  error.server_code = std::move(server_code);
  error.fix = "let the schema change finish, make no other one during the copy, and start the copy of this table again";
  return failed;
}

// Errors by which the server says that a table is not what we think it is.
bool SaysChanged(const std::string& server_code) {
  return server_code == "1412"      // its definition is newer than the snapshot
         || server_code == "1054"   // unknown column
         || server_code == "1146"   // no such table
         || server_code == "1176";  // no such index
}

// What decides about the values that a column sends.
bool SameShape(const Column& a, const Column& b) {
  return a.name == b.name && a.type == b.type && a.is_unsigned == b.is_unsigned && a.bits == b.bits &&
         a.length == b.length && a.precision == b.precision && a.scale == b.scale && a.fraction == b.fraction &&
         a.charset == b.charset && a.labels == b.labels;
}

std::string Difference(const TableSchema& now, const TableSchema& planned) {
  if (now.columns.size() != planned.columns.size()) {
    return fmt::format("{} columns, {} expected", now.columns.size(), planned.columns.size());
  }
  for (size_t i = 0; i < now.columns.size(); ++i) {
    if (!SameShape(now.columns[i], planned.columns[i])) {
      return fmt::format("column {} {}, {} {} expected", now.columns[i].name, now.columns[i].source_type,
                         planned.columns[i].name, planned.columns[i].source_type);
    }
  }
  return now.primary_key == planned.primary_key ? "" : "another primary key";
}

// Only an engine with snapshots reads as of the position; others would show the present.
Status CheckEngine(const TableSchema& table) {
  std::string engine = table.engine;
  std::transform(engine.begin(), engine.end(), engine.begin(), [](unsigned char c) { return std::tolower(c); });
  if (engine.empty() || engine == "innodb" || engine == "rocksdb") {
    return {};
  }
  auto failed =
      MakeError(ErrorClass::kConfig, "CF1611", kComponent, "{} cannot be read as of one state", table.QualifiedName());
  failed.value().object = table.QualifiedName();
  failed.value().found = "engine " + table.engine;
  failed.value().fix = fmt::format("ALTER TABLE {} ENGINE=InnoDB, or exclude the table", QuotedName(table));
  return failed;
}

void WarnOfMetadataLocks() {
  static std::once_flag once;
  std::call_once(once, [] {
    spdlog::warn(
        "snapshot: schema changes on the source, and everybody behind them, will wait until the read of their table "
        "that "
        "is under way has ended; GRANT BINLOG ADMIN to the account mends it");
  });
}

uint64_t ParseNumber(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Result<std::unique_ptr<MySqlReader>> MySqlReader::Open(const mysql::ConnectionOptions& options) {
  CROSSFADE_ASSIGN(auto connection, mysql::Connection::Open(options));
  CROSSFADE_TRY(connection->Execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"));
  if (connection->server().flavor == Flavor::kMariaDb) {
    // MariaDB notes savepoints for the binary log, even in a transaction that only reads, and then keeps the metadata
    // locks that ReadRows means to give back.
    if (const Status off = connection->Execute("SET SESSION sql_log_bin = 0"); !off) {
      if (off.error().error_class == ErrorClass::kReconnect) {
        return Fail(off.error());
      }
      WarnOfMetadataLocks();
    }
  }
  return std::unique_ptr<MySqlReader>(new MySqlReader(std::move(connection)));
}

void MySqlReader::Interrupt() { connection_->Kill(); }

Status MySqlReader::StartSnapshot() {
  checked_.clear();
  return connection_->Execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY");
}

Result<Reader::Window> MySqlReader::OpenSnapshot() {
  CROSSFADE_TRY(connection_->Execute("ROLLBACK"));
  if (connection_->server().flavor == Flavor::kMariaDb) {
    CROSSFADE_ASSIGN(const Position position, OpenMariaDb(kCheapSearchBytes));
    return Window{position, position};
  }
  CROSSFADE_ASSIGN(const std::string low, GtidExecuted());
  CROSSFADE_TRY(StartSnapshot());
  CROSSFADE_ASSIGN(const LogState high, ReadLogState());
  Window window;
  window.low = PositionOf({low, "", 0});
  if (!high.file.empty()) {
    window.high = PositionOf(high);
    return window;
  }
  // A commit can be seen a little before it is in gtid_executed (measured), so that only the place in the log is an
  // upper bound.
  CROSSFADE_ASSIGN(window.high, mysql::ReadHead(*connection_));
  window.high.set.clear();
  return window;
}

Status MySqlReader::EndSnapshot() { return connection_->Execute("ROLLBACK"); }

Result<Position> MySqlReader::OpenExactSnapshot() {
  CROSSFADE_TRY(connection_->Execute("ROLLBACK"));
  if (connection_->server().flavor == Flavor::kMariaDb) {
    return OpenMariaDb(std::numeric_limits<uint64_t>::max());
  }
  CROSSFADE_ASSIGN(LogState before, ReadLogState());
  for (int attempt = 0; attempt < kExactAttempts; ++attempt) {
    CROSSFADE_TRY(StartSnapshot());
    LogState after;
    CROSSFADE_ASSIGN(const bool still, HeldStill(before, &after));
    if (still) {
      return PositionOf(after);
    }
    before = std::move(after);
  }
  auto failed =
      MakeError(ErrorClass::kTransient, "CF1605", kComponent,
                "the source committed around each of {} snapshots, so that none has an exact position", kExactAttempts);
  failed.value().fix =
      log_status_allowed_
          ? "give the account the right to lock (GRANT RELOAD) for a consistent copy"
          : "GRANT BACKUP_ADMIN to the account, or the right to lock (GRANT RELOAD) for a consistent copy";
  return failed;
}

// Whether no commit came to be seen between `before` and now.
Result<bool> MySqlReader::HeldStill(const LogState& before, LogState* after) {
  CROSSFADE_ASSIGN(*after, ReadLogState());
  if (*after != before || !after->file.empty()) {
    return *after == before;
  }
  // Without the right to log_status the set lags behind what can be seen, by the time that a group of commits takes.
  // What the snapshot saw of one is counted by now, if it was under way.
  std::this_thread::sleep_for(kGroupCommitTime);
  CROSSFADE_ASSIGN(*after, ReadLogState());
  return *after == before;
}

Position MySqlReader::PositionOf(const LogState& state) const {
  Position position;
  position.server = connection_->server().identity;
  position.set = state.gtid_executed;
  position.file = state.file;
  position.offset = state.offset;
  return position;
}

Result<Position> MySqlReader::OpenMariaDb(uint64_t search_bytes) {
  CROSSFADE_TRY(StartSnapshot());
  CROSSFADE_ASSIGN(Position position, SnapshotPlace());
  if (position.offset <= search_bytes) {
    CROSSFADE_TRY(FindGtidState(&position));
  }
  return position;
}

Result<Position> MySqlReader::SnapshotPlace() {
  CROSSFADE_ASSIGN(const auto rows, connection_->Rows("SHOW STATUS LIKE 'binlog_snapshot_%'"));
  Position place;
  place.server = connection_->server().identity;
  for (const auto& row : rows) {
    std::string name = row.size() == 2 ? row[0].value_or("") : "";
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name == "binlog_snapshot_file") {
      place.file = row[1].value_or("");
    } else if (name == "binlog_snapshot_position") {
      place.offset = ParseNumber(row[1].value_or(""));
    }
  }
  if (place.file.empty()) {
    auto failed =
        MakeError(ErrorClass::kConfig, "CF1603", kComponent, "the server does not tell a snapshot's position");
    failed.value().object = "binlog_snapshot_file";
    failed.value().found = "empty";
    failed.value().fix = "switch the binary log on (log_bin)";
    return failed;
  }
  return place;
}

Status MySqlReader::FindGtidState(Position* position) {
  if (position->file != last_place_.file || position->offset != last_place_.offset) {
    CROSSFADE_ASSIGN(const auto state,
                     connection_->Scalar(fmt::format("SELECT BINLOG_GTID_POS({}, {})",
                                                     connection_->Literal(position->file), position->offset)));
    last_place_ = *position;
    last_place_.set = state.value_or("");
  }
  position->set = last_place_.set;
  return {};
}

Result<std::string> MySqlReader::GtidExecuted() {
  CROSSFADE_ASSIGN(const auto rows, connection_->Rows("SELECT @@global.gtid_mode, @@global.gtid_executed"));
  const bool on = rows.size() == 1 && rows[0].size() == 2 && rows[0][0].value_or("") == "ON";
  if (!on) {
    auto failed = MakeError(ErrorClass::kConfig, "CF1603", kComponent,
                            "without GTIDs the server does not tell what a snapshot holds");
    failed.value().object = "gtid_mode";
    failed.value().found = rows.empty() || rows[0].empty() ? "" : rows[0][0].value_or("");
    failed.value().fix =
        "set gtid_mode = ON, or give the account the right to lock (GRANT RELOAD) for a consistent copy";
    return failed;
  }
  CROSSFADE_ASSIGN(const auto set, mysql::MySqlGtidSet::Parse(rows[0][1].value_or("")));
  return set.ToString();
}

// performance_schema.log_status is read while no commit is under way, so set and place belong together, and everything
// in them is visible, and nothing else. Without the right to it: the set alone, in which a commit may be missing for
// the instant between its becoming visible and being counted.
Result<MySqlReader::LogState> MySqlReader::ReadLogState() {
  LogState state;
  if (log_status_allowed_) {
    const auto rows = connection_->Rows(
        "SELECT JSON_UNQUOTE(JSON_EXTRACT(LOCAL, '$.gtid_executed')), "
        "JSON_UNQUOTE(JSON_EXTRACT(LOCAL, '$.binary_log_file')), JSON_EXTRACT(LOCAL, '$.binary_log_position') "
        "FROM performance_schema.log_status");
    if (rows && rows->size() == 1) {
      CROSSFADE_ASSIGN(const auto set, mysql::MySqlGtidSet::Parse((*rows)[0][0].value_or("")));
      return LogState{set.ToString(), (*rows)[0][1].value_or(""), ParseNumber((*rows)[0][2].value_or(""))};
    }
    if (!rows &&
        (rows.error().error_class == ErrorClass::kReconnect || rows.error().error_class == ErrorClass::kTransient)) {
      return Fail(rows.error());
    }
    log_status_allowed_ = false;
  }
  CROSSFADE_ASSIGN(state.gtid_executed, GtidExecuted());
  return state;
}

// A change of shape after the snapshot makes the server refuse the read (1412). One before the snapshot is seen here.
Status MySqlReader::CheckShape(const TableSchema& table) {
  if (checked_.contains(table.name)) {
    return {};
  }
  CROSSFADE_TRY(CheckEngine(table));
  CROSSFADE_ASSIGN(std::string shape, ShapeText(table));
  std::string& known = shapes_[table.name];
  if (shape.empty() || shape != known) {
    CROSSFADE_ASSIGN(const std::optional<TableSchema> now, mysql::ReadTable(*connection_, table.database, table.name));
    if (!now) {
      return Changed(table, "no such table", "");
    }
    if (std::string difference = Difference(*now, table); !difference.empty()) {
      return Changed(table, std::move(difference), "");
    }
    known = std::move(shape);
  }
  checked_.insert(table.name);
  return {};
}

// What the catalog says about the columns, in any form. Much cheaper than to read the whole of a table's schema for
// each of its chunks.
Result<std::string> MySqlReader::ShapeText(const TableSchema& table) {
  std::string text;
  CROSSFADE_TRY(connection_->Query(
      fmt::format("SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLUMN_KEY FROM information_schema.COLUMNS "
                  "WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
                  connection_->Literal(table.database), connection_->Literal(table.name)),
      [&](mysql::TextRow row) {
        ByteWriter writer(&text);
        for (const auto& field : row) {
          writer.String(field.value_or(""));
        }
        return true;
      }));
  return text;
}

Status MySqlReader::Read(const TableSchema& table, const ChunkRange& range, const RowSink& sink) {
  return Select(table, SelectRows(table, range), sink);
}

Status MySqlReader::ReadKeys(const TableSchema& table, std::span<const uint32_t> columns,
                             std::span<const std::vector<Value>> keys, const RowSink& sink) {
  const auto literal = [this](std::string_view text) { return connection_->Literal(text); };
  return Select(table, SelectKeys(table, columns, keys, literal), sink);
}

Status MySqlReader::ReadPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                             uint64_t max_rows, const RowSink& sink) {
  const auto literal = [this](std::string_view text) { return connection_->Literal(text); };
  CROSSFADE_TRY(connection_->Execute("ROLLBACK"));
  CROSSFADE_TRY(StartSnapshot());
  CROSSFADE_TRY(Select(table, SelectPage(table, key, after, max_rows, literal), sink));
  return EndSnapshot();
}

Status MySqlReader::Select(const TableSchema& table, const std::string& sql, const RowSink& sink) {
  Status status = CheckShape(table);
  if (status) {
    status = ReadRows(table, sql, sink);
  }
  if (!status && SaysChanged(status.error().server_code) && status.error().code.starts_with("CF11")) {
    return Changed(table, status.error().message, status.error().server_code);
  }
  return status;
}

// A transaction keeps the metadata lock of every table it has read until it ends, and so would hold up a schema change,
// and behind it everybody else, for the length of the copy. Going back to a savepoint gives the lock back, and keeps
// the snapshot.
Status MySqlReader::ReadRows(const TableSchema& table, const std::string& sql, const RowSink& sink) {
  std::vector<uint32_t> columns(table.columns.size());
  std::iota(columns.begin(), columns.end(), 0);
  CROSSFADE_TRY(connection_->Execute("SAVEPOINT crossfade"));
  if (Status status = BinaryQuery(connection_.get(), &charsets_, sql, table, columns, sink); !status) {
    connection_->Kill();
    return status;
  }
  return connection_->Execute("ROLLBACK TO SAVEPOINT crossfade");
}

}  // namespace crossfade::snapshot
