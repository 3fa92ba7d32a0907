// Compares a range of one table on both sides, at whatever state each shows, and names the keys to look at again.
#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "core/chunk.h"
#include "core/error.h"
#include "snapshot/limits.h"
#include "verify/sides.h"

namespace crossfade::verify {

struct RangeResult {
  uint64_t source_rows = 0;
  uint64_t target_rows = 0;
  // Key fields of the rows that were not equal, each once; in no order. What changed while it was read is among them.
  std::vector<std::string> candidates;
  uint64_t candidate_bytes = 0;
  // Rows that were not equal, and that the limits left no room for.
  uint64_t more = 0;
};

struct RangeLimits {
  uint64_t max_candidates = 10'000;
  uint64_t max_candidate_bytes = 8 << 20;
  uint64_t max_bytes = 32 << 20;  // of rows noted at one time
};

// First sums of both sides, read at the same time; then, where they differ, the rows one by one, in bounded memory.
// `rows_read` counts the source's rows as they come for the first time.
Result<RangeResult> CompareRange(const ComparedTable& table, const ChunkRange& range, const Sides& sides,
                                 snapshot::CopyLimits* pressure, const RangeLimits& limits, const std::stop_token& stop,
                                 std::atomic<uint64_t>* rows_read = nullptr);

}  // namespace crossfade::verify
