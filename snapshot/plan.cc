#include "snapshot/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/bytes.h"

namespace crossfade::snapshot {

namespace {

constexpr uint8_t kPlanVersion = 1;
constexpr std::string_view kComponent = "snapshot.plan";

using Edges = std::vector<std::vector<size_t>>;  // child to parents

// Strongly connected components by Tarjan's algorithm, without recursion: a chain of foreign keys may be long.
class Cycles {
 public:
  explicit Cycles(const Edges& edges)
      : edges_(edges), index_(edges.size(), kNone), low_(edges.size()), on_stack_(edges.size()), of_(edges.size()) {
    for (size_t node = 0; node < edges.size(); ++node) {
      if (index_[node] == kNone) {
        Visit(node);
      }
    }
  }

  // Components are numbered so that a parent's number is below its child's.
  const std::vector<uint32_t>& of() const { return of_; }
  uint32_t count() const { return count_; }

 private:
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  struct Frame {
    size_t node;
    size_t next_edge;
  };

  void Enter(size_t node, std::vector<Frame>* frames) {
    index_[node] = low_[node] = next_index_++;
    stack_.push_back(node);
    on_stack_[node] = true;
    frames->push_back({node, 0});
  }

  void Visit(size_t root) {
    std::vector<Frame> frames;
    Enter(root, &frames);
    while (!frames.empty()) {
      Frame& frame = frames.back();
      const size_t node = frame.node;
      if (frame.next_edge < edges_[node].size()) {
        const size_t parent = edges_[node][frame.next_edge++];
        if (index_[parent] == kNone) {
          Enter(parent, &frames);
        } else if (on_stack_[parent]) {
          low_[node] = std::min(low_[node], index_[parent]);
        }
        continue;
      }
      frames.pop_back();
      if (!frames.empty()) {
        low_[frames.back().node] = std::min(low_[frames.back().node], low_[node]);
      }
      if (low_[node] == index_[node]) {
        Close(node);
      }
    }
  }

  void Close(size_t root) {
    size_t node = kNone;
    while (node != root) {
      node = stack_.back();
      stack_.pop_back();
      on_stack_[node] = false;
      of_[node] = count_;
    }
    ++count_;
  }

  const Edges& edges_;
  std::vector<size_t> index_;
  std::vector<size_t> low_;
  std::vector<bool> on_stack_;
  std::vector<uint32_t> of_;
  std::vector<size_t> stack_;
  size_t next_index_ = 0;
  uint32_t count_ = 0;
};

// Sets of tables joined by foreign keys with an action.
class Joined {
 public:
  explicit Joined(size_t count) : parent_(count), joined_(count) { std::iota(parent_.begin(), parent_.end(), 0); }
  void Join(size_t a, size_t b) {
    joined_[a] = joined_[b] = true;  // also a table with itself
    parent_[Root(a)] = Root(b);
  }
  bool IsJoined(size_t node) const { return joined_[node]; }
  size_t Root(size_t node) {
    while (parent_[node] != node) {
      node = parent_[node] = parent_[parent_[node]];
    }
    return node;
  }

