#include "snapshot/mysql/binary_row.h"

#include <arpa/inet.h>

#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "snapshot/mysql/packet_cursor.h"

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.mysql";

// MYSQL_TYPE_ numbers whose binary form has a fixed meaning; all others carry their length.
enum WireType : uint8_t {
  kTiny = 1,
  kShort = 2,
  kLong = 3,
  kWireFloat = 4,
  kWireDouble = 5,
  kWireNull = 6,
  kWireTimestamp = 7,
  kLongLong = 8,
  kInt24 = 9,
  kWireDate = 10,
  kWireTime = 11,
  kWireDateTime = 12,
  kWireYear = 13,
  kNewDate = 14,
};

constexpr uint16_t kUnsignedFlag = 32;

// Bytes of an integer of this wire type; 0 if it is none.
size_t IntegerBytes(uint8_t type) {
  switch (type) {
    case kTiny:
      return 1;
    case kShort:
    case kWireYear:
      return 2;
    case kLong:
    case kInt24:
      return 4;
    case kLongLong:
      return 8;
    default:
      return 0;
  }
}

bool HasLength(uint8_t type) { return type == 0 || type > kNewDate; }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool ParseUuid(std::string_view text, std::array<char, 16>* out) {
  size_t nibbles = 0;
  for (const char c : text) {
    if (c == '-') {
      continue;
    }
    const int digit = HexDigit(c);
    if (digit < 0 || nibbles == 32) {
      return false;
    }
    char& byte = (*out)[nibbles / 2];
    byte = static_cast<char>(nibbles % 2 == 0 ? digit << 4 : byte | digit);
    ++nibbles;
  }
  return nibbles == 32;
}

std::string HexStart(std::string_view bytes) {
  std::string text;
  for (const char c : bytes.substr(0, 32)) {
    text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return bytes.size() > 32 ? text + "..." : text;
}

}  // namespace

Result<WireColumn> ParseColumnDefinition(std::string_view packet) {
  // Six strings, for MariaDB perhaps one more, then a block of fixed size behind its length.
  constexpr size_t kFixedBlock = 13;
  std::string_view rest = packet;
  bool whole = true;
  for (int i = 0; i < 6 && whole; ++i) {
    whole = SkipString(&rest);
  }
  if (!whole || rest.size() < kFixedBlock || packet[packet.size() - kFixedBlock] != 0x0C) {
    return MakeError(ErrorClass::kCorrupt, "CF1612", kComponent, "malformed column definition of {} bytes",
                     packet.size());
  }
  const char* const block = packet.data() + packet.size() - kFixedBlock;
  WireColumn column;
  column.type = static_cast<uint8_t>(block[7]);
  uint16_t flags = 0;
  std::memcpy(&flags, block + 8, sizeof flags);
  column.is_unsigned = (flags & kUnsignedFlag) != 0;
  return column;
}

Result<BinaryRowDecoder> BinaryRowDecoder::Make(const TableSchema& table, std::span<const uint32_t> columns,
                                                std::span<const WireColumn> wire, const CharsetOf& charset_of) {
  if (columns.size() != wire.size()) {
    return MakeError(ErrorClass::kCorrupt, "CF1612", kComponent, "{}: {} columns asked for, {} in the result",
                     table.QualifiedName(), columns.size(), wire.size());
  }
  BinaryRowDecoder decoder;
  decoder.table_ = table.QualifiedName();
  for (size_t i = 0; i < columns.size(); ++i) {
    CROSSFADE_ASSIGN(Field field, MakeField(table, table.columns[columns[i]], wire[i], charset_of));
    decoder.fields_.push_back(std::move(field));
  }
  decoder.values_.resize(columns.size());
  return decoder;
}

