// How the rows of one version of one captured table are read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "capture/mysql/table_map.h"
#include "core/error.h"
#include "core/schema.h"
#include "db/mysql/charset.h"

namespace crossfade::capture {

// The way one column's bytes become a Value.
enum class Coding : uint8_t {
  kSigned,    // `width` bytes
  kUnsigned,  // `width` bytes
  kFloat,
  kDouble,
  kYear,
  kDecimal,
  kBits,  // `width` bytes, big-endian
  kDate,
  kTime2,
  kDateTime2,
  kTimestamp2,
  kOldTime,
  kOldDateTime,
  kOldTimestamp,
  kEnum,   // `width` bytes
  kSet,    // `width` bytes
  kText,   // `width` bytes of length
  kBytes,  // `width` bytes of length; then, if `pad_to`, NUL bytes up to it
  kJson,
  kJsonText,
  kUuid,
  kSwappedUuid,  // MariaDB's first format: the fields in the order in which they sort
  kInet,
  kVector,
};

struct ColumnPlan {
  Coding coding{};
  uint8_t width = 0;
  uint8_t precision = 0;
  uint8_t scale = 0;  // or digits of a fraction
  bool compressed = false;
  bool json = false;  // takes part in partial updates
  uint32_t pad_to = 0;
  const Column* column = nullptr;
  std::shared_ptr<const mysql::CharsetConverter> converter;  // null if the bytes are UTF-8 already
};

struct TablePlan {
  const TableSchema* schema = nullptr;
  std::vector<ColumnPlan> columns;
  size_t json_columns = 0;
};

// What the plans need to know about the server.
struct ServerText {
  // Converter of a character set; Config error for an unknown one.
  std::function<Result<std::shared_ptr<const mysql::CharsetConverter>>(const std::string& charset)> converter;
  // Character set of each collation id. May be empty: then it is not compared.
  std::map<uint32_t, std::string> charset_of_collation;
};

// Checks the table as the log has it against the schema we hold, and makes the plan.
// Data error CF1210 if they differ: the table, what differs, and what to do. `schema` must outlive the plan.
Result<TablePlan> MakePlan(const TableMap& map, const TableSchema& schema, const ServerText& text);

}  // namespace crossfade::capture
