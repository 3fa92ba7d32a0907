#include "db/mysql/column_text.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace crossfade::mysql {
namespace {

bool Contains(std::string_view text, std::string_view word) { return text.find(word) != std::string_view::npos; }

bool StartsWithIgnoringCase(std::string_view text, std::string_view upper_case) {
  return text.size() >= upper_case.size() &&
         std::equal(upper_case.begin(), upper_case.end(), text.begin(),
                    [](char a, char b) { return a == (b >= 'a' && b <= 'z' ? static_cast<char>(b - 'a' + 'A') : b); });
}

bool IsBinary(ColumnType type) {
  return type == ColumnType::kBinary || type == ColumnType::kVarbinary || type == ColumnType::kBlob;
}

bool IsText(ColumnType type) {
  switch (type) {
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kText:
    case ColumnType::kEnum:
    case ColumnType::kSet:
      return true;
    default:
      return false;
  }
}

struct TypeName {
  std::string_view name;
  ColumnType type;
  uint8_t bits = 0;
};

constexpr auto kTypes = std::to_array<TypeName>({
    {"tinyint", ColumnType::kInt, 8},
    {"smallint", ColumnType::kInt, 16},
    {"mediumint", ColumnType::kInt, 24},
    {"int", ColumnType::kInt, 32},
    {"bigint", ColumnType::kInt, 64},
    {"float", ColumnType::kFloat},
    {"double", ColumnType::kDouble},
    {"decimal", ColumnType::kDecimal},
    {"bit", ColumnType::kBit},
    {"char", ColumnType::kChar},
    {"varchar", ColumnType::kVarchar},
    {"tinytext", ColumnType::kText},
    {"text", ColumnType::kText},
    {"mediumtext", ColumnType::kText},
    {"longtext", ColumnType::kText},
    {"binary", ColumnType::kBinary},
    {"varbinary", ColumnType::kVarbinary},
    {"tinyblob", ColumnType::kBlob},
    {"blob", ColumnType::kBlob},
    {"mediumblob", ColumnType::kBlob},
    {"longblob", ColumnType::kBlob},
    {"date", ColumnType::kDate},
    {"time", ColumnType::kTime},
    {"datetime", ColumnType::kDateTime},
    {"timestamp", ColumnType::kTimestamp},
    {"year", ColumnType::kYear},
    {"enum", ColumnType::kEnum},
    {"set", ColumnType::kSet},
    {"json", ColumnType::kJson},
    {"uuid", ColumnType::kUuid},
    {"inet4", ColumnType::kInet4},
    {"inet6", ColumnType::kInet6},
    {"geometry", ColumnType::kGeometry},
    {"point", ColumnType::kGeometry},
    {"linestring", ColumnType::kGeometry},
    {"polygon", ColumnType::kGeometry},
    {"multipoint", ColumnType::kGeometry},
    {"multilinestring", ColumnType::kGeometry},
    {"multipolygon", ColumnType::kGeometry},
    {"geometrycollection", ColumnType::kGeometry},
    {"geomcollection", ColumnType::kGeometry},
    {"vector", ColumnType::kVector},
});

tl::unexpected<Error> UnknownType(const ColumnText& text) {
  Error error;
  error.error_class = ErrorClass::kData;
  error.code = "CF1110";
  error.component = "db.mysql.catalog";
  error.message = fmt::format("column {}.{} has a type that is not known: {}", text.table, text.name, text.column_type);
  error.object = fmt::format("{}.{}", text.table, text.name);
  error.found = text.column_type;
  return Fail(std::move(error));
}

// The number in "vector(3)"; 0 if there is none.
uint64_t NumberInBrackets(std::string_view column_type) {
  uint64_t number = 0;
  const size_t open = column_type.find('(');
  if (open != std::string_view::npos) {
    std::from_chars(column_type.data() + open + 1, column_type.data() + column_type.size(), number);
  }
  return number;
}

// Type, with what belongs to it.
Status FillType(const ColumnText& text, Column* column) {
  const auto* const found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeName& type) { return type.name == text.data_type; });
  if (found == kTypes.end()) {
    return UnknownType(text);
  }
  column->type = found->type;
  column->bits = found->bits;
  switch (column->type) {
    case ColumnType::kInt:
    case ColumnType::kFloat:
    case ColumnType::kDouble:
      column->is_unsigned = Contains(text.column_type, " unsigned");
      break;
    case ColumnType::kDecimal:
      column->is_unsigned = Contains(text.column_type, " unsigned");
      column->precision = text.precision;
      column->scale = text.scale;
      break;
    case ColumnType::kBit:
      column->length = text.precision;
      break;
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kBinary:
    case ColumnType::kVarbinary:
      column->length = text.characters;
      break;
    case ColumnType::kTime:
    case ColumnType::kDateTime:
    case ColumnType::kTimestamp:
      column->fraction = text.fraction;
      break;
    case ColumnType::kVector:
      column->length = NumberInBrackets(text.column_type);
      break;
    case ColumnType::kEnum:
    case ColumnType::kSet: {
      auto labels = ParseLabels(text.column_type);
      if (!labels) {
        return UnknownType(text);
      }
      column->labels = std::move(*labels);
      break;
    }
    default:
      break;
  }
  if (IsText(column->type)) {
    // Older servers call it by its old name.
    column->charset = text.charset == "utf8" ? "utf8mb3" : text.charset;
    column->collation = text.collation;
  }
  return {};
}

bool IsNumber(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    text.remove_prefix(1);
  }
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool starts = !text.empty() && ((text[0] >= '0' && text[0] <= '9') || text[0] == '.');
  return starts && error == std::errc() && end == text.data() + text.size();
}

