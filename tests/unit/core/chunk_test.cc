#include "core/chunk.h"

#include <gtest/gtest.h>

#include <limits>

namespace crossfade {
namespace {

TEST(KeyOrdinal, KeepsTheOrderOfSignedNumbers) {
  std::optional<int64_t> before;
  for (const int64_t number : {std::numeric_limits<int64_t>::min(), int64_t{-1}, int64_t{0}, int64_t{1},
                               std::numeric_limits<int64_t>::max()}) {
    const std::optional<int64_t> ordinal = KeyOrdinal(Value::Int(number));
    ASSERT_TRUE(ordinal);
    EXPECT_TRUE(!before || *before < *ordinal);
    before = ordinal;
  }
}

TEST(KeyOrdinal, KeepsTheOrderOfUnsignedNumbers) {
  std::optional<int64_t> before;
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}, (uint64_t{1} << 63) - 1, uint64_t{1} << 63, UINT64_MAX}) {
    const std::optional<int64_t> ordinal = KeyOrdinal(Value::Uint(number));
    ASSERT_TRUE(ordinal);
    EXPECT_TRUE(!before || *before < *ordinal) << number;
    before = ordinal;
  }
  EXPECT_EQ(KeyOrdinal(Value::Uint(0)), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(KeyOrdinal(Value::Uint(UINT64_MAX)), std::numeric_limits<int64_t>::max());
}

TEST(KeyOrdinal, KeepsTheOrderOfDates) {
  const auto ordinal = [](int year, int month, int day) {
    return *KeyOrdinal(Value::OfInt(ValueKind::kDate, PackDate(year, month, day)));
  };
  EXPECT_LT(ordinal(0, 0, 0), ordinal(1999, 12, 31));
  EXPECT_LT(ordinal(1999, 12, 31), ordinal(2000, 0, 0));
  EXPECT_LT(ordinal(2000, 0, 0), ordinal(2000, 1, 1));
}

TEST(KeyOrdinal, OtherKindsHaveNone) {
  EXPECT_FALSE(KeyOrdinal(Value::Null()));
  EXPECT_FALSE(KeyOrdinal(Value::Absent()));
  EXPECT_FALSE(KeyOrdinal(Value::OfBytes(ValueKind::kText, "1")));
  EXPECT_FALSE(KeyOrdinal(Value::OfBytes(ValueKind::kDecimal, "1")));
  EXPECT_FALSE(KeyOrdinal(Value::Double(1)));
  EXPECT_FALSE(KeyOrdinal(Value::OfInt(ValueKind::kTimestamp, 1)));
}

TEST(ChunkRange, IsHalfOpen) {
  const ChunkRange range{.from = 10, .to = 20};
  EXPECT_FALSE(range.Holds(9));
  EXPECT_TRUE(range.Holds(10));
  EXPECT_TRUE(range.Holds(19));
  EXPECT_FALSE(range.Holds(20));
  EXPECT_FALSE(range.whole());
}

TEST(ChunkRange, OpenEndsHoldEverythingThere) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(ChunkRange().whole());
  EXPECT_TRUE(ChunkRange().Holds(kMin) && ChunkRange().Holds(kMax));
  EXPECT_TRUE((ChunkRange{.from = 10}).Holds(kMax));
  EXPECT_FALSE((ChunkRange{.from = 10}).Holds(kMin));
  EXPECT_TRUE((ChunkRange{.to = 10}).Holds(kMin));
  EXPECT_FALSE((ChunkRange{.to = 10}).Holds(kMax));
}

}  // namespace
}  // namespace crossfade
