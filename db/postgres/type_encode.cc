#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "db/postgres/type_map.h"

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";
constexpr uint32_t kTextOid = 25;
// PostgreSQL counts from 2000-01-01.
constexpr int64_t kEpochDays = 10957;
constexpr int64_t kMicrosPerDay = 86'400'000'000;
constexpr size_t kLargestField = (size_t{1} << 30) - 64;  // MaxAllocSize, less the server's own headers

// Writes at the end of a string, in network order.
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}
  void U8(uint8_t v) { out_->push_back(static_cast<char>(v)); }
  void I16(int16_t v) { Number(std::bit_cast<uint16_t>(v)); }
  void I32(int32_t v) { Number(std::bit_cast<uint32_t>(v)); }
  void I64(int64_t v) { Number(std::bit_cast<uint64_t>(v)); }
  void U32(uint32_t v) { Number(v); }
  void Raw(std::string_view bytes) { out_->append(bytes); }

 private:
  template <typename T>
  void Number(T v) {
    char raw[sizeof(T)];
    for (size_t i = 0; i < sizeof(T); ++i) {
      raw[i] = static_cast<char>(v >> (8 * (sizeof(T) - 1 - i)));
    }
    out_->append(raw, sizeof raw);
  }

  std::string* out_;
};

void PatchLength(std::string* out, size_t at) {
  const auto length = static_cast<uint32_t>(out->size() - at - 4);
  for (size_t i = 0; i < 4; ++i) {
    (*out)[at + i] = static_cast<char>(length >> (8 * (3 - i)));
  }
}

// What an encoder needs to know; all of them append the value without its length.
struct Field {
  const PgType& type;
  const Column& column;
  const TypePolicy& policy;
  const Value& value;
  std::string* out;
};

tl::unexpected<Error> Unfit(const Field& field, std::string_view why, std::string_view fix = {}) {
  Error error;
  error.error_class = ErrorClass::kData;
  error.code = "CF1411";
  error.component = kComponent;
  error.object = field.column.name;
  error.found = ToDisplay(field.value);
  error.message =
      fmt::format("column {}: PostgreSQL's {} cannot hold {}: {}", field.column.name, field.type.sql, error.found, why);
  error.fix = fix;
  return Fail(std::move(error));
}

tl::unexpected<Error> WrongKind(const Field& field) {
  return MakeError(ErrorClass::kCorrupt, "CF1412", kComponent, "column {} of type {}: a value of kind {} came",
                   field.column.name, ColumnTypeName(field.column.type), static_cast<int>(field.value.kind));
}

// The value as a signed integer; false if it is none, or too large.
Result<int64_t> Integer(const Field& field, int64_t lowest, int64_t highest) {
  int64_t number = 0;
  if (field.value.kind == ValueKind::kInt) {
    number = field.value.i;
  } else if (field.value.kind == ValueKind::kUint) {
    if (field.value.u > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Unfit(field, "out of range");
    }
    number = static_cast<int64_t>(field.value.u);
  } else {
    return WrongKind(field);
  }
  if (number < lowest || number > highest) {
    return Unfit(field, "out of range");
  }
  return number;
}

