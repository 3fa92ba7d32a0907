// From PostgreSQL's binary form back to values of the source's column.
#include <bit>
#include <limits>

#include "core/bytes.h"
#include "db/postgres/type_map.h"

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";
constexpr int64_t kEpochDays = 10957;  // PostgreSQL counts from 2000-01-01
constexpr int64_t kMicrosPerDay = 86'400'000'000;

struct Decoded {
  const PgType& type;
  const Column& column;
  std::string_view bytes;
  std::string* storage;
};

tl::unexpected<Error> NotOfItsType(const Decoded& field) {
  return MakeError(ErrorClass::kCorrupt, "CF1413", kComponent, "column {}: {} bytes are no {}", field.column.name,
                   field.bytes.size(), field.type.sql);
}

tl::unexpected<Error> NotOfTheSource(const Decoded& field, std::string_view why) {
  auto failed =
      MakeError(ErrorClass::kData, "CF1414", kComponent, "column {}: the source's {} cannot hold the value: {}",
                field.column.name, field.column.source_type, why);
  failed.value().object = field.column.name;
  return failed;
}

Result<uint64_t> Unsigned(const Decoded& field, size_t size) {
  if (field.bytes.size() != size) {
    return NotOfItsType(field);
  }
  uint64_t number = 0;
  for (const char c : field.bytes) {
    number = number << 8 | static_cast<uint8_t>(c);
  }
  return number;
}

Value IntegerOf(const Column& column, int64_t number) {
  return column.is_unsigned && column.type == ColumnType::kInt ? Value::Uint(static_cast<uint64_t>(number))
                                                               : Value::Int(number);
}

template <typename T>
Result<Value> DecodeInteger(const Decoded& field) {
  CROSSFADE_ASSIGN(const uint64_t number, Unsigned(field, sizeof(T)));
  return IntegerOf(field.column, static_cast<T>(number));
}

Result<int64_t> Signed64(const Decoded& field) {
  CROSSFADE_ASSIGN(const uint64_t number, Unsigned(field, 8));
  return static_cast<int64_t>(number);
}

// "-12.340": all digits of the display scale.
Status NumericText(const Decoded& field, std::string* text) {
  ByteReader in(field.bytes);
  const auto word = [&in] {
    const auto high = static_cast<uint16_t>(in.U8());
    return static_cast<uint16_t>(high << 8 | in.U8());
  };
  const uint16_t groups = word();
  const auto weight = static_cast<int16_t>(word());
  const uint16_t sign = word();
  const uint16_t scale = word();
  const std::string_view special = sign == 0xC000   ? "NaN"
                                   : sign == 0xD000 ? "Infinity"
                                   : sign == 0xF000 ? "-Infinity"
                                                    : "";
  if (field.column.of_postgres && !special.empty()) {
    *text = special;
    return {};
  }
  if (!in.ok() || in.remaining() != size_t{2} * groups || (sign != 0 && sign != 0x4000)) {
    return sign == 0xC000 || sign == 0xD000 || sign == 0xF000 ? NotOfTheSource(field, "NaN or infinity")
                                                              : NotOfItsType(field);
  }
  std::string digits;
  for (uint16_t i = 0; i < groups; ++i) {
    digits += fmt::format("{:04}", word());
  }
  const int whole = (weight + 1) * 4;  // digits before the point
  const auto digit = [&](int at) { return at >= 0 && static_cast<size_t>(at) < digits.size() ? digits[at] : '0'; };
  *text = sign == 0x4000 ? "-" : "";
  const size_t start = text->size();
  for (int at = 0; at < whole; ++at) {
    if (text->size() > start || digit(at) != '0') {
      text->push_back(digit(at));
    }
  }
  if (text->size() == start) {
    text->push_back('0');
  }
  if (scale > 0) {
    text->push_back('.');
    for (int at = 0; at < scale; ++at) {
      text->push_back(digit(whole + at));
    }
  }
  return {};
}

