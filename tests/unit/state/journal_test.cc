#include "state/journal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {
namespace {

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<uint64_t>(::getpagesize());
}

class JournalTest : public ::testing::Test {
 protected:
  void Reopen() {
    journal_.reset();
    journal_ = OpenJournal(options_);
  }
  JournalWriter& writer() { return journal_->writer(); }
  std::vector<ReadTransaction> All(uint64_t after = 0) { return Get(ReadAll(*journal_, Seq{after})); }

  TemporaryDirectory directory_;
  JournalOptions options_ = OptionsFor(directory_.path());
  std::unique_ptr<Journal> journal_ = OpenJournal(options_);
  const TableSchema table_ = MakeTable("t");
};

TEST_F(JournalTest, HasAnIdThatStays) {
  const std::string id = journal_->id();
  EXPECT_EQ(id.size(), 32u);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
  Reopen();
  EXPECT_EQ(journal_->id(), id);
  TemporaryDirectory other;
  EXPECT_NE(OpenJournal(OptionsFor(other.path()))->id(), id);
}

TEST_F(JournalTest, DirectoryIsPrivate) {
  struct stat info {};
  ASSERT_EQ(::stat(options_.directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(JournalTest, SecondOpenNamesTheHolder) {
  const auto second = Journal::Open(options_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "CF1301");
  EXPECT_EQ(second.error().error_class, ErrorClass::kConfig);
  EXPECT_NE(second.error().found.find(fmt::format("pid {}", ::getpid())), std::string::npos) << second.error().found;
}

TEST_F(JournalTest, NothingIsVisibleBeforeSync) {
  Check(AppendOne(writer(), table_, 1));
  EXPECT_GT(writer().unsynced_bytes(), 0u);
  EXPECT_EQ(journal_->tail().seq, Seq{0});
  EXPECT_TRUE(All().empty());
  Check(writer().Sync());
  EXPECT_EQ(writer().unsynced_bytes(), 0u);
  EXPECT_EQ(journal_->tail().seq, Seq{1});
  EXPECT_EQ(Changes(All()), std::vector<std::string>{"insert shop.t 1,'name',NULL"});
}

TEST_F(JournalTest, HeadersComeBackAsTheyWere) {
  Check(AppendOne(writer(), table_, 7));
  Check(writer().Sync());
  Reopen();
  const auto all = All();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].header.seq, Seq{1});
  EXPECT_EQ(all[0].header.changes, 1u);
  EXPECT_GT(all[0].header.bytes, 0u);
  EXPECT_EQ(all[0].header.commit.position, MakePosition(7));
  EXPECT_EQ(all[0].header.commit.commit_time_us, MakeCommit(7).commit_time_us);
  EXPECT_EQ(all[0].header.commit.arrival_time_us, MakeCommit(7).arrival_time_us);
  EXPECT_EQ(journal_->tail().position, MakePosition(7));
}

TEST_F(JournalTest, EmptyTransactionsRollbacksAndAdvanceMoveOnlyThePosition) {
  Check(AppendOne(writer(), table_, 1));
  Check(writer().Begin());
  Check(writer().Commit(MakeCommit(2)));
  Check(writer().Sync());
  EXPECT_EQ(journal_->tail().seq, Seq{1});
  EXPECT_EQ(journal_->tail().position, MakePosition(2));
  Check(writer().Begin());
  Check(AddInsert(writer(), table_, 3, "gone"));
  Check(writer().Rollback(MakePosition(3)));
  Check(writer().Sync());
  EXPECT_EQ(journal_->tail().position, MakePosition(3));
  Check(writer().Advance(MakePosition(4)));
  EXPECT_GT(writer().unsynced_bytes(), 0u);
  Check(writer().Sync());
  Reopen();
  EXPECT_EQ(journal_->tail().seq, Seq{1});
  EXPECT_EQ(journal_->tail().position, MakePosition(4));
  EXPECT_EQ(All().size(), 1u);
}

TEST_F(JournalTest, LargeTransactionIsReadInBoundedBlocks) {
  options_.part_bytes = 1000;
  Reopen();
  Check(AppendOne(writer(), table_, 1));
  Check(writer().Begin());
  const std::string name(400, 'x');
  for (int id = 0; id < 3000; ++id) {
    Check(AddInsert(writer(), table_, id, name));
  }
  Check(writer().Commit(MakeCommit(2)));
  Check(AppendOne(writer(), table_, 3));
  Check(writer().Sync());
  Reopen();
  const auto all = All();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].blocks, 1000u);
  EXPECT_EQ(all[1].header.changes, 3000u);
  ASSERT_EQ(all[1].changes.size(), 3000u);
  EXPECT_TRUE(all[1].changes[2999].starts_with("insert shop.t 2999,'xxx"));
  EXPECT_EQ(all[2].changes.size(), 1u);
}

