#include "changes.h"

namespace crossfade::apply {
namespace {

using enum ReferenceAction;

TableSchema Plain() { return MakeTable("t", {"id", "x"}, {"id"}); }

TableSchema Unique() {
  TableSchema table = MakeTable("t", {"id", "u"}, {"id"});
  AddUnique(&table, "u");
  return table;
}

// parent <- child, with the given actions.
std::vector<TableSchema> Family(ReferenceAction on_delete, ReferenceAction on_update) {
  std::vector<TableSchema> tables = {MakeTable("child", {"id", "pid"}, {"id"}),
                                     MakeTable("parent", {"id", "x"}, {"id"})};
  AddForeignKey(&tables[0], "pid", "parent", on_delete, on_update);
  return tables;
}

// Each change in a transaction of its own.
std::string Fold(TestBatch* batch, const std::vector<TestChange>& changes) {
  for (const TestChange& change : changes) {
    const Status status = batch->AddTransaction({change});
    EXPECT_TRUE(status) << status.error().ToString();
  }
  return batch->Folded();
}

TEST(Fold, BringsOneRowToItsNetEffect) {
  const auto net = [](const std::function<std::vector<TestChange>(const TableSchema&)>& changes) {
    TestBatch batch({Plain()});
    return Fold(&batch, changes(batch.table("t")));
  };
  using Table = const TableSchema&;
  EXPECT_EQ(net([](Table t) { return std::vector{Insert(t, {1, 1}), Update(t, {1, 1}, {1, 2})}; }), "insert t 1,2");
  EXPECT_EQ(net([](Table t) { return std::vector{Insert(t, {1, 1}), Delete(t, {1, 1})}; }), "");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Insert(t, {1, 1}), Delete(t, {1, 1}), Insert(t, {1, 7})};
            }),
            "insert t 1,7");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Update(t, {1, 1}, {1, 2}), Update(t, {1, 2}, {1, 3})};
            }),
            "update t 1,1>1,3");
  EXPECT_EQ(net([](Table t) { return std::vector{Update(t, {1, 1}, {1, 2}), Update(t, {1, 2}, {1, 1})}; }), "");
  EXPECT_EQ(net([](Table t) { return std::vector{Update(t, {1, 1}, {1, 2}), Delete(t, {1, 2})}; }), "delete t 1,1");
  EXPECT_EQ(net([](Table t) { return std::vector{Delete(t, {1, 1}), Insert(t, {1, 4})}; }), "update t 1,1>1,4");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Delete(t, {1, 1}), Insert(t, {1, 4}), Delete(t, {1, 4})};
            }),
            "delete t 1,1");
}

TEST(Fold, AKeyThatChangesIsADeleteAndAnInsert) {
  TestBatch batch({Plain()});
  const TableSchema& t = batch.table("t");
  EXPECT_EQ(Fold(&batch, {Update(t, {1, 5}, {2, 5})}), "delete t 1,5 / insert t 2,5");
}

TEST(Fold, KeysThatAreSwappedOverAThirdOneAreTwoUpdates) {
  TestBatch batch({Plain()});
  const TableSchema& t = batch.table("t");
  EXPECT_EQ(Fold(&batch, {Update(t, {1, 10}, {9, 10}), Update(t, {2, 20}, {1, 20}), Update(t, {9, 10}, {2, 10})}),
            "update t 1,10>1,20 2,20>2,10");
}

// What no source can have done is left to fail on the target, in order.
TEST(Fold, DoesNotHideAnImpossibleHistory) {
  TestBatch batch({Plain()});
  const TableSchema& t = batch.table("t");
  EXPECT_EQ(Fold(&batch, {Insert(t, {1, 1}), Insert(t, {1, 2})}), "insert t 1,1 / insert t 1,2");
  TestBatch other({Plain()});
  EXPECT_EQ(Fold(&other, {Delete(other.table("t"), {1, 1}), Update(other.table("t"), {1, 1}, {1, 2})}),
            "delete t 1,1 / update t 1,1>1,2");
}

