#include "db/postgres/position.h"

#include <gtest/gtest.h>

namespace crossfade::postgres {
namespace {

template <typename T>
std::string CodeOf(const Result<T>& result) {
  return result ? "" : result.error().code;
}

TEST(Lsn, IsReadAsTheServerWritesIt) {
  EXPECT_EQ(FormatLsn(0x15785B0), "0/15785B0");
  EXPECT_EQ(FormatLsn(0x16'B374'D848), "16/B374D848");
  EXPECT_EQ(*ParseLsn("16/B374D848"), 0x16'B374'D848U);
  EXPECT_EQ(*ParseLsn("16/b374d848"), 0x16'B374'D848U);
  EXPECT_EQ(*ParseLsn("FFFFFFFF/FFFFFFFF"), ~uint64_t{0});
  for (const char* text : {"", "/", "0", "0/", "/1", "0/1/2", "0/100000000", "x/1", "0/-1", " 0/1", "0/1 ", "0x1/1"}) {
    EXPECT_EQ(CodeOf(ParseLsn(text)), "CF1900") << text;
  }
}

TEST(Xid, GetsTheEpochOfItsNeighbours) {
  constexpr uint64_t kEpoch = uint64_t{1} << 32;
  EXPECT_EQ(WidenXid(737, 740), 737U);
  EXPECT_EQ(WidenXid(740, 737), 740U);
  EXPECT_EQ(WidenXid(737, 5 * kEpoch + 740), 5 * kEpoch + 737);
  EXPECT_EQ(WidenXid(0xFFFFFFF0, 5 * kEpoch + 3), 5 * kEpoch - 16);  // just before the counter went round
  EXPECT_EQ(WidenXid(3, 5 * kEpoch - 16), 5 * kEpoch + 3);           // just after
  EXPECT_EQ(WidenXid(0x7FFFFFFF, kEpoch), kEpoch + 0x7FFFFFFF);
  EXPECT_EQ(WidenXid(0x80000001, kEpoch), kEpoch - 0x7FFFFFFF);
  EXPECT_EQ(WidenXid(0xF0000000, 100), 0xF0000000U);  // there was no epoch before the first
}

TEST(Snapshot, SeesWhatWasCommittedBeforeIt) {
  const Snapshot snapshot = *Snapshot::Parse("735:740:738,736");
  for (const uint64_t seen : {3, 734, 735, 737, 739}) {
    EXPECT_TRUE(snapshot.Sees(seen)) << seen;
  }
  for (const uint64_t unseen : {736, 738, 740, 741, 1'000'000}) {
    EXPECT_FALSE(snapshot.Sees(unseen)) << unseen;
  }
  EXPECT_FALSE(Snapshot::Parse("10:10:")->Sees(10));
  EXPECT_TRUE(Snapshot::Parse("10:10:")->Sees(9));
  for (const char* text : {"", "1", "1:2", "2:1:", "1:2:3", "1:9:0", "1:2:x", "1:9:2,,3", "1:2::", "-1:2:", "1:2:1:"}) {
    EXPECT_EQ(CodeOf(Snapshot::Parse(text)), "CF1900") << text;
  }
}

TEST(Snapshot, HoldsAnotherWhenItSeesAllThatThatSees) {
  const auto holds = [](const char* a, const char* b) { return Snapshot::Parse(a)->SeesAllOf(*Snapshot::Parse(b)); };
  EXPECT_TRUE(holds("10:10:", "10:10:"));
  EXPECT_TRUE(holds("12:12:", "10:10:"));
  EXPECT_FALSE(holds("10:10:", "12:12:"));
  EXPECT_TRUE(holds("10:12:10", "10:12:10"));
  EXPECT_TRUE(holds("12:12:", "10:12:10"));
  EXPECT_FALSE(holds("10:12:10", "12:12:"));
  EXPECT_TRUE(holds("10:14:10", "10:12:10,11"));
  EXPECT_TRUE(holds("10:10:", "10:12:10,11"));  // the other goes further, and sees nothing there
  EXPECT_FALSE(holds("10:10:", "10:12:10"));
  EXPECT_FALSE(holds("10:14:13", "14:14:"));
}

// All small snapshots, against the definition.
TEST(Snapshot, HoldsAnotherExactlyByDefinition) {
  std::vector<std::string> texts;
  for (int xmax = 3; xmax <= 6; ++xmax) {
    for (int mask = 0; mask < 1 << (xmax - 3); ++mask) {
      std::string list;
      for (int xid = 3; xid < xmax; ++xid) {
        list += (mask >> (xid - 3) & 1) != 0 ? (list.empty() ? "" : ",") + std::to_string(xid) : "";
      }
      texts.push_back("3:" + std::to_string(xmax) + ":" + list);
    }
  }
  for (const std::string& a : texts) {
    for (const std::string& b : texts) {
      const Snapshot one = *Snapshot::Parse(a);
      const Snapshot other = *Snapshot::Parse(b);
      bool all = true;
      for (uint64_t xid = 0; xid < 10; ++xid) {
        all = all && (one.Sees(xid) || !other.Sees(xid));
      }
      EXPECT_EQ(one.SeesAllOf(other), all) << a << " " << b;
    }
  }
}

constexpr const char* kHere = "7123456789/1";

Position Place(uint64_t lsn, const char* server = kHere) { return {.server = server, .offset = lsn}; }
Position Transaction(uint64_t lsn, const char* xid, const char* server = kHere) {
  return {.server = server, .last = xid, .offset = lsn};
}
Position Seen(const char* set, uint64_t lsn) { return {.server = kHere, .set = set, .offset = lsn}; }

TEST(PgPositionOrder, APlaceHoldsWhatEndedBeforeIt) {
  const PgPositionOrder order;
  EXPECT_TRUE(*order.Contains(Place(100), Transaction(100, "7")));
  EXPECT_TRUE(*order.Contains(Place(100), Place(99)));
  EXPECT_FALSE(*order.Contains(Place(100), Transaction(101, "7")));
  EXPECT_TRUE(*order.Contains(Transaction(100, "9"), Transaction(90, "10")));
  EXPECT_TRUE(*order.Contains(Place(100), Seen("7:7:", 100)));
  EXPECT_FALSE(*order.Contains(Place(100), Seen("7:7:", 101)));
}

// Hazard H4: the commit at 90 is in the log before the snapshot's place, and was not visible yet.
TEST(PgPositionOrder, ASnapshotGoesByTheTransactionsItSees) {
  const PgPositionOrder order;
  const Position seen = Seen("737:740:737", 200);
  EXPECT_FALSE(*order.Contains(seen, Transaction(90, "737")));
  EXPECT_TRUE(*order.Contains(seen, Transaction(150, "738")));
  EXPECT_FALSE(*order.Contains(seen, Transaction(150, "740")));
  EXPECT_TRUE(*order.Contains(seen, Seen("737:739:737", 100)));
  EXPECT_FALSE(*order.Contains(seen, Seen("738:738:", 100)));
  EXPECT_FALSE(order.HasBorder(seen));
  EXPECT_TRUE(order.HasBorder(Place(200)));
  EXPECT_EQ(CodeOf(order.Contains(seen, Place(1))), "CF1901");
  EXPECT_EQ(CodeOf(order.Contains(Seen("x", 100), Transaction(1, "7"))), "CF1900");
  EXPECT_EQ(CodeOf(order.Contains(seen, Transaction(1, "x"))), "CF1900");
}

TEST(PgPositionOrder, GoesOnAlongTimelinesAndNeverToAnotherCluster) {
  const PgPositionOrder order;
  EXPECT_TRUE(*order.Contains(Place(100, "7123456789/2"), Transaction(90, "7")));
  EXPECT_FALSE(*order.Contains(Place(100), Transaction(110, "7", "7123456789/2")));
  EXPECT_EQ(CodeOf(order.Contains(Place(100), Transaction(90, "7", "7123456789/2"))), "CF1901");
  EXPECT_EQ(CodeOf(order.Contains(Place(100), Transaction(90, "7", "81/1"))), "CF1901");
  EXPECT_EQ(CodeOf(order.Contains(Place(100), {.server = kHere, .last = "7"})), "CF1901");
  EXPECT_EQ(CodeOf(order.Contains(Place(100), {.server = "uuid", .offset = 7})), "CF1900");
}

}  // namespace
}  // namespace crossfade::postgres
