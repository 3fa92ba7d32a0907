// TABLE_MAP: which table the following rows belong to, and the physical types of its columns. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capture/mysql/event.h"
#include "core/error.h"
#include "db/mysql/connection.h"

namespace crossfade::capture {

// Field types of the log. STRING, ENUM and SET all travel as 254 and are told apart when they are read.
enum class FieldType : uint8_t {
  kTiny = 1,
  kShort = 2,
  kLong = 3,
  kFloat = 4,
  kDouble = 5,
  kTimestamp = 7,
  kLongLong = 8,
  kInt24 = 9,
  kDate = 10,
  kTime = 11,
  kDateTime = 12,
  kYear = 13,
  kNewDate = 14,
  kVarchar = 15,
  kBit = 16,
  kTimestamp2 = 17,
  kDateTime2 = 18,
  kTime2 = 19,
  kBlobCompressed = 140,     // MariaDB
  kVarcharCompressed = 141,  // MariaDB
  kVector = 242,
  kJson = 245,
  kDecimal = 246,
  kEnum = 247,
  kSet = 248,
  kBlob = 252,
  kVarString = 253,
  kString = 254,
  kGeometry = 255,
};

struct MappedColumn {
  FieldType type{};
  // kVarchar, kString: the most bytes. kBlob, kGeometry, kJson, kVector: bytes of the length. kEnum, kSet: bytes of
  // the value. kDecimal: precision in the low byte, scale in the high one. kBit: bits. Times: digits of the fraction.
  uint32_t meta = 0;
};

// A collation given for one of the columns it concerns.
struct MappedCharset {
  size_t column = 0;
  uint32_t collation = 0;
};

// Borrows from the event.
struct TableMap {
  uint64_t table_id = 0;
  std::string_view database;
  std::string_view table;
  std::vector<MappedColumn> columns;
  // What follows is there only if the server writes it (binlog_row_metadata); empty otherwise.
  std::optional<std::vector<bool>> is_unsigned;  // by column; false for what is not numeric
  std::vector<MappedCharset> charsets;           // of text, ENUM and SET columns
  std::vector<std::string_view> names;
  std::vector<std::pair<size_t, std::vector<std::string_view>>> labels;  // column, its labels in its character set
};

// The servers do not agree on which columns have a character set.
Result<TableMap> ParseTableMap(mysql::Flavor flavor, std::string_view body);

// As far as the names: enough to pass over tables that do not concern us, whatever is in them.
struct TableName {
  std::string_view database;
  std::string_view table;
};
Result<TableName> ParseTableName(std::string_view body);

// The number alone; every rows event and table map begins with it.
uint64_t TableIdOf(std::string_view body);

}  // namespace crossfade::capture
