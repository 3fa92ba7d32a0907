#include "db/postgres/value_text.h"

#include <charconv>
#include <limits>
#include <optional>
#include <system_error>

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";
constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;

struct Text {
  const Column& column;
  std::string_view bytes;
};

tl::unexpected<Error> NotOfItsType(const Text& text) {
  return MakeError(ErrorClass::kCorrupt, "CF1420", kComponent, "column {}: the server's text '{}' is no {}",
                   text.column.name, text.bytes.substr(0, 100), text.column.source_type);
}

tl::unexpected<Error> TooFar(const Text& text) {
  auto failed = MakeError(ErrorClass::kData, "CF1421", kComponent, "column {}: {} is too far from our days",
                          text.column.name, text.bytes);
  failed.value().object = text.column.name;
  failed.value().found = std::string(text.bytes);
  failed.value().fix = "change the value, or store 'infinity'";
  return failed;
}

// Takes its parts off the front of a text.
class Scanner {
 public:
  explicit Scanner(std::string_view rest) : rest_(rest) {}

  bool at_end() const { return rest_.empty(); }
  bool Take(char c) {
    if (rest_.empty() || rest_.front() != c) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }
  bool Take(std::string_view word) {
    if (!rest_.starts_with(word)) {
      return false;
    }
    rest_.remove_prefix(word.size());
    return true;
  }
  // `least` to `most` digits.
  std::optional<int64_t> Digits(size_t least, size_t most) {
    int64_t number = 0;
    size_t count = 0;
    while (count < most && count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9') {
      number = number * 10 + (rest_[count] - '0');
      ++count;
    }
    if (count < least) {
      return std::nullopt;
    }
    rest_.remove_prefix(count);
    return number;
  }
  // Microseconds of ".5" to ".123456"; zero without a point.
  std::optional<int64_t> Fraction() {
    if (!Take('.')) {
      return 0;
    }
    const size_t before = rest_.size();
    std::optional<int64_t> number = Digits(1, 6);
    for (size_t digits = before - rest_.size(); number && digits < 6; ++digits) {
      *number *= 10;
    }
    return number;
  }

 private:
  std::string_view rest_;
};

// "2020-01-31"; the era stands at the end of the whole text.
std::optional<CivilDate> TakeDate(Scanner* in) {
  const auto year = in->Digits(4, 7);
  const bool first = in->Take('-');
  const auto month = in->Digits(2, 2);
  const bool second = in->Take('-');
  const auto day = in->Digits(2, 2);
  if (!year || *year == 0 || !first || !month || !second || !day) {
    return std::nullopt;
  }
  return CivilDate{static_cast<int>(*year), static_cast<int>(*month), static_cast<int>(*day)};
}

// "12:34:56.123456", in microseconds.
std::optional<int64_t> TakeTime(Scanner* in) {
  const auto hours = in->Digits(2, 2);
  const bool first = in->Take(':');
  const auto minutes = in->Digits(2, 2);
  const bool second = in->Take(':');
  const auto seconds = in->Digits(2, 2);
  const auto fraction = in->Fraction();
  if (!hours || !first || !minutes || !second || !seconds || !fraction) {
    return std::nullopt;
  }
  return (*hours * 3600 + *minutes * 60 + *seconds) * kMicrosPerSecond + *fraction;
}

// "+00", "-03:30", "+01:02:03": microseconds to take off for UTC.
std::optional<int64_t> TakeZone(Scanner* in) {
  const bool west = in->Take('-');
  if (!west && !in->Take('+')) {
    return std::nullopt;
  }
  const auto hours = in->Digits(2, 2);
  const auto minutes = in->Take(':') ? in->Digits(2, 2) : 0;
  const auto seconds = in->Take(':') ? in->Digits(2, 2) : 0;
  if (!hours || !minutes || !seconds) {
    return std::nullopt;
  }
  const int64_t offset = (*hours * 3600 + *minutes * 60 + *seconds) * kMicrosPerSecond;
  return west ? -offset : offset;
}

