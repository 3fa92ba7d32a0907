#include "verify/recheck.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "verify/passage.h"

namespace crossfade::verify {

namespace {

constexpr size_t kKeysAtOnce = 256;
constexpr std::chrono::milliseconds kLookEvery{10};

// What one side holds under each key that was asked for.
struct Held {
  std::string row;
  Digest digest;
  uint64_t count = 0;
};
using HeldRows = std::map<std::string, Held, std::less<>>;

RowSink Collect(const Passages& asked, HeldRows* rows) {
  return [&asked, rows](const Digest&, const Digest& digest, std::string_view key, apply::Fields row) -> Status {
    if (asked.contains(key)) {
      Held& held = (*rows)[std::string(key)];
      held.row = row;
      held.digest = digest;
      ++held.count;
    }
    return {};
  };
}

class Rechecker {
 public:
  Rechecker(const ComparedTable& table, const apply::RouteSet& routes, const Sides& sides, state::Journal* journal,
            const PositionOrder& order, snapshot::CopyLimits* pressure, const RecheckOptions& options,
            const std::stop_token& stop)
      : table_(table),
        routes_(routes),
        sides_(sides),
        journal_(journal),
        order_(order),
        pressure_(pressure),
        stop_(stop),
        give_up_(After(options.patience)) {}

  // Leaves in `keys` those that are not decided yet.
  Status Attempt(std::vector<std::string>* keys, Decision* decision) {
    Passages passages;
    for (const std::string& key : *keys) {
      passages.emplace(key, Passage{});
    }
    HeldRows target;
    HeldRows source;
    CROSSFADE_ASSIGN(const apply::Progress applied, ReadTargetRows(*keys, passages, &target));
    CROSSFADE_ASSIGN(const snapshot::Reader::Window window, ReadSourceRows(*keys, passages, &source));
    CROSSFADE_ASSIGN(bool known, WaitForJournal(window.high));
    if (!known) {
      decision->journal_stands = true;
      decision->why_undecided = "the journal did not reach what the source shows; is 'crossfade run' at work?";
    } else {
      CROSSFADE_ASSIGN(const Seq upto, journal_->PrefixWithin(window.high, order_));
      CROSSFADE_ASSIGN(const Seq seen, journal_->PrefixWithin(window.low, order_));
      CROSSFADE_ASSIGN(known, ReadPassages(table_, routes_, journal_, applied.low, upto, seen, &passages));
      if (!known) {
        decision->why_undecided = "each time its table was changed in a way that the log does not tell row by row";
      }
      // A commit is in the log, and with us, a little before others can see it on the source.
      ahead_ = known && seen < applied.low;
      if (ahead_) {
        known = false;
        decision->why_undecided = "the target was ahead of what the source shows";
      }
    }
    keys->clear();
    for (const auto& [key, passage] : passages) {
      Held& there = source[key];
      Held& here = target[key];
      const Passage::State on_source{there.digest, there.count};
      const Passage::State on_target{here.digest, here.count};
      if (!known && !(on_source == on_target)) {
        keys->push_back(key);
      } else if (known && !passage.Explains(on_source, on_target, table_.whole_row())) {
        if (suspects_.insert(key).second) {
          keys->push_back(key);  // only what is found twice is called a difference
          decision->why_undecided = "it was found different once only";
        } else {
          Difference& difference =
              decision->differences.emplace_back(DifferenceOf(key, std::move(there), std::move(here)));
          SetDue(passage, on_source, difference.source, applied.low, &difference);
        }
      }
    }
    return {};
  }

  // The last attempt says nothing, and does not count.
  bool WasAhead() const { return ahead_ && !TimeIsUp(); }
  bool TimeIsUp() const { return std::chrono::steady_clock::now() >= give_up_; }

