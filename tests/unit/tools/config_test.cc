#include "tools/crossfade/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace crossfade::tools {
namespace {

class ConfigTest : public testing::Test {
 protected:
  Result<Config> Load(const std::string& text) {
    path_ = std::filesystem::temp_directory_path() / ("crossfade_config_" + std::to_string(::getpid()) + ".toml");
    std::ofstream(path_) << text;
    Result<Config> config = LoadConfig(path_);
    std::filesystem::remove(path_);
    return config;
  }
  static std::string Minimal(const std::string& more = "") {
    return "name = \"acme\"\nstate_dir = \"/tmp/x\"\n" + more +
           "[source]\nuser = \"u\"\ndatabase = \"d\"\n[target]\nuser = \"u\"\ndatabase = \"t\"\n[tenant]\nvalue = "
           "\"a\"\n";
  }
  std::filesystem::path path_;
};

TEST_F(ConfigTest, ExampleIsValidAndHoldsEverySection) {
  const Result<Config> config = Load(ExampleConfig());
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->name, "acme");
  EXPECT_EQ(config->snapshot.chunk_rows, 100'000U);
}

TEST_F(ConfigTest, MinimalFileHasDefaults) {
  const Result<Config> config = Load(Minimal());
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->source.port, 3306U);
  EXPECT_EQ(config->tenant.column, "tenant_id");
  EXPECT_TRUE(config->target.synchronous_commit);
}

TEST_F(ConfigTest, UnknownKeyNamesLineAndNearest) {
  const Result<Config> config = Load(Minimal() + "[snapshot]\nchunk_row = 5\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, "CF1702");
  EXPECT_NE(config.error().message.find(":12:"), std::string::npos) << config.error().message;
  EXPECT_NE(config.error().fix.find("'snapshot.chunk_rows'"), std::string::npos) << config.error().fix;
}

TEST_F(ConfigTest, UnknownSectionIsRefused) {
  const Result<Config> config = Load(Minimal() + "[snapshots]\nmode = \"chunked\"\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, "CF1702");
}

TEST_F(ConfigTest, BadChoiceListsTheChoices) {
  const Result<Config> config = Load(Minimal() + "[snapshot]\nmode = \"consistant\"\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, "CF1704");
  EXPECT_NE(config.error().fix.find("nearest: consistent"), std::string::npos);
}

TEST_F(ConfigTest, NumberOutOfRange) {
  const Result<Config> config = Load(Minimal() + "[snapshot]\nreaders = 0\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, "CF1704");
}

TEST_F(ConfigTest, WrongTypeIsNamed) {
  const Result<Config> config = Load(Minimal() + "[http]\nlisten = 80\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, "CF1703");
}

TEST_F(ConfigTest, MissingTenantValue) {
  const Result<Config> config = Load(
      "name = \"a\"\nstate_dir = \"/tmp/x\"\n[source]\nuser = \"u\"\ndatabase = \"d\"\n[target]\nuser = "
      "\"u\"\ndatabase = \"t\"\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().object, "tenant.value");
}

TEST_F(ConfigTest, APasswordInTheFileIsNeverEchoed) {
  const Result<Config> config = Load(Minimal() + "[http]\n");
  ASSERT_TRUE(config);
  const Result<Config> bad = Load("name = \"a\"\n[source]\npassword = \"hunter2\"\n");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().ToString().find("hunter2"), std::string::npos);
  const Result<Config> number = Load("name = \"a\"\n[source]\npassword_env = 12345\n");
  ASSERT_FALSE(number);
  EXPECT_EQ(number.error().ToString().find("12345"), std::string::npos);
}

TEST_F(ConfigTest, WhatIsNoTomlIsNotEchoedEither) {
  for (const char* line : {"password = 99999999999999999999", "password_env = hunter2", "password_env = \"x\" hunter2",
                           "hunter2 = 1\nhunter2 = 2", "password_env = 'hunter2"}) {
    const Result<Config> bad = Load(std::string("name = \"a\"\n[source]\n") + line + "\n");
    ASSERT_FALSE(bad) << line;
    EXPECT_EQ(bad.error().code, "CF1701");
    EXPECT_EQ(bad.error().ToString().find("hunter2"), std::string::npos) << bad.error().ToString();
    EXPECT_EQ(bad.error().ToString().find("999999"), std::string::npos) << bad.error().ToString();
  }
  const Result<Config> equals = Load("name\n");
  ASSERT_FALSE(equals);
  EXPECT_NE(equals.error().found.find("expected '='"), std::string::npos) << equals.error().found;
}

TEST_F(ConfigTest, PasswordFromEnvironmentOrFile) {
  ::setenv("CROSSFADE_TEST_SECRET", "s3cret", 1);
  EXPECT_EQ(*ReadPassword("source", "CROSSFADE_TEST_SECRET", ""), "s3cret");
  EXPECT_EQ(ReadPassword("source", "CROSSFADE_NOT_SET", "").error().code, "CF1706");
  EXPECT_EQ(ReadPassword("source", "", "/nonexistent").error().code, "CF1706");
}

TEST_F(ConfigTest, PageNamesEverySetting) {
  const std::string page = ConfigurationPage();
  for (const char* key : {"`chunk_rows`", "`text_keys`", "`takeover_grace_ms`", "`listen`"}) {
    EXPECT_NE(page.find(key), std::string::npos) << key;
  }
}

}  // namespace
}  // namespace crossfade::tools
