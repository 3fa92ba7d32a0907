#include "db/postgres/type_map.h"

#include <algorithm>
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

// Precision is left out where the source has none, so that both sides show the same type.
std::string WithFraction(std::string_view name, const Column& column) {
  constexpr uint8_t kMost = 6;
  const bool given = column.source_type.find('(') != std::string::npos;
  return column.fraction == kMost && !given ? std::string(name) : fmt::format("{}({})", name, column.fraction);
}

// Values travel as text; see PgType::array_cast.
PgType NativeType(const Column& column) {
  PgType type = Make(column.source_type, kTextOid, kTextArrayOid, Encoding::kNative, "text");
  type.array_cast = column.source_type;
  return type;
}

// The type that a column of PostgreSQL has itself; of a domain, its base type.
PgType OwnType(const Column& column, PgType general) {
  switch (column.type) {
    case ColumnType::kInt:
      return column.source_type == "oid" ? Make("oid", 26, 1028, Encoding::kOid, "oid") : general;
    case ColumnType::kDecimal:
      return column.precision == 0 ? Make("numeric", 1700, 1231, Encoding::kNumeric, "numeric") : general;
    case ColumnType::kChar:
      return Make(column.length == 0 ? "bpchar" : fmt::format("char({})", column.length), 1042, 1014, Encoding::kText,
                  "bpchar");
    case ColumnType::kText:
      return column.source_type == "character varying" ? Make("varchar", 1043, 1015, Encoding::kText, "varchar")
                                                       : general;
    case ColumnType::kTime:
      return Make(WithFraction("time", column), 1083, 1183, Encoding::kTime, "time");
    case ColumnType::kDateTime:
      general.sql = WithFraction("timestamp", column);
      return general;
    case ColumnType::kTimestamp:
      general.sql = WithFraction("timestamptz", column);
      return general;
    default:
      return general;
  }
}

Result<PgType> GeneralType(const Column& column, const TypePolicy& policy);

}  // namespace

Result<PgType> MapType(const Column& column, const TypePolicy& policy) {
  CROSSFADE_ASSIGN(PgType general, GeneralType(column, policy));
  return column.of_postgres ? OwnType(column, std::move(general)) : Result<PgType>(std::move(general));
}

std::string SelectedAs(const PgType& type, const std::string& expression) {
  // As COPY and the log have it: a cast to text may give another one (inet's adds its length), and IS NULL sees into
  // composite values.
  return type.encoding == Encoding::kNative
             ? fmt::format("CASE WHEN pg_catalog.num_nulls({0}) = 0 THEN pg_catalog.format('%s', {0}) END", expression)
             : expression;
}

std::string DateLiteral(int64_t ordinal) {
  constexpr CivilDate kFirst{-4713, 11, 24};
  constexpr int kLastYear = 5874897;
  if (ordinal == kDateInfinity || ordinal > PackDate(kLastYear, 12, 31)) {
    return "'infinity'::date";
  }
  ordinal = std::max(ordinal, PackDate(kFirst.year, kFirst.month, kFirst.day));
  CivilDate date = UnpackDate(ordinal);
  // Numbers fall between dates too: months 0, days 0, days behind the end of their month.
  if (date.month == 0) {
    date = {date.year, 1, 1};
  }
  date.day = std::max(date.day, 1);
  // Back and forth, since a day behind a month's end counts on into the next month.
  const CivilDate real = CivilFromDays(DaysFromCivil(date));
  if (real.month != date.month) {
    date = date.month == 12 ? CivilDate{date.year + 1, 1, 1} : CivilDate{date.year, date.month + 1, 1};
  }
  const bool common_era = date.year > 0;
  return fmt::format("'{:04}-{:02}-{:02}{}'::date", common_era ? date.year : 1 - date.year, date.month, date.day,
                     common_era ? "" : " BC");
}

namespace {

Result<PgType> GeneralType(const Column& column, const TypePolicy& policy) {
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
    case ColumnType::kBool:
      return Make("boolean", 16, 1000, Encoding::kBool, "boolean");
    case ColumnType::kNative:
      return NativeType(column);
  }
  return MakeError(ErrorClass::kConfig, "CF1410", kComponent, "column {}: no PostgreSQL type for {} ({})", column.name,
                   column.source_type, static_cast<int>(column.type));
}

}  // namespace

}  // namespace crossfade::postgres
