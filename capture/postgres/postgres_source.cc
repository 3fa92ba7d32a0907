#include "capture/postgres/postgres_source.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>
#include <variant>

#include "capture/postgres/slot_check.h"
#include "capture/postgres/stream_decoder.h"
#include "db/postgres/head.h"

namespace crossfade::capture {

namespace {

using postgres::Connection;
using postgres::ReplicationConnection;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::string_view kComponent = "capture.postgres";

// What the catalog knows. While the stream is read it is asked rarely, over a connection opened for it.
class Catalog {
 public:
  Catalog(const PostgresSourceOptions& options, std::unique_ptr<Connection> connection)
      : options_(options), connection_(std::move(connection)) {}

  // What is there now: it saves asking for each type later. A type of the past is asked for when the stream names it.
  Status Load(Relations* relations) {
    CROSSFADE_TRY(connection_->Execute("SET search_path = pg_catalog"));
    CROSSFADE_ASSIGN(
        const auto found,
        connection_->Query("SELECT c.oid, c.relname, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod)"
                           " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                           " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                           " WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')",
                           {options_.schema}));
    for (const auto& row : found.rows) {
      relations->Know(Number<uint32_t>(row[0]), row[1].value_or(""));
      types_[{Number<uint32_t>(row[2]), Number<int32_t>(row[3])}] = row[4].value_or("");
    }
    connection_.reset();  // from here on it is hardly ever asked
    return {};
  }

  Result<std::string> TypeName(uint32_t type, int32_t modifier) {
    if (const auto found = types_.find({type, modifier}); found != types_.end()) {
      return found->second;
    }
    CROSSFADE_TRY(Connect());
    CROSSFADE_ASSIGN(const auto name, connection_->Scalar("SELECT format_type($1::oid, $2::integer)",
                                                          {std::to_string(type), std::to_string(modifier)}));
    connection_.reset();
    return types_[{type, modifier}] = name.value_or("???");
  }

  Result<uint64_t> NextXid() {
    CROSSFADE_TRY(Connect());
    auto next = postgres::ReadNextXid(connection_.get());
    connection_.reset();
    return next;
  }

 private:
  template <typename T>
  static T Number(const std::optional<std::string>& text) {
    T number = 0;
    if (text) {
      std::from_chars(text->data(), text->data() + text->size(), number);
    }
    return number;
  }

  Status Connect() {
    if (connection_ == nullptr) {
      CROSSFADE_ASSIGN(connection_, Connection::Open(options_.connection));
      CROSSFADE_TRY(connection_->Execute("SET search_path = pg_catalog"));
    }
    return {};
  }

  const PostgresSourceOptions& options_;
  std::unique_ptr<Connection> connection_;
  std::map<std::pair<uint32_t, int32_t>, std::string> types_;
};

}  // namespace

// One session with the slot: what Open makes and Close ends.
class PostgresSource::Reading {
 public:
  Reading(const PostgresSourceOptions& options, std::unique_ptr<ReplicationConnection> log,
          std::unique_ptr<Connection> sql, Position from)
      : options_(options),
        log_(std::move(log)),
        catalog_(options, std::move(sql)),
        relations_(options.schema, options.tables,
                   [this](uint32_t type, int32_t modifier) { return catalog_.TypeName(type, modifier); }),
        decoder_(std::move(from), &relations_, [this] { return catalog_.NextXid(); }) {}

  // `confirmed`: what the server knows to be safe here; more of it only Confirm may say.
  Status Begin(uint64_t from, uint64_t confirmed) {
    confirmed_ = confirmed;
    CROSSFADE_TRY(catalog_.Load(&relations_));
    CROSSFADE_TRY(log_->Start(options_.slot, from, options_.publication));
    last_byte_ = asked_ = told_ = steady_clock::now();
    return {};
  }

