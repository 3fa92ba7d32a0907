// A session with a PostgreSQL server that reads its log: commands of the replication protocol, and the stream of one
// logical slot.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/error.h"
#include "db/postgres/connection.h"
#include "db/postgres/position.h"

namespace crossfade::postgres {

struct SystemIdentity {
  ServerName server;
  uint64_t flushed = 0;  // the log up to here is on the server's disk
};

struct CreatedSlot {
  uint64_t consistent_point = 0;  // transactions that end behind it are in the slot's stream, those before it are not
  std::string snapshot;           // sees exactly the latter; until the session's next command. Empty: none was wanted
};

// What the stream brings.
struct StreamMessage {
  bool keepalive = false;
  // Keepalive: all transactions that end at or before it have been sent. Data: where it stands in the log.
  uint64_t lsn = 0;
  bool reply_wanted = false;  // keepalive: the server ends the session soon unless it gets a status
  std::string_view data;      // borrowed until the next Read or HasBuffered
};

// One thread, but for Interrupt. Values in the stream have the same text as those of a Connection. Errors by SQLSTATE
// as those of Connection; Reconnect CF1401 when the session is lost, Transient CF1403 after Interrupt.
class ReplicationConnection {
 public:
  static Result<std::unique_ptr<ReplicationConnection>> Open(const ConnectionOptions& options);
  ~ReplicationConnection();
  ReplicationConnection(const ReplicationConnection&) = delete;
  ReplicationConnection& operator=(const ReplicationConnection&) = delete;

  Result<SystemIdentity> IdentifySystem();
  // Where the server's history left an earlier timeline; none if it never was on it. `timeline` is the server's own.
  Result<std::optional<uint64_t>> LeftTimelineAt(uint32_t earlier, uint32_t timeline);

  // A logical slot with pgoutput, that ends with the session if it is `temporary`. Waits for every transaction that
  // writes, prepared ones included (hazard M13): Transient CF1911 at the deadline, and the slot is not there.
  Result<CreatedSlot> CreateSlot(const std::string& name, bool temporary, bool export_snapshot, Deadline deadline);
  Status DropSlot(const std::string& name);

  // Begins the stream of transactions that end behind `lsn`. After it only the functions below may be called.
  Status Start(const std::string& slot, uint64_t lsn, const std::string& publication);
  // The next message, or none at the deadline.
  Result<std::optional<StreamMessage>> Read(Deadline deadline);
  // Whether Read has a message without waiting for the network.
  bool HasBuffered();
  // Tells the server that everything up to `flushed` is safe here, and asks it to say where it stands, if `ask`.
  Status SendStatus(uint64_t flushed, bool ask);

  // From any thread, for good.
  void Interrupt();

 private:
  struct State;
  explicit ReplicationConnection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace crossfade::postgres
