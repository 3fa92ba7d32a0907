#include "snapshot/progress.h"

#include "core/clock.h"

namespace crossfade::snapshot {

std::vector<TableProgress> CopyProgress::tables() const {
  const std::lock_guard lock(mutex_);
  return tables_;
}

CopyTotals CopyProgress::totals() const {
  const std::lock_guard lock(mutex_);
  CopyTotals totals = totals_;
  for (const TableProgress& table : tables_) {
    totals.estimated_rows += table.estimated_rows;
    totals.rows += table.rows;
    totals.bytes += table.bytes;
    totals.chunks += table.chunks;
    totals.chunks_done += table.chunks_done;
  }
  return totals;
}

void CopyProgress::Begin(const CopyPlan& plan) {
  const std::lock_guard lock(mutex_);
  tables_.clear();
  totals_ = {};
  for (const PlannedTable& planned : plan.tables) {
    TableProgress table;
    table.table = planned.table;
    table.estimated_rows = planned.rows;
    table.chunks = static_cast<uint32_t>(planned.chunks.size());
    tables_.push_back(std::move(table));
  }
}

void CopyProgress::Start(size_t table) {
  const std::lock_guard lock(mutex_);
  if (tables_[table].started_us == 0) {
    tables_[table].started_us = WallMicros();
  }
}

void CopyProgress::Add(size_t table, int64_t rows, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  tables_[table].rows += static_cast<uint64_t>(rows);
  tables_[table].bytes += static_cast<uint64_t>(bytes);
}

void CopyProgress::ChunkDone(size_t table) {
  const std::lock_guard lock(mutex_);
  ++tables_[table].chunks_done;
  Finish(&tables_[table]);
}

void CopyProgress::ChunkKept(size_t table, uint64_t rows) {
  const std::lock_guard lock(mutex_);
  tables_[table].rows += rows;
  ++tables_[table].chunks_done;
  ++totals_.chunks_kept;
  Finish(&tables_[table]);
}

void CopyProgress::ChunksReread(uint64_t count) {
  const std::lock_guard lock(mutex_);
  totals_.chunks_reread += count;
}

void CopyProgress::Finish(TableProgress* table) {
  if (table->chunks_done == table->chunks) {
    table->finished_us = WallMicros();
  }
}

}  // namespace crossfade::snapshot
