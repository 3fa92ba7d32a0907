#include "apply/postgres/control.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "target_fixture.h"

namespace crossfade::apply {
namespace {

using std::chrono::milliseconds;

class ControlTest : public TargetTest {
 protected:
  Result<TargetState> TakeOver(Target* target, bool force = false, std::stop_token stop = {}) {
    return target->TakeOver({"elsewhere", 42, "crossfade test"}, force, stop);
  }
};

TEST(ByteaTextTest, GoesThereAndBack) {
  const std::string bytes("\x00\x7f\xff z", 5);
  EXPECT_EQ(ToByteaText(bytes), "\\x007fff207a");
  EXPECT_EQ(*FromByteaText(ToByteaText(bytes)), bytes);
  EXPECT_EQ(*FromByteaText(""), "");
  EXPECT_FALSE(FromByteaText("\\x0"));
  EXPECT_FALSE(FromByteaText("\\xgg"));
  EXPECT_EQ(FromByteaText("abcd").error().code, "CF1509");
}

TEST_F(ControlTest, NothingWorksBeforeTakeOver) {
  auto target = Open(Options("m", "a"));
  EXPECT_EQ(target->Heartbeat().error().code, "CF1552");
  EXPECT_EQ(target->ReadState().error().code, "CF1552");
  EXPECT_EQ(target->OpenLoader().error().code, "CF1552");
}

TEST_F(ControlTest, StateSurvivesItsOwner) {
  auto first = Own(Options("m", "a"));
  ASSERT_TRUE(first->BindJournal("j1", ""));
  ASSERT_TRUE(first->SetFact("tables"));
  ASSERT_TRUE(first->SetFact("copied"));
  ASSERT_TRUE(first->SetFact("tables"));
  auto seen = first->ReadState();
  ASSERT_TRUE(seen) << seen.error().ToString();
  first->Release();
  auto second = Open(Options("m", "a"));
  auto state = TakeOver(second.get());
  ASSERT_TRUE(state) << state.error().ToString();
  EXPECT_GT(state->epoch, seen->epoch);
  EXPECT_EQ(state->journal_id, "j1");
  EXPECT_EQ(state->facts, (std::vector<std::string>{"tables", "copied"}));
  EXPECT_TRUE(state->progress.empty());
}

TEST_F(ControlTest, AJournalIsReplacedOnlyByWhoKnowsIt) {
  auto target = Own(Options("m", "a"));
  ASSERT_TRUE(target->BindJournal("j1", ""));
  ASSERT_TRUE(target->BindJournal("j1", ""));  // the answer to the first was lost
  EXPECT_EQ(target->BindJournal("j3", "j2").error().code, "CF1558");
  ASSERT_TRUE(target->BindJournal("j2", "j1"));
  EXPECT_EQ(target->BindJournal("j3", "j1").error().code, "CF1558");
  EXPECT_EQ(target->ReadState()->journal_id, "j2");
}

TEST_F(ControlTest, ALiveOwnerIsNamed) {
  auto first = Open(Options("m", "a"));
  ASSERT_TRUE(TakeOver(first.get()));
  std::atomic<bool> stop = false;
  std::thread heart([&] {
    while (!stop) {
      EXPECT_TRUE(first->Heartbeat());
      std::this_thread::sleep_for(milliseconds(50));
    }
  });
  auto second = Open(Options("m", "a"));
  auto refused = TakeOver(second.get());
  stop = true;
  heart.join();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "CF1501");
  EXPECT_EQ(refused.error().error_class, ErrorClass::kConfig);
  EXPECT_NE(refused.error().found.find("process 42 on elsewhere"), std::string::npos) << refused.error().found;
  EXPECT_TRUE(first->Heartbeat());
}

TEST_F(ControlTest, ADeadOwnerIsSucceededAndFencedOff) {
  auto first = Own(Options("m", "a"));
  auto second = Open(Options("m", "a"));
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(TakeOver(second.get()));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(300));
  // The first wakes up again: everything it tries is refused.
  EXPECT_EQ(first->Heartbeat().error().code, "CF1502");
  EXPECT_EQ(first->Heartbeat().error().error_class, ErrorClass::kCorrupt);
  EXPECT_EQ(first->ReadState().error().code, "CF1502");
  EXPECT_EQ(first->SetFact("x").error().code, "CF1502");
  EXPECT_EQ(first->BindJournal("x", "").error().code, "CF1502");
  const auto routes = Routes({TableWithId("t", {})}, Options("m", "a"));
  EXPECT_EQ(first->BuildSchema(routes, SchemaStage::kTables, {}).error().code, "CF1502");
  Build(second.get(), routes);
  EXPECT_EQ(Load(first.get(), *routes.Find("t"), {}, 0, false, {}).error().code, "CF1502");
  EXPECT_EQ(first->ClearTable(*routes.Find("t")).error().code, "CF1502");
  EXPECT_EQ(first->Abort(routes).error().code, "CF1502");
  first->Release();
  EXPECT_TRUE(second->Heartbeat());
  EXPECT_EQ(Ask("SELECT heartbeat_at IS NOT NULL FROM crossfade.heartbeat"), "t");
}