  Result<std::optional<Event>> Next(Deadline deadline) {
    for (;;) {
      if (auto event = decoder_.Take()) {
        told_ = last_byte_;
        return event;
      }
      const bool buffered = log_->HasBuffered();
      const bool overdue = last_byte_ - told_ > milliseconds(options_.heartbeat_ms);
      if (decoder_.moved() && !decoder_.in_transaction() && (!buffered || overdue)) {
        // What was read did not concern us; its position does.
        decoder_.Told();
        told_ = last_byte_;
        return Event(Heartbeat{decoder_.position(), WallMicros()});
      }
      CROSSFADE_ASSIGN(const bool read, ReadOne(deadline));
      if (!read) {
        return std::nullopt;
      }
    }
  }

  bool HasBuffered() { return decoder_.pending() || log_->HasBuffered(); }

  Status Confirm(uint64_t lsn) {
    confirmed_ = std::max(confirmed_, lsn);
    return steady_clock::now() >= asked_ + milliseconds(options_.heartbeat_ms) ? Ask() : Status();
  }

  void Name(std::string server) { decoder_.set_server(std::move(server)); }
  const Position& position() const { return decoder_.position(); }

 private:
  // False at the deadline, or when it is time to look up.
  Result<bool> ReadOne(Deadline deadline) {
    for (;;) {
      const auto now = steady_clock::now();
      const auto silent = last_byte_ + milliseconds(options_.silence_ms);
      if (now >= silent) {
        return MakeError(ErrorClass::kReconnect, "CF1206", kComponent, "the server has been silent for {} ms",
                         options_.silence_ms);
      }
      const auto ask = asked_ + milliseconds(options_.heartbeat_ms);
      if (now >= ask) {
        CROSSFADE_TRY(Ask());
        continue;
      }
      CROSSFADE_ASSIGN(const auto message, log_->Read(std::min({deadline, silent, ask})));
      if (message) {
        last_byte_ = steady_clock::now();
        CROSSFADE_TRY(Take(*message));
        return true;
      }
      if (steady_clock::now() >= deadline) {
        return false;
      }
    }
  }

  Status Take(const postgres::StreamMessage& message) {
    if (!message.keepalive) {
      return decoder_.Feed(message.data);
    }
    decoder_.Advance(message.lsn);
    return message.reply_wanted ? log_->SendStatus(confirmed_, false) : Status();
  }

  // The answer says where an idle server stands; what is confirmed goes along.
  Status Ask() {
    asked_ = steady_clock::now();
    return log_->SendStatus(confirmed_, true);
  }

