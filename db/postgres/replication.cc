#include "db/postgres/replication.h"

#include <libpq-fe.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <utility>

#include "core/clock.h"
#include "db/postgres/connect.h"
#include "db/postgres/error.h"
#include "db/postgres/value_text.h"

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";
constexpr int64_t kEpochMicros = 946'684'800'000'000;  // 2000-01-01, from which the server counts
constexpr std::chrono::seconds kCommandLimit{30};

struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, FreeResult>;

struct FreeBuffer {
  void operator()(char* bytes) const { PQfreemem(bytes); }
};

bool IsError(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_NONFATAL_ERROR;
}

std::string Text(const PGresult* result, int row, int column) {
  if (row >= PQntuples(result) || column >= PQnfields(result) || PQgetisnull(result, row, column) != 0) {
    return {};
  }
  return {PQgetvalue(result, row, column), static_cast<size_t>(PQgetlength(result, row, column))};
}

uint64_t BigEndian(std::string_view bytes) {
  uint64_t number = 0;
  for (const char c : bytes) {
    number = number << 8 | static_cast<uint8_t>(c);
  }
  return number;
}

void PutBigEndian(uint64_t number, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(number >> shift));
  }
}

tl::unexpected<Error> Garbled(std::string_view what) {
  return MakeError(ErrorClass::kCorrupt, "CF1406", kComponent, "the server's answer to {} cannot be read", what);
}

}  // namespace

struct ReplicationConnection::State {
  PGconn* conn = nullptr;
  int wake = -1;  // readable once Interrupt was called
  std::atomic<bool> interrupted = false;
  bool streaming = false;
  std::unique_ptr<char, FreeBuffer> message;  // what Read gave last
  std::unique_ptr<char, FreeBuffer> ahead;    // what it gives next, read by HasBuffered
  size_t ahead_size = 0;
  std::optional<Error> failed;  // what HasBuffered met, for Read to say

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    PQfinish(conn);
    if (wake >= 0) {
      close(wake);
    }
  }

  tl::unexpected<Error> Lost(std::string_view what) const {
    std::string text = PQerrorMessage(conn);
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
      text.pop_back();
    }
    return Fail(ErrorFromServer(kComponent, "", fmt::format("{}: {}", what, text)));
  }

  tl::unexpected<Error> FromResult(const PGresult* result) const {
    const char* const sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate == nullptr) {
      return Lost("the session is lost");
    }
    return Fail(ErrorFromServer(kComponent, sqlstate, ServerText(result)));
  }

  // False at the deadline. What the socket was ready for is in `happened`.
  Result<bool> Wait(short events, Deadline deadline, short* happened = nullptr) const {
    for (;;) {
      if (interrupted) {
        return MakeError(ErrorClass::kTransient, "CF1403", kComponent, "interrupted");
      }
      using std::chrono::milliseconds;
      const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd descriptors[2] = {{PQsocket(conn), events, 0}, {wake, POLLIN, 0}};
      if (descriptors[0].fd < 0) {
        return Lost("the session is lost");
      }
      const auto limit = std::clamp(left, milliseconds(0), milliseconds(600'000));
      const int ready = poll(descriptors, 2, static_cast<int>(limit.count()));
      if (ready < 0 && errno != EINTR) {
        return Lost("poll failed");
      }
      if (ready > 0 && descriptors[0].revents != 0) {
        if (happened != nullptr) {
          *happened = descriptors[0].revents;
        }
        return true;
      }
      if (ready <= 0 && std::chrono::steady_clock::now() >= deadline) {
        return false;
      }
    }
  }

  // Sends all that is buffered, taking in what comes meanwhile: a server that waits to be read would not read either.
  Status Flush() const {
    const Deadline deadline = After(kCommandLimit);
    for (int left = PQflush(conn); left != 0; left = PQflush(conn)) {
      if (left < 0) {
        return Lost("sending failed");
      }
      short happened = 0;
      CROSSFADE_ASSIGN(const bool ready, Wait(POLLIN | POLLOUT, deadline, &happened));
      if (!ready) {
        return MakeError(ErrorClass::kReconnect, "CF1401", kComponent, "the server has not read for {} s",
                         kCommandLimit.count());
      }
      if ((happened & (POLLIN | POLLHUP | POLLERR)) != 0 && PQconsumeInput(conn) == 0) {
        return Lost("reading failed");
      }
    }
    return {};
  }

  // The next result of a command; null at its end. At the deadline the command is cancelled, and has so long again to
  // say so.
  Result<PgResult> Next(Deadline* deadline, bool* cancelled) const {
    while (PQisBusy(conn) != 0) {
      CROSSFADE_ASSIGN(const bool ready, Wait(POLLIN, *deadline));
      if (!ready && *cancelled) {
        return MakeError(ErrorClass::kReconnect, "CF1401", kComponent, "the server does not answer");
      }
      if (!ready) {
        *cancelled = true;
        Cancel();
        *deadline = After(kCommandLimit);
      } else if (PQconsumeInput(conn) == 0) {
        return Lost("reading failed");
      }
    }
    return PgResult(PQgetResult(conn));
  }

  void Cancel() const {
    char ignored[256];
    PGcancel* const cancel = PQgetCancel(conn);
    if (cancel != nullptr) {
      (void)PQcancel(cancel, ignored, sizeof ignored);
      PQfreeCancel(cancel);
    }
  }

  // The last result of one command; a stream's beginning is the last one.
  Result<PgResult> Run(const std::string& command, Deadline deadline = After(kCommandLimit)) const {
    if (streaming) {
      return MakeError(ErrorClass::kCorrupt, "CF1408", kComponent, "a command was sent inside a stream");
    }
    if (PQsendQuery(conn, command.c_str()) != 1) {
      return Lost("sending failed");
    }
    CROSSFADE_TRY(Flush());
    bool cancelled = false;
    PgResult last;
    std::optional<Error> error;
    for (;;) {
      CROSSFADE_ASSIGN(PgResult result, Next(&deadline, &cancelled));
      if (!result) {
        break;
      }
      if (IsError(result.get())) {
        error = error ? std::move(error) : FromResult(result.get()).value();
        if (PQstatus(conn) == CONNECTION_BAD) {
          break;
        }
        continue;
      }
      last = std::move(result);
      if (PQresultStatus(last.get()) == PGRES_COPY_BOTH) {
        return last;
      }
    }
    if (error) {
      return Fail(std::move(*error));
    }
    return last ? Result<PgResult>(std::move(last)) : Result<PgResult>(Lost("the server sent no result"));
  }

  // One message of the stream into `ahead`, if it is there. False: not yet.
  Result<bool> Take() {
    char* bytes = nullptr;
    const int size = PQgetCopyData(conn, &bytes, 1);
    if (size > 0) {
      ahead.reset(bytes);
      ahead_size = static_cast<size_t>(size);
      return true;
    }
    if (size == 0) {
      return false;
    }
    if (size == -2) {
      return Lost("reading the stream failed");
    }
    streaming = false;
    const PgResult ended(PQgetResult(conn));
    if (ended && IsError(ended.get())) {
      return FromResult(ended.get());
    }
    return MakeError(ErrorClass::kReconnect, "CF1401", kComponent, "the server ended the stream");
  }
};

ReplicationConnection::ReplicationConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}
ReplicationConnection::~ReplicationConnection() = default;

