#include "capture/mysql/mysql_source.h"

#include <chrono>
#include <map>

#include "capture/mysql/dump_request.h"
#include "capture/mysql/log_decoder.h"
#include "capture/mysql/log_mark.h"
#include "db/mysql/charset.h"
#include "db/mysql/position.h"

namespace crossfade::capture {

namespace {

using mysql::Connection;
using mysql::Flavor;
using std::chrono::milliseconds;

constexpr std::string_view kComponent = "capture.mysql";
constexpr std::string_view kReadError = "1236";

tl::unexpected<Error> ConfigError(std::string_view code, std::string object, std::string message, std::string found,
                                  std::string fix) {
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = code;
  error.component = kComponent;
  error.message = std::move(message);
  error.object = std::move(object);
  error.found = std::move(found);
  error.fix = std::move(fix);
  return Fail(std::move(error));
}

tl::unexpected<Error> Lost(const Position& from, const std::string& missing) {
  Error error;
  error.error_class = ErrorClass::kCorrupt;
  error.code = "CF1204";
  error.component = kComponent;
  error.message = fmt::format("the server has lost transactions that were read from it before: {}", missing);
  error.object = from.ToString();
  error.found = missing;
  error.fix = "these transactions are on the target and no longer on the source: verify and repair, or copy anew";
  return Fail(std::move(error));
}

tl::unexpected<Error> Purged(const Position& from, const std::string& found) {
  return ConfigError("CF1203", "the binary log",
                     fmt::format("the server's log no longer goes back to {}", from.ToString()), found,
                     "copy anew, and have the server keep its logs longer (binlog_expire_logs_seconds)");
}

Result<std::string> Variable(Connection& connection, std::string_view name) {
  CROSSFADE_ASSIGN(const auto value, connection.Scalar(fmt::format("SELECT @@GLOBAL.{}", name)));
  return value.value_or("");
}

Result<std::map<uint32_t, std::string>> ReadCollations(Connection& connection) {
  // MariaDB gives some collations a number for each character set, which only the second table has.
  const std::string_view table = connection.server().flavor == Flavor::kMariaDb
                                     ? "SELECT id, character_set_name FROM "
                                       "information_schema.collation_character_set_applicability WHERE id IS NOT NULL"
                                     : "SELECT id, character_set_name FROM information_schema.collations";
  CROSSFADE_ASSIGN(const auto rows, connection.Rows(table));
  std::map<uint32_t, std::string> charsets;
  for (const auto& row : rows) {
    if (row.size() == 2 && row[0] && row[1]) {
      charsets.emplace(static_cast<uint32_t>(std::strtoul(row[0]->c_str(), nullptr, 10)), *row[1]);
    }
  }
  return charsets;
}

// "domain-server" to the last sequence number of it in the server's log.
Result<std::map<std::string, uint64_t>> ReadBinlogState(Connection& connection) {
  CROSSFADE_ASSIGN(const std::string text, Variable(connection, "gtid_binlog_state"));
  std::map<std::string, uint64_t> state;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(','), rest.size());
    CROSSFADE_ASSIGN(const auto gtid, mysql::MariaDbGtidState::ParseOne(rest.substr(0, end)));
    state[fmt::format("{}-{}", gtid.domain, gtid.server)] = gtid.sequence;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return state;
}

// Every domain's last transaction must be in the log, by the server that wrote it: the same number by another server
// is another transaction.
Status CheckMariaDbSet(Connection& connection, const Position& from) {
  CROSSFADE_ASSIGN(const auto state, ReadBinlogState(connection));
  std::string missing;
  std::string_view rest = from.set;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(','), rest.size());
    CROSSFADE_ASSIGN(const auto gtid, mysql::MariaDbGtidState::ParseOne(rest.substr(0, end)));
    const auto found = state.find(fmt::format("{}-{}", gtid.domain, gtid.server));
    const uint64_t last = found == state.end() ? 0 : found->second;
    if (last < gtid.sequence) {
      const std::string first = fmt::format("{}-{}-{}", gtid.domain, gtid.server, last + 1);
      missing += missing.empty() ? "" : ", ";
      missing += found == state.end() ? fmt::format("up to {}-{}-{}", gtid.domain, gtid.server, gtid.sequence)
                                      : fmt::format("{} to {}-{}-{}", first, gtid.domain, gtid.server, gtid.sequence);
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (!missing.empty()) {
    return Lost(from, missing);
  }
  return {};
}

Status CheckMySqlSet(Connection& connection, const Position& from) {
  CROSSFADE_ASSIGN(const auto wanted, mysql::MySqlGtidSet::Parse(from.set));
  CROSSFADE_ASSIGN(const std::string executed_text, Variable(connection, "gtid_executed"));
  CROSSFADE_ASSIGN(const auto executed, mysql::MySqlGtidSet::Parse(executed_text));
  const mysql::MySqlGtidSet missing = executed.Missing(wanted);
  if (!missing.empty()) {
    return Lost(from, missing.ToString());
  }
  CROSSFADE_ASSIGN(const std::string purged_text, Variable(connection, "gtid_purged"));
  CROSSFADE_ASSIGN(const auto purged, mysql::MySqlGtidSet::Parse(purged_text));
  const mysql::MySqlGtidSet gone = wanted.Missing(purged);
  if (!gone.empty()) {
    return Purged(from, fmt::format("purged: {}", gone.ToString()));
  }
  return {};
}

uint64_t FileNumber(std::string_view file) {
  const size_t dot = file.rfind('.');
  return dot == std::string_view::npos ? 0 : std::strtoull(std::string(file.substr(dot + 1)).c_str(), nullptr, 10);
}

// Without GTIDs only the same server's same file will do.
Status CheckFile(Connection& connection, const Position& from) {
  const std::string& identity = connection.server().identity;
  if (from.server != identity) {
    return ConfigError("CF1201", "the position",
                       "without GTIDs a log can only be followed on the server it was read from",
                       fmt::format("this is {}, the position is of {}", identity, from.server),
                       "connect to that server, or copy anew");
  }
  CROSSFADE_ASSIGN(const auto logs, connection.Rows("SHOW BINARY LOGS"));
  uint64_t oldest = ~uint64_t{0};
  for (const auto& log : logs) {
    if (log.size() < 2 || !log[0] || !log[1]) {
      continue;
    }
    oldest = std::min(oldest, FileNumber(*log[0]));
    if (*log[0] == from.file) {
      const uint64_t size = std::strtoull(log[1]->c_str(), nullptr, 10);
      return size >= from.offset ? Status() : Lost(from, fmt::format("{} ends at {}", from.file, size));
    }
  }
  if (FileNumber(from.file) < oldest) {
    return Purged(from, logs.empty() || !logs[0][0] ? "no log" : "the oldest log is " + *logs[0][0]);
  }
  return Lost(from, fmt::format("{} is not there", from.file));
}

// GTIDs alone do not tell a server from an older copy of itself that has used the same numbers for other transactions.
// On the server that a position was read from, its place in the log must still be the end of that transaction. What
// was purged can no longer be asked.
Status CheckPlace(Connection& connection, const Position& from) {
  if (from.last.empty() || from.file.empty() || from.server != connection.server().identity) {
    return {};
  }
  const Status there = CheckFile(connection, from);
  if (!there) {
    return there.error().code == "CF1203" ? Status() : there;
  }
  const std::string changed = fmt::format("the log at {}:{} is not behind {}", from.file, from.offset, from.last);
  if (connection.server().flavor == Flavor::kMariaDb) {
    CROSSFADE_ASSIGN(const auto state, connection.Scalar(fmt::format("SELECT BINLOG_GTID_POS({}, {})",
                                                                     connection.Literal(from.file), from.offset)));
    CROSSFADE_ASSIGN(const auto wanted, mysql::MariaDbGtidState::Parse(from.set));
    CROSSFADE_ASSIGN(const auto found, mysql::MariaDbGtidState::Parse(state.value_or("")));
    return found.ToString() == wanted.ToString() ? Status() : Lost(from, changed);
  }
  const auto events = connection.Rows(
      fmt::format("SHOW BINLOG EVENTS IN {} FROM {} LIMIT 1", connection.Literal(from.file), from.offset));
  if (!events) {
    return Lost(from, changed);
  }
  if (events->empty() || !(*events)[0].back()) {
    return {};
  }
  const std::string& info = *(*events)[0].back();
  const size_t begin = info.find("GTID_NEXT= '");
  const size_t end = info.rfind('\'');
  constexpr size_t kBefore = 12;
  if (begin == std::string::npos || end < begin + kBefore) {
    return {};
  }
  const auto next = mysql::MySqlGtidSet::Parse(std::string_view(info).substr(begin + kBefore, end - begin - kBefore));
  CROSSFADE_ASSIGN(const auto wanted, mysql::MySqlGtidSet::Parse(from.set));
  return next && wanted.ContainsAll(*next) ? Lost(from, changed) : Status();
}

}  // namespace

