// What the tests of the journal share: a directory, tables, transactions, and reading everything back as text.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "state/journal.h"

namespace crossfade::state {

// Of its own, below the system's temporary directory; gone afterwards.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

template <typename T>
T Get(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().ToString();
    std::abort();
  }
  return *std::move(result);
}

inline void Check(const Status& status) { ASSERT_TRUE(status) << status.error().ToString(); }

template <typename T>
std::string CodeOf(const Result<T>& result) {
  return result ? "" : result.error().code;
}

// Columns: id int (primary key), name varchar, note text.
TableSchema MakeTable(const std::string& name, int version = 1);
Position MakePosition(uint64_t number);
CommitInfo MakeCommit(uint64_t number);

// Contains by the number in MakePosition.
class NumberOrder final : public PositionOrder {
 public:
  Result<bool> Contains(const Position& upto, const Position& transaction) const override;
};

Status AddInsert(JournalWriter& writer, const TableSchema& table, int64_t id, std::string_view name);
// Begin, one insert, Commit.
Status AppendOne(JournalWriter& writer, const TableSchema& table, int64_t id, std::string_view name = "name");

// "insert shop.t 1,'name',NULL", and so on.
std::string Describe(const Change& change);

struct ReadTransaction {
  TransactionHeader header;
  std::vector<std::string> changes;
  size_t blocks = 0;
};
Result<std::vector<ReadTransaction>> ReadAll(Journal& journal, Seq after);
std::vector<std::string> Changes(const std::vector<ReadTransaction>& transactions);

JournalOptions OptionsFor(const std::string& directory);
// Opened, and initialized at MakePosition(0) if it is new.
std::unique_ptr<Journal> OpenJournal(const JournalOptions& options);

}  // namespace crossfade::state
