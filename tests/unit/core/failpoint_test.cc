#include "core/failpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace crossfade::failpoint {
namespace {

// Arming holds for the rest of a process, so each test that arms does it in one of its own (a death test).
void Arm(const char* failpoints, const char* log = "") {
  ::setenv("CROSSFADE_FAILPOINTS", failpoints, 1);
  ::setenv("CROSSFADE_FAILPOINT_LOG", log, 1);
  ArmFromEnvironment();
}

void Pass() { CROSSFADE_FAILPOINT("test.place"); }
void PassOther() { CROSSFADE_FAILPOINT("test.other"); }

std::string TemporaryPath(const char* name) {
  return (std::filesystem::temp_directory_path() / (std::string(name) + std::to_string(::getpid()))).string();
}

TEST(Failpoint, DoesNothingUnlessArmed) {
  Pass();
  EXPECT_FALSE(Site::armed.load());
}

TEST(FailpointDeathTest, CrashesWithItsOwnStatus) {
  EXPECT_EXIT(
      {
        Arm("test.place=crash");
        PassOther();
        Pass();
        std::exit(0);
      },
      ::testing::ExitedWithCode(kCrashStatus), "");
  EXPECT_EXIT(
      {
        Arm("test.place");
        Pass();
        std::exit(0);
      },
      ::testing::ExitedWithCode(kCrashStatus), "");
}

TEST(FailpointDeathTest, CrashesAtTheHitAskedFor) {
  for (int passes = 1; passes <= 4; ++passes) {
    EXPECT_EXIT(
        {
          Arm("test.other=crash@9,test.place=crash@3");
          for (int n = 0; n < passes; ++n) {
            Pass();
          }
          std::exit(0);
        },
        ::testing::ExitedWithCode(passes < 3 ? 0 : kCrashStatus), "")
        << passes;
  }
}

TEST(FailpointDeathTest, OtherNamesAndNothingAskedForDoNothing) {
  for (const char* failpoints : {"", ",,", "test.plac=crash", "test.place.more=crash", "test.place=unknown"}) {
    EXPECT_EXIT(
        {
          Arm(failpoints);
          Pass();
          std::exit(0);
        },
        ::testing::ExitedWithCode(0), "")
        << failpoints;
  }
}

TEST(FailpointDeathTest, SleepsAtEachHit) {
  EXPECT_EXIT(
      {
        Arm("test.place=sleep:30");
        const auto start = std::chrono::steady_clock::now();
        Pass();
        Pass();
        std::exit(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(60) ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(FailpointDeathTest, WaitsForAFile) {
  const std::string path = TemporaryPath("crossfade-failpoint-wait");
  EXPECT_EXIT(
      {
        Arm(("test.place=wait:" + path).c_str());
        std::atomic<bool> passed{false};
        std::thread waiting([&passed] {
          Pass();
          passed = true;
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        const bool early = passed;
        std::ofstream(path) << "go";
        waiting.join();
        std::exit(early ? 1 : 0);
      },
      ::testing::ExitedWithCode(0), "");
  std::filesystem::remove(path);
}

TEST(FailpointDeathTest, LogsEachNameOnce) {
  const std::string path = TemporaryPath("crossfade-failpoint-log");
  std::filesystem::remove(path);
  EXPECT_EXIT(
      {
        Arm("", path.c_str());
        Pass();
        PassOther();
        Pass();
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
  std::ifstream in(path);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(text, "test.place\ntest.other\n");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace crossfade::failpoint
