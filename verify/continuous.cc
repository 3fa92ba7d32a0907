#include "verify/continuous.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <thread>
#include <utility>

#include "verify/range_compare.h"
#include "verify/shown.h"

namespace crossfade::verify {

namespace {

constexpr std::string_view kTrimmed = "CF1305";
constexpr std::chrono::milliseconds kOpenEvery{2000};
constexpr std::chrono::milliseconds kLookEvery{2};
constexpr std::chrono::milliseconds kTryEvery{20};
// A table that is compared again and again takes a twentieth of the time.
constexpr int kRest = 20;
constexpr std::chrono::seconds kShortestRest{10};
constexpr std::chrono::seconds kLongestRest{3600};

std::string Named(const ComparedTable& table, const std::string& key) {
  return fmt::format("{} {}", table.route().source.name, ShownKey(table, key));
}

}  // namespace

ContinuousCheck::ContinuousCheck(const ComparedTables* tables, const apply::RouteSet* routes, state::Journal* journal,
                                 const PositionOrder* order, const ContinuousOptions& options,
                                 std::optional<CheckState> known)
    : tables_(tables), routes_(routes), journal_(journal), order_(order), options_(options), known_(known.has_value()) {
  if (known) {
    state_ = std::move(*known);
  }
}

CheckState ContinuousCheck::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<Round> ContinuousCheck::CheckTouched(const Sides& sides, snapshot::CopyLimits* pressure,
                                            const std::stop_token& stop) {
  const std::lock_guard rounds(round_mutex_);
  Round round;
  CROSSFADE_TRY(RoundOf(sides, pressure, false, stop, &round));
  return round;
}

Status ContinuousCheck::RoundOf(const Sides& sides, snapshot::CopyLimits* pressure, bool all_open,
                                const std::stop_token& stop, Round* round) {
  CROSSFADE_ASSIGN(const apply::Progress applied, sides.target->BeginState());
  sides.target->EndState();
  round->applied = applied.low;
  CROSSFADE_TRY(journal_->Refresh());
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(known_, true)) {
      state_.checked = applied.low;
      round->changed = true;
    }
    if (applied.low < state_.checked) {
      state_.checked = applied.low;  // a target that crashed has forgotten transactions, and gets them again
      round->changed = true;
    }
  }
  TouchedReader reader(tables_, journal_);
  Status read = reader.Open(state().checked);
  const bool with_open = all_open || std::chrono::steady_clock::now() >= open_seen_;
  bool more = read.has_value();
  bool first = true;
  while (more && !stop.stop_requested()) {
    Result<bool> advanced = Advance(&reader, sides, pressure, with_open && first, round, stop);
    first = false;
    more = advanced && *advanced;
    if (!advanced) {
      read = Fail(std::move(advanced.error()));
    }
  }
  if (!read && read.error().code == kTrimmed) {
    BeginAnew(applied.low, "the journal does not hold any more what was changed since", round);
    return {};
  }
  CROSSFADE_TRY(read);
  if (round->keys == 0) {
    CROSSFADE_TRY(sides.source->OpenSnapshot());  // the one before would keep the source's history, however old it gets
  }
  open_seen_ = with_open ? After(kOpenEvery) : open_seen_;
  round->complete = state().checked >= round->applied;
  return {};
}

