// A pass over all tables of a migration: every row of both sides is compared, while data moves.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "apply/route.h"
#include "core/error.h"
#include "core/position.h"
#include "snapshot/limits.h"
#include "snapshot/plan.h"
#include "state/journal.h"
#include "verify/range_compare.h"
#include "verify/recheck.h"
#include "verify/sides.h"

namespace crossfade::verify {

// A difference as a person reads it.
struct ShownDifference {
  DifferenceKind kind = DifferenceKind::kDifferent;
  std::string key;  // "id=5, line=2"
  struct Cell {
    std::string column;
    std::string source;
    std::string target;
  };
  std::vector<Cell> cells;  // the columns that differ; of a row that is on one side only: all of them
};

struct TableOutcome {
  std::string table;  // source name
  uint64_t chunks = 0;
  uint64_t source_rows = 0;
  uint64_t target_rows = 0;
  uint64_t rechecked = 0;  // rows that were looked at again
  uint64_t missing = 0;
  uint64_t extra = 0;
  uint64_t different = 0;
  uint64_t undecided = 0;
  std::string why_undecided;
  std::vector<ShownDifference> shown;  // the first ones
  std::vector<std::string> shown_undecided;

  uint64_t differences() const { return missing + extra + different; }
};

struct Outcome {
  std::vector<TableOutcome> tables;  // in the plan's order
  // What was applied on the target when the pass began and when it ended: each row was compared in a state at or
  // behind `from`.
  Position from;
  Position upto;
  int64_t began_us = 0;
  int64_t ended_us = 0;

  uint64_t differences() const;
  uint64_t undecided() const;
  bool equal() const { return differences() == 0 && undecided() == 0; }
};

struct VerifyOptions {
  uint32_t readers = 2;              // chunks compared at the same time: as many connections on each side
  uint64_t max_shown = 1000;         // differences of a table that are kept with both images
  std::chrono::seconds outage{120};  // a side that is away for longer ends the pass
  RangeLimits range;
  RecheckOptions recheck;
};

// One use. Everything given must outlive it.
class Verifier {
 public:
  using OpenSides = std::function<Result<Sides>()>;  // thread-safe

  Verifier(const snapshot::CopyPlan* plan, const apply::RouteSet* routes, state::Journal* journal,
           const PositionOrder* order, snapshot::CopyLimits* pressure, OpenSides open, const VerifyOptions& options);
  ~Verifier();

  // Transient CF1801 when stopped; else the first error that a new connection does not mend.
  Result<Outcome> Run(const std::stop_token& stop);

  // From any thread, meanwhile.
  uint64_t chunks_done() const { return chunks_done_.load(std::memory_order_relaxed); }
  uint64_t rows_done() const { return rows_done_.load(std::memory_order_relaxed); }

 private:
  struct Piece {
    size_t table = 0;
    ChunkRange range;
  };
  std::optional<Piece> Next();
  void Work(const std::stop_token& stop);
  Status CompareWithRetry(const Piece& piece, Sides* sides, const std::stop_token& stop);
  Status Compare(const Piece& piece, const Sides& sides, const std::stop_token& stop);
  Status Show(const ComparedTable& table, const Difference& difference, TableOutcome* outcome) const;
  Result<Position> Applied(const Sides& sides);
  void Stick(const Error& error);

  const snapshot::CopyPlan* plan_;
  const apply::RouteSet* routes_;
  state::Journal* journal_;
  const PositionOrder* order_;
  snapshot::CopyLimits* pressure_;
  const OpenSides open_;
  const VerifyOptions options_;
  std::vector<std::unique_ptr<ComparedTable>> tables_;
  // Once the journal was waited for in vain it is not waited for that long again.
  std::atomic<bool> journal_stands_{false};
  std::atomic<uint64_t> chunks_done_{0};
  std::atomic<uint64_t> rows_done_{0};

  std::mutex mutex_;
  std::vector<Piece> pieces_;    // mutex_
  size_t next_ = 0;              // mutex_
  Outcome outcome_;              // mutex_
  std::optional<Error> failed_;  // mutex_
};

}  // namespace crossfade::verify
