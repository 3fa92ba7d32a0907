// One connection to a MariaDB or MySQL server, over libmariadb.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"

namespace crossfade::mysql {

enum class TlsMode : uint8_t {
  kOff,       // in clear
  kRequired,  // encrypted, the server is not verified
  kVerify,    // encrypted, certificate and host name verified against tls_ca
};

struct ConnectionOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 3306;
  std::string socket;  // used instead of host and port if set
  std::string user;
  std::string password;  // never printed
  std::string database;
  TlsMode tls = TlsMode::kRequired;
  std::string tls_ca;
  uint32_t connect_timeout_s = 10;
  uint32_t read_timeout_s = 60;  // of one packet
};

enum class Flavor : uint8_t { kMariaDb, kMySql };

struct ServerInfo {
  Flavor flavor = Flavor::kMariaDb;
  std::string version;          // "10.11.19-MariaDB-deb12u1-log"
  uint32_t version_number = 0;  // 101119; 90704
  std::string identity;         // Position::server
};

// A row of a text result: nullopt is NULL. Borrowed until the next row.
using TextRow = std::span<const std::optional<std::string_view>>;

// Not thread-safe, but for Kill. Error classes: Reconnect (the session is gone), Transient (lock wait time-out,
// deadlock, too many connections, server shutting down before login), Config (access denied, unknown database, TLS
// refused), Data (the statement itself failed). Errors carry the server's errno in server_code, and never the password.
class Connection {
 public:
  // Connects, proves TLS when asked for (the cipher is checked), sets the session up so that no server setting shows
  // through: time_zone +00:00, sql_mode '', character_set_client utf8mb4, character_set_results NULL (bytes as stored),
  // autocommit 1, net_write_timeout and wait_timeout long enough for a slow reader, lock_wait_timeout 5 s, no query
  // time limit.
  static Result<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const ServerInfo& server() const;
  uint64_t thread_id() const;
  std::string tls_cipher() const;

  Status Execute(std::string_view sql);
  // Rows are given as they arrive (nothing is stored), text protocol. A false answer of `row` ends it early (the rest
  // is read and dropped).
  Status Query(std::string_view sql, const std::function<bool(TextRow)>& row);
  // Small results: all rows; NULL is nullopt.
  Result<std::vector<std::vector<std::optional<std::string>>>> Rows(std::string_view sql);
  Result<std::optional<std::string>> Scalar(std::string_view sql);

  // Quotes for SQL. Values are utf8mb4 text.
  std::string Literal(std::string_view text) const;
  static std::string Identifier(std::string_view name);

  // Transport of raw packets, for log streams and binary rows. `command` is a COM_ number.
  Status SendCommand(uint8_t command, std::string_view payload);
  // The next packet, without its 4-byte header, joined over 16 MiB pieces; borrowed until the next call.
  // An ERR packet becomes an Error; an EOF packet (0xFE, below 9 bytes) gives an empty view.
  Result<std::string_view> ReadPacket();
  // Whether ReadPacket can go on without waiting for the network, as far as this can be known cheaply.
  bool HasBuffered() const;
  // Waits until the socket is readable; false at the deadline.
  Result<bool> WaitReadable(Deadline deadline);
  // From any thread: shuts the socket down, so that a blocked call returns with Reconnect. For good.
  void Kill();

 private:
  struct State;
  explicit Connection(std::unique_ptr<State> state);
  Status Prepare();  // asks who the server is, and sets the session up
  std::unique_ptr<State> state_;
};

}  // namespace crossfade::mysql