TEST_F(ControlTest, ForceDoesNotWaitForTheHeart) {
  auto first = Own(Options("m", "a"));
  auto options = Options("m", "a");
  options.grace_ms = 60000;
  auto second = Open(options);
  ASSERT_TRUE(TakeOver(second.get(), true));
  EXPECT_EQ(first->Heartbeat().error().code, "CF1502");
}

// Hazard H20: what an older epoch has under way is waited for, and seen.
TEST_F(ControlTest, WaitsForAChunkStillUnderWay) {
  auto first = Own(Options("m", "a"));
  const auto routes = Routes({TableWithId("t", {})}, Options("m", "a"));
  Build(first.get(), routes);
  auto loader = first->OpenLoader();
  ASSERT_TRUE(loader);
  ChunkMark mark;
  mark.table = "t";
  mark.rows = 1;
  ASSERT_TRUE((*loader)->Begin(*routes.Find("t"), mark, false));
  const Value row[] = {Value::Int(7)};
  ASSERT_TRUE((*loader)->Add(row));
  auto second = Open(Options("m", "a"));
  std::atomic<bool> taken = false;
  std::optional<TargetState> state;
  std::thread successor([&] {
    auto result = TakeOver(second.get());
    ASSERT_TRUE(result) << result.error().ToString();
    state = std::move(*result);
    taken = true;
  });
  std::this_thread::sleep_for(milliseconds(1800));
  EXPECT_FALSE(taken);
  EXPECT_TRUE((*loader)->Commit(mark));
  successor.join();
  ASSERT_TRUE(state);
  ASSERT_EQ(state->chunks.size(), 1u);
  EXPECT_EQ(state->chunks[0].rows, 1u);
}

TEST_F(ControlTest, AWaitingTakeOverCanBeStopped) {
  auto first = Own(Options("m", "a"));
  Run("BEGIN; SELECT 1 FROM crossfade.migration FOR SHARE");
  auto second = Open(Options("m", "a"));
  std::stop_source stop;
  std::thread stopper([&] {
    std::this_thread::sleep_for(milliseconds(600));
    stop.request_stop();
  });
  auto stopped = TakeOver(second.get(), false, stop.get_token());
  stopper.join();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, "CF1504");
  Run("ROLLBACK");
}

TEST_F(ControlTest, OfTwoSuccessorsOneWins) {
  auto first = Own(Options("m", "a"));
  std::atomic<int> won = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto target = Open(Options("m", "a"));
      auto state = TakeOver(target.get());
      if (state) {
        ++won;
        for (int beat = 0; beat < 40; ++beat) {
          EXPECT_TRUE(target->Heartbeat());
          std::this_thread::sleep_for(milliseconds(50));
        }
      } else {
        EXPECT_EQ(state.error().code, "CF1501") << state.error().ToString();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(won, 1);
}

// Hazard M15: many that begin at once.
TEST_F(ControlTest, TheHelperSchemaIsMadeOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      auto options = Options("m" + std::to_string(i), std::to_string(i));
      options.lock_timeout_ms = 10000;
      auto target = Open(options);
      auto state = TakeOver(target.get());
      EXPECT_TRUE(state) << state.error().ToString();
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(Ask("SELECT count(DISTINCT epoch) FROM crossfade.migration"), "6");
}

TEST_F(ControlTest, ANewerHelperSchemaIsRefused) {
  Own(Options("m", "a"));
  Run("UPDATE crossfade.format SET version = 99");
  auto target = Open(Options("m", "a"));
  EXPECT_EQ(TakeOver(target.get()).error().code, "CF1506");
}

TEST_F(ControlTest, AnOrdinaryAccountSuffices) {
  Run("DROP ROLE IF EXISTS crossfade_mover; CREATE ROLE crossfade_mover LOGIN");
  Run("GRANT CREATE ON DATABASE " + connection_options_.database + " TO crossfade_mover");
  Run("GRANT CREATE ON SCHEMA public TO crossfade_mover");
  auto options = Options("m", "a");
  options.connection.user = "crossfade_mover";
  {
    auto target = Own(options);
    const auto routes = Routes({TableWithId("t", {})}, options);
    Build(target.get(), routes);
    EXPECT_TRUE(Load(target.get(), *routes.Find("t"), {}, 0, true, {{Value::Int(1)}}));
    EXPECT_TRUE(target->ClearTable(*routes.Find("t")));
    EXPECT_TRUE(target->Abort(routes));
  }
  Run("DROP OWNED BY crossfade_mover CASCADE; DROP ROLE crossfade_mover");
}

}  // namespace
}  // namespace crossfade::apply