BinaryRowDecoder::Coding BinaryRowDecoder::CodingOf(const Column& column) {
  switch (column.type) {
    case ColumnType::kInt:
      return column.is_unsigned ? Coding{Form::kUint8, ValueKind::kUint} : Coding{Form::kInt8, ValueKind::kInt};
    case ColumnType::kYear:
      return {Form::kUint8, ValueKind::kInt};
    case ColumnType::kFloat:
      return {Form::kFloat, ValueKind::kFloat};
    case ColumnType::kDouble:
      return {Form::kDouble, ValueKind::kDouble};
    case ColumnType::kDate:
      return {Form::kDate, ValueKind::kDate};
    case ColumnType::kTime:
      return {Form::kTime, ValueKind::kTime};
    case ColumnType::kDateTime:
      return {Form::kDateTime, ValueKind::kDateTime};
    case ColumnType::kTimestamp:
      return {Form::kTimestamp, ValueKind::kTimestamp};
    case ColumnType::kDecimal:
      return {Form::kDecimal, ValueKind::kDecimal};
    case ColumnType::kBit:
      return {Form::kBits, ValueKind::kBits};
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kText:
    case ColumnType::kEnum:
    case ColumnType::kSet:
      return {Form::kText, ValueKind::kText};
    case ColumnType::kJsonText:
      return {Form::kText, ValueKind::kJson};
    case ColumnType::kBinary:
    case ColumnType::kVarbinary:
    case ColumnType::kBlob:
    case ColumnType::kGeometry:
      return {Form::kBytes, ValueKind::kBytes};
    case ColumnType::kJson:
      return {Form::kBytes, ValueKind::kJson};
    case ColumnType::kVector:
      return {Form::kBytes, ValueKind::kVector};
    case ColumnType::kUuid:
      return {Form::kUuid, ValueKind::kUuid};
    case ColumnType::kInet4:
      return {Form::kInet4, ValueKind::kInet};
    case ColumnType::kInet6:
      return {Form::kInet6, ValueKind::kInet};
    case ColumnType::kBool:
    case ColumnType::kNative:
      break;  // PostgreSQL's
  }
  return {Form::kBytes, ValueKind::kBytes};
}

// Whether a value of this wire type can be read in this form.
bool BinaryRowDecoder::Fits(Form form, WireColumn wire) {
  switch (form) {
    case Form::kInt8:
    case Form::kUint8:
      return IntegerBytes(wire.type) != 0 && wire.is_unsigned == (form == Form::kUint8);
    case Form::kFloat:
      return wire.type == kWireFloat;
    case Form::kDouble:
      return wire.type == kWireDouble;
    case Form::kDate:
      return wire.type == kWireDate || wire.type == kNewDate;
    case Form::kTime:
      return wire.type == kWireTime;
    case Form::kDateTime:
      return wire.type == kWireDateTime;
    case Form::kTimestamp:
      return wire.type == kWireTimestamp;
    default:
      return HasLength(wire.type);
  }
}

Result<BinaryRowDecoder::Field> BinaryRowDecoder::MakeField(const TableSchema& table, const Column& column,
                                                            WireColumn wire, const CharsetOf& charset_of) {
  const Coding coding = CodingOf(column);
  Field field{coding.form, coding.kind, column.name, nullptr};
  if (!Fits(field.form, wire)) {
    return MakeError(ErrorClass::kData, "CF1610", kComponent, "{}.{} is no longer {}: the server sends type {}{}",
                     table.QualifiedName(), column.name,
                     column.source_type.empty() ? ColumnTypeName(column.type) : column.source_type, wire.type,
                     wire.is_unsigned ? " unsigned" : "");
  }
  if (field.form == Form::kInt8 || field.form == Form::kUint8) {
    // The forms of wider integers follow in order.
    const int wider = std::countr_zero(IntegerBytes(wire.type));
    field.form = static_cast<Form>(static_cast<int>(field.form) + wider);
  } else if (field.form == Form::kText) {
    CROSSFADE_ASSIGN(field.charset, charset_of(column.charset.empty() ? "utf8mb4" : column.charset));
    field.form = field.charset->passes_through() ? Form::kUtf8 : Form::kText;
  }
  return field;
}

