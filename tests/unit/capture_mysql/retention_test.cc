#include <gtest/gtest.h>

#include "capture/mysql/log_retention.h"

namespace crossfade::capture {
namespace {

constexpr int64_t kNow = 1'700'000'000;

LogFiles Log(int64_t expire_s) {
  LogFiles log;
  log.files = {{"binlog.000007", 60 << 20}, {"binlog.000008", 30 << 20}, {"binlog.000009", 5 << 20}};
  log.expire_s = expire_s;
  log.setting = "binlog_expire_logs_seconds";
  log.now_s = kNow;
  return log;
}

Position In(const std::string& file) {
  Position position;
  position.server = "s";
  position.file = file;
  position.offset = 4;
  return position;
}

TEST(RetentionTest, AFileThatIsStillWrittenIsInNoDanger) {
  const Retention retention = JudgeRetention(Log(60), In("binlog.000009"), kNow);
  EXPECT_EQ(retention.kept_s, 60);
  EXPECT_EQ(retention.left_s, -1);
  EXPECT_EQ(retention.warning, "");
}

TEST(RetentionTest, AClosedFileIsWarnedOfWhenADayOrAQuarterIsLeft) {
  constexpr int64_t kHour = 3600;
  const auto left = [](int64_t expire_s, int64_t closed_s) {
    return JudgeRetention(Log(expire_s), In("binlog.000008"), kNow - closed_s);
  };
  EXPECT_EQ(left(240 * kHour, 170 * kHour).warning, "");
  EXPECT_EQ(left(240 * kHour, 170 * kHour).left_s, 70 * kHour);
  EXPECT_NE(left(240 * kHour, 181 * kHour).warning, "");
  EXPECT_EQ(left(72 * kHour, 47 * kHour).warning, "");
  EXPECT_NE(left(72 * kHour, 49 * kHour).warning, "");
  EXPECT_EQ(left(8 * kHour, 3 * kHour).warning, "");
  const Retention late = left(8 * kHour, 5 * kHour);
  EXPECT_NE(late.warning.find("in 3 hours the source may purge binlog.000008"), std::string::npos) << late.warning;
  EXPECT_NE(late.warning.find("SET GLOBAL binlog_expire_logs_seconds = 259200"), std::string::npos) << late.warning;
  EXPECT_EQ(left(8 * kHour, 50 * kHour).left_s, 0);
}

TEST(RetentionTest, WithoutATimeOnlyTheSizePurges) {
  LogFiles log = Log(0);
  EXPECT_EQ(JudgeRetention(log, In("binlog.000007"), kNow).warning, "");
  EXPECT_EQ(JudgeRetention(log, In("binlog.000007"), kNow).kept_s, -1);
  log.max_total_bytes = 100 << 20;
  EXPECT_NE(JudgeRetention(log, In("binlog.000007"), kNow).warning.find("SET GLOBAL max_binlog_total_size = 209715200"),
            std::string::npos);
  EXPECT_EQ(JudgeRetention(log, In("binlog.000008"), kNow).warning, "");
}

TEST(RetentionTest, WhatIsPurgedIsSaid) {
  const Retention retention = JudgeRetention(Log(60), In("binlog.000006"), kNow);
  EXPECT_TRUE(retention.purged);
  EXPECT_NE(retention.warning.find("has purged binlog.000006"), std::string::npos);
}

}  // namespace
}  // namespace crossfade::capture
