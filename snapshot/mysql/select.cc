#include "snapshot/mysql/select.h"

#include <fmt/format.h>

#include "core/value.h"
#include "db/mysql/connection.h"

namespace crossfade::snapshot {

namespace {

using mysql::Connection;

const Column& FirstKeyColumn(const TableSchema& table) { return table.columns[table.primary_key.front().column]; }

// "column >= bound" or "column < bound" for a bound in ordinals.
std::string Compare(const Column& column, const char* comparison, int64_t ordinal) {
  const std::string name = Connection::Identifier(column.name);
  if (column.type == ColumnType::kDate) {
    const CivilDate date = UnpackDate(ordinal);
    if (ordinal >= 0 && date.year <= 9999 && IsRealDate(date)) {
      return fmt::format("{} {} '{:04}-{:02}-{:02}'", name, comparison, date.year, date.month, date.day);
    }
    // A bound that no server takes as a literal; the number is the same as PackDate's.
    return fmt::format("(YEAR({0}) * 13 + MONTH({0})) * 32 + DAYOFMONTH({0}) {1} {2}", name, comparison, ordinal);
  }
  if (column.type == ColumnType::kYear) {
    // A number below 100 would be taken for a year of our century. There are no years between 0 and 1901.
    const int64_t year = ordinal >= 1 && ordinal <= 1901 ? 1901 : ordinal;
    return fmt::format("{}{} {} {}", name, year >= 1901 && year <= 2155 ? "" : " + 0", comparison, year);
  }
  if (column.is_unsigned) {
    return fmt::format("{} {} {}", name, comparison, static_cast<uint64_t>(ordinal) ^ (uint64_t{1} << 63));
  }
  return fmt::format("{} {} {}", name, comparison, ordinal);
}

}  // namespace

std::string QuotedName(const TableSchema& table) {
  return Connection::Identifier(table.database) + "." + Connection::Identifier(table.name);
}

std::string SelectRows(const TableSchema& table, const ChunkRange& range) {
  std::string sql = "SELECT ";
  for (const Column& column : table.columns) {
    sql += Connection::Identifier(column.name) + ",";
  }
  sql.back() = ' ';
  sql += "FROM " + QuotedName(table);
  if (range.whole()) {
    return sql;
  }
  // Left to itself the server may walk another index, or the whole table for each of its chunks.
  sql += " FORCE INDEX (PRIMARY) WHERE ";
  const Column& key = FirstKeyColumn(table);
  if (range.from) {
    sql += Compare(key, ">=", *range.from);
  }
  if (range.to) {
    sql += (range.from ? " AND " : "") + Compare(key, "<", *range.to);
  }
  return sql;
}

std::string SelectKeyEnd(const TableSchema& table, KeyEnd end) {
  const std::string name = Connection::Identifier(FirstKeyColumn(table).name);
  // Unlike MIN and MAX this keeps the column's own type, also in the protocol.
  return fmt::format("SELECT {0} FROM {1} FORCE INDEX (PRIMARY) ORDER BY {0} {2} LIMIT 1", name, QuotedName(table),
                     end == KeyEnd::kSmallest ? "ASC" : "DESC");
}

}  // namespace crossfade::snapshot