  const PostgresSourceOptions& options_;
  const std::unique_ptr<ReplicationConnection> log_;
  Catalog catalog_;
  Relations relations_;
  uint64_t confirmed_ = 0;
  StreamDecoder decoder_;
  steady_clock::time_point last_byte_;
  steady_clock::time_point asked_;
  steady_clock::time_point told_;  // when the last event was given
};

PostgresSource::PostgresSource(PostgresSourceOptions options) : options_(std::move(options)) {}

PostgresSource::~PostgresSource() { Close(); }

void PostgresSource::Close() {
  left_open_ = left_open_ || open_;
  open_ = false;
  const std::lock_guard lock(mutex_);
  live_log_ = nullptr;
  live_sql_ = nullptr;
  reading_.reset();
}

void PostgresSource::Interrupt() {
  interrupted_ = true;
  const std::lock_guard lock(mutex_);
  if (live_log_ != nullptr) {
    live_log_->Interrupt();
  }
  if (live_sql_ != nullptr) {
    live_sql_->Cancel();
  }
}

Error PostgresSource::Classified(Error error) const {
  if (interrupted_) {
    error.error_class = ErrorClass::kTransient;
    error.code = "CF1200";
    error.component = kComponent;
    error.message = "interrupted";
    return error;
  }
  // 55000: the slot was invalidated; 58P01: its log was removed; 42704: slot or publication are not there (any more, or
  // yet, at that place in the log).
  const std::string& state = error.server_code;
  const bool setting = state == "55000" && error.message.find("wal_level") != std::string::npos;
  if (setting || state == "42501") {
    error.error_class = ErrorClass::kConfig;
    error.code = "CF1202";
    error.component = kComponent;
    error.object = options_.connection.user;
    error.fix = setting ? "ALTER SYSTEM SET wal_level = 'logical', then restart the server"
                        : fmt::format("ALTER ROLE {} REPLICATION", Connection::Identifier(options_.connection.user));
  } else if (state == "55000" || state == "58P01" || state == "42704") {
    error.error_class = ErrorClass::kConfig;
    error.code = "CF1203";
    error.component = kComponent;
    error.object = "slot " + options_.slot;
    error.fix = "'crossfade abort', then copy anew";
  }
  return error;
}

Status PostgresSource::Open(const Position& from) {
  Close();
  if (interrupted_) {
    return Fail(Classified({}));
  }
  const Status opened = OpenLog(from);
  if (!opened) {
    const std::lock_guard lock(mutex_);
    live_log_ = nullptr;
    live_sql_ = nullptr;
    reading_.reset();
    return Fail(Classified(opened.error()));
  }
  return {};
}

Status PostgresSource::OpenLog(const Position& from) {
  CROSSFADE_ASSIGN(auto log, ReplicationConnection::Open(options_.connection));
  CROSSFADE_ASSIGN(auto sql, Connection::Open(options_.connection));
  ReplicationConnection& server = *log;
  Connection& connection = *sql;
  {
    const std::lock_guard lock(mutex_);
    reading_ = std::make_unique<Reading>(options_, std::move(log), std::move(sql), from);
    live_log_ = &server;
    live_sql_ = &connection;
  }
  if (interrupted_) {
    return Fail(Classified({}));
  }
  CROSSFADE_ASSIGN(const postgres::SystemIdentity identity, server.IdentifySystem());
  CROSSFADE_TRY(CheckServer(&server, identity, from));
  CROSSFADE_ASSIGN(const uint64_t confirmed, CheckSlot(&connection, options_.slot, from));
  std::vector<std::string> tables;
  for (const TableSchema& table : options_.tables) {
    tables.push_back(table.name);
  }
  CROSSFADE_TRY(CheckPublication(&connection, options_.publication, options_.schema, tables));
  reading_->Name(identity.server.ToString());
  {
    const std::lock_guard lock(mutex_);
    live_sql_ = nullptr;
  }
  return reading_->Begin(from.offset, confirmed);
}

Result<std::optional<Event>> PostgresSource::Next(Deadline deadline) {
  if (interrupted_) {
    return Fail(Classified({}));
  }
  if (reading_ == nullptr) {
    return MakeError(ErrorClass::kReconnect, "CF1206", kComponent, "the log is not open");
  }
  if (left_open_) {
    left_open_ = false;
    TransactionEnd end;
    end.outcome = Outcome::kRollback;
    end.position = reading_->position();
    end.arrival_time_us = WallMicros();
    return Event(std::move(end));
  }
  auto event = reading_->Next(deadline);
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

bool PostgresSource::HasBuffered() const { return reading_ != nullptr && (left_open_ || reading_->HasBuffered()); }

Status PostgresSource::Confirm(const Position& position) {
  if (reading_ == nullptr || !position.set.empty()) {
    return {};
  }
  Status confirmed = reading_->Confirm(position.offset);
  return confirmed ? Status() : Fail(Classified(std::move(confirmed).error()));
}

Result<Position> PostgresSource::Head() {
  auto opened = Connection::Open(options_.connection);
  if (!opened) {
    return Fail(Classified(std::move(opened).error()));
  }
  {
    const std::lock_guard lock(mutex_);
    live_sql_ = opened->get();
  }
  auto head = interrupted_ ? Result<Position>(Fail(Error{})) : postgres::ReadHead(opened->get());
  {
    const std::lock_guard lock(mutex_);
    live_sql_ = nullptr;
  }
  return head ? std::move(head) : Result<Position>(Fail(Classified(std::move(head).error())));
}

}  // namespace crossfade::capture
