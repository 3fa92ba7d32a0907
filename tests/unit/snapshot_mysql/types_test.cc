#include <algorithm>

#include "tests/unit/snapshot_mysql/source_test.h"

namespace crossfade::snapshot {
namespace {

using namespace std::string_view_literals;

class TypesTest : public SourceTest {
 protected:
  // The values of `columns`, read back in the order of the key; one Value per line of the display.
  std::vector<std::string> RoundTrip(const std::string& columns, const std::vector<std::string>& rows) {
    Do("DROP TABLE IF EXISTS t");
    Do("CREATE TABLE t (id INT PRIMARY KEY, " + columns + ") ENGINE=InnoDB CHARACTER SET utf8mb4");
    int id = 0;
    for (const std::string& row : rows) {
      Do("INSERT INTO t VALUES (" + std::to_string(++id) + "," + row + ")");
    }
    const auto reader = OpenReader();
    EXPECT_TRUE(reader->OpenSnapshot().has_value());
    std::vector<std::string> out = ReadAll(reader.get(), Schema("t"));
    for (std::string& row : out) {
      row = row.substr(row.find('|') + 1);
    }
    return out;
  }
  using Lines = std::vector<std::string>;
};

TEST_P(TypesTest, Integers) {
  EXPECT_EQ(RoundTrip("a TINYINT, b SMALLINT, c MEDIUMINT, d INT, e BIGINT, f TINYINT UNSIGNED, g MEDIUMINT UNSIGNED, "
                      "h BIGINT UNSIGNED, i INT(5) UNSIGNED ZEROFILL, y YEAR, z BOOL",
                      {"-128,-32768,-8388608,-2147483648,-9223372036854775808,0,0,0,7,1901,TRUE",
                       "127,32767,8388607,2147483647,9223372036854775807,255,16777215,18446744073709551615,7,2155,0",
                       "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL"}),
            (Lines{"-128|-32768|-8388608|-2147483648|-9223372036854775808|0|0|0|7|1901|1",
                   "127|32767|8388607|2147483647|9223372036854775807|255|16777215|18446744073709551615|7|2155|0",
                   "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|0|NULL"}));
}

TEST_P(TypesTest, Numbers) {
  EXPECT_EQ(RoundTrip("a DECIMAL(10,3), b DECIMAL(65,30), c DECIMAL(6,2) UNSIGNED ZEROFILL, d DECIMAL(5,0), e FLOAT, "
                      "f DOUBLE, g BIT(1), h BIT(64), i FLOAT(7,3)",
                      {"-12.34,0.000000000000000000000000000001,1.5,-0,0.1,0.1,b'1',0xFFFFFFFFFFFFFFFE,1.001",
                       "0,-99999999999999999999999999999999999.999999999999999999999999999999,0,99999,-1.17549e-38,"
                       "-1.7976931348623157e308,b'0',0,-1000.125"}),
            (Lines{"-12.340|0.000000000000000000000000000001|1.50|0|0.1|0.1|1|18446744073709551614|1.001",
                   "0.000|-99999999999999999999999999999999999.999999999999999999999999999999|0.00|99999|"
                   "-1.17549e-38|-1.7976931348623157e+308|0|0|-1000.125"}));
}

TEST_P(TypesTest, DatesAndTimes) {
  EXPECT_EQ(RoundTrip("a DATE, b DATETIME(6), c DATETIME, d TIME(6), e TIME, f TIMESTAMP(6) NULL, g TIMESTAMP(3) NULL",
                      {"'2020-02-29','2020-02-29 23:59:59.999999','1000-01-01','-838:59:59','838:59:59',"
                       "'1970-01-01 00:00:01.000001','2038-01-19 03:14:07.999'",
                       "'0000-00-00','0000-00-00','2020-00-00','-00:00:00.000001','-100:00:01','0000-00-00',"
                       "'2001-09-09 01:46:40.5'",
                       "'2020-02-00','9999-12-31 23:59:59.5','9999-12-31','25:00:00.5','00:00:00',NULL,NULL"}),
            (Lines{"2020-02-29|2020-02-29 23:59:59.999999|1000-01-01 00:00:00.000000|-838:59:59.000000|"
                   "838:59:59.000000|1970-01-01 00:00:01.000001Z|2038-01-19 03:14:07.999000Z",
                   "0000-00-00|0000-00-00 00:00:00.000000|2020-00-00 00:00:00.000000|-00:00:00.000001|"
                   "-100:00:01.000000|0000-00-00 00:00:00|2001-09-09 01:46:40.500000Z",
                   "2020-02-00|9999-12-31 23:59:59.500000|9999-12-31 00:00:00.000000|25:00:00.500000|"
                   "00:00:00.000000|NULL|NULL"}));
}

TEST_P(TypesTest, TextOfEveryCharacterSetIsUtf8) {
  const std::string columns =
      "a VARCHAR(20) CHARACTER SET latin1, b CHAR(10) CHARACTER SET ucs2, c TEXT CHARACTER SET utf16, "
      "d VARCHAR(20) CHARACTER SET utf8mb3, e LONGTEXT, f VARCHAR(20) CHARACTER SET sjis, g CHAR(5) CHARACTER SET "
      "ascii, "
      "h ENUM('grün','', 'x,y') CHARACTER SET latin1, i SET('é','b','ç') CHARACTER SET ucs2, j TINYTEXT CHARACTER SET "
      "koi8r, "
      "k VARCHAR(10) CHARACTER SET " +
      std::string(mariadb() ? "gbk" : "gb18030");
  EXPECT_EQ(RoundTrip(columns, {"'Straße €','größe','𝄞 clef','日本','😀','日本','ab  ','grün','é,ç','Привет','中文'",
                                "'','','','','','','','','','',''"}),
            (Lines{"'Straße €'|'größe'|'𝄞 clef'|'日本'|'😀'|'日本'|'ab'|'grün'|'é,ç'|'Привет'|'中文'",
                   "''|''|''|''|''|''|''|''|''|''|''"}));
}

TEST_P(TypesTest, BytesJsonAndGeometry) {
  const auto rows = RoundTrip(
      "a BINARY(4), b VARBINARY(10), c BLOB, d JSON, e GEOMETRY, f POINT",
      {"x'01',x'00FF',x'',' {\"a\": [1, \"x\"]}',ST_GeomFromText('POINT(1 2)', 0),ST_GeomFromText('POINT(3 4)', 0)"});
  const std::string json = mariadb() ? "' {\"a\": [1, \"x\"]}'" : "'{\"a\": [1, \"x\"]}'";
  EXPECT_EQ(rows, (Lines{"0x01000000|0x00ff|0x|" + json +
                         "|0x000000000101000000000000000000f03f0000000000000040|0x0000000001010000000000000000000840"
                         "0000000000001040"}));
}

TEST_P(TypesTest, TypesOfOneServerOnly) {
  if (!mariadb()) {
    EXPECT_EQ(RoundTrip("a VECTOR(2), b JSON", {"TO_VECTOR('[1,2]'), NULL"}), (Lines{"0x0000803f00000040|NULL"}));
    return;
  }
  EXPECT_EQ(
      RoundTrip("a UUID, b INET6, c INET4",
                {"'123e4567-e89b-12d3-a456-426655440000','::ffff:192.0.2.1','10.0.0.1'",
                 "'00112233-4455-6677-8899-aabbccddeeff','2001:db8::1','0.0.0.0'", "NULL,NULL,NULL"}),
      (Lines{"0x123e4567e89b12d3a456426655440000|0x00000000000000000000ffffc0000201|0x0a000001",
             "0x00112233445566778899aabbccddeeff|0x20010db8000000000000000000000001|0x00000000", "NULL|NULL|NULL"}));
}

TEST_P(TypesTest, GeneratedAndInvisibleColumnsAreReadToo) {
  EXPECT_EQ(
      RoundTrip("a INT, b INT AS (a * 2) VIRTUAL, c INT AS (a * 3) STORED, d INT INVISIBLE", {"5, DEFAULT, DEFAULT"}),
      (Lines{"5|10|15|NULL"}));
}

TEST_P(TypesTest, RowsLargerThanAPacketPiece) {
  Do("CREATE TABLE big (id INT PRIMARY KEY, a LONGBLOB) ENGINE=InnoDB");
  if (mariadb()) {
    Do("SET GLOBAL max_allowed_packet = 67108864");
  }
  auto writer = Connect();
  const Status inserted = writer->Execute("INSERT INTO big VALUES (1, REPEAT('x', 17000000)), (2, 'y')");
  ASSERT_TRUE(inserted.has_value()) << Why(inserted.error());
  const auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot().has_value());
  std::vector<size_t> sizes;
  const Status status = reader->Read(Schema("big"), {}, [&](std::span<const Value> row) -> Status {
    sizes.push_back(row[1].bytes.size());
    return {};
  });
  ASSERT_TRUE(status.has_value()) << Why(status.error());
  EXPECT_EQ(sizes, (std::vector<size_t>{17'000'000, 1}));
}

INSTANTIATE_ON_SERVERS(TypesTest);

class RangesTest : public SourceTest {
 protected:
  // Cuts the table at all the places given: every row must be read by one chunk, and one only.
  void ExpectPartition(const std::string& key, const std::vector<std::string>& keys, std::vector<int64_t> cuts) {
    SCOPED_TRACE(key);
    Do("DROP TABLE IF EXISTS t");
    Do("CREATE TABLE t (k " + key + ", n INT, PRIMARY KEY (k, n)) ENGINE=InnoDB");
    for (const std::string& value : keys) {
      Do("INSERT INTO t VALUES (" + value + ", 1), (" + value + ", 2)");
    }
    const TableSchema table = Schema("t");
    const auto reader = OpenReader();
    ASSERT_TRUE(reader->OpenSnapshot().has_value());
    std::vector<std::string> whole = ReadAll(reader.get(), table);
    ASSERT_EQ(whole.size(), keys.size() * 2);
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    std::vector<std::string> pieces;
    std::optional<int64_t> from;
    for (size_t i = 0; i <= cuts.size(); ++i) {
      const ChunkRange range{from, i < cuts.size() ? std::optional(cuts[i]) : std::nullopt};
      const Status status = reader->Read(table, range, [&](std::span<const Value> row) -> Status {
        EXPECT_TRUE(range.Holds(*KeyOrdinal(row[0]))) << ToDisplay(row[0]);
        pieces.push_back(ToDisplay(row[0]) + "|" + ToDisplay(row[1]));
        return {};
      });
      ASSERT_TRUE(status.has_value()) << Why(status.error());
      from = range.to;
    }
    std::sort(whole.begin(), whole.end());
    std::sort(pieces.begin(), pieces.end());
    EXPECT_EQ(whole, pieces);

    const auto span = source_->ReadKeySpan(table);
    ASSERT_TRUE(span.has_value()) << Why(span.error());
    ASSERT_TRUE(span->has_value());
  }
};

TEST_P(RangesTest, ChunksPartitionEveryKindOfKey) {
  const auto unsigned_ordinal = [](uint64_t key) { return *KeyOrdinal(Value::Uint(key)); };
  ExpectPartition("INT", {"-2147483648", "-1", "0", "1", "99", "100", "101", "2147483647"}, {-5, 0, 100, 101});
  ExpectPartition("BIGINT", {"-9223372036854775808", "-9223372036854775807", "0", "9223372036854775807"},
                  {INT64_MIN, INT64_MIN + 1, 0, INT64_MAX});
  ExpectPartition("BIGINT UNSIGNED", {"0", "1", "9223372036854775807", "9223372036854775808", "18446744073709551615"},
                  {unsigned_ordinal(1), unsigned_ordinal(9223372036854775807ULL), 0, unsigned_ordinal(UINT64_MAX)});
  ExpectPartition("TINYINT UNSIGNED", {"0", "127", "128", "255"}, {unsigned_ordinal(128), unsigned_ordinal(300)});
  ExpectPartition("DATE",
                  {"'0000-00-00'", "'0000-01-00'", "'2020-00-00'", "'2020-02-00'", "'2020-02-29'", "'2020-03-01'",
                   "'2020-12-31'", "'9999-12-31'"},
                  {PackDate(0, 1, 0), PackDate(2020, 0, 1), PackDate(2020, 2, 28), PackDate(2020, 2, 29),
                   PackDate(2020, 2, 30), PackDate(2020, 3, 1), PackDate(2021, 1, 1), 0});
  ExpectPartition("YEAR", {"0", "1901", "2000", "2155"}, {0, 1, 50, 1901, 2000, 2001, 2156});
}

TEST_P(RangesTest, KeySpans) {
  Do("CREATE TABLE s (k BIGINT PRIMARY KEY) ENGINE=InnoDB");
  Do("CREATE TABLE u (k INT UNSIGNED PRIMARY KEY) ENGINE=InnoDB");
  Do("CREATE TABLE d (k DATE PRIMARY KEY) ENGINE=InnoDB");
  EXPECT_EQ(*source_->ReadKeySpan(Schema("s")), std::nullopt);
  Do("INSERT INTO s VALUES (-7), (3), (12)");
  Do("INSERT INTO u VALUES (5), (4000000000)");
  Do("INSERT INTO d VALUES ('0000-00-00'), ('2024-05-06')");
  EXPECT_EQ(*source_->ReadKeySpan(Schema("s")), (KeySpan{-7, 12}));
  EXPECT_EQ(*source_->ReadKeySpan(Schema("u")),
            (KeySpan{*KeyOrdinal(Value::Uint(5)), *KeyOrdinal(Value::Uint(4'000'000'000))}));
  EXPECT_EQ(*source_->ReadKeySpan(Schema("d")), (KeySpan{0, PackDate(2024, 5, 6)}));
}

INSTANTIATE_ON_SERVERS(RangesTest);

}  // namespace
}  // namespace crossfade::snapshot
