#include "db/postgres/type_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <random>

#include "server.h"

namespace crossfade::postgres {
namespace {

Column Of(ColumnType type) {
  Column column;
  column.name = "c";
  column.type = type;
  return column;
}

Column IntColumn(uint8_t bits, bool is_unsigned) {
  Column column = Of(ColumnType::kInt);
  column.bits = bits;
  column.is_unsigned = is_unsigned;
  return column;
}

Column DecimalColumn(uint16_t precision, uint16_t scale) {
  Column column = Of(ColumnType::kDecimal);
  column.precision = precision;
  column.scale = scale;
  return column;
}

Column LengthColumn(ColumnType type, uint64_t length) {
  Column column = Of(type);
  column.length = length;
  return column;
}

Column FractionColumn(ColumnType type, uint8_t fraction) {
  Column column = Of(type);
  column.fraction = fraction;
  return column;
}

Value Text(std::string_view text) { return Value::OfBytes(ValueKind::kText, text); }
Value Decimal(std::string_view text) { return Value::OfBytes(ValueKind::kDecimal, text); }
Value Date(int year, int month, int day) { return Value::OfInt(ValueKind::kDate, PackDate(year, month, day)); }
Value DateTime(int year, int month, int day, int64_t micros) {
  return Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(year, month, day), micros));
}
Value Time(int64_t micros) { return Value::OfInt(ValueKind::kTime, micros); }

TEST(MapTypeTest, FollowsTheTable) {
  const TypePolicy policy;
  const auto sql = [&](const Column& column) { return MapType(column, policy)->sql; };
  EXPECT_EQ(sql(IntColumn(8, false)), "smallint");
  EXPECT_EQ(sql(IntColumn(8, true)), "smallint");
  EXPECT_EQ(sql(IntColumn(16, false)), "smallint");
  EXPECT_EQ(sql(IntColumn(16, true)), "integer");
  EXPECT_EQ(sql(IntColumn(24, false)), "integer");
  EXPECT_EQ(sql(IntColumn(24, true)), "integer");
  EXPECT_EQ(sql(IntColumn(32, false)), "integer");
  EXPECT_EQ(sql(IntColumn(32, true)), "bigint");
  EXPECT_EQ(sql(IntColumn(64, false)), "bigint");
  EXPECT_EQ(sql(IntColumn(64, true)), "numeric(20,0)");
  EXPECT_EQ(sql(DecimalColumn(65, 30)), "numeric(65,30)");
  EXPECT_EQ(sql(LengthColumn(ColumnType::kVarchar, 255)), "varchar(255)");
  EXPECT_EQ(sql(LengthColumn(ColumnType::kChar, 0)), "varchar(1)");
  EXPECT_EQ(sql(FractionColumn(ColumnType::kDateTime, 3)), "timestamp(3)");
  EXPECT_EQ(sql(FractionColumn(ColumnType::kTimestamp, 6)), "timestamptz(6)");
  EXPECT_EQ(sql(FractionColumn(ColumnType::kTime, 0)), "interval(0)");
  EXPECT_EQ(MapType(FractionColumn(ColumnType::kTime, 2), {.time = TimePolicy::kTime})->sql, "time(2)");
  EXPECT_EQ(sql(Of(ColumnType::kJson)), "jsonb");
  EXPECT_EQ(sql(Of(ColumnType::kJsonText)), "json");
  EXPECT_EQ(MapType(Of(ColumnType::kVector), policy)->array_cast, "real[]");
}

// The error, and the promise that a refused value leaves nothing behind.
Error Refused(const Column& column, const Value& value, const TypePolicy& policy = {}) {
  const PgType type = *MapType(column, policy);
  std::string out = "before";
  const Status status = AppendField(type, column, policy, value, &out);
  EXPECT_FALSE(status);
  EXPECT_EQ(out, "before");
  return status ? Error{} : status.error();
}

