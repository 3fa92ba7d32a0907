#include "db/mysql/connection.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
// In this order, and with these: the library's own transport, which its headers show but do not prepare.
// clang-format off
#define HAVE_TLS 1
using uchar = unsigned char;
#include <mysql.h>
#include <ma_pvio.h>
// clang-format on

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "db/mysql/error.h"

namespace crossfade::mysql {
namespace {

constexpr std::string_view kComponent = "db.mysql";

// One row or log event may be as long as the server's own limit, and its escaped or joined form longer.
constexpr size_t kMaxPacketBytes = size_t{4} << 30;
// The library's buffer for a packet only grows: room beyond this is given back when the packet was used.
constexpr size_t kKeptPacketBytes = 16 << 20;

// Only logins that never hand the server our password in a form it could read. A server that is not verified could
// otherwise ask for it in clear text.
constexpr const char* kSafeLogins = "mysql_native_password,caching_sha2_password,sha256_password,client_ed25519,parsec";

void StartLibrary() {
  static std::once_flag once;
  std::call_once(once, [] { mysql_library_init(0, nullptr, nullptr); });
}

// libmariadb is built with OpenSSL, which is then loaded with it; asking for the function by name keeps OpenSSL out of
// our link line. With another TLS library there is no such function.
using SslPendingFunction = int (*)(const void*);
SslPendingFunction SslPending() {
  static const auto function = reinterpret_cast<SslPendingFunction>(dlsym(RTLD_DEFAULT, "SSL_has_pending"));
  return function;
}

bool ContainsIgnoringCase(std::string_view text, std::string_view word) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

template <typename T>
void SetOption(MYSQL* mysql, mysql_option option, T value) {
  mysql_optionsv(mysql, option, &value);
}

void SetOptions(MYSQL* mysql, const ConnectionOptions& options) {
  SetOption<unsigned>(mysql, MYSQL_OPT_CONNECT_TIMEOUT, options.connect_timeout_s);
  SetOption<unsigned>(mysql, MYSQL_OPT_READ_TIMEOUT, options.read_timeout_s);
  SetOption<unsigned>(mysql, MYSQL_OPT_WRITE_TIMEOUT, options.read_timeout_s);
  SetOption<my_bool>(mysql, MYSQL_OPT_RECONNECT, 0);
  SetOption<unsigned>(mysql, MYSQL_OPT_LOCAL_INFILE, 0);  // a server must not be able to ask for our files
  SetOption<size_t>(mysql, MYSQL_OPT_MAX_ALLOWED_PACKET, kMaxPacketBytes);
  // Without this, the host "localhost" means a Unix socket of the library's choice.
  SetOption<unsigned>(mysql, MYSQL_OPT_PROTOCOL, options.socket.empty() ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET);
  mysql_optionsv(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  mysql_optionsv(mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "crossfade");

  const bool tls = options.tls != TlsMode::kOff;
  SetOption<my_bool>(mysql, MYSQL_OPT_SSL_ENFORCE, tls ? 1 : 0);
  SetOption<my_bool>(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, options.tls == TlsMode::kVerify ? 1 : 0);
  if (tls) {
    mysql_optionsv(mysql, MARIADB_OPT_TLS_VERSION, "TLSv1.2,TLSv1.3");
  }
  if (options.tls == TlsMode::kVerify && !options.tls_ca.empty()) {
    mysql_optionsv(mysql, MYSQL_OPT_SSL_CA, options.tls_ca.c_str());
  }
  if (options.tls != TlsMode::kVerify) {
    mysql_optionsv(mysql, MARIADB_OPT_RESTRICTED_AUTH, kSafeLogins);
  }
}

std::string Where(const ConnectionOptions& options) {
  return options.socket.empty() ? fmt::format("{}:{}", options.host, options.port) : options.socket;
}

}  // namespace

struct Connection::State {
  MYSQL* mysql = nullptr;
  // A second descriptor of the library's socket. The library may close its own at any error, and its number would then
  // belong to somebody else when another thread calls Kill.
  int socket = -1;
  ServerInfo server;
  uint64_t thread_id = 0;
  std::string cipher;
  std::string password;