Result<Value> DecodeNumeric(const Decoded& field) {
  CROSSFADE_TRY(NumericText(field, field.storage));
  if (field.type.encoding == Encoding::kNumeric) {
    return Value::OfBytes(ValueKind::kDecimal, *field.storage);
  }
  const std::string& text = *field.storage;
  uint64_t number = 0;
  for (const char c : text) {
    const bool fits = c >= '0' && c <= '9' && number <= (std::numeric_limits<uint64_t>::max() - (c - '0')) / 10;
    if (!fits) {
      return NotOfTheSource(field, text);
    }
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return Value::Uint(number);
}

Result<Value> DecodeBit(const Decoded& field) {
  ByteReader in(field.bytes);
  const uint32_t width = in.BigEndianU32();
  if (!in.ok() || width > 64 || in.remaining() != (width + 7) / 8) {
    return NotOfItsType(field);
  }
  uint64_t bits = 0;
  for (uint32_t i = 0; i < (width + 7) / 8; ++i) {
    bits = bits << 8 | in.U8();
  }
  return Value::Bits(width % 8 == 0 ? bits : bits >> (8 - width % 8));
}

Result<Value> DecodeDate(const Decoded& field) {
  CROSSFADE_ASSIGN(const uint64_t number, Unsigned(field, 4));
  const auto days = static_cast<int32_t>(number);
  if (field.column.of_postgres) {
    const CivilDate date = CivilFromDays(int64_t{days} + kEpochDays);
    return Value::OfInt(ValueKind::kDate, days == std::numeric_limits<int32_t>::max() ? kDateInfinity
                                          : days == std::numeric_limits<int32_t>::min()
                                              ? kDateMinusInfinity
                                              : PackDate(date.year, date.month, date.day));
  }
  if (days == std::numeric_limits<int32_t>::min()) {
    return Value::OfInt(ValueKind::kDate, 0);
  }
  const CivilDate date = CivilFromDays(days + kEpochDays);
  if (days == std::numeric_limits<int32_t>::max() || date.year < 0 || date.year > 9999) {
    return NotOfTheSource(field, "beyond the year 9999");
  }
  return Value::OfInt(ValueKind::kDate, PackDate(date.year, date.month, date.day));
}

// Of a column of PostgreSQL.
Result<Value> OwnTimestamp(const Decoded& field, int64_t micros, bool zoned) {
  const bool last = micros == std::numeric_limits<int64_t>::max();
  if (last || micros == std::numeric_limits<int64_t>::min()) {
    return zoned ? Value::OfInt(ValueKind::kTimestamp, last ? kTimestampInfinity : kTimestampMinusInfinity)
                 : Value::OfInt(ValueKind::kDateTime, last ? kDateInfinity : kDateMinusInfinity);
  }
  const int64_t days = micros / kMicrosPerDay - (micros % kMicrosPerDay < 0 ? 1 : 0);
  const CivilDate date = CivilFromDays(days + kEpochDays);
  if (date.year > kLastDateTimeYear) {
    return NotOfTheSource(field, "too far from our days");
  }
  if (zoned) {
    return Value::OfInt(ValueKind::kTimestamp, micros + kEpochDays * kMicrosPerDay);
  }
  return Value::OfInt(ValueKind::kDateTime,
                      PackDateTime(PackDate(date.year, date.month, date.day), micros - days * kMicrosPerDay));
}

Result<Value> DecodeTimestamp(const Decoded& field) {
  CROSSFADE_ASSIGN(const int64_t micros, Signed64(field));
  const bool zoned = field.type.encoding == Encoding::kTimestampTz;
  if (field.column.of_postgres) {
    return OwnTimestamp(field, micros, zoned);
  }
  if (micros == std::numeric_limits<int64_t>::min()) {
    return zoned ? Value::OfInt(ValueKind::kTimestamp, kZeroTimestamp)
                 : Value::OfInt(ValueKind::kDateTime, PackDateTime(0, 0));
  }
  int64_t days = micros / kMicrosPerDay - (micros % kMicrosPerDay < 0 ? 1 : 0);
  const int64_t of_day = micros - days * kMicrosPerDay;
  const CivilDate date = CivilFromDays(days + kEpochDays);
  if (micros == std::numeric_limits<int64_t>::max() || date.year < 0 || date.year > 9999) {
    return NotOfTheSource(field, "beyond the year 9999");
  }
  if (zoned) {
    return Value::OfInt(ValueKind::kTimestamp, micros + kEpochDays * kMicrosPerDay);
  }
  return Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(date.year, date.month, date.day), of_day));
}

Result<Value> DecodeInterval(const Decoded& field) {
  ByteReader in(field.bytes);
  const auto micros = static_cast<int64_t>(in.BigEndianU64());
  const auto days = static_cast<int32_t>(in.BigEndianU32());
  const auto months = static_cast<int32_t>(in.BigEndianU32());
  if (!in.ok() || !in.at_end()) {
    return NotOfItsType(field);
  }
  if (days != 0 || months != 0) {
    return NotOfTheSource(field, fmt::format("{} months and {} days", months, days));
  }
  return Value::OfInt(ValueKind::kTime, micros);
}