template <typename T>
Status AppendInteger(const Field& field) {
  CROSSFADE_ASSIGN(const int64_t number, Integer(field, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  Writer writer(field.out);
  if constexpr (sizeof(T) == 2) {
    writer.I16(static_cast<int16_t>(number));
  } else if constexpr (sizeof(T) == 4) {
    writer.I32(static_cast<int32_t>(number));
  } else {
    writer.I64(number);
  }
  return {};
}

// numeric: groups of four decimal digits, the first with weight 10000^weight; zeros at both ends are left out.
void AppendNumericDigits(std::string_view whole, std::string_view fraction, bool negative, std::string* out) {
  while (!whole.empty() && whole.front() == '0') {
    whole.remove_prefix(1);
  }
  const size_t whole_groups = (whole.size() + 3) / 4;
  const size_t groups = whole_groups + (fraction.size() + 3) / 4;
  const auto digit_at = [&](size_t position) -> int {  // position counts from the first group's first digit
    const size_t lead = whole_groups * 4 - whole.size();
    if (position < lead) {
      return 0;
    }
    const size_t in_whole = position - lead;
    if (in_whole < whole.size()) {
      return whole[in_whole] - '0';
    }
    const size_t in_fraction = in_whole - whole.size();
    return in_fraction < fraction.size() ? fraction[in_fraction] - '0' : 0;
  };
  const auto group_at = [&](size_t group) {
    int sum = 0;
    for (size_t i = 0; i < 4; ++i) {
      sum = sum * 10 + digit_at(group * 4 + i);
    }
    return sum;
  };
  size_t first = 0;
  size_t last = groups;
  while (first < last && group_at(first) == 0) {
    ++first;
  }
  while (last > first && group_at(last - 1) == 0) {
    --last;
  }
  Writer writer(out);
  writer.I16(static_cast<int16_t>(last - first));
  writer.I16(first == last ? int16_t{0}
                           : static_cast<int16_t>(static_cast<int>(whole_groups) - 1 - static_cast<int>(first)));
  writer.I16(negative && first != last ? int16_t{0x4000} : int16_t{0});
  writer.I16(static_cast<int16_t>(fraction.size()));
  for (size_t group = first; group < last; ++group) {
    writer.I16(static_cast<int16_t>(group_at(group)));
  }
}

bool AllDigits(std::string_view text) {
  for (const char c : text) {
    if (c < '0' || c > '9') {
      return false;
    }
  }
  return true;
}

// PostgreSQL's own numbers that are none. The sign says which; an infinity's scale is what the server sends, too.
bool AppendSpecialNumeric(std::string_view text, std::string* out) {
  constexpr uint16_t kNan = 0xC000;
  constexpr uint16_t kPositive = 0xD000;
  constexpr uint16_t kNegative = 0xF000;
  const uint16_t sign = text == "NaN" ? kNan : text == "Infinity" ? kPositive : text == "-Infinity" ? kNegative : 0;
  if (sign == 0) {
    return false;
  }
  Writer writer(out);
  writer.I16(0);
  writer.I16(0);
  writer.I16(static_cast<int16_t>(sign));
  writer.I16(sign == kNan ? int16_t{0} : int16_t{0x20});
  return true;
}

Status AppendNumeric(const Field& field) {
  char buffer[32];
  std::string_view text = field.value.bytes;
  if (field.value.kind == ValueKind::kInt) {
    text = {buffer, static_cast<size_t>(fmt::format_to_n(buffer, sizeof buffer, "{}", field.value.i).size)};
  } else if (field.value.kind == ValueKind::kUint) {
    text = {buffer, static_cast<size_t>(fmt::format_to_n(buffer, sizeof buffer, "{}", field.value.u).size)};
  } else if (field.value.kind != ValueKind::kDecimal) {
    return WrongKind(field);
  }
  if (AppendSpecialNumeric(text, field.out)) {
    return {};
  }
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) {
    text.remove_prefix(1);
  }
  const size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction = point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  constexpr size_t kMostWhole = 131'072;
  constexpr size_t kMostFraction = 16'383;
  if (whole.empty() || whole.size() > kMostWhole || fraction.size() > kMostFraction || !AllDigits(whole) ||
      !AllDigits(fraction)) {
    return Unfit(field, "not a decimal number");
  }
  AppendNumericDigits(whole, fraction, negative, field.out);
  return {};
}

Status AppendFloat4(const Field& field) {
  if (field.value.kind != ValueKind::kFloat) {
    return WrongKind(field);
  }
  Writer(field.out).U32(std::bit_cast<uint32_t>(field.value.f));
  return {};
}

Status AppendFloat8(const Field& field) {
  if (field.value.kind != ValueKind::kDouble) {
    return WrongKind(field);
  }
  Writer(field.out).I64(std::bit_cast<int64_t>(field.value.d));
  return {};
}

Status AppendBit(const Field& field) {
  if (field.value.kind != ValueKind::kBits && field.value.kind != ValueKind::kUint) {
    return WrongKind(field);
  }
  const uint64_t width = field.column.length == 0 ? 1 : field.column.length;
  const uint64_t bits = field.value.u;
  if (width > 64 || (width < 64 && bits >> width != 0)) {
    return Unfit(field, "out of range");
  }
  Writer writer(field.out);
  writer.I32(static_cast<int32_t>(width));
  const uint64_t left = width == 64 ? bits : bits << (64 - width);
  for (uint64_t i = 0; i < (width + 7) / 8; ++i) {
    writer.U8(static_cast<uint8_t>(left >> (56 - 8 * i)));
  }
  return {};
}

Status AppendBytes(const Field& field, std::string_view bytes) {
  if (bytes.size() > kLargestField) {
    return Unfit(field, "longer than 1 GB");
  }
  field.out->append(bytes);
  return {};
}

Status AppendText(const Field& field) {
  if (field.value.kind != ValueKind::kText && field.value.kind != ValueKind::kJson) {
    return WrongKind(field);
  }
  const std::string_view text = field.value.bytes;
  if (text.empty() || std::memchr(text.data(), 0, text.size()) == nullptr) {
    return AppendBytes(field, text);
  }
  if (field.policy.nul_bytes == NulBytePolicy::kStop) {
    return Unfit(field, "text with a NUL character", "types.nul_bytes = \"remove\"");
  }
  for (const char c : text) {
    if (c != '\0') {
      field.out->push_back(c);
    }
  }
  return {};
}

// jsonb holds no U+0000, which JSON writes as an escape; an escaped backslash before "u0000" is something else.
Status AppendJsonb(const Field& field) {
  if (field.value.kind != ValueKind::kJson && field.value.kind != ValueKind::kText) {
    return WrongKind(field);
  }
  Writer(field.out).U8(1);
  const std::string_view text = field.value.bytes;
  if (text.find("\\u0000") == std::string_view::npos) {
    return AppendText(field);
  }
  size_t kept = 0;
  for (size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at)) {
    if (text.substr(at, 6) != "\\u0000") {
      at += 2;
      continue;
    }
    if (field.policy.nul_bytes == NulBytePolicy::kStop) {
      return Unfit(field, "JSON with the character U+0000", "types.nul_bytes = \"remove\"");
    }
    field.out->append(text.substr(kept, at - kept));
    at += 6;
    kept = at;
  }
  return AppendBytes(field, text.substr(kept));
}

