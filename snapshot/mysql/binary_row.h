// Rows of MySQL's binary result protocol, decoded to Values.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/schema.h"
#include "core/value.h"
#include "db/mysql/charset.h"

namespace crossfade::snapshot {

class PacketCursor;

// What the server says about one column of a result.
struct WireColumn {
  uint8_t type = 0;  // MYSQL_TYPE_ number: decides how many bytes a value takes
  bool is_unsigned = false;
};

// Corrupt CF1612 for bytes that are not a column definition.
Result<WireColumn> ParseColumnDefinition(std::string_view packet);

// Decodes rows that hold some columns of one table, in their order. One thread.
class BinaryRowDecoder {
 public:
  using CharsetOf = std::function<Result<std::shared_ptr<const mysql::CharsetConverter>>(const std::string&)>;

  // `columns` and `wire` go together. Data CF1610 if the result's column is of another kind than the schema's.
  static Result<BinaryRowDecoder> Make(const TableSchema& table, std::span<const uint32_t> columns,
                                       std::span<const WireColumn> wire, const CharsetOf& charset_of);

  // One Value per column, borrowing from `packet` and from this object until the next call.
  // Corrupt CF1612 for malformed bytes; Data CF1613, naming the column, for text that is invalid in its character set.
  Result<std::span<const Value>> Decode(std::string_view packet);

 private:
  enum class Form : uint8_t {
    kInt8,
    kInt16,
    kInt32,
    kInt64,
    kUint8,
    kUint16,
    kUint32,
    kUint64,
    kFloat,
    kDouble,
    kDecimal,
    kBits,
    kUtf8,
    kText,
    kBytes,
    kJson,
    kVector,
    kDate,
    kTime,
    kDateTime,
    kTimestamp,
    kUuid,
    kInet4,
    kInet6,
  };
  struct Field {
    Form form = Form::kInt8;
    ValueKind kind = ValueKind::kText;
    std::string name;
    std::shared_ptr<const mysql::CharsetConverter> charset;
  };
  struct Converted {
    size_t column;
    size_t offset;
    size_t size;
  };

  BinaryRowDecoder() = default;
  static Result<Field> MakeField(const TableSchema& table, const Column& column, WireColumn wire,
                                 const CharsetOf& charset_of);
  struct Coding {
    Form form;  // of integers: the narrowest
    ValueKind kind;
  };
  static Coding CodingOf(const Column& column);
  static bool Fits(Form form, WireColumn wire);
  bool DecodeField(const Field& field, PacketCursor* cursor, size_t index);
  bool DecodeDate(const Field& field, PacketCursor* cursor, size_t index);
  bool DecodeSized(const Field& field, std::string_view bytes, size_t index);
  bool DecodeText(const Field& field, std::string_view bytes, size_t index);
  bool DecodeAddress(const Field& field, std::string_view bytes, size_t index);
  bool DecodeDecimal(std::string_view bytes, size_t index);
  void KeepConverted(size_t index, ValueKind kind, size_t offset);
  tl::unexpected<Error> Refuse(const Field& field, std::string_view packet);

  std::string table_;
  std::vector<Field> fields_;
  std::vector<Value> values_;
  // Values that had to be made anew; their views are set when the row is complete, since `made_` moves as it grows.
  std::string made_;
  std::vector<Converted> converted_;
  std::string_view invalid_text_;
};

}  // namespace crossfade::snapshot
