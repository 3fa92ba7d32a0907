#include "snapshot/mysql/binary_row.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/unit/snapshot_mysql/packets.h"

namespace crossfade::snapshot {
namespace {

using namespace std::string_view_literals;

class Utf8Charset : public mysql::CharsetConverter {
 public:
  bool passes_through() const override { return true; }
  bool Convert(std::string_view bytes, std::string* out) const override {
    out->append(bytes);
    return true;
  }
};

// ISO 8859-1; refuses bytes 0x80 to 0x9F.
class Latin1Charset : public mysql::CharsetConverter {
 public:
  bool passes_through() const override { return false; }
  bool Convert(std::string_view bytes, std::string* out) const override {
    const size_t before = out->size();
    for (const char c : bytes) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte >= 0x80 && byte < 0xA0) {
        out->resize(before);
        return false;
      }
      if (byte < 0x80) {
        out->push_back(c);
      } else {
        out->push_back(static_cast<char>(0xC0 | byte >> 6));
        out->push_back(static_cast<char>(0x80 | (byte & 0x3F)));
      }
    }
    return true;
  }
};

Result<std::shared_ptr<const mysql::CharsetConverter>> CharsetOf(const std::string& name) {
  if (name == "latin1") {
    return std::make_shared<Latin1Charset>();
  }
  return std::make_shared<Utf8Charset>();
}

struct WireSetup {
  ColumnType type;
  uint8_t wire;
  bool is_unsigned = false;
  std::string charset = {};
};

Result<BinaryRowDecoder> MakeDecoder(const std::vector<WireSetup>& setup) {
  TableSchema table;
  table.database = "db";
  table.name = "t";
  std::vector<uint32_t> columns;
  std::vector<WireColumn> wire;
  for (const WireSetup& part : setup) {
    Column column;
    column.name = "c" + std::to_string(columns.size());
    column.type = part.type;
    column.is_unsigned = part.is_unsigned;
    column.charset = part.charset;
    columns.push_back(static_cast<uint32_t>(table.columns.size()));
    table.columns.push_back(column);
    wire.push_back({part.wire, part.is_unsigned});
  }
  return BinaryRowDecoder::Make(table, columns, wire, CharsetOf);
}

class Rows {
 public:
  explicit Rows(const std::vector<WireSetup>& setup) : decoder_(*MakeDecoder(setup)) {}
  Value One(const RowPacket& packet) { return All(packet)[0]; }
  std::vector<Value> All(const RowPacket& packet) {
    packet_ = packet.bytes();
    const auto row = decoder_.Decode(packet_);
    if (!row) {
      ADD_FAILURE() << row.error().ToString();
      return std::vector<Value>(1);
    }
    return {row->begin(), row->end()};
  }
  Error Refused(const RowPacket& packet) {
    packet_ = packet.bytes();
    const auto row = decoder_.Decode(packet_);
    if (row) {
      ADD_FAILURE() << "was taken";
      return {};
    }
    return row.error();
  }

 private:
  BinaryRowDecoder decoder_;
  std::string packet_;
};

void ExpectSame(const Value& actual, const Value& expected) {
  EXPECT_TRUE(Identical(actual, expected)) << ToDisplay(actual) << " is not " << ToDisplay(expected);
}

TEST(BinaryRow, IntegersOfEveryWidth) {
  Rows rows({{ColumnType::kInt, 1},
             {ColumnType::kInt, 2},
             {ColumnType::kInt, 9},
             {ColumnType::kInt, 3},
             {ColumnType::kInt, 8},
             {ColumnType::kInt, 1, true},
             {ColumnType::kInt, 2, true},
             {ColumnType::kInt, 3, true},
             {ColumnType::kInt, 8, true}});
  RowPacket packet(9);
  packet.Fixed<int8_t>(-128).Fixed<int16_t>(-32768).Fixed<int32_t>(-8388608).Fixed<int32_t>(INT32_MIN);
  packet.Fixed<int64_t>(INT64_MIN).Fixed<uint8_t>(255).Fixed<uint16_t>(65535).Fixed<uint32_t>(UINT32_MAX);
  packet.Fixed<uint64_t>(UINT64_MAX);
  const auto values = rows.All(packet);
  ASSERT_EQ(values.size(), 9U);
  ExpectSame(values[0], Value::Int(-128));
  ExpectSame(values[1], Value::Int(-32768));
  ExpectSame(values[2], Value::Int(-8388608));
  ExpectSame(values[3], Value::Int(INT32_MIN));
  ExpectSame(values[4], Value::Int(INT64_MIN));
  ExpectSame(values[5], Value::Uint(255));
  ExpectSame(values[6], Value::Uint(65535));
  ExpectSame(values[7], Value::Uint(UINT32_MAX));
  ExpectSame(values[8], Value::Uint(UINT64_MAX));
}