Status AppendJson(const Field& field) { return AppendText(field); }

// What a date that is none becomes: false, and NULL or -infinity by policy; true: go on, it is a real one.
enum class ZeroDate : uint8_t { kReal, kNull, kInfinity };

Result<ZeroDate> JudgeDate(const Field& field, CivilDate date) {
  if (IsRealDate(date) && date.year <= 9999) {
    return ZeroDate::kReal;
  }
  if (field.policy.zero_dates == ZeroDatePolicy::kNull) {
    return ZeroDate::kNull;
  }
  const bool zero = date.year == 0 && date.month == 0 && date.day == 0;
  if (zero && field.policy.zero_dates == ZeroDatePolicy::kInfinity) {
    return ZeroDate::kInfinity;
  }
  return Unfit(field, "not a date of the calendar",
               zero ? "types.zero_dates = \"null\" or \"infinity\"" : "types.zero_dates = \"null\", or mend the value");
}

// How PostgreSQL writes infinity and -infinity.
template <typename T>
T Endless(bool positive) {
  return positive ? std::numeric_limits<T>::max() : std::numeric_limits<T>::min();
}

Status AppendDate(const Field& field, bool* null) {
  if (field.value.kind != ValueKind::kDate) {
    return WrongKind(field);
  }
  const CivilDate date = UnpackDate(field.value.i);
  if (field.column.of_postgres) {
    const bool last = field.value.i == kDateInfinity;
    const bool infinite = last || field.value.i == kDateMinusInfinity;
    Writer(field.out).I32(infinite ? Endless<int32_t>(last) : static_cast<int32_t>(DaysFromCivil(date) - kEpochDays));
    return {};
  }
  CROSSFADE_ASSIGN(const ZeroDate judged, JudgeDate(field, date));
  *null = judged == ZeroDate::kNull;
  if (judged == ZeroDate::kInfinity) {
    Writer(field.out).I32(std::numeric_limits<int32_t>::min());
  } else if (judged == ZeroDate::kReal) {
    Writer(field.out).I32(static_cast<int32_t>(DaysFromCivil(date) - kEpochDays));
  }
  return {};
}

