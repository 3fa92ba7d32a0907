#include "tools/crossfade/history.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/failpoint.h"

namespace crossfade::tools {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kStart = 1'700'000'000 * kSecond;

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("crossfade_history_" + std::to_string(::getpid()));
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  static StatusReport At(int64_t seconds, int64_t lag_ms, Phase phase = Phase::kFollowing) {
    StatusReport report;
    report.started_us = kStart;
    report.at_us = kStart + seconds * kSecond;
    report.phase = phase;
    report.pid = 42;
    report.version = "crossfade test";
    report.lag_ms = lag_ms;
    report.lag_capture_ms = lag_ms / 2;
    report.lag_apply_ms = lag_ms - lag_ms / 2;
    report.applied_seq = Seq{static_cast<uint64_t>(seconds)};
    return report;
  }
  void Write(HistoryWriter* writer, int64_t from, int64_t to) {
    for (int64_t second = from; second < to; ++second) {
      const Status noted = writer->Note(At(second, second == 777 ? 5000 : 10), {});
      ASSERT_TRUE(noted) << noted.error().ToString();
    }
  }
  History Read() {
    Result<History> history = ReadHistory(directory_);
    EXPECT_TRUE(history) << history.error().ToString();
    return history.value_or(History{});
  }
  uintmax_t Size() { return std::filesystem::file_size(HistoryPath(directory_)); }

  std::filesystem::path directory_;
};

TEST_F(HistoryTest, NothingYetIsNoError) {
  EXPECT_TRUE(Read().samples.empty());
  EXPECT_TRUE(Read().phases.empty());
}

TEST_F(HistoryTest, KeepsTheLookAndTheLargestBetweenTwoSamples) {
  HistoryWriter writer(directory_, {.step_us = 10 * kSecond});
  for (int64_t second = 0; second <= 20; ++second) {
    ASSERT_TRUE(writer.Note(At(second, second == 4 ? 900 : 10 + second), {}));
  }
  const History history = Read();
  ASSERT_EQ(history.samples.size(), 2);
  EXPECT_EQ(history.samples[0].at_us, kStart + 10 * kSecond);
  EXPECT_EQ(history.samples[0].total.look_ms, 20);
  EXPECT_EQ(history.samples[0].total.max_ms, 900);
  EXPECT_EQ(history.samples[0].capture.max_ms, 450);
  EXPECT_EQ(history.samples[1].total.max_ms, 30);
  EXPECT_EQ(history.samples[1].applied_seq, 20);
}

TEST_F(HistoryTest, PhasesSurviveARestartAndTheEndIsWritten) {
  {
    HistoryWriter writer(directory_);
    ASSERT_TRUE(writer.Note(At(0, -1, Phase::kCopying), {{kStart + 5, Phase::kCopying}}));
    StatusReport failed = At(3, -1, Phase::kFailed);
    failed.last_error = Error{};
    failed.last_error->code = "CF1203";
    ASSERT_TRUE(writer.Note(failed, {{kStart + 6, Phase::kFailed}}));
  }
  HistoryWriter writer(directory_);
  StatusReport again = At(60, -1, Phase::kCatchingUp);
  again.started_us = kStart + 59 * kSecond;
  ASSERT_TRUE(writer.Note(again, {{kStart + 60 * kSecond, Phase::kCatchingUp}}));
  const History history = Read();
  ASSERT_EQ(history.phases.size(), 5);
  EXPECT_EQ(history.phases[0].phase, Phase::kStarting);
  EXPECT_EQ(history.phases[1].phase, Phase::kCopying);
  EXPECT_EQ(history.phases[2].phase, Phase::kFailed);
  EXPECT_EQ(history.phases[2].code, "CF1203");
  EXPECT_EQ(history.phases[3].at_us, kStart + 59 * kSecond);
  EXPECT_EQ(history.phases[4].pid, 42);
  ASSERT_EQ(history.samples.size(), 1);  // what was seen before the end
  EXPECT_EQ(history.samples[0].phase, Phase::kCopying);
  EXPECT_EQ(history.samples[0].total.look_ms, -1);
}