 private:
  Result<apply::Progress> ReadTargetRows(const std::vector<std::string>& keys, const Passages& asked, HeldRows* rows) {
    CROSSFADE_ASSIGN(apply::Progress applied, sides_.target->BeginState());
    const RowSink collect = Collect(asked, rows);
    Status read;
    if (table_.whole_row()) {
      read = ReadTarget(table_, {}, sides_.target.get(), collect);
    } else {
      std::string key;
      read = sides_.target->ReadKeys(table_.route(), keys, [&](apply::Fields row) {
        table_.KeyOf(row, &key);
        return collect({}, DigestOf(row), key, row);
      });
    }
    sides_.target->EndState();
    CROSSFADE_TRY(read);
    return applied;
  }

  Result<snapshot::Reader::Window> ReadSourceRows(const std::vector<std::string>& keys, const Passages& asked,
                                                  HeldRows* rows) {
    CROSSFADE_ASSIGN(snapshot::Reader::Window window, sides_.source->OpenSnapshot());
    const RowSink collect = Collect(asked, rows);
    if (table_.whole_row()) {
      CROSSFADE_TRY(ReadSource(table_, {}, sides_.source.get(), pressure_, stop_, collect));
      return window;
    }
    CROSSFADE_TRY(ReadSourceBy(table_, table_.route().key, keys, sides_.source.get(), collect));
    return window;
  }

  Result<bool> WaitForJournal(const Position& high) {
    for (;;) {
      CROSSFADE_TRY(journal_->Refresh());
      CROSSFADE_ASSIGN(const bool reached, order_.Contains(journal_->tail().position, high));
      if (reached || TimeIsUp()) {
        return reached;
      }
      if (stop_.stop_requested()) {
        return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
      }
      std::this_thread::sleep_for(kLookEvery);
    }
  }

  static Difference DifferenceOf(const std::string& key, Held&& source, Held&& target) {
    Difference difference;
    difference.kind = source.count > target.count   ? DifferenceKind::kMissing
                      : source.count < target.count ? DifferenceKind::kExtra
                                                    : DifferenceKind::kDifferent;
    difference.key = key;
    difference.source = std::move(source.row);
    difference.target = std::move(target.row);
    difference.source_count = source.count;
    difference.target_count = target.count;
    return difference;
  }

  void SetDue(const Passage& passage, const Passage::State& source, const std::string& row, Seq applied,
              Difference* difference) const {
    difference->applied = applied;
    const std::optional<Passage::State> due = passage.Before(source, table_.whole_row());
    difference->due_known = due.has_value();
    if (due && due->count > 0) {
      difference->due_count = due->count;
      difference->due = table_.whole_row() ? difference->key : passage.empty() ? row : passage.first();
    }
  }

  const ComparedTable& table_;
  const apply::RouteSet& routes_;
  const Sides& sides_;
  state::Journal* journal_;
  const PositionOrder& order_;
  snapshot::CopyLimits* pressure_;
  const std::stop_token& stop_;
  const Deadline give_up_;
  bool ahead_ = false;
  std::set<std::string> suspects_;
};

}  // namespace

Result<Decision> Recheck(const ComparedTable& table, const apply::RouteSet& routes, std::vector<std::string> keys,
                         const Sides& sides, state::Journal* journal, const PositionOrder& order,
                         snapshot::CopyLimits* pressure, const RecheckOptions& options, const std::stop_token& stop) {
  Decision decision;
  const size_t at_once = table.whole_row() ? keys.size() : kKeysAtOnce;
  for (size_t begin = 0; begin < keys.size(); begin += at_once) {
    const auto first = keys.begin() + static_cast<ptrdiff_t>(begin);
    std::vector<std::string> some(first, first + static_cast<ptrdiff_t>(std::min(at_once, keys.size() - begin)));
    Rechecker rechecker(table, routes, sides, journal, order, pressure, options, stop);
    for (uint32_t attempt = 0; attempt < options.attempts && !some.empty() && !decision.journal_stands;) {
      if (stop.stop_requested()) {
        return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
      }
      CROSSFADE_TRY(rechecker.Attempt(&some, &decision));
      attempt += rechecker.WasAhead() ? 0 : 1;
      if (!some.empty()) {
        std::this_thread::sleep_for(kLookEvery);
      }
    }
    std::move(some.begin(), some.end(), std::back_inserter(decision.undecided));
  }
  return decision;
}

}  // namespace crossfade::verify
