#include "db/postgres/connect.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "db/postgres/error.h"

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";

struct FreeConnection {
  void operator()(PGconn* conn) const { PQfinish(conn); }
};
using PgConn = std::unique_ptr<PGconn, FreeConnection>;

std::string Trimmed(const char* text) {
  std::string out = text == nullptr ? "" : text;
  while (!out.empty() && std::isspace(static_cast<unsigned char>(out.back())) != 0) {
    out.pop_back();
  }
  return out;
}

void AppendOption(std::string* out, std::string_view name, std::string_view value) {
  *out += name;
  *out += "='";
  for (const char c : value) {
    if (c == '\'' || c == '\\') {
      *out += '\\';
    }
    *out += c;
  }
  *out += "' ";
}

// libpq 15 gives no SQLSTATE for a failed connect but in its verbose text: "FATAL:  28P01: password ...".
std::string SqlStateOfConnect(std::string_view text) {
  constexpr std::string_view kMark = ":  ";
  for (size_t at = text.find(kMark); at != std::string_view::npos; at = text.find(kMark, at + 1)) {
    const std::string_view rest = text.substr(at + kMark.size());
    if (rest.size() < 7 || rest[5] != ':') {
      continue;
    }
    bool state = true;
    for (const char c : rest.substr(0, 5)) {
      state = state && (std::isdigit(static_cast<unsigned char>(c)) != 0 || (c >= 'A' && c <= 'Z'));
    }
    if (state) {
      return std::string(rest.substr(0, 5));
    }
  }
  return {};
}

}  // namespace

std::string ConnectionString(const ConnectionOptions& options) {
  std::string out;
  AppendOption(&out, "host", options.host);
  AppendOption(&out, "port", fmt::format("{}", options.port));
  AppendOption(&out, "user", options.user);
  if (!options.password.empty()) {
    AppendOption(&out, "password", options.password);
  }
  AppendOption(&out, "dbname", options.database);
  AppendOption(&out, "application_name", options.application_name);
  if (options.replication) {
    AppendOption(&out, "replication", "database");
  }
  AppendOption(&out, "connect_timeout", fmt::format("{}", options.connect_timeout_s));
  AppendOption(&out, "client_encoding", "UTF8");
  AppendOption(&out, "keepalives_idle", "30");
  AppendOption(&out, "keepalives_interval", "10");
  AppendOption(&out, "keepalives_count", "3");
  AppendOption(&out, "tcp_user_timeout", "60000");
  switch (options.tls) {
    case TlsMode::kOff:
      AppendOption(&out, "sslmode", "disable");
      break;
    case TlsMode::kRequired:
      AppendOption(&out, "sslmode", "require");
      break;
    case TlsMode::kVerify:
      AppendOption(&out, "sslmode", "verify-full");
      break;
  }
  // With a root certificate in its default place libpq would check "require" against it; only what is asked for counts.
  if (options.tls == TlsMode::kVerify && !options.tls_ca.empty()) {
    AppendOption(&out, "sslrootcert", options.tls_ca);
  }
  return out;
}

