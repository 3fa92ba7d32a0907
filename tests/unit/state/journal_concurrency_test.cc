#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "state/journal.h"
#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {
namespace {

constexpr uint64_t kTransactions = 3000;

// Reads up to the last transaction, checks that each is whole and in order.
void ReadToTheEnd(Journal& journal) {
  const std::unique_ptr<JournalReader> reader = Get(journal.Read(Seq{0}));
  std::vector<Value> values;
  for (uint64_t seq = 1; seq <= kTransactions; ++seq) {
    const auto header = Get(reader->NextTransaction(After(std::chrono::seconds(20))));
    ASSERT_TRUE(header);
    ASSERT_EQ(header->seq, Seq{seq});
    ASSERT_LE(header->seq, journal.tail().seq);
    uint64_t changes = 0;
    while (const std::optional<ChangeBlock> block = Get(reader->NextBlock())) {
      const auto decoder = DecodeBlock(journal, *block);
      ChangeDecoder::Decoded change;
      values.clear();
      while (Get(decoder->Next(&values, &change))) {
        ASSERT_EQ(change.table->name, fmt::format("t{}", seq % 7));
        ASSERT_EQ(values[change.after].i, static_cast<int64_t>(seq));
        values.clear();
        ++changes;
      }
    }
    ASSERT_EQ(changes, seq % 100 == 0 ? 50 : 1);
  }
}

TEST(JournalConcurrency, TwoReadersFollowTheWriterWhileItIsTrimmed) {
  TemporaryDirectory directory;
  JournalOptions options = OptionsFor(directory.path());
  options.part_bytes = 500;
  const std::unique_ptr<Journal> journal = OpenJournal(options);
  std::atomic<bool> done{false};
  std::thread writer([&journal] {
    for (uint64_t n = 1; n <= kTransactions; ++n) {
      const TableSchema table = MakeTable(fmt::format("t{}", n % 7));
      Check(journal->writer().Begin());
      for (uint64_t row = 0; row < (n % 100 == 0 ? 50 : 1); ++row) {
        Check(AddInsert(journal->writer(), table, static_cast<int64_t>(n), "some text"));
      }
      Check(journal->writer().Commit(MakeCommit(n)));
      if (n % 10 == 0) {
        Check(journal->writer().Sync());
      }
    }
  });
  std::thread first([&journal] { ReadToTheEnd(*journal); });
  std::thread second([&journal] { ReadToTheEnd(*journal); });
  std::thread others([&journal, &done] {
    for (uint64_t n = 0; !done; ++n) {
      Check(journal->PutRecord("run", fmt::format("{}", n)));
      Check(journal->Pin("nobody", Seq{0}));
      Check(journal->Trim());
      (void)journal->stats();
      (void)Get(journal->PrefixWithin(MakePosition(n), NumberOrder()));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  writer.join();
  first.join();
  second.join();
  done = true;
  others.join();
  EXPECT_EQ(journal->tail().seq, Seq{kTransactions});
}

TEST(JournalConcurrency, ASyncWakesAWaitingReader) {
  TemporaryDirectory directory;
  const std::unique_ptr<Journal> journal = OpenJournal(OptionsFor(directory.path()));
  const TableSchema table = MakeTable("t");
  std::thread reader([&journal] {
    const auto place = Get(journal->Read(Seq{0}));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(Get(place->NextTransaction(After(std::chrono::seconds(20)))));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  Check(AppendOne(journal->writer(), table, 1));
  Check(journal->writer().Sync());
  reader.join();
}

}  // namespace
}  // namespace crossfade::state
