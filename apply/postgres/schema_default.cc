#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "apply/postgres/schema_plan.h"

namespace crossfade::apply {

namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

bool IsNumber(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    text.remove_prefix(1);
  }
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return !text.empty() && (std::isdigit(static_cast<unsigned char>(text.front())) != 0 || text.front() == '.') &&
         parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

// "current_timestamp(3)" -> "current_timestamp"
std::string FunctionName(std::string_view expression) {
  std::string name = Lower(expression.substr(0, expression.find('(')));
  name.erase(std::remove(name.begin(), name.end(), ' '), name.end());
  const size_t open = expression.find('(');
  if (open != std::string_view::npos) {
    const std::string_view rest = expression.substr(open + 1);
    const size_t close = rest.find(')');
    const bool digits = close != std::string_view::npos && close + 1 == rest.size() &&
                        std::all_of(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(close),
                                    [](unsigned char c) { return std::isdigit(c) != 0; });
    if (!digits) {
      return {};
    }
  }
  return name;
}

// The source cuts the clock to the column's digits; a plain cast here would round, and so be up to half a unit ahead.
std::string Clock(const char* function, uint8_t fraction) {
  if (fraction == 0) {
    return fmt::format("date_trunc('second', {})", function);
  }
  if (fraction == 3) {
    return fmt::format("date_trunc('milliseconds', {})", function);
  }
  return fmt::format("{}({})", function, fraction);
}

std::optional<std::string> TranslateClock(const Column& column, std::string_view expression) {
  const std::string name = FunctionName(expression);
  if (name == "current_timestamp" || name == "now" || name == "localtimestamp" || name == "localtime") {
    if (column.type == ColumnType::kTimestamp) {
      return Clock("CURRENT_TIMESTAMP", column.fraction);
    }
    if (column.type == ColumnType::kDateTime) {
      return Clock("LOCALTIMESTAMP", column.fraction);
    }
  }
  if (column.type == ColumnType::kDate && (name == "curdate" || name == "current_date")) {
    return "CURRENT_DATE";
  }
  return std::nullopt;
}

std::optional<std::string> TranslateDate(std::string_view text, const postgres::TypePolicy& policy) {
  int parts[3] = {};
  size_t at = 0;
  for (int i = 0; i < 3; ++i) {
    const auto parsed = std::from_chars(text.data() + at, text.data() + text.size(), parts[i]);
    if (parsed.ec != std::errc()) {
      return std::nullopt;
    }
    at = static_cast<size_t>(parsed.ptr - text.data());
    if (i < 2 && (at >= text.size() || text[at++] != '-')) {
      return std::nullopt;
    }
  }
  const CivilDate date{parts[0], parts[1], parts[2]};
  if (date.year == 0 && date.month == 0 && date.day == 0) {
    return policy.zero_dates == postgres::ZeroDatePolicy::kInfinity ? std::optional<std::string>("'-infinity'")
                                                                    : std::nullopt;
  }
  if (date.year == 0 || !IsRealDate(date)) {
    return std::nullopt;
  }
  return QuoteLiteral(text);
}

// b'101', as the source shows it.
std::optional<std::string> TranslateBits(const Column& column, std::string_view text) {
  if (text.size() < 3 || (text[0] != 'b' && text[0] != 'B') || text[1] != '\'' || text.back() != '\'') {
    return std::nullopt;
  }
  std::string digits(text.substr(2, text.size() - 3));
  const uint64_t width = column.length == 0 ? 1 : column.length;
  if (digits.size() > width || digits.find_first_not_of("01") != std::string::npos) {
    return std::nullopt;
  }
  digits.insert(0, width - digits.size(), '0');
  return fmt::format("B'{}'", digits);
}

}  // namespace

std::optional<std::string> TranslateDefault(const Column& column, const postgres::TypePolicy& policy) {
  if (!column.default_value) {
    return std::nullopt;
  }
  const std::string& text = *column.default_value;
  if (column.of_postgres) {
    return column.default_is_expression ? std::nullopt : std::optional<std::string>(text);
  }
  if (auto clock = TranslateClock(column, text)) {
    return clock;
  }
  switch (column.type) {
    case ColumnType::kInt:
    case ColumnType::kFloat:
    case ColumnType::kDouble:
    case ColumnType::kDecimal:
    case ColumnType::kYear:
      return IsNumber(text) ? std::optional<std::string>(text) : std::nullopt;
    case ColumnType::kBit:
      return TranslateBits(column, text);
    default:
      break;
  }
  if (column.default_is_expression || text.find('\0') != std::string::npos) {
    return std::nullopt;
  }
  switch (column.type) {
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kText:
    case ColumnType::kEnum:
    case ColumnType::kSet:
    case ColumnType::kJsonText:
    case ColumnType::kUuid:
    case ColumnType::kInet4:
    case ColumnType::kInet6:
    case ColumnType::kTime:
      return QuoteLiteral(text);
    case ColumnType::kDate:
    case ColumnType::kDateTime:
      return TranslateDate(text, policy);
    case ColumnType::kTimestamp:
      // A literal TIMESTAMP default is read in each session's time zone there; only the zero one is the same
      // everywhere.
      return text.starts_with("0000-00-00") ? TranslateDate(text, policy) : std::nullopt;
    case ColumnType::kVarbinary:
    case ColumnType::kBlob:
      return text.empty() ? std::optional<std::string>("'\\x'") : std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace crossfade::apply
