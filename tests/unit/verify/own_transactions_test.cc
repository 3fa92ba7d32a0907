#include "verify/own_transactions.h"

#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is of POSIX

#include <filesystem>
#include <random>

namespace crossfade::verify {
namespace {

class OwnTransactionsTest : public ::testing::Test {
 protected:
  OwnTransactionsTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "crossfade-own-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    state::JournalOptions options;
    options.directory = directory_ + "/journal";
    auto journal = state::Journal::Open(options);
    EXPECT_TRUE(journal) << journal.error().ToString();
    journal_ = std::move(*journal);
  }
  ~OwnTransactionsTest() override {
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }

  // As if the target's last transaction of ours were the one that was noted last, here.
  OwnTransactions Opened(size_t block_bytes = 4096, uint64_t blocks = 4096) {
    OwnTransactions own(journal_.get(), block_bytes, blocks);
    EXPECT_TRUE(own.Open(last_));
    return own;
  }
  void NoteAll(OwnTransactions* own, const std::vector<uint32_t>& transactions) {
    for (const uint32_t transaction : transactions) {
      EXPECT_TRUE(own->Note(transaction));
      last_ = transaction;
    }
  }
  std::set<uint32_t> NotOursOf(uint32_t first, uint32_t last) {
    std::vector<uint32_t> all;
    for (uint32_t transaction = first; transaction != last + 1; ++transaction) {
      all.push_back(transaction);
    }
    const auto found = NotOurs(journal_.get(), all);
    EXPECT_TRUE(found) << found.error().ToString();
    return found.value_or(std::set<uint32_t>());
  }

