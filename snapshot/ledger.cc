#include "snapshot/ledger.h"

#include <fmt/format.h>

#include <map>
#include <set>

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.copier";

// Marks of the plan's chunks; by table, then chunk.
using Marks = std::vector<std::vector<const ChunkMark*>>;

Result<Marks> Place(const CopyPlan& plan, const std::vector<ChunkMark>& done) {
  Marks marks;
  std::map<std::string_view, size_t> by_name;
  for (const PlannedTable& table : plan.tables) {
    by_name.emplace(table.table, marks.size());
    marks.emplace_back(table.chunks.size());
  }
  for (const ChunkMark& mark : done) {
    const auto table = by_name.find(mark.table);
    if (table == by_name.end() || mark.chunk >= marks[table->second].size() ||
        plan.tables[table->second].chunks[mark.chunk] != mark.range) {
      return MakeError(ErrorClass::kCorrupt, "CF1621", kComponent,
                       "the target has a mark for chunk {} of table {}, which is not in the plan", mark.chunk,
                       mark.table);
    }
    marks[table->second][mark.chunk] = &mark;
  }
  return marks;
}

// The tables of each copy group.
std::map<uint32_t, std::vector<size_t>> GroupsOf(const CopyPlan& plan) {
  std::map<uint32_t, std::vector<size_t>> groups;
  for (size_t i = 0; i < plan.tables.size(); ++i) {
    if (plan.tables[i].group) {
      groups[*plan.tables[i].group].push_back(i);
    }
  }
  return groups;
}

// Whether what is there of a group can stay: it is complete and of one state, or of the state that the rest is read
// from.
bool CanStay(const std::vector<size_t>& tables, const Marks& marks, const std::optional<Position>& state) {
  const Position* first = nullptr;
  bool complete = true;
  for (const size_t table : tables) {
    for (const ChunkMark* mark : marks[table]) {
      if (mark == nullptr) {
        complete = false;
        continue;
      }
      first = first == nullptr ? &mark->low : first;
      if (mark->low != mark->high || mark->low != *first) {
        return false;
      }
    }
  }
  return complete || first == nullptr || (state && *first == *state);
}

}  // namespace

Result<Ledger> Ledger::Make(const CopyPlan& plan, const std::vector<ChunkMark>& done,
                            const std::optional<Position>& state) {
  CROSSFADE_ASSIGN(Marks marks, Place(plan, done));
  Ledger ledger;
  std::set<size_t> clear;
  for (const auto& [group, tables] : GroupsOf(plan)) {
    if (!CanStay(tables, marks, state)) {
      clear.insert(tables.begin(), tables.end());
    }
  }
  for (size_t table = 0; table < plan.tables.size(); ++table) {
    if (clear.contains(table)) {
      ledger.to_clear.push_back(table);
    }
    for (uint32_t chunk = 0; chunk < marks[table].size(); ++chunk) {
      const ChunkMark* const mark = marks[table][chunk];
      if (mark == nullptr) {
        ledger.missing.push_back({table, chunk});
      } else if (clear.contains(table)) {
        ledger.missing.push_back({table, chunk});
        ++ledger.reread;
      } else {
        ledger.kept.push_back({Piece{table, chunk}, *mark});
      }
    }
  }
  return ledger;
}

std::vector<Unit> UnitsByChunk(const Ledger& ledger) {
  std::vector<Unit> units;
  for (const Piece& piece : ledger.missing) {
    units.push_back({{piece}, true});
  }
  return units;
}

std::vector<Unit> UnitsBySnapshot(const CopyPlan& plan, const Ledger& ledger) {
  std::vector<Unit> units;
  std::map<uint32_t, size_t> unit_of_group;
  for (const Piece& piece : ledger.missing) {
    const PlannedTable& table = plan.tables[piece.table];
    if (table.group) {
      const auto [unit, is_new] = unit_of_group.emplace(*table.group, units.size());
      if (!is_new) {
        units[unit->second].pieces.push_back(piece);
        continue;
      }
    }
    units.push_back({{piece}, table.needs_exact_state()});
  }
  return units;
}

}  // namespace crossfade::snapshot
