// What is kept, for whom, and what it costs on disk.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "core/clock.h"
#include "state/journal.h"
#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {
namespace {

class JournalRetentionTest : public ::testing::Test {
 protected:
  void Reopen() {
    journal_.reset();
    journal_ = OpenJournal(options_);
  }
  void Append(int first, int last) {
    for (int id = first; id <= last; ++id) {
      Check(AppendOne(journal_->writer(), table_, id));
    }
    Check(journal_->writer().Sync());
  }

  TemporaryDirectory directory_;
  JournalOptions options_ = OptionsFor(directory_.path());
  std::unique_ptr<Journal> journal_ = OpenJournal(options_);
  const TableSchema table_ = MakeTable("t");
};

TEST_F(JournalRetentionTest, TheLowestPinHolds) {
  Append(1, 10);
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{1});
  Check(journal_->Pin("apply", Seq{6}));
  Check(journal_->Pin("verify", Seq{4}));
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{5});
  const auto all = Get(ReadAll(*journal_, Seq{4}));
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[0].header.seq, Seq{5});
  EXPECT_EQ(CodeOf(journal_->Read(Seq{3})), "CF1305");
}

TEST_F(JournalRetentionTest, PinsAreDurableAndNeverMoveBack) {
  Append(1, 10);
  Check(journal_->Pin("apply", Seq{6}));
  Check(journal_->Pin("apply", Seq{3}));
  Reopen();
  const std::vector<std::pair<std::string, Seq>> pins = {{"apply", Seq{6}}};
  EXPECT_EQ(journal_->stats().pins, pins);
  Check(journal_->Trim());
  Reopen();
  EXPECT_EQ(journal_->stats().first, Seq{7});
  EXPECT_EQ(journal_->stats().synced, Seq{10});
}

TEST_F(JournalRetentionTest, PinsThatCannotBeKeptAreRefused) {
  Append(1, 10);
  EXPECT_EQ(CodeOf(journal_->Pin("apply", Seq{11})), "CF1306");
  Check(journal_->Pin("apply", Seq{10}));
  Check(journal_->Trim());
  EXPECT_EQ(CodeOf(journal_->Pin("verify", Seq{9})), "CF1305");
  Check(journal_->Pin("verify", Seq{10}));
}

TEST_F(JournalRetentionTest, AllMayGo) {
  Append(1, 10);
  Check(journal_->Pin("apply", Seq{10}));
  Check(journal_->Trim());
  Reopen();
  EXPECT_EQ(journal_->tail().seq, Seq{10});
  EXPECT_TRUE(Get(ReadAll(*journal_, Seq{10})).empty());
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(100), NumberOrder())), Seq{10});
  Append(11, 12);
  EXPECT_EQ(Get(ReadAll(*journal_, Seq{10})).size(), 2u);
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(11), NumberOrder())), Seq{11});
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(1), NumberOrder())), Seq{10});
}

TEST_F(JournalRetentionTest, ReadBehindTheEndIsALostTail) {
  Append(1, 3);
  const auto reader = journal_->Read(Seq{4});
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, "CF1306");
  EXPECT_EQ(reader.error().error_class, ErrorClass::kCorrupt);
}

TEST_F(JournalRetentionTest, KeepSecondsGoesByArrival) {
  options_.keep_seconds = 3600;
  Reopen();
  const int64_t now = WallMicros();
  for (int n = 1; n <= 10; ++n) {
    const int64_t minutes_ago = 5 + 10 * (10 - n);  // 95, 85, ..., 65, 55, ..., 5
    Check(journal_->writer().Begin());
    Check(AddInsert(journal_->writer(), table_, n, "x"));
    CommitInfo commit = MakeCommit(static_cast<uint64_t>(n));
    commit.arrival_time_us = now - minutes_ago * 60 * 1'000'000;
    Check(journal_->writer().Commit(commit));
  }
  Check(journal_->writer().Sync());
  Check(journal_->Pin("apply", Seq{2}));
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{3});
  Check(journal_->Pin("apply", Seq{9}));
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{5});  // 65 minutes old, and older
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{5});
}