TEST(Fold, AUniqueValueHandedFromRowToRowEndsTheSegment) {
  TestBatch batch({Unique()});
  const TableSchema& t = batch.table("t");
  EXPECT_EQ(Fold(&batch, {Update(t, {1, 7}, {1, 8}), Update(t, {2, 6}, {2, 7})}),
            "update t 1,7>1,8 / update t 2,6>2,7");
  // Given up by a delete, taken by an insert: the order of statements takes care of it.
  TestBatch calm({Unique()});
  const TableSchema& c = calm.table("t");
  EXPECT_EQ(Fold(&calm, {Update(c, {1, 7}, {1, 8}), Insert(c, {3, 7}), Delete(c, {4, 9}), Update(c, {5, 1}, {5, 9})}),
            "delete t 4,9 / update t 1,7>1,8 5,1>5,9 / insert t 3,7");
}

// The delete would have come before the update that takes its value; as an update it would not.
TEST(Fold, ARowDeletedAndMadeAgainKeepsGivingUpItsUniqueValueFirst) {
  TestBatch batch({Unique()});
  const TableSchema& t = batch.table("t");
  EXPECT_EQ(Fold(&batch, {Delete(t, {1, 7}), Update(t, {2, 6}, {2, 7}), Insert(t, {1, 5})}),
            "delete t 1,7 / update t 2,6>2,7 / insert t 1,5");
}

TEST(Fold, NullIsNoUniqueValue) {
  TestBatch batch({Unique()});
  const TableSchema& t = batch.table("t");
  EXPECT_EQ(Fold(&batch, {Update(t, {1, kNone}, {1, 8}), Update(t, {2, 6}, {2, kNone})}),
            "update t 1,NULL>1,8 2,6>2,NULL");
}

TEST(Fold, ChildrenAreDeletedFirstAndInsertedLast) {
  TestBatch batch(Family(kNoAction, kNoAction));
  const TableSchema& parent = batch.table("parent");
  const TableSchema& child = batch.table("child");
  EXPECT_EQ(
      Fold(&batch, {Insert(child, {1, 5}), Insert(parent, {5, 0}), Delete(parent, {6, 0}), Delete(child, {2, 6})}),
      "delete child 2,6 / delete parent 6,0 / insert parent 5,0 / insert child 1,5");
}

// Insert child 7 under parent 2, delete parent 2 (which takes child 7 along), insert parent 2 again (hazard H12).
TEST(Fold, ADeleteThatCascadesIsABarrier) {
  TestBatch batch(Family(kCascade, kNoAction));
  const TableSchema& parent = batch.table("parent");
  const TableSchema& child = batch.table("child");
  EXPECT_EQ(Fold(&batch, {Insert(child, {7, 2}), Delete(parent, {2, 0}), Insert(parent, {2, 0})}),
            "insert child 7,2 / delete parent 2,0 / insert parent 2,0");
}

TEST(Fold, ConsecutiveDeletesThatCascadeShareAStep) {
  TestBatch batch(Family(kSetNull, kNoAction));
  const TableSchema& parent = batch.table("parent");
  EXPECT_EQ(Fold(&batch, {Delete(parent, {1, 0}), Delete(parent, {2, 0}), Update(parent, {3, 0}, {3, 1}),
                          Delete(parent, {4, 0})}),
            "delete parent 1,0 2,0 / update parent 3,0>3,1 / delete parent 4,0");
}

TEST(Fold, AKeyThatForeignKeysFollowIsReallyUpdated) {
  TestBatch batch(Family(kNoAction, kCascade));
  const TableSchema& parent = batch.table("parent");
  const TableSchema& child = batch.table("child");
  EXPECT_EQ(Fold(&batch, {Update(parent, {1, 0}, {2, 0}), Update(parent, {2, 0}, {3, 0}),
                          Update(parent, {3, 0}, {3, 9}), Update(child, {5, 3}, {5, kNone})}),
            "update parent 1,0>2,0 / update parent 2,0>3,0 / update parent 3,0>3,9 / update child 5,3>5,NULL");
  // Its deletes change nothing else, and fold.
  TestBatch deletes(Family(kNoAction, kCascade));
  EXPECT_EQ(Fold(&deletes, {Update(deletes.table("parent"), {1, 0}, {1, 5}), Delete(deletes.table("parent"), {1, 5})}),
            "delete parent 1,0");
}