 private:
  std::vector<size_t> parent_;
  std::vector<bool> joined_;
};

// The nearest real date at or below, so that a cut can be written as a literal.
int64_t RealDateAtOrBelow(int64_t ordinal) {
  CivilDate date = UnpackDate(std::max<int64_t>(ordinal, 0));
  date.month = std::clamp(date.month, 1, 12);
  date.day = std::clamp(date.day, 1, 28);
  return PackDate(date.year, date.month, date.day);
}

std::vector<ChunkRange> CutSpan(const TableFacts& facts, const PlanOptions& options) {
  const uint64_t chunk_rows = std::max<uint64_t>(options.chunk_rows, 1);
  const auto width = static_cast<unsigned __int128>(static_cast<__int128>(facts.span->last) - facts.span->first + 1);
  unsigned __int128 count = facts.size.rows / chunk_rows + (facts.size.rows % chunk_rows != 0 ? 1 : 0);
  count = std::min<unsigned __int128>({count, std::max<uint32_t>(options.max_chunks, 1), width});
  const bool dates = facts.schema->columns[facts.schema->primary_key.front().column].type == ColumnType::kDate;

  std::vector<ChunkRange> chunks;
  std::optional<int64_t> from;
  for (unsigned __int128 i = 1; i < count; ++i) {
    // Both factors are below 2^65 and 2^32: no overflow.
    auto cut =
        static_cast<int64_t>(static_cast<__int128>(facts.span->first) + static_cast<__int128>(width * i / count));
    if (dates) {
      cut = RealDateAtOrBelow(cut);
    }
    if (cut > from.value_or(facts.span->first)) {
      chunks.push_back({from, cut});
      from = cut;
    }
  }
  chunks.push_back({from, std::nullopt});
  return chunks;
}

std::vector<std::string> Names(const std::vector<TableFacts>& tables, const std::vector<size_t>& indexes) {
  std::vector<std::string> names;
  for (const size_t index : indexes) {
    names.push_back(tables[index].schema->name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

PlannedTable PlanTable(const TableFacts& facts, const PlanOptions& options) {
  PlannedTable planned;
  planned.table = facts.schema->name;
  planned.rows = facts.size.rows;
  planned.bytes = facts.size.bytes;
  planned.without_key = facts.schema->primary_key.empty();
  planned.one_piece = ReasonForOnePiece(*facts.schema);
  if (planned.one_piece.empty() && facts.size.rows <= options.chunk_rows) {
    planned.one_piece = "small";
  }
  if (planned.one_piece.empty() && !facts.span) {
    planned.one_piece = "empty";
  }
  if (!planned.one_piece.empty()) {
    planned.chunks = {ChunkRange{}};
    return planned;
  }
  planned.chunks = CutSpan(facts, options);
  if (planned.chunks.size() == 1) {
    planned.one_piece = "few distinct values in the first key column";
  }
  return planned;
}

struct Graph {
  Edges parents;
  Joined groups;
};

Graph ReadForeignKeys(const std::vector<TableFacts>& tables) {
  std::map<std::string_view, size_t> by_name;
  for (size_t i = 0; i < tables.size(); ++i) {
    by_name.emplace(tables[i].schema->name, i);
  }
  Graph graph{Edges(tables.size()), Joined(tables.size())};
  for (size_t i = 0; i < tables.size(); ++i) {
    for (const ForeignKey& key : tables[i].schema->foreign_keys) {
      const auto parent = by_name.find(key.parent_table);
      if (parent == by_name.end()) {
        continue;  // not copied by this migration
      }
      if (parent->second != i) {
        graph.parents[i].push_back(parent->second);
      }
      if (key.has_action()) {
        graph.groups.Join(i, parent->second);
      }
    }
  }
  return graph;
}

std::vector<uint32_t> LevelsOf(const Edges& parents, const Cycles& cycles) {
  std::vector<std::vector<size_t>> members(cycles.count());
  for (size_t i = 0; i < parents.size(); ++i) {
    members[cycles.of()[i]].push_back(i);
  }
  std::vector<uint32_t> levels(cycles.count());
  for (uint32_t cycle = 0; cycle < cycles.count(); ++cycle) {
    for (const size_t member : members[cycle]) {
      for (const size_t parent : parents[member]) {
        if (cycles.of()[parent] != cycle) {
          levels[cycle] = std::max(levels[cycle], levels[cycles.of()[parent]] + 1);
        }
      }
    }
  }
  return levels;
}

}  // namespace

std::string ReasonForOnePiece(const TableSchema& table) {
  if (table.primary_key.empty()) {
    return "no primary key";
  }
  const Column& column = table.columns[table.primary_key.front().column];
  switch (column.type) {
    case ColumnType::kInt:
    case ColumnType::kYear:
    case ColumnType::kDate:
      return table.primary_key.front().prefix == 0 ? "" : "key prefix";
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kText:
      return "text key";
    default:
      return fmt::format("{} key", ColumnTypeName(column.type));
  }
}

CopyPlan MakePlan(const std::vector<TableFacts>& tables, const PlanOptions& options) {
  Graph graph = ReadForeignKeys(tables);
  const Cycles cycles(graph.parents);
  const std::vector<uint32_t> levels = LevelsOf(graph.parents, cycles);

  // Rows of a whole cycle, so that its tables stay side by side in an order by size.
  std::vector<uint64_t> cycle_rows(cycles.count());
  for (size_t i = 0; i < tables.size(); ++i) {
    cycle_rows[cycles.of()[i]] += tables[i].size.rows;
  }
  std::map<size_t, uint32_t> group_numbers;
  CopyPlan plan;
  for (size_t i = 0; i < tables.size(); ++i) {
    PlannedTable planned = PlanTable(tables[i], options);
    planned.cycle = cycles.of()[i];
    planned.level = levels[planned.cycle];
    std::vector<size_t> outside;
    std::copy_if(graph.parents[i].begin(), graph.parents[i].end(), std::back_inserter(outside),
                 [&](size_t parent) { return cycles.of()[parent] != planned.cycle; });
    planned.parents = Names(tables, outside);
    planned.parents.erase(std::unique(planned.parents.begin(), planned.parents.end()), planned.parents.end());
    if (graph.groups.IsJoined(i)) {
      const auto number = static_cast<uint32_t>(group_numbers.size());
      planned.group = group_numbers.emplace(graph.groups.Root(i), number).first->second;
    }
    plan.tables.push_back(std::move(planned));
  }
  std::sort(plan.tables.begin(), plan.tables.end(), [&](const PlannedTable& a, const PlannedTable& b) {
    const auto key = [&](const PlannedTable& t) {
      return std::make_tuple(t.level, ~cycle_rows[t.cycle], t.cycle, ~t.rows, std::string_view(t.table));
    };
    return key(a) < key(b);
  });
  return plan;
}

Result<CopyPlan> PlanCopy(const apply::RouteSet& routes, const std::map<std::string, TableSize>& sizes,
                          SnapshotSource* source, const PlanOptions& options) {
  std::vector<TableFacts> tables;
  for (const auto& route : routes.routes()) {
    TableFacts facts;
    facts.schema = &route->source;
    if (const auto size = sizes.find(route->source.name); size != sizes.end()) {
      facts.size = size->second;
    }
    if (ReasonForOnePiece(route->source).empty() && facts.size.rows > options.chunk_rows) {
      CROSSFADE_ASSIGN(facts.span, source->ReadKeySpan(route->source));
    }
    tables.push_back(facts);
  }
  return MakePlan(tables, options);
}

const PlannedTable* CopyPlan::Find(std::string_view table) const {
  const auto found =
      std::find_if(tables.begin(), tables.end(), [&](const PlannedTable& planned) { return planned.table == table; });
  return found == tables.end() ? nullptr : &*found;
}

size_t CopyPlan::chunk_count() const {
  return std::accumulate(tables.begin(), tables.end(), size_t{0},
                         [](size_t sum, const PlannedTable& table) { return sum + table.chunks.size(); });
}

uint64_t CopyPlan::rows() const {
  return std::accumulate(tables.begin(), tables.end(), uint64_t{0},
                         [](uint64_t sum, const PlannedTable& table) { return sum + table.rows; });
}

std::string CopyPlan::ToString() const {
  std::string text = fmt::format("{} tables, about {} rows, {} chunks\n", tables.size(), rows(), chunk_count());
  for (const PlannedTable& table : tables) {
    text += fmt::format("  {}: about {} rows, ", table.table, table.rows);
    text += table.one_piece.empty() ? fmt::format("{} chunks", table.chunks.size())
                                    : fmt::format("in one piece ({})", table.one_piece);
    if (!table.parents.empty()) {
      text += fmt::format(", after {}", fmt::join(table.parents, ", "));
    }
    if (table.group) {
      text += fmt::format(", copy group {}", *table.group + 1);
    }
    text += '\n';
  }
  return text;
}

namespace {

constexpr uint8_t kInGroup = 1;
constexpr uint8_t kWithoutKey = 2;

void EncodeTable(const PlannedTable& table, ByteWriter* writer) {
  writer->String(table.table);
  writer->Varint(table.level);
  writer->Varint(table.cycle);
  writer->U8(static_cast<uint8_t>((table.group ? kInGroup : 0) | (table.without_key ? kWithoutKey : 0)));
  writer->Varint(table.group.value_or(0));
  writer->Varint(table.parents.size());
  for (const std::string& parent : table.parents) {
    writer->String(parent);
  }
  writer->String(table.one_piece);
  writer->Varint(table.rows);
  writer->Varint(table.bytes);
  writer->Varint(table.chunks.size() - 1);
  for (size_t i = 0; i + 1 < table.chunks.size(); ++i) {
    writer->FixedU64(static_cast<uint64_t>(*table.chunks[i].to));
  }
}

// False if the cuts do not rise.
bool DecodeChunks(ByteReader* reader, std::vector<ChunkRange>* chunks) {
  std::optional<int64_t> from;
  for (uint64_t cuts = reader->Varint(); cuts > 0 && reader->ok(); --cuts) {
    const auto cut = static_cast<int64_t>(reader->FixedU64());
    if (from && cut <= *from) {
      return false;
    }
    chunks->push_back({from, cut});
    from = cut;
  }
  chunks->push_back({from, std::nullopt});
  return reader->ok();
}

bool DecodeTable(ByteReader* reader, PlannedTable* table) {
  table->table = reader->String();
  table->level = static_cast<uint32_t>(reader->Varint());
  table->cycle = static_cast<uint32_t>(reader->Varint());
  const uint8_t flags = reader->U8();
  const uint64_t group = reader->Varint();
  if ((flags & kInGroup) != 0) {
    table->group = static_cast<uint32_t>(group);
  }
  table->without_key = (flags & kWithoutKey) != 0;
  for (uint64_t parents = reader->Varint(); parents > 0 && reader->ok(); --parents) {
    table->parents.emplace_back(reader->String());
  }
  table->one_piece = reader->String();
  table->rows = reader->Varint();
  table->bytes = reader->Varint();
  return DecodeChunks(reader, &table->chunks);
}

}  // namespace

std::string CopyPlan::Encode() const {
  std::string out;
  ByteWriter writer(&out);
  writer.U8(kPlanVersion);
  writer.Varint(tables.size());
  for (const PlannedTable& table : tables) {
    EncodeTable(table, &writer);
  }
  return out;
}

Result<CopyPlan> CopyPlan::Decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  CopyPlan plan;
  bool good = version == kPlanVersion;
  for (uint64_t count = good ? reader.Varint() : 0; good && count > 0; --count) {
    PlannedTable table;
    good = DecodeTable(&reader, &table);
    plan.tables.push_back(std::move(table));
  }
  if (!good || !reader.ok() || !reader.at_end()) {
    return MakeError(ErrorClass::kCorrupt, "CF1620", kComponent, "not an encoded copy plan ({} bytes, version {})",
                     bytes.size(), version);
  }
  return plan;
}

}  // namespace crossfade::snapshot