Status AppendTimestamp(const Field& field, bool* null) {
  if (field.value.kind != ValueKind::kDateTime) {
    return WrongKind(field);
  }
  const CivilDate date = UnpackDate(DateOfDateTime(field.value.i));
  const int64_t micros = MicrosOfDateTime(field.value.i);
  if (field.column.of_postgres) {
    const bool last = field.value.i == kDateInfinity;
    const bool infinite = last || field.value.i == kDateMinusInfinity;
    Writer(field.out).I64(infinite ? Endless<int64_t>(last)
                                   : (DaysFromCivil(date) - kEpochDays) * kMicrosPerDay + micros);
    return {};
  }
  CROSSFADE_ASSIGN(ZeroDate judged, JudgeDate(field, date));
  // 0000-00-00 with a time of day would not come back from -infinity.
  if (micros >= kMicrosPerDay || (judged == ZeroDate::kInfinity && micros != 0)) {
    return Unfit(field, "not a time of the calendar");
  }
  *null = judged == ZeroDate::kNull;
  if (judged == ZeroDate::kInfinity) {
    Writer(field.out).I64(std::numeric_limits<int64_t>::min());
  } else if (judged == ZeroDate::kReal) {
    Writer(field.out).I64((DaysFromCivil(date) - kEpochDays) * kMicrosPerDay + micros);
  }
  return {};
}

Status AppendTimestampTz(const Field& field, bool* null) {
  if (field.value.kind != ValueKind::kTimestamp) {
    return WrongKind(field);
  }
  if (field.column.of_postgres) {
    const bool last = field.value.i == kTimestampInfinity;
    const bool infinite = last || field.value.i == kTimestampMinusInfinity;
    Writer(field.out).I64(infinite ? Endless<int64_t>(last) : field.value.i - kEpochDays * kMicrosPerDay);
    return {};
  }
  if (field.value.i == kZeroTimestamp) {
    CROSSFADE_ASSIGN(const ZeroDate judged, JudgeDate(field, CivilDate{0, 0, 0}));
    *null = judged == ZeroDate::kNull;
    if (!*null) {
      Writer(field.out).I64(std::numeric_limits<int64_t>::min());
    }
    return {};
  }
  constexpr int64_t kLimit = int64_t{400} * 366 * 25 * kMicrosPerDay;  // ten thousand years
  if (field.value.i > kLimit || field.value.i < -kLimit) {
    return Unfit(field, "out of range");
  }
  Writer(field.out).I64(field.value.i - kEpochDays * kMicrosPerDay);
  return {};
}

Status AppendInterval(const Field& field) {
  if (field.value.kind != ValueKind::kTime) {
    return WrongKind(field);
  }
  Writer writer(field.out);
  writer.I64(field.value.i);
  writer.I32(0);  // days
  writer.I32(0);  // months
  return {};
}

Status AppendTime(const Field& field) {
  if (field.value.kind != ValueKind::kTime) {
    return WrongKind(field);
  }
  if (field.value.i < 0 || field.value.i > kMicrosPerDay) {
    return Unfit(field, "not a time of day", "types.time = \"interval\"");
  }
  Writer(field.out).I64(field.value.i);
  return {};
}

