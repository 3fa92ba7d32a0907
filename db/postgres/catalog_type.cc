#include "db/postgres/catalog_type.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace crossfade::postgres {

namespace {

constexpr int32_t kHeader = 4;  // a modifier of text or numeric counts it
constexpr int32_t kMostFraction = 6;
constexpr int32_t kMostBits = 64;

void SetInteger(uint8_t bits, Column* column) {
  column->type = ColumnType::kInt;
  column->bits = bits;
}

void SetText(ColumnType type, int32_t modifier, Column* column) {
  column->type = type;
  column->length = modifier < kHeader ? 0 : static_cast<uint64_t>(modifier - kHeader);
}

void SetNumeric(int32_t modifier, Column* column) {
  if (modifier < kHeader) {
    column->type = ColumnType::kDecimal;  // without limits: precision 0
    return;
  }
  const int32_t bits = (modifier - kHeader) & 0x7FF;
  const int32_t scale = (bits ^ 0x400) - 0x400;  // eleven bits with a sign, since PostgreSQL 15
  if (scale < 0) {
    return;
  }
  column->type = ColumnType::kDecimal;
  column->precision = static_cast<uint16_t>((modifier - kHeader) >> 16);
  column->scale = static_cast<uint16_t>(scale);
}

void SetTime(ColumnType type, int32_t modifier, Column* column) {
  column->type = type;
  column->fraction = static_cast<uint8_t>(modifier < 0 ? kMostFraction : modifier);
}

}  // namespace

void SetColumnType(uint32_t base_type, int32_t modifier, Column* column) {
  column->of_postgres = true;
  column->type = ColumnType::kNative;
  switch (base_type) {
    case 16:
      column->type = ColumnType::kBool;
      break;
    case 21:
      SetInteger(16, column);
      break;
    case 23:
      SetInteger(32, column);
      break;
    case 20:
    case 26:  // oid
      SetInteger(64, column);
      break;
    case 700:
      column->type = ColumnType::kFloat;
      break;
    case 701:
      column->type = ColumnType::kDouble;
      break;
    case 1700:
      SetNumeric(modifier, column);
      break;
    case 25:
      SetText(ColumnType::kText, -1, column);
      break;
    case 1043:
      SetText(modifier < 0 ? ColumnType::kText : ColumnType::kVarchar, modifier, column);
      break;
    case 1042:
      SetText(ColumnType::kChar, modifier, column);
      break;
    case 17:
      column->type = ColumnType::kBlob;
      break;
    case 1082:
      column->type = ColumnType::kDate;
      break;
    case 1083:
      SetTime(ColumnType::kTime, modifier, column);
      break;
    case 1114:
      SetTime(ColumnType::kDateTime, modifier, column);
      break;
    case 1184:
      SetTime(ColumnType::kTimestamp, modifier, column);
      break;
    case 114:
      column->type = ColumnType::kJsonText;
      break;
    case 3802:
      column->type = ColumnType::kJson;
      break;
    case 2950:
      column->type = ColumnType::kUuid;
      break;
    case 1560:
      if (modifier >= 1 && modifier <= kMostBits) {
        column->type = ColumnType::kBit;
        column->length = static_cast<uint64_t>(modifier);
      }
      break;
    default:
      break;
  }
  const bool text =
      column->type == ColumnType::kChar || column->type == ColumnType::kVarchar || column->type == ColumnType::kText;
  column->charset = text ? "UTF8" : "";
}

bool EqualsByText(const Column& column) {
  switch (column.type) {
    case ColumnType::kFloat:  // 0 and -0
    case ColumnType::kDouble:
    case ColumnType::kJson:  // numbers in it: 1.0 and 1.00
      return false;
    case ColumnType::kDecimal:
      return column.precision != 0;
    case ColumnType::kChar:
      return column.length != 0;  // else 'a' and 'a ' are equal
    case ColumnType::kNative:
      break;
    default:
      return true;
  }
  constexpr std::array<std::string_view, 16> kExact = {
      "name",   "\"char\"",   "money",     "inet",      "cidr",    "macaddr",   "macaddr8",
      "pg_lsn", "int4range",  "int8range", "daterange", "tsrange", "tstzrange", "time with time zone",
      "xid8",   "bit varying"};
  std::string_view type = column.source_type;
  if (!column.labels.empty()) {
    return true;
  }
  if (type.ends_with("[]")) {
    constexpr std::array<std::string_view, 8> kExactElements = {"smallint", "integer", "bigint", "text",
                                                                "uuid",     "boolean", "date",   "bytea"};
    type.remove_suffix(2);
    return std::find(kExactElements.begin(), kExactElements.end(), type) != kExactElements.end();
  }
  type = type.substr(0, type.find('('));
  return type == "bit" || std::find(kExact.begin(), kExact.end(), type) != kExact.end();
}

}  // namespace crossfade::postgres
