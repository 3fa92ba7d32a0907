// Tables and plans for tests, in few words.
#pragma once

#include <string>
#include <vector>

#include "apply/route.h"
#include "core/schema.h"
#include "snapshot/plan.h"

namespace crossfade::snapshot {

inline Column IntColumn(const std::string& name, bool is_unsigned = false) {
  Column column;
  column.name = name;
  column.type = ColumnType::kInt;
  column.bits = 64;
  column.is_unsigned = is_unsigned;
  return column;
}

inline Column OtherColumn(const std::string& name, ColumnType type) {
  Column column;
  column.name = name;
  column.type = type;
  column.length = 20;
  column.charset = type == ColumnType::kVarchar ? "utf8mb4" : "";
  return column;
}

// Columns id (key) and v.
inline TableSchema SimpleTable(const std::string& name) {
  TableSchema table;
  table.database = "shop";
  table.name = name;
  table.engine = "InnoDB";
  table.columns = {IntColumn("id"), IntColumn("v")};
  table.primary_key = {KeyPart{0, 0, false}};
  return table;
}

inline TableSchema Child(TableSchema table, const std::string& parent,
                         ReferenceAction on_delete = ReferenceAction::kNoAction) {
  ForeignKey key;
  key.name = table.name + "_" + parent;
  key.columns = {1};
  key.parent_table = parent;
  key.parent_columns = {"id"};
  key.on_delete = on_delete;
  table.foreign_keys.push_back(key);
  return table;
}

inline TableFacts Facts(const TableSchema& table, uint64_t rows, std::optional<KeySpan> span = std::nullopt) {
  return {&table, {rows, rows * 100}, span};
}

inline Position At(uint64_t offset) { return Position{"server", "", "", "log.000001", offset}; }

}  // namespace crossfade::snapshot
