#include "db/postgres/connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <map>

#include "db/postgres/connect.h"
#include "db/postgres/error.h"

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";

struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, FreeResult>;

// Parameters that the server need not know (older versions, unix sockets) are set only where they exist. A server that
// watches its client's socket ends the statement, and frees the locks, of a client that died.
constexpr const char* kSessionSetup =
    "SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres';"
    " SET crossfade.applying = 'on';"
    " SET standard_conforming_strings = on; SET lock_timeout = 0; SET statement_timeout = 0;"
    " SET idle_in_transaction_session_timeout = 0; SET extra_float_digits = 3; SET bytea_output = 'hex';"
    " SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; SET jit = off;"
    " SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;"
    " SELECT set_config(name, '10s', false) FROM pg_catalog.pg_settings"
    " WHERE name = 'client_connection_check_interval'";

std::string Trimmed(const char* text) {
  std::string out = text == nullptr ? "" : text;
  while (!out.empty() && std::isspace(static_cast<unsigned char>(out.back())) != 0) {
    out.pop_back();
  }
  return out;
}

std::string_view SkipBlanks(std::string_view sql) {
  while (!sql.empty() && (std::isspace(static_cast<unsigned char>(sql.front())) != 0 || sql.front() == ';')) {
    sql.remove_prefix(1);
  }
  return sql;
}

bool StartsWithWord(std::string_view sql, std::string_view upper_word) {
  if (sql.size() < upper_word.size()) {
    return false;
  }
  for (size_t i = 0; i < upper_word.size(); ++i) {
    if (std::toupper(static_cast<unsigned char>(sql[i])) != upper_word[i]) {
      return false;
    }
  }
  return sql.size() == upper_word.size() || std::isalnum(static_cast<unsigned char>(sql[upper_word.size()])) == 0;
}

// Whether a statement in `sql` commits. A COMMIT inside a literal behind a ';' counts too: that errs towards InDoubt,
// which costs a look at the progress and no more.
bool Commits(std::string_view sql) {
  for (;;) {
    sql = SkipBlanks(sql);
    if (StartsWithWord(sql, "COMMIT") || StartsWithWord(sql, "END")) {
      return true;
    }
    const size_t next = sql.find(';');
    if (next == std::string_view::npos) {
      return false;
    }
    sql.remove_prefix(next + 1);
  }
}

std::string ServerText(const PGresult* result) {
  std::string text = Trimmed(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
  if (text.empty()) {
    text = Trimmed(PQresultErrorMessage(result));
  }
  const auto add = [&](int field, const char* label) {
    if (const char* value = PQresultErrorField(result, field); value != nullptr && *value != '\0') {
      text += fmt::format("; {}: {}", label, value);
    }
  };
  add(PG_DIAG_MESSAGE_DETAIL, "detail");
  add(PG_DIAG_SCHEMA_NAME, "schema");
  add(PG_DIAG_TABLE_NAME, "table");
  add(PG_DIAG_COLUMN_NAME, "column");
  add(PG_DIAG_CONSTRAINT_NAME, "constraint");
  add(PG_DIAG_CONTEXT, "context");
  return text;
}

uint64_t AffectedRows(PGresult* result) { return std::strtoull(PQcmdTuples(result), nullptr, 10); }

bool IsError(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_NONFATAL_ERROR;
}

ResultSet ReadResult(PGresult* result) {
  ResultSet set;
  const int columns = PQnfields(result);
  const int rows = PQntuples(result);
  for (int c = 0; c < columns; ++c) {
    set.columns.emplace_back(PQfname(result, c));
  }
  set.rows.reserve(static_cast<size_t>(rows));
  for (int r = 0; r < rows; ++r) {
    auto& row = set.rows.emplace_back();
    row.reserve(static_cast<size_t>(columns));
    for (int c = 0; c < columns; ++c) {
      if (PQgetisnull(result, r, c) != 0) {
        row.emplace_back();
      } else {
        row.emplace_back(std::string(PQgetvalue(result, r, c), static_cast<size_t>(PQgetlength(result, r, c))));
      }
    }
  }
  set.affected = AffectedRows(result);
  return set;
}

// The first row of a binary result, as COPY would have sent it.
void FieldsOf(const PGresult* result, std::string* fields) {
  fields->clear();
  for (int column = 0; column < PQnfields(result); ++column) {
    const bool null = PQgetisnull(result, 0, column) != 0;
    const auto length = null ? ~uint32_t{0} : static_cast<uint32_t>(PQgetlength(result, 0, column));
    for (int shift = 24; shift >= 0; shift -= 8) {
      fields->push_back(static_cast<char>(length >> shift));
    }
    if (!null) {
      fields->append(PQgetvalue(result, 0, column), length);
    }
  }
}

}  // namespace

