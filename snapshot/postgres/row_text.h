// Rows of a table in PostgreSQL's text form: lines of COPY, and fields of a query's result.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/schema.h"
#include "core/value.h"

namespace crossfade::snapshot {

// The columns that are read: all but generated ones, whose values stand in no log either; they are absent in the row.
std::vector<uint32_t> ReadColumns(const TableSchema& table);

// Reusable; what it gives is valid until its next call.
class RowText {
 public:
  // `table` must outlive it.
  explicit RowText(const TableSchema& table);

  // Corrupt CF1641 if it is no line of the table; and as ValueFromText.
  Result<std::span<const Value>> FromLine(std::string_view line);
  Result<std::span<const Value>> FromFields(std::span<const std::optional<std::string_view>> fields);

 private:
  struct Field {
    uint32_t column = 0;
    std::string unescaped;
    std::string storage;
  };
  Status Read(Field* field, std::string_view text);

  const TableSchema& table_;
  std::vector<Field> fields_;
  std::vector<Value> values_;
};

}  // namespace crossfade::snapshot
