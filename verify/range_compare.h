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

// A key that was not equal on both sides; what changed while it was read is among them.
struct Candidate {
  std::string key;         // fields
  uint64_t row_bytes = 0;  // of the larger of the two rows
};

struct RangeResult {
  uint64_t source_rows = 0;
  uint64_t target_rows = 0;
  std::vector<Candidate> candidates;  // each key once; in no order
  // Rows that were not equal, or not to be told from some that were not, and that the limits left no room for.
  uint64_t more = 0;
  std::string why_more;
  uint32_t reads = 0;  // of the range, on each side
};

struct RangeLimits {
  uint64_t max_candidates = 10'000;
  uint64_t max_candidate_bytes = 8 << 20;
  uint64_t max_bytes = 32 << 20;  // of rows noted at one time, on each side
  uint32_t max_buckets = 1 << 17;
  uint64_t expected_rows = 0;  // 0: not known
  // For the sums, and for the rows: so often is a range read at most, on each side.
  uint32_t max_levels = 12;
  uint32_t max_note_reads = 6;
};

// First sums of both sides, read at the same time, in buckets by key; then, as long as too many rows are in buckets
// that differ, sums of those rows in other buckets; then those rows one by one. So memory and number of reads are
// bounded, however large the range and however many rows change meanwhile: what the limits leave no room for is counted
// (CF1802). `rows_read` counts the source's rows as they come for the first time.
Result<RangeResult> CompareRange(const ComparedTable& table, const ChunkRange& range, const Sides& sides,
                                 snapshot::CopyLimits* pressure, const RangeLimits& limits, const std::stop_token& stop,
                                 std::atomic<uint64_t>* rows_read = nullptr);

}  // namespace crossfade::verify
