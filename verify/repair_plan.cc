#include <algorithm>

#include "verify/repair.h"
#include "verify/shown.h"

namespace crossfade::verify {

namespace {

const std::string& NameOnTarget(const ComparedTable& table, uint32_t place) {
  return table.route().targets[table.route().columns[place]].name;
}

std::string Joined(const ComparedTable& table, std::span<const uint32_t> places,
                   const std::vector<std::string_view>& parts, bool key_parts, std::string_view between) {
  std::string text;
  for (size_t i = 0; i < places.size(); ++i) {
    const std::string_view part = parts[key_parts ? i : places[i]];
    const std::string& name = NameOnTarget(table, places[i]);
    const bool null = part.data() == nullptr;
    text += fmt::format("{}{} {}", i == 0 ? "" : between, name,
                        null && between == " AND " ? "IS NULL" : "= " + Shown(table, places[i], part));
  }
  return text;
}

std::vector<uint32_t> AllPlaces(const ComparedTable& table) {
  std::vector<uint32_t> places(table.route().columns.size());
  for (uint32_t i = 0; i < places.size(); ++i) {
    places[i] = i;
  }
  return places;
}

std::vector<uint32_t> UnequalPlaces(const Difference& difference) {
  std::vector<std::string_view> due;
  std::vector<std::string_view> target;
  apply::SplitFields(difference.due, &due);
  apply::SplitFields(difference.target, &target);
  std::vector<uint32_t> places;
  for (uint32_t i = 0; i < due.size(); ++i) {
    if (due[i] != target[i] || (due[i].data() == nullptr) != (target[i].data() == nullptr)) {
      places.push_back(i);
    }
  }
  return places;
}

}  // namespace

void RepairPlan::Add(const ComparedTable& table, const Difference& difference) {
  if (!difference.due_known) {
    ++untold_;
    return;
  }
  RowRepair row;
  row.table = &table;
  if (difference.due_count > difference.target_count) {
    row.kind = RepairKind::kInsert;
    row.copies = difference.due_count - difference.target_count;
  } else if (difference.due_count < difference.target_count) {
    row.kind = RepairKind::kDelete;
    row.copies = difference.target_count - difference.due_count;
  } else if (difference.due_count > 0) {
    row.places = UnequalPlaces(difference);
  } else {
    return;  // neither side has it by now
  }
  const Turn turn = TurnOf(row);
  const uint64_t bytes = BytesOf(difference);
  if (!MakeRoom(turn, bytes)) {
    ++beyond_;
    return;
  }
  bytes_ += bytes;
  keys_.emplace(&table, difference.key);
  row.difference = difference;
  row.difference.source.clear();
  std::vector<size_t>& of_turn = by_turn_[turn];
  place_in_turn_.push_back(of_turn.size());
  of_turn.push_back(rows_.size());
  rows_.push_back(std::move(row));
}

RepairPlan::Turn RepairPlan::TurnOf(const RowRepair& row) {
  const apply::Route& route = row.table->route();
  if (row.kind != RepairKind::kDelete) {
    return {1, route.rank};
  }
  return route.referenced ? Turn{2, ~route.rank} : Turn{0, 0};
}

uint64_t RepairPlan::BytesOf(const Difference& difference) {
  return difference.key.size() + difference.target.size() + difference.due.size();
}

bool RepairPlan::MakeRoom(const Turn& turn, uint64_t bytes) {
  const auto full = [&] { return rows_.size() >= max_rows_ || (bytes_ + bytes > max_bytes_ && !rows_.empty()); };
  while (full() && turn < by_turn_.rbegin()->first) {
    TakeOut(by_turn_.rbegin()->second.back());
    ++beyond_;
  }
  return !full();
}

// The last row takes its place.
void RepairPlan::TakeOut(size_t index) {
  const auto turn = by_turn_.find(TurnOf(rows_[index]));
  turn->second.pop_back();
  if (turn->second.empty()) {
    by_turn_.erase(turn);
  }
  bytes_ -= BytesOf(rows_[index].difference);
  keys_.erase({rows_[index].table, rows_[index].difference.key});
  if (index + 1 < rows_.size()) {
    rows_[index] = std::move(rows_.back());
    place_in_turn_[index] = place_in_turn_.back();
    by_turn_[TurnOf(rows_[index])][place_in_turn_[index]] = index;
  }
  rows_.pop_back();
  place_in_turn_.pop_back();
}

uint64_t RepairPlan::foreign() const {
  return static_cast<uint64_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const RowRepair& row) { return row.difference.writer.foreign; }));
}

std::string Sentence(const RowRepair& row) {
  const ComparedTable& table = *row.table;
  std::vector<std::string_view> key;
  std::vector<std::string_view> due;
  std::vector<std::string_view> target;
  apply::SplitFields(row.difference.key, &key);
  apply::SplitFields(row.difference.due, &due);
  apply::SplitFields(row.difference.target, &target);
  const std::string name = table.route().table;
  const std::vector<uint32_t> all = AllPlaces(table);
  const std::string where = Joined(table, table.whole_row() ? all : table.key_places(), key, true, " AND ");
  std::string text;
  switch (row.kind) {
    case RepairKind::kInsert: {
      std::string values;
      std::string columns;
      for (const uint32_t place : all) {
        columns += (place == 0 ? "" : ", ") + NameOnTarget(table, place);
        values += (place == 0 ? "" : ", ") + Shown(table, place, due[place]);
      }
      text = fmt::format("INSERT INTO {} ({}) VALUES ({})", name, columns, values);
      break;
    }
    case RepairKind::kDelete:
      text = fmt::format("DELETE FROM {} WHERE {}", name, where);
      break;
    case RepairKind::kUpdate:
      text = fmt::format("UPDATE {} SET {} WHERE {}  -- is: {}", name, Joined(table, row.places, due, false, ", "),
                         where, Joined(table, row.places, target, false, ", "));
      break;
  }
  if (table.whole_row()) {
    text += fmt::format("  -- {} of {}", row.copies, std::max(row.difference.target_count, row.difference.due_count));
  }
  return text;
}

}  // namespace crossfade::verify
