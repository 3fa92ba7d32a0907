#include "db/postgres/replication.h"

#include <gtest/gtest.h>

#include <thread>

#include "db/postgres/slot.h"
#include "server.h"

namespace crossfade::postgres {
namespace {

using std::chrono::milliseconds;

template <typename T>
std::string CodeOf(const Result<T>& result) {
  return result ? "" : result.error().code;
}

TEST(ReplicationName, TellsEveryMigrationFromEveryOther) {
  EXPECT_EQ(ReplicationName("shop"), "crossfade_shop");
  EXPECT_EQ(ReplicationName("shop_2"), "crossfade_shop_2");
  const std::string long_name(60, 'x');
  const std::vector<std::string> names = {"shop-2",  "shop.2",        "Shop_2",      "shop_2", "SHOP-2",
                                          long_name, long_name + "y", "caf\xC3\xA9", "",       "-"};
  std::set<std::string> made;
  for (const std::string& name : names) {
    const std::string slot = ReplicationName(name);
    EXPECT_LE(slot.size(), 63U);
    EXPECT_EQ(slot.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), slot.npos) << slot;
    EXPECT_TRUE(made.insert(slot).second) << slot;
  }
}

class ReplicationTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    if (connection_) {
      Clean();
      Run("CREATE TABLE replicated (id int PRIMARY KEY, x text)");
      Run("CREATE TABLE other (id int PRIMARY KEY)");
    }
  }
  void TearDown() override {
    if (connection_) {
      Clean();
    }
  }
  void Clean() {
    (void)DropSlot(connection_.get(), "crossfade_test");
    (void)DropPublication(connection_.get(), "crossfade_test");
    Run("DROP TABLE IF EXISTS replicated, other");
  }
  std::unique_ptr<ReplicationConnection> Replication() {
    auto opened = ReplicationConnection::Open(options_);
    EXPECT_TRUE(opened) << opened.error().ToString();
    return opened ? std::move(*opened) : nullptr;
  }
  Status Publish() { return EnsurePublication(connection_.get(), "crossfade_test", "public", {"replicated"}); }
  Result<uint64_t> Slot(milliseconds limit = milliseconds(10'000)) {
    return EnsureSlot(connection_.get(), "crossfade_test", limit);
  }
};

TEST_F(ReplicationTest, NamesTheServer) {
  const auto replication = Replication();
  const auto identity = replication->IdentifySystem();
  ASSERT_TRUE(identity) << identity.error().ToString();
  EXPECT_EQ(identity->server.system, Ask("SELECT system_identifier FROM pg_control_system()"));
  EXPECT_EQ(identity->server.timeline, 1U);
  EXPECT_GT(identity->flushed, 0U);
  EXPECT_FALSE(replication->LeftTimelineAt(1, 77));  // the server has no such history
}