Status AppendUuid(const Field& field) {
  if (field.value.kind != ValueKind::kUuid || field.value.bytes.size() != 16) {
    return WrongKind(field);
  }
  field.out->append(field.value.bytes);
  return {};
}

Status AppendInet(const Field& field) {
  const size_t size = field.value.bytes.size();
  if (field.value.kind != ValueKind::kInet || (size != 4 && size != 16)) {
    return WrongKind(field);
  }
  Writer writer(field.out);
  writer.U8(size == 4 ? 2 : 3);  // PGSQL_AF_INET, PGSQL_AF_INET6
  writer.U8(static_cast<uint8_t>(size * 8));
  writer.U8(0);  // not a cidr
  writer.U8(static_cast<uint8_t>(size));
  writer.Raw(field.value.bytes);
  return {};
}

Status CheckVector(const Field& field) {
  if (field.value.kind != ValueKind::kVector || field.value.bytes.size() % 4 != 0) {
    return WrongKind(field);
  }
  return {};
}

uint32_t VectorBits(std::string_view bytes, size_t index) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) {
    bits |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[index * 4 + i])) << (8 * i);
  }
  return bits;
}

Status AppendFloat4Array(const Field& field) {
  CROSSFADE_TRY(CheckVector(field));
  const size_t count = field.value.bytes.size() / 4;
  Writer writer(field.out);
  writer.I32(count == 0 ? 0 : 1);  // dimensions
  writer.I32(0);                   // no NULLs
  writer.U32(700);
  if (count == 0) {
    return {};
  }
  writer.I32(static_cast<int32_t>(count));
  writer.I32(1);  // lower bound
  for (size_t i = 0; i < count; ++i) {
    writer.I32(4);
    writer.U32(VectorBits(field.value.bytes, i));
  }
  return {};
}

// The text form of a real[], with the shortest digits that give the same bits back.
Status AppendFloat4ArrayText(const Field& field) {
  CROSSFADE_TRY(CheckVector(field));
  field.out->push_back('{');
  for (size_t i = 0; i < field.value.bytes.size() / 4; ++i) {
    const float number = std::bit_cast<float>(VectorBits(field.value.bytes, i));
    char text[48];
    std::string_view shown;
    if (std::isnan(number)) {
      shown = "NaN";
    } else if (std::isinf(number)) {
      shown = number > 0 ? "Infinity" : "-Infinity";
    } else {
      shown = {text, static_cast<size_t>(fmt::format_to_n(text, sizeof text, "{}", number).size)};
    }
    if (i != 0) {
      field.out->push_back(',');
    }
    field.out->append(shown);
  }
  field.out->push_back('}');
  return {};
}

Status AppendBytea(const Field& field) {
  if (field.value.kind != ValueKind::kBytes) {
    return WrongKind(field);
  }
  return AppendBytes(field, field.value.bytes);
}

Status AppendBool(const Field& field) {
  CROSSFADE_ASSIGN(const int64_t number, Integer(field, 0, 1));
  Writer(field.out).U8(static_cast<uint8_t>(number));
  return {};
}

Status AppendOid(const Field& field) {
  CROSSFADE_ASSIGN(const int64_t number, Integer(field, 0, std::numeric_limits<uint32_t>::max()));
  Writer(field.out).U32(static_cast<uint32_t>(number));
  return {};
}

Status AppendNative(const Field& field) {
  if (field.value.kind != ValueKind::kNative) {
    return WrongKind(field);
  }
  return AppendBytes(field, field.value.bytes);
}

