// The log of a source database, read as transactions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/change.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/position.h"
#include "core/schema.h"

namespace crossfade::capture {

// A transaction's rows follow, until a TransactionEnd.
struct TransactionBegin {};

// A captured table changed its shape in a way that matters to us. Rows after it have another TableSchema.
struct SchemaChange {
  std::string statement;          // the DDL, as logged
  std::string table;              // name of the captured table it concerns
  std::vector<std::string> also;  // other tables that it names: one may get a name that should be captured
  Position position;              // behind the DDL
};

enum class Outcome : uint8_t {
  kCommit,
  kRollback,          // the rows since Begin never happened
  kPrepare,           // XA: the rows wait under `xid` until one of the next two
  kCommitPrepared,    // XA: the rows of `xid` happen here; no rows stand between Begin and this
  kRollbackPrepared,  // XA: the rows of `xid` never happened
};

struct TransactionEnd {
  Outcome outcome = Outcome::kCommit;
  std::string xid;  // XA outcomes only
  Position position;
  int64_t commit_time_us = 0;   // the source's clock; whole seconds where the log has no better (MariaDB)
  int64_t arrival_time_us = 0;  // our clock, when the commit was read
};

// Nothing of interest happened up to `position`. Sent outside of transactions only.
struct Heartbeat {
  Position position;
  int64_t arrival_time_us = 0;
};

// One file of a server's log, and what tells it from another one of that name.
struct LogMark {
  std::string server;  // as in Position
  std::string file;
  int64_t begun_s = 0;  // by the server's clock
  friend bool operator==(const LogMark&, const LogMark&) = default;
};

// A Change borrows from the source: valid until the next call of Next. Its `table` lives as long as the source.
using Event = std::variant<TransactionBegin, Change, SchemaChange, TransactionEnd, Heartbeat>;

// One connection to one source's log. One thread; only Interrupt may be called from another.
class Source {
 public:
  virtual ~Source() = default;

  // Starts reading behind `from`. Everything up to `from` must be contained in the server's log: Corrupt (CF1204,
  // naming what is missing) if the server lost it, Config (CF1203) if the log there was purged.
  virtual Status Open(const Position& from) = 0;

  // The next event, or none at the deadline. A transaction may take any number of calls and any size.
  virtual Result<std::optional<Event>> Next(Deadline deadline) = 0;

  // The log file that is being read, null until it is known; borrowed until the next call. Whoever keeps positions
  // keeps the marks of their files too, and hands them to the next source, which can then tell a log put back to an
  // older copy.
  virtual const LogMark* Log() const = 0;

  // True when an event can be had without waiting for the network.
  virtual bool HasBuffered() const = 0;

  // Everything up to here is durable in the journal.
  virtual Status Confirm(const Position& position) = 0;

  // Where the server's log ends now; asked over a connection of its own.
  virtual Result<Position> Head() = 0;

  // Makes a Next under way, in another thread, return soon (Transient, CF1200). For good.
  virtual void Interrupt() = 0;

  virtual void Close() = 0;
};

}  // namespace crossfade::capture