TEST(Fold, UncheckedChangesStandApart) {
  TestBatch batch(Family(kCascade, kCascade));
  const TableSchema& parent = batch.table("parent");
  const TableSchema& child = batch.table("child");
  const uint8_t unchecked = kEndOfStatement | kNoForeignKeyChecks;
  EXPECT_EQ(Fold(&batch, {Update(parent, {1, 0}, {1, 1}), Delete(parent, {1, 1}, unchecked), Insert(parent, {1, 2}),
                          Insert(child, {9, 4}, unchecked)}),
            "update parent 1,0>1,1 / delete unchecked parent 1,1 / insert parent 1,2 / insert unchecked child 9,4");
  // Foreign keys have nothing to say about an insert into a table without any.
  TestBatch plain({Plain()});
  EXPECT_EQ(Fold(&plain, {Insert(plain.table("t"), {1, 1}, unchecked), Update(plain.table("t"), {1, 1}, {1, 2})}),
            "insert t 1,2");
}

TEST(Fold, RowsThatTheSourcesForeignKeysChangedComeBehindTheirParent) {
  TestBatch batch(Family(kCascade, kCascade));
  const TableSchema& parent = batch.table("parent");
  const TableSchema& child = batch.table("child");
  const uint8_t cascaded = kCascaded | kNoForeignKeyChecks;
  ASSERT_TRUE(batch.AddTransaction({Delete(child, {7, 2}, cascaded), Delete(parent, {2, 0}), Insert(child, {7, 3})}));
  ASSERT_TRUE(batch.AddTransaction({Update(child, {8, 3}, {8, 4}, cascaded), Update(parent, {3, 0}, {4, 0})}));
  EXPECT_EQ(batch.Folded(),
            "delete parent 2,0 / delete? child 7,2 / insert child 7,3 / update parent 3,0>4,0 / update? child 8,3>8,4");
  EXPECT_EQ(batch.Exact(0, 1), "delete parent 2,0 / delete? child 7,2 / insert child 7,3");
}

TEST(Fold, AStatementEndsWithItsLastRowEvenIfThatIsNotOurs) {
  TestBatch batch(Family(kCascade, kCascade));
  const TableSchema& parent = batch.table("parent");
  const TableSchema& child = batch.table("child");
  const TableSchema stranger = MakeTable("stranger", {"id"}, {"id"});
  ASSERT_TRUE(batch.AddTransaction(
      {Delete(child, {7, 2}, kCascaded), Delete(parent, {2, 0}, 0), Delete(stranger, {1}), Insert(child, {7, 3})}));
  EXPECT_EQ(batch.Folded(), "delete parent 2,0 / delete? child 7,2 / insert child 7,3");
}

TEST(Fold, RowsWithoutAKeyStayInOrder) {
  TestBatch batch({MakeTable("t", {"a", "b"}, {})});
  const TableSchema& t = batch.table("t");
  EXPECT_EQ(Fold(&batch, {Insert(t, {1, 1}), Insert(t, {1, 1}), Delete(t, {1, 1}), Update(t, {1, 1}, {2, 2}),
                          Update(t, {2, 2}, {3, 3}), Insert(t, {1, 1})}),
            "insert t 1,1 1,1 / delete t 1,1 / update t 1,1>2,2 2,2>3,3 / insert t 1,1");
}

TEST(Fold, TruncateEndsTheSegmentAndSparesChildrenOnlyWhereThereCanBeAny) {
  TestBatch batch(Family(kCascade, kNoAction));
  const TableSchema& parent = batch.table("parent");
  const TableSchema& child = batch.table("child");
  EXPECT_EQ(Fold(&batch, {Insert(parent, {1, 1}), Insert(child, {1, 1}), Truncate(child), Truncate(parent),
                          Insert(parent, {1, 1})}),
            "insert parent 1,1 / insert child 1,1 / truncate child / truncate unchecked parent / insert parent 1,1");
}