  std::string directory_;
  std::unique_ptr<state::Journal> journal_;
  std::optional<uint32_t> last_;
};

using Set = std::set<uint32_t>;

TEST_F(OwnTransactionsTest, SaysNothingOfWhatNobodyKept) {
  EXPECT_EQ(NotOursOf(1, 100), Set());
  OwnTransactions own = Opened();
  EXPECT_EQ(NotOursOf(1, 100), Set());
}

TEST_F(OwnTransactionsTest, OnlyNumbersBetweenTwoOfOursAreSomebodyElses) {
  OwnTransactions own = Opened();
  NoteAll(&own, {10, 11, 14, 20});
  EXPECT_EQ(NotOursOf(5, 30), Set()) << "not kept yet";
  ASSERT_TRUE(own.Keep(true));
  EXPECT_EQ(NotOursOf(5, 30), Set({12, 13, 15, 16, 17, 18, 19}));
}

TEST_F(OwnTransactionsTest, AGapIsNobodys) {
  OwnTransactions own = Opened();
  NoteAll(&own, {10, 12});
  own.Gap();
  NoteAll(&own, {16, 18});
  ASSERT_TRUE(own.Keep(true));
  EXPECT_EQ(NotOursOf(5, 30), Set({11, 17}));
}

TEST_F(OwnTransactionsTest, AProcessThatDiedLeavesAGapAndOneThatEndedDoesNot) {
  {
    OwnTransactions own = Opened();
    NoteAll(&own, {10, 12});
    ASSERT_TRUE(own.Close());
  }
  {
    OwnTransactions own = Opened();
    NoteAll(&own, {14});
    ASSERT_TRUE(own.Keep(true));
    NoteAll(&own, {16});  // in memory only
  }
  OwnTransactions own = Opened();
  NoteAll(&own, {20, 22});
  ASSERT_TRUE(own.Keep(true));
  EXPECT_EQ(NotOursOf(5, 30), Set({11, 13, 21}));
}

TEST_F(OwnTransactionsTest, AGapAtTheEndIsOneForTheNextProcess) {
  {
    OwnTransactions own = Opened();
    NoteAll(&own, {10, 12});
    own.Gap();
    ASSERT_TRUE(own.Close());
  }
  OwnTransactions own = Opened();
  NoteAll(&own, {14, 16});
  ASSERT_TRUE(own.Close());
  EXPECT_EQ(NotOursOf(5, 30), Set({11, 15}));
}

// It was kept at 12, and ours went on to 40 before it was put back.
TEST_F(OwnTransactionsTest, AStateDirectoryThatWasPutBackAccusesNobody) {
  {
    OwnTransactions own = Opened();
    NoteAll(&own, {10, 12});
    ASSERT_TRUE(own.Close());
  }
  last_ = 40;
  OwnTransactions own = Opened();
  NoteAll(&own, {41, 43});
  ASSERT_TRUE(own.Keep(true));
  EXPECT_EQ(NotOursOf(5, 50), Set({11, 42}));
}

TEST_F(OwnTransactionsTest, AHeadThatCannotBeReadBeginsAnew) {
  ASSERT_TRUE(journal_->PutRecord("own.head", "of a later version"));
  OwnTransactions own = Opened();
  NoteAll(&own, {10, 12});
  ASSERT_TRUE(own.Keep(true));
  EXPECT_EQ(NotOursOf(5, 30), Set({11}));
}

TEST_F(OwnTransactionsTest, NumbersGoRound) {
  OwnTransactions own = Opened(16, 64);
  NoteAll(&own, {0xFFFFFFF0, 0xFFFFFFFE, 5, 8});
  ASSERT_TRUE(own.Keep(true));
  const Set found = NotOursOf(0xFFFFFFFA, 10);
  EXPECT_EQ(found, Set({0xFFFFFFFA, 0xFFFFFFFB, 0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFF, 0, 1, 2, 3, 4, 6, 7}));
}

TEST_F(OwnTransactionsTest, ATargetThatWasPutBackBeginsAnew) {
  OwnTransactions own = Opened();
  NoteAll(&own, {1000, 1010});
  ASSERT_TRUE(own.Keep(true));
  NoteAll(&own, {500, 503});
  ASSERT_TRUE(own.Keep(true));
  EXPECT_EQ(NotOursOf(490, 1020), Set({501, 502}));
}

TEST_F(OwnTransactionsTest, ATargetThatWasPutBackWhileNobodyRanBeginsAnew) {
  {
    OwnTransactions own = Opened();
    NoteAll(&own, {1000, 1010});
  }
  OwnTransactions own = Opened();
  NoteAll(&own, {500, 503});
  ASSERT_TRUE(own.Keep(true));
  EXPECT_EQ(NotOursOf(490, 1020), Set({501, 502}));
}

TEST_F(OwnTransactionsTest, RecordsThatCannotBeReadAreSaidToBe) {
  OwnTransactions own = Opened();
  NoteAll(&own, {10, 12});
  ASSERT_TRUE(own.Keep(true));
  for (const std::string key : {"own.1", "own.head"}) {
    const auto record = journal_->GetRecord(key);
    ASSERT_TRUE(record && *record) << key;
    ASSERT_TRUE(journal_->PutRecord(key, (*record)->substr(0, 2)));
    const auto found = NotOurs(journal_.get(), {11});
    ASSERT_FALSE(found) << key;
    EXPECT_EQ(found.error().code, "CF1822");
  }
}

// Against a plain list of all of them, over many blocks, restarts and gaps.
TEST_F(OwnTransactionsTest, AgreesWithAPlainList) {
  std::mt19937 random(20261127);
  constexpr uint64_t kBlocks = 12;
  uint32_t at = 0xFFFFF000;
  std::vector<std::pair<uint32_t, bool>> noted;  // and whether it follows the one before
  bool follows = false;
  for (int process = 0; process < 30; ++process) {
    OwnTransactions own = Opened(40, kBlocks);
    for (uint32_t count = random() % 30; count > 0; --count) {
      if (random() % 10 == 0) {
        own.Gap();
        follows = false;
      }
      at += 1 + random() % 5;
      NoteAll(&own, {at});
      noted.emplace_back(at, follows);
      follows = true;
    }
    if (random() % 2 == 0) {
      ASSERT_TRUE(own.Close());
    } else {
      ASSERT_TRUE(own.Keep(true));
      follows = false;
    }
  }
  Set expected;
  for (size_t i = 1; i < noted.size(); ++i) {
    for (uint32_t between = noted[i - 1].first + 1; noted[i].second && between != noted[i].first; ++between) {
      expected.insert(between);
    }
  }
  const Set found = NotOursOf(0xFFFFF000 - 10, at + 10);
  EXPECT_FALSE(found.empty());
  EXPECT_LT(found.size(), expected.size()) << "the ring keeps only the last blocks";
  for (const uint32_t transaction : found) {
    EXPECT_TRUE(expected.contains(transaction)) << transaction;
  }
  for (const uint32_t transaction : expected) {
    const bool later =
        found.empty() ||
        static_cast<int32_t>(transaction - *std::max_element(found.begin(), found.end(), [](uint32_t a, uint32_t b) {
                               return static_cast<int32_t>(b - a) > 0;
                             })) > 0;
    EXPECT_FALSE(later) << transaction;
  }
}

}  // namespace
}  // namespace crossfade::verify
