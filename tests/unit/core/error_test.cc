#include "core/error.h"

#include <gtest/gtest.h>

namespace crossfade {
namespace {

TEST(Error, SaysEverythingItKnows) {
  Error error = MakeError(ErrorClass::kConfig, "CF1203", "capture.mysql", "binlog_format is {}", "MIXED").value();
  EXPECT_EQ(error.ToString(), "capture.mysql: binlog_format is MIXED [CF1203]");
  error.server_code = "1236";
  error.object = "@@binlog_format";
  error.found = "MIXED";
  error.fix = "SET GLOBAL binlog_format = ROW";
  EXPECT_EQ(error.ToString(),
            "capture.mysql: binlog_format is MIXED (object: @@binlog_format, found: MIXED) [CF1203, server 1236]; "
            "fix: SET GLOBAL binlog_format = ROW");
}

TEST(Error, ContextComesInFront) {
  const Error error =
      MakeError(ErrorClass::kTransient, "CF1", "x", "lost").value().WithContext("append").WithContext("at seq 8");
  EXPECT_EQ(error.message, "at seq 8: append: lost");
}

TEST(Error, EveryClassHasItsName) {
  EXPECT_EQ(ErrorClassName(ErrorClass::kTransient), "transient");
  EXPECT_EQ(ErrorClassName(ErrorClass::kReconnect), "reconnect");
  EXPECT_EQ(ErrorClassName(ErrorClass::kInDoubt), "in doubt");
  EXPECT_EQ(ErrorClassName(ErrorClass::kData), "data");
  EXPECT_EQ(ErrorClassName(ErrorClass::kConfig), "config");
  EXPECT_EQ(ErrorClassName(ErrorClass::kCorrupt), "corrupt");
}

Result<int> Half(int number) {
  if (number % 2 != 0) {
    return MakeError(ErrorClass::kData, "CF1", "x", "{} is odd", number);
  }
  return number / 2;
}

Result<int> Quarter(int number) {
  CROSSFADE_ASSIGN(const int half, Half(number));
  CROSSFADE_ASSIGN(const int quarter, Half(half));
  return quarter;
}

Status IsEven(int number) {
  CROSSFADE_TRY(Half(number));
  return {};
}

TEST(Error, MacrosReturnIt) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(6).error().message, "3 is odd");
  EXPECT_EQ(Quarter(5).error().message, "5 is odd");
  EXPECT_TRUE(IsEven(2));
  EXPECT_FALSE(IsEven(3));
}

}  // namespace
}  // namespace crossfade
