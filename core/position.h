// A place in a source's log. Only capture and snapshot compare it; everybody else carries it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace crossfade {

// The end of one transaction in a source's log. Empty fields are unknown there.
struct Position {
  std::string server;   // identity of the server it was read from (MySQL: server_uuid; MariaDB: "server_id@host:port")
  std::string set;      // GTID set of all transactions up to and with this one, in the engine's own text
  std::string last;     // GTID of this transaction itself
  std::string file;     // log file of `server`
  uint64_t offset = 0;  // byte in `file` behind the transaction

  bool empty() const { return set.empty() && file.empty(); }
  friend bool operator==(const Position&, const Position&) = default;

  // For people and logs: "0-1-42 (binlog.000003:4567)".
  std::string ToString() const;

  // Durable, versioned bytes; Decode refuses what Encode did not make (Corrupt).
  std::string Encode() const;
  static Result<Position> Decode(std::string_view bytes);
};

// How positions of one source relate. Pure; any thread.
class PositionOrder {
 public:
  virtual ~PositionOrder() = default;
  // Whether the transaction that ended at `transaction` is among all those up to `upto`.
  // Config error when the two cannot be compared (another server without GTIDs).
  virtual Result<bool> Contains(const Position& upto, const Position& transaction) const = 0;
};

}  // namespace crossfade