Result<std::unique_ptr<ReplicationConnection>> ReplicationConnection::Open(const ConnectionOptions& options) {
  auto state = std::make_unique<State>();
  state->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (state->wake < 0) {
    return MakeError(ErrorClass::kTransient, "CF1403", kComponent, "no more files can be opened");
  }
  ConnectionOptions wanted = options;
  wanted.replication = true;
  CROSSFADE_ASSIGN(state->conn, ConnectServer(wanted));
  PQsetNoticeProcessor(
      state->conn, [](void*, const char*) {}, nullptr);
  if (PQsetnonblocking(state->conn, 1) != 0) {
    return state->Lost("cannot make the socket non-blocking");
  }
  std::unique_ptr<ReplicationConnection> connection(new ReplicationConnection(std::move(state)));
  constexpr std::string_view kSettings = " SET statement_timeout = 0; SET lock_timeout = 0;";
  CROSSFADE_TRY(connection->state_->Run(std::string(kTextSettings).append(kSettings)));
  return connection;
}

Result<SystemIdentity> ReplicationConnection::IdentifySystem() {
  CROSSFADE_ASSIGN(const PgResult result, state_->Run("IDENTIFY_SYSTEM"));
  const std::string timeline = Text(result.get(), 0, 1);
  SystemIdentity identity;
  identity.server.system = Text(result.get(), 0, 0);
  const auto [end, failed] =
      std::from_chars(timeline.data(), timeline.data() + timeline.size(), identity.server.timeline);
  const auto flushed = ParseLsn(Text(result.get(), 0, 2));
  if (failed != std::errc() || identity.server.system.empty() || !flushed) {
    return Garbled("IDENTIFY_SYSTEM");
  }
  identity.flushed = *flushed;
  return identity;
}

// Each line of a history: the timeline that was left, where, and why; "#" begins a comment.
Result<std::optional<uint64_t>> ReplicationConnection::LeftTimelineAt(uint32_t earlier, uint32_t timeline) {
  CROSSFADE_ASSIGN(const PgResult result, state_->Run(fmt::format("TIMELINE_HISTORY {}", timeline)));
  const std::string history = Text(result.get(), 0, 1);
  std::string_view rest = history;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    uint32_t left = 0;
    const auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), left);
    if (failed != std::errc() || left != earlier) {
      continue;
    }
    const std::string_view tail = line.substr(static_cast<size_t>(end - line.data()));
    const size_t begin = std::min(tail.find_first_not_of(" \t"), tail.size());
    const std::string_view place = tail.substr(begin);
    CROSSFADE_ASSIGN(const uint64_t lsn, ParseLsn(place.substr(0, place.find_first_of(" \t"))));
    return lsn;
  }
  return std::nullopt;
}