  ~State() {
    if (mysql != nullptr) {
      mysql_close(mysql);
    }
    if (socket >= 0) {
      close(socket);
    }
  }

  Error LastError() const {
    return ServerError(mysql_errno(mysql), mysql_sqlstate(mysql), mysql_error(mysql), password);
  }
  tl::unexpected<Error> Failed() const { return Fail(LastError()); }
};

namespace {

// What a server's, a user's or a database's defaults could otherwise change in what we read.
std::vector<std::string> SessionSettings(Flavor flavor, uint32_t version) {
  std::vector<std::string> sql = {
      "SET NAMES utf8mb4",
      "SET SESSION character_set_results = NULL, time_zone = '+00:00', sql_mode = '', autocommit = 1, "
      "completion_type = 0, net_read_timeout = 86400, net_write_timeout = 86400, wait_timeout = 604800, "
      "interactive_timeout = 604800, lock_wait_timeout = 5, sql_select_limit = 18446744073709551615, "
      "sql_safe_updates = 0, sql_big_selects = 1, sql_auto_is_null = 0, foreign_key_checks = 1, unique_checks = 1, "
      "group_concat_max_len = 1048576",
      "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE",
  };
  if (flavor == Flavor::kMariaDb) {
    sql.emplace_back("SET SESSION max_statement_time = 0");
    if (version >= 100300) {
      sql.emplace_back(
          "SET SESSION idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, "
          "idle_write_transaction_timeout = 0");
    }
  } else {
    sql.emplace_back("SET SESSION max_execution_time = 0");
    if (version >= 80000) {
      sql.emplace_back("SET SESSION information_schema_stats_expiry = 0");  // else table sizes may be a day old
    }
    if (version >= 80030) {
      // Otherwise the catalog may hide a primary key that is in the log.
      sql.emplace_back("SET SESSION show_gipk_in_create_table_and_information_schema = 1");
    }
  }
  return sql;
}

Status ProveTls(const ConnectionOptions& options, const std::string& cipher) {
  if ((options.tls != TlsMode::kOff) == !cipher.empty()) {
    return {};
  }
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = "CF1102";
  error.component = kComponent;
  error.object = Where(options);
  if (cipher.empty()) {
    error.message = "the server does not offer TLS, and TLS is asked for";
    error.found = "no cipher";
    error.fix = "give the server a certificate (ssl_cert, ssl_key), or set tls = \"off\"";
  } else {
    error.message = "the connection came up encrypted, and TLS is switched off";
    error.found = cipher;
    error.fix = "set tls = \"required\"";
  }
  return Fail(std::move(error));
}

Status CheckOptions(const ConnectionOptions& options) {
  if (options.tls == TlsMode::kVerify && !options.tls_ca.empty() && access(options.tls_ca.c_str(), R_OK) != 0) {
    return Fail(Error{ErrorClass::kConfig, "CF1102", std::string(kComponent),
                      "the certificate of the authority cannot be read", "", options.tls_ca, std::strerror(errno),
                      "name in tls_ca a PEM file that this account may read"});
  }
  return {};
}

}  // namespace

Connection::Connection(std::unique_ptr<State> state) : state_(std::move(state)) {}
Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  StartLibrary();
  CROSSFADE_TRY(CheckOptions(options));
  auto state = std::make_unique<State>();
  state->mysql = mysql_init(nullptr);
  if (state->mysql == nullptr) {
    return MakeError(ErrorClass::kTransient, "CF1100", kComponent, "no memory for a connection");
  }
  SetOptions(state->mysql, options);
  const char* const host = options.socket.empty() ? options.host.c_str() : nullptr;
  const char* const socket = options.socket.empty() ? nullptr : options.socket.c_str();
  if (mysql_real_connect(state->mysql, host, options.user.c_str(), options.password.c_str(),
                         options.database.empty() ? nullptr : options.database.c_str(), options.port, socket,
                         0) == nullptr) {
    Error error = ConnectError(mysql_errno(state->mysql), mysql_sqlstate(state->mysql), mysql_error(state->mysql),
                               options.password, options.tls == TlsMode::kVerify);
    error.object = Where(options);
    if (error.code == "CF1101") {
      error.found = fmt::format("refused for user {}, database {}", options.user, options.database);
      error.fix = "name a user, a password and a database that the server knows, and that go together";
    }
    return Fail(std::move(error));
  }
  const char* const cipher = mysql_get_ssl_cipher(state->mysql);
  state->cipher = cipher == nullptr ? "" : cipher;
  state->password = options.password;
  state->socket = fcntl(mysql_get_socket(state->mysql), F_DUPFD_CLOEXEC, 0);
  if (state->socket < 0) {
    return MakeError(ErrorClass::kTransient, "CF1100", kComponent, "no descriptor left: {}", std::strerror(errno));
  }
  CROSSFADE_TRY(ProveTls(options, state->cipher));

