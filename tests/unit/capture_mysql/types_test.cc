// Every type, through the log, beside what the server's own SELECT says of the same rows.
#include <fmt/format.h>

#include <cstdlib>

#include "server.h"

namespace crossfade::capture {
namespace {

struct TypeCase {
  std::string type;
  std::vector<std::string> values;  // SQL expressions
};

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    hex += fmt::format("{:02X}", static_cast<uint8_t>(c));
  }
  return hex;
}

// What the server is asked for, so that its answer can be compared letter by letter.
std::string Expression(const Column& column) {
  switch (column.type) {
    case ColumnType::kBit:
      return "v+0";
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kText:
    case ColumnType::kEnum:
    case ColumnType::kSet:
    case ColumnType::kJsonText:
      return "HEX(CONVERT(v USING utf8mb4))";
    case ColumnType::kJson:
      return "HEX(CAST(v AS CHAR))";
    case ColumnType::kBinary:
    case ColumnType::kVarbinary:
    case ColumnType::kBlob:
    case ColumnType::kGeometry:
    case ColumnType::kVector:
      return "HEX(v)";
    case ColumnType::kUuid:
      return "HEX(CAST(v AS BINARY(16)))";
    case ColumnType::kInet4:
    case ColumnType::kInet6:
      return "HEX(INET6_ATON(v))";
    default:
      return "CAST(v AS CHAR)";
  }
}

std::string Fraction(int64_t micros, uint8_t digits) {
  return digits == 0 ? "" : "." + fmt::format("{:06}", micros % 1'000'000).substr(0, digits);
}

std::string TimeText(int64_t micros, uint8_t digits) {
  return fmt::format("{:02}:{:02}:{:02}", micros / 3'600'000'000, micros / 60'000'000 % 60, micros / 1'000'000 % 60) +
         Fraction(micros, digits);
}

std::string DateText(int64_t packed) {
  const CivilDate date = UnpackDate(packed);
  return fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
}

std::string Render(const OwnedValue& owned, const Column& column) {
  const Value& value = owned.value;
  switch (value.kind) {
    case ValueKind::kAbsent:
      return "absent";
    case ValueKind::kNull:
      return "NULL";
    case ValueKind::kInt:
      return column.type == ColumnType::kYear ? fmt::format("{:04}", value.i) : fmt::format("{}", value.i);
    case ValueKind::kUint:
    case ValueKind::kBits:
      return fmt::format("{}", value.u);
    case ValueKind::kDecimal:
      return owned.bytes;
    case ValueKind::kDate:
      return DateText(value.i);
    case ValueKind::kTime:
      return (value.i < 0 ? "-" : "") + TimeText(std::abs(value.i), column.fraction);
    case ValueKind::kDateTime:
      return DateText(DateOfDateTime(value.i)) + " " + TimeText(MicrosOfDateTime(value.i), column.fraction);
    case ValueKind::kTimestamp: {
      if (value.i == kZeroTimestamp) {
        return "0000-00-00 " + TimeText(0, column.fraction);
      }
      const int64_t day = 86'400'000'000;
      const CivilDate date = CivilFromDays(value.i / day);
      return DateText(PackDate(date.year, date.month, date.day)) + " " + TimeText(value.i % day, column.fraction);
    }
    default:
      return Hex(owned.bytes);
  }
}

class TypesTest : public ServerTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (!Connect(GetParam(), "capture_types")) {
      GTEST_SKIP() << GetParam() << " is not set";
    }
    Run("SET sql_mode = ''");
  }

  // One table for each case, filled and emptied; each image is compared.
  void Compare(const std::vector<TypeCase>& cases, const std::string& engine_options = "") {
    for (size_t i = 0; i < cases.size(); ++i) {
      Run(fmt::format("CREATE TABLE t{} (id INT PRIMARY KEY, v {}) {}", i, cases[i].type, engine_options));
    }
    const Position from = Head();
    const auto options = SourceOptions();
    std::map<std::string, const Column*> columns;
    for (const TableSchema& table : options.tables) {
      columns[table.name] = &table.columns[1];
    }
    std::map<std::string, std::vector<std::string>> expected;
    for (size_t i = 0; i < cases.size(); ++i) {
      const std::string table = fmt::format("t{}", i);
      std::string sql = "INSERT INTO " + table + " VALUES (0, NULL)";
      for (size_t k = 0; k < cases[i].values.size(); ++k) {
        sql += fmt::format(", ({}, {})", k + 1, cases[i].values[k]);
      }
      Run(sql);
      auto rows = connection_->Rows(
          fmt::format("SELECT {}{} FROM {} ORDER BY id", Expression(*columns[table]),
                      columns[table]->type == ColumnType::kDouble || columns[table]->type == ColumnType::kFloat
                          ? ", CAST(v AS DOUBLE)"
                          : "",
                      table));
      ASSERT_TRUE(rows.has_value()) << rows.error().ToString();
      for (const auto& row : *rows) {
        expected[table].push_back(row.back().value_or("NULL"));
      }
      Run("DELETE FROM " + table);
    }
    const auto source = OpenSource(from);
    const Seen seen = ReadUntil(source.get(), Head(), flavor_);
    ASSERT_FALSE(seen.error) << seen.error->ToString();
    std::map<std::string, size_t> inserted;
    std::map<std::string, size_t> deleted;
    for (const SeenChange& change : seen.Changes()) {
      const bool insert = change.kind == ChangeKind::kInsert;
      const auto& image = insert ? change.after : change.before;
      size_t& count = (insert ? inserted : deleted)[change.table];
      ASSERT_LT(count, expected[change.table].size());
      const std::string& want = expected[change.table][count++];
      const Column& column = *columns[change.table];
      const Value& value = image[1].value;
      if (value.kind == ValueKind::kFloat || value.kind == ValueKind::kDouble) {
        const double got = value.kind == ValueKind::kFloat ? static_cast<double>(value.f) : value.d;
        EXPECT_EQ(got, std::strtod(want.c_str(), nullptr)) << column.source_type << " " << want;
      } else {
        EXPECT_EQ(Render(image[1], column), want) << column.source_type << " row " << count;
      }
    }
    for (const auto& [table, values] : expected) {
      EXPECT_EQ(inserted[table], values.size()) << table;
      EXPECT_EQ(deleted[table], values.size()) << table;
    }
  }
};