// One session with the server: what Open makes and Close ends.
struct MySqlSource::Reading {
  std::unique_ptr<Connection> connection;
  std::unique_ptr<mysql::Charsets> charsets;
  std::unique_ptr<Connection> charset_connection;
  std::unique_ptr<LogDecoder> decoder;
  std::chrono::steady_clock::time_point last_byte;
  int64_t arrival_us = 0;                      // the same, by the wall clock
  bool moved = false;                          // since the last event that had a position
  std::chrono::steady_clock::time_point told;  // when that was
};

MySqlSource::MySqlSource(MySqlSourceOptions options) : options_(std::move(options)) {}

MySqlSource::~MySqlSource() { Close(); }

void MySqlSource::Close() {
  left_open_ = left_open_ || open_;
  open_ = false;
  const std::lock_guard lock(mutex_);
  live_ = nullptr;
  reading_.reset();
}

void MySqlSource::Interrupt() {
  interrupted_ = true;
  const std::lock_guard lock(mutex_);
  for (Connection* connection : {live_, live_head_}) {
    if (connection != nullptr) {
      connection->Kill();
    }
  }
}

Error MySqlSource::Classified(Error error) const {
  if (interrupted_) {
    error.error_class = ErrorClass::kTransient;
    error.code = "CF1200";
    error.component = kComponent;
    error.message = "interrupted";
    return error;
  }
  if (error.server_code != kReadError) {
    return error;
  }
  // One number for all that can go wrong with a dump; only the text tells.
  const auto says = [&error](std::string_view text) { return error.message.find(text) != std::string::npos; };
  error.component = kComponent;
  if (says("purged") || says("Could not find first log file")) {
    error.error_class = ErrorClass::kConfig;
    error.code = "CF1203";
    error.fix = "copy anew, and have the server keep its logs longer (binlog_expire_logs_seconds)";
  } else if (says("which is not in the master's binlog") || says("more GTIDs than the") ||
             says("impossible position") || says("diverged")) {
    error.error_class = ErrorClass::kCorrupt;
    error.code = "CF1204";
  } else if (says("same server_") || says("event read from binlog did not pass crc check") || says("I/O")) {
    error.error_class = ErrorClass::kReconnect;
    error.code = "CF1206";
  } else {
    error.error_class = ErrorClass::kConfig;
    error.code = "CF1202";
  }
  return error;
}