  std::unique_ptr<Connection> connection(new Connection(std::move(state)));
  if (const Status prepared = connection->Prepare(); !prepared) {
    Error error = prepared.error();
    if (error.error_class == ErrorClass::kReconnect) {
      error.error_class = ErrorClass::kTransient;  // nothing was open yet: simply try again
    }
    error.object = Where(options);
    return Fail(std::move(error).WithContext("setting up the session"));
  }
  return connection;
}

Status Connection::Prepare() {
  ServerInfo& server = state_->server;
  std::vector<std::string> facts;
  CROSSFADE_TRY(
      Query("SELECT @@version, @@version_comment, CONNECTION_ID(), @@server_id, @@hostname, @@port", [&](TextRow row) {
        for (const auto& field : row) {
          facts.emplace_back(field.value_or(""));
        }
        return true;
      }));
  if (facts.size() != 6) {
    return MakeError(ErrorClass::kConfig, "CF1100", kComponent, "the server does not say what it is");
  }
  server.version = facts[0];
  const bool mariadb = ContainsIgnoringCase(facts[0], "mariadb") || ContainsIgnoringCase(facts[1], "mariadb");
  server.flavor = mariadb ? Flavor::kMariaDb : Flavor::kMySql;
  server.version_number = ParseVersion(facts[0]);
  state_->thread_id = std::strtoull(facts[2].c_str(), nullptr, 10);
  for (const std::string& sql : SessionSettings(server.flavor, server.version_number)) {
    CROSSFADE_TRY(Execute(sql));
  }
  if (mariadb) {
    server.identity = fmt::format("{}@{}:{}", facts[3], facts[4], facts[5]);
    return {};
  }
  CROSSFADE_ASSIGN(const std::optional<std::string> uuid, Scalar("SELECT @@server_uuid"));
  server.identity = uuid.value_or("");
  return {};
}

const ServerInfo& Connection::server() const { return state_->server; }
uint64_t Connection::thread_id() const { return state_->thread_id; }
std::string Connection::tls_cipher() const { return state_->cipher; }

Status Connection::Execute(std::string_view sql) {
  return Query(sql, [](TextRow) { return false; });
}

Status Connection::Query(std::string_view sql, const std::function<bool(TextRow)>& row) {
  MYSQL* const mysql = state_->mysql;
  if (mysql_real_query(mysql, sql.data(), sql.size()) != 0) {
    return state_->Failed();
  }
  struct FreeResult {
    void operator()(MYSQL_RES* result) const { mysql_free_result(result); }  // reads and drops what is left
  };
  const std::unique_ptr<MYSQL_RES, FreeResult> result(mysql_use_result(mysql));
  if (result == nullptr) {
    if (mysql_errno(mysql) != 0) {
      return state_->Failed();
    }
    return {};  // a statement without rows
  }
  const unsigned columns = mysql_num_fields(result.get());
  std::vector<std::optional<std::string_view>> fields(columns);
  bool wanted = true;
  while (MYSQL_ROW values = mysql_fetch_row(result.get())) {
    if (!wanted) {
      continue;
    }
    const unsigned long* const lengths = mysql_fetch_lengths(result.get());
    for (unsigned i = 0; i < columns; ++i) {
      fields[i] = values[i] == nullptr ? std::nullopt : std::optional(std::string_view(values[i], lengths[i]));
    }
    wanted = row(fields);
  }
  if (mysql_errno(mysql) != 0) {
    return state_->Failed();
  }
  return {};
}

Result<std::vector<std::vector<std::optional<std::string>>>> Connection::Rows(std::string_view sql) {
  std::vector<std::vector<std::optional<std::string>>> rows;
  CROSSFADE_TRY(Query(sql, [&](TextRow row) {
    rows.emplace_back(row.begin(), row.end());
    return true;
  }));
  return rows;
}

Result<std::optional<std::string>> Connection::Scalar(std::string_view sql) {
  std::optional<std::string> value;
  CROSSFADE_TRY(Query(sql, [&](TextRow row) {
    if (!row.empty() && row[0]) {
      value.emplace(*row[0]);
    }
    return false;
  }));
  return value;
}

std::string Connection::Literal(std::string_view text) const {
  std::string quoted(text.size() * 2 + 3, '\0');
  quoted[0] = '\'';
  const size_t length = mysql_real_escape_string(state_->mysql, quoted.data() + 1, text.data(), text.size());
  quoted[length + 1] = '\'';
  quoted.resize(length + 2);
  return quoted;
}

std::string Connection::Identifier(std::string_view name) {
  std::string quoted = "`";
  for (const char c : name) {
    if (c == '`') {
      quoted += '`';
    }
    quoted += c;
  }
  quoted += '`';
  return quoted;
}

Status Connection::SendCommand(uint8_t command, std::string_view payload) {
  MYSQL* const mysql = state_->mysql;
  // A null pointer with no length would be measured with strlen.
  const char* const bytes = payload.empty() ? "" : payload.data();
  if (mysql->methods->db_command(mysql, static_cast<enum_server_command>(command), bytes, payload.size(), 1, nullptr) !=
      0) {
    return state_->Failed();
  }
  return {};
}

namespace {

// As the library's own net_realloc does it, with the same few bytes for headers.
void GiveBack(NET* net) {
  constexpr size_t kHeaders = 64;
  if (net->max_packet <= kKeptPacketBytes || net->compress != 0) {
    return;  // a compressed stream may hold the beginning of the next packet
  }
  if (void* const smaller = std::realloc(net->buff, kKeptPacketBytes + kHeaders); smaller != nullptr) {
    net->buff = net->write_pos = net->read_pos = static_cast<uchar*>(smaller);
    net->max_packet = kKeptPacketBytes;
    net->buff_end = net->buff + kKeptPacketBytes;
  }
}

}  // namespace

Result<std::string_view> Connection::ReadPacket() {
  MYSQL* const mysql = state_->mysql;
  GiveBack(&mysql->net);
  const unsigned long length = mysql_net_read_packet(mysql);
  if (length == packet_error) {
    return state_->Failed();
  }
  const auto* const bytes = reinterpret_cast<const char*>(mysql->net.read_pos);
  if (length < 9 && static_cast<uint8_t>(bytes[0]) == 0xFE) {
    return std::string_view();
  }
  return std::string_view(bytes, length);
}

bool Connection::HasBuffered() const {
  const MARIADB_PVIO* const pvio = state_->mysql->net.pvio;
  if (pvio == nullptr) {
    return true;  // ReadPacket will say at once that the session is gone
  }
  if (pvio->cache != nullptr && pvio->cache_pos < pvio->cache + pvio->cache_size) {
    return true;
  }
  // The library reads long packets past its cache, so that the rest of a TLS record may wait inside the TLS library,
  // where poll does not see it.
  if (pvio->ctls != nullptr && pvio->ctls->ssl != nullptr && SslPending() != nullptr) {
    return SslPending()(pvio->ctls->ssl) != 0;
  }
  return false;
}

Result<bool> Connection::WaitReadable(Deadline deadline) {
  for (;;) {
    if (HasBuffered()) {
      return true;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd entry{state_->socket, POLLIN, 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (ready > 0) {
      return true;  // also when it is closed: the next read says so
    }
    if (ready < 0 && errno != EINTR) {
      return MakeError(ErrorClass::kReconnect, "CF1103", kComponent, "waiting for the server: {}",
                       std::strerror(errno));
    }
    if (ready == 0 && std::chrono::steady_clock::now() >= deadline) {
      return false;
    }
  }
}

void Connection::Kill() { shutdown(state_->socket, SHUT_RDWR); }

}  // namespace crossfade::mysql
