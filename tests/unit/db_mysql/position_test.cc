#include "db/mysql/position.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "core/bytes.h"
#include "tests/unit/db_mysql/server.h"

namespace crossfade::mysql {
namespace {

const std::string kA = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const std::string kB = "9bde8af4-e693-11f1-a93c-02fc00000001";

std::string Canonical(std::string_view text) {
  const auto set = MySqlGtidSet::Parse(text);
  return set ? set->ToString() : "error " + set.error().code;
}

TEST(MySqlGtidSet, ParsesWhatTheServerParses) {
  EXPECT_EQ(Canonical(""), "");
  EXPECT_EQ(Canonical(" \n"), "");
  EXPECT_EQ(Canonical(kA + ":1"), kA + ":1");
  EXPECT_EQ(Canonical(kA + ":1-5:7"), kA + ":1-5:7");
  EXPECT_EQ(Canonical(kA + ":7:1-3:4-5"), kA + ":1-5:7");
  EXPECT_EQ(Canonical(kA + ": 1 - 5 ,\n" + kB + ":2,"), kA + ":1-5," + kB + ":2");
  EXPECT_EQ(Canonical("9BDE8AF4E69311f1a93c02fc00000001: Foo_1: 1-3 :5:6:zz:1, " + kB + ":7:4-2:zz:9:4"),
            kB + ":7:foo_1:1-3:5-6:zz:1:4:9");
  EXPECT_EQ(Canonical(kA + ":9223372036854775806"), kA + ":9223372036854775806");
}

TEST(MySqlGtidSet, RefusesWhatIsNoSet) {
  for (const std::string& bad :
       {std::string("x"), kA, kA + ":", kA + ":0", kA + ":1-", kA + ":-1", kA + ":1-2-3", kA + ":tag", kA + ":1x",
        kA + ":9223372036854775807", kA + ":18446744073709551616", kA + ":1;2", kA + "0:1", kA.substr(1) + ":1",
        kA + ":tag:", kA + ":a-b:1", kA + ":" + std::string(33, 't') + ":1", std::string("\0:1", 3)}) {
    EXPECT_EQ(Canonical(bad), "error CF1132") << bad;
  }
}

TEST(MySqlGtidSet, AddKeepsIntervalsSortedAndJoined) {
  MySqlGtidSet set;
  set.Add(kA, 1);
  set.Add(kA, 2);
  set.Add(kA, 4);
  set.Add(kA, 10);
  EXPECT_EQ(set.ToString(), kA + ":1-2:4:10");
  set.Add(kA, 3);
  EXPECT_EQ(set.ToString(), kA + ":1-4:10");
  set.AddInterval(kA, 3, 20);
  EXPECT_EQ(set.ToString(), kA + ":1-20");
  set.Add(kA, 0);
  set.AddInterval(kA, 9, 8);
  EXPECT_EQ(set.ToString(), kA + ":1-20");
  set.Add(kB, ~uint64_t{0});  // hostile, but harmless
  set.Add(kB, ~uint64_t{0});
  set.Add(kB, 0);
  set.Add(kB, 1);
  EXPECT_TRUE(set.Contains(kB, ~uint64_t{0}));
  EXPECT_EQ(set.ToString(), kA + ":1-20," + kB + ":1:18446744073709551615");
  EXPECT_EQ(MySqlGtidSet().Missing(set).ToString(), set.ToString());
  EXPECT_TRUE(set.Missing(set).empty());
}

TEST(MySqlGtidSet, AgreesWithASetOfNumbers) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    MySqlGtidSet a;
    MySqlGtidSet b;
    std::set<uint64_t> in_a;
    std::set<uint64_t> in_b;
    for (int i = 0; i < 12; ++i) {
      const uint64_t first = random() % 40 + 1;
      const uint64_t last = first + random() % 4;
      const bool to_a = random() % 2 == 0;
      if (random() % 2 == 0) {
        (to_a ? a : b).Add(kA, first);
        (to_a ? in_a : in_b).insert(first);
      } else {
        (to_a ? a : b).AddInterval(kA, first, last);
        for (uint64_t n = first; n <= last; ++n) {
          (to_a ? in_a : in_b).insert(n);
        }
      }
    }
    std::set<uint64_t> missing;
    for (const uint64_t n : in_b) {
      if (!in_a.contains(n)) {
        missing.insert(n);
      }
    }
    const MySqlGtidSet lacks = a.Missing(b);
    for (uint64_t n = 1; n < 50; ++n) {
      ASSERT_EQ(a.Contains(kA, n), in_a.contains(n));
      ASSERT_EQ(lacks.Contains(kA, n), missing.contains(n));
    }
    ASSERT_EQ(a.ContainsAll(b), missing.empty());
    ASSERT_EQ(lacks.empty(), missing.empty());
    ASSERT_EQ(Canonical(a.ToString()), a.ToString());
  }
}

