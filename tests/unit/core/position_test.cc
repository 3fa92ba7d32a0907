#include "core/position.h"

#include <gtest/gtest.h>

namespace crossfade {
namespace {

TEST(Position, ComesBackEqual) {
  const Position full{.server = "uuid", .set = "0-1-42", .last = "0-1-42", .file = "binlog.000003", .offset = 4567};
  for (const Position& position : {full, Position(), Position{.offset = UINT64_MAX}}) {
    const Result<Position> decoded = Position::Decode(position.Encode());
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, position);
  }
}

TEST(Position, EveryTruncationIsAnError) {
  const std::string bytes = Position{.server = "s", .set = "0-1-42", .file = "b", .offset = 300}.Encode();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Result<Position> decoded = Position::Decode(std::string_view(bytes).substr(0, size));
    ASSERT_FALSE(decoded) << size;
    EXPECT_EQ(decoded.error().code, "CF1001");
  }
  EXPECT_FALSE(Position::Decode(bytes + "x"));
  std::string later = bytes;
  later[0] = 2;
  EXPECT_FALSE(Position::Decode(later));
}

TEST(Position, IsShownToPeople) {
  EXPECT_EQ(Position().ToString(), "(none)");
  EXPECT_EQ((Position{.set = "0-1-42"}).ToString(), "0-1-42");
  EXPECT_EQ((Position{.file = "binlog.000003", .offset = 4567}).ToString(), "binlog.000003:4567");
  EXPECT_EQ((Position{.set = "0-1-42", .file = "binlog.000003", .offset = 4567}).ToString(),
            "0-1-42 (binlog.000003:4567)");
  EXPECT_EQ((Position{.last = "737", .offset = 0x15785B0}).ToString(), "0/15785B0");
  EXPECT_EQ((Position{.offset = 0x2'0000'0001}).ToString(), "2/1");
  EXPECT_EQ((Position{.set = "737:739:738", .offset = 0x15785B0}).ToString(), "737:739:738 (0/15785B0)");
}

TEST(Position, EmptyKnowsNoPlace) {
  EXPECT_TRUE(Position().empty());
  EXPECT_TRUE((Position{.server = "uuid"}).empty());
  EXPECT_FALSE((Position{.set = "0-1-42"}).empty());
  EXPECT_FALSE((Position{.file = "binlog.000003"}).empty());
  EXPECT_FALSE((Position{.offset = 1}).empty());
}

}  // namespace
}  // namespace crossfade