TEST_F(ReplicationTest, TheSnapshotOfATemporarySlotSeesWhatItsStreamDoesNotHold) {
  Run("INSERT INTO replicated VALUES (1, 'before')");
  auto replication = Replication();
  const auto slot = replication->CreateSlot("crossfade_temporary", true, true, After(milliseconds(10'000)));
  ASSERT_TRUE(slot) << slot.error().ToString();
  EXPECT_GT(slot->consistent_point, 0U);
  Run("INSERT INTO replicated VALUES (2, 'after')");
  Run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '" + slot->snapshot + "'");
  EXPECT_EQ(Ask("SELECT string_agg(x, ',' ORDER BY id) FROM replicated"), "before");
  Run("COMMIT");
  EXPECT_TRUE(replication->DropSlot("crossfade_temporary"));
  EXPECT_EQ(Ask("SELECT count(*) FROM pg_replication_slots"), "0");
  ASSERT_TRUE(replication->CreateSlot("crossfade_temporary", true, false, After(milliseconds(10'000))));
  replication.reset();
  for (int i = 0; i < 100 && Ask("SELECT count(*) FROM pg_replication_slots") != "0"; ++i) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_EQ(Ask("SELECT count(*) FROM pg_replication_slots"), "0");
}

// Hazard M13.
TEST_F(ReplicationTest, ASlotThatWaitsForWritersGivesUpAndNamesThem) {
  const auto writer = Connect();
  ASSERT_TRUE(writer->Execute("BEGIN; INSERT INTO replicated VALUES (1, 'open')"));
  const auto waited = Slot(milliseconds(300));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, "CF1911");
  EXPECT_EQ(waited.error().error_class, ErrorClass::kTransient);
  EXPECT_NE(waited.error().found.find("pid " + std::to_string(writer->backend_pid())), std::string::npos);
  const auto replication = Replication();
  const auto other = replication->CreateSlot("crossfade_temporary", true, true, After(milliseconds(300)));
  EXPECT_EQ(CodeOf(other), "CF1911");
  EXPECT_EQ(Ask("SELECT count(*) FROM pg_replication_slots"), "0");
  ASSERT_TRUE(writer->Execute("PREPARE TRANSACTION 'waiting'"));
  const auto prepared = Slot(milliseconds(300));
  ASSERT_FALSE(prepared);
  EXPECT_NE(prepared.error().found.find("prepared 'waiting'"), std::string::npos) << prepared.error().ToString();
  ASSERT_TRUE(writer->Execute("ROLLBACK PREPARED 'waiting'"));
  EXPECT_TRUE(Slot());
}

TEST_F(ReplicationTest, ASlotIsMadeOnce) {
  const auto made = Slot();
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(*Slot(), *made);
  const auto state = ReadSlot(connection_.get(), "crossfade_test");
  ASSERT_TRUE(state && *state);
  EXPECT_EQ((*state)->plugin, "pgoutput");
  EXPECT_EQ((*state)->confirmed, *made);
  EXPECT_EQ((*state)->lost, "");
  EXPECT_EQ((*state)->wal_status, "reserved");
  EXPECT_EQ((*state)->safe_bytes, -1);
  EXPECT_TRUE(DropSlot(connection_.get(), "crossfade_test"));
  EXPECT_TRUE(DropSlot(connection_.get(), "crossfade_test"));
  EXPECT_FALSE(*ReadSlot(connection_.get(), "crossfade_test"));
}

TEST_F(ReplicationTest, ASlotThatIsNotOursIsRefused) {
  Run("SELECT pg_create_physical_replication_slot('crossfade_test')");
  EXPECT_EQ(CodeOf(Slot()), "CF1910");
  Run("SELECT pg_drop_replication_slot('crossfade_test')");
  Run("SELECT pg_create_logical_replication_slot('crossfade_test', 'test_decoding')");
  const auto refused = Slot();
  EXPECT_EQ(CodeOf(refused), "CF1910");
  EXPECT_NE(refused.error().fix.find("pg_drop_replication_slot('crossfade_test')"), std::string::npos);
  Run("SELECT pg_drop_replication_slot('crossfade_test')");
  EXPECT_TRUE(Slot());
}

TEST_F(ReplicationTest, APublicationNamesItsTables) {
  const auto read = [&] { return *ReadPublication(connection_.get(), "crossfade_test", "public", {"replicated"}); };
  EXPECT_FALSE(read());
  ASSERT_TRUE(Publish());
  EXPECT_TRUE(read()->complete());
  EXPECT_EQ(Ask("SELECT puballtables::text || pubviaroot FROM pg_publication WHERE pubname = 'crossfade_test'"),
            "falsetrue");
  Run("ALTER PUBLICATION crossfade_test SET TABLE other");
  EXPECT_EQ(read()->missing, std::vector<std::string>{"replicated"});
  EXPECT_EQ(read()->additional, std::vector<std::string>{"public.other"});
  ASSERT_TRUE(Publish());
  EXPECT_TRUE(read()->complete());
  Run("ALTER PUBLICATION crossfade_test SET (publish = 'insert')");
  EXPECT_NE(read()->wrong, "");
  ASSERT_TRUE(Publish());
  EXPECT_TRUE(read()->complete());
  Run("ALTER PUBLICATION crossfade_test SET TABLE replicated (id)");  // a column list
  EXPECT_EQ(read()->missing, std::vector<std::string>{"replicated"});
  ASSERT_TRUE(DropPublication(connection_.get(), "crossfade_test"));
  ASSERT_TRUE(DropPublication(connection_.get(), "crossfade_test"));
  Run("CREATE PUBLICATION crossfade_test FOR ALL TABLES");
  EXPECT_EQ(CodeOf(Publish()), "CF1912");
}

TEST_F(ReplicationTest, StreamsBehindThePlaceAndSaysWhereAnIdleServerStands) {
  ASSERT_TRUE(Publish());
  const uint64_t begin = *Slot();
  Run("INSERT INTO replicated VALUES (1, 'x')");
  const auto replication = Replication();
  ASSERT_TRUE(replication->Start("crossfade_test", begin, "crossfade_test"));
  std::string kinds;
  uint64_t at = 0;
  const uint64_t end = *ParseLsn(Ask("SELECT pg_current_wal_flush_lsn()"));
  const Deadline deadline = After(milliseconds(10'000));
  while (at < end && std::chrono::steady_clock::now() < deadline) {
    const auto message = replication->Read(deadline);
    ASSERT_TRUE(message) << message.error().ToString();
    ASSERT_TRUE(*message);
    if ((*message)->keepalive) {
      at = std::max(at, (*message)->lsn);
    } else {
      kinds += (*message)->data[0];
    }
  }
  EXPECT_EQ(kinds, "BRIC");
  EXPECT_GE(at, end);
  EXPECT_FALSE(replication->HasBuffered());
  ASSERT_TRUE(replication->SendStatus(end, true));
  const auto answer = replication->Read(After(milliseconds(5000)));
  ASSERT_TRUE(answer && *answer);
  EXPECT_TRUE((*answer)->keepalive);
  EXPECT_GE((*answer)->lsn, end);
  EXPECT_GE((*ReadSlot(connection_.get(), "crossfade_test"))->confirmed, end);
  EXPECT_EQ(CodeOf(replication->IdentifySystem()), "CF1408");
  EXPECT_EQ(CodeOf(DropSlot(connection_.get(), "crossfade_test")), "CF1403");  // somebody reads it
}

TEST_F(ReplicationTest, AReadUnderWayIsInterrupted) {
  ASSERT_TRUE(Publish());
  const auto replication = Replication();
  ASSERT_TRUE(replication->Start("crossfade_test", *Slot(), "crossfade_test"));
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(100));
    replication->Interrupt();
  });
  const auto begun = std::chrono::steady_clock::now();
  Result<std::optional<StreamMessage>> read;
  do {
    read = replication->Read(After(milliseconds(20'000)));
  } while (read);
  other.join();
  EXPECT_EQ(CodeOf(read), "CF1403");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, milliseconds(5000));
}

TEST_F(ReplicationTest, TheServersWordIsKeptWhenTheStreamEnds) {
  ASSERT_TRUE(Publish());
  const auto replication = Replication();
  ASSERT_TRUE(replication->Start("crossfade_test", *Slot(), "crossfade_test"));
  Run("DROP PUBLICATION crossfade_test");
  Run("INSERT INTO replicated VALUES (1, 'x')");
  Result<std::optional<StreamMessage>> read;
  for (int i = 0; i < 100 && (!replication->HasBuffered() || i < 5); ++i) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  do {
    read = replication->Read(After(milliseconds(10'000)));
  } while (read && *read);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().server_code, "42704");
  EXPECT_NE(read.error().message.find("crossfade_test"), std::string::npos);
}

}  // namespace
}  // namespace crossfade::postgres
