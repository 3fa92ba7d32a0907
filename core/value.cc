#include "core/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <limits>

namespace crossfade {

Value Value::OfInt(ValueKind kind, int64_t v) {
  Value value;
  value.kind = kind;
  value.i = v;
  return value;
}

Value Value::OfUint(ValueKind kind, uint64_t v) {
  Value value;
  value.kind = kind;
  value.u = v;
  return value;
}

Value Value::Float(float v) {
  Value value;
  value.kind = ValueKind::kFloat;
  value.f = v;
  return value;
}

Value Value::Double(double v) {
  Value value;
  value.kind = ValueKind::kDouble;
  value.d = v;
  return value;
}

Value Value::OfBytes(ValueKind kind, std::string_view v) {
  Value value;
  value.kind = kind;
  value.bytes = v;
  return value;
}

bool Identical(const Value& a, const Value& b) {
  if (a.kind != b.kind) {
    return false;
  }
  switch (a.kind) {
    case ValueKind::kAbsent:
    case ValueKind::kNull:
      return true;
    case ValueKind::kFloat:
      return std::bit_cast<uint32_t>(a.f) == std::bit_cast<uint32_t>(b.f);
    case ValueKind::kInt:
    case ValueKind::kUint:
    case ValueKind::kBits:
    case ValueKind::kDouble:
    case ValueKind::kDate:
    case ValueKind::kTime:
    case ValueKind::kDateTime:
    case ValueKind::kTimestamp:
      return a.u == b.u;
    default:
      return a.bytes == b.bytes;
  }
}

namespace {

std::string TimeOfDay(int64_t micros) {
  return fmt::format("{:02}:{:02}:{:02}.{:06}", micros / 3'600'000'000, micros / 60'000'000 % 60,
                     micros / 1'000'000 % 60, micros % 1'000'000);
}

std::string DateText(int64_t packed) {
  const CivilDate date = UnpackDate(packed);
  const bool common_era = date.year >= 0;  // MySQL has a year 0
  return fmt::format("{:04}-{:02}-{:02}{}", common_era ? date.year : 1 - date.year, date.month, date.day,
                     common_era ? "" : " BC");
}

std::string_view InfinityText(int64_t value) { return value > 0 ? "infinity" : "-infinity"; }

bool IsInfinite(int64_t date) { return date == kDateInfinity || date == kDateMinusInfinity; }

std::string TimestampText(int64_t micros) {
  if (micros == kZeroTimestamp) {
    return "0000-00-00 00:00:00";
  }
  if (micros == kTimestampInfinity || micros == kTimestampMinusInfinity) {
    return std::string(InfinityText(micros));
  }
  constexpr int64_t kDay = 86'400'000'000;
  int64_t days = micros / kDay;
  int64_t rest = micros % kDay;
  if (rest < 0) {
    rest += kDay;
    --days;
  }
  const CivilDate date = CivilFromDays(days);
  return fmt::format("{:04}-{:02}-{:02} {}Z", date.year, date.month, date.day, TimeOfDay(rest));
}

std::string Hex(std::string_view bytes, size_t limit) {
  std::string text = "0x";
  for (const char c : bytes.substr(0, limit)) {
    text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return text;
}

std::string Cut(std::string text, size_t whole, size_t limit) {
  if (whole > limit) {
    text += fmt::format("... ({} bytes)", whole);
  }
  return text;
}

}  // namespace

namespace {

// At most `limit` bytes of UTF-8, cut between characters.
std::string_view WholeCharacters(std::string_view text, size_t limit) {
  if (text.size() <= limit) {
    return text;
  }
  while (limit > 0 && (static_cast<uint8_t>(text[limit]) & 0xC0) == 0x80) {
    --limit;
  }
  return text.substr(0, limit);
}

}  // namespace

std::string ToDisplay(const Value& value, size_t limit) {
  switch (value.kind) {
    case ValueKind::kAbsent:
      return "(absent)";
    case ValueKind::kNull:
      return "NULL";
    case ValueKind::kInt:
      return fmt::format("{}", value.i);
    case ValueKind::kUint:
    case ValueKind::kBits:
      return fmt::format("{}", value.u);
    case ValueKind::kFloat:
      return fmt::format("{}", value.f);
    case ValueKind::kDouble:
      return fmt::format("{}", value.d);
    case ValueKind::kDate:
      return IsInfinite(value.i) ? std::string(InfinityText(value.i)) : DateText(value.i);
    case ValueKind::kDateTime:
      return IsInfinite(value.i)
                 ? std::string(InfinityText(value.i))
                 : fmt::format("{} {}", DateText(DateOfDateTime(value.i)), TimeOfDay(MicrosOfDateTime(value.i)));
    case ValueKind::kTime:
      // Damaged bytes may hold any number, also the one without a positive counterpart.
      return fmt::format("{}{}", value.i < 0 ? "-" : "",
                         TimeOfDay(std::abs(std::max(value.i, -std::numeric_limits<int64_t>::max()))));
    case ValueKind::kTimestamp:
      return TimestampText(value.i);
    case ValueKind::kDecimal:
      return std::string(value.bytes);
    case ValueKind::kText:
    case ValueKind::kJson:
    case ValueKind::kNative:
      return Cut(fmt::format("'{}'", WholeCharacters(value.bytes, limit)), value.bytes.size(), limit);
    default:
      return Cut(Hex(value.bytes, limit), value.bytes.size(), limit);
  }
}

// Howard Hinnant's public-domain civil calendar algorithms.
int64_t DaysFromCivil(CivilDate date) {
  const int64_t y = date.month <= 2 ? date.year - 1 : date.year;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t yoe = y - era * 400;
  const int64_t doy = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
  const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}

CivilDate CivilFromDays(int64_t days) {
  const int64_t z = days + 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const int64_t doe = z - era * 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const int64_t mp = (5 * doy + 2) / 153;
  const int month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  return {static_cast<int>(yoe + era * 400 + (month <= 2 ? 1 : 0)), month,
          static_cast<int>(doy - (153 * mp + 2) / 5 + 1)};
}

bool IsRealDate(CivilDate date) {
  if (date.year < 0 || date.month < 1 || date.month > 12 || date.day < 1) {
    return false;
  }
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (date.year % 4 == 0 && date.year % 100 != 0) || date.year % 400 == 0;
  return date.day <= kDays[date.month - 1] + (leap && date.month == 2 ? 1 : 0);
}

}  // namespace crossfade
