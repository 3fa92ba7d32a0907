#include "snapshot/copier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "tests/unit/snapshot/fakes.h"

namespace crossfade::snapshot {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// parent <- child (cascade): a copy group. free: large, cut. keyless: no primary key. tail refers to free.
class CopierTest : public testing::Test {
 protected:
  void SetUp() override {
    TableSchema keyless = SimpleTable("keyless");
    keyless.primary_key.clear();
    auto made = apply::RouteSet::Make(
        {SimpleTable("free"), SimpleTable("parent"), Child(SimpleTable("child"), "parent", ReferenceAction::kCascade),
         keyless, Child(SimpleTable("tail"), "free")},
        {});
    ASSERT_TRUE(made) << made.error().ToString();
    routes_ = std::move(*made);
    for (int64_t id = 1; id <= 1000; ++id) {
      source_.Put("free", id, id * 7);
    }
    for (int64_t id = 1; id <= 300; ++id) {
      source_.Put("parent", id, 0);
      source_.Put("child", id, id);
    }
    for (int64_t id = 1; id <= 50; ++id) {
      source_.Put("keyless", id % 10, id % 3);  // with rows that are equal
      source_.Put("tail", id, id);
    }
    std::map<std::string, TableSize> sizes;
    for (const auto& [table, rows] : source_.tables()) {
      sizes[table] = {rows.size(), rows.size() * 16};
    }
    PlanOptions options;
    options.chunk_rows = 100;
    auto plan = PlanCopy(routes_, sizes, &source_, options);
    ASSERT_TRUE(plan) << plan.error().ToString();
    plan_ = std::move(*plan);
    ASSERT_EQ(plan_.Find("free")->chunks.size(), 10U);
    ASSERT_EQ(plan_.Find("child")->chunks.size(), 3U);
    ASSERT_EQ(source_.key_spans_read, 3);
  }

  Result<CopyResult> Consistent(uint32_t readers = 3, std::stop_token stop = {}) {
    auto opened = source_.OpenConsistent(readers);
    return Copier(&plan_, &routes_, &source_, &target_, &limits_, &progress_, {})
        .CopyConsistent(std::move(*opened), target_.marks(), stop);
  }
  Result<CopyResult> Chunked(std::stop_token stop = {}) {
    CopyOptions options;
    options.readers = 3;
    return Copier(&plan_, &routes_, &source_, &target_, &limits_, &progress_, options)
        .CopyChunked(target_.marks(), stop);
  }
  std::vector<ChunkMark> MarksOf(const std::string& table) {
    std::vector<ChunkMark> marks = target_.marks();
    std::erase_if(marks, [&](const ChunkMark& mark) { return mark.table != table; });
    return marks;
  }
  void FailCommitsOf(const std::string& table, uint32_t chunk) {
    target_.on_commit = [table, chunk](const ChunkMark& mark) -> Status {
      if (mark.table == table && mark.chunk == chunk) {
        return MakeError(ErrorClass::kTransient, "CF1499", "fake", "deadlock");
      }
      return {};
    };
  }