TEST(BinaryRow, YearIsASignedValueThoughSentUnsigned) {
  TableSchema table;
  Column year;
  year.name = "y";
  year.type = ColumnType::kYear;
  table.columns = {year};
  const uint32_t columns[] = {0};
  const WireColumn wire[] = {{13, true}};
  auto decoder = BinaryRowDecoder::Make(table, columns, wire, CharsetOf);
  ASSERT_TRUE(decoder) << decoder.error().ToString();
  RowPacket packet(1);
  packet.Fixed<uint16_t>(2155);
  const auto row = decoder->Decode(packet.bytes());
  ASSERT_TRUE(row);
  ExpectSame((*row)[0], Value::Int(2155));
}

TEST(BinaryRow, FloatsKeepTheirBits) {
  Rows rows({{ColumnType::kFloat, 4}, {ColumnType::kDouble, 5}});
  RowPacket packet(2);
  packet.Fixed<float>(0.1F).Fixed<double>(-0.0);
  const auto values = rows.All(packet);
  ExpectSame(values[0], Value::Float(0.1F));
  ExpectSame(values[1], Value::Double(-0.0));
}

TEST(BinaryRow, NullsAreInTheBitmapWithAnOffsetOfTwo) {
  std::vector<WireSetup> setup(20, WireSetup{ColumnType::kInt, 1});
  Rows rows(setup);
  RowPacket packet(20);
  for (const size_t null : {0, 5, 6, 13, 14, 19}) {
    packet.Null(null);
  }
  for (int8_t i = 0; i < 14; ++i) {
    packet.Fixed<int8_t>(i);
  }
  const auto values = rows.All(packet);
  int8_t next = 0;
  for (size_t i = 0; i < 20; ++i) {
    if (i == 0 || i == 5 || i == 6 || i == 13 || i == 14 || i == 19) {
      EXPECT_TRUE(values[i].is_null()) << i;
    } else {
      ExpectSame(values[i], Value::Int(next++));
    }
  }
}

TEST(BinaryRow, DecimalsInNormalForm) {
  Rows rows({{ColumnType::kDecimal, 246}});
  for (const auto& [text, normal] : std::vector<std::pair<std::string, std::string>>{{"12.340", "12.340"},
                                                                                     {"-12.340", "-12.340"},
                                                                                     {"0.00", "0.00"},
                                                                                     {"-0.00", "0.00"},
                                                                                     {"-0", "0"},
                                                                                     {"0000012.30", "12.30"},
                                                                                     {"0000000.30", "0.30"},
                                                                                     {"000", "0"},
                                                                                     {"-0.30", "-0.30"},
                                                                                     {"-007.5", "-7.5"}}) {
    ExpectSame(rows.One(RowPacket(1).String(text)), Value::OfBytes(ValueKind::kDecimal, normal));
  }
  for (const std::string bad : {"", "-", "1e5", "nan", "1,5"}) {
    EXPECT_EQ(rows.Refused(RowPacket(1).String(bad)).code, "CF1612") << bad;
  }
}

TEST(BinaryRow, BitsAreBigEndian) {
  Rows rows({{ColumnType::kBit, 16}});
  ExpectSame(rows.One(RowPacket(1).String("\x01\x02"sv)), Value::Bits(0x0102));
  ExpectSame(rows.One(RowPacket(1).String("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv)), Value::Bits(UINT64_MAX));
  EXPECT_EQ(rows.Refused(RowPacket(1).String("123456789")).code, "CF1612");
}

TEST(BinaryRow, DatesAndTimesWithTheirSpecialValues) {
  Rows dates({{ColumnType::kDate, 10}});
  ExpectSame(dates.One(RowPacket(1).Fixed<uint8_t>(0)), Value::OfInt(ValueKind::kDate, 0));
  ExpectSame(dates.One(RowPacket(1).Raw("\x04\xE4\x07\x02\x00"sv)),
             Value::OfInt(ValueKind::kDate, PackDate(2020, 2, 0)));
  ExpectSame(dates.One(RowPacket(1).Raw("\x04\x0F\x27\x0C\x1F"sv)),
             Value::OfInt(ValueKind::kDate, PackDate(9999, 12, 31)));

  Rows datetimes({{ColumnType::kDateTime, 12}});
  ExpectSame(datetimes.One(RowPacket(1).Fixed<uint8_t>(0)), Value::OfInt(ValueKind::kDateTime, 0));
  ExpectSame(datetimes.One(RowPacket(1).Raw("\x0B\xE4\x07\x02\x1D\x17\x3B\x3B\x3F\x42\x0F\x00"sv)),
             Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(2020, 2, 29), 86'399'999'999)));
  ExpectSame(datetimes.One(RowPacket(1).Raw("\x07\xE4\x07\x02\x1D\x00\x00\x01"sv)),
             Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(2020, 2, 29), 1'000'000)));
  ExpectSame(datetimes.One(RowPacket(1).Raw("\x04\xE4\x07\x02\x1D"sv)),
             Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(2020, 2, 29), 0)));

  Rows timestamps({{ColumnType::kTimestamp, 7}});
  ExpectSame(timestamps.One(RowPacket(1).Fixed<uint8_t>(0)), Value::OfInt(ValueKind::kTimestamp, kZeroTimestamp));
  ExpectSame(timestamps.One(RowPacket(1).Raw("\x0B\xB2\x07\x01\x01\x00\x00\x01\x01\x00\x00\x00"sv)),
             Value::OfInt(ValueKind::kTimestamp, 1'000'001));

  Rows times({{ColumnType::kTime, 11}});
  ExpectSame(times.One(RowPacket(1).Fixed<uint8_t>(0)), Value::OfInt(ValueKind::kTime, 0));
  ExpectSame(times.One(RowPacket(1).Raw("\x08\x01\x22\x00\x00\x00\x16\x3B\x3B"sv)),
             Value::OfInt(ValueKind::kTime, -((838LL * 3600 + 59 * 60 + 59) * 1'000'000)));
  ExpectSame(times.One(RowPacket(1).Raw("\x0C\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"sv)),
             Value::OfInt(ValueKind::kTime, -1));
}