TEST_F(JournalTest, LargeChangesComeBackAmongSmallOnesAndTheirMemoryIsGivenBack) {
  constexpr size_t kLarge = 32 << 20;
  options_.memory_bytes = 8 << 20;
  Reopen();
  const uint64_t before = ResidentBytes();
  Check(AppendOne(writer(), table_, 1));
  for (int n = 2; n <= 5; ++n) {
    Check(writer().Begin());
    Check(AddInsert(writer(), table_, n * 10, "small"));
    Check(AddInsert(writer(), table_, n * 10 + 1, std::string(kLarge, static_cast<char>('a' + n))));
    Check(AddInsert(writer(), table_, n * 10 + 2, "small"));
    Check(writer().Commit(MakeCommit(static_cast<uint64_t>(n))));
  }
  Check(AppendOne(writer(), table_, 6));
  Check(writer().Sync());
#ifdef __SANITIZE_ADDRESS__  // keeps freed memory for a while
  EXPECT_GT(ResidentBytes(), before);
#else
  EXPECT_LT(ResidentBytes(), before + kLarge);  // of 128 MiB: the store's own memory, and nothing whole
#endif
  Reopen();
  const auto all = All();
  ASSERT_EQ(all.size(), 6u);
  for (size_t n = 2; n <= 5; ++n) {
    ASSERT_EQ(all[n - 1].changes.size(), 3u);
    EXPECT_EQ(all[n - 1].changes[0], fmt::format("insert shop.t {}0,'small',NULL", n));
    // Shown shortened; that all bytes are right is what the record's checksum says.
    const std::string shown = fmt::format("insert shop.t {}1,'{}", n, std::string(20, static_cast<char>('a' + n)));
    EXPECT_EQ(all[n - 1].changes[1].substr(0, shown.size()), shown);
    EXPECT_GT(all[n - 1].header.bytes, kLarge);
    EXPECT_EQ(all[n - 1].changes[2], fmt::format("insert shop.t {}2,'small',NULL", n));
  }
}

TEST_F(JournalTest, EveryByteOfABlockInPiecesComesBack) {
  std::string content((4 << 20) * 3 + 12'345, '\0');
  uint64_t random = 1;
  for (char& byte : content) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    byte = static_cast<char>('0' + (random >> 60));
  }
  for (const bool prepared : {false, true}) {
    Check(writer().Begin());
    Check(AddInsert(writer(), table_, 1, "small"));
    Check(AddInsert(writer(), table_, 2, content));
    Check(AddInsert(writer(), table_, 3, "behind"));
    if (prepared) {
      Check(writer().Prepare("xid", MakePosition(8)));
      Reopen();
      Check(writer().CommitPrepared("xid", MakeCommit(9)));
    } else {
      Check(writer().Commit(MakeCommit(7)));
    }
    Check(writer().Sync());
  }
  Reopen();
  const std::unique_ptr<JournalReader> reader = Get(journal_->Read(Seq{0}));
  for (int transaction = 0; transaction < 2; ++transaction) {
    ASSERT_TRUE(Get(reader->NextTransaction(After(std::chrono::seconds(1)))));
    const auto block = Get(reader->NextBlock());
    ASSERT_TRUE(block);
    EXPECT_NE(block->bytes.find(content), std::string::npos);
    ASSERT_TRUE(Get(reader->NextBlock()));
    EXPECT_FALSE(Get(reader->NextBlock()));
  }
}

