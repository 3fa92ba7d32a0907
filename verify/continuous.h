// Keeps both sides compared while data moves: after one pass over all tables only rows that were changed are looked at
// again, so that "all rows are equal" can be said of a Position of just now.
//
// Why that is enough: a pass compares each row in a state at or behind the one in which it began. Each row that is
// changed after that is compared again behind its change. So behind `checked` no row is left that was not compared
// since it was last changed.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "apply/route.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"
#include "snapshot/limits.h"
#include "state/journal.h"
#include "verify/check_state.h"
#include "verify/look.h"
#include "verify/recheck.h"
#include "verify/sides.h"
#include "verify/touched.h"
#include "verify/verifier.h"

namespace crossfade::verify {

// What one round found.
struct Round {
  Seq applied;            // when it began
  bool complete = false;  // all of that is compared
  bool changed = false;   // the state is another one than before
  uint64_t keys = 0;      // rows that were looked at
  std::string anew;       // why all begins again; empty: it does not
  std::vector<std::string> found;
  std::vector<std::string> mended;
};

// A pass over all tables, or over those that wait for one.
struct Pass {
  uint64_t chain = 0;
  bool full = false;
  std::map<std::string, uint64_t> tables;  // and how often each was put on the list by then
  int64_t began_us = 0;
  bool resumed = false;  // an earlier process began it: which tables were put on the list since is not known
};

// Whether all rows are equal at a Position.
struct FinalVerdict {
  Position at;
  Seq seq;
  bool equal = false;
  std::vector<std::string> reasons;  // why not, or why that cannot be told
  uint64_t different = 0;            // rows
  uint64_t undecided = 0;
  uint64_t touched_keys = 0;  // rows that were looked at now
  std::vector<std::string> tables_compared;
  int64_t waited_us = 0;  // until all was applied
  int64_t check_us = 0;   // behind that
  std::optional<FullPass> full;
};

struct ContinuousOptions {
  TouchedLimits touched;
  LookLimits look;
  RecheckOptions recheck{3, std::chrono::milliseconds{5000}};
  RangeLimits range;
  uint64_t max_open = 1000;              // rows not equal that are kept one by one
  std::chrono::seconds full_interval{};  // between the beginnings of full passes
};

// Everything given must outlive it. Any thread; rounds and final checks wait for each other.
class ContinuousCheck {
 public:
  // Without `known`, what an earlier process knew, all begins anew with the first round.
  ContinuousCheck(const ComparedTables* tables, const apply::RouteSet* routes, state::Journal* journal,
                  const PositionOrder* order, const ContinuousOptions& options, std::optional<CheckState> known);

  CheckState state() const;

  // Compares rows that were changed until now, as many as the limits allow at once, and looks again at those that were
  // not equal. After an error `sides` can do nothing more, and another round begins where this one did.
  Result<Round> CheckTouched(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop);

  // What should be compared as a whole now; none: nothing.
  std::optional<Pass> NextPass();
  // Of a pass that is under way: what a Verifier has decided about a piece of a table.
  void Decided(const Pass& pass, const ComparedTable& table, const Decision& decision, uint64_t more);
  // False if it does not count, since all began anew meanwhile.
  bool EndPass(const Pass& pass, const Outcome& outcome);

  // To be asked while nothing is written on the source, and all of it, up to `at`, is applied or about to be. Compares
  // what was changed since the last round, and tables that wait for it. What is not compared at `deadline` is a reason;
  // what runs then is ended, and `sides` can do nothing more. Nothing is written.
  Result<FinalVerdict> FinalCheck(const Position& at, Deadline deadline, const Sides& sides,
                                  const std::stop_token& stop);

 private:
  struct Waiting {
    uint64_t times = 0;  // put on the list
    Deadline not_before{};
  };

  // `round` says what was done before an error, too.
  Status RoundOf(const Sides& sides, snapshot::CopyLimits* pressure, bool all_open, const std::stop_token& stop,
                 Round* round);
  Result<bool> Advance(TouchedReader* reader, const Sides& sides, snapshot::CopyLimits* pressure, bool with_open,
                       Round* round, const std::stop_token& stop);
  Result<Decision> Decide(const ComparedTable& table, std::vector<std::string> keys, const Sides& sides,
                          snapshot::CopyLimits* pressure, const std::stop_token& stop);
  void BeginAnew(Seq applied, std::string why, Round* round);
  void AddOpen(Touched* touched) const;
  void Keep(const ComparedTable& table, const Decision& decision, std::vector<std::string>* found);
  void KeepOpen(const ComparedTable& table, const std::string& key, bool different, std::vector<std::string>* found);
  void Await(const std::string& table, const std::string& why);
  Result<bool> AwaitApplied(const Position& at, Deadline deadline, const Sides& sides, const std::stop_token& stop,
                            FinalVerdict* verdict);
  // All that is left to be compared. An error if a stop was asked for before that was done.
  Status CompareLeft(Deadline deadline, const Sides& sides, const std::stop_token& stop, FinalVerdict* verdict);
  Status CompareWaiting(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop,
                        FinalVerdict* verdict);
  void Conclude(FinalVerdict* verdict) const;

  const ComparedTables* tables_;
  const apply::RouteSet* routes_;
  state::Journal* journal_;
  const PositionOrder* order_;
  const ContinuousOptions options_;

  std::timed_mutex round_mutex_;  // one round at a time; taken before mutex_
  Deadline open_seen_{};          // round_mutex_

  mutable std::mutex mutex_;
  bool known_ = false;                      // mutex_; state_ says something
  CheckState state_;                        // mutex_
  std::map<std::string, Waiting> waiting_;  // mutex_; beside state_.waiting, and in no file
};

}  // namespace crossfade::verify
