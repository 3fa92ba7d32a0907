#include "core/value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace crossfade {
namespace {

TEST(Value, IdenticalIsKindAndBits) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(Identical(Value::Null(), Value::Null()));
  EXPECT_TRUE(Identical(Value::Absent(), Value()));
  EXPECT_FALSE(Identical(Value::Null(), Value::Absent()));
  EXPECT_TRUE(Identical(Value::Int(-1), Value::Int(-1)));
  EXPECT_FALSE(Identical(Value::Int(1), Value::Uint(1)));
  EXPECT_FALSE(Identical(Value::Int(0), Value::Null()));
  EXPECT_TRUE(Identical(Value::Double(nan), Value::Double(nan)));
  EXPECT_FALSE(Identical(Value::Double(0.0), Value::Double(-0.0)));
  EXPECT_FALSE(Identical(Value::Float(0.0F), Value::Float(-0.0F)));
  EXPECT_TRUE(Identical(Value::Float(1.5F), Value::Float(1.5F)));
  EXPECT_TRUE(Identical(Value::Bits(5), Value::Bits(5)));
  EXPECT_FALSE(Identical(Value::OfInt(ValueKind::kTime, 1), Value::OfInt(ValueKind::kTime, 2)));
  const std::string a = "text";
  const std::string b = "text";
  EXPECT_TRUE(Identical(Value::OfBytes(ValueKind::kText, a), Value::OfBytes(ValueKind::kText, b)));
  EXPECT_FALSE(Identical(Value::OfBytes(ValueKind::kText, a), Value::OfBytes(ValueKind::kBytes, b)));
  EXPECT_FALSE(Identical(Value::OfBytes(ValueKind::kText, "a"), Value::OfBytes(ValueKind::kText, "a ")));
}

TEST(Value, IsShownToPeople) {
  EXPECT_EQ(ToDisplay(Value::Absent()), "(absent)");
  EXPECT_EQ(ToDisplay(Value::Null()), "NULL");
  EXPECT_EQ(ToDisplay(Value::Int(-5)), "-5");
  EXPECT_EQ(ToDisplay(Value::Uint(UINT64_MAX)), "18446744073709551615");
  EXPECT_EQ(ToDisplay(Value::Double(2.5)), "2.5");
  EXPECT_EQ(ToDisplay(Value::OfBytes(ValueKind::kDecimal, "-12.340")), "-12.340");
  EXPECT_EQ(ToDisplay(Value::OfBytes(ValueKind::kText, "it's")), "'it's'");
  EXPECT_EQ(ToDisplay(Value::OfBytes(ValueKind::kBytes, std::string_view("\0\xff", 2))), "0x00ff");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kDate, PackDate(0, 0, 0))), "0000-00-00");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kDate, PackDate(2020, 2, 0))), "2020-02-00");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(9999, 12, 31), 86'399'999'999))),
            "9999-12-31 23:59:59.999999");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kTime, -3'020'399'000'001)), "-838:59:59.000001");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kTimestamp, kZeroTimestamp)), "0000-00-00 00:00:00");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kTimestamp, 1'709'164'800'000'000)), "2024-02-29 00:00:00.000000Z");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kTimestamp, -1)), "1969-12-31 23:59:59.999999Z");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kTimestamp, kTimestampMinusInfinity)), "-infinity");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kDateTime, kDateInfinity)), "infinity");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kDate, kDateMinusInfinity)), "-infinity");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kDate, PackDate(-43, 3, 15))), "0044-03-15 BC");
  EXPECT_EQ(ToDisplay(Value::OfBytes(ValueKind::kNative, "[1,3)")), "'[1,3)'");
}

TEST(Value, LongOnesAreCutAndSaySo) {
  const std::string text(1000, 'x');
  const std::string shown = ToDisplay(Value::OfBytes(ValueKind::kText, text), 10);
  EXPECT_EQ(shown, "'xxxxxxxxxx'... (1000 bytes)");
  EXPECT_EQ(ToDisplay(Value::OfBytes(ValueKind::kBytes, text), 2), "0x7878... (1000 bytes)");
  EXPECT_EQ(ToDisplay(Value::OfBytes(ValueKind::kText, "xy"), 2), "'xy'");
}

