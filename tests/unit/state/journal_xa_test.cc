// Transactions that are prepared first: their rows wait in the open area, over restarts.
#include <gtest/gtest.h>

#include "state/journal.h"
#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {
namespace {

// Small transactions are one row in the open area, large ones have parts.
class JournalXaTest : public ::testing::TestWithParam<int> {
 protected:
  void Reopen() {
    journal_.reset();
    journal_ = OpenJournal(options_);
  }
  JournalWriter& writer() { return journal_->writer(); }
  std::vector<ReadTransaction> All() { return Get(ReadAll(*journal_, Seq{0})); }

  void AddRows(std::string_view name) {
    for (int id = 0; id < GetParam(); ++id) {
      Check(AddInsert(writer(), table_, id, name));
    }
  }
  void Prepare(const std::string& xid, uint64_t position) {
    Check(writer().Begin());
    AddRows(xid);
    Check(writer().Prepare(xid, MakePosition(position)));
  }
  std::vector<std::string> Rows(std::string_view name) {
    std::vector<std::string> rows;
    for (int id = 0; id < GetParam(); ++id) {
      rows.push_back(fmt::format("insert shop.t {},'{}',NULL", id, name));
    }
    return rows;
  }

  TemporaryDirectory directory_;
  JournalOptions options_ = [this] {
    JournalOptions options = OptionsFor(directory_.path());
    options.part_bytes = 200;
    return options;
  }();
  std::unique_ptr<Journal> journal_ = OpenJournal(options_);
  const TableSchema table_ = MakeTable("t");
};

TEST_P(JournalXaTest, CommitsLater) {
  Prepare("one", 1);
  Check(AppendOne(writer(), table_, 2, "between"));
  Check(writer().Sync());
  EXPECT_EQ(journal_->tail().seq, Seq{1});
  Check(writer().CommitPrepared("one", MakeCommit(3)));
  Check(writer().Sync());
  EXPECT_EQ(journal_->tail().seq, Seq{2});
  EXPECT_EQ(journal_->tail().position, MakePosition(3));
  const auto all = All();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].header.commit.position, MakePosition(3));
  EXPECT_EQ(all[1].header.commit.commit_time_us, MakeCommit(3).commit_time_us);
  EXPECT_EQ(all[1].header.changes, static_cast<uint64_t>(GetParam()));
  EXPECT_EQ(all[1].changes, Rows("one"));
  EXPECT_EQ(CodeOf(writer().CommitPrepared("one", MakeCommit(4))), "CF1303");
}

TEST_P(JournalXaTest, WaitsOverAReopen) {
  Prepare("one", 1);
  Prepare("two", 2);
  Check(writer().Sync());
  Reopen();
  EXPECT_EQ(journal_->tail().seq, Seq{0});
  EXPECT_EQ(journal_->tail().position, MakePosition(2));
  Check(writer().CommitPrepared("two", MakeCommit(3)));
  Check(writer().Sync());
  Reopen();
  Check(writer().CommitPrepared("one", MakeCommit(4)));
  Check(writer().Sync());
  const auto all = All();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].changes, Rows("two"));
  EXPECT_EQ(all[1].changes, Rows("one"));
}

TEST_P(JournalXaTest, RollsBack) {
  Prepare("one", 1);
  Check(writer().RollbackPrepared("one", MakePosition(2)));
  Check(writer().RollbackPrepared("never seen", MakePosition(3)));
  Check(writer().Sync());
  Reopen();
  EXPECT_EQ(journal_->tail().position, MakePosition(3));
  EXPECT_TRUE(All().empty());
  // Its name is free again.
  Prepare("one", 4);
  Check(writer().CommitPrepared("one", MakeCommit(5)));
  Check(writer().Sync());
  EXPECT_EQ(Changes(All()), Rows("one"));
}

TEST_P(JournalXaTest, PreparedTwiceIsRefused) {
  Prepare("one", 1);
  Check(writer().Begin());
  AddRows("one");
  EXPECT_EQ(CodeOf(writer().Prepare("one", MakePosition(2))), "CF1303");
}

TEST_P(JournalXaTest, NamesThatBeginAlikeAreApart) {
  const std::string names[] = {
      "a", "ab", std::string("a\0", 2), std::string("a\xff\xff\xff\xff", 5), "", std::string(300, 'a')};
  uint64_t position = 0;
  for (const std::string& name : names) {
    Prepare(name, ++position);
  }
  Check(writer().Sync());
  Reopen();
  for (const std::string& name : names) {
    Check(writer().CommitPrepared(name, MakeCommit(++position)));
  }
  Check(writer().Sync());
  EXPECT_EQ(All().size(), std::size(names));
}

TEST_P(JournalXaTest, UnsyncedPrepareThenCommit) {
  Prepare("one", 1);
  Check(writer().CommitPrepared("one", MakeCommit(2)));
  Check(writer().Sync());
  EXPECT_EQ(Changes(All()), Rows("one"));
}

INSTANTIATE_TEST_SUITE_P(Rows, JournalXaTest, ::testing::Values(1, 100),
                         [](const auto& info) { return info.param == 1 ? "One" : "Many"; });

TEST(JournalXa, WithoutRowsTakesNoSeq) {
  TemporaryDirectory directory;
  const auto journal = OpenJournal(OptionsFor(directory.path()));
  Check(journal->writer().Begin());
  Check(journal->writer().Prepare("others'", MakePosition(1)));
  Check(journal->writer().CommitPrepared("others'", MakeCommit(2)));
  Check(journal->writer().Sync());
  EXPECT_EQ(journal->tail().seq, Seq{0});
  EXPECT_EQ(journal->tail().position, MakePosition(2));
}

TEST(JournalXa, UnknownCommitIsCorrupt) {
  TemporaryDirectory directory;
  const auto journal = OpenJournal(OptionsFor(directory.path()));
  const Status committed = journal->writer().CommitPrepared("x", MakeCommit(1));
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code, "CF1303");
  EXPECT_EQ(committed.error().error_class, ErrorClass::kCorrupt);
}

}  // namespace
}  // namespace crossfade::state
