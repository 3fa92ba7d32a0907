// What a running copy has done so far, for people.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "snapshot/plan.h"

namespace crossfade::snapshot {

struct TableProgress {
  std::string table;
  uint64_t estimated_rows = 0;
  uint64_t rows = 0;   // read by this run, and those that done chunks of earlier starts say they hold
  uint64_t bytes = 0;  // read by this run
  uint32_t chunks = 0;
  uint32_t chunks_done = 0;
  int64_t started_us = 0;   // wall clock; 0: not yet
  int64_t finished_us = 0;  // wall clock; 0: not yet
};

struct CopyTotals {
  uint64_t estimated_rows = 0;
  uint64_t rows = 0;
  uint64_t bytes = 0;
  uint64_t chunks = 0;
  uint64_t chunks_done = 0;
  uint64_t chunks_kept = 0;    // done by an earlier start
  uint64_t chunks_reread = 0;  // thrown away and read again
};

// Written by a Copier, read by whoever shows it. Thread-safe.
class CopyProgress {
 public:
  std::vector<TableProgress> tables() const;  // in the plan's order
  CopyTotals totals() const;

  void Begin(const CopyPlan& plan);
  void Start(size_t table);
  // Negative numbers take back what a chunk that failed had counted.
  void Add(size_t table, int64_t rows, int64_t bytes);
  void ChunkDone(size_t table);
  void ChunkKept(size_t table, uint64_t rows);
  void ChunksReread(uint64_t count);

 private:
  void Finish(TableProgress* table);

  mutable std::mutex mutex_;
  std::vector<TableProgress> tables_;  // mutex_
  CopyTotals totals_;                  // mutex_; the two last only
};

}  // namespace crossfade::snapshot
