#include "snapshot/work_queue.h"

#include <algorithm>

namespace crossfade::snapshot {

WorkQueue::WorkQueue(const CopyPlan& plan, std::vector<Unit> units, ParentOrder order) : left_(plan.tables.size()) {
  for (Unit& unit : units) {
    std::vector<size_t> tables;
    for (const Piece& piece : unit.pieces) {
      tables.push_back(piece.table);
      ++left_[piece.table];
    }
    std::sort(tables.begin(), tables.end());
    tables.erase(std::unique(tables.begin(), tables.end()), tables.end());
    if (lanes_.empty() || lanes_.back().tables != tables) {
      lanes_.push_back(MakeLane(plan, std::move(tables), order));
    }
    lanes_.back().units.push_back(std::move(unit));
    ++untaken_;
  }
}

WorkQueue::Lane WorkQueue::MakeLane(const CopyPlan& plan, std::vector<size_t> tables, ParentOrder order) const {
  Lane lane;
  for (size_t parent = 0; order == ParentOrder::kStrict && parent < plan.tables.size(); ++parent) {
    const bool wanted = std::any_of(tables.begin(), tables.end(), [&](size_t table) {
      const std::vector<std::string>& parents = plan.tables[table].parents;
      return std::binary_search(parents.begin(), parents.end(), plan.tables[parent].table);
    });
    if (wanted && !std::binary_search(tables.begin(), tables.end(), parent)) {
      lane.parents.push_back(parent);
    }
  }
  lane.tables = std::move(tables);
  return lane;
}

bool WorkQueue::Ready(const Lane& lane) const {
  return std::all_of(lane.parents.begin(), lane.parents.end(), [&](size_t table) { return left_[table] == 0; });
}

WorkQueue::Lane* WorkQueue::FindReady() {
  Lane* first = nullptr;
  for (Lane& lane : lanes_) {
    if (lane.next == lane.units.size()) {
      continue;
    }
    if (Ready(lane)) {
      return &lane;
    }
    first = first == nullptr ? &lane : first;
  }
  // A copy group may hold both a parent and a child of a table outside of it. Then no strict order exists.
  return in_progress_ == 0 ? first : nullptr;
}

std::optional<Unit> WorkQueue::Take(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  Lane* found = nullptr;
  changed_.wait(lock, stop, [&] { return untaken_ == 0 || (found = FindReady()) != nullptr; });
  if (found == nullptr || stop.stop_requested()) {
    return std::nullopt;
  }
  --untaken_;
  ++in_progress_;
  return std::move(found->units[found->next++]);
}

void WorkQueue::Done(const Unit& unit) {
  const std::lock_guard lock(mutex_);
  for (const Piece& piece : unit.pieces) {
    --left_[piece.table];
  }
  --in_progress_;
  changed_.notify_all();
}

}  // namespace crossfade::snapshot
