#include "core/bytes.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace crossfade {
namespace {

constexpr uint64_t kNumbers[] = {
    0, 1, 127, 128, 16'383, 16'384, 0xFFFFFFFF, 0x100000000, 1ULL << 62, (1ULL << 63) - 1, 1ULL << 63, UINT64_MAX};

TEST(Bytes, EverythingComesBackInOrder) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(7);
  out.FixedU32(0x01020304);
  out.FixedU64(0x0102030405060708);
  out.BigEndianU32(0x01020304);
  out.BigEndianU64(0x0102030405060708);
  out.String("text");
  out.String("");
  out.Bytes("raw");
  EXPECT_EQ(bytes.substr(1, 4), "\x04\x03\x02\x01");
  EXPECT_EQ(bytes.substr(13, 4), "\x01\x02\x03\x04");
  ByteReader in(bytes);
  EXPECT_EQ(in.U8(), 7);
  EXPECT_EQ(in.FixedU32(), 0x01020304u);
  EXPECT_EQ(in.FixedU64(), 0x0102030405060708u);
  EXPECT_EQ(in.BigEndianU32(), 0x01020304u);
  EXPECT_EQ(in.BigEndianU64(), 0x0102030405060708u);
  EXPECT_EQ(in.String(), "text");
  EXPECT_EQ(in.String(), "");
  EXPECT_EQ(in.rest(), "raw");
  in.Skip(3);
  EXPECT_TRUE(in.ok());
  EXPECT_TRUE(in.at_end());
}

TEST(Bytes, BigEndianSortsAsTheNumbersDo) {
  std::string before;
  for (const uint64_t number : kNumbers) {
    std::string bytes;
    ByteWriter(&bytes).BigEndianU64(number);
    EXPECT_TRUE(before.empty() || before < bytes);
    before = bytes;
  }
}

TEST(Bytes, VarintsComeBackFromEverySize) {
  for (const uint64_t number : kNumbers) {
    std::string bytes;
    ByteWriter(&bytes).Varint(number);
    EXPECT_LE(bytes.size(), 10u);
    ByteReader in(bytes);
    EXPECT_EQ(in.Varint(), number);
    EXPECT_TRUE(in.ok() && in.at_end());
    for (size_t size = 0; size < bytes.size(); ++size) {
      ByteReader cut(std::string_view(bytes).substr(0, size));
      (void)cut.Varint();
      EXPECT_FALSE(cut.ok());
      EXPECT_EQ(cut.Varint(), 0u);
    }
  }
}

TEST(Bytes, SignedVarintsKeepSmallNumbersSmall) {
  for (const int64_t number : {int64_t{0}, int64_t{-1}, int64_t{1}, int64_t{-64}, int64_t{63}}) {
    std::string bytes;
    ByteWriter(&bytes).SignedVarint(number);
    EXPECT_EQ(bytes.size(), 1u) << number;
    EXPECT_EQ(ByteReader(bytes).SignedVarint(), number);
  }
  for (const int64_t number : {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    std::string bytes;
    ByteWriter(&bytes).SignedVarint(number);
    EXPECT_EQ(ByteReader(bytes).SignedVarint(), number);
  }
}

TEST(Bytes, AVarintThatNeverEndsIsAnError) {
  ByteReader in("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
  EXPECT_EQ(in.Varint(), 0u);
  EXPECT_FALSE(in.ok());
}

TEST(Bytes, ReadingBehindTheEndFailsForGood) {
  const std::vector<char> three = {1, 2, 3};
  ByteReader in({three.data(), three.size()});
  EXPECT_EQ(in.FixedU32(), 0u);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.U8(), 0);
  EXPECT_EQ(in.remaining(), 0u);
  EXPECT_FALSE(in.ok());
}

TEST(Bytes, AStringLongerThanWhatIsLeftIsAnError) {
  for (const uint64_t length : {uint64_t{4}, UINT64_MAX}) {
    std::string bytes;
    ByteWriter out(&bytes);
    out.Varint(length);
    out.Bytes("abc");
    ByteReader in(bytes);
    EXPECT_EQ(in.String(), "");
    EXPECT_FALSE(in.ok());
  }
  ByteReader in("abc");
  in.Skip(UINT64_MAX);
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace crossfade