struct Connection::State {
  PGconn* conn = nullptr;
  PGcancel* cancel = nullptr;
  std::map<std::string, bool, std::less<>> prepared;  // name -> commits
  bool commit_under_way = false;
  bool lost = false;

  bool in_pipeline = false;
  size_t queued = 0;
  size_t largest = 0;              // statement, in bytes
  std::vector<uint64_t> affected;  // of finished statements
  std::optional<Error> first_error;
  size_t failed_at = 0;

  // Scratch of PipelineQueue.
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;

  ~State() {
    PQfreeCancel(cancel);
    PQfinish(conn);
  }

  Error SessionLost(std::string_view what) {
    lost = true;
    Error error = ErrorFromServer(kComponent, "", fmt::format("{}: {}", what, Trimmed(PQerrorMessage(conn))));
    return Classed(std::move(error));
  }

  // A session that ends while a COMMIT is under way says nothing about its outcome.
  Error Classed(Error error) const {
    if (error.error_class == ErrorClass::kReconnect && commit_under_way) {
      error.error_class = ErrorClass::kInDoubt;
      error.code = CodeOfClass(ErrorClass::kInDoubt);
    }
    return error;
  }

  Error FromResult(const PGresult* result) {
    const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate == nullptr) {
      return SessionLost("the session is lost");
    }
    return Classed(ErrorFromServer(kComponent, sqlstate, ServerText(result)));
  }

  tl::unexpected<Error> Lost(std::string_view what) { return Fail(SessionLost(what)); }

  Status Wait(short events, short* happened = nullptr) {
    pollfd descriptor{PQsocket(conn), events, 0};
    if (descriptor.fd < 0) {
      return Lost("the session is lost");
    }
    while (poll(&descriptor, 1, -1) < 0) {
      if (errno != EINTR) {
        return Lost("poll failed");
      }
    }
    if (happened != nullptr) {
      *happened = descriptor.revents;
    }
    return {};
  }

  // Sends all that is buffered, reading meanwhile: a server that waits to be read would not read either.
  Status Flush() {
    for (;;) {
      const int left = PQflush(conn);
      if (left == 0) {
        return {};
      }
      if (left < 0) {
        return Lost("sending failed");
      }
      short happened = 0;
      CROSSFADE_TRY(Wait(POLLIN | POLLOUT, &happened));
      if ((happened & (POLLIN | POLLHUP | POLLERR)) != 0) {
        if (PQconsumeInput(conn) == 0) {
          return Lost("reading failed");
        }
        CROSSFADE_TRY(TakeReady());
      }
    }
  }

  // The next result, waited for. nullptr: the statement's results are over.
  Result<PgResult> Next() {
    while (PQisBusy(conn) != 0) {
      CROSSFADE_TRY(Wait(POLLIN));
      if (PQconsumeInput(conn) == 0) {
        return Lost("reading failed");
      }
    }
    return PgResult(PQgetResult(conn));
  }

  // Takes the results that have come of queued statements, so that they do not pile up.
  Status TakeReady() {
    while (in_pipeline && affected.size() < queued && PQisBusy(conn) == 0) {
      PgResult result(PQgetResult(conn));
      TakePipelined(result.get());
    }
    return {};
  }

  // In a pipeline each statement gives one result, then nullptr.
  void TakePipelined(PGresult* result) {
    if (result == nullptr) {
      if (current_seen) {
        affected.push_back(current_affected);
      }
      current_seen = false;
      return;
    }
    current_seen = true;
    current_affected = 0;
    if (IsError(result) && !first_error) {
      first_error = FromResult(result);
      failed_at = affected.size();
    } else if (PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK) {
      current_affected = AffectedRows(result);
      if (returned.empty() && PQntuples(result) == 1 && PQnfields(result) == 1) {
        returned.assign(PQgetvalue(result, 0, 0), static_cast<size_t>(PQgetlength(result, 0, 0)));
      }
    }
  }
  std::string returned;  // by a statement of the pipeline
  bool current_seen = false;
  uint64_t current_affected = 0;

  // Reads all results of one simple or extended request; keeps the last good one.
  Result<PgResult> Drain() {
    PgResult last;
    std::optional<Error> error;
    for (;;) {
      CROSSFADE_ASSIGN(PgResult result, Next());
      if (!result) {
        break;
      }
      const ExecStatusType status = PQresultStatus(result.get());
      if (IsError(result.get())) {
        if (!error) {
          error = FromResult(result.get());
        }
        if (PQstatus(conn) == CONNECTION_BAD) {
          break;
        }
        continue;
      }
      if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        return result;
      }
      last = std::move(result);
    }
    if (error) {
      return Fail(std::move(*error));
    }
    if (!last) {
      return Lost("the server sent no result");
    }
    return last;
  }

  Status CheckFree() {
    if (lost || PQstatus(conn) == CONNECTION_BAD) {
      return Lost("the session was lost before");
    }
    if (in_pipeline) {
      return MakeError(ErrorClass::kCorrupt, "CF1408", kComponent, "a statement was started inside a pipeline");
    }
    return {};
  }

  // Runs what has been handed to libpq by one of its PQsend functions.
  Result<PgResult> Finish(bool sent, bool commits) {
    commit_under_way = commits;
    Result<PgResult> result = sent ? FlushAndDrain() : Result<PgResult>(Lost("sending failed"));
    commit_under_way = false;
    // A COMMIT of a transaction that has failed says ROLLBACK, and no error.
    if (result && commits && std::string_view(PQcmdStatus(result->get())) == "ROLLBACK") {
      return MakeError(ErrorClass::kReconnect, "CF1409", kComponent,
                       "the transaction had failed before its commit, and is rolled back");
    }
    return result;
  }

  Result<PgResult> FlushAndDrain() {
    CROSSFADE_TRY(Flush());
    return Drain();
  }
};

