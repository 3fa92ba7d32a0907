#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tools/crossfade/status.h"

namespace crossfade::tools {
namespace {

// An operator who sees "following" and pauses: the record of the phase must stand before that of the pause.
TEST(StatusBoardTest, APhaseIsShownOnlyWhenItIsRecorded) {
  StatusBoard board;
  std::atomic<int> recorded = 0;
  board.RecordPhasesWith([&](const std::vector<PhaseChange>& changes) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    recorded = static_cast<int>(changes.back().phase);
  });
  std::atomic<int> shown_too_early = 0;
  std::atomic<bool> stop = false;
  auto show = [&] {
    while (!stop) {
      const auto phase = static_cast<int>(board.Show().phase);
      shown_too_early += phase > recorded ? 1 : 0;
    }
  };
  std::jthread one(show);
  std::jthread other(show);
  for (const Phase phase :
       {Phase::kCopying, Phase::kBuildingKeys, Phase::kCatchingUp, Phase::kFollowing, Phase::kStopped}) {
    board.SetPhase(phase);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  stop = true;
  one.join();
  other.join();
  EXPECT_EQ(shown_too_early, 0);
  EXPECT_EQ(board.Show().phase, Phase::kStopped);
  EXPECT_EQ(recorded, static_cast<int>(Phase::kStopped));
}

TEST(StatusBoardTest, WithoutARecorderPhasesAreShownAtOnce) {
  StatusBoard board;
  board.SetPhase(Phase::kCopying);
  EXPECT_EQ(board.Show().phase, Phase::kCopying);
  int calls = 0;
  board.RecordPhasesWith([&](const std::vector<PhaseChange>& changes) { calls += static_cast<int>(changes.size()); });
  EXPECT_EQ(board.Show().phase, Phase::kCopying);
  EXPECT_EQ(calls, 1);  // what there was before is recorded, too
  board.RecordPhasesWith(nullptr);
  board.SetPhase(Phase::kFollowing);
  EXPECT_EQ(board.Show().phase, Phase::kFollowing);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace crossfade::tools
