// What a Verifier does about rows whose key changes while it reads.
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "verify/look.h"
#include "verify/verifier.h"

namespace crossfade::verify {

namespace {

constexpr std::chrono::milliseconds kFollowEvery{500};
constexpr std::chrono::seconds kNoteFollowedEvery{2};
constexpr uint64_t kBytesOfMovedRow = 64 << 10;  // not known; so many at once are looked at again

bool WasBegun(const PassSoFar& so_far, uint32_t table) {
  const auto begun = [table](const auto& of_pieces) {
    return std::any_of(of_pieces.begin(), of_pieces.end(), [&](const auto& one) { return one.first.table == table; });
  };
  return begun(so_far.pages) || begun(so_far.sums) ||
         std::any_of(so_far.done.begin(), so_far.done.end(),
                     [&](const PieceId& piece) { return piece.table == table; });
}

}  // namespace

// A table that was begun by an earlier process, and of which what moved since cannot be told, begins anew.
Status Verifier::BeginFollowing(Seq applied) {
  moved_->Begin(applied);
  note_followed_ = std::chrono::steady_clock::now() + kNoteFollowedEvery;
  if (!so_far_) {
    return {};
  }
  moved_->Begin(so_far_->followed);
  const bool readable = std::all_of(so_far_->moved.begin(), so_far_->moved.end(),
                                    [this](const std::string& noted) { return moved_->Add(noted); });
  const Result<std::string> added = readable ? moved_->Follow({}) : std::string();
  settled_ = so_far_->settled;
  for (uint32_t table = 0; table < plan_->tables.size(); ++table) {
    if (WasBegun(*so_far_, table)) {
      begun_.insert(table);
    }
  }
  if (readable && added) {
    return notes_ != nullptr && !added->empty() ? notes_->Followed(moved_->followed(), *added, {}) : Status{};
  }
  moved_->Begin(applied);
  for (const uint32_t table : begun_) {
    if (!settled_.contains(table)) {
      CROSSFADE_TRY(notes_ != nullptr ? notes_->Anew(table) : Status{});
      BeginTableAnew(table);
    }
  }
  return notes_ != nullptr ? notes_->Followed(applied, {}, {}) : Status{};
}

void Verifier::BeginTableAnew(uint32_t table) {
  std::erase_if(so_far_->done, [&](const PieceId& piece) { return piece.table == table; });
  std::erase_if(so_far_->pages, [&](const auto& page) { return page.first.table == table; });
  std::erase_if(so_far_->sums, [&](const auto& sums) { return sums.first.table == table; });
  so_far_->tables[table] = {};
}

void Verifier::Follow(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wakes;
  std::unique_lock lock(mutex);
  while (!wakes.wait_for(lock, stop, kFollowEvery, [&] { return stop.stop_requested(); })) {
    if (const Status followed = FollowOnce(stop); !followed) {
      Stick(followed.error());  // a worker ends the others
      return;
    }
  }
}

Status Verifier::FollowOnce(const std::stop_token& stop) {
  std::set<uint32_t> done;  // before the journal is read on: what was read of them is in it
  {
    const std::lock_guard lock(mutex_);
    for (uint32_t table = 0; table < plan_->tables.size(); ++table) {
      if (outcome_.tables[table].chunks == plan_->tables[table].chunks.size() && !settled_.contains(table)) {
        done.insert(table);
      }
    }
  }
  const Seq before = moved_->followed();
  Result<std::string> added = moved_->Follow(stop);
  if (stop.stop_requested()) {
    return {};  // read on by the next call
  }
  std::vector<std::string> notes;
  const std::lock_guard lock(mutex_);
  if (added) {
    notes.push_back(std::move(*added));
  } else {
    for (const uint32_t table : begun_) {
      if (!settled_.contains(table)) {
        notes.push_back(moved_->AddWhole(
            all_tables_->Find(plan_->tables[table].table),
            fmt::format("what moved while it was compared cannot be told: {}", added.error().message)));
      }
    }
    moved_->Begin(journal_->tail().seq);
  }
  settled_.insert(done.begin(), done.end());
  const auto now = std::chrono::steady_clock::now();
  const bool news = !done.empty() || std::any_of(notes.begin(), notes.end(), [](const auto& n) { return !n.empty(); });
  if (notes_ == nullptr || (!news && (before == moved_->followed() || now < note_followed_))) {
    return {};
  }
  note_followed_ = now + kNoteFollowedEvery;
  for (const std::string& one : notes) {
    CROSSFADE_TRY(one.empty() ? Status{} : notes_->Followed(before, one, {}));
  }
  return notes_->Followed(moved_->followed(), {}, done);
}

// Those that were found where they were read are counted already.
std::vector<Candidate> Verifier::NotNamedYet(uint32_t table, std::vector<std::string> keys) const {
  const std::lock_guard lock(mutex_);
  const TableOutcome& outcome = outcome_.tables[table];
  FieldSet shown(outcome.shown_undecided.begin(), outcome.shown_undecided.end());
  for (const ShownDifference& difference : outcome.shown) {
    shown.insert(difference.key);
  }
  const auto named = named_.find(tables_[table].get());
  std::vector<Candidate> candidates;
  for (std::string& key : keys) {
    const bool known = named != named_.end() && named->second.contains(key);
    if (!known && !shown.contains(ShownKey(*tables_[table], key))) {
      candidates.push_back({std::move(key), kBytesOfMovedRow});
    }
  }
  return candidates;
}

Status Verifier::CheckMoved(const Sides& sides, const std::stop_token& stop) {
  const Touched& moved = moved_->rows();
  Looked looked;
  if (!moved.rows().empty()) {
    CROSSFADE_ASSIGN(const apply::Progress applied, sides.target->BeginState());
    sides.target->EndState();
    const ShownUpto upto{applied.low, applied.position};
    CROSSFADE_ASSIGN(looked, Look(*all_tables_, moved, upto, sides, *order_, pressure_, {}, stop));
  }
  looked.whole.insert(moved.whole().begin(), moved.whole().end());
  struct Found {
    TableOutcome part;
    std::vector<Difference> told;
  };
  std::map<uint32_t, Found> found;
  for (uint32_t table = 0; table < plan_->tables.size(); ++table) {
    const ComparedTable* by_name = all_tables_->Find(plan_->tables[table].table);
    if (const auto unequal = looked.unequal.find(by_name); unequal != looked.unequal.end()) {
      std::vector<Candidate> candidates = NotNamedYet(table, std::move(unequal->second));
      Found& here = found[table];
      here.part.rechecked = candidates.size();
      CROSSFADE_TRY(RecheckAll(*tables_[table], std::move(candidates), sides, stop, &here.part, &here.told));
    }
    if (const auto whole = looked.whole.find(by_name); whole != looked.whole.end()) {
      found[table].part.undecided += 1;
      found[table].part.why_undecided = whole->second;
      if (options_.decided) {
        CROSSFADE_TRY(options_.decided(*tables_[table], {}, 1));
      }
    }
  }
  const std::lock_guard lock(mutex_);
  for (auto& [table, here] : found) {
    outcome_.tables[table].Add(std::move(here.part), ShownOfOne());
    for (const Difference& difference : here.told) {
      CROSSFADE_TRY(options_.on_difference(*tables_[table], difference));
    }
  }
  return {};
}

}  // namespace crossfade::verify