// One step: as many rows as fit. False when all that was applied is compared.
Result<bool> ContinuousCheck::Advance(TouchedReader* reader, const Sides& sides, snapshot::CopyLimits* pressure,
                                      bool with_open, Round* round, const std::stop_token& stop) {
  Touched touched;
  if (with_open) {
    AddOpen(&touched);
  }
  CROSSFADE_ASSIGN(const bool all, reader->Collect(round->applied, options_.touched, &touched, stop));
  Looked looked;
  if (!touched.rows().empty()) {
    const ShownUpto upto{reader->last(), reader->last_position()};
    CROSSFADE_ASSIGN(looked, Look(*tables_, touched, upto, sides, *order_, pressure, options_.look, stop));
  }
  std::map<const ComparedTable*, Decision> decisions;
  for (const auto& [table, keys] : looked.unequal) {
    CROSSFADE_ASSIGN(decisions[table], Decide(*table, keys, sides, pressure, stop));
  }
  round->keys += looked.rows;
  const std::lock_guard lock(mutex_);
  const CheckState before = state_;
  for (const auto& [table, rows] : touched.rows()) {
    std::set<std::string, std::less<>> still;
    const Decision& decision = decisions[table];
    still.insert(decision.undecided.begin(), decision.undecided.end());
    std::transform(decision.differences.begin(), decision.differences.end(), std::inserter(still, still.end()),
                   [](const Difference& difference) { return difference.key; });
    std::erase_if(state_.open, [&, one = table, &keys = rows.keys](const auto& open) {
      const bool equal = open.first.first == one->route().source.name && keys.contains(open.first.second) &&
                         !still.contains(open.first.second);
      if (equal && open.second) {
        round->mended.push_back(Named(*one, open.first.second));
      }
      return equal;
    });
  }
  for (const auto& [table, decision] : decisions) {
    Keep(*table, decision, &round->found);
  }
  looked.whole.insert(touched.whole().begin(), touched.whole().end());
  for (const auto& [table, why] : looked.whole) {
    Await(table->route().source.name, why);
  }
  state_.checked = std::max(state_.checked, reader->collected());
  round->changed = round->changed || state_ != before;
  return !all;
}

Result<Decision> ContinuousCheck::Decide(const ComparedTable& table, std::vector<std::string> keys, const Sides& sides,
                                         snapshot::CopyLimits* pressure, const std::stop_token& stop) {
  if (keys.empty()) {
    return Decision{};
  }
  return Recheck(table, *routes_, std::move(keys), sides, journal_, *order_, pressure, options_.recheck, stop);
}

void ContinuousCheck::BeginAnew(Seq applied, std::string why, Round* round) {
  const std::lock_guard lock(mutex_);
  const uint64_t chain = state_.chain + 1;
  state_ = {};
  state_.chain = chain;
  state_.checked = applied;
  waiting_.clear();
  round->changed = true;
  round->anew = std::move(why);
}

void ContinuousCheck::AddOpen(Touched* touched) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [row, different] : state_.open) {
    if (const ComparedTable* table = tables_->Find(row.first)) {
      touched->AddKey(table, row.second);
    }
  }
}

void ContinuousCheck::Keep(const ComparedTable& table, const Decision& decision, std::vector<std::string>* found) {
  for (const Difference& difference : decision.differences) {
    KeepOpen(table, difference.key, true, found);
  }
  for (const std::string& key : decision.undecided) {
    KeepOpen(table, key, false, found);
  }
}

void ContinuousCheck::KeepOpen(const ComparedTable& table, const std::string& key, bool different,
                               std::vector<std::string>* found) {
  const std::string& name = table.route().source.name;
  if (table.whole_row()) {
    Await(name, "rows of it were not equal, and it has no key by which they could be found again");
    return;
  }
  const auto known = state_.open.find({name, key});
  if (known == state_.open.end() && state_.open.size() >= options_.max_open) {
    Await(name, fmt::format("more than {} rows were not equal", options_.max_open));
    return;
  }
  bool& open = state_.open[{name, key}];
  if (different && !open && found != nullptr) {
    found->push_back(Named(table, key));
  }
  open = open || different;
}

void ContinuousCheck::Await(const std::string& table, const std::string& why) {
  state_.waiting.emplace(table, why);
  ++waiting_[table].times;
}