// The year before the year 1 is 0.
bool TakeEra(Scanner* in, CivilDate* date) {
  if (in->Take(" BC")) {
    date->year = 1 - date->year;
  }
  return in->at_end();
}

std::optional<bool> Infinity(std::string_view text) {
  if (text == "infinity") {
    return true;
  }
  return text == "-infinity" ? std::optional(false) : std::nullopt;
}

Result<Value> Date(const Text& text) {
  if (const auto infinite = Infinity(text.bytes)) {
    return Value::OfInt(ValueKind::kDate, *infinite ? kDateInfinity : kDateMinusInfinity);
  }
  Scanner in(text.bytes);
  auto date = TakeDate(&in);
  if (!date || !TakeEra(&in, &*date)) {
    return NotOfItsType(text);
  }
  return Value::OfInt(ValueKind::kDate, PackDate(date->year, date->month, date->day));
}

Result<Value> DateTime(const Text& text) {
  if (const auto infinite = Infinity(text.bytes)) {
    return Value::OfInt(ValueKind::kDateTime, *infinite ? kDateInfinity : kDateMinusInfinity);
  }
  Scanner in(text.bytes);
  auto date = TakeDate(&in);
  const bool apart = in.Take(' ');
  const auto micros = TakeTime(&in);
  if (!date || !apart || !micros || *micros >= kMicrosPerDay || !TakeEra(&in, &*date)) {
    return NotOfItsType(text);
  }
  if (date->year > kLastDateTimeYear) {
    return TooFar(text);
  }
  return Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(date->year, date->month, date->day), *micros));
}

Result<Value> Timestamp(const Text& text) {
  if (const auto infinite = Infinity(text.bytes)) {
    return Value::OfInt(ValueKind::kTimestamp, *infinite ? kTimestampInfinity : kTimestampMinusInfinity);
  }
  Scanner in(text.bytes);
  auto date = TakeDate(&in);
  const bool apart = in.Take(' ');
  const auto micros = TakeTime(&in);
  const auto zone = TakeZone(&in);
  if (!date || !apart || !micros || *micros >= kMicrosPerDay || !zone || !TakeEra(&in, &*date)) {
    return NotOfItsType(text);
  }
  // The last day that counts in microseconds from 1970 is in the year 294247.
  if (date->year > kLastDateTimeYear) {
    return TooFar(text);
  }
  return Value::OfInt(ValueKind::kTimestamp, DaysFromCivil(*date) * kMicrosPerDay + *micros - *zone);
}

Result<Value> Time(const Text& text) {
  Scanner in(text.bytes);
  const auto micros = TakeTime(&in);
  if (!micros || *micros > kMicrosPerDay || !in.at_end()) {
    return NotOfItsType(text);
  }
  return Value::OfInt(ValueKind::kTime, *micros);
}