TEST_F(HistoryTest, IsBoundedForEverAndForgetsNoPeak) {
  const HistoryLimits limits{.step_us = kSecond, .max_samples = 64, .max_phases = 16};
  uintmax_t largest = 0;
  for (int64_t run = 0; run < 40; ++run) {
    HistoryWriter writer(directory_, limits);
    Write(&writer, run * 100, run * 100 + 100);
    ASSERT_TRUE(writer.Note(At(run * 100 + 100, -1, Phase::kStopped), {}));
    largest = std::max(largest, Size());
  }
  EXPECT_LT(largest, (64 + 16 + 2) * 260);
  const History history = Read();
  EXPECT_LE(history.samples.size(), 65);
  EXPECT_GE(history.samples.size(), 16);
  EXPECT_LE(history.phases.size(), 17);
  EXPECT_EQ(history.phases.front().at_us, kStart);
  EXPECT_GE(history.step_us, 64 * kSecond);
  int64_t max = 0;
  for (const HistorySample& sample : history.samples) {
    max = std::max(max, sample.total.max_ms);
  }
  EXPECT_EQ(max, 5000);
  EXPECT_LT(history.samples.front().at_us, kStart + 200 * kSecond);
  EXPECT_GT(history.samples.back().at_us, kStart + 3800 * kSecond);
}

TEST_F(HistoryTest, ALineThatACrashCutIsLeftOutAndNothingBehindIt) {
  {
    HistoryWriter writer(directory_);
    Write(&writer, 0, 5);
  }
  std::filesystem::resize_file(HistoryPath(directory_), Size() - 20);
  EXPECT_EQ(Read().samples.size(), 3);
  HistoryWriter writer(directory_);
  Write(&writer, 10, 13);
  const History history = Read();
  EXPECT_EQ(history.samples.size(), 5);
  EXPECT_EQ(history.phases.size(), 2);
}

TEST_F(HistoryTest, LinesThatAreNoneOfOursAreLeftOut) {
  {
    HistoryWriter writer(directory_);
    Write(&writer, 0, 3);
  }
  std::ofstream(HistoryPath(directory_), std::ios::app) << "{}\nnull\n[1]\n{\"at_us\":\"x\"}\n{\"at_us\":1,\"begins\":"
                                                           "99,\"pid\":1,\"version\":\"\",\"code\":\"\"}\n\xff\n";
  const History history = Read();
  EXPECT_EQ(history.samples.size(), 2);
  ASSERT_EQ(history.phases.size(), 2);
  EXPECT_EQ(history.phases.front().phase, Phase::kFailed);
}

TEST_F(HistoryTest, WhatCannotBeWrittenOrReadSaysWhy) {
  std::filesystem::create_directories(directory_ / "history");
  std::filesystem::create_directories(HistoryPath(directory_));  // a directory where the file should be
  HistoryWriter writer(directory_);
  const Status noted = writer.Note(At(0, 1), {});
  ASSERT_FALSE(noted);
  EXPECT_EQ(noted.error().code, "CF1813");
  EXPECT_EQ(noted.error().error_class, ErrorClass::kTransient);
  std::filesystem::remove_all(directory_ / "history");
  std::ofstream(directory_ / "history") << "a file where the folder should be";
  const Result<History> read = ReadHistory(directory_);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, "CF1812");
}

// The process is killed while the file is replaced.
TEST_F(HistoryTest, ADeathWhileThinningLeavesAWholeHistory) {
  for (const char* place : {"history.thin.before", "history.thin.after"}) {
    const std::string failpoint = std::string(place) + "=crash";
    EXPECT_EXIT(
        {
          ::setenv("CROSSFADE_FAILPOINTS", failpoint.c_str(), 1);
          failpoint::ArmFromEnvironment();
          HistoryWriter writer(directory_, {.step_us = kSecond, .max_samples = 20});
          for (int64_t second = 0; second < 30; ++second) {
            (void)writer.Note(At(second, 10), {});
          }
        },
        testing::ExitedWithCode(failpoint::kCrashStatus), "");
    EXPECT_EQ(Read().samples.size(), failpoint.starts_with("history.thin.before") ? 20 : 11);
    HistoryWriter writer(directory_, {.step_us = kSecond, .max_samples = 20});
    Write(&writer, 100, 110);
    EXPECT_GT(Read().samples.size(), 6);
    EXPECT_LT(Read().samples.size(), 20);
    EXPECT_EQ(Read().samples.front().total.look_ms, 10);
    std::filesystem::remove_all(directory_ / "history");
  }
}

}  // namespace
}  // namespace crossfade::tools