  FakeSource source_;
  FakeTarget target_;
  apply::RouteSet routes_;
  CopyPlan plan_;
  CopyLimits limits_;
  CopyProgress progress_;
};

TEST_F(CopierTest, ConsistentCopyHoldsEverythingAtOnePosition) {
  const auto result = Consistent();
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(target_.tables(), source_.tables());
  EXPECT_TRUE(result->one_state());
  EXPECT_EQ(result->marks.size(), plan_.chunk_count());
  EXPECT_EQ(target_.marks().size(), plan_.chunk_count());
  EXPECT_EQ(result->totals.rows, 1700U);
  EXPECT_EQ(result->totals.chunks_done, plan_.chunk_count());
  EXPECT_EQ(result->totals.chunks_kept, 0U);
  uint64_t marked = 0;
  for (const ChunkMark& mark : target_.marks()) {
    marked += mark.rows;
  }
  EXPECT_EQ(marked, 1700U);
  for (const TableProgress& table : progress_.tables()) {
    EXPECT_GT(table.started_us, 0) << table.table;
    EXPECT_GE(table.finished_us, table.started_us) << table.table;
    EXPECT_EQ(table.chunks, table.chunks_done) << table.table;
  }
}

TEST_F(CopierTest, ChildrenBeginWhenTheirParentsAreComplete) {
  source_.on_row = [](const std::string& table, int64_t id) -> Status {
    if (table == "free" && id % 100 == 0) {
      std::this_thread::sleep_for(milliseconds(2));
    }
    return {};
  };
  ASSERT_TRUE(Consistent(4));
  const auto log = target_.log();
  const auto last_commit = std::find(log.rbegin(), log.rend(), "commit free").base();
  EXPECT_EQ(std::find(log.begin(), last_commit, "begin tail"), last_commit);
  const auto last_parent = std::find(log.rbegin(), log.rend(), "commit parent").base();
  EXPECT_EQ(std::find(log.begin(), last_parent, "begin child"), last_parent);
}

TEST_F(CopierTest, ASecondRunReadsNothing) {
  ASSERT_TRUE(Consistent());
  source_.Put("free", 5000, 1);
  const auto again = Consistent();
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(again->totals.chunks_kept, plan_.chunk_count());
  EXPECT_EQ(target_.marks().size(), plan_.chunk_count());
  EXPECT_TRUE(again->one_state());
}

TEST_F(CopierTest, AfterAnErrorTheRestOfASingleTableIsReadWithTheNewWindow) {
  FailCommitsOf("free", 7);
  const auto failed = Consistent(1);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, "CF1499");
  EXPECT_EQ(failed.error().error_class, ErrorClass::kTransient);
  EXPECT_NE(failed.error().message.find("copying free, chunk 8 of 10"), std::string::npos);
  const size_t done_before = MarksOf("free").size();
  EXPECT_EQ(done_before, 7U);
  EXPECT_EQ(progress_.totals().rows, 700U) << "the failed chunk's rows are not counted";

  target_.on_commit = nullptr;
  source_.Put("free", 750, 1);
  const auto result = Consistent();
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(target_.tables(), source_.tables());
  EXPECT_EQ(result->totals.chunks_kept, done_before);
  EXPECT_EQ(result->totals.chunks_reread, 0U);
  EXPECT_FALSE(result->one_state());
  std::set<uint64_t> lows;
  for (const ChunkMark& mark : MarksOf("free")) {
    lows.insert(mark.low.offset);
  }
  EXPECT_EQ(lows.size(), 2U);
}

TEST_F(CopierTest, AGroupHalfDoneFromAnotherStateIsClearedAndReadAsAWhole) {
  FailCommitsOf("child", 1);
  ASSERT_FALSE(Consistent(1));
  ASSERT_EQ(MarksOf("parent").size(), 3U);
  target_.on_commit = nullptr;
  source_.Put("child", 1000, 1);
  const auto result = Consistent();
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(target_.tables(), source_.tables());
  EXPECT_GE(result->totals.chunks_reread, 3U);
  const auto log = target_.log();
  const auto child = std::find(log.begin(), log.end(), "clear child");
  const auto parent = std::find(log.begin(), log.end(), "clear parent");
  ASSERT_NE(parent, log.end());
  EXPECT_LT(child, parent) << "children are cleared first";
  std::set<uint64_t> lows;
  for (const std::string table : {"parent", "child"}) {
    for (const ChunkMark& mark : MarksOf(table)) {
      lows.insert(mark.low.offset);
    }
  }
  EXPECT_EQ(lows.size(), 1U);
}

TEST_F(CopierTest, AGroupHalfDoneFromTheSameStateGoesOn) {
  FailCommitsOf("child", 1);
  ASSERT_FALSE(Consistent(1));
  target_.on_commit = nullptr;
  const auto result = Consistent();  // nothing was written since: the same position
  ASSERT_TRUE(result);
  EXPECT_EQ(result->totals.chunks_reread, 0U);
  EXPECT_TRUE(result->one_state());
  EXPECT_EQ(target_.tables(), source_.tables());
}

TEST_F(CopierTest, ChunkedCopyGivesGroupsAndKeylessTablesOnePoint) {
  const auto result = Chunked();
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(target_.tables(), source_.tables());
  EXPECT_FALSE(result->one_state());
  EXPECT_EQ(source_.exact_snapshots, 2);  // the group, the table without key
  EXPECT_EQ(source_.snapshots, 11);       // 10 chunks, and the small table
  for (const ChunkMark& mark : target_.marks()) {
    const bool exact = mark.table == "parent" || mark.table == "child" || mark.table == "keyless";
    EXPECT_EQ(mark.low == mark.high, exact) << mark.table;
  }
}

