// One typed value of a row, the same on the snapshot path and on the log path.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace crossfade {

// What a Value holds. The numbers are part of the journal's format: never reuse one.
enum class ValueKind : uint8_t {
  kAbsent = 0,  // not in this image (unchanged, or left out by the log)
  kNull = 1,
  kInt = 2,      // i. Columns declared signed, and YEAR
  kUint = 3,     // u. Columns declared unsigned
  kFloat = 4,    // f
  kDouble = 5,   // d
  kDecimal = 6,  // bytes: "-12.340": all digits of the scale, no leading zeros but one before the point, no "-0".
                 // PostgreSQL: also "NaN", "Infinity", "-Infinity"
  kText = 7,     // bytes: UTF-8, converted from the column's character set. ENUM: the label. SET: labels, comma-joined
  kBytes = 8,    // bytes: as stored. Geometry: 4 bytes SRID (little-endian), then WKB
  kBits = 9,     // u: the bits as a number; the width is the column's length
  kDate = 10,    // i: PackDate; may hold zero and partial dates, or kDateInfinity, kDateMinusInfinity
  kTime = 11,    // i: signed microseconds; may exceed a day
  kDateTime = 12,   // i: PackDateTime; no time zone; may hold zero and partial dates, or what kDate may
  kTimestamp = 13,  // i: microseconds since 1970-01-01 UTC, or kZeroTimestamp, kTimestampInfinity, ..MinusInfinity
  kJson = 14,       // bytes: JSON text, UTF-8
  kUuid = 15,       // bytes: 16, in RFC order
  kInet = 16,       // bytes: 4 (IPv4) or 16 (IPv6), network order
  kVector = 17,     // bytes: float32 little-endian, one after the other
  kNative = 18,     // bytes: the text form that the value's own engine gives it
};

// MySQL's '0000-00-00 00:00:00' in a TIMESTAMP column.
inline constexpr int64_t kZeroTimestamp = std::numeric_limits<int64_t>::min();
// PostgreSQL's infinite dates and times.
inline constexpr int64_t kDateInfinity = std::numeric_limits<int64_t>::max();
inline constexpr int64_t kDateMinusInfinity = std::numeric_limits<int64_t>::min();
inline constexpr int64_t kTimestampInfinity = std::numeric_limits<int64_t>::max();
inline constexpr int64_t kTimestampMinusInfinity = std::numeric_limits<int64_t>::min() + 1;

// Does not own `bytes`: it stays valid as long as the buffer its maker names.
struct Value {
  ValueKind kind = ValueKind::kAbsent;
  union {
    int64_t i = 0;
    uint64_t u;
    double d;
    float f;
  };
  std::string_view bytes;

  bool is_null() const { return kind == ValueKind::kNull; }
  bool is_absent() const { return kind == ValueKind::kAbsent; }

  static Value Absent() { return {}; }
  static Value Null() { return OfInt(ValueKind::kNull, 0); }
  static Value Int(int64_t v) { return OfInt(ValueKind::kInt, v); }
  static Value Uint(uint64_t v) { return OfUint(ValueKind::kUint, v); }
  static Value Bits(uint64_t v) { return OfUint(ValueKind::kBits, v); }
  static Value Float(float v);
  static Value Double(double v);
  static Value OfInt(ValueKind kind, int64_t v);    // kDate, kTime, kDateTime, kTimestamp, kInt, kNull
  static Value OfUint(ValueKind kind, uint64_t v);  // kUint, kBits
  static Value OfBytes(ValueKind kind, std::string_view v);
};

// Same kind and the same stored value; floats by bit pattern. Not SQL equality: NULL equals NULL.
bool Identical(const Value& a, const Value& b);

// For people: journal listing, error texts, divergences. Long values are cut at `limit` bytes, and say so.
std::string ToDisplay(const Value& value, size_t limit = 200);

// Dates are kept as year, month, day without any calendar, so that 0000-00-00 and 2020-02-00 survive. The year before
// the year 1 is 0, and the one before it -1.
constexpr int64_t PackDate(int year, int month, int day) { return (int64_t{year} * 13 + month) * 32 + day; }

struct CivilDate {
  int year;
  int month;
  int day;
};
constexpr CivilDate UnpackDate(int64_t packed) {
  const int64_t months = packed >> 5;
  const int64_t year = months / 13 - (months % 13 < 0 ? 1 : 0);
  return {static_cast<int>(year), static_cast<int>(months - year * 13), static_cast<int>(packed & 31)};
}

// The years whose dates PackDateTime can hold.
inline constexpr int kLastDateTimeYear = 161'318;
inline constexpr int kFirstDateTimeYear = -161'318;

// `micros` is the time of day, 0 to 86'399'999'999.
constexpr int64_t PackDateTime(int64_t packed_date, int64_t micros) { return (packed_date << 37) | micros; }
constexpr int64_t DateOfDateTime(int64_t packed) { return packed >> 37; }
constexpr int64_t MicrosOfDateTime(int64_t packed) { return packed & ((int64_t{1} << 37) - 1); }

// Days since 1970-01-01 in the proleptic Gregorian calendar. The date must be a real one (IsRealDate).
int64_t DaysFromCivil(CivilDate date);
CivilDate CivilFromDays(int64_t days);
bool IsRealDate(CivilDate date);

}  // namespace crossfade