Result<Value> DecodeInet(const Decoded& field) {
  constexpr size_t kHead = 4;
  const std::string_view bytes = field.bytes.substr(std::min(field.bytes.size(), kHead));
  if (bytes.size() != 4 && bytes.size() != 16) {
    return NotOfItsType(field);
  }
  if (static_cast<uint8_t>(field.bytes[1]) != bytes.size() * 8) {
    return NotOfTheSource(field, "a network, not an address");
  }
  return Value::OfBytes(ValueKind::kInet, bytes);
}

Result<Value> DecodeVector(const Decoded& field) {
  ByteReader in(field.bytes);
  const uint32_t dimensions = in.BigEndianU32();
  const uint32_t nulls = in.BigEndianU32();
  in.BigEndianU32();  // the elements' type
  field.storage->clear();
  if (in.ok() && dimensions == 0) {
    return Value::OfBytes(ValueKind::kVector, *field.storage);
  }
  const uint32_t count = in.BigEndianU32();
  in.BigEndianU32();  // lower bound
  if (!in.ok() || dimensions != 1 || nulls != 0 || in.remaining() != size_t{count} * 8) {
    return NotOfTheSource(field, "an array that is no vector");
  }
  for (uint32_t i = 0; i < count; ++i) {
    in.BigEndianU32();  // length
    const uint32_t bits = in.BigEndianU32();
    for (int shift = 0; shift < 32; shift += 8) {
      field.storage->push_back(static_cast<char>(bits >> shift));
    }
  }
  return Value::OfBytes(ValueKind::kVector, *field.storage);
}

}  // namespace

Result<Value> DecodeField(const PgType& type, const Column& column, std::string_view bytes, std::string* storage) {
  const Decoded field{type, column, bytes, storage};
  switch (type.encoding) {
    case Encoding::kInt2:
      return DecodeInteger<int16_t>(field);
    case Encoding::kInt4:
      return DecodeInteger<int32_t>(field);
    case Encoding::kInt8:
      return DecodeInteger<int64_t>(field);
    case Encoding::kNumericFromInteger:
    case Encoding::kNumeric:
      return DecodeNumeric(field);
    case Encoding::kFloat4: {
      CROSSFADE_ASSIGN(const uint64_t bits, Unsigned(field, 4));
      return Value::Float(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    }
    case Encoding::kFloat8: {
      CROSSFADE_ASSIGN(const uint64_t bits, Unsigned(field, 8));
      return Value::Double(std::bit_cast<double>(bits));
    }
    case Encoding::kBit:
      return DecodeBit(field);
    case Encoding::kText:
      return Value::OfBytes(ValueKind::kText, bytes);
    case Encoding::kBytea:
      return Value::OfBytes(ValueKind::kBytes, bytes);
    case Encoding::kDate:
      return DecodeDate(field);
    case Encoding::kTimestamp:
    case Encoding::kTimestampTz:
      return DecodeTimestamp(field);
    case Encoding::kInterval:
      return DecodeInterval(field);
    case Encoding::kTime: {
      CROSSFADE_ASSIGN(const int64_t micros, Signed64(field));
      return Value::OfInt(ValueKind::kTime, micros);
    }
    case Encoding::kJson:
      return Value::OfBytes(ValueKind::kJson, bytes);
    case Encoding::kJsonb:
      if (bytes.empty() || bytes[0] != 1) {
        return NotOfItsType(field);
      }
      return Value::OfBytes(ValueKind::kJson, bytes.substr(1));
    case Encoding::kUuid:
      return bytes.size() == 16 ? Result<Value>(Value::OfBytes(ValueKind::kUuid, bytes)) : NotOfItsType(field);
    case Encoding::kInet:
      return DecodeInet(field);
    case Encoding::kFloat4Array:
      return DecodeVector(field);
    case Encoding::kBool: {
      CROSSFADE_ASSIGN(const uint64_t number, Unsigned(field, 1));
      return Value::Int(static_cast<int64_t>(number));
    }
    case Encoding::kOid: {
      CROSSFADE_ASSIGN(const uint64_t number, Unsigned(field, 4));
      return Value::Int(static_cast<int64_t>(number));
    }
    case Encoding::kNative:
      return Value::OfBytes(ValueKind::kNative, bytes);
  }
  return NotOfItsType(field);
}

}  // namespace crossfade::postgres