const std::vector<std::string> kTexts = {"''", "'a'", "'abc  '", "' x'", "'äöü€'", "REPEAT('x', 10)", "'q''\"\\\\z'"};

// MySQL's documents, among them kinds of values that JSON does not have.
const std::vector<std::string> kDocuments = {
    "'null'",
    "'true'",
    "'[0, 1, -1, 127, -128, 32767, -32768, 32768, 65535, 65536, -32769, 2147483647, -2147483648, 2147483648, "
    "4294967295, 4294967296, 9223372036854775807, -9223372036854775808, 9223372036854775808, 18446744073709551615]'",
    "'[0.0, -0.0, 1.0, 0.1, 1.5, 100.0, 123456789012345.0, 1234567890123456.0, 1e14, 1e15, 1e16, 1e17, 1e100, 1e-1, "
    "1e-14, 1e-15, 1e-16, 1.5e-15, 1.25e-300, 5e-324, 1.7976931348623157e308, 0.30000000000000004, 1e22, 1.5e15, "
    "123456.789e10, -2.5e-7, 9007199254740993.0, 3.141592653589793]'",
    "'{\"\": 1, \"bb\": 2, \"a\": 3, \"aa\": {\"x\": [], \"y\": {}}, \"ä\": \"ö\"}'",
    "JSON_ARRAY('quote\"', 'back\\\\', 'line\n', 'tab\t', CHAR(1 USING utf8mb4), CHAR(31, 127 USING utf8mb4), '/', "
    "CHAR(8, 12, 13 USING utf8mb4), '😀')",
    "JSON_ARRAY(CAST('2024-02-29' AS DATE), CAST('12:34:56' AS TIME), CAST('-12:34:56.789' AS TIME(3)), "
    "CAST('838:59:59' AS TIME), CAST('2024-02-29 23:59:59.123456' AS DATETIME(6)), "
    "CAST('2024-02-29 01:02:03' AS DATETIME))",
    "JSON_ARRAY(CAST(1.50 AS DECIMAL(10,3)), CAST(-0.001 AS DECIMAL(10,3)), CAST(0 AS DECIMAL(5,2)), "
    "12345678901234567890123456789.123, 1.0)",
    "JSON_ARRAY(x'', x'00', x'010203', REPEAT(x'41', 57), REPEAT(x'41', 58), REPEAT(x'FF', 200), b'101', "
    "CAST('a' AS BINARY(3)))",
    "JSON_ARRAY(CAST(ST_GeomFromText('POINT(1 2)') AS JSON), CAST(YEAR('2024-01-01') AS YEAR), "
    "TIMESTAMP('2024-02-29 01:02:03.5'))",
    "JSON_ARRAY(REPEAT('x', 127), REPEAT('y', 128), REPEAT('z', 20000))",
    "JSON_OBJECT('long', REPEAT('x', 70000), 'n', 17, 'm', 70000, 'b', TRUE, 'a', JSON_ARRAY(1, 'q', 100000))",
    "CONCAT('[', REPEAT('{\"a\": [1, 70000, -5, 2.5, null]}, ', 3000), '1]')",
    "CONCAT(REPEAT('[', 99), '1', REPEAT(']', 99))",
};