template <typename T>
std::optional<T> Number(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

// from_chars would give a NaN of some sign.
template <typename T>
std::optional<T> FloatNumber(std::string_view text) {
  if (text == "NaN") {
    return std::numeric_limits<T>::quiet_NaN();
  }
  return Number<T>(text);
}

Result<Value> Decimal(const Text& text) {
  std::string_view digits = text.bytes;
  if (digits == "NaN" || digits == "Infinity" || digits == "-Infinity") {
    return Value::OfBytes(ValueKind::kDecimal, digits);
  }
  digits.remove_prefix(digits.starts_with('-') ? 1 : 0);
  const size_t point = digits.find('.');
  const bool sound = digits.find_first_not_of("0123456789.") == std::string_view::npos && digits.size() > 0 &&
                     point != 0 && point != digits.size() - 1 &&
                     (point == std::string_view::npos || digits.find('.', point + 1) == std::string_view::npos);
  if (!sound) {
    return NotOfItsType(text);
  }
  return Value::OfBytes(ValueKind::kDecimal, text.bytes);
}

Result<Value> Bool(const Text& text) {
  const bool yes = text.bytes == "t" || text.bytes == "true";
  if (!yes && text.bytes != "f" && text.bytes != "false") {
    return NotOfItsType(text);
  }
  return Value::Int(yes ? 1 : 0);
}

Result<Value> Bits(const Text& text) {
  uint64_t bits = 0;
  const auto [end, error] = std::from_chars(text.bytes.data(), text.bytes.data() + text.bytes.size(), bits, 2);
  if (error != std::errc() || end != text.bytes.data() + text.bytes.size() || text.bytes.size() != text.column.length) {
    return NotOfItsType(text);
  }
  return Value::Bits(bits);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool AppendHex(std::string_view hex, std::string* out) {
  if (hex.size() % 2 != 0) {
    return false;
  }
  const size_t at = out->size();
  out->resize(at + hex.size() / 2);
  int wrong = 0;
  for (size_t i = 0; i < hex.size() / 2; ++i) {
    const int high = HexDigit(hex[2 * i]);
    const int low = HexDigit(hex[2 * i + 1]);
    wrong |= high | low;
    (*out)[at + i] = static_cast<char>((high << 4) | low);
  }
  return wrong >= 0;
}

Result<Value> Bytea(const Text& text, std::string* storage) {
  storage->clear();
  if (!text.bytes.starts_with("\\x") || !AppendHex(text.bytes.substr(2), storage)) {
    return NotOfItsType(text);
  }
  return Value::OfBytes(ValueKind::kBytes, *storage);
}

Result<Value> Uuid(const Text& text, std::string* storage) {
  storage->clear();
  bool sound = text.bytes.size() == 36;
  for (size_t at = 0; const size_t size : {8, 4, 4, 4, 12}) {
    sound = sound && (at == 0 || text.bytes[at - 1] == '-') && AppendHex(text.bytes.substr(at, size), storage);
    at += size + 1;
  }
  if (!sound) {
    return NotOfItsType(text);
  }
  return Value::OfBytes(ValueKind::kUuid, *storage);
}

}  // namespace

Result<Value> ValueFromText(const Column& column, std::string_view bytes, std::string* storage) {
  const Text text{column, bytes};
  switch (column.type) {
    case ColumnType::kBool:
      return Bool(text);
    case ColumnType::kInt: {
      const auto number = Number<int64_t>(bytes);
      return number ? Result<Value>(Value::Int(*number)) : NotOfItsType(text);
    }
    case ColumnType::kFloat: {
      const auto number = FloatNumber<float>(bytes);
      return number ? Result<Value>(Value::Float(*number)) : NotOfItsType(text);
    }
    case ColumnType::kDouble: {
      const auto number = FloatNumber<double>(bytes);
      return number ? Result<Value>(Value::Double(*number)) : NotOfItsType(text);
    }
    case ColumnType::kDecimal:
      return Decimal(text);
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kText:
      return Value::OfBytes(ValueKind::kText, bytes);
    case ColumnType::kBlob:
      return Bytea(text, storage);
    case ColumnType::kDate:
      return Date(text);
    case ColumnType::kTime:
      return Time(text);
    case ColumnType::kDateTime:
      return DateTime(text);
    case ColumnType::kTimestamp:
      return Timestamp(text);
    case ColumnType::kJson:
    case ColumnType::kJsonText:
      return Value::OfBytes(ValueKind::kJson, bytes);
    case ColumnType::kUuid:
      return Uuid(text, storage);
    case ColumnType::kBit:
      return Bits(text);
    case ColumnType::kNative:
      return Value::OfBytes(ValueKind::kNative, bytes);
    default:
      return NotOfItsType(text);  // a type that no PostgreSQL source has
  }
}

}  // namespace crossfade::postgres
