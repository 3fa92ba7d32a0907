#include "snapshot/postgres/row_text.h"

#include <gtest/gtest.h>

namespace crossfade::snapshot {
namespace {

TableSchema TextTable(size_t columns) {
  TableSchema table;
  table.database = "s";
  table.name = "t";
  for (size_t i = 0; i < columns; ++i) {
    Column column{.name = "c", .type = ColumnType::kText};
    column.of_postgres = true;
    table.columns.push_back(column);
  }
  return table;
}

std::string Shown(const Result<std::span<const Value>>& row) {
  if (!row) {
    return row.error().code;
  }
  std::string text;
  for (size_t i = 0; i < row->size(); ++i) {
    text += (i == 0 ? "" : "|") + ((*row)[i].is_null() ? "NULL" : std::string((*row)[i].bytes));
  }
  return text;
}

TEST(RowText, TakesLinesApart) {
  const TableSchema table = TextTable(3);
  RowText rows(table);
  EXPECT_EQ(Shown(rows.FromLine("a\tb\tc")), "a|b|c");
  EXPECT_EQ(Shown(rows.FromLine("\t\t")), "||");
  EXPECT_EQ(Shown(rows.FromLine("\\N\t\\\\N\tN")), "NULL|\\N|N");
  EXPECT_EQ(Shown(rows.FromLine("\\t\\n\\r\t\\b\\f\\v\t\\\\\\\\x")), "\t\n\r|\b\f\v|\\\\x");
  const TableSchema one = TextTable(1);
  EXPECT_EQ(Shown(RowText(one).FromLine("")), "");
}

TEST(RowText, RefusesLinesOfAnotherTable) {
  const TableSchema table = TextTable(2);
  RowText rows(table);
  EXPECT_EQ(Shown(rows.FromLine("a")), "CF1641");
  EXPECT_EQ(Shown(rows.FromLine("a\tb\tc")), "CF1641");
  const std::optional<std::string_view> fields[] = {"a", std::nullopt, "c"};
  EXPECT_EQ(Shown(rows.FromFields(fields)), "CF1641");
  EXPECT_EQ(Shown(rows.FromFields(std::span(fields).first(2))), "a|NULL");
}

TEST(RowText, ReadsNoGeneratedColumn) {
  TableSchema table = TextTable(3);
  table.columns[1].generated = GeneratedKind::kStored;
  EXPECT_EQ(ReadColumns(table), (std::vector<uint32_t>{0, 2}));
  RowText rows(table);
  const auto row = rows.FromLine("a\tc");
  ASSERT_TRUE(row);
  EXPECT_TRUE((*row)[1].is_absent());
  EXPECT_EQ((*row)[2].bytes, "c");
}

}  // namespace
}  // namespace crossfade::snapshot
