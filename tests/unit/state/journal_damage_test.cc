// Journals that a loss of power, a bad disk or a later version left behind.
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <fstream>
#include <map>

#include "core/bytes.h"
#include "state/record.h"
#include "state/store.h"
#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {
namespace {

namespace fs = std::filesystem;

// The write-ahead log that is written to now: the one with the highest number.
fs::path CurrentLog(const std::string& directory) {
  fs::path current;
  for (const fs::directory_entry& file : fs::directory_iterator(directory)) {
    if (file.path().extension() == ".log" && file.path().filename() > current.filename()) {
      current = file.path();
    }
  }
  return current;
}

class JournalDamageTest : public ::testing::Test {
 protected:
  // The store below a closed journal, to write into it what a journal would not.
  void Rewrite(const std::function<void(Batch*)>& write) {
    journal_.reset();
    const std::unique_ptr<Store> store = Get(Store::Open(options_.directory, options_.memory_bytes));
    Batch batch = store->NewBatch();
    write(&batch);
    Check(store->Write(&batch));
    Check(store->Sync());
  }
  std::string OpenCode() { return CodeOf(Journal::Open(options_)); }

  TemporaryDirectory directory_;
  JournalOptions options_ = OptionsFor(directory_.path());
  std::unique_ptr<Journal> journal_ = OpenJournal(options_);
  const TableSchema table_ = MakeTable("t");
};

// Power is lost: of what RocksDB's log held behind the last sync, any part may be there.
TEST_F(JournalDamageTest, AnyCutOfTheLogBehindASyncKeepsWhatWasSynced) {
  options_.part_bytes = 300;
  journal_.reset();
  journal_ = OpenJournal(options_);
  std::map<uint64_t, uint64_t> synced_at;  // size of the log: seq
  const fs::path log = CurrentLog(options_.directory);
  synced_at[fs::file_size(log)] = 0;
  for (int id = 1; id <= 24; ++id) {
    Check(journal_->writer().Begin());
    for (int row = 0; row < (id % 5 == 0 ? 20 : 1); ++row) {
      Check(AddInsert(journal_->writer(), table_, row, "some text"));
    }
    Check(journal_->writer().Commit(MakeCommit(static_cast<uint64_t>(id))));
    if (id % 3 == 0) {
      Check(journal_->writer().Sync());
      synced_at[fs::file_size(log)] = static_cast<uint64_t>(id);
    }
  }
  journal_.reset();
  ASSERT_EQ(CurrentLog(options_.directory), log);
  JournalOptions cut = options_;
  cut.directory = directory_.path() + "/cut";
  const uint64_t first = synced_at.begin()->first;
  const uint64_t whole = fs::file_size(log);
  for (uint64_t size = first; size <= whole; size += 1 + (whole - first) / 40) {
    fs::remove_all(cut.directory);
    fs::copy(options_.directory, cut.directory);
    fs::resize_file(fs::path(cut.directory) / log.filename(), size);
    const std::unique_ptr<Journal> journal = Get(Journal::Open(cut));
    const uint64_t acknowledged = std::prev(synced_at.upper_bound(size))->second;
    const uint64_t tail = journal->tail().seq.value;
    EXPECT_GE(tail, acknowledged) << "cut at " << size;
    EXPECT_EQ(journal->tail().position, MakePosition(tail));
    const auto all = Get(ReadAll(*journal, Seq{0}));
    ASSERT_EQ(all.size(), tail);
    for (const ReadTransaction& transaction : all) {
      EXPECT_EQ(transaction.changes.size(), transaction.header.seq.value % 5 == 0 ? 20u : 1u);
    }
    Check(AppendOne(journal->writer(), table_, 100));
    Check(journal->writer().Sync());
    EXPECT_EQ(Get(ReadAll(*journal, Seq{tail})).size(), 1u);
  }
}

// A log that is damaged before its synced end opens with less, as after a loss of power. Whoever has seen more finds
// out.
TEST_F(JournalDamageTest, LostTransactionsAreNoticedByWhoeverSawThem) {
  for (int id = 1; id <= 10; ++id) {
    Check(AppendOne(journal_->writer(), table_, id));
    Check(journal_->writer().Sync());
  }
  journal_.reset();
  const fs::path log = CurrentLog(options_.directory);
  std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(fs::file_size(log) / 2));
  file.write("\xde\xad\xbe\xef", 4);
  file.close();
  journal_ = Get(Journal::Open(options_));
  EXPECT_LT(journal_->tail().seq, Seq{10});
  EXPECT_EQ(CodeOf(journal_->Read(Seq{10})), "CF1306");
  EXPECT_EQ(CodeOf(journal_->Pin("apply", Seq{10})), "CF1306");
}

