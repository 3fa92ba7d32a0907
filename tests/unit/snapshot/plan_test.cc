#include "snapshot/plan.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "tests/unit/snapshot/tables.h"

namespace crossfade::snapshot {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

std::vector<std::string> Order(const CopyPlan& plan) {
  std::vector<std::string> names;
  for (const PlannedTable& table : plan.tables) {
    names.push_back(table.table);
  }
  return names;
}

// Every ordinal is in one chunk and one only.
void ExpectPartition(const std::vector<ChunkRange>& chunks) {
  ASSERT_FALSE(chunks.empty());
  EXPECT_FALSE(chunks.front().from);
  EXPECT_FALSE(chunks.back().to);
  for (size_t i = 1; i < chunks.size(); ++i) {
    ASSERT_TRUE(chunks[i].from);
    EXPECT_EQ(chunks[i].from, chunks[i - 1].to);
    if (i > 1) {
      EXPECT_LT(*chunks[i - 1].from, *chunks[i].from);
    }
  }
}

TEST(Plan, CutsEvenlyAndLeavesTheEndsOpen) {
  const TableSchema table = SimpleTable("t");
  const CopyPlan plan = MakePlan({Facts(table, 1'000'000, KeySpan{1, 1'000'000})}, {});
  const PlannedTable& planned = plan.tables.front();
  ASSERT_EQ(planned.chunks.size(), 10U);
  ExpectPartition(planned.chunks);
  EXPECT_EQ(planned.chunks[0].to, 100'001);
  EXPECT_EQ(planned.chunks[9].from, 900'001);
  EXPECT_EQ(planned.one_piece, "");
}

TEST(Plan, CutsTheWholeRangeOfBigints) {
  const TableSchema table = SimpleTable("t");
  const CopyPlan plan = MakePlan({Facts(table, 400'000, KeySpan{kMin, kMax})}, {});
  ASSERT_EQ(plan.tables[0].chunks.size(), 4U);
  ExpectPartition(plan.tables[0].chunks);
  EXPECT_EQ(plan.tables[0].chunks[2].from, 0);
}

TEST(Plan, KeepsToTheLimitOfChunksAndToDistinctKeys) {
  const TableSchema table = SimpleTable("t");
  PlanOptions options;
  options.max_chunks = 7;
  EXPECT_EQ(MakePlan({Facts(table, 1'000'000'000, KeySpan{1, 1'000'000'000})}, options).tables[0].chunks.size(), 7U);
  // Three customers with millions of rows each.
  const CopyPlan few = MakePlan({Facts(table, 1'000'000'000, KeySpan{5, 7})}, {});
  EXPECT_EQ(few.tables[0].chunks.size(), 3U);
  ExpectPartition(few.tables[0].chunks);
  const CopyPlan one = MakePlan({Facts(table, 1'000'000'000, KeySpan{5, 5})}, {});
  EXPECT_EQ(one.tables[0].chunks.size(), 1U);
  EXPECT_NE(one.tables[0].one_piece, "");
}

TEST(Plan, DateCutsAreRealDates) {
  TableSchema table = SimpleTable("t");
  table.columns[0] = OtherColumn("day", ColumnType::kDate);
  const KeySpan span{0, PackDate(2030, 12, 31)};  // from the zero date
  const CopyPlan plan = MakePlan({Facts(table, 100'000'000, span)}, {});
  const auto& chunks = plan.tables[0].chunks;
  EXPECT_GT(chunks.size(), 900U);
  ExpectPartition(chunks);
  for (size_t i = 1; i < chunks.size(); ++i) {
    EXPECT_TRUE(IsRealDate(UnpackDate(*chunks[i].from))) << *chunks[i].from;
  }
}

TEST(Plan, SaysWhyATableIsReadInOnePiece) {
  TableSchema keyless = SimpleTable("keyless");
  keyless.primary_key.clear();
  TableSchema text = SimpleTable("text");
  text.columns[0] = OtherColumn("id", ColumnType::kVarchar);
  TableSchema uuid = SimpleTable("uuid");
  uuid.columns[0] = OtherColumn("id", ColumnType::kUuid);
  const TableSchema small = SimpleTable("small");
  const TableSchema empty = SimpleTable("void");
  const CopyPlan plan = MakePlan({Facts(keyless, 5'000'000), Facts(text, 5'000'000), Facts(uuid, 5'000'000),
                                  Facts(small, 100, KeySpan{1, 100}), Facts(empty, 200'000)},
                                 {});
  EXPECT_EQ(plan.Find("keyless")->one_piece, "no primary key");
  EXPECT_TRUE(plan.Find("keyless")->needs_exact_state());
  EXPECT_EQ(plan.Find("text")->one_piece, "text key");
  EXPECT_FALSE(plan.Find("text")->needs_exact_state());
  EXPECT_NE(plan.Find("uuid")->one_piece, "");
  EXPECT_EQ(plan.Find("small")->one_piece, "small");
  EXPECT_EQ(plan.Find("void")->one_piece, "empty");
  for (const PlannedTable& table : plan.tables) {
    ASSERT_EQ(table.chunks.size(), 1U);
    EXPECT_TRUE(table.chunks[0].whole());
  }
  EXPECT_NE(plan.ToString().find("text: about 5000000 rows, in one piece (text key)"), std::string::npos)
      << plan.ToString();
}

TEST(Plan, ParentsComeFirstThenLargeTables) {
  const TableSchema customers = SimpleTable("customers");
  const TableSchema orders = Child(SimpleTable("orders"), "customers");
  const TableSchema lines = Child(Child(SimpleTable("lines"), "orders"), "products");
  const TableSchema products = SimpleTable("products");
  const TableSchema log = Child(SimpleTable("log"), "not_copied");
  const CopyPlan plan =
      MakePlan({Facts(customers, 10), Facts(lines, 900), Facts(log, 500), Facts(orders, 50), Facts(products, 20)}, {});
  EXPECT_EQ(Order(plan), (std::vector<std::string>{"log", "products", "customers", "orders", "lines"}));
  EXPECT_EQ(plan.Find("lines")->parents, (std::vector<std::string>{"orders", "products"}));
  EXPECT_EQ(plan.Find("log")->level, 0U);
  EXPECT_EQ(plan.Find("lines")->level, 2U);
  EXPECT_FALSE(plan.Find("lines")->group);
}

TEST(Plan, CyclesAndSelfReferencesStayTogether) {
  const TableSchema tree = Child(SimpleTable("tree"), "tree");
  const TableSchema a = Child(Child(SimpleTable("a"), "b"), "tree");
  const TableSchema b = Child(SimpleTable("b"), "c");
  const TableSchema c = Child(SimpleTable("c"), "a");
  const TableSchema leaf = Child(SimpleTable("leaf"), "b");
  const TableSchema between = Child(SimpleTable("between"), "tree");
  const CopyPlan plan =
      MakePlan({Facts(a, 1), Facts(b, 100), Facts(between, 50), Facts(c, 1), Facts(leaf, 1000), Facts(tree, 1)}, {});
  EXPECT_EQ(Order(plan), (std::vector<std::string>{"tree", "b", "a", "c", "between", "leaf"}));
  EXPECT_EQ(plan.Find("a")->cycle, plan.Find("c")->cycle);
  EXPECT_NE(plan.Find("a")->cycle, plan.Find("between")->cycle);
  EXPECT_EQ(plan.Find("a")->parents, std::vector<std::string>{"tree"});
  EXPECT_TRUE(plan.Find("tree")->parents.empty());
}

TEST(Plan, TablesJoinedByActionsAreOneCopyGroup) {
  const TableSchema a = SimpleTable("a");
  const TableSchema b = Child(SimpleTable("b"), "a", ReferenceAction::kCascade);
  const TableSchema c = Child(SimpleTable("c"), "b", ReferenceAction::kSetNull);
  const TableSchema d = Child(SimpleTable("d"), "c");
  const TableSchema tree = Child(SimpleTable("tree"), "tree", ReferenceAction::kCascade);
  TableSchema outside = Child(SimpleTable("outside"), "not_copied", ReferenceAction::kCascade);
  const CopyPlan plan =
      MakePlan({Facts(a, 1), Facts(b, 1), Facts(c, 1), Facts(d, 1), Facts(tree, 1), Facts(outside, 1)}, {});
  ASSERT_TRUE(plan.Find("a")->group);
  EXPECT_EQ(plan.Find("a")->group, plan.Find("b")->group);
  EXPECT_EQ(plan.Find("a")->group, plan.Find("c")->group);
  EXPECT_FALSE(plan.Find("d")->group);
  ASSERT_TRUE(plan.Find("tree")->group);
  EXPECT_NE(plan.Find("tree")->group, plan.Find("a")->group);
  EXPECT_FALSE(plan.Find("outside")->group);
}

TEST(Plan, AnyForeignKeysGiveAnOrderWithParentsFirst) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    std::vector<TableSchema> schemas;
    for (int i = 0; i < 20; ++i) {
      schemas.push_back(SimpleTable("t" + std::to_string(i)));
      for (uint32_t keys = random() % 3; keys > 0; --keys) {
        schemas.back() = Child(schemas.back(), "t" + std::to_string(random() % 22));
      }
    }
    std::vector<TableFacts> facts;
    for (const TableSchema& schema : schemas) {
      facts.push_back(Facts(schema, random() % 100));
    }
    const CopyPlan plan = MakePlan(facts, {});
    std::set<std::string> seen;
    for (const PlannedTable& table : plan.tables) {
      for (const std::string& parent : table.parents) {
        EXPECT_TRUE(seen.contains(parent)) << parent << " before " << table.table;
      }
      seen.insert(table.table);
    }
    EXPECT_EQ(seen.size(), schemas.size());
  }
}

TEST(Plan, ALongChainOfTablesNeedsNoDeepStack) {
  std::vector<TableSchema> schemas;
  for (int i = 0; i < 20'000; ++i) {
    schemas.push_back(Child(SimpleTable("t" + std::to_string(i)), "t" + std::to_string(i + 1)));
  }
  std::vector<TableFacts> facts;
  for (const TableSchema& schema : schemas) {
    facts.push_back(Facts(schema, 1));
  }
  EXPECT_EQ(MakePlan(facts, {}).tables.back().level, 19'999U);
}

CopyPlan RichPlan() {
  static const TableSchema a = SimpleTable("a");
  static const TableSchema b = Child(SimpleTable("b"), "a", ReferenceAction::kCascade);
  static TableSchema c = SimpleTable("c");
  c.primary_key.clear();
  return MakePlan({Facts(a, 1'000'000, KeySpan{kMin, 5}), Facts(b, 500'000, KeySpan{1, 1000}), Facts(c, 7)}, {});
}

TEST(Plan, EncodingKeepsEverything) {
  const CopyPlan plan = RichPlan();
  const auto decoded = CopyPlan::Decode(plan.Encode());
  ASSERT_TRUE(decoded) << decoded.error().ToString();
  EXPECT_EQ(*decoded, plan);
  EXPECT_EQ(CopyPlan::Decode(CopyPlan().Encode()), CopyPlan());
}

TEST(Plan, DecodeRefusesWhatEncodeDidNotMake) {
  const std::string good = RichPlan().Encode();
  for (size_t length = 0; length < good.size(); ++length) {
    const auto cut = CopyPlan::Decode(std::string_view(good).substr(0, length));
    ASSERT_FALSE(cut) << length;
    EXPECT_EQ(cut.error().code, "CF1620");
    EXPECT_EQ(cut.error().error_class, ErrorClass::kCorrupt);
  }
  EXPECT_FALSE(CopyPlan::Decode(good + "x"));
  std::string other_version = good;
  other_version[0] = 2;
  EXPECT_FALSE(CopyPlan::Decode(other_version));
  // A count far beyond the bytes that are there.
  EXPECT_FALSE(CopyPlan::Decode(std::string("\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10)));
}

}  // namespace
}  // namespace crossfade::snapshot