TEST_P(TypesTest, Numbers) {
  Compare({
      {"TINYINT", {"0", "1", "-1", "127", "-128"}},
      {"TINYINT UNSIGNED", {"0", "255", "128"}},
      {"SMALLINT", {"0", "-1", "32767", "-32768"}},
      {"SMALLINT UNSIGNED", {"0", "65535"}},
      {"MEDIUMINT", {"0", "-1", "8388607", "-8388608"}},
      {"MEDIUMINT UNSIGNED", {"0", "16777215", "8388608"}},
      {"INT", {"0", "-1", "2147483647", "-2147483648"}},
      {"INT UNSIGNED", {"0", "4294967295"}},
      {"BIGINT", {"0", "-1", "9223372036854775807", "-9223372036854775808"}},
      {"BIGINT UNSIGNED", {"0", "18446744073709551615"}},
      {"INT(1) ZEROFILL", {"0"}},
      {"BOOLEAN", {"TRUE", "FALSE"}},
      {"FLOAT", {"0", "1.5", "-3.4e38", "1e-30", "0.1", "123456.789"}},
      {"DOUBLE", {"0", "1.5", "-1.7976931348623157e308", "5e-324", "0.1", "123456789.123456789"}},
      {"DECIMAL(1,0)", {"0", "9", "-9"}},
      {"DECIMAL(10,2)", {"0", "-0.00", "0.01", "-0.01", "12345678.90", "-99999999.99", "100"}},
      {"DECIMAL(65,30)",
       {"0", "1", "-1", "12345678901234567890123456789012345.123456789012345678901234567890",
        "-99999999999999999999999999999999999.999999999999999999999999999999", "0.000000000000000000000000000001"}},
      {"DECIMAL(30,30)", {"0", "0.5", "-0.000000000000000000000000000001"}},
      {"DECIMAL(18,9) UNSIGNED", {"0", "999999999.999999999", "1.000000001"}},
      {"DECIMAL(5,0)", {"0", "-12345", "10000"}},
      {"DECIMAL(20,3)", {"-12345678901234567.123", "10", "1000000000"}},
      {"BIT(1)", {"b'0'", "b'1'"}},
      {"BIT(9)", {"b'0'", "b'111111111'", "b'100000000'"}},
      {"BIT(64)", {"0", "18446744073709551615", "b'1010'"}},
      {"YEAR", {"0", "1901", "2155", "2024"}},
  });
}

