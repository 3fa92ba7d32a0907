#include "verify/verifier.h"

#include <algorithm>
#include <condition_variable>
#include <thread>

namespace crossfade::verify {

namespace {

constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{2000};
constexpr std::chrono::milliseconds kShortPatience{500};
constexpr int kTries = 100;  // of one chunk
// A table that is read in one piece may be written to all over while it is read.
constexpr uint64_t kCandidatesOfWholeTable = 50'000;
constexpr int kRestOfSums = 20;  // keeping them takes a twentieth of the time
constexpr size_t kKeysAtOnce = 256;
constexpr uint64_t kRowBytesAtOnce = 8 << 20;
constexpr size_t kMaxNamed = 100'000;  // of a table

bool CanBeMended(const Error& error) {
  return error.code != "CF1801" &&
         (error.error_class == ErrorClass::kTransient || error.error_class == ErrorClass::kReconnect);
}

void Sleep(std::chrono::milliseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wakes;
  std::unique_lock lock(mutex);
  wakes.wait_for(lock, stop, duration, [] { return false; });
}

}  // namespace

Verifier::Verifier(const snapshot::CopyPlan* plan, const apply::RouteSet* routes, state::Journal* journal,
                   const PositionOrder* order, snapshot::CopyLimits* pressure, OpenSides open,
                   const VerifyOptions& options)
    : plan_(plan),
      routes_(routes),
      journal_(journal),
      order_(order),
      pressure_(pressure),
      open_(std::move(open)),
      options_(options) {}

Verifier::~Verifier() = default;

std::vector<const ComparedTable*> Verifier::tables() const {
  std::vector<const ComparedTable*> tables;
  for (const std::unique_ptr<ComparedTable>& table : tables_) {
    tables.push_back(table.get());
  }
  return tables;
}

Result<Outcome> Verifier::Run(const std::stop_token& stop) {
  {
    CROSSFADE_ASSIGN(const Sides first, open_());
    CROSSFADE_TRY(Begin(first));
  }
  {
    const std::jthread following([this](const std::stop_token& over) { Follow(over); });
    CROSSFADE_TRY(CompareAll(stop));
  }
  CROSSFADE_TRY(FollowOnce({}));  // up to what is applied by now, as no part of a table was read later
  Sides last;
  CROSSFADE_TRY(WithRetry([&](const Sides& sides) { return CheckMoved(sides, stop); }, &last, stop));
  if (!last.source) {
    CROSSFADE_ASSIGN(last, open_());
  }
  CROSSFADE_ASSIGN(outcome_.upto, Applied(last));
  outcome_.ended_us = WallMicros();
  const std::lock_guard lock(mutex_);  // who shows the progress may still look
  return std::move(outcome_);
}

Status Verifier::Begin(const Sides& first) {
  CROSSFADE_ASSIGN(all_tables_, ComparedTables::Make(*routes_, first.target.get()));
  moved_ = std::make_unique<MovedRows>(all_tables_.get(), journal_, options_.moved);
  Seq applied;
  CROSSFADE_ASSIGN(Position from, Applied(first, &applied));
  CROSSFADE_TRY(BeginFollowing(applied));
  const std::lock_guard lock(mutex_);
  for (const snapshot::PlannedTable& planned : plan_->tables) {
    const apply::Route* route = routes_->Find(planned.table);
    CROSSFADE_ASSIGN(tables_.emplace_back(), ComparedTable::Make(*route, first.target.get()));
    for (size_t chunk = 0; chunk < planned.chunks.size(); ++chunk) {
      const PieceId id{static_cast<uint32_t>(tables_.size() - 1), static_cast<uint32_t>(chunk)};
      if (!so_far_ || !so_far_->done.contains(id)) {
        pieces_.push_back(MakePiece(id));
      }
    }
    TableOutcome& outcome = outcome_.tables.emplace_back();
    outcome.table = planned.table;
    outcome.excluded = route->ExcludedColumns();
  }
  CROSSFADE_ASSIGN(const std::optional<Landmark> now, TakeLandmark(first.target.get()));
  landmarks_ = options_.landmarks;
  if (now) {
    landmarks_.push_back(*now);
  }
  if (so_far_) {
    outcome_.from = so_far_->from;
    outcome_.began_us = so_far_->began_us;
    outcome_.resumed = so_far_->resumed;
    for (size_t i = 0; i < outcome_.tables.size() && i < so_far_->tables.size(); ++i) {
      rows_read_ += so_far_->tables[i].source_rows;
      outcome_.tables[i].Add(std::move(so_far_->tables[i]), ShownOfOne());
    }
    return {};
  }
  outcome_.began_us = WallMicros();
  outcome_.from = std::move(from);
  return notes_ != nullptr ? notes_->Begin(outcome_.from, outcome_.began_us, applied) : Status{};
}

Verifier::Piece Verifier::MakePiece(const PieceId& id) {
  const snapshot::PlannedTable& planned = plan_->tables[id.table];
  const ComparedTable& table = *tables_[id.table];
  Piece piece{id, planned.chunks[id.chunk], nullptr};
  if (planned.chunks.size() == 1 && planned.rows > options_.paged_from_rows && CanPage(table.route())) {
    PageLimits limits = options_.page;
    limits.expected_rows = planned.rows;
    limits.expected_bytes = planned.bytes;
    PagePlace from;
    std::string sums;
    if (so_far_) {
      from = so_far_->pages[id];
      sums = std::move(so_far_->sums[id]);
    }
    piece.pages = std::make_unique<PagedComparison>(&table, limits, from, sums);
    if (from.step == PagePlace::Step::kSums) {
      rows_read_ += piece.pages->summed_rows();
    }
  }
  return piece;
}

Status Verifier::CompareAll(const std::stop_token& stop) {
  {
    std::stop_source halt;
    const std::stop_callback forward(stop, [&halt] { halt.request_stop(); });
    std::vector<std::jthread> workers;  // joined before the others go
    for (uint32_t i = 0; i < options_.readers; ++i) {
      workers.emplace_back([this, token = halt.get_token(), &halt] {
        Work(token);
        const std::lock_guard lock(mutex_);
        if (failed_) {
          halt.request_stop();
        }
      });
    }
  }
  if (!failed_ && stop.stop_requested()) {
    return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
  }
  return failed_ ? Status(Fail(std::move(*failed_))) : Status{};
}

PassProgress Verifier::progress() const {
  const std::lock_guard lock(mutex_);
  PassProgress progress;
  progress.rows = rows_read_.load(std::memory_order_relaxed);
  progress.differences = outcome_.differences();
  progress.undecided = outcome_.undecided();
  progress.tables = plan_->tables.size();
  for (size_t i = 0; i < plan_->tables.size(); ++i) {
    const snapshot::PlannedTable& planned = plan_->tables[i];
    const TableOutcome* outcome = i < outcome_.tables.size() ? &outcome_.tables[i] : nullptr;
    const bool done = outcome != nullptr && outcome->chunks == planned.chunks.size();
    progress.chunks += planned.chunks.size();
    progress.chunks_done += outcome == nullptr ? 0 : outcome->chunks;
    progress.tables_done += done ? 1 : 0;
    progress.estimated += done ? outcome->source_rows : planned.rows;
  }
  progress.estimated = std::max(progress.estimated, progress.rows);
  return progress;
}

// The journal's end, where all of it is applied: it may be behind the last transaction, and is known before the first.
Result<Position> Verifier::Applied(const Sides& sides, Seq* seq) {
  CROSSFADE_ASSIGN(const apply::Progress progress, sides.target->BeginState());
  if (seq != nullptr) {
    *seq = progress.low;
  }
  sides.target->EndState();
  CROSSFADE_TRY(journal_->Refresh());
  const state::Tail tail = journal_->tail();
  return tail.seq == progress.low ? tail.position : progress.position;
}

std::optional<Verifier::Piece> Verifier::Next() {
  const std::lock_guard lock(mutex_);
  if (failed_ || next_ == pieces_.size()) {
    return std::nullopt;
  }
  begun_.insert(pieces_[next_].id.table);
  return std::move(pieces_[next_++]);
}

void Verifier::Stick(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (!failed_) {
    failed_ = error;
  }
}

void Verifier::Work(const std::stop_token& stop) {
  Sides sides;
  while (options_.between == nullptr || options_.between->Admit(0, stop)) {
    const std::optional<Piece> piece = Next();
    if (!piece) {
      return;
    }
    const auto compare = [&](const Sides& both) {
      return piece->pages ? ComparePages(*piece, both, stop) : Compare(*piece, both, stop);
    };
    if (const Status compared = WithRetry(compare, &sides, stop); !compared) {
      Stick(compared.error());
      return;
    }
  }
}

// A chunk is compared again from its beginning after a connection was lost, and counts once.
Status Verifier::WithRetry(const std::function<Status(const Sides&)>& compare, Sides* sides,
                           const std::stop_token& stop) {
  // Counted from the first failure after the last time that both sides were to be had.
  bool failing = false;
  Deadline give_up = Deadline::max();
  std::chrono::milliseconds pause = kFirstPause;
  int tries = 0;
  for (;;) {
    Status done;
    if (!sides->source) {
      Result<Sides> opened = open_();
      if (opened) {
        *sides = std::move(*opened);
        failing = false;
      } else {
        done = Fail(std::move(opened.error()));
      }
    }
    if (done) {
      done = compare(*sides);
    }
    if (done) {
      // What comes next may wait, for the source's load or a person. It is counted: a connection that is lost now is
      // no failure of this piece.
      if (!sides->source->EndSnapshot()) {
        *sides = {};
      }
      return done;
    }
    *sides = {};  // after an error a reader can do nothing more
    if (stop.stop_requested()) {
      return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
    }
    if (!failing) {
      failing = true;
      give_up = After(options_.outage);
    }
    if (!CanBeMended(done.error()) || std::chrono::steady_clock::now() >= give_up || ++tries > kTries) {
      return done;
    }
    Sleep(pause, stop);
    pause = std::min(pause * 2, kLongestPause);
  }
}

Status Verifier::Compare(const Piece& piece, const Sides& sides, const std::stop_token& stop) {
  const ComparedTable& table = *tables_[piece.id.table];
  const snapshot::PlannedTable& planned = plan_->tables[piece.id.table];
  RangeLimits limits = options_.range;
  limits.expected_rows = planned.rows / planned.chunks.size();
  if (piece.range.whole()) {
    limits.max_candidates = std::max(limits.max_candidates, kCandidatesOfWholeTable);
  }
  CROSSFADE_ASSIGN(RangeResult range, CompareRange(table, piece.range, sides, pressure_, limits, stop, &rows_read_));
  return Decide(piece, std::move(range), true, std::nullopt, sides, stop);
}

Status Verifier::ComparePages(const Piece& piece, const Sides& sides, const std::stop_token& stop) {
  Deadline keep_sums{};
  for (;;) {
    CROSSFADE_TRY(sides.source->EndSnapshot());
    if (options_.between != nullptr && !options_.between->Admit(0, stop)) {
      return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
    }
    CROSSFADE_ASSIGN(ComparedPage page, piece.pages->Next(sides, pressure_, stop, &rows_read_));
    if (!page.sums) {
      CROSSFADE_TRY(Decide(piece, std::move(page.found), page.last, page.place, sides, stop));
    }
    if (page.last) {
      return {};
    }
    piece.pages->Take();
    if (page.sums && notes_ != nullptr && (page.all_sums || std::chrono::steady_clock::now() >= keep_sums)) {
      const auto began = std::chrono::steady_clock::now();
      {
        const std::lock_guard lock(mutex_);
        CROSSFADE_TRY(notes_->KeepSums(piece.id, piece.pages->EncodeSums()));
      }
      const auto ended = std::chrono::steady_clock::now();
      keep_sums = ended + (ended - began) * kRestOfSums;
    }
  }
}

Status Verifier::Decide(const Piece& piece, RangeResult range, bool last, const std::optional<PagePlace>& place,
                        const Sides& sides, const std::stop_token& stop) {
  const ComparedTable& table = *tables_[piece.id.table];
  if (options_.decided && range.more > 0) {
    CROSSFADE_TRY(options_.decided(table, {}, range.more));
  }
  TableOutcome part;
  part.chunks = last ? 1 : 0;
  part.source_rows = range.source_rows;
  part.target_rows = range.target_rows;
  part.rechecked = range.candidates.size();
  std::vector<Difference> told;
  CROSSFADE_TRY(RecheckAll(table, std::move(range.candidates), sides, stop, &part, &told));
  if (range.more > 0) {
    part.undecided += range.more;
    part.why_undecided = std::move(range.why_more);
  }
  const std::lock_guard lock(mutex_);
  TableOutcome& outcome = outcome_.tables[piece.id.table];
  const ShownLimits limits = ShownOfOne();
  if (outcome.shown_bytes >= limits.bytes || outcome.shown.size() >= limits.rows) {
    part.shown.clear();  // what is not shown is not noted either: many pieces' notes would become large
  }
  if (outcome.shown_bytes >= limits.bytes || outcome.shown_undecided.size() >= limits.rows) {
    part.shown_undecided.clear();
  }
  if (notes_ != nullptr) {
    CROSSFADE_TRY(last ? notes_->PieceDone(piece.id, part) : notes_->PageDone(piece.id, *place, part));
  }
  outcome.Add(std::move(part), limits);
  for (const Difference& difference : told) {
    CROSSFADE_TRY(options_.on_difference(table, difference));
  }
  return {};
}

// So many at once that their rows do not take much memory: those of both sides are held until they are decided.
Status Verifier::RecheckAll(const ComparedTable& table, std::vector<Candidate> candidates, const Sides& sides,
                            const std::stop_token& stop, TableOutcome* part, std::vector<Difference>* told) {
  for (size_t next = 0; next < candidates.size();) {
    std::vector<std::string> keys;
    uint64_t bytes = 0;
    while (next < candidates.size()) {
      const uint64_t more = candidates[next].row_bytes;
      const bool room = keys.size() < kKeysAtOnce && bytes + more <= kRowBytesAtOnce;
      if (!room && !keys.empty() && !table.whole_row()) {  // without a key each try reads the table
        break;
      }
      bytes += more;
      keys.push_back(std::move(candidates[next++].key));
    }
    std::unique_lock large(large_rows_, std::defer_lock);
    if (bytes > kRowBytesAtOnce) {
      large.lock();
    }
    CROSSFADE_TRY(RecheckSome(table, std::move(keys), sides, stop, part, told));
  }
  return {};
}

Status Verifier::RecheckSome(const ComparedTable& table, std::vector<std::string> keys, const Sides& sides,
                             const std::stop_token& stop, TableOutcome* part, std::vector<Difference>* told) {
  RecheckOptions recheck = options_.recheck;
  if (journal_stands_) {
    recheck.patience = std::min(recheck.patience, kShortPatience);
  }
  CROSSFADE_ASSIGN(Decision decision,
                   Recheck(table, *routes_, std::move(keys), sides, journal_, *order_, pressure_, recheck, stop));
  journal_stands_ = decision.journal_stands;
  CROSSFADE_TRY(FindWriters(table, *routes_, sides.target.get(), journal_, landmarks_, decision.differences));
  if (options_.decided) {
    CROSSFADE_TRY(options_.decided(table, decision, 0));
  }
  for (const Difference& difference : decision.differences) {
    Count(table, difference, part);
  }
  {
    const std::lock_guard lock(mutex_);
    FieldSet& named = named_[&table];
    for (size_t i = 0; i < decision.differences.size() && named.size() < kMaxNamed; ++i) {
      named.insert(decision.differences[i].key);
    }
    for (size_t i = 0; i < decision.undecided.size() && named.size() < kMaxNamed; ++i) {
      named.insert(decision.undecided[i]);
    }
  }
  part->undecided += decision.undecided.size();
  if (!decision.undecided.empty()) {
    part->why_undecided = decision.why_undecided;
  }
  for (const std::string& key : decision.undecided) {
    part->ShowUndecided(ShownKey(table, key), ShownOfOne());
  }
  if (options_.on_difference) {
    std::move(decision.differences.begin(), decision.differences.end(), std::back_inserter(*told));
  }
  return {};
}

ShownLimits Verifier::ShownOfOne() const { return ShownLimits::ForEachOf(tables_.size(), options_.max_shown); }

void Verifier::Count(const ComparedTable& table, const Difference& difference, TableOutcome* outcome) const {
  (difference.kind == DifferenceKind::kMissing ? outcome->missing
   : difference.kind == DifferenceKind::kExtra ? outcome->extra
                                               : outcome->different)++;
  const ShownLimits limits = ShownOfOne();
  if (outcome->shown.size() < limits.rows && outcome->shown_bytes < limits.bytes) {
    outcome->ShowDifference(Show(table, difference), limits);
  }
}

}  // namespace crossfade::verify