TEST(MySqlGtidSet, EncodesWithoutTags) {
  EXPECT_EQ(MySqlGtidSet().EncodeForDump(), std::string(8, '\0'));
  const std::string bytes = MySqlGtidSet::Parse(kA + ":1-5:7").value().EncodeForDump();
  ByteReader reader(bytes);
  EXPECT_EQ(reader.FixedU64(), 1u);
  EXPECT_EQ(reader.Bytes(16), "\x3e\x11\xfa\x47\x71\xca\x11\xe1\x9e\x33\xc8\x0a\xa9\x42\x95\x62");
  EXPECT_EQ(reader.FixedU64(), 2u);
  EXPECT_EQ(reader.FixedU64(), 1u);
  EXPECT_EQ(reader.FixedU64(), 6u);  // the end is behind the last
  EXPECT_EQ(reader.FixedU64(), 7u);
  EXPECT_EQ(reader.FixedU64(), 8u);
  EXPECT_TRUE(reader.ok() && reader.at_end());
}

TEST(MySqlGtidSet, EncodesWithTags) {
  const std::string bytes = MySqlGtidSet::Parse(kA + ":1:ab:3").value().EncodeForDump();
  ByteReader reader(bytes);
  EXPECT_EQ(reader.FixedU64(), (uint64_t{1} << 56) + (2 << 8) + 1);
  reader.Skip(16);
  EXPECT_EQ(reader.U8(), 0);
  EXPECT_EQ(reader.FixedU64(), 1u);
  reader.Skip(16);
  reader.Skip(16);
  EXPECT_EQ(reader.U8(), 4);
  EXPECT_EQ(reader.Bytes(2), "ab");
  EXPECT_EQ(reader.FixedU64(), 1u);
  EXPECT_EQ(reader.FixedU64(), 3u);
  EXPECT_EQ(reader.FixedU64(), 4u);
  EXPECT_TRUE(reader.ok() && reader.at_end());
}

TEST(MariaDbGtidState, ParsesAndAdvances) {
  auto state = MariaDbGtidState::Parse(" 1-2-30 , 0-1-100").value();
  EXPECT_EQ(state.ToString(), "0-1-100,1-2-30");
  EXPECT_TRUE(state.Contains({0, 9, 100}));
  EXPECT_FALSE(state.Contains({0, 1, 101}));
  EXPECT_FALSE(state.Contains({2, 1, 1}));
  state.Advance({0, 3, 101});
  state.Advance({4294967295u, 1, ~uint64_t{0}});
  EXPECT_EQ(state.ToString(), "0-3-101,1-2-30,4294967295-1-18446744073709551615");
  EXPECT_TRUE(state.ContainsAll(MariaDbGtidState::Parse("1-2-30").value()));
  EXPECT_FALSE(state.ContainsAll(MariaDbGtidState::Parse("1-2-31").value()));
  EXPECT_FALSE(MariaDbGtidState().ContainsAll(state));
  EXPECT_TRUE(state.ContainsAll(MariaDbGtidState::Parse("").value()));
}

TEST(MariaDbGtidState, RefusesWhatIsNone) {
  for (const char* bad : {"0-1", "a", "0-1-1,", ",0-1-1", "0-1-1,0-2-2", "0-1-1-1", "4294967296-1-1", "-1-1-1",
                          "0-1-18446744073709551616", "0-1-", "--"}) {
    const auto state = MariaDbGtidState::Parse(bad);
    ASSERT_FALSE(state.has_value()) << bad;
    EXPECT_EQ(state.error().code, "CF1132");
  }
}

Position At(std::string server, std::string file, uint64_t offset, std::string set = "", std::string last = "") {
  return Position{std::move(server), std::move(set), std::move(last), std::move(file), offset};
}

