#include "verify/passage.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "verify/digest.h"

namespace crossfade::verify {
namespace {

using State = Passage::State;

const Digest kA = DigestOf("a");
const Digest kB = DigestOf("b");
const Digest kC = DigestOf("c");
const State kNone{};

State Row(const Digest& digest, uint64_t count = 1) { return {digest, count}; }

TEST(PassageTest, WithoutChangesBothSidesMustHoldTheSame) {
  const Passage none;
  EXPECT_TRUE(none.Explains(Row(kA), Row(kA), false));
  EXPECT_TRUE(none.Explains(kNone, kNone, false));
  EXPECT_FALSE(none.Explains(Row(kA), Row(kB), false));
  EXPECT_FALSE(none.Explains(Row(kA), kNone, false));
  EXPECT_FALSE(none.Explains(kNone, Row(kA), false));
}

TEST(PassageTest, ARowThatChangesAllTheTimeIsDecided) {
  Passage passage;
  passage.Replace(kA, kB);
  passage.Replace(kB, kC);
  EXPECT_TRUE(passage.Explains(Row(kA), Row(kA), false));
  EXPECT_TRUE(passage.Explains(Row(kB), Row(kA), false));
  EXPECT_TRUE(passage.Explains(Row(kC), Row(kA), false));
  // The target does not hold what the first change found.
  EXPECT_FALSE(passage.Explains(Row(kC), Row(kB), false));
  EXPECT_FALSE(passage.Explains(Row(kC), Row(kC), false));
  EXPECT_FALSE(passage.Explains(Row(kC), kNone, false));
  // Nobody ever saw the row gone.
  EXPECT_FALSE(passage.Explains(kNone, Row(kA), false));
}

TEST(PassageTest, RowsComeAndGo) {
  Passage passage;
  passage.Add(kA, true);
  passage.Add(kA, false);
  EXPECT_TRUE(passage.Explains(kNone, kNone, false));
  EXPECT_TRUE(passage.Explains(Row(kA), kNone, false));
  EXPECT_FALSE(passage.Explains(Row(kB), kNone, false));
  EXPECT_FALSE(passage.Explains(kNone, Row(kA), false));
}

TEST(PassageTest, EqualRowsAreCounted) {
  Passage passage;
  passage.Add(kA, true);
  passage.Add(kA, true);
  passage.Add(kA, false);
  EXPECT_TRUE(passage.Explains(Row(kA, 3), Row(kA, 2), true));
  EXPECT_TRUE(passage.Explains(Row(kA, 4), Row(kA, 2), true));
  EXPECT_TRUE(passage.Explains(Row(kA, 2), Row(kA, 2), true));
  EXPECT_FALSE(passage.Explains(Row(kA, 1), Row(kA, 2), true));
  EXPECT_FALSE(passage.Explains(Row(kA, 5), Row(kA, 2), true));
  Passage removal;
  removal.Add(kA, false);
  EXPECT_FALSE(removal.Explains(kNone, kNone, true));
  EXPECT_TRUE(removal.Explains(kNone, Row(kA), true));
}

TEST(PassageTest, AStateThatTheSourceHasCertainlyLeftExplainsNothing) {
  Passage removal;
  removal.Add(kA, false, true);
  // One of three copies was lost on the target, and then one was removed on the source.
  EXPECT_FALSE(removal.Explains(Row(kA, 2), Row(kA, 2), true));
  EXPECT_TRUE(removal.Explains(Row(kA, 2), Row(kA, 3), true));
  Passage change;
  change.Replace(kA, kB, true);
  change.Replace(kB, kC, false);
  EXPECT_FALSE(change.Explains(Row(kA), Row(kA), false));
  EXPECT_TRUE(change.Explains(Row(kB), Row(kA), false));
  EXPECT_TRUE(change.Explains(Row(kC), Row(kA), false));
}

TEST(BucketSumsTest, OrderDoesNotMatterAndEqualRowsCount) {
  BucketSums a(16);
  BucketSums b(16);
  for (const Digest& row : {kA, kB, kC, kC}) {
    a.Add(BucketOf(row, 0, 16), row);
  }
  for (const Digest& row : {kC, kB, kC, kA}) {
    b.Add(BucketOf(row, 0, 16), row);
  }
  EXPECT_TRUE(BucketSums::Unequal(a, b).empty());
  b.Add(BucketOf(kA, 0, 16), kA);
  EXPECT_EQ(BucketSums::Unequal(a, b), std::vector<uint32_t>{BucketOf(kA, 0, 16)});
  EXPECT_EQ(a.rows(), 4u);
}

TEST(PassageTest, TheStateBeforeIsWhatTheFirstChangeFound) {
  Passage passage;
  passage.KeepFirst("fields of a");
  passage.Replace(kA, kB);
  passage.KeepFirst("fields of b");
  passage.Add(kB, false);
  EXPECT_EQ(passage.Before(kNone, false), Row(kA));
  EXPECT_EQ(passage.Before(Row(kB), false), Row(kA));
  EXPECT_EQ(passage.first(), "fields of a");
  // The log does not lead to what the source shows.
  EXPECT_EQ(passage.Before(Row(kC), false), std::nullopt);
  Passage came;
  came.Add(kA, true);
  EXPECT_EQ(came.Before(Row(kA), false), kNone);
  EXPECT_EQ(Passage().Before(Row(kC), false), Row(kC));
}

TEST(PassageTest, CopiesBeforeAreKnownWhereAllChangesWereSeen) {
  Passage passage;
  passage.Add(kA, true, true);
  passage.Add(kA, true, true);
  passage.Add(kA, false, true);
  EXPECT_EQ(passage.Before(Row(kA, 3), true), Row(kA, 2));
  EXPECT_EQ(passage.Before(kNone, true), std::nullopt);
  passage.Add(kA, true);
  EXPECT_EQ(passage.Before(Row(kA, 3), true), std::nullopt);
}

TEST(BucketSumsTest, EachLevelSpreadsTheKeysAnew) {
  // Keys that share a bucket at one level are all over the place at the next.
  std::set<uint32_t> next;
  for (uint64_t i = 0; i < 100'000; ++i) {
    const Digest key = DigestOf(std::to_string(i));
    if (BucketOf(key, 0, 1024) == 5) {
      next.insert(BucketOf(key, 1, 1024));
    }
  }
  EXPECT_GT(next.size(), 70u);
}

}  // namespace
}  // namespace crossfade::verify
