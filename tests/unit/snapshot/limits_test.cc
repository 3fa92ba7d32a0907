#include "snapshot/limits.h"

#include <gtest/gtest.h>

#include <thread>

namespace crossfade::snapshot {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

TEST(Limits, NoLimitNeverWaits) {
  CopyLimits limits;
  const auto start = Clock::now();
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(limits.Admit(1000, {}));
  }
  EXPECT_LT(Clock::now() - start, milliseconds(500));
}

TEST(Limits, RateHoldsOverAllReaders) {
  CopyLimits limits;
  limits.SetRowsPerSecond(10'000);
  const auto start = Clock::now();
  {
    std::vector<std::jthread> readers;
    for (int reader = 0; reader < 4; ++reader) {
      readers.emplace_back([&] {
        for (int i = 0; i < 10; ++i) {
          limits.Admit(100, {});
        }
      });
    }
  }
  const auto took = Clock::now() - start;  // 4000 rows: 0.4 s
  EXPECT_GT(took, milliseconds(250));
  EXPECT_LT(took, milliseconds(900));
}

TEST(Limits, ALowRateChecksOften) {
  CopyLimits limits;
  limits.SetRowsPerSecond(100);
  EXPECT_LE(limits.step(), 5U);
  limits.SetRowsPerSecond(0);
  EXPECT_EQ(limits.step(), 1024U);
}

TEST(Limits, ALongWaitEndsWhenTheRateIsLifted) {
  CopyLimits limits;
  limits.SetRowsPerSecond(1);
  std::jthread lifter([&] {
    std::this_thread::sleep_for(milliseconds(50));
    limits.SetRowsPerSecond(0);
  });
  const auto start = Clock::now();
  EXPECT_TRUE(limits.Admit(1'000'000, {}));
  EXPECT_LT(Clock::now() - start, milliseconds(800));
}

TEST(Limits, PauseHoldsUntilItIsLifted) {
  CopyLimits limits;
  limits.SetPaused(true);
  std::jthread lifter([&] {
    std::this_thread::sleep_for(milliseconds(60));
    EXPECT_EQ(limits.waiting(), CopyLimits::Wait::kPaused);
    limits.SetPaused(false);
  });
  const auto start = Clock::now();
  EXPECT_TRUE(limits.Admit(1, {}));
  EXPECT_GE(Clock::now() - start, milliseconds(50));
  EXPECT_EQ(limits.waiting(), CopyLimits::Wait::kNone);
}

TEST(Limits, StopEndsEveryWait) {
  for (const int kind : {0, 1, 2}) {
    CopyLimits limits;
    if (kind == 0) {
      limits.SetPaused(true);
    } else if (kind == 1) {
      limits.SetRowsPerSecond(1);
    } else {
      limits.SetBackOff([] { return true; });
    }
    std::stop_source stop;
    std::jthread stopper([&] {
      std::this_thread::sleep_for(milliseconds(30));
      stop.request_stop();
    });
    const auto start = Clock::now();
    EXPECT_FALSE(limits.Admit(1'000'000, stop.get_token())) << kind;
    EXPECT_LT(Clock::now() - start, milliseconds(400)) << kind;
  }
}

TEST(Limits, BackOffIsAskedAgainUntilItSaysGo) {
  CopyLimits limits;
  std::atomic<int> asked = 0;
  limits.SetBackOff([&] { return ++asked < 2; });
  const auto start = Clock::now();
  EXPECT_TRUE(limits.Admit(1, {}));
  EXPECT_EQ(asked, 2);
  EXPECT_GE(Clock::now() - start, milliseconds(400));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(limits.Admit(1, {}));
  }
  EXPECT_LE(asked, 3) << "asked rarely";
}

}  // namespace
}  // namespace crossfade::snapshot