TEST(AppendFieldTest, RefusesWhatPostgresCannotHold) {
  EXPECT_EQ(Refused(IntColumn(8, false), Value::Int(40000)).code, "CF1411");
  EXPECT_EQ(Refused(IntColumn(64, false), Value::Uint(std::numeric_limits<uint64_t>::max())).code, "CF1411");
  EXPECT_EQ(Refused(Of(ColumnType::kText), Text(std::string_view("a\0b", 3))).code, "CF1411");
  const TypePolicy in_key = PolicyOf({.nul_bytes = NulBytePolicy::kRemove}, true);
  EXPECT_EQ(Refused(Of(ColumnType::kText), Text(std::string_view("a\0b", 3)), in_key).code, "CF1411");
  EXPECT_EQ(PolicyOf({.nul_bytes = NulBytePolicy::kRemove}, false).nul_bytes, NulBytePolicy::kRemove);
  EXPECT_EQ(PolicyOf({}, true).nul_bytes, NulBytePolicy::kStop);
  EXPECT_EQ(Refused(Of(ColumnType::kDate), Date(0, 0, 0)).code, "CF1411");
  EXPECT_EQ(Refused(Of(ColumnType::kDate), Date(2020, 2, 0)).code, "CF1411");
  EXPECT_EQ(Refused(Of(ColumnType::kDate), Date(2020, 2, 0), {.zero_dates = ZeroDatePolicy::kInfinity}).code, "CF1411");
  EXPECT_EQ(Refused(Of(ColumnType::kDateTime), DateTime(0, 0, 0, 1), {.zero_dates = ZeroDatePolicy::kInfinity}).code,
            "CF1411");
  EXPECT_EQ(Refused(Of(ColumnType::kTimestamp), Value::OfInt(ValueKind::kTimestamp, kZeroTimestamp)).code, "CF1411");
  EXPECT_EQ(Refused(Of(ColumnType::kTime), Time(-1), {.time = TimePolicy::kTime}).code, "CF1411");
  EXPECT_EQ(Refused(Of(ColumnType::kTime), Time(86'400'000'001), {.time = TimePolicy::kTime}).code, "CF1411");
  EXPECT_EQ(Refused(Of(ColumnType::kJson), Value::OfBytes(ValueKind::kJson, R"({"a":"x\u0000"})")).code, "CF1411");
  EXPECT_EQ(Refused(LengthColumn(ColumnType::kBit, 3), Value::Bits(8)).code, "CF1411");
  EXPECT_EQ(Refused(DecimalColumn(5, 2), Decimal("1e5")).code, "CF1411");
  EXPECT_EQ(Refused(DecimalColumn(5, 2), Decimal("")).code, "CF1411");
  const Error error = Refused(Of(ColumnType::kDate), Date(0, 0, 0));
  EXPECT_EQ(error.error_class, ErrorClass::kData);
  EXPECT_EQ(error.object, "c");
  EXPECT_EQ(error.found, "0000-00-00");
}

TEST(AppendFieldTest, RefusesAValueOfAnotherKind) {
  EXPECT_EQ(Refused(IntColumn(32, false), Text("1")).code, "CF1412");
  EXPECT_EQ(Refused(Of(ColumnType::kUuid), Value::OfBytes(ValueKind::kUuid, "short")).code, "CF1412");
  EXPECT_EQ(Refused(Of(ColumnType::kInet6), Value::OfBytes(ValueKind::kInet, "short")).code, "CF1412");
  EXPECT_EQ(Refused(Of(ColumnType::kVector), Value::OfBytes(ValueKind::kVector, "12345")).code, "CF1412");
}

// One column's values, what the server must show for them, and where their bytes live.
class TypeMapServerTest : public ServerTest {
 protected:
  struct Expected {
    Value value;
    std::optional<std::string> text;  // as PostgreSQL's input would take it
  };

  void Add(const Value& value, std::optional<std::string> text) { values_.push_back({value, std::move(text)}); }
  // Keeps bytes alive until the check.
  std::string_view Keep(std::string text) { return kept_.emplace_back(std::move(text)); }

  // Loads all of them by binary COPY and by an array parameter; asks the server to compare its own rendering.
  void Check(const Column& column, const TypePolicy& policy = {}) {
    SCOPED_TRACE(ColumnTypeName(column.type));
    auto type = MapType(column, policy);
    ASSERT_TRUE(type);
    Run("DROP TABLE IF EXISTS pg_temp.v");
    Run(fmt::format("CREATE TEMP TABLE v (n bigint, v {}, expected text)", type->sql));
    Copy(*type, column, policy);
    Compare(*type);
    ReadBack(*type, column, policy);
    Run("UPDATE v SET v = NULL");
    Unnest(*type, column, policy);
    Compare(*type);
    values_.clear();
    kept_.clear();
  }

 private:
  void Copy(const PgType& type, const Column& column, const TypePolicy& policy) {
    const Column number = IntColumn(64, false);
    const Column text = Of(ColumnType::kText);
    std::string out("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    for (size_t i = 0; i < values_.size(); ++i) {
      out.append("\0\3", 2);
      ASSERT_TRUE(AppendField(*MapType(number, policy), number, policy, Value::Int(static_cast<int64_t>(i)), &out));
      const Status status = AppendField(type, column, policy, values_[i].value, &out);
      ASSERT_TRUE(status) << status.error().ToString();
      const Value expected = values_[i].text ? Text(*values_[i].text) : Value::Null();
      ASSERT_TRUE(AppendField(*MapType(text, policy), text, policy, expected, &out));
    }
    out.append("\377\377", 2);
    ASSERT_TRUE(connection_->CopyBegin("COPY v FROM STDIN (FORMAT binary)"));
    ASSERT_TRUE(connection_->CopyData(out));
    auto rows = connection_->CopyEnd();
    ASSERT_TRUE(rows) << rows.error().ToString();
    ASSERT_EQ(*rows, values_.size());
  }

  void Unnest(const PgType& type, const Column& column, const TypePolicy& policy) {
    const Column number = IntColumn(64, false);
    const PgType number_type = *MapType(number, policy);
    ArrayBuilder numbers;
    ArrayBuilder values;
    numbers.Begin(number_type);
    values.Begin(type);
    for (size_t i = 0; i < values_.size(); ++i) {
      ASSERT_TRUE(numbers.Append(number, policy, Value::Int(static_cast<int64_t>(i))));
      ASSERT_TRUE(values.Append(column, policy, values_[i].value));
    }
    const uint32_t types[] = {number_type.array_oid, type.array_oid};
    const std::string cast = type.array_cast.empty() ? "" : "::" + type.array_cast;
    auto prepared = connection_->Prepare(
        fmt::format("u{}", ++statements_),
        fmt::format("UPDATE v SET v = u.x{} FROM unnest($1::bigint[], $2::{}) AS u(n, x) WHERE v.n = u.n", cast,
                    type.array_sql),
        types);
    ASSERT_TRUE(prepared) << prepared.error().ToString();
    ASSERT_TRUE(connection_->PipelineBegin());
    const Parameter parameters[] = {{types[0], numbers.Finish()}, {types[1], values.Finish()}};
    ASSERT_TRUE(connection_->PipelineQueue(fmt::format("u{}", statements_), parameters));
    auto counts = connection_->PipelineCollect();
    ASSERT_TRUE(counts) << counts.error().ToString();
    ASSERT_EQ((*counts)[0], values_.size());
  }

  // What is stored decodes to the value that was written, and encodes to the bytes that the server sends.
  void ReadBack(const PgType& type, const Column& column, const TypePolicy& policy) {
    if (type.encoding == Encoding::kJsonb || policy.nul_bytes == NulBytePolicy::kRemove) {
      return;  // what comes back is the same value in another form
    }
    size_t next = 0;
    const Status read = connection_->CopyOut("SELECT v FROM v ORDER BY n", [&](std::string_view fields) -> Status {
      const Value& written = values_[next].value;
      std::string encoded;
      EXPECT_TRUE(AppendField(type, column, policy, written, &encoded));
      EXPECT_EQ(fields, encoded) << ToDisplay(written);
      if (fields.substr(0, 4) != "\xff\xff\xff\xff") {
        std::string storage;
        const Result<Value> value = DecodeField(type, column, fields.substr(4), &storage);
        EXPECT_TRUE(value && Identical(*value, written))
            << ToDisplay(written) << (value ? ToDisplay(*value) : value.error().ToString());
      }
      ++next;
      return {};
    });
    ASSERT_TRUE(read) << read.error().ToString();
    EXPECT_EQ(next, values_.size());
  }

  void Compare(const PgType& type) {
    const std::string filter = fmt::format("v::text IS DISTINCT FROM expected::{}::text", type.sql);
    EXPECT_EQ(Ask("SELECT count(*) FROM v WHERE " + filter), "0")
        << Ask("SELECT format('%s: %s, expected %s', n, v::text, expected) FROM v WHERE " + filter + " LIMIT 1");
  }

  std::vector<Expected> values_;
  std::deque<std::string> kept_;
  int statements_ = 0;
};

class RandomTypesTest : public TypeMapServerTest {
 protected:
  static constexpr int kValues = 2000;
  uint64_t Bits() { return random_(); }
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  std::mt19937_64 random_{20240229};
};

TEST_F(RandomTypesTest, Integers) {
  for (const bool is_unsigned : {false, true}) {
    for (const uint8_t bits : {8, 16, 24, 32, 64}) {
      for (int i = 0; i < kValues; ++i) {
        // Few and many significant bits alike, and the two ends.
        const uint64_t raw = i == 0 ? 0 : i == 1 ? ~uint64_t{0} : Bits() >> Below(64);
        if (is_unsigned) {
          const uint64_t v = bits == 64 ? raw : raw & ((uint64_t{1} << bits) - 1);
          Add(Value::Uint(v), fmt::format("{}", v));
        } else {
          const int64_t v = static_cast<int64_t>((i == 2 ? uint64_t{1} << 63 : raw) << (64 - bits)) >> (64 - bits);
          Add(Value::Int(v), fmt::format("{}", v));
        }
      }
      Add(Value::Null(), std::nullopt);
      Check(IntColumn(bits, is_unsigned));
    }
  }
}

TEST_F(RandomTypesTest, Decimals) {
  for (const uint16_t scale : {0, 1, 3, 4, 5, 8, 30}) {
    for (int i = 0; i < kValues; ++i) {
      std::string digits;
      const uint64_t whole = Below(35) + 1;
      for (uint64_t d = 0; d < whole; ++d) {
        digits.push_back(static_cast<char>('0' + (Below(3) == 0 ? 0 : Below(10))));
      }
      digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
      if (scale != 0) {
        digits.push_back('.');
        for (int d = 0; d < scale; ++d) {
          digits.push_back(static_cast<char>('0' + (Below(2) == 0 ? 0 : Below(10))));
        }
      }
      const bool negative = Below(2) == 0 && digits.find_first_of("123456789") != std::string::npos;
      const std::string_view text = Keep(negative ? "-" + digits : digits);
      Add(Decimal(text), std::string(text));
    }
    for (const char* edge : {"0", "-1", "9999", "10000", "100000000", "-10000000000000000"}) {
      Add(Decimal(Keep(scale == 0 ? edge : edge + ("." + std::string(scale, '0')))), edge);
    }
    if (scale == 4) {
      Add(Decimal("0.0001"), "0.0001");
      Add(Decimal("-0.1000"), "-0.1");
      Add(Decimal("10000.0001"), "10000.0001");
    }
    Check(DecimalColumn(65, scale));
  }
}

TEST_F(RandomTypesTest, Floats) {
  for (int i = 0; i < kValues; ++i) {
    const float v = std::bit_cast<float>(static_cast<uint32_t>(Bits()));
    if (std::isfinite(v)) {
      Add(Value::Float(v), fmt::format("{}", v));
    }
  }
  Add(Value::Float(-0.0F), "-0");
  Add(Value::Float(std::numeric_limits<float>::denorm_min()), "1e-45");
  Add(Value::Float(std::numeric_limits<float>::max()), "3.4028235e+38");
  Check(Of(ColumnType::kFloat));
  for (int i = 0; i < kValues; ++i) {
    const double v = std::bit_cast<double>(Bits());
    if (std::isfinite(v)) {
      Add(Value::Double(v), fmt::format("{}", v));
    }
  }
  Add(Value::Double(-0.0), "-0");
  Add(Value::Double(std::numeric_limits<double>::denorm_min()), "5e-324");
  Check(Of(ColumnType::kDouble));
}

TEST_F(RandomTypesTest, Bits) {
  for (const uint64_t width : {1, 3, 8, 9, 31, 32, 63, 64}) {
    for (int i = 0; i < 100; ++i) {
      const uint64_t v = width == 64 ? Bits() : Bits() & ((uint64_t{1} << width) - 1);
      Add(Value::Bits(v), fmt::format("{:0{}b}", v, width));
    }
    Check(LengthColumn(ColumnType::kBit, width));
  }
}

TEST_F(RandomTypesTest, TextAndBytes) {
  const std::string_view letters[] = {"a", "Z", " ", "'", "\\", "\n", "\"", "{", ",", "é", "漢", "😀", "\x01"};
  for (int i = 0; i < kValues; ++i) {
    std::string text;
    for (uint64_t n = Below(40); n > 0; --n) {
      text += letters[Below(std::size(letters))];
    }
    const std::string_view kept = Keep(text);
    Add(Text(kept), std::string(kept));
  }
  Add(Text(""), "");
  Add(Text(Keep(std::string(100000, 'x'))), std::string(100000, 'x'));
  Add(Value::Null(), std::nullopt);
  Check(Of(ColumnType::kText));

  Add(Text("trailing  "), "trailing  ");
  Add(Text("漢字漢字漢字漢字漢字"), "漢字漢字漢字漢字漢字");
  Check(LengthColumn(ColumnType::kVarchar, 10));

  for (int i = 0; i < kValues; ++i) {
    std::string bytes;
    std::string hex = "\\x";
    for (uint64_t n = Below(40); n > 0; --n) {
      bytes.push_back(static_cast<char>(Below(256)));
      hex += fmt::format("{:02x}", static_cast<unsigned char>(bytes.back()));
    }
    Add(Value::OfBytes(ValueKind::kBytes, Keep(bytes)), hex);
  }
  Check(Of(ColumnType::kBlob));

  Add(Text(std::string_view("a\0b\0", 4)), "ab");
  Check(Of(ColumnType::kText), {.nul_bytes = NulBytePolicy::kRemove});
}

TEST_F(RandomTypesTest, Dates) {
  for (int i = 0; i < kValues; ++i) {
    const CivilDate date = CivilFromDays(static_cast<int64_t>(Below(3652425)) - 719528);
    const std::string text = date.year == 0 ? fmt::format("0001-{:02}-{:02} BC", date.month, date.day)
                                            : fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
    Add(Date(date.year, date.month, date.day), text);
  }
  Add(Date(0, 1, 1), "0001-01-01 BC");
  Add(Date(0, 12, 31), "0001-12-31 BC");
  Add(Date(1, 1, 1), "0001-01-01");
  Add(Date(1999, 12, 31), "1999-12-31");
  Add(Date(2000, 2, 29), "2000-02-29");
  Add(Date(9999, 12, 31), "9999-12-31");
  Add(Date(0, 0, 0), "-infinity");
  Check(Of(ColumnType::kDate), {.zero_dates = ZeroDatePolicy::kInfinity});
  Add(Date(0, 0, 0), std::nullopt);
  Add(Date(2020, 2, 0), std::nullopt);
  Add(Date(2020, 2, 30), std::nullopt);
  Check(Of(ColumnType::kDate), {.zero_dates = ZeroDatePolicy::kNull});
}

TEST_F(RandomTypesTest, TimesOfTheCalendar) {
  const auto clock = [](int64_t micros) {
    return fmt::format("{:02}:{:02}:{:02}.{:06}", micros / 3'600'000'000, micros / 60'000'000 % 60,
                       micros / 1'000'000 % 60, micros % 1'000'000);
  };
  for (int i = 0; i < kValues; ++i) {
    const CivilDate date = CivilFromDays(static_cast<int64_t>(Below(3652059)) - 719162);
    const auto micros = static_cast<int64_t>(Below(86'400'000'000));
    Add(DateTime(date.year, date.month, date.day, micros),
        fmt::format("{:04}-{:02}-{:02} {}", date.year, date.month, date.day, clock(micros)));
  }
  Add(DateTime(0, 1, 1, 1), "0001-01-01 00:00:00.000001 BC");
  Add(DateTime(9999, 12, 31, 86'399'999'999), "9999-12-31 23:59:59.999999");
  Add(DateTime(0, 0, 0, 0), "-infinity");
  Check(FractionColumn(ColumnType::kDateTime, 6), {.zero_dates = ZeroDatePolicy::kInfinity});

  for (int i = 0; i < kValues; ++i) {
    const auto seconds = static_cast<int64_t>(Below(uint64_t{1} << 32));
    const CivilDate date = CivilFromDays(seconds / 86400);
    Add(Value::OfInt(ValueKind::kTimestamp, seconds * 1'000'000 + 123),
        fmt::format("{:04}-{:02}-{:02} {}+00", date.year, date.month, date.day,
                    clock(seconds % 86400 * 1'000'000 + 123)));
  }
  Add(Value::OfInt(ValueKind::kTimestamp, 0), "1970-01-01 00:00:00+00");
  Add(Value::OfInt(ValueKind::kTimestamp, kZeroTimestamp), "-infinity");
  Check(FractionColumn(ColumnType::kTimestamp, 6), {.zero_dates = ZeroDatePolicy::kInfinity});

  for (int i = 0; i < kValues; ++i) {
    const auto micros = static_cast<int64_t>(Below(2 * 3'020'399'000'000)) - 3'020'399'000'000;
    Add(Time(micros), (micros < 0 ? "-" : "") + clock(micros < 0 ? -micros : micros));
  }
  Add(Time(-1), "-00:00:00.000001");
  Add(Time(3'020'399'000'000), "838:59:59");
  Check(FractionColumn(ColumnType::kTime, 6));
  for (int i = 0; i < kValues; ++i) {
    const auto micros = static_cast<int64_t>(Below(86'400'000'000));
    Add(Time(micros), clock(micros));
  }
  Add(Time(86'400'000'000), "24:00:00");
  Check(FractionColumn(ColumnType::kTime, 6), {.time = TimePolicy::kTime});
}

TEST_F(TypeMapServerTest, Json) {
  for (const char* text :
       {R"({"b": 1, "a": [1.50, null, true, "x\"y"], "a": 2})", "1e2", "\"\\u00e9\\\\u0000\"", "[]", R"("漢字 😀")"}) {
    Add(Value::OfBytes(ValueKind::kJson, text), text);
  }
  Check(Of(ColumnType::kJson));
  for (const char* text : {R"({"b":  1, "a":2, "a":3})", " [1, 2 ]", "\"\\u0000\""}) {
    Add(Value::OfBytes(ValueKind::kJson, text), text);
  }
  Check(Of(ColumnType::kJsonText));
  Add(Value::OfBytes(ValueKind::kJson, R"({"\u0000k": "a\u0000b\\u0000\\\u0000"})"), R"({"k": "ab\\u0000\\"})");
  Check(Of(ColumnType::kJson), {.nul_bytes = NulBytePolicy::kRemove});
}

TEST_F(TypeMapServerTest, UuidInetAndVector) {
  const std::string_view bytes("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
  Add(Value::OfBytes(ValueKind::kUuid, bytes), "00112233-4455-6677-8899-aabbccddeeff");
  Check(Of(ColumnType::kUuid));
  Add(Value::OfBytes(ValueKind::kInet, std::string_view("\x7f\0\0\x01", 4)), "127.0.0.1");
  Check(Of(ColumnType::kInet4));
  Add(Value::OfBytes(ValueKind::kInet, bytes), "11:2233:4455:6677:8899:aabb:ccdd:eeff");
  Add(Value::OfBytes(ValueKind::kInet, Keep(std::string(15, '\0') + "\x01")), "::1");
  Add(Value::OfBytes(ValueKind::kInet, Keep(std::string(10, '\0') + "\xff\xff\x01\x02\x03\x04")), "::ffff:1.2.3.4");
  Check(Of(ColumnType::kInet6));
  const float numbers[] = {1.5F, -0.1F, 3.4028235e38F, 1e-45F, 0.0F};
  std::string vector(sizeof numbers, '\0');
  std::memcpy(vector.data(), numbers, sizeof numbers);
  Add(Value::OfBytes(ValueKind::kVector, Keep(vector)), "{1.5,-0.1,3.4028235e+38,1e-45,0}");
  Add(Value::OfBytes(ValueKind::kVector, ""), "{}");
  Add(Value::Null(), std::nullopt);
  Check(Of(ColumnType::kVector));
}

TEST(TypeMapTest, AColumnWithoutATypeIsRefused) {
  Column column = IntColumn(32, false);
  column.name = "odd";
  column.source_type = "oddity(3)";
  column.type = static_cast<ColumnType>(250);
  const auto type = MapType(column, {});
  ASSERT_FALSE(type);
  EXPECT_EQ(type.error().code, "CF1410");
  EXPECT_NE(type.error().message.find("odd: no PostgreSQL type for oddity(3)"), std::string::npos);
}

TEST_F(TypeMapServerTest, AnEmptyArrayHasNoElements) {
  const PgType type = *MapType(IntColumn(32, false), {});
  ArrayBuilder builder;
  builder.Begin(type);
  const uint32_t types[] = {type.array_oid};
  Run("CREATE TEMP TABLE hit (n int)");
  ASSERT_TRUE(connection_->Prepare("e", "INSERT INTO hit SELECT * FROM unnest($1)", types));
  ASSERT_TRUE(connection_->PipelineBegin());
  const Parameter parameter{type.array_oid, builder.Finish()};
  ASSERT_TRUE(connection_->PipelineQueue("e", {&parameter, 1}));
  auto counts = connection_->PipelineCollect();
  ASSERT_TRUE(counts) << counts.error().ToString();
  EXPECT_EQ((*counts)[0], 0u);
}

// A length or scale that the value does not keep must stop, never cut: assignments, not casts.
TEST_F(TypeMapServerTest, TooLongStops) {
  const Column column = LengthColumn(ColumnType::kVarchar, 3);
  const PgType type = *MapType(column, {});
  Run("CREATE TEMP TABLE short (v varchar(3))");
  std::string out("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\1", 21);
  ASSERT_TRUE(AppendField(type, column, {}, Text("abcd"), &out));
  ASSERT_TRUE(connection_->CopyBegin("COPY short FROM STDIN (FORMAT binary)"));
  ASSERT_TRUE(connection_->CopyData(out));
  auto loaded = connection_->CopyEnd();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().server_code, "22001");
}

TEST(DecodeFieldTest, RefusesWhatIsNotOfItsType) {
  std::string storage;
  const auto code = [&](const Column& column, std::string_view bytes) {
    const auto value = DecodeField(*MapType(column, {}), column, bytes, &storage);
    return value ? "" : value.error().code;
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(code(IntColumn(32, false), "\0\0\1"sv), "CF1413");
  EXPECT_EQ(code(DecimalColumn(10, 2), "\0\2\0\0\0\0\0\2\0\1"sv), "CF1413");
  EXPECT_EQ(code(LengthColumn(ColumnType::kBit, 8), "\0\0\0\xff\1"sv), "CF1413");
  EXPECT_EQ(code(Of(ColumnType::kUuid), "short"), "CF1413");
  EXPECT_EQ(code(Of(ColumnType::kInet4), "\2\x20"sv), "CF1413");
  EXPECT_EQ(code(FractionColumn(ColumnType::kTime, 0), "12345678"), "CF1413");
}

TEST(DecodeFieldTest, RefusesWhatTheSourceCannotHold) {
  std::string storage;
  const auto code = [&](const Column& column, std::string_view bytes) {
    const auto value = DecodeField(*MapType(column, {}), column, bytes, &storage);
    return value ? "" : value.error().code;
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(code(DecimalColumn(10, 2), "\0\0\0\0\xc0\0\0\0"sv), "CF1414");                                // NaN
  EXPECT_EQ(code(IntColumn(64, true), "\0\1\0\0\x40\0\0\0\0\5"sv), "CF1414");                             // -5
  EXPECT_EQ(code(Of(ColumnType::kDate), "\x7f\xff\xff\xff"sv), "CF1414");                                 // infinity
  EXPECT_EQ(code(FractionColumn(ColumnType::kTime, 0), "\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\0"sv), "CF1414");  // a day
  EXPECT_EQ(code(Of(ColumnType::kInet4), "\2\x18\0\4\x7f\0\0\0"sv), "CF1414");                            // a network
}

}  // namespace
}  // namespace crossfade::postgres
