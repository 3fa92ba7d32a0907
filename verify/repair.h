// Makes rows of the target what they should be in the state that they were compared in.
//
// For who owns the migration, and applies nothing meanwhile: then what was found still holds, and what is written is
// the source's row as of the Seq that is applied, so that the changes behind it fit. One target transaction, fenced as
// all are; rows are locked in it, and looked at again before they are written.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apply/target.h"
#include "core/error.h"
#include "verify/recheck.h"
#include "verify/sides.h"

namespace crossfade::verify {

enum class RepairKind : uint8_t { kInsert, kUpdate, kDelete };

// One row's change. Of a table without a key: `copies` rows that are all equal.
struct RowRepair {
  const ComparedTable* table = nullptr;
  Difference difference;
  RepairKind kind = RepairKind::kUpdate;
  uint64_t copies = 1;
  std::vector<uint32_t> places;  // fields that an update sets
  // Deleted and inserted: another row takes a unique value that this one must give up.
  bool in_two_parts = false;
  std::string left;  // why it was not done; empty: it was, or is yet to be
};

// What would make the target equal, in no order. Bounded; what is beyond is counted. The cut follows the foreign keys:
// what others wait for stays (rows to which nothing can refer go first; then rows come, parents before children; then
// parents go), so that each repeat makes progress.
class RepairPlan {
 public:
  RepairPlan(uint64_t max_rows, uint64_t max_bytes) : max_rows_(max_rows), max_bytes_(max_bytes) {}

  void Add(const ComparedTable& table, const Difference& difference);

  bool Holds(const ComparedTable& table, const std::string& key) const { return keys_.contains({&table, key}); }
  std::deque<RowRepair>& rows() { return rows_; }
  const std::deque<RowRepair>& rows() const { return rows_; }
  uint64_t beyond() const { return beyond_; }  // differences that there was no room for
  uint64_t untold() const { return untold_; }  // whose row as of the state compared the log does not tell
  uint64_t foreign() const;                    // rows that somebody else wrote

 private:
  using Turn = std::pair<uint8_t, uint32_t>;
  static Turn TurnOf(const RowRepair& row);
  static uint64_t BytesOf(const Difference& difference);
  // Room for a row, at the cost of those whose turn is later. False if there is none.
  bool MakeRoom(const Turn& turn, uint64_t bytes);
  void TakeOut(size_t index);

  const uint64_t max_rows_;
  const uint64_t max_bytes_;
  std::deque<RowRepair> rows_;
  std::map<Turn, std::vector<size_t>> by_turn_;  // places in rows_; none is empty
  std::vector<size_t> place_in_turn_;            // of each of rows_
  std::set<std::pair<const ComparedTable*, std::string>> keys_;
  uint64_t bytes_ = 0;
  uint64_t beyond_ = 0;
  uint64_t untold_ = 0;
};

// As a person would write it: "UPDATE t SET a = 5 WHERE id = 1". Not for a program to execute.
std::string Sentence(const RowRepair& row);

// Does all of the plan in one transaction, but for rows that are not as they were, or that the target refuses: those
// keep `left`. `applied`: the progress that the target shows. Gives the number of rows done.
Result<uint64_t> Repair(RepairPlan* plan, const apply::Progress& applied, apply::ApplySession* session);

}  // namespace crossfade::verify
