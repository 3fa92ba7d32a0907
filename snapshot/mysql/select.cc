#include "snapshot/mysql/select.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

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

std::string SelectAll(const TableSchema& table) {
  std::string sql = "SELECT ";
  for (const Column& column : table.columns) {
    sql += Connection::Identifier(column.name) + ",";
  }
  sql.back() = ' ';
  return sql + "FROM " + QuotedName(table);
}

std::string DateText(int64_t packed) {
  const CivilDate date = UnpackDate(packed);
  return fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
}

std::string TimeText(int64_t micros) {
  const int64_t seconds = micros / 1'000'000;
  return fmt::format("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1'000'000);
}

std::string TimestampText(int64_t micros) {
  constexpr int64_t kMicrosPerDay = 86'400'000'000;
  if (micros == kZeroTimestamp) {
    return "0000-00-00 00:00:00";
  }
  const int64_t days = micros / kMicrosPerDay - (micros % kMicrosPerDay < 0 ? 1 : 0);
  const CivilDate date = CivilFromDays(days);
  return fmt::format("{:04}-{:02}-{:02} {}", date.year, date.month, date.day, TimeText(micros - days * kMicrosPerDay));
}

std::string HexText(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += fmt::format("{:02x}", static_cast<uint8_t>(c));
  }
  return out;
}

std::string UuidText(std::string_view bytes) {
  std::string text = HexText(bytes);
  for (const size_t at : {8U, 13U, 18U, 23U}) {
    text.insert(at, "-");
  }
  return text;
}

std::string InetText(std::string_view bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

// A value as a literal that compares equal to what the column stores; the session's time zone is UTC.
std::string ValueLiteral(const Value& value, const QuoteText& quote) {
  switch (value.kind) {
    case ValueKind::kInt:
      return fmt::format("{}", value.i);
    case ValueKind::kUint:
    case ValueKind::kBits:
      return fmt::format("{}", value.u);
    case ValueKind::kFloat:
      return fmt::format("{:.16e}", static_cast<double>(value.f));  // a FLOAT is compared as the double that it is
    case ValueKind::kDouble:
      return fmt::format("{:.16e}", value.d);
    case ValueKind::kDecimal:
      return std::string(value.bytes);
    case ValueKind::kDate:
      return fmt::format("'{}'", DateText(value.i));
    case ValueKind::kTime:
      return fmt::format("'{}{}'", value.i < 0 ? "-" : "", TimeText(value.i < 0 ? -value.i : value.i));
    case ValueKind::kDateTime:
      return fmt::format("'{} {}'", DateText(DateOfDateTime(value.i)), TimeText(MicrosOfDateTime(value.i)));
    case ValueKind::kTimestamp:
      return fmt::format("'{}'", TimestampText(value.i));
    case ValueKind::kBytes:
      return value.bytes.empty() ? "''" : "x'" + HexText(value.bytes) + "'";
    case ValueKind::kUuid:
      return fmt::format("'{}'", UuidText(value.bytes));
    case ValueKind::kInet:
      return fmt::format("'{}'", InetText(value.bytes));
    case ValueKind::kText:
    case ValueKind::kJson:
      return quote(value.bytes);
    default:
      return "NULL";
  }
}

// An index, by name and columns.
struct Index {
  std::string name;
  std::vector<KeyPart> parts;
};

Index IndexOn(const TableSchema& table, std::span<const uint32_t> columns) {
  const auto covers = [&](const std::vector<KeyPart>& parts) {
    return std::equal(parts.begin(), parts.end(), columns.begin(), columns.end(),
                      [](const KeyPart& part, uint32_t column) { return part.column == column && part.prefix == 0; });
  };
  if (covers(table.primary_key)) {
    return {"PRIMARY", table.primary_key};
  }
  for (const Key& key : table.keys) {
    if (key.unique && covers(key.parts)) {
      return {key.name, key.parts};
    }
  }
  return {};
}

}  // namespace

std::string QuotedName(const TableSchema& table) {
  return Connection::Identifier(table.database) + "." + Connection::Identifier(table.name);
}

std::string SelectRows(const TableSchema& table, const ChunkRange& range) {
  std::string sql = SelectAll(table);
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

std::string SelectKeys(const TableSchema& table, std::span<const uint32_t> columns,
                       std::span<const std::vector<Value>> keys, const QuoteText& quote) {
  std::string condition;
  if (columns.size() == 1) {
    for (const std::vector<Value>& key : keys) {
      condition += (condition.empty() ? "" : ",") + ValueLiteral(key[0], quote);
    }
    return SelectAll(table) +
           fmt::format(" WHERE {} IN ({})", Connection::Identifier(table.columns[columns[0]].name), condition);
  }
  // MariaDB looks through the whole table for a list of tuples.
  for (const std::vector<Value>& key : keys) {
    std::string parts;
    for (size_t i = 0; i < key.size(); ++i) {
      parts += fmt::format("{}{} = {}", i == 0 ? "" : " AND ", Connection::Identifier(table.columns[columns[i]].name),
                           ValueLiteral(key[i], quote));
    }
    condition += fmt::format("{}({})", condition.empty() ? "" : " OR ", parts);
  }
  return SelectAll(table) + " WHERE " + condition;
}

std::string SelectPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                       uint64_t max_rows, const QuoteText& quote) {
  const Index index = IndexOn(table, key);
  std::string order;
  std::string condition;
  std::string equal;  // in the columns before
  for (size_t i = 0; i < index.parts.size(); ++i) {
    const std::string name = Connection::Identifier(table.columns[index.parts[i].column].name);
    const bool descending = index.parts[i].descending;
    order += fmt::format("{}{}{}", i == 0 ? "" : ",", name, descending ? " DESC" : "");
    if (i < after.size()) {
      // No server walks the index for (a, b) > (1, 2).
      const std::string value = ValueLiteral(after[i], quote);
      condition += fmt::format("{}({}{} {} {})", i == 0 ? "" : " OR ", equal, name, descending ? "<" : ">", value);
      equal += fmt::format("{} = {} AND ", name, value);
    }
  }
  return SelectAll(table) + fmt::format(" FORCE INDEX ({}){}{} ORDER BY {} LIMIT {}",
                                        Connection::Identifier(index.name), condition.empty() ? "" : " WHERE ",
                                        condition, order, max_rows);
}

std::string SelectKeyEnd(const TableSchema& table, KeyEnd end) {
  const std::string name = Connection::Identifier(FirstKeyColumn(table).name);
  // Unlike MIN and MAX this keeps the column's own type, also in the protocol.
  return fmt::format("SELECT {0} FROM {1} FORCE INDEX (PRIMARY) ORDER BY {0} {2} LIMIT 1", name, QuotedName(table),
                     end == KeyEnd::kSmallest ? "ASC" : "DESC");
}

}  // namespace crossfade::snapshot