TEST_F(JournalRetentionTest, NothingIsKeptForItsAgeWhereTheBudgetIsShort) {
  options_.keep_seconds = 3600;
  options_.budget_bytes = 1;
  Reopen();
  Append(1, 5);
  Check(journal_->Pin("apply", Seq{4}));
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{5});
}

TEST_F(JournalRetentionTest, WhatIsWantedIsKeptWhileThereIsRoom) {
  Append(1, 10);
  Check(journal_->Pin("apply", Seq{8}));
  journal_->Keep(Seq{3});
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{4});
  journal_->Keep(Seq{5});
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{6});
  options_.budget_bytes = 1;
  Reopen();
  journal_->Keep(Seq{5});
  Check(journal_->Trim());
  EXPECT_EQ(journal_->stats().first, Seq{9});
}

TEST_F(JournalRetentionTest, ReaderWithoutAPinIsToldThatItsRowsAreGone) {
  Append(1, 10);
  const auto reader = Get(journal_->Read(Seq{0}));
  EXPECT_TRUE(Get(reader->NextTransaction(After({}))));
  Check(journal_->Pin("apply", Seq{5}));
  Check(journal_->Trim());
  EXPECT_EQ(CodeOf(reader->NextTransaction(After({}))), "CF1305");
}

TEST_F(JournalRetentionTest, ReaderIsToldInTheMiddleOfATransactionToo) {
  options_.part_bytes = 50'000;
  options_.memory_bytes = 4 << 20;
  Reopen();
  std::mt19937_64 random(1);
  std::string text(50'000, 'x');
  Check(journal_->writer().Begin());
  for (int id = 0; id < 600; ++id) {
    std::generate(text.begin(), text.end(), [&random] { return static_cast<char>(random()); });
    Check(AddInsert(journal_->writer(), table_, id, text));
  }
  Check(journal_->writer().Commit(MakeCommit(1)));
  Check(AppendOne(journal_->writer(), table_, 2));
  Check(journal_->writer().Sync());
  const auto reader = Get(journal_->Read(Seq{0}));
  EXPECT_TRUE(Get(reader->NextTransaction(After({}))));
  EXPECT_TRUE(Get(reader->NextBlock()));
  Check(journal_->Pin("apply", Seq{1}));
  Check(journal_->Trim());
  // All blocks, or the error; never an early end that looks like the whole.
  size_t blocks = 1;
  std::string code;
  while (code.empty()) {
    const auto block = reader->NextBlock();
    code = CodeOf(block);
    if (block && !*block) {
      break;
    }
    ++blocks;
  }
  EXPECT_TRUE(code == "CF1305" || (code.empty() && blocks == 600)) << code << " after " << blocks;
}

TEST_F(JournalRetentionTest, TrimFreesDiskAndBudgetIsSeen) {
  options_.memory_bytes = 4 << 20;
  options_.budget_bytes = 30 << 20;
  Reopen();
  std::mt19937_64 random(1);
  std::string text(100'000, 'x');
  for (int id = 1; id <= 600; ++id) {
    std::generate(text.begin(), text.end(), [&random] { return static_cast<char>(random()); });
    Check(AppendOne(journal_->writer(), table_, id, text));
  }
  Check(journal_->writer().Sync());
  EXPECT_GT(journal_->stats().disk_bytes, 50u << 20);
  EXPECT_TRUE(journal_->stats().over_budget);
  Check(journal_->Pin("apply", Seq{600}));
  uint64_t disk = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {  // files leave the top level in the background
    Check(journal_->Trim());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    disk = journal_->stats().disk_bytes;
    if (disk < 25u << 20) {
      break;
    }
    Append(601 + attempt, 601 + attempt);
    Check(journal_->Pin("apply", Seq{601 + static_cast<uint64_t>(attempt)}));
  }
  EXPECT_LT(disk, 25u << 20);
  EXPECT_FALSE(journal_->stats().over_budget);
}

}  // namespace
}  // namespace crossfade::state
