#include "verify/outcome.h"

#include <gtest/gtest.h>

namespace crossfade::verify {
namespace {

ShownDifference Wide(size_t bytes) {
  ShownDifference difference;
  difference.key = "id=1";
  difference.cells.push_back({"c", std::string(bytes, 'x'), ""});
  return difference;
}

TEST(OutcomeTest, WhatIsShownHasALimitInBytes) {
  TableOutcome table;
  const ShownLimits limits{1000, 10'000};
  for (int i = 0; i < 100; ++i) {
    TableOutcome part;
    part.missing = 1;
    part.ShowDifference(Wide(1000), limits);
    table.Add(std::move(part), limits);
  }
  EXPECT_EQ(table.missing, 100);
  EXPECT_GT(table.shown.size(), 3u);
  EXPECT_LT(table.shown.size(), 10u);
  EXPECT_LE(table.shown_bytes, limits.bytes);
  EXPECT_TRUE(table.ShowUndecided("id=1", limits));
  EXPECT_FALSE(table.ShowUndecided(std::string(9000, 'k'), limits));
}

TEST(OutcomeTest, TheFirstIsShownHoweverLargeItIs) {
  TableOutcome table;
  EXPECT_TRUE(table.ShowDifference(Wide(1'000'000), {1000, 10}));
  EXPECT_FALSE(table.ShowDifference(Wide(1), {1000, 10}));
}

TEST(OutcomeTest, ManyTablesShareTheRoom) {
  EXPECT_EQ(ShownLimits::ForEachOf(1, 7).rows, 7u);
  EXPECT_EQ(ShownLimits::ForEachOf(1, 7).bytes, 2u << 20);
  EXPECT_LE(ShownLimits::ForEachOf(1000, 7).bytes * 1000, 16u << 20);
}

TEST(OutcomeTest, NoMoreRowsAreShownThanAskedFor) {
  TableOutcome table;
  EXPECT_TRUE(table.ShowDifference(Wide(1), {1, 1000}));
  EXPECT_FALSE(table.ShowDifference(Wide(1), {1, 1000}));
}

}  // namespace
}  // namespace crossfade::verify
