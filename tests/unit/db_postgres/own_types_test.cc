// Columns of a PostgreSQL source: the target has the same type, and the same bytes.
#include <gtest/gtest.h>

#include "db/postgres/catalog.h"
#include "db/postgres/type_map.h"
#include "db/postgres/value_text.h"
#include "server.h"

namespace crossfade::postgres {
namespace {

class OwnTypesTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    if (connection_) {
      Run("DROP SCHEMA IF EXISTS cf_own CASCADE; CREATE SCHEMA cf_own");
      Run("CREATE TYPE cf_own.mood AS ENUM ('sad', 'glad'); CREATE TYPE cf_own.both AS (a int, b text)");
    }
  }
  void TearDown() override {
    if (connection_) {
      Run("DROP SCHEMA IF EXISTS cf_own CASCADE");
    }
  }

  Column ColumnOf(const std::string& type) {
    Run("DROP TABLE IF EXISTS cf_own.t; CREATE TABLE cf_own.t (c " + type + ")");
    auto other = Connect();
    auto catalog = ReadCatalog(*other, "cf_own");
    EXPECT_TRUE(catalog) << catalog.error().ToString();
    return catalog->tables.at(0).schema.columns.at(0);
  }

  // The server's text, read and written again in binary form, is the server's own binary form; which reads back as the
  // same value; and is stored as the same, as a single parameter and as an element of an array.
  void ExpectSame(const std::string& type, const std::vector<std::string>& literals) {
    const Column column = ColumnOf(type);
    const auto mapped = MapType(column, {});
    ASSERT_TRUE(mapped) << mapped.error().ToString();
    EXPECT_EQ(
        Ask("SELECT format_type(to_regtype('" + mapped->sql + "'), NULL)"),
        Ask("SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'cf_own.t'::regclass AND attnum"
            " = 1"));
    for (const std::string& literal : literals) {
      Run("TRUNCATE cf_own.t; INSERT INTO cf_own.t VALUES (" + literal + ")");
      std::string text;
      ASSERT_TRUE(connection_->QueryText("SELECT c FROM cf_own.t", {}, [&](auto fields) -> Status {
        text = *fields[0];
        return {};
      }));
      std::string storage;
      const auto value = ValueFromText(column, text, &storage);
      ASSERT_TRUE(value) << type << " " << literal << ": " << value.error().ToString();
      std::string field;
      ASSERT_TRUE(AppendField(*mapped, column, {}, *value, &field)) << type << " " << literal;
      std::string server;
      ASSERT_TRUE(connection_->QueryBinary("SELECT " + SelectedAs(*mapped, "c") + " FROM cf_own.t", {},
                                           [&](std::string_view fields) -> Status {
                                             server = fields;
                                             return {};
                                           }));
      EXPECT_EQ(field, server) << type << " " << literal;
      std::string again;
      const auto decoded = DecodeField(*mapped, column, std::string_view(server).substr(4), &again);
      ASSERT_TRUE(decoded) << type << " " << literal << ": " << decoded.error().ToString();
      EXPECT_TRUE(Identical(*value, *decoded)) << type << " " << literal << ": " << ToDisplay(*decoded);
      ArrayBuilder array;
      array.Begin(*mapped);
      ASSERT_TRUE(array.Append(column, {}, *value));
      ASSERT_TRUE(array.Append(column, {}, Value::Null()));
      const std::string cast = mapped->array_cast.empty() ? "" : "::" + mapped->array_cast;
      const Parameter parameters[] = {{mapped->array_oid, array.Finish()}};
      Run("TRUNCATE cf_own.t");
      const Status stored = connection_->QueryBinary(
          "INSERT INTO cf_own.t SELECT v" + cast + " FROM unnest($1::" + mapped->array_sql + ") AS u(v)", parameters,
          [](std::string_view) -> Status { return {}; });
      ASSERT_TRUE(stored) << type << " " << literal << ": " << stored.error().ToString();
      std::vector<std::string> texts;
      ASSERT_TRUE(connection_->QueryText("SELECT c FROM cf_own.t", {}, [&](auto fields) -> Status {
        texts.push_back(fields[0] ? std::string(*fields[0]) : "(null)");
        return {};
      }));
      EXPECT_EQ(texts, (std::vector<std::string>{text, "(null)"})) << type << " " << literal;
    }
  }
};

TEST_F(OwnTypesTest, Numbers) {
  ExpectSame("boolean", {"true", "false"});
  ExpectSame("smallint", {"-32768", "32767"});
  ExpectSame("integer", {"-2147483648", "2147483647"});
  ExpectSame("bigint", {"-9223372036854775808", "9223372036854775807"});
  ExpectSame("oid", {"0", "4294967295"});
  ExpectSame("real", {"'NaN'", "'-Infinity'", "1e-45", "0.1", "'-0'"});
  ExpectSame("double precision", {"'NaN'", "'Infinity'", "5e-324", "0.1", "'-0'"});
  ExpectSame("numeric(20,5)", {"0", "-1.5", "'NaN'", "123456789012345.67891"});
  ExpectSame("numeric", {"0", "0.000", "-1.50", "1.5", "'NaN'", "'Infinity'", "'-Infinity'", "1e1000", "1e-500",
                         "10000", "0.00010000", "-99999999.9999"});
  ExpectSame("bit(9)", {"B'000000001'", "B'111111111'"});
  ExpectSame("bit", {"B'1'"});
  ExpectSame("bit(64)", {"repeat('1', 64)::bit(64)"});
}