TEST_P(TypesTest, Times) {
  Compare({
      {"DATE", {"'2024-02-29'", "'0000-00-00'", "'2024-00-00'", "'2024-05-00'", "'1000-01-01'", "'9999-12-31'"}},
      {"TIME", {"'00:00:00'", "'838:59:59'", "'-838:59:59'", "'-00:00:01'", "'12:34:56'"}},
      {"TIME(1)", {"'00:00:00.1'", "'-00:00:00.1'", "'-12:34:56.9'"}},
      {"TIME(2)", {"'00:00:00.01'", "'-00:00:00.01'", "'-838:59:58.99'"}},
      {"TIME(3)", {"'00:00:00.001'", "'-00:00:00.001'", "'12:34:56.789'", "'-12:34:56.789'", "'-00:00:01.000'"}},
      {"TIME(4)", {"'00:00:00.0001'", "'-00:00:00.9999'"}},
      {"TIME(5)", {"'00:00:00.00001'", "'-00:00:00.00001'"}},
      {"TIME(6)", {"'00:00:00.000001'", "'-00:00:00.000001'", "'838:59:58.999999'", "'-838:59:58.999999'"}},
      {"DATETIME",
       {"'2024-02-29 23:59:59'", "'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'",
        "'2024-00-00 10:11:12'"}},
      {"DATETIME(1)", {"'2024-02-29 23:59:59.1'"}},
      {"DATETIME(2)", {"'2024-02-29 23:59:59.12'"}},
      {"DATETIME(3)", {"'2024-02-29 23:59:59.123'", "'0000-00-00 00:00:00.000'"}},
      {"DATETIME(4)", {"'2024-02-29 23:59:59.1234'"}},
      {"DATETIME(5)", {"'2024-02-29 23:59:59.12345'"}},
      {"DATETIME(6)", {"'2024-02-29 23:59:59.123456'", "'9999-12-31 23:59:59.999999'"}},
      {"TIMESTAMP NULL",
       {"'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2024-02-29 23:59:59'", "'0000-00-00 00:00:00'"}},
      {"TIMESTAMP(1) NULL", {"'2024-02-29 23:59:59.9'"}},
      {"TIMESTAMP(3) NULL", {"'2024-02-29 23:59:59.123'", "'0000-00-00 00:00:00.000'"}},
      {"TIMESTAMP(6) NULL", {"'2024-02-29 23:59:59.123456'", "'1970-01-01 00:00:01.000001'"}},
  });
}

TEST_P(TypesTest, TextsOfManyCharacterSets) {
  std::vector<TypeCase> cases;
  for (const std::string charset : {"utf8mb4", "utf8mb3", "latin1", "ascii", "ucs2", "utf16", "utf32", "cp1251",
                                    "latin2", "gbk", "big5", "sjis", "euckr", "koi8r"}) {
    for (const std::string type : {"CHAR(12)", "VARCHAR(20)", "VARCHAR(300)", "TEXT"}) {
      cases.push_back({type + " CHARACTER SET " + charset, kTexts});
    }
  }
  cases.push_back({"VARCHAR(20) CHARACTER SET gbk", {"'中文'"}});
  cases.push_back({"VARCHAR(20) CHARACTER SET sjis", {"'日本語'"}});
  cases.push_back({"CHAR(255) CHARACTER SET utf8mb4", {"REPEAT('€', 255)", "REPEAT('😀', 255)", "'x'"}});
  cases.push_back({"CHAR(100) CHARACTER SET utf8mb4", {"REPEAT('😀', 100)", "'x'"}});
  Compare(cases);
}