TEST(BinaryRow, RefusesImpossibleDatesAndTimes) {
  Rows dates({{ColumnType::kDate, 10}});
  for (const auto bad : {"\x04\xE4\x07\x0D\x01"sv, "\x04\xE4\x07\x01\x20"sv, "\x04\xFF\xFF\x01\x01"sv,
                         "\x05\xE4\x07\x01\x01\x01"sv, "\x07\xE4\x07\x01\x01\x01\x00\x00"sv}) {
    EXPECT_EQ(dates.Refused(RowPacket(1).Raw(bad)).code, "CF1612");
  }
  Rows timestamps({{ColumnType::kTimestamp, 7}});
  EXPECT_EQ(timestamps.Refused(RowPacket(1).Raw("\x04\xE4\x07\x02\x1E"sv)).code, "CF1612");  // 30 February
  Rows times({{ColumnType::kTime, 11}});
  EXPECT_EQ(times.Refused(RowPacket(1).Raw("\x08\x00\xFF\xFF\xFF\xFF\x01\x01\x01"sv)).code, "CF1612");
  EXPECT_EQ(times.Refused(RowPacket(1).Raw("\x08\x00\x00\x00\x00\x00\x18\x01\x01"sv)).code, "CF1612");
}

TEST(BinaryRow, TextIsUtf8AndBytesAreAsStored) {
  Rows rows({{ColumnType::kVarchar, 253, false, "latin1"},
             {ColumnType::kText, 252, false, "utf8mb4"},
             {ColumnType::kBlob, 252},
             {ColumnType::kEnum, 254, false, "latin1"},
             {ColumnType::kJson, 245},
             {ColumnType::kJsonText, 252, false, "utf8mb4"},
             {ColumnType::kGeometry, 255}});
  const std::string large(70'000, '\xE9');
  std::string large_utf8;
  for (size_t i = 0; i < large.size(); ++i) {
    large_utf8 += "é";
  }
  RowPacket packet(7);
  packet.String(large)
      .String("grün")
      .String("\x00\xFF"sv)
      .String("Stra\xDF"sv)
      .String("{}")
      .String("[1, 2]")
      .String("geo");
  const auto values = rows.All(packet);
  ExpectSame(values[0], Value::OfBytes(ValueKind::kText, large_utf8));
  ExpectSame(values[1], Value::OfBytes(ValueKind::kText, "grün"));
  ExpectSame(values[2], Value::OfBytes(ValueKind::kBytes, "\x00\xFF"sv));
  ExpectSame(values[3], Value::OfBytes(ValueKind::kText, "Straß"));
  ExpectSame(values[4], Value::OfBytes(ValueKind::kJson, "{}"));
  EXPECT_EQ(values[5].bytes, "[1, 2]");
  ExpectSame(values[6], Value::OfBytes(ValueKind::kBytes, "geo"));
  // The buffers are used again.
  RowPacket next(7);
  next.String("\xE9").String("").String("").String("").String("1").String("2").String("");
  ExpectSame(rows.All(next)[0], Value::OfBytes(ValueKind::kText, "é"));
}

TEST(BinaryRow, InvalidTextNamesTheColumnAndItsBytes) {
  Rows rows({{ColumnType::kVarchar, 253, false, "utf8mb4"}, {ColumnType::kVarchar, 253, false, "latin1"}});
  const Error utf8 = rows.Refused(RowPacket(2).String("a\xFF\x62"sv).String("x"));
  EXPECT_EQ(utf8.code, "CF1613");
  EXPECT_EQ(utf8.error_class, ErrorClass::kData);
  EXPECT_EQ(utf8.object, "db.t.c0");
  EXPECT_EQ(utf8.found, "bytes 61ff62");
  EXPECT_EQ(rows.Refused(RowPacket(2).String("a").String("\x81"sv)).object, "db.t.c1");
  // And the next row is read as if nothing had been.
  ExpectSame(rows.All(RowPacket(2).String("a").String("b"))[1], Value::OfBytes(ValueKind::kText, "b"));
}

TEST(BinaryRow, AddressesAndUuidsBecomeTheirBytes) {
  Rows rows({{ColumnType::kUuid, 254}, {ColumnType::kInet4, 254}, {ColumnType::kInet6, 254}});
  RowPacket packet(3);
  packet.String("123e4567-e89b-12d3-a456-426655440000").String("192.168.0.1").String("::ffff:192.0.2.1");
  const auto values = rows.All(packet);
  ExpectSame(values[0],
             Value::OfBytes(ValueKind::kUuid, "\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x55\x44\x00\x00"sv));
  ExpectSame(values[1], Value::OfBytes(ValueKind::kInet, "\xC0\xA8\x00\x01"sv));
  ExpectSame(values[2], Value::OfBytes(ValueKind::kInet, "\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xC0\x00\x02\x01"sv));
  EXPECT_EQ(rows.Refused(RowPacket(3).String("123e4567").String("1.1.1.1").String("::")).code, "CF1612");
  EXPECT_EQ(
      rows.Refused(
              RowPacket(3).String("123e4567-e89b-12d3-a456-426655440000").String(std::string(300, '1')).String("::"))
          .code,
      "CF1612");
}

TEST(BinaryRow, AResultOfAnotherKindIsAChangedTable) {
  for (const WireSetup& setup : std::vector<WireSetup>{{ColumnType::kInt, 253},
                                                       {ColumnType::kVarchar, 3, false, "utf8mb4"},
                                                       {ColumnType::kDate, 12},
                                                       {ColumnType::kDouble, 4},
                                                       {ColumnType::kTimestamp, 12}}) {
    const auto decoder = MakeDecoder({setup});
    ASSERT_FALSE(decoder);
    EXPECT_EQ(decoder.error().code, "CF1610");
  }
}

TEST(BinaryRow, ColumnDefinitions) {
  for (const bool extended : {false, true}) {
    const auto column = ParseColumnDefinition(DefinitionPacket(8, 32, extended));
    ASSERT_TRUE(column);
    EXPECT_EQ(column->type, 8);
    EXPECT_TRUE(column->is_unsigned);
  }
  const std::string good = DefinitionPacket(3, 0);
  EXPECT_FALSE(ParseColumnDefinition(good)->is_unsigned);
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(ParseColumnDefinition(std::string_view(good).substr(0, length))) << length;
  }
}

