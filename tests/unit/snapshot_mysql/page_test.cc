#include <algorithm>

#include "snapshot/mysql/select.h"
#include "tests/unit/snapshot_mysql/source_test.h"

namespace crossfade::snapshot {
namespace {

class PageTest : public SourceTest {
 protected:
  // Goes through `t` in pages of `max_rows` and gives the key of each row as text, in the order in which it came.
  std::vector<std::string> Pages(const std::vector<uint32_t>& key, uint64_t max_rows) {
    const TableSchema table = Schema("t");
    const auto reader = OpenReader();
    std::vector<std::string> shown;
    std::vector<std::string> storage(key.size());
    std::vector<Value> after;
    for (uint64_t rows = max_rows; rows == max_rows;) {
      rows = 0;
      std::vector<Value> next;
      std::vector<std::string> kept(key.size());
      const Status read = reader->ReadPage(table, key, after, max_rows, [&](std::span<const Value> row) -> Status {
        ++rows;
        std::string text;
        next.clear();
        for (size_t i = 0; i < key.size(); ++i) {
          text += (i == 0 ? "" : "|") + ToDisplay(row[key[i]]);
          next.push_back(row[key[i]]);
          kept[i] = next[i].bytes;
        }
        shown.push_back(text);
        return {};
      });
      EXPECT_TRUE(read.has_value()) << Why(read.error());
      if (!read || shown.size() > 100'000) {
        break;
      }
      storage = std::move(kept);
      after = std::move(next);
      for (size_t i = 0; i < after.size(); ++i) {
        after[i].bytes = storage[i];
      }
    }
    return shown;
  }

  // Each row comes once, whatever the size of the pages, and in one order.
  void ExpectAllOnce(const std::vector<uint32_t>& key, size_t count) {
    const std::vector<std::string> at_once = Pages(key, 1000);
    EXPECT_EQ(at_once.size(), count);
    for (const uint64_t rows : {1, 2, 3}) {
      EXPECT_EQ(Pages(key, rows), at_once) << rows;
    }
    std::vector<std::string> sorted = at_once;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
  }

