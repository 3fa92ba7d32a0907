// What information_schema says of one column, read as a Column. Pure: no server is asked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/schema.h"
#include "db/mysql/connection.h"

namespace crossfade::mysql {

// A row of information_schema.COLUMNS, as text.
struct ColumnText {
  std::string table;  // for messages
  std::string name;
  std::optional<std::string> default_value;
  bool nullable = true;
  std::string data_type;    // "varchar"
  std::string column_type;  // "varchar(20)"
  uint64_t characters = 0;
  uint16_t precision = 0;
  uint16_t scale = 0;
  uint8_t fraction = 0;
  std::string charset;
  std::string collation;
  std::string extra;
  std::string generation_expression;
  std::string comment;
};

// Data error CF1110 if the type is not known. Labels and default are only as good as the text: see below.
Result<Column> ColumnFromText(const ColumnText& text, Flavor flavor);

// The labels of "enum('a','b''c')" and "set(...)"; none if it is not written like that.
std::optional<std::vector<std::string>> ParseLabels(std::string_view column_type);

// information_schema is held in three-byte UTF-8, in which longer characters become '?'; and MySQL cuts the default of
// a binary column at its first NUL byte. Where that may have happened the server must be asked in another way.
bool HasDoubtfulLabels(const Column& column);
bool HasDoubtfulDefault(const Column& column);

// MySQL stores expressions with their quotes and backslashes escaped once more than in a statement.
std::string UnescapeExpression(std::string_view stored);

}  // namespace crossfade::mysql