TEST(BinaryRow, CutAndRandomBytesGiveErrors) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  auto decoder = *MakeDecoder({{ColumnType::kInt, 3},
                               {ColumnType::kVarchar, 253, false, "utf8mb4"},
                               {ColumnType::kDateTime, 12},
                               {ColumnType::kTime, 11},
                               {ColumnType::kDecimal, 246},
                               {ColumnType::kInet6, 254},
                               {ColumnType::kBlob, 252}});
  RowPacket packet(7);
  packet.Fixed<int32_t>(7).String("text").Raw("\x0B\xE4\x07\x02\x1D\x17\x3B\x3B\x3F\x42\x0F\x00"sv);
  packet.Raw("\x08\x01\x22\x00\x00\x00\x16\x3B\x3B"sv).String("1.5").String("::1").String(std::string(400, 'b'));
  const std::string good = packet.bytes();
  ASSERT_TRUE(decoder.Decode(good));
  for (size_t length = 0; length < good.size(); ++length) {
    // A heap copy of exactly this size, so that an over-read is seen by the address sanitizer.
    const std::vector<char> cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_FALSE(decoder.Decode(std::string_view(cut.data(), cut.size()))) << length;
  }
  EXPECT_FALSE(decoder.Decode(good + "x"));
  for (int round = 0; round < 20'000; ++round) {
    std::vector<char> bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(random() % good.size() + 1));
    for (int changes = 0; changes < 3; ++changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto row = decoder.Decode(std::string_view(bytes.data(), bytes.size()));
    if (!row) {
      EXPECT_TRUE(row.error().code == "CF1612" || row.error().code == "CF1613");
    }
  }
}

}  // namespace
}  // namespace crossfade::snapshot
