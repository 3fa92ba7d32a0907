// What of a plan is in the target already, and what is left to read.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/chunk.h"
#include "core/error.h"
#include "core/position.h"
#include "snapshot/plan.h"
#include "snapshot/work_queue.h"

namespace crossfade::snapshot {

// Pure.
struct Ledger {
  // `state`: of a consistent copy; a group of which chunks are missing keeps those that were read from it.
  // Corrupt CF1621 for a mark that does not belong to the plan.
  static Result<Ledger> Make(const CopyPlan& plan, const std::vector<ChunkMark>& done,
                             const std::optional<Position>& state);

  std::vector<std::pair<Piece, ChunkMark>> kept;
  std::vector<Piece> missing;    // in the plan's order; those of cleared tables among them
  std::vector<size_t> to_clear;  // tables, in the plan's order
  uint64_t reread = 0;           // chunks in the tables to be cleared that were done
};

// Every missing chunk by itself: all readers see one state.
std::vector<Unit> UnitsByChunk(const Ledger& ledger);
// A copy group in one unit, since it must be read from one snapshot; every other chunk by itself.
std::vector<Unit> UnitsBySnapshot(const CopyPlan& plan, const Ledger& ledger);

}  // namespace crossfade::snapshot