TEST_F(CopierTest, ABusySourceIsLockedForAnInstantWhereAPointIsNeeded) {
  source_.never_still = true;
  source_.may_not_lock = true;
  const auto refused = Chunked();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "CF1605");
  source_.may_not_lock = false;
  const auto result = Chunked();
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(target_.tables(), source_.tables());
  for (const ChunkMark& mark : target_.marks()) {
    const bool exact = mark.table == "parent" || mark.table == "child" || mark.table == "keyless";
    EXPECT_EQ(mark.low == mark.high, exact) << mark.table;
  }
}

TEST_F(CopierTest, ChunkedCopyReadsAGroupAgainAsAWhole) {
  FailCommitsOf("child", 2);
  ASSERT_FALSE(Chunked());
  const size_t free_done = MarksOf("free").size();
  target_.on_commit = nullptr;
  // Even at the same position: a snapshot of its own knows nothing of the one before.
  source_.Put("parent", 900, 9);
  const auto result = Chunked();
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(target_.tables(), source_.tables());
  EXPECT_GE(result->totals.chunks_kept, free_done);
  EXPECT_GE(result->totals.chunks_reread, 3U);
  EXPECT_EQ(MarksOf("child").size(), 3U);
}

TEST_F(CopierTest, AMarkThatIsNotInThePlanIsCorrupt) {
  for (const ChunkMark& bad : {ChunkMark{"gone", 0, {}, At(1), At(1), 0}, ChunkMark{"free", 99, {}, At(1), At(1), 0},
                               ChunkMark{"free", 0, {std::nullopt, 5}, At(1), At(1), 0}}) {
    Copier copier(&plan_, &routes_, &source_, &target_, &limits_, &progress_, {});
    const auto result = copier.CopyChunked({bad}, {});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, "CF1621");
    EXPECT_EQ(result.error().error_class, ErrorClass::kCorrupt);
  }
}

TEST_F(CopierTest, TheFirstErrorIsTheOneHandedBackAndTheOthersStop) {
  std::atomic<int> rows = 0;
  source_.on_row = [&](const std::string& table, int64_t id) -> Status {
    ++rows;
    if (table == "free" && id == 150) {
      return MakeError(ErrorClass::kData, "CF1613", "fake", "bad text");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return {};
  };
  const auto result = Consistent(3);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, "CF1613");
  EXPECT_GE(target_.rollbacks, 1);
  EXPECT_GE(source_.interrupts, 3);
  EXPECT_GE(target_.cancels, 3);
  EXPECT_LT(rows, 1000);
}

TEST_F(CopierTest, StopsSoonWhileReadingWaitingOrPaused) {
  for (const bool paused : {false, true}) {
    limits_.SetPaused(paused);
    source_.on_row = [](const std::string&, int64_t) -> Status {
      std::this_thread::sleep_for(milliseconds(1));
      return {};
    };
    std::stop_source stop;
    const auto start = Clock::now();
    std::jthread stopper([&] {
      std::this_thread::sleep_for(milliseconds(50));
      stop.request_stop();
    });
    const auto result = paused ? Chunked(stop.get_token()) : Consistent(2, stop.get_token());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, "CF1600");
    EXPECT_LT(Clock::now() - start, milliseconds(600));
  }
}

TEST_F(CopierTest, AStopBeforeTheStartReadsNothing) {
  std::stop_source stop;
  stop.request_stop();
  const auto result = Consistent(2, stop.get_token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, "CF1600");
  EXPECT_TRUE(target_.marks().empty());
}

TEST_F(CopierTest, WithoutReadersItRefuses) {
  const auto result = Consistent(0);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, "CF1622");
  EXPECT_EQ(result.error().error_class, ErrorClass::kConfig);
}

TEST_F(CopierTest, KeepsToARateOfRows) {
  limits_.SetRowsPerSecond(8500);  // 1700 rows take 0.2 s, less the burst of 0.1 s
  const auto start = Clock::now();
  ASSERT_TRUE(Consistent(4));
  const auto took = Clock::now() - start;
  EXPECT_GT(took, milliseconds(80));
  EXPECT_LT(took, milliseconds(900));
  EXPECT_EQ(target_.tables(), source_.tables());
}

}  // namespace
}  // namespace crossfade::snapshot
