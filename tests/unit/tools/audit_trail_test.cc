#include "tools/crossfade/audit_trail.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace crossfade::tools {
namespace {

class AuditTrailTest : public testing::Test {
 protected:
  AuditTrailTest() {
    std::string name = testing::TempDir() + "trail-XXXXXX";
    config_.state_dir = ::mkdtemp(name.data());
    config_.name = "acme";
    config_.path = "acme.toml";
    config_.sha256 = std::string(64, 'c');
  }
  ~AuditTrailTest() override { std::filesystem::remove_all(config_.state_dir); }

  nlohmann::json Last() const {
    std::string last;
    const auto read =
        state::ReadAudit(state::AuditPath(config_.state_dir), 0, [&](std::string_view line) { last = line; });
    EXPECT_TRUE(read && read->problem_count == 0);
    return nlohmann::json::parse(last);
  }

  Config config_;
};

TEST_F(AuditTrailTest, ARecordSaysWhoDidWhatFromWhere) {
  ::setenv("SUDO_USER", "anna", 1);
  const auto head = AppendAction(config_, "pause", {{"why", "load"}});
  ::unsetenv("SUDO_USER");
  ASSERT_TRUE(head) << head.error().ToString();
  const nlohmann::json record = Last();
  EXPECT_EQ(record["seq"], 1);
  EXPECT_EQ(record["migration"], "acme");
  EXPECT_EQ(record["action"], "pause");
  EXPECT_EQ(record["details"]["why"], "load");
  EXPECT_EQ(record["user"]["uid"], ::getuid());
  EXPECT_EQ(record["user"]["sudo_user"], "anna");
  EXPECT_EQ(record["pid"], ::getpid());
  EXPECT_FALSE(record["host"].get<std::string>().empty());
  EXPECT_NE(record["command"][0].get<std::string>().find("unit_tools"), std::string::npos);
  EXPECT_EQ(record["config"]["sha256"], config_.sha256);
  EXPECT_EQ(record["program"].get<std::string>().find("crossfade "), 0u);
  EXPECT_EQ(*ReadHead(config_), *head);
}

TEST_F(AuditTrailTest, ALogThatLacksWhatTheTargetKnowsIsFound) {
  ASSERT_TRUE(AppendAction(config_, "run started", {}));
  const auto known = AppendAction(config_, "run ended", {});
  ASSERT_TRUE(known && AppendAction(config_, "pause", {}));
  const std::string path = state::AuditPath(config_.state_dir);
  EXPECT_TRUE(HoldsKnown(config_, *state::ReadAudit(path, 2), {*known, {}}));
  const Status other = HoldsKnown(config_, *state::ReadAudit(path, 2), {state::AuditHead{2, std::string(64, '0')}, {}});
  EXPECT_EQ(other.error().code, "CF1791");
  EXPECT_EQ(other.error().found, "another record 2");
  const Status cut = HoldsKnown(config_, *state::ReadAudit(path, 9), {state::AuditHead{9, known->hash}, {}});
  EXPECT_EQ(cut.error().code, "CF1791");
  EXPECT_EQ(cut.error().found, "3 records");
}

}  // namespace
}  // namespace crossfade::tools
