// What a pass has found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/position.h"
#include "verify/recheck.h"

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
  Writer writer;
};

// How much of what was found in a table is kept to be shown. All of it is counted.
struct ShownLimits {
  uint64_t rows = 1000;
  uint64_t bytes = 2 << 20;  // in memory; the first row is kept all the same

  // Of each of so many tables, so that what all of them show together is bounded, too.
  static ShownLimits ForEachOf(size_t tables, uint64_t rows);
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
  std::vector<std::string> excluded;   // columns that the target does not have, as configured
  std::vector<ShownDifference> shown;  // the first ones
  std::vector<std::string> shown_undecided;
  uint64_t shown_bytes = 0;  // that these two take

  // False, and it is not kept: there is no room.
  bool ShowDifference(ShownDifference difference, const ShownLimits& limits);
  bool ShowUndecided(std::string key, const ShownLimits& limits);
  uint64_t differences() const { return missing + extra + different; }
  // What was found in another part of the table.
  void Add(TableOutcome part, const ShownLimits& limits);
};

struct Outcome {
  std::vector<TableOutcome> tables;  // in the plan's order
  // What was applied on the target when the pass began and when it ended: each row was compared in a state at or
  // behind `from`.
  Position from;
  Position upto;
  int64_t began_us = 0;
  int64_t ended_us = 0;
  uint32_t resumed = 0;  // times that a process went on with it

  uint64_t differences() const;
  uint64_t undecided() const;
  bool equal() const { return differences() == 0 && undecided() == 0; }
};

}  // namespace crossfade::verify
