// Which piece of a copy is read next.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "snapshot/plan.h"

namespace crossfade::snapshot {

// One chunk: index of its table in the plan, number within it.
struct Piece {
  size_t table = 0;
  uint32_t chunk = 0;
  friend bool operator==(const Piece&, const Piece&) = default;
};

// What one reader reads in one go; `pieces` in the order to read them.
struct Unit {
  std::vector<Piece> pieces;
  bool exact_state = false;  // all of it from one snapshot with low = high
};

enum class ParentOrder : uint8_t {
  kStrict,    // a table waits until all tables it refers to are complete
  kPreferred  // parents are begun first
};

// Hands out units in the plan's order: parents first, then large tables first. Thread-safe.
class WorkQueue {
 public:
  // `units` in the plan's order.
  WorkQueue(const CopyPlan& plan, std::vector<Unit> units, ParentOrder order);

  // Waits while all that is left has to wait for parents. None when nothing is left, or a stop is asked for.
  std::optional<Unit> Take(const std::stop_token& stop);
  void Done(const Unit& unit);

 private:
  // Units with the same parents, one behind the other.
  struct Lane {
    std::vector<size_t> tables;
    std::vector<size_t> parents;  // tables that must be complete
    std::vector<Unit> units;
    size_t next = 0;
  };
  Lane MakeLane(const CopyPlan& plan, std::vector<size_t> tables, ParentOrder order) const;
  bool Ready(const Lane& lane) const;
  Lane* FindReady();

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Lane> lanes_;     // mutex_
  std::vector<uint64_t> left_;  // mutex_; pieces not done, by table
  size_t untaken_ = 0;          // mutex_; units
  size_t in_progress_ = 0;      // mutex_; units
};

}  // namespace crossfade::snapshot
