// Collects consecutive transactions and turns them into the steps of one target transaction.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "apply/fold.h"
#include "apply/route.h"
#include "apply/target.h"
#include "apply/window.h"
#include "core/error.h"
#include "state/journal.h"

namespace crossfade::apply {

struct BatchLimits {
  uint64_t max_bytes = 8 << 20;  // decoded changes in memory; a larger transaction is written in pieces
  uint64_t max_rows = 20'000;
  uint64_t max_transactions = 20'000;
  int64_t max_span_us = 1'000'000;  // of the source's commit times
};

// What to write in place of one change that diverged.
enum class Tolerance : uint8_t {
  kMakeItSo,  // insert or overwrite; nothing, if there is nothing to delete
  kSkip,
};

// Owns the blocks that the steps' images borrow from: steps are valid until Clear or ClearRows. One thread.
class BatchBuilder {
 public:
  using Decode = std::function<std::unique_ptr<state::ChangeDecoder>(const state::ChangeBlock&)>;

  BatchBuilder(const RouteSet* routes, const Windows* windows, const BatchLimits& limits, Decode decode);

  // Whether another transaction fits beside those that are in.
  bool Fits(const state::TransactionHeader& transaction) const;
  bool Full() const { return bytes_ >= limits_.max_bytes || changes_.size() >= limits_.max_rows; }
  bool empty() const { return transactions_.empty(); }
  void set_max_transactions(uint64_t count) { limits_.max_transactions = count; }

  void BeginTransaction(const state::TransactionHeader& transaction);
  // Data CF1513 for an incomplete image, CF1514 for a table whose shape is not that of its route.
  Status Add(state::ChangeBlock block);

  const std::vector<state::TransactionHeader>& transactions() const { return transactions_; }
  size_t rows() const { return changes_.size(); }
  const PendingChange& change(size_t index) const { return changes_[index]; }
  RowChange Images(size_t index) const { return ImagesOf(changes_[index], values_); }
  // It gives a row another key, and rows that refer to it follow by the target's foreign keys.
  bool TakesOthersAlong(size_t index) const {
    const PendingChange& change = changes_[index];
    return change.kind == ChangeKind::kUpdate && !WithoutActions(change) && Acts(change, values_);
  }

  // The net effect of all.
  std::vector<Step> Folded();

  // What is to be done otherwise than the log says.
  struct Exceptions {
    std::map<uint64_t, Tolerance> tolerated;  // by number of the change since Clear
    // Updates that no foreign key can see are written with foreign keys off: PostgreSQL checks a row again that the
    // same transaction has written before, even if its foreign key was broken all the time.
    bool spare_checks = false;
  };
  // One step for each change of transactions [first, end), in the source's order; in `changes` each step's change.
  std::vector<Step> Exact(size_t first, size_t end, const Exceptions& exceptions, std::vector<size_t>* changes);

  void Clear();
  // Drops rows but not transactions: the next piece of a large one follows.
  void ClearRows();
  // Changes that ClearRows has dropped since Clear.
  uint64_t dropped() const { return dropped_; }

 private:
  Result<const AppliedTable*> TableOf(const TableSchema* table);
  Result<AppliedTable*> MakeTable(const TableSchema* table);
  Status Collect(const state::ChangeDecoder::Decoded& decoded);
  Status CheckImage(const AppliedTable& table, size_t at, size_t count) const;
  Result<Verdict> Judge(const AppliedTable& table, uint32_t image, Seq seq) const;
  Status CollectJudged(const PendingChange& change);
  Status CollectPart(const PendingChange& change, Verdict verdict);
  void EndStatement();
  void PushExact(const PendingChange& change, size_t index, const Exceptions& exceptions, std::vector<Step>* steps,
                 std::vector<size_t>* changes) const;

  const RouteSet* routes_;
  const Windows* windows_;
  BatchLimits limits_;
  Decode decode_;
  std::unordered_map<const TableSchema*, const AppliedTable*> tables_;  // null: not captured
  std::map<const Route*, std::unique_ptr<AppliedTable>> by_route_;

  std::deque<state::ChangeBlock> blocks_;
  std::vector<Value> values_;
  std::vector<PendingChange> changes_;
  std::vector<state::TransactionHeader> transactions_;
  uint64_t bytes_ = 0;
  uint64_t dropped_ = 0;
  Fold fold_;
};

}  // namespace crossfade::apply
