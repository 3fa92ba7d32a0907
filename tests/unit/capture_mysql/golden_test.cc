// Recorded logs, whole, cut off and damaged.
#include "golden.h"

#include <random>

namespace crossfade::capture {
namespace {

std::string WithoutEnd(std::string text) { return text.ends_with(" end") ? text.substr(0, text.size() - 4) : text; }

class GoldenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTest, GivesWhatItGaveThen) {
  const Golden golden = ReadGolden(GetParam());
  ASSERT_FALSE(golden.events.empty());
  std::vector<std::string> outcome;
  const Status decoded = DecodeAll(golden, &outcome);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().ToString();
  EXPECT_EQ(outcome, golden.outcome);
}

// With no room to wait in, all is given out as it comes, and nothing is lost but knowledge.
TEST_P(GoldenTest, HoldsNothingWithoutRoom) {
  const Golden golden = ReadGolden(GetParam());
  std::vector<std::string> outcome;
  const Status decoded = DecodeAll(golden, &outcome, 0);
  if (!decoded) {
    EXPECT_EQ(decoded.error().code, "CF1214");
  }
}

TEST_P(GoldenTest, EventsCutAtEveryByteAreErrorsOrShorter) {
  const Golden golden = ReadGolden(GetParam());
  std::vector<std::string> whole;
  ASSERT_TRUE(DecodeAll(golden, &whole).has_value());
  for (size_t i = 0; i < golden.events.size(); ++i) {
    const std::string& event = golden.events[i];
    const bool is_rows = IsRowsEvent(static_cast<EventType>(event[4]));
    std::vector<std::string> uncut;
    const auto before = MakeDecoder(golden);
    for (size_t k = 0; k <= i; ++k) {
      uncut.clear();
      ASSERT_TRUE(FeedAll(before.get(), golden.events[k], &uncut).has_value());
    }
    for (size_t cut = 0; cut + kChecksumBytes < event.size(); ++cut) {
      const auto decoder = MakeDecoder(golden);
      for (size_t k = 0; k < i; ++k) {
        ASSERT_TRUE(FeedAll(decoder.get(), golden.events[k], nullptr).has_value());
      }
      EXPECT_FALSE(FeedAll(decoder.get(), event.substr(0, cut), nullptr).has_value());
      if (cut >= kEventHeaderBytes) {
        std::vector<std::string> outcome;
        const Status fed = FeedAll(decoder.get(), Sealed(event.substr(0, cut)), &outcome);
        // Rows that are whole come out as they are, and no others.
        for (size_t k = 0; is_rows && k < outcome.size(); ++k) {
          ASSERT_LT(k, uncut.size());
          EXPECT_EQ(WithoutEnd(outcome[k]), WithoutEnd(uncut[k])) << i << " cut at " << cut;
        }
        EXPECT_TRUE(!fed || !is_rows || outcome.size() < uncut.size() || uncut.empty()) << i << " cut at " << cut;
      }
    }
  }
}

TEST_P(GoldenTest, DamagedBytesDoNoHarm) {
  const Golden golden = ReadGolden(GetParam());
  std::mt19937 random(20240229);
  for (int round = 0; round < 600; ++round) {
    const auto decoder = MakeDecoder(golden, round % 2 == 0 ? 1 << 20 : 100);
    for (const std::string& event : golden.events) {
      std::string damaged = event.substr(0, event.size() - kChecksumBytes);
      if (random() % 8 == 0 && damaged.size() > kEventHeaderBytes) {
        const size_t at = kEventHeaderBytes + random() % (damaged.size() - kEventHeaderBytes);
        damaged[at] = static_cast<char>(random());
      }
      if (!FeedAll(decoder.get(), Sealed(damaged), nullptr)) {
        break;
      }
    }
  }
}

TEST_P(GoldenTest, WrongChecksumIsCorrupt) {
  const Golden golden = ReadGolden(GetParam());
  for (size_t i = 2; i < golden.events.size(); ++i) {
    if (static_cast<EventType>(golden.events[i][4]) == EventType::kRotate) {
      continue;
    }
    const auto decoder = MakeDecoder(golden);
    for (size_t k = 0; k < i; ++k) {
      ASSERT_TRUE(FeedAll(decoder.get(), golden.events[k], nullptr).has_value());
    }
    std::string damaged = golden.events[i];
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    const Status fed = FeedAll(decoder.get(), damaged, nullptr);
    ASSERT_FALSE(fed.has_value()) << i;
    EXPECT_EQ(fed.error().code, "CF1207");
    EXPECT_EQ(fed.error().error_class, ErrorClass::kCorrupt);
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, GoldenTest,
                         ::testing::Values("mariadb.txt", "mariadb_compressed.txt", "mysql.txt",
                                           "mysql_compressed.txt"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name.substr(0, name.find('.'));
                         });

}  // namespace
}  // namespace crossfade::capture