TEST_F(JournalDamageTest, UnknownFeatureIsRefused) {
  Rewrite([](Batch* batch) {
    std::string format;
    ByteWriter out(&format);
    out.Varint(1);
    out.String("0123456789abcdef0123456789abcdef");
    out.Varint(1);
    out.String("compressed-blocks");
    batch->Put(Family::kMeta, "format", Sealed("format", format));
  });
  const auto opened = Journal::Open(options_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "CF1302");
  EXPECT_EQ(opened.error().error_class, ErrorClass::kCorrupt);
  EXPECT_NE(opened.error().message.find("compressed-blocks"), std::string::npos);
}

TEST_F(JournalDamageTest, LaterFormatIsRefused) {
  Rewrite([](Batch* batch) {
    std::string format;
    ByteWriter(&format).Varint(2);
    batch->Put(Family::kMeta, "format", Sealed("format", format + "whatever follows then"));
  });
  EXPECT_EQ(OpenCode(), "CF1302");
}

TEST_F(JournalDamageTest, UnknownColumnFamilyIsRefused) {
  journal_.reset();
  {
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const char* name : {"default", "log", "open", "schema"}) {
      families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    }
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, options_.directory, families, &handles, &db).ok());
    rocksdb::ColumnFamilyHandle* added = nullptr;
    ASSERT_TRUE(db->CreateColumnFamily({}, "later", &added).ok());
    handles.push_back(added);
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      ASSERT_TRUE(db->DestroyColumnFamilyHandle(handle).ok());
    }
    delete db;
  }
  EXPECT_EQ(OpenCode(), "CF1302");
}

TEST_F(JournalDamageTest, ForeignDatabaseIsRefused) {
  journal_.reset();
  fs::remove_all(options_.directory);
  fs::create_directory(options_.directory);
  {
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, options_.directory, &db).ok());
    ASSERT_TRUE(db->Put({}, "somebody's", "data").ok());
    delete db;
  }
  EXPECT_EQ(OpenCode(), "CF1304");
}

TEST_F(JournalDamageTest, DamagedRecordNamesItsSeq) {
  for (int id = 1; id <= 3; ++id) {
    Check(AppendOne(journal_->writer(), table_, id));
  }
  Check(journal_->writer().Sync());
  Rewrite([](Batch* batch) { batch->Put(Family::kLog, LogKey(Seq{2}, kCommitPart).view(), "not a record at all"); });
  journal_ = Get(Journal::Open(options_));
  const auto all = ReadAll(*journal_, Seq{0});
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().code, "CF1304");
  EXPECT_EQ(all.error().error_class, ErrorClass::kCorrupt);
  EXPECT_NE(all.error().message.find("seq 2"), std::string::npos) << all.error().message;
}

TEST_F(JournalDamageTest, MissingTransactionIsNotSkipped) {
  for (int id = 1; id <= 3; ++id) {
    Check(AppendOne(journal_->writer(), table_, id));
  }
  Check(journal_->writer().Sync());
  Rewrite([](Batch* batch) { batch->Delete(Family::kLog, LogKey(Seq{2}, kCommitPart).view()); });
  journal_ = Get(Journal::Open(options_));
  EXPECT_EQ(CodeOf(ReadAll(*journal_, Seq{0})), "CF1304");
}

TEST_F(JournalDamageTest, MissingPartIsNotSkipped) {
  options_.part_bytes = 100;
  journal_.reset();
  journal_ = OpenJournal(options_);
  Check(journal_->writer().Begin());
  for (int id = 0; id < 20; ++id) {
    Check(AddInsert(journal_->writer(), table_, id, "some text"));
  }
  Check(journal_->writer().Commit(MakeCommit(1)));
  Check(journal_->writer().Sync());
  Rewrite([](Batch* batch) { batch->Delete(Family::kLog, LogKey(Seq{1}, 1).view()); });
  journal_ = Get(Journal::Open(options_));
  EXPECT_EQ(CodeOf(ReadAll(*journal_, Seq{0})), "CF1304");
}

