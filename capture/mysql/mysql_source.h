// The binlog of a MariaDB or MySQL server as a Source.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "capture/source.h"
#include "core/schema.h"
#include "db/mysql/connection.h"

namespace crossfade::capture {

struct MySqlSourceOptions {
  mysql::ConnectionOptions connection;
  std::string database;
  std::vector<TableSchema> tables;  // the captured ones, as the catalog has them at the start position or later
  std::vector<LogMark> known_logs;  // of files that were read before
  bool places_count = false;        // places of the copy are still compared: see CheckSameServer
  uint32_t server_id = 0;           // ours, towards the server; 0: a random one
  uint32_t heartbeat_ms = 100;      // the server speaks at least so often
  uint32_t silence_ms = 30'000;     // not a byte for so long: the session is taken for dead (Reconnect, CF1206)
  uint64_t hold_bytes = 64 << 20;   // see LogOptions
};

// Starts by GTID where the position has a set and the server keeps GTIDs, else by file:offset. Opened again after an
// error, it first ends the transaction that it had begun, by a rollback.
//   CF1200 interrupted (Transient)
//   CF1201 the position is not one to start from here: another server, no such file, nothing in it (Config)
//   CF1202 the server's settings or our rights do not allow reading the log (Config)
//   CF1203 the log there was purged (Config)
//   CF1204 the server has lost what was read from it before (Corrupt)
//   CF1206 the stream ended or fell silent (Reconnect)
//   CF1216 another server has the name of one that the copy remembers (Config)
// and those of LogDecoder.
class MySqlSource final : public Source {
 public:
  explicit MySqlSource(MySqlSourceOptions options);
  ~MySqlSource() override;

  Status Open(const Position& from) override;
  Result<std::optional<Event>> Next(Deadline deadline) override;
  const LogMark* Log() const override;
  bool HasBuffered() const override;
  // The server keeps its log by its own rules: nothing is sent.
  Status Confirm(const Position& position) override;
  Result<Position> Head() override;
  void Interrupt() override;
  void Close() override;

 private:
  struct Reading;

  Status OpenLog(const Position& from);
  Status CheckMarks(const Position& from);
  Result<std::optional<Event>> Read(Deadline deadline);
  Error Classified(Error error) const;

  MySqlSourceOptions options_;
  std::unique_ptr<Reading> reading_;
  bool open_ = false;       // Begin was given, and no end yet
  bool left_open_ = false;  // so when the last session ended
  std::atomic<bool> interrupted_ = false;
  // Guards against Interrupt while the connections come and go.
  std::mutex mutex_;
  mysql::Connection* live_ = nullptr;       // mutex_
  mysql::Connection* live_head_ = nullptr;  // mutex_
};

}  // namespace crossfade::capture
