#include "capture/postgres/relations.h"

#include <algorithm>
#include <utility>

namespace crossfade::capture {

namespace {

constexpr std::string_view kComponent = "capture.postgres";

void Append(std::string* list, std::string_view name, std::string_view type) {
  *list += fmt::format("{}{} {}", list->empty() ? "" : ", ", name, type);
}

}  // namespace

Relations::Relations(std::string schema, std::vector<TableSchema> tables, TypeName type_name)
    : schema_(std::move(schema)), tables_(std::move(tables)), type_name_(std::move(type_name)) {
  for (const TableSchema& table : tables_) {
    by_name_.emplace(table.name, &table);
  }
}

void Relations::Know(uint32_t id, const std::string& table) {
  if (const auto found = by_name_.find(table); found != by_name_.end()) {
    known_[id] = found->second;
  }
}

void Relations::Forget() {
  known_.clear();
  named_.clear();
}

Result<Relations::Taken> Relations::Take(const pgoutput::Relation& relation) {
  const auto by_name = relation.schema == schema_ ? by_name_.find(relation.name) : by_name_.end();
  const auto known = known_.find(relation.id);
  const TableSchema* const table = known != known_.end()       ? known->second
                                   : by_name != by_name_.end() ? by_name->second
                                                               : nullptr;
  Named& named = named_[relation.id];
  named = {};
  if (table == nullptr) {
    return Taken{};
  }
  named.captured = true;
  std::string difference;
  const bool another = known == known_.end() && std::any_of(known_.begin(), known_.end(),
                                                            [&](const auto& entry) { return entry.second == table; });
  if (relation.schema != schema_ || relation.name != table->name) {
    difference = fmt::format("it is {}.{} now", relation.schema, relation.name);
  } else if (another) {
    difference = "another table has its name";
  } else {
    CROSSFADE_ASSIGN(difference, DifferenceOf(relation, *table, &named.relation));
  }
  named.changed = !difference.empty();
  return named.changed ? Taken{table, std::move(difference)} : Taken{};
}

// A generated column is in the stream of some versions, and not of others.
Result<std::string> Relations::DifferenceOf(const pgoutput::Relation& relation, const TableSchema& table,
                                            CapturedRelation* captured) const {
  captured->table = &table;
  captured->replica_identity = relation.identity;
  std::string was;
  std::string is;
  for (const Column& column : table.columns) {
    if (column.generated == GeneratedKind::kNone) {
      Append(&was, column.name, column.source_type);
    }
  }
  bool same = true;
  size_t next = 0;
  const auto skipped = [&](const Column& column, std::string_view name) {
    return column.generated != GeneratedKind::kNone && column.name != name;
  };
  for (const pgoutput::RelationColumn& column : relation.columns) {
    CROSSFADE_ASSIGN(const std::string type, type_name_(column.type, column.modifier));
    while (next < table.columns.size() && skipped(table.columns[next], column.name)) {
      ++next;
    }
    Append(&is, column.name, type);
    same = same && next < table.columns.size() && table.columns[next].name == column.name &&
           table.columns[next].source_type == type;
    captured->columns.push_back(static_cast<uint32_t>(next++));
    captured->identity.push_back(column.identity);
  }
  for (; next < table.columns.size(); ++next) {
    same = same && table.columns[next].generated != GeneratedKind::kNone;
  }
  return same ? std::string() : fmt::format("its columns were ({}) and are ({})", was, is);
}

Result<const CapturedRelation*> Relations::Find(uint32_t id) const {
  const auto found = named_.find(id);
  if (found == named_.end()) {
    return MakeError(ErrorClass::kCorrupt, "CF1921", kComponent,
                     "the stream has a change of relation {}, and no "
                     "description of it",
                     id);
  }
  const Named& named = found->second;
  if (named.changed) {
    return MakeError(ErrorClass::kData, "CF1922", kComponent,
                     "the stream has a change of relation {}, which is not the table that was captured any more", id);
  }
  return named.captured ? &named.relation : nullptr;
}

}  // namespace crossfade::capture
