#include <gtest/gtest.h>

#include <filesystem>

#include "tools/crossfade/pipeline.h"

namespace crossfade::tools {
namespace {

class RunRecordTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("crossfade_run_record_" + std::to_string(::getpid()));
    std::filesystem::remove_all(directory_);
    auto journal = state::Journal::Open({.directory = directory_});
    ASSERT_TRUE(journal) << journal.error().ToString();
    journal_ = std::move(*journal);
  }
  void TearDown() override {
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::filesystem::path directory_;
  std::unique_ptr<state::Journal> journal_;
};

TEST_F(RunRecordTest, ARecordThatIsCutOrGoneNamesTheCommandThatMendsIt) {
  TableSchema table;
  table.database = "shop";
  table.name = "code";
  ASSERT_TRUE(SaveSchemas(journal_.get(), {table}));
  EXPECT_EQ(LoadSchemas(journal_.get())->front().name, "code");
  const std::string whole = **journal_->GetRecord("run.schemas");

  for (const std::string& damaged : {whole + "x", std::string("\x05"), std::string()}) {
    ASSERT_TRUE(journal_->PutRecord("run.schemas", damaged));
    auto loaded = LoadSchemas(journal_.get());
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().error_class, ErrorClass::kCorrupt);
  }
  ASSERT_TRUE(journal_->DeleteRecords("run."));
  auto loaded = LoadSchemas(journal_.get());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, "CF1723");
  AdviseRebuild("acme.toml", &loaded.error());
  EXPECT_NE(loaded.error().fix.find("'crossfade run --rebuild-journal acme.toml'"), std::string::npos);
}

}  // namespace
}  // namespace crossfade::tools
