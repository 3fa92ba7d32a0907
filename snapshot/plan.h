// What a copy reads: tables in order, groups that need one state, and the cuts between chunks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apply/route.h"
#include "core/chunk.h"
#include "core/error.h"
#include "core/schema.h"
#include "snapshot/reader.h"

namespace crossfade::snapshot {

struct PlannedTable {
  std::string table;  // source name
  // 0: needs no other table; else above the level of every table it refers to. Tables that refer to each other in a
  // cycle share one level and one `cycle`.
  uint32_t level = 0;
  uint32_t cycle = 0;                // equal for the tables of one cycle; unique for a table outside of any
  std::optional<uint32_t> group;     // copy group: joined with its other tables by foreign keys with an action
  std::vector<std::string> parents;  // planned tables outside its cycle that it refers to
  std::vector<ChunkRange> chunks;    // without gaps; the first is open below, the last above
  std::string one_piece;             // why there is one chunk only; empty if there are more
  bool without_key = false;          // no primary key: a change inside a window could not be placed
  uint64_t rows = 0;                 // estimates, at the time of the plan
  uint64_t bytes = 0;

  // Must be read with low = high.
  bool needs_exact_state() const { return group.has_value() || without_key; }
  friend bool operator==(const PlannedTable&, const PlannedTable&) = default;
};

// Immutable once made. A copy that goes on after a restart must use the plan it began with: chunk marks are numbered by
// it.
struct CopyPlan {
  std::vector<PlannedTable> tables;  // parents before children; within a level, large ones first

  const PlannedTable* Find(std::string_view table) const;
  size_t chunk_count() const;
  uint64_t rows() const;
  // Lines for people: every table with its chunks or the reason for having one, and the groups.
  std::string ToString() const;

  // Durable, versioned bytes; Decode refuses what Encode did not make (Corrupt CF1620).
  std::string Encode() const;
  static Result<CopyPlan> Decode(std::string_view bytes);
  friend bool operator==(const CopyPlan&, const CopyPlan&) = default;
};

struct PlanOptions {
  uint64_t chunk_rows = 100'000;  // by the server's estimate
  uint32_t max_chunks = 10'000;   // of one table
};

// What the plan is made from.
struct TableFacts {
  const TableSchema* schema = nullptr;
  TableSize size;
  std::optional<KeySpan> span;  // none: empty, or not to be cut
};

// Why a table can only be read in one piece ("no primary key", "text key"), or empty if its first key column has
// ordinals.
std::string ReasonForOnePiece(const TableSchema& table);

// Pure.
CopyPlan MakePlan(const std::vector<TableFacts>& tables, const PlanOptions& options);

// Plans all tables of `routes`; asks the source for the key spans of those that are large enough to be cut.
Result<CopyPlan> PlanCopy(const apply::RouteSet& routes, const std::map<std::string, TableSize>& sizes,
                          SnapshotSource* source, const PlanOptions& options);

}  // namespace crossfade::snapshot