TEST(PositionOrder, OneServerIsOrderedByFileAndOffset) {
  const MySqlPositionOrder order(Flavor::kMariaDb);
  EXPECT_TRUE(order.Contains(At("s", "b.000010", 5), At("s", "b.000009", 900)).value());
  EXPECT_TRUE(order.Contains(At("s", "b.000010", 5), At("s", "b.000010", 5)).value());
  EXPECT_FALSE(order.Contains(At("s", "b.000010", 5), At("s", "b.000010", 6)).value());
  EXPECT_FALSE(order.Contains(At("s", "b.999999", 5), At("s", "b.1000000", 4)).value());
  // Even where a set would say otherwise: out-of-order GTIDs of one domain.
  EXPECT_FALSE(order.Contains(At("s", "b.000010", 5, "0-1-9"), At("s", "b.000010", 6, "0-1-8", "0-1-8")).value());
}

TEST(PositionOrder, OtherServersAreComparedByGtid) {
  const MySqlPositionOrder maria(Flavor::kMariaDb);
  EXPECT_TRUE(maria.Contains(At("s", "b.1", 5, "0-1-9,1-1-1"), At("t", "b.7", 6, "0-1-8", "0-1-8")).value());
  EXPECT_FALSE(maria.Contains(At("s", "b.1", 5, "0-1-9,1-1-1"), At("t", "b.7", 6, "2-1-8", "2-1-8")).value());
  EXPECT_TRUE(maria.Contains(At("s", "b.1", 5, "0-1-9,1-1-1"), At("t", "b.7", 6, "0-1-8,1-1-1")).value());
  EXPECT_FALSE(maria.Contains(At("s", "b.1", 5, "0-1-9,1-1-1"), At("t", "b.7", 6, "0-1-8,1-1-2")).value());
  const MySqlPositionOrder mysql(Flavor::kMySql);
  EXPECT_TRUE(mysql.Contains(At("s", "", 0, kA + ":1-9"), At("t", "", 0, kA + ":1-8", kA + ":8")).value());
  EXPECT_FALSE(mysql.Contains(At("s", "", 0, kA + ":1-9"), At("t", "", 0, kA + ":1-8", kA + ":tag:8")).value());
  EXPECT_TRUE(mysql.Contains(At("s", "", 0, kA + ":1-9:tag:8"), At("t", "", 0, "", kA + ":tag:8")).value());
  EXPECT_FALSE(mysql.Contains(At("s", "", 0, kA + ":2-9"), At("t", "", 0, kA + ":1-3")).value());
}

TEST(PositionOrder, WhatCannotBeComparedIsConfig) {
  const MySqlPositionOrder order(Flavor::kMySql);
  for (const auto& [a, b] :
       {std::pair(At("s", "b.1", 5), At("t", "b.1", 5)), std::pair(At("", "b.1", 5), At("", "b.1", 5)),
        std::pair(At("s", "b.1", 5), At("s", "c.1", 5)), std::pair(At("s", "b", 5), At("s", "b", 5)),
        std::pair(At("s", "b.1", 5, kA + ":1"), At("t", "b.1", 5))}) {
    const auto answer = order.Contains(a, b);
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, "CF1130");
    EXPECT_EQ(answer.error().error_class, ErrorClass::kConfig);
  }
}

class PositionServerTest : public ServerTest {};
INSTANTIATE_ON_SERVERS(PositionServerTest);

TEST_P(PositionServerTest, HeadMovesWithEachTransaction) {
  UseDatabase("cf_position");
  Do("CREATE TABLE t (id INT PRIMARY KEY)");
  const MySqlPositionOrder order(connection_->server().flavor);
  const auto before = ReadHead(*connection_);
  ASSERT_OK(before);
  EXPECT_EQ(before->server, connection_->server().identity);
  EXPECT_FALSE(before->file.empty());
  EXPECT_GT(before->offset, 0u);
  Do("INSERT INTO t VALUES (1)");
  const auto after = ReadHead(*connection_);
  ASSERT_OK(after);
  EXPECT_TRUE(order.Contains(*after, *before).value());
  EXPECT_FALSE(order.Contains(*before, *after).value());
  if (!after->set.empty()) {
    Position elsewhere = *after;
    elsewhere.server = "elsewhere";
    EXPECT_FALSE(order.Contains(*before, elsewhere).value());
    EXPECT_TRUE(order.Contains(*after, elsewhere).value());
  }
}