TEST(Dates, PackingKeepsEveryDateOfTheServers) {
  for (const int year : {0, 1, 1970, 2024, 9999}) {
    for (int month = 0; month <= 12; ++month) {
      for (int day = 0; day <= 31; ++day) {
        const CivilDate date = UnpackDate(PackDate(year, month, day));
        ASSERT_EQ(date.year, year);
        ASSERT_EQ(date.month, month);
        ASSERT_EQ(date.day, day);
        const int64_t packed = PackDateTime(PackDate(year, month, day), 86'399'999'999);
        ASSERT_EQ(DateOfDateTime(packed), PackDate(year, month, day));
        ASSERT_EQ(MicrosOfDateTime(packed), 86'399'999'999);
      }
    }
  }
}

TEST(Dates, PackingKeepsTheYearsBeforeTheFirst) {
  for (const int year : {-1, -43, -4712, kFirstDateTimeYear, kLastDateTimeYear}) {
    for (const int month : {1, 7, 12}) {
      const CivilDate date = UnpackDate(PackDate(year, month, 31));
      ASSERT_EQ(date.year, year);
      ASSERT_EQ(date.month, month);
      ASSERT_EQ(date.day, 31);
      const int64_t packed = PackDateTime(PackDate(year, month, 31), 86'399'999'999);
      ASSERT_EQ(DateOfDateTime(packed), PackDate(year, month, 31));
      ASSERT_EQ(MicrosOfDateTime(packed), 86'399'999'999);
      ASSERT_LT(kDateMinusInfinity, packed);
      ASSERT_GT(kDateInfinity, packed);
    }
  }
  EXPECT_LT(PackDate(-1, 12, 31), PackDate(0, 1, 1));
  EXPECT_LT(PackDateTime(PackDate(-1, 12, 31), 86'399'999'999), PackDateTime(PackDate(0, 1, 1), 0));
}

TEST(Dates, PackedDatesSortAsDatesDo) {
  EXPECT_LT(PackDate(2023, 12, 31), PackDate(2024, 1, 1));
  EXPECT_LT(PackDate(2024, 1, 31), PackDate(2024, 2, 0));
  EXPECT_LT(PackDateTime(PackDate(2024, 1, 1), 86'399'999'999), PackDateTime(PackDate(2024, 1, 2), 0));
}

TEST(Dates, DaysAreTheCalendars) {
  EXPECT_EQ(DaysFromCivil({1970, 1, 1}), 0);
  EXPECT_EQ(DaysFromCivil({1969, 12, 31}), -1);
  EXPECT_EQ(DaysFromCivil({2000, 3, 1}), 11'017);
  EXPECT_EQ(DaysFromCivil({1, 1, 1}), -719'162);
  EXPECT_EQ(DaysFromCivil({9999, 12, 31}), 2'932'896);
}

TEST(Dates, EveryDayComesBackAndFollowsTheOneBefore) {
  CivilDate before = CivilFromDays(DaysFromCivil({0, 1, 1}) - 1);
  const int64_t last = DaysFromCivil({9999, 12, 31});
  for (int64_t days = DaysFromCivil({0, 1, 1}); days <= last; ++days) {
    const CivilDate date = CivilFromDays(days);
    ASSERT_EQ(DaysFromCivil(date), days);
    ASSERT_TRUE(IsRealDate(date)) << days;
    ASSERT_LT(PackDate(before.year, before.month, before.day), PackDate(date.year, date.month, date.day));
    before = date;
  }
}

TEST(Dates, RealOnes) {
  EXPECT_TRUE(IsRealDate({2024, 2, 29}));
  EXPECT_TRUE(IsRealDate({2000, 2, 29}));
  EXPECT_FALSE(IsRealDate({1900, 2, 29}));
  EXPECT_FALSE(IsRealDate({2023, 2, 29}));
  EXPECT_FALSE(IsRealDate({2023, 0, 1}));
  EXPECT_FALSE(IsRealDate({2023, 13, 1}));
  EXPECT_FALSE(IsRealDate({2023, 1, 0}));
  EXPECT_FALSE(IsRealDate({2023, 4, 31}));
  EXPECT_FALSE(IsRealDate({-1, 4, 1}));
}

TEST(Display, IsNeverCutWithinACharacterAndBearsAnyTime) {
  Value text;
  text.kind = ValueKind::kText;
  text.bytes = "ab\xE2\x82\xAC";  // ab and the euro sign
  EXPECT_EQ(ToDisplay(text, 4).substr(0, 4), "'ab'");
  EXPECT_EQ(ToDisplay(text, 5), "'ab\xE2\x82\xAC'");
  EXPECT_EQ(ToDisplay(Value::OfInt(ValueKind::kTime, std::numeric_limits<int64_t>::min())).substr(0, 1), "-");
}

}  // namespace
}  // namespace crossfade