Status MySqlSource::Open(const Position& from) {
  Close();
  if (interrupted_) {
    return Fail(Classified({}));
  }
  if (from.empty()) {
    return ConfigError("CF1201", "the position", "no position to start from", "none",
                       "'crossfade abort', then copy anew");
  }
  const Status opened = OpenLog(from);
  if (!opened) {
    const std::lock_guard lock(mutex_);
    live_ = nullptr;
    reading_.reset();
    return Fail(Classified(opened.error()));
  }
  return {};
}

namespace {

Status CheckSettings(Connection& connection) {
  CROSSFADE_ASSIGN(const std::string log_bin, Variable(connection, "log_bin"));
  if (log_bin != "1") {
    return ConfigError("CF1202", "log_bin", "the server keeps no binary log", "log_bin = OFF",
                       "set log_bin in the server's configuration and restart it");
  }
  return {};
}

Status PrepareSession(Connection& connection, const MySqlSourceOptions& options, const Position& from, bool by_gtid) {
  const uint64_t heartbeat_ns = uint64_t{options.heartbeat_ms} * 1'000'000;
  CROSSFADE_TRY(connection.Execute(
      fmt::format("SET @master_heartbeat_period = {0}, @source_heartbeat_period = {0}, @master_binlog_checksum = "
                  "'CRC32', @source_binlog_checksum = 'CRC32'",
                  heartbeat_ns)));
  if (connection.server().flavor == Flavor::kMariaDb) {
    // Below 4 the server leaves out GTID events or rewrites them.
    CROSSFADE_TRY(connection.Execute("SET @mariadb_slave_capability = 4"));
    if (by_gtid) {
      CROSSFADE_TRY(
          connection.Execute(fmt::format("SET @slave_connect_state = {}, @slave_gtid_strict_mode = 1, "
                                         "@slave_gtid_ignore_duplicates = 0",
                                         connection.Literal(from.set))));
    }
  }
  return {};
}

}  // namespace