TEST(Fold, ManyKeysAndManySegments) {
  TestBatch batch(Family(kCascade, kNoAction));
  const TableSchema& parent = batch.table("parent");
  std::vector<TestChange> changes;
  for (int64_t i = 0; i < 5000; ++i) {
    changes.push_back(Insert(parent, {i, 0}));
  }
  for (int64_t i = 0; i < 5000; ++i) {
    changes.push_back(Update(parent, {i, 0}, {i, i + 1}));
  }
  ASSERT_TRUE(batch.AddTransaction(changes));
  const std::vector<Step> steps = batch.builder().Folded();
  ASSERT_EQ(steps.size(), 1U);
  ASSERT_EQ(steps[0].rows.size(), 5000U);
  EXPECT_EQ(steps[0].rows[4999].after[1].i, 5000);
  for (int round = 0; round < 3000; ++round) {
    ASSERT_TRUE(batch.AddTransaction({Insert(parent, {9000, 0}), Delete(parent, {9000, 0})}));
  }
  EXPECT_EQ(batch.builder().Folded().size(), 1U + 2 * 3000 - 1);
}

TableSchema OfPostgres(TableSchema table) {
  for (Column& column : table.columns) {
    column.of_postgres = true;
  }
  return table;
}

// PostgreSQL's log has of an old row the key alone, and of a new one not what is stored out of line and did not change.
TEST(Fold, WhatTheLogLeftOutIsKeptFromTheChangeBefore) {
  constexpr int64_t kNo = kLeftOut;
  const auto net = [](const std::function<std::vector<TestChange>(const TableSchema&)>& changes) {
    TestBatch batch({OfPostgres(MakeTable("t", {"id", "x", "big"}, {"id"}))});
    return Fold(&batch, changes(batch.table("t")));
  };
  using Table = const TableSchema&;
  EXPECT_EQ(net([](Table t) { return std::vector{Update(t, {1, kNo, kNo}, {1, 5, kNo})}; }), "update t 1,-,->1,5,-");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Update(t, {1, kNo, kNo}, {1, 5, kNo}), Update(t, {1, kNo, kNo}, {1, 6, kNo})};
            }),
            "update t 1,-,->1,6,-");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Update(t, {1, kNo, kNo}, {1, 5, kNo}), Update(t, {1, kNo, kNo}, {1, 6, 9})};
            }),
            "update t 1,-,->1,6,9");
  // The second does not repeat what the first has set.
  EXPECT_EQ(net([](Table t) {
              return std::vector{Update(t, {1, kNo, kNo}, {1, 5, 9}), Update(t, {1, kNo, kNo}, {1, 6, kNo})};
            }),
            "update t 1,-,->1,5,9 / update t 1,-,->1,6,-");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Insert(t, {1, 5, 9}), Update(t, {1, kNo, kNo}, {1, 6, kNo})};
            }),
            "insert t 1,5,9 / update t 1,-,->1,6,-");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Update(t, {1, kNo, kNo}, {1, 5, kNo}), Delete(t, {1, kNo, kNo})};
            }),
            "delete t 1,-,-");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Delete(t, {1, kNo, kNo}), Insert(t, {1, 5, 9})};
            }),
            "update t 1,-,->1,5,9");
  // Of a row that lacks values no insert can be made.
  EXPECT_EQ(net([](Table t) { return std::vector{Update(t, {1, kNo, kNo}, {2, 5, kNo})}; }), "update t 1,-,->2,5,-");
  EXPECT_EQ(net([](Table t) {
              return std::vector{Update(t, {1, kNo, kNo}, {2, 5, 9})};
            }),
            "delete t 1,-,- / insert t 2,5,9");
}

// A log that holds what foreign keys did says of every change that the target's must not act. What none of them can see
// does not part the others.
TEST(Fold, ChangesWithoutForeignKeysGoWithTheirNeighbours) {
  std::vector<TableSchema> tables = Family(kCascade, kCascade);
  tables.push_back(Plain());
  TestBatch batch(tables);
  const TableSchema& parent = batch.table("parent");
  const TableSchema& t = batch.table("t");
  EXPECT_EQ(Fold(&batch, {Insert(t, {1, 1}, kNoForeignKeyChecks), Delete(parent, {1, 1}, kNoForeignKeyChecks),
                          Insert(t, {2, 1}, kNoForeignKeyChecks), Delete(parent, {2, 1}, kNoForeignKeyChecks)}),
            "insert t 1,1 / delete unchecked parent 1,1 2,1 / insert unchecked t 2,1");
}

}  // namespace
}  // namespace crossfade::apply