std::optional<Pass> ContinuousCheck::NextPass() {
  const std::lock_guard lock(mutex_);
  if (!known_) {
    return std::nullopt;
  }
  Pass pass;
  pass.chain = state_.chain;
  pass.began_us = WallMicros();
  const int64_t interval_us = std::chrono::microseconds(options_.full_interval).count();
  pass.full = !state_.full || pass.began_us - state_.full->began_us >= interval_us;
  const Deadline now = std::chrono::steady_clock::now();
  if (pass.full) {
    for (const auto& route : routes_->routes()) {
      pass.tables[route->source.name] = waiting_[route->source.name].times;
    }
  } else {
    for (const auto& [table, why] : state_.waiting) {
      if (waiting_[table].not_before <= now) {
        pass.tables[table] = waiting_[table].times;
      }
    }
  }
  return pass.tables.empty() ? std::nullopt : std::optional(std::move(pass));
}

void ContinuousCheck::Decided(const Pass& pass, const ComparedTable& table, const Decision& decision, uint64_t more) {
  const std::lock_guard lock(mutex_);
  if (pass.chain != state_.chain) {
    return;
  }
  Keep(table, decision, nullptr);
  if (more > 0) {
    Await(table.route().source.name, "too many rows differ to look at each again");
  }
}

bool ContinuousCheck::EndPass(const Pass& pass, const Outcome& outcome) {
  const std::lock_guard lock(mutex_);
  if (pass.chain != state_.chain) {
    return false;
  }
  if (pass.full) {
    uint64_t rows = 0;
    for (const TableOutcome& table : outcome.tables) {
      rows += table.source_rows;
    }
    state_.full = FullPass{pass.began_us, WallMicros(), rows, outcome.differences(), outcome.undecided()};
  }
  if (pass.resumed) {
    return true;  // tables that wait may have been put on the list behind the place where the earlier process was
  }
  const auto rest = std::clamp<std::chrono::microseconds>(
      std::chrono::microseconds((WallMicros() - pass.began_us) * kRest), kShortestRest, kLongestRest);
  for (const auto& [table, times] : pass.tables) {
    Waiting& waiting = waiting_[table];
    waiting.not_before = After(std::chrono::duration_cast<std::chrono::milliseconds>(rest));
    if (waiting.times == times) {
      state_.waiting.erase(table);
    }
  }
  return true;
}

Result<FinalVerdict> ContinuousCheck::FinalCheck(const Position& at, Deadline deadline, const Sides& sides,
                                                 const std::stop_token& stop) {
  std::stop_source halt;
  const std::stop_callback forward(stop, [&halt] { halt.request_stop(); });
  const std::jthread clock([&](const std::stop_token& over) {
    std::mutex mutex;
    std::condition_variable_any wakes;
    std::unique_lock lock(mutex);
    wakes.wait_until(lock, over, deadline, [] { return false; });
    halt.request_stop();
  });
  FinalVerdict verdict;
  verdict.at = at;
  const std::unique_lock rounds(round_mutex_, deadline);
  if (!rounds) {
    verdict.reasons.emplace_back("another round was under way all the time allowed");
    return verdict;
  }
  const Deadline began = std::chrono::steady_clock::now();
  CROSSFADE_ASSIGN(const bool applied, AwaitApplied(at, deadline, sides, stop, &verdict));
  const Deadline there = std::chrono::steady_clock::now();
  verdict.waited_us = std::chrono::duration_cast<std::chrono::microseconds>(there - began).count();
  if (applied) {
    const std::stop_callback end(halt.get_token(), [&sides] {
      sides.source->Interrupt();
      sides.target->Cancel();
    });
    const Status compared = CompareLeft(deadline, sides, halt.get_token(), &verdict);
    // What was not compared in time is not noted as compared, and so becomes a reason.
    if (!compared && (stop.stop_requested() || !halt.stop_requested())) {
      return Fail(Error(compared.error()));
    }
  }
  verdict.check_us =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - there).count();
  Conclude(&verdict);
  return verdict;
}