Connection::Connection(std::unique_ptr<State> state) : state_(std::move(state)) {}
Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  auto state = std::make_unique<State>();
  CROSSFADE_ASSIGN(state->conn, ConnectServer(options));
  PQsetNoticeProcessor(
      state->conn, [](void*, const char*) {}, nullptr);
  if (PQsetnonblocking(state->conn, 1) != 0) {
    return Fail(state->SessionLost("cannot make the socket non-blocking"));
  }
  state->cancel = PQgetCancel(state->conn);
  std::unique_ptr<Connection> connection(new Connection(std::move(state)));
  CROSSFADE_TRY(connection->Execute(kSessionSetup));
  return connection;
}

int Connection::backend_pid() const { return PQbackendPID(state_->conn); }

bool Connection::in_transaction() const {
  const PGTransactionStatusType status = PQtransactionStatus(state_->conn);
  return status == PQTRANS_INTRANS || status == PQTRANS_INERROR || status == PQTRANS_ACTIVE;
}

Result<ResultSet> Connection::Execute(const std::string& sql) {
  CROSSFADE_TRY(state_->CheckFree());
  const bool sent = PQsendQuery(state_->conn, sql.c_str()) == 1;
  CROSSFADE_ASSIGN(PgResult result, state_->Finish(sent, Commits(sql)));
  return ReadResult(result.get());
}

