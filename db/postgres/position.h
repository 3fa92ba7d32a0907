// Places in a PostgreSQL server's log, what a snapshot sees, and how positions of such a server compare.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/position.h"

namespace crossfade::postgres {

// An LSN as the server writes it: "0/15785B0". Parse: Data error CF1900.
std::string FormatLsn(uint64_t lsn);
Result<uint64_t> ParseLsn(std::string_view text);

// The 64-bit number of a transaction of which the log shows the lower half: the one nearest to `near`, the number of
// another transaction of that time. Right as long as fewer than 2^31 transactions lie between them.
uint64_t WidenXid(uint32_t xid, uint64_t near);

// What pg_current_snapshot() says: "xmin:xmax:xip,xip". Parse: Data error CF1900.
class Snapshot {
 public:
  static Result<Snapshot> Parse(std::string_view text);
  uint64_t xmax() const { return xmax_; }
  // Whether what the top-level transaction did, if it committed, can be seen.
  bool Sees(uint64_t xid) const;
  // Whether all that `other` sees can be seen.
  bool SeesAllOf(const Snapshot& other) const;

 private:
  uint64_t xmin_ = 0;                  // all below are seen
  uint64_t xmax_ = 0;                  // none from here on is seen
  std::vector<uint64_t> in_progress_;  // sorted; between the two, and not seen
};

// Position::server: the cluster, which stays when a standby takes its place, and the branch of its history.
struct ServerName {
  std::string system;
  uint32_t timeline = 0;
  std::string ToString() const;
  static Result<ServerName> Parse(std::string_view text);  // Data error CF1900
};

// A snapshot (a position with a set) holds a transaction when it sees its xid: a commit is in the log before it can be
// seen (hazard H4), so the LSN decides nothing there. Of two snapshots the one holds the other when it sees all that
// the other sees. A place in the log holds what ended at or before it, on the same or an earlier timeline of the same
// cluster; and a snapshot, whose offset is the end of the log at a later time, when it is behind that.
// Config error CF1901 for what cannot be compared: another cluster, a timeline that was left, a place in the log with
// what a snapshot sees.
class PgPositionOrder : public PositionOrder {
 public:
  Result<bool> Contains(const Position& upto, const Position& transaction) const override;
  bool HasBorder(const Position& upto) const override { return upto.set.empty(); }
};

}  // namespace crossfade::postgres