TEST_F(OwnTypesTest, TimesOfAllAges) {
  ExpectSame("date", {"'4714-11-24 BC'", "'0001-12-31 BC'", "'0001-01-01'", "'2000-01-01'", "'5874897-12-31'",
                      "'infinity'", "'-infinity'"});
  ExpectSame("time", {"'00:00'", "'24:00'", "'12:34:56.789012'"});
  ExpectSame("time(2)", {"'12:34:56.78'"});
  ExpectSame("timestamp", {"'4714-11-24 BC'", "'0044-03-15 12:00:00.000001 BC'", "'1999-12-31 23:59:59.999999'",
                           "'161318-12-31'", "'infinity'", "'-infinity'"});
  ExpectSame("timestamp(3)", {"'2024-02-29 12:34:56.789'"});
  ExpectSame("timestamptz", {"'4714-11-24 00:00+00 BC'", "'1969-12-31 23:59:59.999999+00'", "'2024-02-29 12:00+05:30'",
                             "'161318-12-31 00:00+00'", "'infinity'", "'-infinity'"});
  ExpectSame("timestamptz(0)", {"'2024-02-29 12:00+00'"});
}

TEST_F(OwnTypesTest, TextAndBytes) {
  ExpectSame("text", {"''", "E'a\\tb'", "'\xc3\xa4'"});
  ExpectSame("varchar", {"'a '"});
  ExpectSame("varchar(5)", {"'a '", "'     '"});
  ExpectSame("char(5)", {"'a'", "''", "' a'"});
  ExpectSame("char", {"'x'"});
  ExpectSame("bpchar", {"'a  '"});
  ExpectSame("bytea", {"'\\x'", "'\\x00ff5c'"});
  ExpectSame("json", {"'{\"b\" : 1, \"b\":2}'"});
  ExpectSame("jsonb", {"'{\"b\" : 1.00, \"a\": [null, \"\\\\u005cu0000\"]}'", "'1.0'", "'\"x\"'"});
  ExpectSame("uuid", {"'00112233-4455-6677-8899-aabbccddeeff'"});
}

TEST_F(OwnTypesTest, NativeTypes) {
  ExpectSame("integer[]", {"'{}'", "'{{1,NULL},{3,4}}'", "'[0:1]={5,6}'"});
  ExpectSame("text[]", {"array['a,b', E'\"\\\\', NULL, 'NULL', '']"});
  ExpectSame("numeric(5,2)[]", {"'{1.5,NaN}'"});
  ExpectSame("interval", {"'1 year -2 days 03:04:05.678901'", "'0'", "'-1 mon +2 days -00:00:01'"});
  ExpectSame("interval(2)", {"'00:00:01.25'"});
  ExpectSame("timetz", {"'12:34:56.789+05:30'"});
  ExpectSame("money", {"-1234.56", "0"});
  ExpectSame("xml", {"'<a>1</a>'", "'x<b/>'"});
  ExpectSame("tsvector", {"'''a b'':1A c:2'"});
  ExpectSame("inet", {"'10.0.0.1'", "'10.0.0.1/24'", "'::1'"});
  ExpectSame("cidr", {"'10.0.0.0/8'"});
  ExpectSame("macaddr", {"'08:00:2b:01:02:03'"});
  ExpectSame("bit varying(9)", {"B''", "B'101'"});
  ExpectSame("bit(65)", {"repeat('10', 33)::varbit::bit(65)"});
  ExpectSame("\"char\"", {"'x'"});
  ExpectSame("name", {"'n'"});
  ExpectSame("point", {"'(1.5,-0)'"});
  ExpectSame("int4range", {"'[1,5)'", "'empty'", "'(,)'"});
  ExpectSame("tstzrange", {"'[2024-01-01 00:00+00,)'"});
  ExpectSame("int4multirange", {"'{[1,2),[5,7)}'"});
  ExpectSame("cf_own.mood", {"'sad'", "'glad'"});
  ExpectSame("cf_own.mood[]", {"'{sad,glad}'"});
  ExpectSame("cf_own.both", {"row(1, 'a \"b\" (c,d)')", "row(NULL, '')"});
}

TEST_F(OwnTypesTest, DatesOfChunkLimits) {
  EXPECT_EQ(Ask("SELECT " + DateLiteral(kDateMinusInfinity)), "4714-11-24 BC");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(PackDate(0, 2, 29))), "0001-02-29 BC");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(PackDate(-43, 3, 15))), "0044-03-15 BC");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(PackDate(2023, 2, 29))), "2023-03-01");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(PackDate(2023, 4, 31))), "2023-05-01");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(PackDate(2023, 0, 17))), "2023-01-01");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(PackDate(2023, 7, 0))), "2023-07-01");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(PackDate(5874897, 12, 31))), "5874897-12-31");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(PackDate(5874897, 12, 31) + 1)), "infinity");
  EXPECT_EQ(Ask("SELECT " + DateLiteral(kDateInfinity)), "infinity");
}

}  // namespace
}  // namespace crossfade::postgres