namespace {

Error ConnectError(const ConnectionOptions& options, PGconn* conn) {
  const std::string text = Trimmed(PQerrorMessage(conn));
  Error error = ErrorFromServer(kComponent, SqlStateOfConnect(text),
                                fmt::format("cannot connect to {}:{}: {}", options.host, options.port, text));
  error.object = fmt::format("{}:{}/{}", options.host, options.port, options.database);
  if (error.error_class == ErrorClass::kConfig) {
    error.found = fmt::format("refused for user {}, database {}", options.user, options.database);
    error.fix = error.server_code == "3D000"
                    ? "CREATE DATABASE " + Connection::Identifier(options.database)
                    : "name a user and a password that the server knows, or let them in (pg_hba.conf)";
  }
  return error;
}

struct Attempt {
  PgConn conn;
  bool connected = false;
  // Went down while TLS was being negotiated: the server had no word of its own to say.
  bool failed_in_tls = false;
  bool timed_out = false;
};

Attempt Try(const ConnectionOptions& options) {
  Attempt attempt;
  attempt.conn.reset(PQconnectStart(ConnectionString(options).c_str()));
  PGconn* conn = attempt.conn.get();
  if (conn == nullptr || PQstatus(conn) == CONNECTION_BAD) {
    return attempt;
  }
  PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
  const Deadline deadline = After(std::chrono::seconds(options.connect_timeout_s));
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd descriptor{PQsocket(conn), static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    const int ready = left.count() <= 0 ? 0 : poll(&descriptor, 1, static_cast<int>(left.count()));
    if (ready == 0) {
      attempt.timed_out = true;
      return attempt;
    }
    if (ready < 0) {
      continue;  // a signal
    }
    const ConnStatusType before = PQstatus(conn);
    state = PQconnectPoll(conn);
    if (state == PGRES_POLLING_FAILED) {
      attempt.failed_in_tls = before == CONNECTION_SSL_STARTUP;
      return attempt;
    }
  }
  PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
  attempt.connected = true;
  return attempt;
}

// The server's one-letter answer to the question whether it speaks TLS: 'S' or 'N'; 0 if there was none.
char AskForTls(const ConnectionOptions& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(options.host.c_str(), fmt::format("{}", options.port).c_str(), &hints, &found) != 0) {
    return 0;
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  char answer = 0;
  for (const addrinfo* address = found; address != nullptr && answer == 0; address = address->ai_next) {
    const int descriptor = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    if (descriptor < 0) {
      continue;
    }
    const timeval timeout{2, 0};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    constexpr char kSslRequest[] = {0, 0, 0, 8, 0x04, char(0xd2), 0x16, 0x2f};
    if (connect(descriptor, address->ai_addr, address->ai_addrlen) != 0 ||
        send(descriptor, kSslRequest, sizeof kSslRequest, MSG_NOSIGNAL) != sizeof kSslRequest ||
        recv(descriptor, &answer, 1, 0) != 1) {
      answer = 0;
    }
    close(descriptor);
  }
  return answer;
}

tl::unexpected<Error> TlsRefused(const ConnectionOptions& options, std::string_view why, std::string_view fix) {
  auto error =
      MakeError(ErrorClass::kConfig, "CF1407", kComponent, "no TLS with {}:{}: {}", options.host, options.port, why);
  error.value().object = fmt::format("{}:{}", options.host, options.port);
  error.value().fix = fix;
  return error;
}

// libpq gives no code for what goes wrong with TLS, and a lost socket looks the same to it as a refused certificate.
// What it was is asked of the server: waiting mends the one, and never the other.
Result<pg_conn*> ExplainTls(const ConnectionOptions& options, PGconn* conn) {
  const char answer = AskForTls(options);
  if (answer == 'N') {
    return TlsRefused(options, "the server does not speak it", "set ssl = on there, or target.tls = \"off\"");
  }
  if (answer == 'S' && options.tls == TlsMode::kVerify) {
    ConnectionOptions unverified = options;
    unverified.tls = TlsMode::kRequired;
    // Nobody is to log in to a server that has not shown who it is.
    unverified.password.clear();
    const Attempt other = Try(unverified);
    if (!other.timed_out && !other.failed_in_tls) {
      return TlsRefused(options, Trimmed(PQerrorMessage(conn)), "target.tls_ca, target.host: as in the certificate");
    }
  }
  return Fail(ConnectError(options, conn));
}

}  // namespace

Result<pg_conn*> ConnectServer(const ConnectionOptions& options) {
  if (options.tls == TlsMode::kVerify && !options.tls_ca.empty() && access(options.tls_ca.c_str(), R_OK) != 0) {
    return TlsRefused(options, fmt::format("cannot read {}", options.tls_ca), "target.tls_ca");
  }
  Attempt attempt = Try(options);
  PGconn* conn = attempt.conn.get();
  if (conn == nullptr) {
    return MakeError(ErrorClass::kTransient, "CF1403", kComponent, "out of memory");
  }
  if (attempt.timed_out) {
    return MakeError(ErrorClass::kReconnect, "CF1401", kComponent, "cannot connect to {}:{}: no answer within {} s",
                     options.host, options.port, options.connect_timeout_s);
  }
  if (!attempt.connected) {
    return attempt.failed_in_tls ? ExplainTls(options, conn) : Fail(ConnectError(options, conn));
  }
  if (options.tls != TlsMode::kOff && PQsslInUse(conn) == 0) {
    return TlsRefused(options, "the connection came without it",
                      "target.tls = \"off\" for a unix socket, which has none");
  }
  return attempt.conn.release();
}

}  // namespace crossfade::postgres