Result<ResultSet> Connection::Query(const std::string& sql, const std::vector<std::optional<std::string>>& parameters) {
  CROSSFADE_TRY(state_->CheckFree());
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const auto& parameter : parameters) {
    values.push_back(parameter ? parameter->c_str() : nullptr);
  }
  const bool sent = PQsendQueryParams(state_->conn, sql.c_str(), static_cast<int>(values.size()), nullptr,
                                      values.data(), nullptr, nullptr, 0) == 1;
  CROSSFADE_ASSIGN(PgResult result, state_->Finish(sent, Commits(sql)));
  return ReadResult(result.get());
}

Status Connection::CommitDurably() {
  // Set here also where it is on: a reload of the server's configuration moves what a session has not set itself.
  CROSSFADE_TRY(
      Execute("SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
              " ELSE current_setting('synchronous_commit') END, false)"));
  return {};
}

Result<std::optional<std::string>> Connection::Scalar(const std::string& sql,
                                                      const std::vector<std::optional<std::string>>& parameters) {
  CROSSFADE_ASSIGN(ResultSet set, Query(sql, parameters));
  if (set.rows.empty() || set.rows[0].empty()) {
    return std::optional<std::string>();
  }
  return std::move(set.rows[0][0]);
}

Status Connection::Prepare(const std::string& name, const std::string& sql, std::span<const uint32_t> types) {
  CROSSFADE_TRY(state_->CheckFree());
  static_assert(sizeof(Oid) == sizeof(uint32_t));
  const bool sent = PQsendPrepare(state_->conn, name.c_str(), sql.c_str(), static_cast<int>(types.size()),
                                  reinterpret_cast<const Oid*>(types.data())) == 1;
  CROSSFADE_TRY(state_->Finish(sent, false));
  state_->prepared[name] = Commits(sql);
  return {};
}

Status Connection::PipelineBegin() {
  CROSSFADE_TRY(state_->CheckFree());
  if (PQenterPipelineMode(state_->conn) != 1) {
    return Fail(state_->SessionLost("cannot enter pipeline mode"));
  }
  state_->in_pipeline = true;
  state_->commit_under_way = false;
  state_->queued = 0;
  state_->affected.clear();
  state_->returned.clear();
  state_->first_error.reset();
  state_->current_seen = false;
  return {};
}

Status Connection::PipelineQueue(const std::string& name, std::span<const Parameter> parameters) {
  State& state = *state_;
  const auto prepared = state.prepared.find(name);
  if (!state.in_pipeline || prepared == state.prepared.end()) {
    return MakeError(ErrorClass::kCorrupt, "CF1408", kComponent, "statement {} was queued {}", name,
                     state.in_pipeline ? "but never prepared" : "outside of a pipeline");
  }
  state.values.clear();
  state.lengths.clear();
  state.formats.assign(parameters.size(), 1);
  size_t bytes = 0;
  for (const Parameter& parameter : parameters) {
    bytes += parameter.bytes ? parameter.bytes->size() : 0;
    // An empty view may hold a null pointer, which libpq would take for NULL.
    state.values.push_back(!parameter.bytes ? nullptr : parameter.bytes->empty() ? "" : parameter.bytes->data());
    state.lengths.push_back(parameter.bytes ? static_cast<int>(parameter.bytes->size()) : 0);
  }
  state.largest = std::max(state.largest, bytes);
  if (prepared->second) {
    state.commit_under_way = true;
  }
  if (PQsendQueryPrepared(state.conn, name.c_str(), static_cast<int>(parameters.size()), state.values.data(),
                          state.lengths.data(), state.formats.data(), 1) != 1) {
    return state.Lost("sending failed");
  }
  ++state.queued;
  return state.Flush();
}

