// Decides for single keys whether both sides agree, while data moves.
//
// The target is read in one state, of which it says what is applied: all up to Seq A. Then the source is read, at a
// state that is known to be at or before a Position `high`. What the journal holds between A and `high` says which
// states a row has passed through on the source since A: the target's row must be what the first such change found, and
// the source's row must be one of the states behind it. So even a row that changes all the time is decided, and a row
// that did not change between the two reads is decided at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"
#include "snapshot/limits.h"
#include "state/journal.h"
#include "verify/sides.h"

namespace crossfade::verify {

enum class DifferenceKind : uint8_t { kMissing, kExtra, kDifferent };

// Who wrote the row that the target holds, as far as it can be told.
struct Writer {
  bool foreign = false;      // certainly not this migration; else not known
  uint32_t transaction = 0;  // PostgreSQL's number; 0: not known
  std::string at;            // empty: the target does not keep times of commits
};

struct Difference {
  DifferenceKind kind = DifferenceKind::kDifferent;
  std::string key;  // fields
  // Rows as fields; empty if there is none. Of a table without a key, where copies of a row count: the row itself.
  std::string source;
  std::string target;
  uint64_t source_count = 0;
  uint64_t target_count = 0;
  // What the target should hold in the state that it was read in: the source's row as it was at `applied`. Not known
  // if the log does not lead from there to the source's row.
  Seq applied;
  bool due_known = false;
  std::string due;
  uint64_t due_count = 0;
  Writer writer;  // of the target's row
};

struct Decision {
  std::vector<Difference> differences;
  std::vector<std::string> undecided;  // key fields
  std::string why_undecided;
  bool journal_stands = false;  // it did not reach what the source showed; nothing was waited for again
};

struct RecheckOptions {
  uint32_t attempts = 3;
  std::chrono::milliseconds patience{30'000};  // altogether, for the journal to reach what the source showed
};

// All must outlive the call. Reads of at most some hundred keys at once.
Result<Decision> Recheck(const ComparedTable& table, const apply::RouteSet& routes, std::vector<std::string> keys,
                         const Sides& sides, state::Journal* journal, const PositionOrder& order,
                         snapshot::CopyLimits* pressure, const RecheckOptions& options, const std::stop_token& stop);

}  // namespace crossfade::verify