TEST_P(TypesTest, LongTextsBytesAndLabels) {
  Compare({
      {"TINYTEXT", {"''", "REPEAT('a', 255)"}},
      {"MEDIUMTEXT", {"''", "REPEAT('ab', 40000)"}},
      {"LONGTEXT", {"''", "REPEAT('abc', 700000)"}},
      {"VARCHAR(255) CHARACTER SET ascii", {"REPEAT('z', 255)"}},
      {"VARCHAR(256) CHARACTER SET ascii", {"REPEAT('z', 256)", "'short'"}},
      {"VARCHAR(16000)", {"REPEAT('z', 16000)", "'short'"}},
      {"BINARY(1)", {"x'00'", "x'FF'"}},
      {"BINARY(8)", {"x'0102000000000000'", "x''", "x'20'", "x'0102030405060708'"}},
      {"BINARY(255)", {"x'01'", "REPEAT(x'AB', 255)"}},
      {"VARBINARY(8)", {"x'010200'", "x''", "x'20'", "x'0000'"}},
      {"VARBINARY(300)", {"x'010200'", "REPEAT(x'AB', 300)"}},
      {"BLOB", {"x''", "x'00FF'", "REPEAT(x'00', 1000)"}},
      {"TINYBLOB", {"REPEAT(x'01', 255)"}},
      {"LONGBLOB", {"REPEAT(x'01', 70000)"}},
      {"ENUM('a','b','ä''ö','')", {"'a'", "'b'", "'ä''ö'", "''", "'nonsense'"}},
      {"ENUM('x','é') CHARACTER SET latin1", {"'x'", "'é'"}},
      {"SET('a','b','c','d')", {"''", "'a'", "'b,d'", "'a,b,c,d'", "'nonsense'"}},
      {"SET('1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17','18','19','20','21','22','23',"
       "'24','25','26','27','28','29','30','31','32','33','34','35','36','37','38','39','40','41','42','43','44','45',"
       "'46','47','48','49','50','51','52','53','54','55','56','57','58','59','60','61','62','63','64')",
       {"'64'", "'1,64'", "'33'"}},
      {"POINT", {"ST_GeomFromText('POINT(1 -2.5)')", "ST_GeomFromText('POINT(0 0)', 4326)"}},
      {"GEOMETRY",
       {"ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))')",
        "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))')"}},
  });
}

TEST_P(TypesTest, KindsOfOneServerOnly) {
  std::vector<TypeCase> cases = {
      {"JSON", {"'{\"b\": 1, \"a\": [1, 2.5, null, true]}'", "'[]'", "'\"x\"'", "'17'", "'{}'"}},
  };
  if (flavor_ == mysql::Flavor::kMariaDb) {
    cases.push_back({"UUID",
                     {"'123e4567-e89b-12d3-a456-426655440000'", "'0190163d-8694-739b-aea5-966c26f8ad91'",
                      "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffff00'"}});
    cases.push_back({"INET4", {"'1.2.3.4'", "'0.0.0.0'", "'255.255.255.0'", "'32.32.32.32'"}});
    cases.push_back({"INET6", {"'2001:db8::1'", "'::'", "'::ffff:1.2.3.4'", "'fe80::'"}});
    cases.push_back({"VARCHAR(500) COMPRESSED", {"''", "'abc'", "REPEAT('abc', 150)", "REPEAT('x', 500)"}});
    cases.push_back({"TEXT COMPRESSED", {"''", "'abc'", "REPEAT('abcä', 5000)"}});
    cases.push_back({"BLOB COMPRESSED", {"x''", "x'00'", "REPEAT(x'0102', 20000)"}});
    cases.push_back({"TINYTEXT COMPRESSED", {"REPEAT('abc', 80)"}});
  } else {
    cases.push_back({"VECTOR(3)", {"STRING_TO_VECTOR('[1,2,3.5]')", "STRING_TO_VECTOR('[-1,0,1e30]')"}});
    cases.push_back({"VECTOR", {"STRING_TO_VECTOR('[1,2,3.5,4]')"}});
    cases.push_back({"JSON", kDocuments});
  }
  Compare(cases);
}

INSTANTIATE_TEST_SUITE_P(Servers, TypesTest, ::testing::Values("CROSSFADE_TEST_MARIADB", "CROSSFADE_TEST_MYSQL"),
                         [](const auto& info) { return std::string(info.param).substr(15); });

}  // namespace
}  // namespace crossfade::capture