TEST_F(JournalTest, PartsOfARolledBackTransactionDoNotReturn) {
  options_.part_bytes = 100;
  Reopen();
  Check(writer().Begin());
  for (int id = 0; id < 100; ++id) {
    Check(AddInsert(writer(), table_, id, "rolled back"));
  }
  Check(writer().Rollback(MakePosition(1)));
  Check(writer().Begin());
  for (int id = 0; id < 20; ++id) {
    Check(AddInsert(writer(), table_, id, "kept"));
  }
  Check(writer().Commit(MakeCommit(2)));
  Check(writer().Sync());
  for (int pass = 0; pass < 2; ++pass) {
    const auto all = All();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].changes.size(), 20u);
    EXPECT_EQ(all[0].changes[19], "insert shop.t 19,'kept',NULL");
    Reopen();
  }
}

TEST_F(JournalTest, OpenTransactionIsGoneAfterReopen) {
  options_.part_bytes = 100;
  Reopen();
  Check(AppendOne(writer(), table_, 1));
  Check(writer().Sync());
  Check(writer().Begin());
  for (int id = 0; id < 100; ++id) {
    Check(AddInsert(writer(), table_, id, "never committed"));
  }
  Reopen();
  EXPECT_EQ(journal_->tail().seq, Seq{1});
  Check(AppendOne(writer(), table_, 2));
  Check(writer().Sync());
  EXPECT_EQ(Changes(All()), (std::vector<std::string>{"insert shop.t 1,'name',NULL", "insert shop.t 2,'name',NULL"}));
}

TEST_F(JournalTest, ReaderSkipsWhatIsLeft) {
  options_.part_bytes = 100;
  Reopen();
  for (int n = 1; n <= 3; ++n) {
    Check(writer().Begin());
    for (int id = 0; id < 50; ++id) {
      Check(AddInsert(writer(), table_, n * 100 + id, "some text"));
    }
    Check(writer().Commit(MakeCommit(static_cast<uint64_t>(n))));
  }
  Check(writer().Sync());
  const auto reader = Get(journal_->Read(Seq{0}));
  EXPECT_EQ(Get(reader->NextTransaction(After({})))->seq, Seq{1});
  EXPECT_TRUE(Get(reader->NextBlock()));
  EXPECT_EQ(Get(reader->NextTransaction(After({})))->seq, Seq{2});
  EXPECT_EQ(Get(reader->NextTransaction(After({})))->seq, Seq{3});
  size_t blocks = 0;
  while (Get(reader->NextBlock())) {
    ++blocks;
  }
  EXPECT_GT(blocks, 5u);
  EXPECT_FALSE(Get(reader->NextBlock()));
  EXPECT_FALSE(Get(reader->NextTransaction(After({}))));
  EXPECT_FALSE(Get(reader->NextBlock()));
}

TEST_F(JournalTest, ReaderWaitsUntilItsDeadline) {
  const auto reader = Get(journal_->Read(Seq{0}));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(Get(reader->NextTransaction(After(std::chrono::milliseconds(50)))));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(50));
}

TEST_F(JournalTest, TablesAreKeptByValue) {
  TableSchema table = MakeTable("t", 1);
  Check(AppendOne(writer(), table, 1));
  table = MakeTable("t", 2);  // the same address, another version
  Check(AppendOne(writer(), table, 2));
  const TableSchema copy = MakeTable("t", 1);
  Check(AppendOne(writer(), copy, 3));
  Check(writer().Sync());
  Reopen();
  ASSERT_EQ(All().size(), 3u);
  ASSERT_NE(journal_->FindTable(1), nullptr);
  ASSERT_NE(journal_->FindTable(2), nullptr);
  EXPECT_EQ(*journal_->FindTable(1), MakeTable("t", 1));
  EXPECT_EQ(*journal_->FindTable(2), MakeTable("t", 2));
  EXPECT_EQ(journal_->FindTable(3), nullptr);
  EXPECT_EQ(journal_->FindTable(0), nullptr);
  Check(AppendOne(writer(), table, 4));
  EXPECT_EQ(journal_->FindTable(3), nullptr);
}

