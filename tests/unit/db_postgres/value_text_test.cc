#include "db/postgres/value_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "server.h"

namespace crossfade::postgres {
namespace {

Column Of(ColumnType type, uint64_t length = 0) {
  Column column;
  column.name = "c";
  column.type = type;
  column.length = length;
  column.source_type = ColumnTypeName(type);
  return column;
}

Value Date(int year, int month, int day) { return Value::OfInt(ValueKind::kDate, PackDate(year, month, day)); }
Value DateTime(int year, int month, int day, int64_t micros) {
  return Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(year, month, day), micros));
}
Value Timestamp(int64_t micros) { return Value::OfInt(ValueKind::kTimestamp, micros); }
Value Time(int64_t micros) { return Value::OfInt(ValueKind::kTime, micros); }
Value Decimal(std::string_view text) { return Value::OfBytes(ValueKind::kDecimal, text); }
Value Text(std::string_view text) { return Value::OfBytes(ValueKind::kText, text); }
Value Json(std::string_view text) { return Value::OfBytes(ValueKind::kJson, text); }
Value Native(std::string_view text) { return Value::OfBytes(ValueKind::kNative, text); }

// The server gives the text, as the log and COPY do: by the type's output function.
class ValueTextTest : public ServerTest {
 protected:
  void Expect(const std::string& sql, const Column& column, const Value& expected) {
    const std::string text = Ask("SELECT " + sql);
    std::string storage = "left over";
    const auto value = ValueFromText(column, text, &storage);
    ASSERT_TRUE(value) << sql << ": " << value.error().ToString();
    EXPECT_TRUE(Identical(*value, expected)) << sql << ": " << ToDisplay(*value) << ", not " << ToDisplay(expected);
  }
};

TEST_F(ValueTextTest, Numbers) {
  Expect("true", Of(ColumnType::kBool), Value::Int(1));
  Expect("false", Of(ColumnType::kBool), Value::Int(0));
  Expect("true::text", Of(ColumnType::kBool), Value::Int(1));
  Expect("(-32768)::smallint", Of(ColumnType::kInt), Value::Int(-32768));
  Expect("2147483647", Of(ColumnType::kInt), Value::Int(2147483647));
  Expect("(-9223372036854775808)::bigint", Of(ColumnType::kInt), Value::Int(std::numeric_limits<int64_t>::min()));
  Expect("4294967295::oid", Of(ColumnType::kInt), Value::Int(4294967295));
  const std::string digits(100, '7');
  Expect(digits + "." + digits, Of(ColumnType::kDecimal), Decimal(digits + "." + digits));
  Expect("-0.050::numeric(5,3)", Of(ColumnType::kDecimal), Decimal("-0.050"));
  Expect("-0.00::numeric", Of(ColumnType::kDecimal), Decimal("0.00"));
  Expect("1e20::numeric", Of(ColumnType::kDecimal), Decimal("100000000000000000000"));
  Expect("'NaN'::numeric", Of(ColumnType::kDecimal), Decimal("NaN"));
  Expect("B'0101'", Of(ColumnType::kBit, 4), Value::Bits(5));
  Expect("repeat('1', 64)::bit(64)", Of(ColumnType::kBit, 64), Value::Bits(std::numeric_limits<uint64_t>::max()));
}

TEST_F(ValueTextTest, InfiniteNumerics) {
  if (std::stoi(Ask("SHOW server_version_num")) < 140000) {
    GTEST_SKIP() << "numeric has no infinity before PostgreSQL 14";
  }
  Expect("'Infinity'::numeric", Of(ColumnType::kDecimal), Decimal("Infinity"));
  Expect("'-Infinity'::numeric", Of(ColumnType::kDecimal), Decimal("-Infinity"));
}