Result<std::span<const Value>> BinaryRowDecoder::Decode(std::string_view packet) {
  const size_t bitmap_bytes = (fields_.size() + 7 + 2) / 8;
  invalid_text_ = {};
  if (packet.size() < 1 + bitmap_bytes || packet[0] != 0) {
    return MakeError(ErrorClass::kCorrupt, "CF1612", kComponent, "{}: malformed row of {} bytes", table_,
                     packet.size());
  }
  const auto* const bitmap = reinterpret_cast<const uint8_t*>(packet.data()) + 1;
  PacketCursor cursor(packet.substr(1 + bitmap_bytes));
  made_.clear();
  converted_.clear();
  for (size_t i = 0; i < fields_.size(); ++i) {
    if ((bitmap[(i + 2) / 8] >> ((i + 2) % 8) & 1) != 0) {
      values_[i] = Value::Null();
    } else if (!DecodeField(fields_[i], &cursor, i)) [[unlikely]] {
      return Refuse(fields_[i], packet);
    }
  }
  if (!cursor.at_end()) {
    return MakeError(ErrorClass::kCorrupt, "CF1612", kComponent, "{}: row of {} bytes has more than its columns",
                     table_, packet.size());
  }
  for (const Converted& part : converted_) {
    values_[part.column].bytes = std::string_view(made_).substr(part.offset, part.size);
  }
  return std::span<const Value>(values_);
}

tl::unexpected<Error> BinaryRowDecoder::Refuse(const Field& field, std::string_view packet) {
  const std::string object = table_ + "." + field.name;
  if (invalid_text_.data() == nullptr) {
    return MakeError(ErrorClass::kCorrupt, "CF1612", kComponent, "{}: malformed value in a row of {} bytes", object,
                     packet.size());
  }
  auto failed =
      MakeError(ErrorClass::kData, "CF1613", kComponent, "{} holds text that is invalid in its character set", object);
  failed.value().object = object;
  failed.value().found = "bytes " + HexStart(invalid_text_);
  failed.value().fix = "correct the value on the source, or make the column a binary one";
  return failed;
}

namespace {

template <typename T>
bool TakeSigned(PacketCursor* cursor, ValueKind kind, Value* out) {
  T v = 0;
  if (!cursor->Fixed(&v)) {
    return false;
  }
  out->kind = kind;
  out->i = v;  // NOLINT(bugprone-signed-char-misuse): a TINYINT has a sign
  out->bytes = {};
  return true;
}

template <typename T>
bool TakeUnsigned(PacketCursor* cursor, ValueKind kind, Value* out) {
  T v = 0;
  if (!cursor->Fixed(&v)) {
    return false;
  }
  out->kind = kind;
  out->u = v;
  out->bytes = {};
  return true;
}

std::optional<int64_t> TimestampMicros(CivilDate date, int64_t micros) {
  if (date.year == 0 && date.month == 0 && date.day == 0 && micros == 0) {
    return kZeroTimestamp;
  }
  if (!IsRealDate(date)) {
    return std::nullopt;
  }
  return DaysFromCivil(date) * kMicrosPerDay + micros;
}

std::optional<uint64_t> BitsOf(std::string_view bytes) {
  if (bytes.size() > 8) {
    return std::nullopt;
  }
  uint64_t bits = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
  }
  return bits;
}

}  // namespace

bool BinaryRowDecoder::DecodeField(const Field& field, PacketCursor* cursor, size_t index) {
  Value& value = values_[index];
  switch (field.form) {
    case Form::kInt8:
      return TakeSigned<int8_t>(cursor, field.kind, &value);
    case Form::kInt16:
      return TakeSigned<int16_t>(cursor, field.kind, &value);
    case Form::kInt32:
      return TakeSigned<int32_t>(cursor, field.kind, &value);
    case Form::kInt64:
      return TakeSigned<int64_t>(cursor, field.kind, &value);
    case Form::kUint8:
      return TakeUnsigned<uint8_t>(cursor, field.kind, &value);
    case Form::kUint16:
      return TakeUnsigned<uint16_t>(cursor, field.kind, &value);
    case Form::kUint32:
      return TakeUnsigned<uint32_t>(cursor, field.kind, &value);
    case Form::kUint64:
      return TakeUnsigned<uint64_t>(cursor, field.kind, &value);
    case Form::kFloat:
      value = Value::Float(0);
      return cursor->Fixed(&value.f);
    case Form::kDouble:
      value = Value::Double(0);
      return cursor->Fixed(&value.d);
    case Form::kTime:
      value = Value::OfInt(field.kind, 0);
      return cursor->Time(&value.i);
    case Form::kDate:
    case Form::kDateTime:
    case Form::kTimestamp:
      return DecodeDate(field, cursor, index);
    default: {
      std::string_view bytes;
      return cursor->String(&bytes) && DecodeSized(field, bytes, index);
    }
  }
}

