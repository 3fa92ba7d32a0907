// Follows the journal and writes what it holds to the target, in the source's order, on one session.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "apply/batch_builder.h"
#include "apply/route.h"
#include "apply/target.h"
#include "apply/window.h"
#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"
#include "state/journal.h"

namespace crossfade::apply {

// A change that did not meet the row it was made for.
enum class OnDivergence : uint8_t {
  kStop,    // Data CF1550, with everything before it applied
  kRepair,  // make the row as it should be, keep a record
  kSkip,    // leave the row as it is, keep a record
};

// What has been applied, for lag and status.
struct ApplyProgress {
  Seq seq;
  Position position;            // of `seq`; beyond it when the journal holds nothing more
  int64_t commit_time_us = 0;   // the source's clock, of `seq`
  int64_t arrival_time_us = 0;  // our clock
  bool caught_up = false;       // all that the journal held at the last look is applied
  uint64_t transactions = 0;    // since this Applier began, as all below
  uint64_t changes = 0;
  uint64_t batches = 0;
  uint64_t unfolded_batches = 0;  // that met a constraint and were written again in the source's order
  uint64_t divergences = 0;
};

struct ApplierOptions {
  BatchLimits limits;
  OnDivergence on_divergence = OnDivergence::kStop;
  uint32_t worker = 0;
  std::string pin = "apply";  // holder of the journal's retention
  std::chrono::milliseconds pin_every{1000};
  Seq last{std::numeric_limits<uint64_t>::max()};  // nothing beyond it is applied
  // Told of each transaction that has committed, by the target's number; an error of it ends Run.
  std::function<Status(uint32_t transaction)> committed;
  // Asked after every commit and, while there is nothing to do, about ten times a second; true ends Run.
  std::function<bool(const ApplyProgress&)> done;
};

// One thread, but for progress().
class Applier {
 public:
  enum class Ended : uint8_t { kStopped, kDone };

  // All must outlive it.
  Applier(state::Journal* journal, const RouteSet* routes, const Windows* windows, ApplySession* session,
          ApplierOptions options);

  // Applies everything above `from`, which is what the target's progress says. Returns when stopped, when `last` is
  // applied, or when `done` says so. After Reconnect, Transient and InDoubt: a new session, and Run from the progress
  // read then.
  Result<Ended> Run(Seq from, std::stop_token stop);

  ApplyProgress progress() const;

 private:
  enum class Mode : uint8_t { kFolded, kExact };

  Result<bool> FetchHeader();
  Result<bool> FillBatch();
  Result<bool> ReadTransaction();
  Status ApplyBatch();
  Status ApplyExact(size_t first, size_t end);
  Status ApplyAlone(size_t transaction);
  Status ApplyLarge();
  Result<CommitResult> WriteLarge(Mode mode, std::vector<size_t>* changes);
  Status Reread();
  Result<CommitResult> CommitRange(std::vector<Step> steps, size_t end, std::vector<Divergence> divergences);
  bool SpareChecks(const CommitResult& result);
  Status Tolerate(const CommitResult& result, const std::vector<size_t>& changes, size_t transaction);
  Status TolerateChange(size_t index, const std::string& reason, size_t transaction);
  Error DivergenceError(const Divergence& divergence) const;
  Divergence Describe(size_t index, const std::string& reason, size_t transaction) const;
  Progress ProgressAfter(size_t transaction) const;
  Status Committed(size_t first, size_t end, const CommitResult& result);
  Status MovePin(bool now);
  void NoteIdle(const state::Tail& tail);
  bool Done() const;

  state::Journal* journal_;
  ApplySession* session_;
  ApplierOptions options_;
  BatchBuilder builder_;
  std::unique_ptr<state::JournalReader> reader_;
  std::optional<state::TransactionHeader> header_;  // read, not yet in the batch
  bool large_ = false;                              // the batch is the beginning of one transaction larger than itself
  uint64_t batch_transactions_;                     // smaller for a while after a divergence

  BatchBuilder::Exceptions exceptions_;  // of the transaction that is written alone
  std::vector<Divergence> divergences_;

  Seq durable_;  // on the target's disk
  Seq pinned_;
  std::chrono::steady_clock::time_point pinned_at_;

  mutable std::mutex mutex_;
  ApplyProgress progress_;  // guarded by mutex_
};

}  // namespace crossfade::apply
