#include "apply/batch_builder.h"

#include "changes.h"

namespace crossfade::apply {
namespace {

TableSchema Plain() { return MakeTable("t", {"id", "x"}, {"id"}); }

ChunkWindow Chunk(std::optional<int64_t> from, std::optional<int64_t> to, uint64_t low, uint64_t high) {
  return {"t", {from, to}, Seq{low}, Seq{high}};
}

TEST(BatchBuilder, JudgesEachChangeByTheWindowOfItsChunk) {
  // Below 10: copied at 2, exactly. From 10 on: somewhere between 1 and 4.
  TestBatch batch({Plain()}, {Chunk(std::nullopt, 10, 2, 2), Chunk(10, std::nullopt, 1, 4)});
  const TableSchema& t = batch.table("t");
  ASSERT_TRUE(batch.AddTransaction({Insert(t, {1, 0}), Insert(t, {11, 0})}));                      // 1: both copied
  ASSERT_TRUE(batch.AddTransaction({Update(t, {1, 0}, {1, 1}), Update(t, {11, 0}, {11, 1})}));     // 2: copied, fuzzy
  ASSERT_TRUE(batch.AddTransaction({Delete(t, {1, 1}), Insert(t, {12, 0}), Delete(t, {13, 0})}));  // 3: strict, fuzzy
  EXPECT_EQ(batch.Folded(), "delete t 1,1 / delete? t 13,0 / update? t 11,0>11,1 / upsert t 12,0");
}

TEST(BatchBuilder, AKeyThatMovesBetweenChunksIsJudgedTwice) {
  const std::vector<ChunkWindow> windows = {Chunk(std::nullopt, 10, 1, 1), Chunk(10, 20, 0, 2),
                                            Chunk(20, std::nullopt, 3, 3)};
  const auto moved = [&](Cells before, Cells after) {
    TestBatch batch({Plain()}, windows);
    EXPECT_TRUE(batch.AddTransaction({}));
    EXPECT_TRUE(batch.AddTransaction({Update(batch.table("t"), std::move(before), std::move(after))}));
    return batch.Folded();
  };
  EXPECT_EQ(moved({1, 0}, {11, 0}), "delete t 1,0 / upsert t 11,0");
  EXPECT_EQ(moved({11, 0}, {12, 0}), "delete? t 11,0 / upsert t 12,0");
  EXPECT_EQ(moved({11, 0}, {1, 0}), "delete? t 11,0 / insert t 1,0");
  EXPECT_EQ(moved({21, 0}, {1, 0}), "insert t 1,0");
  EXPECT_EQ(moved({1, 0}, {21, 0}), "delete t 1,0");
  EXPECT_EQ(moved({21, 0}, {22, 0}), "");
}

TEST(BatchBuilder, AStrictChangeDoesNotHideInAnEarlierLenientOne) {
  TestBatch batch({Plain()}, {Chunk(std::nullopt, std::nullopt, 0, 1)});
  const TableSchema& t = batch.table("t");
  ASSERT_TRUE(batch.AddTransaction({Insert(t, {1, 0})}));
  ASSERT_TRUE(batch.AddTransaction({Update(t, {1, 0}, {1, 1})}));
  EXPECT_EQ(batch.Folded(), "upsert t 1,0 / update t 1,0>1,1");
}

TEST(BatchBuilder, LenientChangesOfOneKeyBecomeTheLast) {
  TestBatch batch({Plain()}, {Chunk(std::nullopt, std::nullopt, 0, 100)});
  const TableSchema& t = batch.table("t");
  ASSERT_TRUE(batch.AddTransaction({Insert(t, {1, 0}), Update(t, {1, 0}, {1, 1})}));
  ASSERT_TRUE(batch.AddTransaction({Delete(t, {2, 0}), Insert(t, {2, 7})}));
  ASSERT_TRUE(batch.AddTransaction({Insert(t, {3, 0}), Delete(t, {3, 0})}));
  // It comes back to what it was, but the copy may have been made in between.
  ASSERT_TRUE(batch.AddTransaction({Update(t, {4, 0}, {4, 1}), Update(t, {4, 1}, {4, 0})}));
  EXPECT_EQ(batch.Folded(), "delete? t 3,0 / update? t 4,0>4,0 / upsert t 1,1 2,7");
}

TEST(BatchBuilder, TruncateEmptiesOnlyChunksReadBeforeIt) {
  TestBatch batch({Plain()}, {Chunk(std::nullopt, 10, 0, 0), Chunk(10, 20, 1, 1), Chunk(20, std::nullopt, 0, 3)});
  ASSERT_TRUE(batch.AddTransaction({Truncate(batch.table("t"))}));
  EXPECT_EQ(batch.Folded(), "truncate t [,10) [20,)");
  ASSERT_TRUE(batch.AddTransaction({Truncate(batch.table("t"))}));
  EXPECT_EQ(batch.Exact(1, 2), "truncate t");
  TestBatch copied({Plain()}, {Chunk(std::nullopt, std::nullopt, 5, 5)});
  ASSERT_TRUE(copied.AddTransaction({Truncate(copied.table("t"))}));
  EXPECT_EQ(copied.Folded(), "");
}

TEST(BatchBuilder, RefusesWhatCannotBeJudged) {
  TestBatch keyless({MakeTable("t", {"a", "b"}, {})}, {Chunk(std::nullopt, std::nullopt, 0, 5)});
  EXPECT_EQ(CodeOf(keyless.AddTransaction({Insert(keyless.table("t"), {1, 1})})), "CF1522");
  TestBatch gap({Plain()}, {Chunk(std::nullopt, 10, 0, 5), Chunk(20, std::nullopt, 1, 5)});
  EXPECT_EQ(CodeOf(gap.AddTransaction({Insert(gap.table("t"), {15, 1})})), "CF1521");
}

TEST(BatchBuilder, RefusesIncompleteImagesAndOtherShapes) {
  TestBatch batch({Plain()});
  EXPECT_EQ(CodeOf(batch.AddTransaction({Insert(batch.table("t"), {1})})), "CF1513");
  TestBatch other({Plain()});
  const TableSchema changed = MakeTable("t", {"id", "y"}, {"id"});
  EXPECT_EQ(CodeOf(other.AddTransaction({Insert(changed, {1, 1})})), "CF1514");
  // Another version of the same shape is the same table.
  TestBatch same({Plain()});
  TableSchema again = Plain();
  again.comment = "of 2020";
  ASSERT_TRUE(same.AddTransaction({Insert(same.table("t"), {1, 1})}));
  ASSERT_TRUE(same.AddTransaction({Update(again, {1, 1}, {1, 2})}));
  EXPECT_EQ(same.Folded(), "insert t 1,2");
}

// What PostgreSQL's log leaves out need not be there; the row's identity, and what an insert needs, must.
TEST(BatchBuilder, TakesImagesThatLackWhatDidNotChange) {
  constexpr int64_t kNo = kLeftOut;
  TableSchema table = MakeTable("t", {"id", "x", "big"}, {"id"});
  const auto code = [&](const std::function<TestChange(const TableSchema&)>& change) {
    TestBatch batch({table});
    return CodeOf(batch.AddTransaction({change(batch.table("t"))}));
  };
  using Table = const TableSchema&;
  const auto update = [](Table t) { return Update(t, {1, kNo, kNo}, {1, 5, kNo}); };
  EXPECT_EQ(code(update), "CF1513");  // another engine's log has them all, or is set up wrongly
  for (Column& column : table.columns) {
    column.of_postgres = true;
  }
  EXPECT_EQ(code(update), "");
  EXPECT_EQ(code([](Table t) { return Delete(t, {1, kNo, kNo}); }), "");
  EXPECT_EQ(code([](Table t) { return Insert(t, {1, 5, kNo}); }), "CF1513");
  EXPECT_EQ(code([](Table t) { return Update(t, {kNo, 5, kNo}, {1, 5, 9}); }), "CF1513");
  EXPECT_EQ(code([](Table t) { return Update(t, {1, kNo, kNo}, {kNo, 5, 9}); }), "CF1513");
  EXPECT_EQ(code([](Table t) { return Delete(t, {kNo, 5, 9}); }), "CF1513");
  table.primary_key.clear();
  EXPECT_EQ(code(update), "CF1513");  // without a key the whole old row tells it
}

// Hazard H23: the value that did not change is in no image, and perhaps in no chunk.
TEST(BatchBuilder, ARowThatMovesIntoAnotherWindowMustBeWhole) {
  constexpr int64_t kNo = kLeftOut;
  TableSchema table = MakeTable("t", {"id", "x", "big"}, {"id"});
  table.columns[0].of_postgres = true;
  const std::vector<ChunkWindow> windows = {Chunk(std::nullopt, 10, 1, 1), Chunk(10, 20, 0, 2),
                                            Chunk(20, std::nullopt, 3, 3)};
  const auto moved = [&](Cells before, Cells after) {
    TestBatch batch({table}, windows);
    EXPECT_TRUE(batch.AddTransaction({}));
    const Status added = batch.AddTransaction({Update(batch.table("t"), std::move(before), std::move(after))});
    return added ? batch.Folded() : added.error().code;
  };
  EXPECT_EQ(moved({1, kNo, kNo}, {11, 0, kNo}), "CF1524");
  EXPECT_EQ(moved({11, kNo, kNo}, {12, 0, kNo}), "CF1524");
  EXPECT_EQ(moved({21, kNo, kNo}, {1, 0, kNo}), "CF1524");
  EXPECT_EQ(moved({1, kNo, kNo}, {11, 0, 9}), "delete t 1,-,- / upsert t 11,0,9");
  EXPECT_EQ(moved({1, kNo, kNo}, {21, 0, kNo}), "delete t 1,-,-");  // it is in the other chunk already
  EXPECT_EQ(moved({1, kNo, kNo}, {2, 0, kNo}), "update t 1,-,->2,0,-");
  EXPECT_EQ(moved({11, kNo, kNo}, {11, 0, kNo}), "update? t 11,-,->11,0,-");
}

TEST(BatchBuilder, ExactKeepsTheSourcesOrderAndTakesARange) {
  TestBatch batch({Plain()});
  const TableSchema& t = batch.table("t");
  ASSERT_TRUE(batch.AddTransaction({Insert(t, {1, 0})}));
  ASSERT_TRUE(batch.AddTransaction({Update(t, {1, 0}, {2, 0}), Delete(t, {2, 0})}));
  ASSERT_TRUE(batch.AddTransaction({Insert(t, {1, 9})}));
  EXPECT_EQ(batch.Exact(0, 3), "insert t 1,0 / update t 1,0>2,0 / delete t 2,0 / insert t 1,9");
  EXPECT_EQ(batch.Exact(1, 2), "update t 1,0>2,0 / delete t 2,0");
  BatchBuilder::Exceptions exceptions;
  exceptions.tolerated = {{0, Tolerance::kSkip}, {1, Tolerance::kMakeItSo}, {2, Tolerance::kMakeItSo}};
  EXPECT_EQ(batch.Exact(0, 2, exceptions), "delete? t 1,0>2,0 / upsert t 1,0>2,0 / delete? t 2,0");
}

TEST(BatchBuilder, NumbersChangesOverThePiecesOfALargeTransaction) {
  TestBatch batch({Plain()});
  const TableSchema& t = batch.table("t");
  ASSERT_TRUE(batch.AddTransaction({Insert(t, {1, 0}), Insert(t, {2, 0})}));
  batch.builder().ClearRows();
  EXPECT_EQ(batch.builder().dropped(), 2U);
  EXPECT_FALSE(batch.builder().empty());
  EXPECT_EQ(batch.Folded(), "");
  batch.builder().Clear();
  EXPECT_EQ(batch.builder().dropped(), 0U);
  EXPECT_TRUE(batch.builder().empty());
}

TEST(BatchBuilder, LimitsABatchByRowsBytesTransactionsAndTime) {
  BatchLimits limits;
  limits.max_rows = 10;
  limits.max_bytes = 100'000;
  limits.max_transactions = 3;
  limits.max_span_us = 1000;
  TestBatch batch({Plain()}, {}, limits);
  const auto header = [](uint64_t changes, uint64_t bytes, int64_t time) {
    state::TransactionHeader out;
    out.changes = changes;
    out.bytes = bytes;
    out.commit.commit_time_us = time;
    return out;
  };
  EXPECT_TRUE(batch.builder().Fits(header(1'000'000, 1'000'000'000, 0))) << "the first always fits: it may be large";
  ASSERT_TRUE(batch.AddTransaction({Insert(batch.table("t"), {1, 0})}));
  EXPECT_TRUE(batch.builder().Fits(header(9, 100, 1000)));
  EXPECT_FALSE(batch.builder().Fits(header(10, 100, 0)));
  EXPECT_FALSE(batch.builder().Fits(header(1, 100'000, 0)));
  EXPECT_FALSE(batch.builder().Fits(header(1, 100, 1001)));
  ASSERT_TRUE(batch.AddTransaction({}));
  ASSERT_TRUE(batch.AddTransaction({}));
  EXPECT_FALSE(batch.builder().Fits(header(1, 1, 0)));
}

// MariaDB's log has whole seconds: 11 may be 11.999 of a batch that began at 10.0.
TEST(BatchBuilder, NeverSpansMoreThanItsTimeWhereTheLogHasWholeSeconds) {
  BatchLimits limits;
  limits.max_span_us = 1'000'000;
  const auto at = [](int64_t time) {
    state::TransactionHeader out;
    out.changes = 1;
    out.commit.commit_time_us = time;
    return out;
  };
  TestBatch batch({Plain()}, {}, limits);
  batch.builder().BeginTransaction(at(10'000'000));
  EXPECT_TRUE(batch.builder().Fits(at(10'000'000)));
  EXPECT_TRUE(batch.builder().Fits(at(10'999'999)));
  EXPECT_FALSE(batch.builder().Fits(at(11'000'000)));
  limits.max_span_us = 100'000;
  TestBatch narrow({Plain()}, {}, limits);
  narrow.builder().BeginTransaction(at(10'000'000));
  EXPECT_TRUE(narrow.builder().Fits(at(10'000'000))) << "the log cannot tell them apart, and one by one would be slow";
  limits.max_span_us = 3'000'000;
  TestBatch wide({Plain()}, {}, limits);
  wide.builder().BeginTransaction(at(10'000'000));
  EXPECT_TRUE(wide.builder().Fits(at(12'000'000)));
  EXPECT_FALSE(wide.builder().Fits(at(13'000'000)));
}

}  // namespace
}  // namespace crossfade::apply