TEST_F(JournalDamageTest, PiecesThatDoNotFitAreNoBlock) {
  using Change = std::function<void(Batch*)>;
  const LogKey second(Seq{1}, 1);
  const auto put = [&](std::string_view payload) -> Change {
    return
        [&, value = Sealed(second.view(), payload)](Batch* batch) { batch->Put(Family::kLog, second.view(), value); };
  };
  const std::string too_long(5 << 20, 'x');
  const Change damages[] = {put("\x01whole"),
                            put(PiecePrefix(5 << 20)),
                            put(PiecePrefix(0) + "x"),
                            put(PiecePrefix(1 << 30) + "x"),
                            put(PiecePrefix(0) + too_long),
                            [&](Batch* batch) { batch->Delete(Family::kLog, second.view()); }};
  for (const Change& damage : damages) {
    journal_.reset();
    std::filesystem::remove_all(options_.directory);
    journal_ = OpenJournal(options_);
    Check(journal_->writer().Begin());
    Check(AddInsert(journal_->writer(), table_, 1, std::string(9 << 20, 'y')));
    Check(journal_->writer().Commit(MakeCommit(1)));
    Check(journal_->writer().Sync());
    Rewrite(damage);
    journal_ = Get(Journal::Open(options_));
    EXPECT_EQ(CodeOf(ReadAll(*journal_, Seq{0})), "CF1304");
  }
}

TEST_F(JournalDamageTest, CommitRecordBehindTheTailIsRefused) {
  Check(AppendOne(journal_->writer(), table_, 1));
  Check(journal_->writer().Sync());
  Rewrite([](Batch* batch) { batch->Put(Family::kLog, LogKey(Seq{2}, kCommitPart).view(), "x"); });
  EXPECT_EQ(OpenCode(), "CF1304");
}

TEST_F(JournalDamageTest, MissingLastTransactionIsRefused) {
  Check(AppendOne(journal_->writer(), table_, 1));
  Check(journal_->writer().Sync());
  Rewrite([](Batch* batch) { batch->Delete(Family::kLog, LogKey(Seq{1}, kCommitPart).view()); });
  EXPECT_EQ(OpenCode(), "CF1304");
}

TEST_F(JournalDamageTest, PinBehindTheTailIsRefused) {
  Rewrite([](Batch* batch) {
    std::string applied;
    ByteWriter(&applied).Varint(5);
    batch->Put(Family::kMeta, "pin/apply", Sealed("pin/apply", applied));
  });
  EXPECT_EQ(OpenCode(), "CF1306");
}

// Of what the store itself finds: one bit of one of its files is turned.
TEST_F(JournalDamageTest, AFileThatTheDiskChangedIsFound) {
  Check(AppendOne(journal_->writer(), table_, 1, std::string(2000, 'x')));
  Check(journal_->writer().Sync());
  for (int opened = 0; opened < 2; ++opened) {  // what the store's own log holds is in a file afterwards
    journal_.reset();
    journal_ = Get(Journal::Open(options_));
  }
  Check(journal_->Verify());
  journal_.reset();
  int turned = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.directory)) {
    if (entry.path().extension() == ".sst") {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(20);
      const int byte = file.get();
      file.seekp(20);
      file.put(static_cast<char>(byte ^ 0x10));
      ++turned;
    }
  }
  ASSERT_GT(turned, 0);
  auto opened = Journal::Open(options_);
  const Status found = opened ? (*opened)->Verify() : Status(Fail(opened.error()));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, "CF1309");
  EXPECT_EQ(found.error().error_class, ErrorClass::kCorrupt);
}

TEST_F(JournalDamageTest, DirectoryThatCannotBeMade) {
  std::ofstream(directory_.path() + "/file") << "x";
  JournalOptions options;
  options.directory = directory_.path() + "/file/journal";
  const auto opened = Journal::Open(options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "CF1308");
  EXPECT_EQ(opened.error().error_class, ErrorClass::kConfig);
}

}  // namespace
}  // namespace crossfade::state
