#include "db/postgres/readiness.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "server.h"

namespace crossfade::postgres {
namespace {

TableFacts Ready(const std::string& name) {
  TableFacts table;
  table.name = table.root = name;
  table.has_primary_key = table.primary_key_usable = true;
  table.unique_keys = 1;
  table.first_unique_key = name + "_pkey";
  table.owner = "app";
  table.owned = table.readable = true;
  return table;
}

SourceFacts ReadyFacts() {
  SourceFacts facts;
  facts.version = 150004;
  facts.role = "crossfade";
  facts.database = "shop";
  facts.settings = {{"server_version", "15.4"}, {"wal_level", "logical"},         {"max_replication_slots", "10"},
                    {"max_wal_senders", "10"},  {"max_slot_wal_keep_size", "-1"}, {"synchronous_standby_names", ""}};
  facts.may_replicate = facts.may_create = facts.schema_usable = true;
  facts.tables = {Ready("t")};
  return facts;
}

std::string Codes(const SourceFacts& facts, const SourceNeeds& needs = {.name = "crossfade_shop"}) {
  std::string out;
  for (const Finding& finding : Judge(facts, needs)) {
    out += (out.empty() ? "" : " ") + finding.code + (finding.blocks ? "!" : "");
    EXPECT_FALSE(finding.object.empty() || finding.found.empty() || finding.meaning.empty()) << finding.code;
  }
  return out;
}

TEST(Readiness, AServerThatHasAllIsReady) { EXPECT_EQ(Codes(ReadyFacts()), ""); }

TEST(Readiness, EachThingThatIsMissingIsNamed) {
  const auto with = [](const std::function<void(SourceFacts*)>& change) {
    SourceFacts facts = ReadyFacts();
    change(&facts);
    return Codes(facts);
  };
  using Facts = SourceFacts*;
  EXPECT_EQ(with([](Facts f) { f->version = 120017; }), "CF1930!");
  EXPECT_EQ(with([](Facts f) { f->standby = true; }), "CF1931!");
  EXPECT_EQ(with([](Facts f) { f->settings["wal_level"] = "replica"; }), "CF1932!");
  EXPECT_EQ(with([](Facts f) { f->slots = 8; }), "");
  EXPECT_EQ(with([](Facts f) { f->slots = 9; }), "CF1933!");
  EXPECT_EQ(with([](Facts f) { f->senders = 9; }), "CF1934!");
  EXPECT_EQ(with([](Facts f) { f->may_replicate = false; }), "CF1935!");
  EXPECT_EQ(with([](Facts f) { f->schema_usable = false; }), "CF1936!");
  EXPECT_EQ(with([](Facts f) { f->tables[0].readable = false; }), "CF1936!");
  EXPECT_EQ(with([](Facts f) { f->may_create = false; }), "CF1937!");
  EXPECT_EQ(with([](Facts f) { f->tables[0].owned = false; }), "CF1937!");
  EXPECT_EQ(with([](Facts f) {
              f->may_create = f->tables[0].owned = false;
              f->published = true;
            }),
            "");
  EXPECT_EQ(with([](Facts f) { f->prepared = {"one", "two"}; }), "CF1940 CF1940");
  EXPECT_EQ(with([](Facts f) { f->settings["synchronous_standby_names"] = "ANY 1 (*)"; }), "CF1941");
  EXPECT_EQ(with([](Facts f) { f->settings["synchronous_standby_names"] = "a, Crossfade"; }), "CF1941");
  EXPECT_EQ(with([](Facts f) { f->settings["synchronous_standby_names"] = "standby1"; }), "");
  EXPECT_EQ(with([](Facts f) { f->settings["max_slot_wal_keep_size"] = "1024"; }), "CF1942");
  EXPECT_EQ(with([](Facts f) { f->slot = SlotState{.lost = "wal_status = lost"}; }), "CF1943!");
  EXPECT_EQ(with([](Facts f) { f->tables[0].partitioned = true; }), "CF1944");
  EXPECT_EQ(with([](Facts f) { f->tables[0].row_security = true; }), "CF1945!");
  SourceFacts chunked = ReadyFacts();
  chunked.slots = chunked.senders = 9;
  EXPECT_EQ(Codes(chunked, {.name = "crossfade_shop", .consistent_copy = false}), "");
  chunked.tables[0].readable = false;
  EXPECT_EQ(Codes(chunked, {.name = "crossfade_shop",
                            .consistent_copy = false,
                            .concerns = [](const std::string& table) { return table != "t"; }}),
            "");
}

// Hazards H16 and M12.
TEST(Readiness, AReplicaIdentityMustTellTheRow) {
  const auto with = [](const std::function<void(TableFacts*)>& change) {
    SourceFacts facts = ReadyFacts();
    change(&facts.tables[0]);
    const auto findings = Judge(facts, {});
    return findings.empty() ? "" : findings[0].code + ": " + findings[0].fix;
  };
  using Facts = TableFacts*;
  const auto keyless = [](Facts t) {
    t->has_primary_key = t->primary_key_usable = false;
    t->unique_keys = 0;
  };
  const std::string alter = R"(ALTER TABLE "public"."t" REPLICA IDENTITY )";
  EXPECT_EQ(with([](Facts t) { t->replica_identity = 'f'; }), "");
  EXPECT_EQ(with([](Facts t) { t->replica_identity = 'n'; }), "CF1938: " + alter + "DEFAULT");
  EXPECT_EQ(with(keyless), "CF1938: " + alter + "FULL");
  EXPECT_EQ(with([&](Facts t) {
              keyless(t);
              t->unique_keys = 1;
            }),
            "CF1938: " + alter + "USING INDEX \"t_pkey\"");
  EXPECT_EQ(with([&](Facts t) {
              keyless(t);
              t->replica_identity = 'f';
            }),
            "");
  EXPECT_EQ(with([](Facts t) { t->primary_key_usable = false; }), "CF1938: " + alter + "FULL");
  EXPECT_EQ(with([](Facts t) { t->replica_identity = 'i'; }), "CF1939: " + alter + "DEFAULT");
  EXPECT_EQ(with([](Facts t) {
              t->replica_identity = 'i';
              t->identity_is_primary = true;
            }),
            "");
  EXPECT_EQ(with([&](Facts t) {
              keyless(t);
              t->replica_identity = 'i';
              t->unique_keys = 2;
            }),
            "CF1939: " + alter + "FULL");
  SourceFacts partitions = ReadyFacts();
  partitions.tables[0].partitioned = true;
  partitions.tables[0].replica_identity = 'f';
  partitions.tables.push_back(Ready("t_1"));
  partitions.tables[1].root = "t";
  EXPECT_EQ(Codes(partitions), "CF1939! CF1944");
}

TEST(Readiness, TheLogThatIsHeldForASlotIsWatched) {
  constexpr uint64_t kMib = 1 << 20;
  SlotState slot{.held_bytes = 500 * kMib, .safe_bytes = -1, .wal_status = "extended"};
  EXPECT_EQ(SlotWarning("s", slot), "");
  slot.safe_bytes = 500 * kMib;
  EXPECT_EQ(SlotWarning("s", slot), "");
  slot.safe_bytes = 100 * kMib;
  EXPECT_NE(SlotWarning("s", slot).find("max_slot_wal_keep_size = '1201MB'"), std::string::npos);
  slot.wal_status = "unreserved";
  slot.safe_bytes = 0;
  EXPECT_NE(SlotWarning("s", slot), "");
  slot.lost = "wal_status = lost";
  EXPECT_NE(SlotWarning("s", slot).find("given up"), std::string::npos);
}

// Each refusal is mended by the statement that it names.
class ReadinessServerTest : public ServerTest {
 protected:
  void TearDown() override {
    if (connection_) {
      Run("DROP SCHEMA IF EXISTS ready CASCADE");
      Run("DROP OWNED BY unready; DROP ROLE unready");
    }
  }
};

TEST_F(ReadinessServerTest, TheFixesMendWhatTheyAreFor) {
  Run("DROP ROLE IF EXISTS unready; CREATE ROLE unready LOGIN");
  Run("DROP SCHEMA IF EXISTS ready CASCADE; CREATE SCHEMA ready");
  Run("CREATE TABLE ready.keyless (a int); CREATE TABLE ready.by_index (a int NOT NULL UNIQUE, b int)");
  Run("CREATE TABLE ready.deferred (a int PRIMARY KEY DEFERRABLE); CREATE TABLE ready.good (a int PRIMARY KEY)");
  Run("CREATE TABLE ready.hidden (a int PRIMARY KEY); ALTER TABLE ready.hidden ENABLE ROW LEVEL SECURITY");
  Run("CREATE TABLE ready.parts (a int PRIMARY KEY) PARTITION BY RANGE (a)");
  Run("CREATE TABLE ready.part_1 PARTITION OF ready.parts FOR VALUES FROM (0) TO (10)");
  ConnectionOptions options = options_;
  options.user = "unready";
  const auto unready = *Connection::Open(options);
  SourceNeeds needs{.schema = "ready", .name = "crossfade_ready"};
  const auto check = [&] {
    const auto found = CheckSource(unready.get(), needs);
    EXPECT_TRUE(found) << found.error().ToString();
    return found ? *found : std::vector<Finding>();
  };
  const auto blockers = [&] {
    std::string out;
    for (const Finding& finding : check()) {
      out += finding.blocks ? finding.code + " " + finding.object + "\n" : "";
    }
    return out;
  };
  const std::string first = blockers();
  for (const char* expected :
       {"CF1935 REPLICATION", "CF1936 schema ready", "CF1936 ready.good", "CF1937 database", "CF1937 ready.good",
        "CF1938 ready.keyless", "CF1938 ready.by_index", "CF1938 ready.deferred", "CF1945 ready.hidden"}) {
    EXPECT_NE(first.find(expected), std::string::npos) << expected << "\n" << first;
  }
  EXPECT_EQ(first.find("CF1938 ready.good"), std::string::npos);
  EXPECT_EQ(first.find("CF1938 ready.part"), std::string::npos);
  for (const Finding& finding : check()) {
    if (finding.blocks) {
      Run(finding.fix);
    }
  }
  EXPECT_EQ(blockers(), "");
  const auto last = check();
  EXPECT_TRUE(std::any_of(last.begin(), last.end(), [](const Finding& f) { return f.code == "CF1944"; }));
}

}  // namespace
}  // namespace crossfade::postgres