TEST_F(JournalTest, RebuiltJournalStartsAboveASeq) {
  TemporaryDirectory other;
  const auto journal = Get(Journal::Open(OptionsFor(other.path())));
  EXPECT_FALSE(journal->initialized());
  EXPECT_EQ(CodeOf(journal->writer().Begin()), "CF1307");
  Check(journal->Initialize(MakePosition(40), Seq{1000}));
  EXPECT_EQ(journal->tail().seq, Seq{1000});
  EXPECT_EQ(journal->tail().position, MakePosition(40));
  EXPECT_EQ(CodeOf(journal->Initialize(MakePosition(40), Seq{1000})), "CF1307");
  Check(AppendOne(journal->writer(), table_, 41));
  Check(journal->writer().Sync());
  EXPECT_EQ(Get(ReadAll(*journal, Seq{1000}))[0].header.seq, Seq{1001});
  EXPECT_EQ(CodeOf(journal->Read(Seq{999})), "CF1305");
}

TEST_F(JournalTest, MisuseSticks) {
  EXPECT_EQ(CodeOf(AddInsert(writer(), table_, 1, "x")), "CF1307");
  EXPECT_EQ(CodeOf(writer().Begin()), "CF1307");
  EXPECT_EQ(CodeOf(writer().Sync()), "CF1307");
  EXPECT_EQ(CodeOf(journal_->PutRecord("a", "b")), "CF1307");
  Reopen();
  Check(AppendOne(writer(), table_, 1));
  Check(writer().Begin());
  EXPECT_EQ(CodeOf(writer().Begin()), "CF1307");
  EXPECT_EQ(CodeOf(writer().Commit(MakeCommit(2))), "CF1307");
}

TEST_F(JournalTest, ImagesThatDoNotFitStick) {
  const Value two[] = {Value::Int(1), Value::Null()};
  Check(writer().Begin());
  EXPECT_EQ(CodeOf(writer().Add({.table = &table_, .kind = ChangeKind::kInsert, .after = two})), "CF1310");
  EXPECT_EQ(CodeOf(writer().Commit(MakeCommit(1))), "CF1310");
}

TEST_F(JournalTest, RecordsAreListedByPrefix) {
  EXPECT_FALSE(Get(journal_->GetRecord("run")));
  Check(journal_->PutRecord("run", "1"));
  Check(journal_->PutRecord("chunk/a/1", std::string("\0x", 2)));
  Check(journal_->PutRecord("chunk/a/2", ""));
  Check(journal_->PutRecord("chunks", "other"));
  Check(journal_->PutRecord("run", "2"));
  Reopen();
  EXPECT_EQ(Get(journal_->GetRecord("run")), "2");
  const std::vector<std::pair<std::string, std::string>> chunks = {{"chunk/a/1", std::string("\0x", 2)},
                                                                   {"chunk/a/2", ""}};
  EXPECT_EQ(Get(journal_->ListRecords("chunk/")), chunks);
  Check(journal_->DeleteRecords("chunk/"));
  Reopen();
  EXPECT_TRUE(Get(journal_->ListRecords("chunk/")).empty());
  EXPECT_EQ(Get(journal_->ListRecords("")).size(), 2u);
}

TEST_F(JournalTest, PrefixWithinIsTheLongestContained) {
  for (int id = 1; id <= 100; ++id) {
    Check(AppendOne(writer(), table_, id * 10));
  }
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(5000), NumberOrder())), Seq{0});
  Check(writer().Sync());
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(0), NumberOrder())), Seq{0});
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(9), NumberOrder())), Seq{0});
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(10), NumberOrder())), Seq{1});
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(505), NumberOrder())), Seq{50});
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(5000), NumberOrder())), Seq{100});
}