bool BinaryRowDecoder::DecodeDate(const Field& field, PacketCursor* cursor, size_t index) {
  CivilDate date{};
  int64_t micros = 0;
  if (!cursor->DateTime(&date, &micros)) {
    return false;
  }
  Value& value = values_[index];
  if (field.form == Form::kTimestamp) {
    const std::optional<int64_t> instant = TimestampMicros(date, micros);
    value = Value::OfInt(field.kind, instant.value_or(0));
    return instant.has_value();
  }
  const int64_t packed = PackDate(date.year, date.month, date.day);
  value = Value::OfInt(field.kind, field.form == Form::kDate ? packed : PackDateTime(packed, micros));
  return field.form == Form::kDateTime || micros == 0;
}

bool BinaryRowDecoder::DecodeSized(const Field& field, std::string_view bytes, size_t index) {
  switch (field.form) {
    case Form::kUtf8:
    case Form::kText:
      return DecodeText(field, bytes, index);
    case Form::kDecimal:
      return DecodeDecimal(bytes, index);
    case Form::kBits: {
      const std::optional<uint64_t> bits = BitsOf(bytes);
      values_[index] = Value::Bits(bits.value_or(0));
      return bits.has_value();
    }
    case Form::kUuid:
    case Form::kInet4:
    case Form::kInet6:
      return DecodeAddress(field, bytes, index);
    default:
      values_[index] = Value::OfBytes(field.kind, bytes);
      return true;
  }
}

bool BinaryRowDecoder::DecodeText(const Field& field, std::string_view bytes, size_t index) {
  if (field.form == Form::kUtf8) {
    if (!mysql::IsUtf8(bytes)) [[unlikely]] {
      invalid_text_ = bytes;
      return false;
    }
    Value& value = values_[index];
    value.kind = field.kind;
    value.i = 0;
    value.bytes = bytes;
    return true;
  }
  const size_t offset = made_.size();
  if (!field.charset->Convert(bytes, &made_)) {
    invalid_text_ = bytes;
    return false;
  }
  KeepConverted(index, field.kind, offset);
  return true;
}

void BinaryRowDecoder::KeepConverted(size_t index, ValueKind kind, size_t offset) {
  values_[index] = Value::OfBytes(kind, {});
  converted_.push_back({index, offset, made_.size() - offset});
}

// MariaDB sends these as text; they are kept as their bytes.
bool BinaryRowDecoder::DecodeAddress(const Field& field, std::string_view bytes, size_t index) {
  std::array<char, 16> made{};
  size_t size = made.size();
  if (field.form == Form::kUuid) {
    if (!ParseUuid(bytes, &made)) {
      return false;
    }
  } else {
    std::array<char, 64> text{};
    if (bytes.size() >= text.size()) {
      return false;
    }
    std::memcpy(text.data(), bytes.data(), bytes.size());
    const bool v4 = field.form == Form::kInet4;
    size = v4 ? 4 : 16;
    if (inet_pton(v4 ? AF_INET : AF_INET6, text.data(), made.data()) != 1) {
      return false;
    }
  }
  const size_t offset = made_.size();
  made_.append(made.data(), size);
  KeepConverted(index, field.kind, offset);
  return true;
}

// The server's text has all digits of the scale, but with ZEROFILL zeros in front, and a negative zero may appear.
bool BinaryRowDecoder::DecodeDecimal(std::string_view bytes, size_t index) {
  const bool negative = bytes.starts_with('-');
  std::string_view digits = bytes.substr(negative ? 1 : 0);
  if (digits.empty() || digits.find_first_not_of("0123456789.") != std::string_view::npos) {
    return false;
  }
  const size_t before = digits.size();
  while (digits.size() > 1 && digits[0] == '0' && digits[1] != '.') {
    digits.remove_prefix(1);
  }
  if (!negative || digits.find_first_of("123456789") == std::string_view::npos) {
    values_[index] = Value::OfBytes(ValueKind::kDecimal, digits);
  } else if (digits.size() == before) {
    values_[index] = Value::OfBytes(ValueKind::kDecimal, bytes);
  } else {
    const size_t offset = made_.size();
    made_ += '-';
    made_ += digits;
    KeepConverted(index, ValueKind::kDecimal, offset);
  }
  return true;
}

}  // namespace crossfade::snapshot