Status MySqlSource::OpenLog(const Position& from) {
  CROSSFADE_ASSIGN(auto connection, Connection::Open(options_.connection));
  auto reading = std::make_unique<Reading>();
  reading->connection = std::move(connection);
  Connection& server = *reading->connection;
  {
    const std::lock_guard lock(mutex_);
    reading_ = std::move(reading);
    live_ = &server;
  }
  CROSSFADE_TRY(CheckSettings(server));
  const Flavor flavor = server.server().flavor;
  bool by_gtid = !from.set.empty();
  if (by_gtid && flavor == Flavor::kMySql) {
    CROSSFADE_ASSIGN(const std::string mode, Variable(server, "gtid_mode"));
    by_gtid = mode == "ON" || mode == "ON_PERMISSIVE";
  }
  if (by_gtid) {
    CROSSFADE_TRY(flavor == Flavor::kMariaDb ? CheckMariaDbSet(server, from) : CheckMySqlSet(server, from));
    CROSSFADE_TRY(CheckPlace(server, from));
  } else {
    CROSSFADE_TRY(CheckFile(server, from));
  }
  CROSSFADE_TRY(CheckMarks(from));

  CROSSFADE_ASSIGN(reading_->charset_connection, Connection::Open(options_.connection));
  Connection& other = *reading_->charset_connection;
  reading_->charsets = std::make_unique<mysql::Charsets>(&other);
  ServerText text;
  CROSSFADE_ASSIGN(text.charset_of_collation, ReadCollations(other));
  text.converter = [charsets = reading_->charsets.get()](const std::string& charset) { return charsets->Get(charset); };
  LogOptions log;
  log.flavor = flavor;
  log.server = server.server().identity;
  log.database = options_.database;
  log.hold_bytes = options_.hold_bytes;
  CROSSFADE_ASSIGN(const std::string fold, Variable(server, "lower_case_table_names"));
  log.fold_case = fold != "0";
  reading_->decoder = std::make_unique<LogDecoder>(std::move(log), options_.tables, std::move(text));

  // Without a set, or with an offset that the command cannot say, the file is read from its beginning.
  const bool from_beginning =
      !by_gtid && (from.set.empty() || from.offset > ~uint32_t{0}) && from.offset > kFirstOffset;
  Position start = from;
  if (by_gtid && from.server != server.server().identity) {
    start.file.clear();
    start.offset = 0;
  }
  CROSSFADE_TRY(reading_->decoder->Start(start, by_gtid || !from.set.empty(), from_beginning));
  CROSSFADE_TRY(PrepareSession(server, options_, from, by_gtid));
  const uint32_t server_id = options_.server_id != 0 ? options_.server_id : RandomServerId();
  if (by_gtid && flavor == Flavor::kMySql) {
    CROSSFADE_ASSIGN(const auto set, mysql::MySqlGtidSet::Parse(from.set));
    CROSSFADE_TRY(server.SendCommand(kBinlogDumpGtid, DumpByGtid(set, server_id)));
  } else {
    const uint64_t offset = by_gtid || from_beginning ? kFirstOffset : from.offset;
    CROSSFADE_TRY(server.SendCommand(kBinlogDump,
                                     DumpByFile(by_gtid ? "" : from.file, static_cast<uint32_t>(offset), server_id)));
  }
  reading_->last_byte = reading_->told = std::chrono::steady_clock::now();
  reading_->arrival_us = WallMicros();
  return {};
}

Status MySqlSource::CheckMarks(const Position& from) {
  if (options_.known_logs.empty()) {
    return {};
  }
  CROSSFADE_ASSIGN(const auto asked, Connection::Open(options_.connection));
  {
    const std::lock_guard lock(mutex_);
    live_head_ = asked.get();
  }
  // At most one of the two asks: a position is of this server, or of another one.
  Status checked = CheckLogMark(*asked, from, options_.known_logs);
  if (checked && options_.places_count) {
    checked = CheckSameServer(*asked, from, options_.known_logs);
  }
  const std::lock_guard lock(mutex_);
  live_head_ = nullptr;
  return checked;
}