size_t Connection::largest_statement() const { return state_->largest; }

Result<std::vector<uint64_t>> Connection::PipelineCollect(size_t* failed) {
  State& state = *state_;
  if (!state.in_pipeline) {
    return MakeError(ErrorClass::kCorrupt, "CF1408", kComponent, "collected outside of a pipeline");
  }
  if (PQpipelineSync(state.conn) != 1) {
    return state.Lost("sending failed");
  }
  CROSSFADE_TRY(state.Flush());
  for (bool synced = false; !synced;) {
    CROSSFADE_ASSIGN(PgResult result, state.Next());
    if (result && PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) {
      synced = true;
    } else {
      state.TakePipelined(result.get());
    }
    if (PQstatus(state.conn) == CONNECTION_BAD) {
      Error error = state.SessionLost("the session is lost");
      if (state.first_error && state.first_error->error_class == error.error_class) {
        error = std::move(*state.first_error);  // says why: 57P01 and the like
      }
      return Fail(std::move(error));
    }
  }
  state.in_pipeline = false;
  state.commit_under_way = false;
  if (PQexitPipelineMode(state.conn) != 1) {
    return state.Lost("cannot leave pipeline mode");
  }
  if (state.first_error) {
    if (failed != nullptr) {
      *failed = state.failed_at;
    }
    return Fail(std::move(*state.first_error));
  }
  return std::move(state.affected);
}

const std::string& Connection::PipelineReturned() const { return state_->returned; }

Status Connection::CopyBegin(const std::string& sql) {
  CROSSFADE_TRY(state_->CheckFree());
  const bool sent = PQsendQuery(state_->conn, sql.c_str()) == 1;
  CROSSFADE_ASSIGN(PgResult result, state_->Finish(sent, false));
  if (PQresultStatus(result.get()) != PGRES_COPY_IN) {
    return MakeError(ErrorClass::kCorrupt, "CF1408", kComponent, "not a COPY FROM STDIN: {}", sql);
  }
  return {};
}

Status Connection::CopyData(std::string_view bytes) {
  // libpq grows its buffer by what it cannot send; a piece at a time keeps that small.
  constexpr size_t kPiece = 1 << 20;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPiece);
    const int put = PQputCopyData(state_->conn, piece.data(), static_cast<int>(piece.size()));
    if (put < 0) {
      return state_->Lost("sending COPY data failed");
    }
    if (put == 1) {
      bytes.remove_prefix(piece.size());
    }
    CROSSFADE_TRY(state_->Flush());
  }
  return {};
}

Result<uint64_t> Connection::CopyEnd() {
  for (int put = 0; put != 1;) {
    put = PQputCopyEnd(state_->conn, nullptr);
    if (put < 0) {
      return state_->Lost("ending COPY failed");
    }
    CROSSFADE_TRY(state_->Flush());
  }
  CROSSFADE_ASSIGN(PgResult result, state_->Finish(true, false));
  return AffectedRows(result.get());
}

void Connection::CopyAbort(const std::string& reason) {
  if (PQputCopyEnd(state_->conn, reason.c_str()) == 1) {
    (void)state_->Finish(true, false);
  }
}

Status Connection::CopyOut(const std::string& select, const FieldsSink& sink) {
  CROSSFADE_TRY(state_->CheckFree());
  const std::string sql = "COPY (" + select + ") TO STDOUT (FORMAT binary)";
  const bool sent = PQsendQuery(state_->conn, sql.c_str()) == 1;
  CROSSFADE_ASSIGN(const PgResult begun, state_->Finish(sent, false));
  if (PQresultStatus(begun.get()) != PGRES_COPY_OUT) {
    return MakeError(ErrorClass::kCorrupt, "CF1408", kComponent, "not a query: {}", select);
  }
  std::optional<Error> refused;
  CROSSFADE_TRY(CopyOutRows(sink, &refused));
  const Result<PgResult> ended = state_->Finish(true, false);
  if (refused) {
    return Fail(std::move(*refused));
  }
  CROSSFADE_TRY(ended);
  return {};
}