Status Encode(const Field& field, bool* null) {
  switch (field.type.encoding) {
    case Encoding::kBool:
      return AppendBool(field);
    case Encoding::kOid:
      return AppendOid(field);
    case Encoding::kNative:
      return AppendNative(field);
    case Encoding::kInt2:
      return AppendInteger<int16_t>(field);
    case Encoding::kInt4:
      return AppendInteger<int32_t>(field);
    case Encoding::kInt8:
      return AppendInteger<int64_t>(field);
    case Encoding::kNumericFromInteger:
    case Encoding::kNumeric:
      return AppendNumeric(field);
    case Encoding::kFloat4:
      return AppendFloat4(field);
    case Encoding::kFloat8:
      return AppendFloat8(field);
    case Encoding::kBit:
      return AppendBit(field);
    case Encoding::kText:
      return AppendText(field);
    case Encoding::kBytea:
      return AppendBytea(field);
    case Encoding::kDate:
      return AppendDate(field, null);
    case Encoding::kInterval:
      return AppendInterval(field);
    case Encoding::kTime:
      return AppendTime(field);
    case Encoding::kTimestamp:
      return AppendTimestamp(field, null);
    case Encoding::kTimestampTz:
      return AppendTimestampTz(field, null);
    case Encoding::kJson:
      return AppendJson(field);
    case Encoding::kJsonb:
      return AppendJsonb(field);
    case Encoding::kUuid:
      return AppendUuid(field);
    case Encoding::kInet:
      return AppendInet(field);
    case Encoding::kFloat4Array:
      return AppendFloat4Array(field);
  }
  return WrongKind(field);
}

using Encoder = Status (*)(const Field&, bool*);

// Length, then the value; after an error `out` is as it was.
Status AppendWithLength(const Field& field, Encoder encode, bool* null) {
  const size_t at = field.out->size();
  *null = field.value.is_null();
  field.out->append("\xff\xff\xff\xff", 4);
  if (*null) {
    return {};
  }
  Status status = encode(field, null);
  if (!status) {
    field.out->resize(at);
    return status;
  }
  if (!*null) {
    PatchLength(field.out, at);
  }
  return {};
}

}  // namespace

Status AppendField(const PgType& type, const Column& column, const TypePolicy& policy, const Value& value,
                   std::string* out) {
  assert(!value.is_absent());
  bool null = false;
  return AppendWithLength(Field{type, column, policy, value, out}, &Encode, &null);
}

namespace {

constexpr size_t kArrayHeader = 20;

void PutAt(std::string* out, size_t at, uint32_t v) {
  for (size_t i = 0; i < 4; ++i) {
    (*out)[at + i] = static_cast<char>(v >> (8 * (3 - i)));
  }
}

}  // namespace

// The header is written by Finish: dimensions, has-null flag, element type, count, lower bound.
void ArrayBuilder::Begin(const PgType& type) {
  type_ = &type;
  buffer_.assign(kArrayHeader, '\0');
  count_ = 0;
  has_null_ = false;
}

Status ArrayBuilder::Append(const Column& column, const TypePolicy& policy, const Value& value) {
  assert(!value.is_absent());
  const Encoder encode = type_->encoding == Encoding::kFloat4Array
                             ? [](const Field& field, bool*) { return AppendFloat4ArrayText(field); }
                             : &Encode;
  bool null = false;
  CROSSFADE_TRY(AppendWithLength(Field{*type_, column, policy, value, &buffer_}, encode, &null));
  has_null_ = has_null_ || null;
  ++count_;
  return {};
}

void ArrayBuilder::Trim() {
  constexpr size_t kKeptBytes = 8 << 20;
  if (buffer_.capacity() > kKeptBytes) {
    std::string().swap(buffer_);  // an assignment would keep it
  }
}

std::string_view ArrayBuilder::Finish() {
  const uint32_t element = type_->encoding == Encoding::kFloat4Array ? kTextOid : type_->oid;
  PutAt(&buffer_, 0, count_ == 0 ? 0 : 1);
  PutAt(&buffer_, 4, has_null_ ? 1 : 0);
  PutAt(&buffer_, 8, element);
  PutAt(&buffer_, 12, count_);
  PutAt(&buffer_, 16, 1);
  // An empty array has no dimension, and so none of the two words that describe one.
  return std::string_view(buffer_).substr(0, count_ == 0 ? 12 : std::string_view::npos);
}

}  // namespace crossfade::postgres
