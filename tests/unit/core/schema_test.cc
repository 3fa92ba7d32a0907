#include "core/schema.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace crossfade {
namespace {

// Every field differs from its default somewhere.
TableSchema FullTable() {
  TableSchema table;
  table.database = "shop";
  table.name = "bestellung";
  Column id{.name = "id", .type = ColumnType::kInt, .source_type = "bigint(20) unsigned", .nullable = false};
  id.is_unsigned = true;
  id.auto_increment = true;
  id.bits = 64;
  Column price{.name = "price", .type = ColumnType::kDecimal};
  price.precision = 65;
  price.scale = 30;
  price.default_value = "0.00";
  Column state{.name = "state", .type = ColumnType::kEnum};
  state.charset = "utf8mb4";
  state.collation = "utf8mb4_uca1400_ai_ci";
  state.labels = {"", "open",
                  "geschlo\xc3\x9f"
                  "en"};
  state.default_value = "";
  Column changed{.name = "changed", .type = ColumnType::kTimestamp};
  changed.fraction = 6;
  changed.default_value = "current_timestamp(6)";
  changed.default_is_expression = true;
  changed.invisible = true;
  Column half{.name = "half", .type = ColumnType::kDouble};
  half.generated = GeneratedKind::kStored;
  half.generation_expression = "`price` / 2";
  half.comment = "worked out";
  half.length = uint64_t{1} << 40;
  Column span{.name = "span", .type = ColumnType::kNative, .source_type = "tstzrange"};
  span.of_postgres = true;
  table.columns = {id, price, state, changed, half, span};
  table.primary_key = {{.column = 0}};
  table.keys = {{.name = "k", .unique = true, .parts = {{.column = 2, .prefix = 10, .descending = true}}},
                {.name = "f", .parts = {{.column = 2}}, .method = "FULLTEXT"}};
  table.foreign_keys = {{.name = "fk",
                         .columns = {0, 1},
                         .parent_table = "kunde",
                         .parent_columns = {"a", "b"},
                         .on_delete = ReferenceAction::kSetNull,
                         .on_update = ReferenceAction::kCascade}};
  table.engine = "InnoDB";
  table.comment = "orders";
  table.checks = {"`price` >= 0"};
  return table;
}

TEST(TableSchema, ComesBackEqual) {
  for (const TableSchema& table : {FullTable(), TableSchema()}) {
    const std::string bytes = table.Encode();
    const Result<TableSchema> decoded = TableSchema::Decode(bytes);
    ASSERT_TRUE(decoded) << decoded.error().ToString();
    EXPECT_EQ(*decoded, table);
    EXPECT_EQ(decoded->Encode(), bytes);
  }
}

TEST(TableSchema, EmptyAndMissingDefaultsAreTwoThings) {
  TableSchema with = FullTable();
  with.columns[2].default_value = "";
  TableSchema without = FullTable();
  without.columns[2].default_value = std::nullopt;
  EXPECT_NE(with, without);
  EXPECT_NE(with.Encode(), without.Encode());
  EXPECT_EQ(TableSchema::Decode(without.Encode())->columns[2].default_value, std::nullopt);
}

TEST(TableSchema, EveryTruncationIsAnError) {
  const std::string bytes = FullTable().Encode();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const Result<TableSchema> decoded = TableSchema::Decode({cut.data(), cut.size()});
    ASSERT_FALSE(decoded) << size;
    EXPECT_EQ(decoded.error().code, "CF1002");
    EXPECT_EQ(decoded.error().error_class, ErrorClass::kCorrupt);
  }
  EXPECT_FALSE(TableSchema::Decode(bytes + '\0'));
}

TEST(TableSchema, AnyBytesAreSafe) {
  const std::string bytes = FullTable().Encode();
  std::mt19937 random(20240229);
  for (int round = 0; round < 5000; ++round) {
    std::vector<char> hostile(bytes.begin(), bytes.end());
    for (int flips = 0; flips < 4; ++flips) {
      hostile[random() % hostile.size()] = static_cast<char>(random());
    }
    (void)TableSchema::Decode({hostile.data(), hostile.size()});
  }
}

TEST(TableSchema, LaterVersionIsRefused) {
  std::string bytes = FullTable().Encode();
  bytes[0] = 2;
  EXPECT_FALSE(TableSchema::Decode(bytes));
}

TEST(TableSchema, FindsColumnsByTheirExactName) {
  const TableSchema table = FullTable();
  EXPECT_EQ(table.FindColumn("price"), 1u);
  EXPECT_EQ(table.FindColumn("Price"), std::nullopt);
  EXPECT_EQ(table.QualifiedName(), "shop.bestellung");
}

TEST(ColumnTypeName, EveryTypeHasOne) {
  for (int type = 1; type <= static_cast<int>(ColumnType::kVector); ++type) {
    EXPECT_NE(ColumnTypeName(static_cast<ColumnType>(type)), "?") << type;
  }
  EXPECT_EQ(ColumnTypeName(ColumnType::kVector), "vector");
  EXPECT_EQ(ColumnTypeName(static_cast<ColumnType>(200)), "?");
}

}  // namespace
}  // namespace crossfade