const LogMark* MySqlSource::Log() const {
  return reading_ == nullptr || reading_->decoder == nullptr ? nullptr : reading_->decoder->log();
}

Result<std::optional<Event>> MySqlSource::Next(Deadline deadline) {
  if (interrupted_) {
    return Fail(Classified({}));
  }
  if (reading_ == nullptr || reading_->decoder == nullptr) {
    return MakeError(ErrorClass::kReconnect, "CF1206", kComponent, "the log is not open");
  }
  if (left_open_) {
    left_open_ = false;
    TransactionEnd end;
    end.outcome = Outcome::kRollback;
    end.position = reading_->decoder->position();
    end.arrival_time_us = WallMicros();
    return Event(std::move(end));
  }
  auto event = Read(deadline);
  if (!event) {
    return Fail(Classified(std::move(event).error()));
  }
  if (*event && std::holds_alternative<TransactionBegin>(**event)) {
    open_ = true;
  } else if (*event && std::holds_alternative<TransactionEnd>(**event)) {
    open_ = false;
  }
  return event;
}

Result<std::optional<Event>> MySqlSource::Read(Deadline deadline) {
  Connection& server = *reading_->connection;
  LogDecoder& decoder = *reading_->decoder;
  for (;;) {
    CROSSFADE_ASSIGN(auto event, decoder.Next());
    if (event) {
      if (std::holds_alternative<TransactionEnd>(*event) || std::holds_alternative<Heartbeat>(*event)) {
        reading_->moved = false;
        reading_->told = reading_->last_byte;
      }
      return event;
    }
    const bool buffered = server.HasBuffered();
    const bool overdue = reading_->last_byte - reading_->told > milliseconds(options_.heartbeat_ms);
    if (reading_->moved && !decoder.in_transaction() && (!buffered || overdue)) {
      // What was read did not concern us; its position does.
      reading_->moved = false;
      reading_->told = reading_->last_byte;
      return Event(Heartbeat{decoder.position(), WallMicros()});
    }
    if (!buffered) {
      const auto silent = reading_->last_byte + milliseconds(options_.silence_ms);
      CROSSFADE_ASSIGN(const bool readable, server.WaitReadable(std::min(deadline, silent)));
      if (!readable) {
        if (std::chrono::steady_clock::now() >= silent) {
          return MakeError(ErrorClass::kReconnect, "CF1206", kComponent, "the server has been silent for {} ms",
                           options_.silence_ms);
        }
        return std::nullopt;
      }
    }
    CROSSFADE_ASSIGN(const std::string_view packet, server.ReadPacket());
    if (packet.empty()) {
      return MakeError(ErrorClass::kReconnect, "CF1206", kComponent, "the server ended the stream");
    }
    if (packet[0] != 0) {
      return MakeError(ErrorClass::kCorrupt, "CF1205", kComponent, "a packet of the log begins with {}",
                       static_cast<uint8_t>(packet[0]));
    }
    reading_->moved = true;
    // What lay in the buffer came with what was read before it. Before anything waits the time is right.
    if (!buffered || !server.HasBuffered()) {
      reading_->last_byte = std::chrono::steady_clock::now();
      reading_->arrival_us = WallMicros();
    }
    CROSSFADE_TRY(decoder.Feed(packet.substr(1), reading_->arrival_us));
  }
}

bool MySqlSource::HasBuffered() const {
  return reading_ != nullptr && reading_->decoder != nullptr &&
         (left_open_ || reading_->decoder->pending() || reading_->connection->HasBuffered());
}

Status MySqlSource::Confirm(const Position& /*position*/) { return {}; }

Result<Position> MySqlSource::Head() {
  auto opened = Connection::Open(options_.connection);
  if (!opened) {
    return Fail(Classified(std::move(opened).error()));
  }
  {
    const std::lock_guard lock(mutex_);
    live_head_ = opened->get();
  }
  auto head = mysql::ReadHead(**opened);
  {
    const std::lock_guard lock(mutex_);
    live_head_ = nullptr;
  }
  if (!head) {
    return Fail(Classified(std::move(head).error()));
  }
  return head;
}

}  // namespace crossfade::capture
