#include "snapshot/mysql/select.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/value.h"

namespace crossfade::snapshot {
namespace {

TableSchema Table(ColumnType type, bool is_unsigned = false) {
  TableSchema table;
  table.database = "my`db";
  table.name = "t";
  Column key;
  key.name = "k`1";
  key.type = type;
  key.is_unsigned = is_unsigned;
  Column other;
  other.name = "select";
  table.columns = {other, key};
  table.primary_key = {KeyPart{1, 0, false}};
  return table;
}

std::string Where(const TableSchema& table, const ChunkRange& range) {
  const std::string sql = SelectRows(table, range);
  return sql.substr(sql.find("WHERE ") + 6);
}

TEST(Select, NamesEveryColumnAndQuotes) {
  EXPECT_EQ(SelectRows(Table(ColumnType::kInt), {}), "SELECT `select`,`k``1` FROM `my``db`.`t`");
  EXPECT_EQ(SelectKeyEnd(Table(ColumnType::kInt), KeyEnd::kLargest),
            "SELECT `k``1` FROM `my``db`.`t` FORCE INDEX (PRIMARY) ORDER BY `k``1` DESC LIMIT 1");
}

TEST(Select, RangesAreHalfOpen) {
  const TableSchema table = Table(ColumnType::kInt);
  EXPECT_EQ(Where(table, {std::nullopt, 10}), "`k``1` < 10");
  EXPECT_EQ(Where(table, {-5, 10}), "`k``1` >= -5 AND `k``1` < 10");
  EXPECT_EQ(Where(table, {10, std::nullopt}), "`k``1` >= 10");
  EXPECT_EQ(Where(table, {std::numeric_limits<int64_t>::min(), std::nullopt}), "`k``1` >= -9223372036854775808");
}

TEST(Select, UnsignedKeysAreShiftedBack) {
  const TableSchema table = Table(ColumnType::kInt, true);
  const auto ordinal = [](uint64_t key) { return *KeyOrdinal(Value::Uint(key)); };
  EXPECT_EQ(Where(table, {ordinal(0), ordinal(5)}), "`k``1` >= 0 AND `k``1` < 5");
  EXPECT_EQ(Where(table, {ordinal(18446744073709551615ULL), std::nullopt}), "`k``1` >= 18446744073709551615");
}

TEST(Select, DatesAreLiteralsWhereTheyAreReal) {
  const TableSchema table = Table(ColumnType::kDate);
  EXPECT_EQ(Where(table, {PackDate(2020, 2, 29), PackDate(2021, 1, 1)}),
            "`k``1` >= '2020-02-29' AND `k``1` < '2021-01-01'");
  EXPECT_EQ(Where(table, {PackDate(2020, 2, 30), std::nullopt}),
            "(YEAR(`k``1`) * 13 + MONTH(`k``1`)) * 32 + DAYOFMONTH(`k``1`) >= 840414");
  EXPECT_EQ(PackDate(2020, 2, 30), 840414);
}

TEST(Select, YearsAreNeverTakenForTwoDigits) {
  const TableSchema table = Table(ColumnType::kYear);
  EXPECT_EQ(Where(table, {1, 2000}), "`k``1` >= 1901 AND `k``1` < 2000");
  EXPECT_EQ(Where(table, {0, 2156}), "`k``1` + 0 >= 0 AND `k``1` + 0 < 2156");
}

}  // namespace
}  // namespace crossfade::snapshot
