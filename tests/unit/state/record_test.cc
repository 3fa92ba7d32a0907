#include "state/record.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {
namespace {

TEST(LogKey, SortsBySeqThenPartThenCommit) {
  const LogKey keys[] = {LogKey(Seq{0}, 0),   LogKey(Seq{1}, 0),           LogKey(Seq{1}, 1),
                         LogKey(Seq{1}, 256), LogKey(Seq{1}, kCommitPart), LogKey(Seq{2}, 0),
                         LogKey(Seq{255}, 0), LogKey(Seq{256}, 0),         LogKey(Seq{UINT64_MAX}, kCommitPart)};
  for (size_t i = 1; i < std::size(keys); ++i) {
    EXPECT_LT(keys[i - 1].view(), keys[i].view()) << i;
  }
  const std::optional<LogPlace> place = DecodeLogKey(LogKey(Seq{77}, 3).view());
  ASSERT_TRUE(place);
  EXPECT_EQ(place->seq, Seq{77});
  EXPECT_EQ(place->part, 3u);
  EXPECT_FALSE(DecodeLogKey("short"));
  EXPECT_FALSE(DecodeLogKey("much too long"));
  EXPECT_EQ(DescribeLogKey(LogKey(Seq{812}, kCommitPart).view()), "seq 812");
  EXPECT_EQ(DescribeLogKey(LogKey(Seq{812}, 3).view()), "seq 812 part 3");
}

TEST(OpenKey, ComesBack) {
  const std::string key = OpenKey("xid", 9);
  const auto place = DecodeOpenKey(key);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->first, "xid");
  EXPECT_EQ(place->second, 9u);
  for (size_t size = 0; size < key.size(); ++size) {
    EXPECT_FALSE(DecodeOpenKey(std::string_view(key).substr(0, size)));
  }
}

TEST(Seal, FindsEveryFlippedBitAndAnotherKey) {
  const std::string value = Sealed("key", "some payload");
  EXPECT_EQ(Get(Unseal("key", value, "it")), "some payload");
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string damaged = value;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(CodeOf(Unseal("key", damaged, "it")), "CF1304");
  }
  EXPECT_EQ(CodeOf(Unseal("kez", value, "it")), "CF1304");
  for (size_t size = 0; size < value.size(); ++size) {
    EXPECT_EQ(CodeOf(Unseal("key", std::string_view(value).substr(0, size), "it")), "CF1304");
  }
  EXPECT_EQ(Get(Unseal("key", Sealed("key", ""), "it")), "");
  const auto named = Unseal("key", "x", "seq 812");
  EXPECT_NE(named.error().message.find("seq 812"), std::string::npos);
}

TEST(CommitRecord, ComesBack) {
  const LogKey key(Seq{5}, kCommitPart);
  std::string value;
  EncodeCommitRecord(key.view(), MakeCommit(9), {.parts = 0, .changes = 2, .bytes = 5, .block = "bytes"}, &value);
  const CommitRecord small = Get(DecodeCommitRecord(key.view(), value, "it"));
  EXPECT_EQ(small.block, "bytes");
  EXPECT_EQ(small.changes, 2u);
  EXPECT_EQ(small.commit.position, MakePosition(9));
  EXPECT_EQ(small.commit.arrival_time_us, MakeCommit(9).arrival_time_us);
  EncodeCommitRecord(key.view(), MakeCommit(9), {.parts = 3, .changes = 2, .bytes = 5000}, &value);
  const CommitRecord large = Get(DecodeCommitRecord(key.view(), value, "it"));
  EXPECT_EQ(large.parts, 3u);
  EXPECT_EQ(large.bytes, 5000u);
  EXPECT_TRUE(large.block.empty());
}

TEST(CommitRecord, FormatIsTheDocumentedOne) {
  const LogKey key(Seq{812}, kCommitPart);
  EXPECT_EQ(key.view(), std::string_view("\0\0\0\0\0\0\x03\x2c\xff\xff\xff\xff", 12));
  const std::string_view block(
      "\x01\xac\x02\x22\x04\x02\x05\x47"
      "ab\x01\x23\x2c\x01\x1f\xe7\x08"
      "abcdefgh\x3f");
  CommitInfo commit;
  commit.position = {.server = "1@db:3306", .set = "0-1-42", .last = "0-1-42", .file = "binlog.000003", .offset = 4567};
  commit.commit_time_us = 1'700'000'000'000'000;
  commit.arrival_time_us = 1'700'000'000'000'250;
  std::string value;
  EncodeCommitRecord(key.view(), commit, {.parts = 0, .changes = 1, .bytes = block.size(), .block = block}, &value);
  const std::string expected = std::string("\x01\x00\x01\x1a", 4) +
                               "\x80\x80\xf2\x81\x83\x89\x85\x06"
                               "\xf4\x83\xf2\x81\x83\x89\x85\x06"
                               "\x29\x01\x09"
                               "1@db:3306\x06"
                               "0-1-42\x06"
                               "0-1-42\x0d"
                               "binlog.000003\xd7\x23" +
                               std::string(block) + "\xab\xa7\x66\xfa\xc1\x35\xb1\xe6";
  EXPECT_EQ(value, expected);
}

// With a checksum that fits, as hostile bytes may have.
TEST(CommitRecord, EveryTruncationIsAnError) {
  const LogKey key(Seq{5}, kCommitPart);
  std::string value;
  EncodeCommitRecord(key.view(), MakeCommit(9), {.parts = 0, .changes = 2, .bytes = 5, .block = "bytes"}, &value);
  const std::string payload = value.substr(0, value.size() - 8);
  for (size_t size = 0; size < payload.size(); ++size) {
    const std::string cut = Sealed(key.view(), payload.substr(0, size));
    EXPECT_FALSE(DecodeCommitRecord(key.view(), cut, "it")) << size;
  }
  EXPECT_FALSE(DecodeCommitRecord(key.view(), Sealed(key.view(), payload + "x"), "it"));
  std::string later = payload;
  later[0] = 2;
  EXPECT_FALSE(DecodeCommitRecord(key.view(), Sealed(key.view(), later), "it"));
}

TEST(TailRecord, ComesBackAndRefusesTruncations) {
  const std::string payload = EncodeTail({Seq{12}, MakePosition(13)});
  const Tail tail = Get(DecodeTail(payload));
  EXPECT_EQ(tail.seq, Seq{12});
  EXPECT_EQ(tail.position, MakePosition(13));
  for (size_t size = 0; size < payload.size(); ++size) {
    EXPECT_FALSE(DecodeTail(std::string_view(payload).substr(0, size))) << size;
  }
}

}  // namespace
}  // namespace crossfade::state