// Until the server has no more; after the sink's error the statement is cancelled, and what still comes is dropped.
Status Connection::CopyOutRows(const FieldsSink& sink, std::optional<Error>* refused) {
  constexpr size_t kHeader = 19;
  constexpr size_t kFieldCount = 2;
  constexpr std::string_view kTrailer("\377\377", 2);
  for (bool first = true;;) {
    char* data = nullptr;
    const int size = PQgetCopyData(state_->conn, &data, 1);
    if (size == -1) {
      return {};
    }
    if (size < -1) {
      return state_->Lost("reading COPY data failed");
    }
    if (size == 0) {
      CROSSFADE_TRY(state_->Wait(POLLIN));
      if (PQconsumeInput(state_->conn) == 0) {
        return state_->Lost("reading failed");
      }
      continue;
    }
    const std::unique_ptr<char, void (*)(void*)> owned(data, PQfreemem);
    std::string_view row(data, static_cast<size_t>(size));
    if (first) {
      row.remove_prefix(std::min(row.size(), kHeader));  // comes with the first row
      first = false;
    }
    if (*refused || row.empty() || row == kTrailer) {
      continue;
    }
    row.remove_prefix(std::min(row.size(), kFieldCount));
    if (Status taken = sink(row); !taken) {
      *refused = std::move(taken.error());
      Cancel();
    }
  }
}

Status Connection::QueryBinary(const std::string& sql, std::span<const Parameter> parameters, const FieldsSink& sink) {
  CROSSFADE_TRY(state_->CheckFree());
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<Oid> types;
  const std::vector<int> formats(parameters.size(), 1);
  for (const Parameter& parameter : parameters) {
    values.push_back(parameter.bytes ? parameter.bytes->data() : nullptr);
    lengths.push_back(parameter.bytes ? static_cast<int>(parameter.bytes->size()) : 0);
    types.push_back(parameter.type);
  }
  if (PQsendQueryParams(state_->conn, sql.c_str(), static_cast<int>(values.size()), types.data(), values.data(),
                        lengths.data(), formats.data(), 1) != 1 ||
      PQsetSingleRowMode(state_->conn) != 1) {
    return state_->Lost("sending failed");
  }
  CROSSFADE_TRY(state_->Flush());
  std::optional<Error> failed;
  std::string fields;
  for (;;) {
    CROSSFADE_ASSIGN(const PgResult result, state_->Next());
    if (!result) {
      return failed ? Status(Fail(std::move(*failed))) : Status{};
    }
    if (IsError(result.get())) {
      failed = failed ? std::move(failed) : state_->FromResult(result.get());
    } else if (!failed && PQresultStatus(result.get()) == PGRES_SINGLE_TUPLE) {
      FieldsOf(result.get(), &fields);
      if (Status taken = sink(fields); !taken) {
        failed = std::move(taken.error());
        Cancel();
      }
    }
  }
}

std::string Connection::Literal(std::string_view text) const {
  char* escaped = PQescapeLiteral(state_->conn, text.data(), text.size());
  if (escaped == nullptr) {
    return "NULL";
  }
  std::string out = escaped;
  PQfreemem(escaped);
  return out;
}

std::string Connection::Identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') {
      out += '"';
    }
    out += c;
  }
  out += '"';
  return out;
}

void Connection::Cancel() {
  char ignored[256];
  if (state_->cancel != nullptr) {
    (void)PQcancel(state_->cancel, ignored, sizeof ignored);
  }
}

}  // namespace crossfade::postgres
