#include "db/postgres/type_map.h"

#include <string>
#include <string_view>
#include <utility>

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";
constexpr uint32_t kTextOid = 25;
constexpr uint32_t kTextArrayOid = 1009;

PgType Make(std::string sql, uint32_t oid, uint32_t array_oid, Encoding encoding, std::string_view name) {
  PgType type;
  type.sql = std::move(sql);
  type.oid = oid;
  type.array_oid = array_oid;
  type.encoding = encoding;
  type.array_sql = fmt::format("{}[]", name);
  return type;
}

PgType Int2() { return Make("smallint", 21, 1005, Encoding::kInt2, "smallint"); }
PgType Int4() { return Make("integer", 23, 1007, Encoding::kInt4, "integer"); }
PgType Int8() { return Make("bigint", 20, 1016, Encoding::kInt8, "bigint"); }
PgType Text() { return Make("text", kTextOid, kTextArrayOid, Encoding::kText, "text"); }
PgType Bytea() { return Make("bytea", 17, 1001, Encoding::kBytea, "bytea"); }

PgType IntegerType(const Column& column) {
  if (column.bits <= 8) {
    return Int2();
  }
  if (column.bits <= 16) {
    return column.is_unsigned ? Int4() : Int2();
  }
  if (column.bits <= 24) {
    return Int4();
  }
  if (column.bits <= 32) {
    return column.is_unsigned ? Int8() : Int4();
  }
  return column.is_unsigned ? Make("numeric(20,0)", 1700, 1231, Encoding::kNumericFromInteger, "numeric") : Int8();
}

PgType TimeType(const Column& column, const TypePolicy& policy) {
  if (policy.time == TimePolicy::kTime) {
    return Make(fmt::format("time({})", column.fraction), 1083, 1183, Encoding::kTime, "time");
  }
  return Make(fmt::format("interval({})", column.fraction), 1186, 1187, Encoding::kInterval, "interval");
}

PgType VectorType() {
  PgType type = Make("real[]", 1021, kTextArrayOid, Encoding::kFloat4Array, "text");
  type.array_cast = "real[]";
  return type;
}

}  // namespace

Result<PgType> MapType(const Column& column, const TypePolicy& policy) {
  switch (column.type) {
    case ColumnType::kInt:
      return IntegerType(column);
    case ColumnType::kFloat:
      return Make("real", 700, 1021, Encoding::kFloat4, "real");
    case ColumnType::kDouble:
      return Make("double precision", 701, 1022, Encoding::kFloat8, "double precision");
    case ColumnType::kDecimal:
      return Make(fmt::format("numeric({},{})", column.precision, column.scale), 1700, 1231, Encoding::kNumeric,
                  "numeric");
    case ColumnType::kBit:
      // Unquoted, bit means bit(1), and a cast to bit[] would cut every element to one bit.
      return Make(fmt::format("bit({})", column.length == 0 ? 1 : column.length), 1560, 1561, Encoding::kBit,
                  "\"bit\"");
    case ColumnType::kChar:
    case ColumnType::kVarchar:
      // varchar(0) is no type; a column of length 0 holds the empty string alone.
      return Make(fmt::format("varchar({})", column.length == 0 ? 1 : column.length), 1043, 1015, Encoding::kText,
                  "varchar");
    case ColumnType::kText:
    case ColumnType::kEnum:
    case ColumnType::kSet:
      return Text();
    case ColumnType::kBinary:
    case ColumnType::kVarbinary:
    case ColumnType::kBlob:
    case ColumnType::kGeometry:
      return Bytea();
    case ColumnType::kDate:
      return Make("date", 1082, 1182, Encoding::kDate, "date");
    case ColumnType::kTime:
      return TimeType(column, policy);
    case ColumnType::kDateTime:
      return Make(fmt::format("timestamp({})", column.fraction), 1114, 1115, Encoding::kTimestamp, "timestamp");
    case ColumnType::kTimestamp:
      return Make(fmt::format("timestamptz({})", column.fraction), 1184, 1185, Encoding::kTimestampTz, "timestamptz");
    case ColumnType::kYear:
      return Int2();
    case ColumnType::kJson:
      return Make("jsonb", 3802, 3807, Encoding::kJsonb, "jsonb");
    case ColumnType::kJsonText:
      return Make("json", 114, 199, Encoding::kJson, "json");
    case ColumnType::kUuid:
      return Make("uuid", 2950, 2951, Encoding::kUuid, "uuid");
    case ColumnType::kInet4:
    case ColumnType::kInet6:
      return Make("inet", 869, 1041, Encoding::kInet, "inet");
    case ColumnType::kVector:
      return VectorType();
  }
  return MakeError(ErrorClass::kConfig, "CF1410", kComponent, "column {}: no PostgreSQL type for {} ({})", column.name,
                   column.source_type, static_cast<int>(column.type));
}

}  // namespace crossfade::postgres