Result<CreatedSlot> ReplicationConnection::CreateSlot(const std::string& name, bool temporary, bool export_snapshot,
                                                      Deadline deadline) {
  const std::string command =
      fmt::format("CREATE_REPLICATION_SLOT {}{} LOGICAL pgoutput {}", Connection::Identifier(name),
                  temporary ? " TEMPORARY" : "", export_snapshot ? "EXPORT_SNAPSHOT" : "NOEXPORT_SNAPSHOT");
  auto result = state_->Run(command, deadline);
  if (!result && result.error().server_code == "57014") {
    auto error = MakeError(ErrorClass::kTransient, "CF1911", kComponent,
                           "the slot waited too long for transactions that write: {}", result.error().message);
    error.value().object = name;
    error.value().found = "an open transaction that has written, or a prepared one";
    error.value().fix =
        "SELECT pid, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL; "
        "SELECT * FROM pg_prepared_xacts: have them ended";
    error.value().server_code = result.error().server_code;
    return error;
  }
  CROSSFADE_TRY(result);
  const auto point = ParseLsn(Text(result->get(), 0, 1));
  if (!point) {
    return Garbled("CREATE_REPLICATION_SLOT");
  }
  return CreatedSlot{*point, Text(result->get(), 0, 2)};
}

Status ReplicationConnection::DropSlot(const std::string& name) {
  CROSSFADE_TRY(state_->Run(fmt::format("DROP_REPLICATION_SLOT {}", Connection::Identifier(name))));
  return {};
}

Status ReplicationConnection::Start(const std::string& slot, uint64_t lsn, const std::string& publication) {
  std::string names;  // a literal within a literal's rules: identifiers, quoted
  for (const char c : Connection::Identifier(publication)) {
    names += c == '\'' ? "''" : std::string(1, c);
  }
  const std::string command =
      fmt::format("START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names '{}')",
                  Connection::Identifier(slot), FormatLsn(lsn), names);
  CROSSFADE_ASSIGN(const PgResult result, state_->Run(command));
  if (PQresultStatus(result.get()) != PGRES_COPY_BOTH) {
    return Garbled("START_REPLICATION");
  }
  state_->streaming = true;
  return {};
}

Result<std::optional<StreamMessage>> ReplicationConnection::Read(Deadline deadline) {
  State& state = *state_;
  if (state.failed) {
    return Fail(std::exchange(state.failed, std::nullopt).value());
  }
  if (!state.streaming) {
    return MakeError(ErrorClass::kReconnect, "CF1401", kComponent, "there is no stream");
  }
  while (!state.ahead) {
    CROSSFADE_ASSIGN(const bool there, state.Take());
    if (there) {
      break;
    }
    CROSSFADE_ASSIGN(const bool ready, state.Wait(POLLIN, deadline));
    if (!ready) {
      return std::nullopt;
    }
    if (PQconsumeInput(state.conn) == 0) {
      return state.Lost("reading the stream failed");
    }
  }
  state.message = std::move(state.ahead);
  const std::string_view bytes(state.message.get(), state.ahead_size);
  constexpr size_t kLsn = 8;
  constexpr size_t kKeepalive = 1 + 8 + 8 + 1;
  constexpr size_t kDataHeader = 1 + 8 + 8 + 8;
  StreamMessage message;
  message.lsn = BigEndian(bytes.substr(std::min<size_t>(1, bytes.size()), kLsn));
  if (bytes[0] == 'k' && bytes.size() == kKeepalive) {
    message.keepalive = true;
    message.reply_wanted = bytes.back() != 0;
    return message;
  }
  if (bytes[0] == 'w' && bytes.size() >= kDataHeader) {
    message.data = bytes.substr(kDataHeader);
    return message;
  }
  return MakeError(ErrorClass::kCorrupt, "CF1406", kComponent, "the stream holds a message of kind {} and {} bytes",
                   static_cast<int>(bytes[0]), bytes.size());
}

bool ReplicationConnection::HasBuffered() {
  State& state = *state_;
  if (state.ahead || state.failed || !state.streaming) {
    return state.ahead != nullptr || state.failed;
  }
  auto there = state.Take();
  if (there && !*there && PQconsumeInput(state.conn) != 0) {
    there = state.Take();
  }
  if (!there) {
    state.failed = std::move(there).error();
  }
  return !there || *there;
}

Status ReplicationConnection::SendStatus(uint64_t flushed, bool ask) {
  std::string status = "r";
  PutBigEndian(flushed, &status);  // written
  PutBigEndian(flushed, &status);  // flushed
  PutBigEndian(flushed, &status);  // applied
  PutBigEndian(static_cast<uint64_t>(WallMicros() - kEpochMicros), &status);
  status.push_back(static_cast<char>(ask ? 1 : 0));
  for (;;) {
    const int put = PQputCopyData(state_->conn, status.data(), static_cast<int>(status.size()));
    if (put < 0) {
      return state_->Lost("sending failed");
    }
    CROSSFADE_TRY(state_->Flush());
    if (put == 1) {
      return {};
    }
  }
}

void ReplicationConnection::Interrupt() {
  state_->interrupted = true;
  const uint64_t one = 1;
  (void)!write(state_->wake, &one, sizeof one);
}

}  // namespace crossfade::postgres