Status ContinuousCheck::CompareLeft(Deadline deadline, const Sides& sides, const std::stop_token& stop,
                                    FinalVerdict* verdict) {
  snapshot::CopyLimits unlimited;
  for (bool first = true;; first = false) {
    if (!first) {
      std::this_thread::sleep_for(kTryEvery);
    }
    Round round;
    const Status made = RoundOf(sides, &unlimited, true, stop, &round);
    verdict->touched_keys += round.keys;
    CROSSFADE_TRY(made);
    const CheckState now = state();
    if ((now.checked >= verdict->seq && now.open.size() == now.different()) || !round.anew.empty() ||
        std::chrono::steady_clock::now() >= deadline || stop.stop_requested()) {
      break;
    }
  }
  return state().full ? CompareWaiting(sides, &unlimited, stop, verdict) : Status{};
}

// False if it takes too long; the reason is noted.
Result<bool> ContinuousCheck::AwaitApplied(const Position& at, Deadline deadline, const Sides& sides,
                                           const std::stop_token& stop, FinalVerdict* verdict) {
  bool captured = false;
  for (;;) {
    if (!captured) {
      CROSSFADE_TRY(journal_->Refresh());
      CROSSFADE_ASSIGN(captured, order_->Contains(journal_->tail().position, at));
      if (captured) {
        CROSSFADE_ASSIGN(verdict->seq, journal_->PrefixWithin(at, *order_));
      }
    }
    if (captured) {
      CROSSFADE_ASSIGN(const apply::Progress progress, sides.target->BeginState());
      sides.target->EndState();
      if (progress.low >= verdict->seq) {
        return true;
      }
    }
    if (std::chrono::steady_clock::now() >= deadline || stop.stop_requested()) {
      verdict->reasons.push_back(fmt::format("not all up to {} is {} in the time allowed; is 'crossfade run' at work?",
                                             at.ToString(), captured ? "applied" : "captured"));
      return false;
    }
    std::this_thread::sleep_for(kLookEvery);
  }
}

// Nothing is written any more, so that what is equal now stays so.
Status ContinuousCheck::CompareWaiting(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop,
                                       FinalVerdict* verdict) {
  const std::map<std::string, std::string> all = state().waiting;
  for (const auto& [name, why] : all) {
    const ComparedTable* table = tables_->Find(name);
    if (table == nullptr || stop.stop_requested()) {
      continue;
    }
    CROSSFADE_ASSIGN(RangeResult range, CompareRange(*table, {}, sides, pressure, options_.range, stop));
    std::vector<std::string> keys;
    keys.reserve(range.candidates.size());
    for (Candidate& candidate : range.candidates) {
      keys.push_back(std::move(candidate.key));
    }
    CROSSFADE_ASSIGN(const Decision decision, Decide(*table, std::move(keys), sides, pressure, stop));
    verdict->tables_compared.push_back(name);
    const std::lock_guard lock(mutex_);
    if (range.more == 0) {
      state_.waiting.erase(name);
    }
    if (table->whole_row()) {
      verdict->different += decision.differences.size();
      for (const Difference& difference : decision.differences) {
        verdict->reasons.push_back(Named(*table, difference.key) + ": different");
      }
    }
    Keep(*table, decision, nullptr);
  }
  return {};
}

void ContinuousCheck::Conclude(FinalVerdict* verdict) const {
  const CheckState now = state();
  verdict->full = now.full;
  verdict->different += now.different();
  verdict->undecided = now.open.size() - now.different();
  std::vector<std::string>& reasons = verdict->reasons;
  if (!now.full) {
    reasons.emplace_back("no pass over all tables has ended yet since the touched rows are followed");
  }
  if (now.checked < verdict->seq) {
    reasons.push_back(
        fmt::format("touched rows are compared up to seq {}, not {}", now.checked.value, verdict->seq.value));
  }
  for (const auto& [row, different] : now.open) {
    const ComparedTable* table = tables_->Find(row.first);
    const std::string name = table == nullptr ? row.first : Named(*table, row.second);
    reasons.push_back(name + (different ? ": different" : ": undecided"));
  }
  for (const auto& [table, why] : now.waiting) {
    reasons.push_back(fmt::format("{} waits to be compared as a whole: {}", table, why));
  }
  verdict->equal = reasons.empty();
}

}  // namespace crossfade::verify