bool IsHexLiteral(std::string_view text) {
  return text.size() > 2 && text[0] == '0' && text[1] == 'x' &&
         text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
}

// "b'101'" is 101.
std::optional<std::string> BitDigits(std::string_view text) {
  if (text.size() < 3 || text[0] != 'b' || text[1] != '\'' || text.back() != '\'') {
    return std::nullopt;
  }
  const std::string_view digits = text.substr(2, text.size() - 3);
  return digits.find_first_not_of("01") == std::string_view::npos ? std::optional<std::string>(digits) : std::nullopt;
}

char Unescaped(char c) {
  switch (c) {
    case '0':
      return '\0';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'Z':
      return '\x1a';
    default:
      return c;
  }
}

// The value of one string literal that is all of `text`; none if it is more, or no literal.
std::optional<std::string> Unquoted(std::string_view text) {
  if (text.size() < 2 || text[0] != '\'' || text.back() != '\'') {
    return std::nullopt;
  }
  std::string value;
  const std::string_view inner = text.substr(1, text.size() - 2);
  for (size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] == '\\') {
      if (++i == inner.size()) {
        return std::nullopt;
      }
      value += Unescaped(inner[i]);
    } else if (inner[i] == '\'') {
      if (++i == inner.size() || inner[i] != '\'') {
        return std::nullopt;  // the literal ends here, and something follows
      }
      value += '\'';
    } else {
      value += inner[i];
    }
  }
  return value;
}

// MariaDB gives an expression, which may be a literal or the word NULL.
void FillMariaDbDefault(const std::string& text, Column* column) {
  if (text == "NULL") {
    return;
  }
  if (auto literal = Unquoted(text)) {
    column->default_value = std::move(literal);
  } else if (auto digits = BitDigits(text)) {
    column->default_value = std::move(digits);
  } else if (IsNumber(text) || IsHexLiteral(text)) {
    column->default_value = text;
  } else {
    column->default_value = text;
    column->default_is_expression = true;
  }
}

// MySQL gives the value itself, or an expression and says so. Before version 8 the one possible expression was not
// marked.
void FillMySqlDefault(const ColumnText& text, Column* column) {
  const std::string& value = *text.default_value;
  const bool temporal = column->type == ColumnType::kDateTime || column->type == ColumnType::kTimestamp;
  if (Contains(text.extra, "DEFAULT_GENERATED")) {
    column->default_value = UnescapeExpression(value);
    column->default_is_expression = true;
  } else if (temporal && StartsWithIgnoringCase(value, "CURRENT_TIMESTAMP")) {
    column->default_value = value;
    column->default_is_expression = true;
  } else if (auto digits = column->type == ColumnType::kBit ? BitDigits(value) : std::nullopt) {
    column->default_value = std::move(digits);
  } else {
    column->default_value = value;
  }
}

}  // namespace

std::optional<std::vector<std::string>> ParseLabels(std::string_view column_type) {
  const size_t open = column_type.find("('");
  const size_t close = column_type.rfind("')");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open + 2) {
    return std::nullopt;
  }
  std::vector<std::string> labels(1);
  const std::string_view inner = column_type.substr(open + 2, close - open - 2);
  for (size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] != '\'') {
      labels.back() += inner[i];
    } else if (inner.substr(i, 2) == "''") {
      labels.back() += '\'';
      i += 1;
    } else if (inner.substr(i, 3) == "','") {
      labels.emplace_back();
      i += 2;
    } else {
      return std::nullopt;
    }
  }
  return labels;
}

std::string UnescapeExpression(std::string_view stored) {
  std::string text;
  for (size_t i = 0; i < stored.size(); ++i) {
    if (stored[i] == '\\' && i + 1 < stored.size()) {
      text += Unescaped(stored[++i]);
    } else {
      text += stored[i];
    }
  }
  return text;
}

bool HasDoubtfulLabels(const Column& column) {
  return std::any_of(column.labels.begin(), column.labels.end(),
                     [](const std::string& label) { return Contains(label, "?"); });
}

bool HasDoubtfulDefault(const Column& column) {
  if (!column.default_value || column.default_is_expression) {
    return false;
  }
  return IsBinary(column.type) ||
         (IsText(column.type) && (Contains(*column.default_value, "?") || IsHexLiteral(*column.default_value)));
}

Result<Column> ColumnFromText(const ColumnText& text, Flavor flavor) {
  Column column;
  column.name = text.name;
  column.source_type = text.column_type;
  column.nullable = text.nullable;
  column.comment = text.comment;
  CROSSFADE_TRY(FillType(text, &column));

  column.auto_increment = Contains(text.extra, "auto_increment");
  column.invisible = Contains(text.extra, "INVISIBLE");
  if (Contains(text.extra, "VIRTUAL GENERATED")) {
    column.generated = GeneratedKind::kVirtual;
  } else if (Contains(text.extra, "STORED GENERATED") || Contains(text.extra, "PERSISTENT GENERATED")) {
    column.generated = GeneratedKind::kStored;
  }
  if (column.generated != GeneratedKind::kNone) {
    column.generation_expression =
        flavor == Flavor::kMySql ? UnescapeExpression(text.generation_expression) : text.generation_expression;
  } else if (text.default_value && flavor == Flavor::kMariaDb) {
    FillMariaDbDefault(*text.default_value, &column);
  } else if (text.default_value) {
    FillMySqlDefault(text, &column);
  }
  return column;
}

}  // namespace crossfade::mysql
