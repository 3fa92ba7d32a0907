// A place in a source's log. Only capture and snapshot compare it; everybody else carries it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace crossfade {

// The end of one transaction in a source's log. Empty fields are unknown there.
struct Position {
  // Identity of the server it was read from. MySQL: server_uuid; MariaDB: "server_id@host:port"; PostgreSQL:
  // "system identifier/timeline".
  std::string server;
  // All transactions up to and with this one, in the engine's own text. MySQL and MariaDB: the GTID set. PostgreSQL:
  // only where a snapshot is known by what it sees, and not by a place in the log: the text of pg_current_snapshot().
  std::string set;
  std::string last;     // this transaction itself. MySQL and MariaDB: its GTID. PostgreSQL: its xid, 64 bits, decimal
  std::string file;     // log file of `server`. PostgreSQL: empty, its log is one
  uint64_t offset = 0;  // byte in `file` behind the transaction. PostgreSQL: LSN behind its commit record

  bool empty() const { return set.empty() && file.empty() && offset == 0; }
  friend bool operator==(const Position&, const Position&) = default;

  // For people and logs: "0-1-42 (binlog.000003:4567)"; PostgreSQL: "0/15785B0", "737:739:738 (0/15785B0)".
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
  // Whether along the log there is a border behind which `upto` contains nothing, and before which, but for some
  // neighbours of the border, all. Else one that is not contained may stand anywhere (PostgreSQL's snapshots: a commit
  // is in the log for as long as a synchronous standby is slow before it can be seen, and those behind it are seen at
  // once).
  virtual bool HasBorder(const Position& /*upto*/) const { return true; }
};

}  // namespace crossfade