TEST_P(PositionServerTest, SetAlgebraAgreesWithTheServer) {
  if (mariadb()) {
    GTEST_SKIP() << "MySQL only";
  }
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const bool tags = connection_->server().version_number >= 80300;
  const auto random_set = [&] {
    std::string text;
    for (unsigned i = 0, n = random() % 6; i < n; ++i) {
      text += (text.empty() ? "" : ",") + (random() % 2 == 0 ? kA : kB);
      text += tags && random() % 2 == 0 ? (random() % 2 == 0 ? ":a_1" : ":B") : "";
      const unsigned first = random() % 20 + 1;
      text += fmt::format(":{}-{}", first, first + random() % 6);
    }
    return text;
  };
  for (int round = 0; round < 200; ++round) {
    const std::string a = random_set();
    const std::string b = random_set();
    const auto row =
        connection_->Rows(fmt::format("SELECT REPLACE(GTID_SUBTRACT('{0}', ''), '\\n', ''), GTID_SUBSET('{1}', '{0}'), "
                                      "REPLACE(GTID_SUBTRACT('{1}', '{0}'), '\\n', '')",
                                      a, b));
    ASSERT_OK(row);
    const MySqlGtidSet set_a = MySqlGtidSet::Parse(a).value();
    const MySqlGtidSet set_b = MySqlGtidSet::Parse(b).value();
    ASSERT_EQ(set_a.ToString(), row->at(0).at(0)) << a;
    ASSERT_EQ(set_a.ContainsAll(set_b) ? "1" : "0", row->at(0).at(1)) << a << " " << b;
    ASSERT_EQ(set_a.Missing(set_b).ToString(), row->at(0).at(2)) << a << " " << b;
  }
}

// What the server leaves out of a dump, because the set we send says that we have it.
std::vector<std::string> DumpedSids(Connection& connection, const MySqlGtidSet& have) {
  const std::string encoded = have.EncodeForDump();
  std::string payload;
  ByteWriter writer(&payload);
  writer.Bytes(std::string_view("\x05\x00", 2));  // do not wait at the end; the set follows
  writer.FixedU32(4711);                          // server id
  writer.FixedU32(0);                             // no file name
  writer.FixedU64(4);
  writer.FixedU32(static_cast<uint32_t>(encoded.size()));
  writer.Bytes(encoded);
  EXPECT_TRUE(connection.Execute("SET @source_binlog_checksum = 'NONE', @master_binlog_checksum = 'NONE'"));
  EXPECT_TRUE(connection.SendCommand(30, payload));
  std::vector<std::string> types;
  for (;;) {
    const auto packet = connection.ReadPacket();
    if (!packet) {
      types.push_back("error " + packet.error().ToString());
      return types;
    }
    if (packet->empty()) {
      return types;
    }
    const int type = static_cast<uint8_t>((*packet)[5]);
    if (type == 33 || type == 42) {
      types.push_back(type == 33 ? "plain" : "tagged");
    }
  }
}

TEST_P(PositionServerTest, ServerUnderstandsOurSetInADump) {
  if (mariadb() || connection_->server().version_number < 80300) {
    GTEST_SKIP() << "MySQL with tags only";
  }
  UseDatabase("cf_dump");
  Do("CREATE TABLE t (id INT PRIMARY KEY)");
  const MySqlGtidSet before = MySqlGtidSet::Parse(ReadHead(*connection_).value().set).value();
  Do("SET gtid_next = 'automatic:cf_tag'");
  Do("INSERT INTO t VALUES (1)");
  Do("SET gtid_next = 'automatic'");
  Do("INSERT INTO t VALUES (2)");
  const MySqlGtidSet after = MySqlGtidSet::Parse(ReadHead(*connection_).value().set).value();
  EXPECT_NE(after.ToString().find(":cf_tag:"), std::string::npos);
  const auto dump = [&](const MySqlGtidSet& have) {
    auto fresh = Connection::Open(options_);
    return DumpedSids(**fresh, have);
  };
  EXPECT_EQ(dump(before), (std::vector<std::string>{"tagged", "plain"}));
  EXPECT_EQ(dump(after), std::vector<std::string>{});
  const auto purged = connection_->Scalar("SELECT @@GLOBAL.gtid_purged");
  EXPECT_GT(dump(MySqlGtidSet::Parse(purged.value().value()).value()).size(), 2u);
  MySqlGtidSet ahead = after;
  ahead.Add(connection_->server().identity + ":cf_tag", 1000000);
  const auto refused = dump(ahead);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_NE(refused[0].find("1236"), std::string::npos);
}

}  // namespace
}  // namespace crossfade::mysql
