#include "snapshot/postgres/select.h"

#include <fmt/format.h>

#include "db/postgres/type_map.h"
#include "snapshot/postgres/row_text.h"

namespace crossfade::snapshot::pg {

namespace {

using postgres::Connection;
using postgres::PgType;

std::string SelectList(const TableSchema& table) {
  std::string list;
  for (const uint32_t column : ReadColumns(table)) {
    list += (list.empty() ? "t." : ", t.") + Connection::Identifier(table.columns[column].name);
  }
  return list;
}

std::string NameOf(const TableSchema& table, uint32_t column) {
  return "t." + Connection::Identifier(table.columns[column].name);
}

std::string OrdinalLiteral(const Column& column, int64_t ordinal) {
  return column.type == ColumnType::kDate ? postgres::DateLiteral(ordinal) : fmt::format("({})::bigint", ordinal);
}

}  // namespace

std::vector<postgres::Parameter> BoundQuery::Parameters() const {
  std::vector<postgres::Parameter> parameters;
  for (size_t i = 0; i < values.size(); ++i) {
    parameters.push_back({types[i], values[i]});
  }
  return parameters;
}

std::string QuotedName(const TableSchema& table) {
  return Connection::Identifier(table.database) + "." + Connection::Identifier(table.name);
}

std::string SelectRows(const TableSchema& table, const ChunkRange& range) {
  std::string sql = fmt::format("SELECT {} FROM {} t", SelectList(table), QuotedName(table));
  if (range.whole()) {
    return sql;
  }
  const uint32_t key = table.primary_key.front().column;
  const Column& column = table.columns[key];
  std::string_view word = " WHERE ";
  if (range.from) {
    sql += fmt::format("{}{} >= {}", word, NameOf(table, key), OrdinalLiteral(column, *range.from));
    word = " AND ";
  }
  if (range.to) {
    sql += fmt::format("{}{} < {}", word, NameOf(table, key), OrdinalLiteral(column, *range.to));
  }
  return sql;
}

std::string SelectKeySpan(const TableSchema& table) {
  const uint32_t key = table.primary_key.front().column;
  const std::string name = NameOf(table, key);
  const bool date = table.columns[key].type == ColumnType::kDate;
  return fmt::format("SELECT min({0}), max({0}) FROM {1} t{2}", name, QuotedName(table),
                     date ? fmt::format(" WHERE {0} > '-infinity' AND {0} < 'infinity'", name) : "");
}

Result<BoundQuery> SelectKeys(const TableSchema& table, std::span<const uint32_t> columns,
                              std::span<const std::vector<Value>> keys) {
  BoundQuery query;
  std::string names;
  std::string arrays;
  std::string elements;
  postgres::ArrayBuilder array;
  for (size_t i = 0; i < columns.size(); ++i) {
    const Column& column = table.columns[columns[i]];
    CROSSFADE_ASSIGN(const PgType type, postgres::MapType(column, {}));
    array.Begin(type);
    for (const std::vector<Value>& key : keys) {
      CROSSFADE_TRY(array.Append(column, {}, key[i]));
    }
    query.types.push_back(type.array_oid);
    query.values.emplace_back(array.Finish());
    const std::string_view comma = i == 0 ? "" : ", ";
    names += fmt::format("{}{}", comma, NameOf(table, columns[i]));
    arrays += fmt::format("{}${}::{}", comma, i + 1, type.array_sql);
    elements += fmt::format("{}k.c{}{}{}", comma, i + 1, type.array_cast.empty() ? "" : "::", type.array_cast);
  }
  std::string aliases;
  for (size_t i = 0; i < columns.size(); ++i) {
    aliases += fmt::format("{}c{}", i == 0 ? "" : ", ", i + 1);
  }
  query.sql = fmt::format("SELECT {} FROM {} t WHERE ({}) IN (SELECT {} FROM unnest({}) AS k({}))", SelectList(table),
                          QuotedName(table), names, elements, arrays, aliases);
  return query;
}

Result<BoundQuery> SelectPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                              uint64_t max_rows) {
  BoundQuery query;
  std::string names;
  std::string values;
  for (size_t i = 0; i < key.size(); ++i) {
    const std::string_view comma = i == 0 ? "" : ", ";
    names += fmt::format("{}{}", comma, NameOf(table, key[i]));
    if (after.empty()) {
      continue;
    }
    const Column& column = table.columns[key[i]];
    CROSSFADE_ASSIGN(const PgType type, postgres::MapType(column, {}));
    std::string field;
    CROSSFADE_TRY(postgres::AppendField(type, column, {}, after[i], &field));
    query.types.push_back(type.oid);
    query.values.push_back(field.substr(4));  // without its length
    values += fmt::format("{}${}{}{}", comma, i + 1, type.array_cast.empty() ? "" : "::", type.array_cast);
  }
  query.sql = fmt::format("SELECT {} FROM {} t{} ORDER BY {} LIMIT {}", SelectList(table), QuotedName(table),
                          after.empty() ? "" : fmt::format(" WHERE ({}) > ({})", names, values), names, max_rows);
  return query;
}

}  // namespace crossfade::snapshot::pg
