// The log of a PostgreSQL database as a Source: one logical slot with pgoutput.
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
#include "db/postgres/connection.h"
#include "db/postgres/replication.h"

namespace crossfade::capture {

struct PostgresSourceOptions {
  postgres::ConnectionOptions connection;
  std::string schema = "public";
  std::vector<TableSchema> tables;  // the captured ones, of that schema
  std::string slot;                 // db/postgres/slot.h makes it, after the publication
  std::string publication;
  uint32_t heartbeat_ms = 100;  // the server is asked so often where it stands
  // Not a byte for so long: the session is taken for dead (Reconnect, CF1206). A server that works through a large
  // transaction of others may be silent for half of its wal_sender_timeout.
  uint32_t silence_ms = 120'000;
};

// The stream holds committed transactions only, one after the other, in the order of their commits: a large one is kept
// by the server (logical_decoding_work_mem, then its disk) and comes when it has committed. That is protocol version 1.
// Version 2 would send it piece by piece before that, interleaved with others and with its subtransactions' rollbacks;
// it gains time, and would have us keep what may never commit. The slot is made without two_phase: a prepared
// transaction's rows come, with its own xid, when it is committed, so a Source here never gives XA outcomes.
//
// The log holds all that foreign keys' actions and triggers did, parents first, as changes of their own (hazard H10).
// So every change says kNoForeignKeyChecks: the target must not act a second time, nor act where the source did not
// (session_replication_role, disabled triggers), of which the stream says nothing. Statements are not told apart.
//
// A TRUNCATE of a partition by itself, and its DETACH or DROP, is not in the stream.
//
// Opened again after an error, it first ends the transaction that it had begun, by a rollback.
//   CF1200 interrupted (Transient)
//   CF1201 the position is not one to start from here, or the slot is another's (Config)
//   CF1202 the server's settings or our rights do not allow reading the log (Config)
//   CF1203 slot or publication have lost what was not read yet (Config)
//   CF1204 the server has lost what was read from it before (Corrupt)
//   CF1206 the server fell silent (Reconnect)
//   CF1920, CF1921 the stream cannot be understood (Corrupt)
//   CF1922 a change of a table behind a SchemaChange of it (Data)
// and those of values (db/postgres/value_text.h) and connections.
class PostgresSource final : public Source {
 public:
  explicit PostgresSource(PostgresSourceOptions options);
  ~PostgresSource() override;

  Status Open(const Position& from) override;
  Result<std::optional<Event>> Next(Deadline deadline) override;
  // The log is one, and its history is told by timelines: there are no files to know again.
  const LogMark* Log() const override { return nullptr; }
  bool HasBuffered() const override;
  // Lets the server drop its log up to here, within heartbeat_ms.
  Status Confirm(const Position& position) override;
  Result<Position> Head() override;
  void Interrupt() override;
  void Close() override;

 private:
  class Reading;

  Status OpenLog(const Position& from);
  Error Classified(Error error) const;

  PostgresSourceOptions options_;
  std::unique_ptr<Reading> reading_;
  bool open_ = false;       // Begin was given, and no end yet
  bool left_open_ = false;  // so when the last session ended
  std::atomic<bool> interrupted_ = false;
  // Guards against Interrupt while the connections come and go.
  std::mutex mutex_;
  postgres::ReplicationConnection* live_log_ = nullptr;  // mutex_
  postgres::Connection* live_sql_ = nullptr;             // mutex_
};

}  // namespace crossfade::capture