// Sees all up to a number, and transaction 3 only much later: it was committed, and not yet visible.
class SnapshotOrder final : public PositionOrder {
 public:
  Result<bool> Contains(const Position& upto, const Position& transaction) const override {
    const bool late = transaction == MakePosition(3) && !*NumberOrder().Contains(upto, MakePosition(4995));
    return late ? Result<bool>(false) : NumberOrder().Contains(upto, transaction);
  }
  bool HasBorder(const Position& /*upto*/) const override { return false; }
};

// Hazard H4: a commit is in the log before it can be seen, and thousands behind it may be seen at once.
TEST_F(JournalTest, PrefixWithinEndsBeforeWhatIsNotSeenHoweverFarBelow) {
  for (int id = 1; id <= 5000; ++id) {
    Check(AppendOne(writer(), table_, id));
  }
  Check(writer().Sync());
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(4990), SnapshotOrder())), Seq{2});
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(4999), SnapshotOrder())), Seq{4999});
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(4990), SnapshotOrder())), Seq{2});
  EXPECT_EQ(Get(journal_->PrefixWithin(MakePosition(6000), SnapshotOrder())), Seq{5000});
}

class FollowedJournalTest : public JournalTest {
 protected:
  std::unique_ptr<Journal> Follow() { return Get(Journal::OpenForReading(options_, scratch_.path())); }

  TemporaryDirectory scratch_;
};

TEST_F(FollowedJournalTest, ASecondReaderSeesWhatIsWrittenMeanwhile) {
  Check(AppendOne(writer(), table_, 1));
  Check(writer().Sync());
  const std::unique_ptr<Journal> followed = Follow();
  EXPECT_EQ(followed->id(), journal_->id());
  EXPECT_EQ(Changes(Get(ReadAll(*followed, Seq{0}))), Changes(All()));
  for (int64_t id = 2; id < 500; ++id) {
    Check(AppendOne(writer(), MakeTable("t", static_cast<int>(id % 3) + 1), id));
    Check(writer().Sync());
    Check(followed->Refresh());
    ASSERT_EQ(followed->tail().seq.value, static_cast<uint64_t>(id));
  }
  EXPECT_EQ(Changes(Get(ReadAll(*followed, Seq{0}))), Changes(All()));
  Check(journal_->Pin("apply", Seq{400}));
  Check(journal_->Trim());
  Check(followed->Refresh());
  EXPECT_EQ(CodeOf(followed->Read(Seq{399})), "CF1305");
  EXPECT_EQ(Get(ReadAll(*followed, Seq{400})).size(), 99u);
}

TEST_F(FollowedJournalTest, AReaderWaitsForTheNextTransaction) {
  const std::unique_ptr<Journal> followed = Follow();
  const std::unique_ptr<JournalReader> reader = Get(followed->Read(Seq{0}));
  EXPECT_FALSE(Get(reader->NextTransaction(After(std::chrono::milliseconds(20)))));
  Check(AppendOne(writer(), table_, 1));
  Check(writer().Sync());
  EXPECT_TRUE(Get(reader->NextTransaction(After(std::chrono::seconds(10)))));
}

TEST_F(FollowedJournalTest, NothingCanBeWritten) {
  Check(AppendOne(writer(), table_, 1));
  Check(writer().Sync());
  const std::unique_ptr<Journal> followed = Follow();
  EXPECT_EQ(CodeOf(followed->Pin("apply", Seq{1})), "CF1312");
  EXPECT_EQ(CodeOf(followed->PutRecord("a", "b")), "CF1312");
  EXPECT_EQ(CodeOf(followed->Trim()), "CF1312");
}

TEST_F(FollowedJournalTest, NoJournalIsAnErrorThatSaysSo) {
  const TemporaryDirectory empty;
  const auto none = Journal::OpenForReading(OptionsFor(empty.path()), scratch_.path());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, "CF1307");
  EXPECT_TRUE(std::filesystem::is_empty(empty.path()));
}

}  // namespace
}  // namespace crossfade::state
