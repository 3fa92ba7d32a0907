// Runs a copy plan: reads every chunk that is not yet in the target, and loads it there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "apply/route.h"
#include "apply/target.h"
#include "core/chunk.h"
#include "core/error.h"
#include "snapshot/limits.h"
#include "snapshot/plan.h"
#include "snapshot/progress.h"
#include "snapshot/reader.h"
#include "snapshot/work_queue.h"

namespace crossfade::snapshot {

struct CopyOptions {
  uint32_t readers = 4;  // chunked; a consistent copy has the readers it is given
  // Strict where foreign keys that the loader does not switch off may stand on the target.
  ParentOrder parent_order = ParentOrder::kStrict;
};

struct CopyResult {
  std::vector<ChunkMark> marks;  // of every chunk of the plan, with its window
  CopyTotals totals;

  // All chunks were read from one state: constraints may be built before the first change is applied.
  bool one_state() const;
};

// One use. Everything given must outlive it; `limits` and `progress` may be used from other threads meanwhile.
class Copier {
 public:
  Copier(const CopyPlan* plan, const apply::RouteSet* routes, SnapshotSource* source, apply::Target* target,
         CopyLimits* limits, CopyProgress* progress, const CopyOptions& options);
  ~Copier();
  Copier(const Copier&) = delete;
  Copier& operator=(const Copier&) = delete;

  // `done`: the target's marks, read after it was taken over. They are kept, but for copy groups that are not complete
  // from one state: those are cleared on the target and read again as a whole.
  // Each returns when all chunks are in, or at the first error, when all its threads have ended; then it is for the
  // caller to read the target's marks again and run another Copier. Stopped: Transient CF1600, within a second. Corrupt
  // CF1621: a mark that does not belong to this plan.
  Result<CopyResult> CopyConsistent(ConsistentReaders readers, const std::vector<ChunkMark>& done,
                                    const std::stop_token& stop);
  Result<CopyResult> CopyChunked(const std::vector<ChunkMark>& done, const std::stop_token& stop);

 private:
  struct Run;
  std::unique_ptr<Run> run_;
};

}  // namespace crossfade::snapshot