TEST_F(ValueTextTest, FloatsToTheLastBit) {
  const Column real = Of(ColumnType::kFloat);
  const Column wide = Of(ColumnType::kDouble);
  for (const float number : {0.0F, -0.0F, 0.1F, 1e-45F, std::numeric_limits<float>::max(),
                             std::numeric_limits<float>::min(), 16777217.0F, -3.4028235e38F}) {
    Expect(fmt::format("'{:.9g}'::real", number), real, Value::Float(number));
  }
  for (const double number : {0.0, -0.0, 0.1, 5e-324, std::numeric_limits<double>::max(), 2.2250738585072011e-308,
                              9007199254740993.0, 1.0 / 3, -1e300}) {
    Expect(fmt::format("'{:.17g}'::float8", number), wide, Value::Double(number));
  }
  Expect("'Infinity'::real", real, Value::Float(std::numeric_limits<float>::infinity()));
  Expect("'-Infinity'::float8", wide, Value::Double(-std::numeric_limits<double>::infinity()));
  Expect("'NaN'::real", real, Value::Float(std::numeric_limits<float>::quiet_NaN()));
  Expect("'NaN'::float8", wide, Value::Double(std::numeric_limits<double>::quiet_NaN()));
}

TEST_F(ValueTextTest, DatesFromTheFirstToTheLast) {
  const Column date = Of(ColumnType::kDate);
  Expect("date '2024-02-29'", date, Date(2024, 2, 29));
  Expect("date '0044-03-15 BC'", date, Date(-43, 3, 15));
  Expect("date '0001-12-31 BC'", date, Date(0, 12, 31));
  Expect("date '4714-11-24 BC'", date, Date(-4713, 11, 24));
  Expect("date '5874897-12-31'", date, Date(5874897, 12, 31));
  Expect("date 'infinity'", date, Value::OfInt(ValueKind::kDate, kDateInfinity));
  Expect("date '-infinity'", date, Value::OfInt(ValueKind::kDate, kDateMinusInfinity));
}