  void Make(const std::string& columns, const std::string& values) {
    Do("DROP TABLE IF EXISTS t");
    Do("CREATE TABLE t (" + columns + ") ENGINE=InnoDB");
    Do("INSERT INTO t VALUES " + values);
  }
};

TEST_P(PageTest, TextsComeInTheOrderOfTheirCollation) {
  const char* const texts =
      "('b',1),('C',2),('\xC3\xA4',3),('Z',4),(' "
      "',5),('\xF0\x9F\x98\x80',6),('a''\\\\%_',7),('aa',8),('\xE4\xB8\xAD',9)";
  for (const char* collation : {"utf8mb4_general_ci", "utf8mb4_bin", "utf8mb4_unicode_ci"}) {
    Make(std::string("k VARCHAR(40) COLLATE ") + collation + " PRIMARY KEY, v INT", texts);
    ExpectAllOnce({0}, 9);
  }
  Make("k CHAR(10) CHARACTER SET latin1 PRIMARY KEY, v INT", "('b',1),('A',2),('\xC3\xA4',3),('\xC3\x9F',4),('',5)");
  ExpectAllOnce({0}, 5);
}

TEST_P(PageTest, OtherKinds) {
  Make("k VARBINARY(20) PRIMARY KEY, v INT", "(x'',1),(x'00',2),(x'0000',3),(x'ff',4),(x'27',5),(x'ff00',6)");
  ExpectAllOnce({0}, 6);
  Make("k BINARY(4) PRIMARY KEY, v INT", "(x'00',1),(x'01',2),(x'ffffffff',3),(x'20202020',4)");
  ExpectAllOnce({0}, 4);
  Make("k DECIMAL(65,30) PRIMARY KEY, v INT",
       "(-99999999999999999999999999999999999.999999999999999999999999999999,1),(0,2),(-1.5,3),"
       "(0.000000000000000000000000000001,4),(0.000000000000000000000000000002,5),(12,6)");
  ExpectAllOnce({0}, 6);
  Make("k DATETIME(6) PRIMARY KEY, v INT",
       "('0000-00-00',1),('2020-02-29 23:59:59.999999',2),('2020-02-29 "
       "23:59:59.999998',3),('2020-00-00',4),('9999-12-31',5)");
  ExpectAllOnce({0}, 5);
  Make("k TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6) PRIMARY KEY, v INT",
       "('0000-00-00',1),('1970-01-01 00:00:01.000001',2),('2038-01-19 03:14:07.999999',3)");
  ExpectAllOnce({0}, 3);
  Make("k TIME(6) PRIMARY KEY, v INT", "('-838:59:59',1),('-00:00:00.000001',2),('00:00:00',3),('25:00:00.5',4)");
  ExpectAllOnce({0}, 4);
  Make("k BIGINT UNSIGNED, d DATE, PRIMARY KEY (k, d)",
       "(18446744073709551615,'0000-00-00'),(18446744073709551615,'2020-02-00'),(0,'2020-01-01'),(0,'2019-12-31')");
  ExpectAllOnce({0, 1}, 4);
  if (mariadb()) {
    Make("k UUID PRIMARY KEY, v INT",
         "('ffffffff-0000-4000-8000-000000000001',1),('00000000-ffff-1000-8000-000000000002',2),"
         "('10000000-0000-1fff-8000-000000000003',3),('01890a5d-ac96-774b-bcce-b302099a8057',4)");
    ExpectAllOnce({0}, 4);
    Make("k INET6 PRIMARY KEY, v INT", "('::',1),('::1.2.3.4',2),('ffff::1',3)");
    ExpectAllOnce({0}, 3);
  }
}

TEST_P(PageTest, SeveralColumnsOthersThanTheFirstAndDownwards) {
  Make("v INT, n INT, k VARCHAR(20) COLLATE utf8mb4_general_ci, PRIMARY KEY (k, n)",
       "(0,2,'a'),(0,1,'a'),(0,1,'B'),(0,-5,'c'),(0,3,'C'),(0,7,'')");
  ExpectAllOnce({2, 1}, 6);
  EXPECT_EQ(Pages({2, 1}, 2).front(), "''|7");
  Make("k VARCHAR(20), n INT, v INT, PRIMARY KEY (k DESC, n)", "('a',2,0),('a',1,0),('b',1,0),('c',9,0)");
  ExpectAllOnce({0, 1}, 4);
  Make("v INT, k VARCHAR(20) NOT NULL, UNIQUE KEY `by ``k` (k)", "(1,'b'),(2,'a'),(3,'c')");
  ExpectAllOnce({1}, 3);
}

// Otherwise each page would read the table up to it, or all of it.
TEST_P(PageTest, APageIsARangeOfTheIndex) {
  const auto plan_of = [&](const std::vector<uint32_t>& key, const std::vector<Value>& after) {
    const auto quote = [&](std::string_view text) { return connection_->Literal(text); };
    const auto rows = connection_->Rows("EXPLAIN FORMAT=JSON " + SelectPage(Schema("t"), key, after, 10, quote));
    EXPECT_TRUE(rows.has_value()) << Why(rows.error());
    return rows ? rows->at(0).at(0).value_or("") : "";
  };
  const auto expect_range = [&](const std::string& plan) {
    EXPECT_TRUE(plan.find("\"access_type\": \"range\"") != std::string::npos ||
                plan.find("\"index_range_scan\"") != std::string::npos)
        << plan;
    for (const char* sorting : {"\"filesort\"", "\"using_filesort\": true", "\"Sort"}) {
      EXPECT_EQ(plan.find(sorting), std::string::npos) << plan;
    }
  };
  std::string values;
  for (int i = 0; i < 2000; ++i) {
    values += (i == 0 ? "('" : ",('") + std::to_string(i) + "'," + std::to_string(i) + ",0)";
  }
  Make("k VARCHAR(40), n INT, v INT, PRIMARY KEY (k, n)", values);
  const Value text = Value::OfBytes(ValueKind::kText, "1500");
  expect_range(plan_of({0, 1}, {text, Value::Int(1500)}));
  Make("k VARCHAR(40) CHARACTER SET latin1 PRIMARY KEY, n INT, v INT", values);
  expect_range(plan_of({0}, {text}));
  Make("k DECIMAL(20,3) PRIMARY KEY, n INT, v INT", values);
  expect_range(plan_of({0}, {Value::OfBytes(ValueKind::kDecimal, "1500.000")}));
  Make("k VARBINARY(20) PRIMARY KEY, n INT, v INT", values);
  expect_range(plan_of({0}, {Value::OfBytes(ValueKind::kBytes, "1500")}));
}

INSTANTIATE_ON_SERVERS(PageTest);

}  // namespace
}  // namespace crossfade::snapshot