TEST_F(ValueTextTest, Times) {
  const Column time = Of(ColumnType::kTime);
  Expect("time '00:00'", time, Time(0));
  Expect("time '23:59:59.999999'", time, Time(86'399'999'999));
  Expect("time '24:00:00'", time, Time(86'400'000'000));
  Expect("time(2) '01:02:03.456'", time, Time(3'723'460'000));
}

TEST_F(ValueTextTest, TimestampsWithFractionsAndEras) {
  const Column plain = Of(ColumnType::kDateTime);
  const Column zoned = Of(ColumnType::kTimestamp);
  Expect("timestamp '2024-02-29 12:00:00.5'", plain, DateTime(2024, 2, 29, 43'200'500'000));
  Expect("timestamp '0044-03-15 00:00:00.000001 BC'", plain, DateTime(-43, 3, 15, 1));
  Expect("timestamp '4714-11-24 00:00:00 BC'", plain, DateTime(-4713, 11, 24, 0));
  Expect("timestamp '161318-12-31 23:59:59.999999'", plain, DateTime(161318, 12, 31, 86'399'999'999));
  Expect("timestamp 'infinity'", plain, Value::OfInt(ValueKind::kDateTime, kDateInfinity));
  Expect("timestamp '-infinity'", plain, Value::OfInt(ValueKind::kDateTime, kDateMinusInfinity));
  Expect("timestamptz '1970-01-01 00:00:00+00'", zoned, Timestamp(0));
  Expect("timestamptz '1969-12-31 23:59:59.999999+00'", zoned, Timestamp(-1));
  Expect("timestamptz '2024-02-29 01:00:00.123+01'", zoned, Timestamp(1'709'164'800'123'000));
  Expect("timestamptz '0001-01-01 00:00:00+00 BC'", zoned, Timestamp(int64_t{-719'528} * 86'400'000'000));
  Expect("timestamptz 'infinity'", zoned, Timestamp(kTimestampInfinity));
  Expect("timestamptz '-infinity'", zoned, Timestamp(kTimestampMinusInfinity));
}

TEST_F(ValueTextTest, ZonesOfASessionThatIsNotInUtc) {
  Run("SET TimeZone = 'Asia/Kolkata'");
  Expect("timestamptz '1970-01-01 00:00:00+00'", Of(ColumnType::kTimestamp), Timestamp(0));
  Run("SET TimeZone = 'America/St_Johns'");
  Expect("timestamptz '1970-01-01 00:00:00.5+00'", Of(ColumnType::kTimestamp), Timestamp(500'000));
  Expect("timestamptz '1800-01-01 00:00:00+00'", Of(ColumnType::kTimestamp), Timestamp(-5'364'662'400'000'000));
}

TEST_F(ValueTextTest, Bytes) {
  Expect("'abc'::bytea", Of(ColumnType::kBlob), Value::OfBytes(ValueKind::kBytes, "abc"));
  Expect("'\\x00ff5c27'::bytea", Of(ColumnType::kBlob),
         Value::OfBytes(ValueKind::kBytes, std::string_view("\0\xff\\'", 4)));
  Expect("''::bytea", Of(ColumnType::kBlob), Value::OfBytes(ValueKind::kBytes, ""));
  Expect("'00112233-4455-6677-8899-aabbccddeeff'::uuid", Of(ColumnType::kUuid),
         Value::OfBytes(ValueKind::kUuid,
                        std::string_view("\0\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16)));
}

TEST_F(ValueTextTest, TextAsItIsStored) {
  Expect("'a'::char(3)", Of(ColumnType::kChar, 3), Text("a  "));
  Expect("'\xc3\xa4 '::varchar(5)", Of(ColumnType::kVarchar, 5), Text("\xc3\xa4 "));
  Expect("''::text", Of(ColumnType::kText), Text(""));
  Expect("'{\"b\":1, \"a\" : [1.0, null]}'::jsonb", Of(ColumnType::kJson), Json("{\"a\": [1.0, null], \"b\": 1}"));
  Expect("'{\"b\":1, \"a\" : 1}'::json", Of(ColumnType::kJsonText), Json("{\"b\":1, \"a\" : 1}"));
}

TEST_F(ValueTextTest, NativeTypesKeepTheServersText) {
  const Column native = Of(ColumnType::kNative);
  Expect("array[array[1,null],array[3,4]]", native, Native("{{1,NULL},{3,4}}"));
  Expect("interval '1 year 2 days 03:04:05.6'", native, Native("1 year 2 days 03:04:05.6"));
  Expect("'-1234.5'::numeric::money", native, Native("-$1,234.50"));
  Expect("'[1,5)'::int4range", native, Native("[1,5)"));
  Expect("row(1,'a b')", native, Native("(1,\"a b\")"));
  Expect("B'1'::varbit", native, Native("1"));
}

TEST(ValueText, RefusesWhatIsNoneOfItsType) {
  std::string storage;
  const auto code = [&storage](const Column& column, std::string_view text) {
    const auto value = ValueFromText(column, text, &storage);
    return value ? ToDisplay(*value) : value.error().code;
  };
  for (const std::string_view text : {"", "x", "1", "2024-02", "2024-02-29 ", "2024/02/29", "0000-01-01", "24-02-29"}) {
    EXPECT_EQ(code(Of(ColumnType::kDate), text), "CF1420") << text;
  }
  for (const std::string_view text : {"", "2024-02-29", "2024-02-29 24:00:00", "2024-02-29 12:00:00.", "x",
                                      "2024-02-29 12:00:00.1234567", "2024-02-29 12:00:00+00"}) {
    EXPECT_EQ(code(Of(ColumnType::kDateTime), text), "CF1420") << text;
  }
  EXPECT_EQ(code(Of(ColumnType::kTimestamp), "2024-02-29 12:00:00"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kTimestamp), "2024-02-29 12:00:00+0"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kTime), "24:00:00.000001"), "CF1420");
  for (const std::string_view text : {"", "-", ".", "1.", ".5", "1.2.3", "1e5", "nan", "+1", "--1"}) {
    EXPECT_EQ(code(Of(ColumnType::kDecimal), text), "CF1420") << text;
  }
  EXPECT_EQ(code(Of(ColumnType::kInt), "9223372036854775808"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kInt), "1 "), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kDouble), "1.0x"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kBool), "yes"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kBit, 3), "01"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kBit, 3), "012"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kBlob), "\\x0"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kBlob), "\\x0g"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kBlob), "abc"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kUuid), "00112233-4455-6677-8899-aabbccddeef"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kUuid), "00112233-4455-6677-8899+aabbccddeeff"), "CF1420");
  EXPECT_EQ(code(Of(ColumnType::kYear), "2024"), "CF1420");
}

TEST(ValueText, RefusesTimesItCannotKeep) {
  std::string storage;
  EXPECT_EQ(ValueFromText(Of(ColumnType::kDateTime), "161319-01-01 00:00:00", &storage).error().code, "CF1421");
  EXPECT_EQ(ValueFromText(Of(ColumnType::kTimestamp), "294276-12-31 00:00:00+00", &storage).error().code, "CF1421");
}

}  // namespace
}  // namespace crossfade::postgres
