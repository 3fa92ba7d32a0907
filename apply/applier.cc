#include "apply/applier.h"

#include <algorithm>
#include <utility>

#include "core/clock.h"

namespace crossfade::apply {

namespace {

constexpr std::string_view kComponent = "apply";
constexpr std::chrono::milliseconds kIdle{100};
constexpr size_t kImageBytes = 4000;

std::string_view KindName(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kInsert:
      return "insert";
    case ChangeKind::kUpdate:
      return "update";
    case ChangeKind::kDelete:
      return "delete";
    case ChangeKind::kTruncate:
      return "truncate";
  }
  return "change";
}

// As the target would have it: what is hashed or masked is not for its readers.
std::string Display(const Route& route, std::span<const uint32_t> columns, std::span<const Value> image) {
  std::string out;
  std::string storage;
  if (image.empty()) {
    return out;
  }
  for (const uint32_t column : columns) {
    if (out.size() >= kImageBytes) {
      return out + ", ...";
    }
    const Result<Value> value = route.Stored(column, image[column], &storage);
    out += fmt::format("{}{}={}", out.empty() ? "" : ", ", route.targets[column].name,
                       value ? ToDisplay(*value) : "(not to be cast)");
  }
  return out;
}

}  // namespace

Applier::Applier(state::Journal* journal, const RouteSet* routes, const Windows* windows, ApplySession* session,
                 ApplierOptions options)
    : journal_(journal),
      session_(session),
      options_(std::move(options)),
      builder_(routes, windows, options_.limits,
               [journal](const state::ChangeBlock& block) { return state::DecodeBlock(*journal, block); }),
      batch_transactions_(options_.limits.max_transactions) {}

ApplyProgress Applier::progress() const {
  std::lock_guard lock(mutex_);
  return progress_;
}

bool Applier::Done() const {
  const ApplyProgress now = progress();
  return now.seq >= options_.last || (options_.done && options_.done(now));
}

Result<Applier::Ended> Applier::Run(Seq from, std::stop_token stop) {
  {
    std::lock_guard lock(mutex_);
    progress_.seq = from;
    progress_.caught_up = false;
  }
  durable_ = from;
  CROSSFADE_ASSIGN(reader_, journal_->Read(from));
  header_.reset();
  builder_.Clear();
  while (!stop.stop_requested()) {
    const state::Tail tail = journal_->tail();
    CROSSFADE_ASSIGN(const bool any, FillBatch());
    if (any) {
      if (Status status = large_ ? ApplyLarge() : ApplyBatch(); !status) {
        return Fail(std::move(status).error().WithContext(fmt::format("applying Seq {} to {}",
                                                                      builder_.transactions().front().seq.value,
                                                                      builder_.transactions().back().seq.value)));
      }
      builder_.Clear();
    } else {
      NoteIdle(tail);
    }
    CROSSFADE_TRY(MovePin(false));
    if (Done()) {
      CROSSFADE_TRY(MovePin(true));
      return Ended::kDone;
    }
  }
  CROSSFADE_TRY(MovePin(true));
  return Ended::kStopped;
}

// What the journal has, up to the limits; waits only for the first transaction.
Result<bool> Applier::FillBatch() {
  large_ = false;
  exceptions_ = {};
  divergences_.clear();
  builder_.set_max_transactions(batch_transactions_);
  for (;;) {
    CROSSFADE_ASSIGN(const bool have, FetchHeader());
    if (!have || header_->seq > options_.last || !builder_.Fits(*header_)) {
      return !builder_.empty();
    }
    builder_.BeginTransaction(*header_);
    header_.reset();
    CROSSFADE_ASSIGN(const bool whole, ReadTransaction());
    large_ = !whole;
    if (large_ || builder_.Full()) {
      return true;
    }
  }
}

Result<bool> Applier::FetchHeader() {
  if (!header_) {
    const Deadline deadline = builder_.empty() ? After(kIdle) : Deadline{};
    CROSSFADE_ASSIGN(header_, reader_->NextTransaction(deadline));
  }
  return header_.has_value();
}

// False when the batch is full before the transaction ends; only for the first one of a batch, which then is written in
// pieces. Others were let in because they fit.
Result<bool> Applier::ReadTransaction() {
  for (;;) {
    CROSSFADE_ASSIGN(auto block, reader_->NextBlock());
    if (!block) {
      return true;
    }
    CROSSFADE_TRY(builder_.Add(std::move(*block)));
    if (builder_.transactions().size() == 1 && builder_.Full()) {
      return false;
    }
  }
}

Progress Applier::ProgressAfter(size_t transaction) const {
  const state::TransactionHeader& header = builder_.transactions()[transaction];
  Progress progress;
  progress.worker = options_.worker;
  progress.journal_id = journal_->id();
  progress.low = header.seq;
  progress.position = header.commit.position;
  progress.commit_time_us = header.commit.commit_time_us;
  return progress;
}

Result<CommitResult> Applier::CommitRange(std::vector<Step> steps, size_t end, std::vector<Divergence> divergences) {
  Batch batch;
  batch.steps = std::move(steps);
  batch.progress = ProgressAfter(end - 1);
  batch.divergences = std::move(divergences);
  return session_->Commit(batch);
}

Status Applier::Committed(size_t first, size_t end, const CommitResult& result) {
  const state::TransactionHeader& last = builder_.transactions()[end - 1];
  if (result.durable) {
    durable_ = last.seq;
  }
  uint64_t changes = 0;
  for (size_t i = first; i < end; ++i) {
    changes += builder_.transactions()[i].changes;
  }
  batch_transactions_ = std::min(options_.limits.max_transactions, batch_transactions_ * 2);
  {
    std::lock_guard lock(mutex_);
    progress_.seq = last.seq;
    progress_.position = last.commit.position;
    progress_.commit_time_us = last.commit.commit_time_us;
    progress_.arrival_time_us = last.commit.arrival_time_us;
    progress_.caught_up = false;
    progress_.transactions += end - first;
    progress_.changes += changes;
    progress_.batches += 1;
  }
  return options_.committed ? options_.committed(result.transaction) : Status{};
}

void Applier::NoteIdle(const state::Tail& tail) {
  std::lock_guard lock(mutex_);
  if (tail.seq <= progress_.seq) {
    progress_.caught_up = true;
    progress_.position = tail.position;
  }
}

Status Applier::MovePin(bool now) {
  const auto time = std::chrono::steady_clock::now();
  if (!now && time - pinned_at_ < options_.pin_every) {
    return {};
  }
  pinned_at_ = time;
  if (durable_ > pinned_) {
    CROSSFADE_TRY(journal_->Pin(options_.pin, durable_));
    pinned_ = durable_;
  }
  // Also where the pin stands still: what is kept for a while grows old.
  return journal_->Trim();
}

Status Applier::ApplyBatch() {
  const size_t count = builder_.transactions().size();
  CROSSFADE_ASSIGN(const CommitResult result, CommitRange(builder_.Folded(), count, {}));
  if (result.outcome == CommitResult::Outcome::kCommitted) {
    return Committed(0, count, result);
  }
  {
    std::lock_guard lock(mutex_);
    progress_.unfolded_batches += 1;
  }
  return ApplyExact(0, count);
}

// In the source's order. What cannot be applied is cut down to one transaction, behind all that come before it.
Status Applier::ApplyExact(size_t first, size_t end) {
  size_t until = end;
  while (first < end) {
    if (until - first == 1) {
      CROSSFADE_TRY(ApplyAlone(first));
      first = until;
      until = end;
      continue;
    }
    std::vector<size_t> changes;
    CROSSFADE_ASSIGN(const CommitResult result, CommitRange(builder_.Exact(first, until, {}, &changes), until, {}));
    if (result.outcome == CommitResult::Outcome::kCommitted) {
      CROSSFADE_TRY(Committed(first, until, result));
      first = until;
      until = end;
    } else {
      const size_t bad = result.step < changes.size() ? builder_.change(changes[result.step]).transaction : first;
      until = std::max(bad, first + 1);
    }
  }
  return {};
}

Status Applier::ApplyAlone(size_t transaction) {
  exceptions_ = {};
  divergences_.clear();
  for (;;) {
    std::vector<size_t> changes;
    CROSSFADE_ASSIGN(const CommitResult result,
                     CommitRange(builder_.Exact(transaction, transaction + 1, exceptions_, &changes), transaction + 1,
                                 divergences_));
    if (result.outcome == CommitResult::Outcome::kCommitted) {
      return Committed(transaction, transaction + 1, result);
    }
    if (!SpareChecks(result)) {
      CROSSFADE_TRY(Tolerate(result, changes, transaction));
    }
  }
}

Status Applier::ApplyLarge() {
  Mode mode = Mode::kFolded;
  for (;;) {
    std::vector<size_t> changes;
    CROSSFADE_ASSIGN(const CommitResult result, WriteLarge(mode, &changes));
    if (result.outcome == CommitResult::Outcome::kCommitted) {
      return Committed(0, 1, result);
    }
    if (mode == Mode::kExact) {
      if (!SpareChecks(result)) {
        CROSSFADE_TRY(Tolerate(result, changes, 0));
      }
    } else {
      std::lock_guard lock(mutex_);
      progress_.unfolded_batches += 1;
    }
    mode = Mode::kExact;
    CROSSFADE_TRY(Reread());
  }
}

Result<CommitResult> Applier::WriteLarge(Mode mode, std::vector<size_t>* changes) {
  CROSSFADE_TRY(session_->Begin(ProgressAfter(0)));
  for (bool more = true; more;) {
    changes->clear();
    const std::vector<Step> steps =
        mode == Mode::kFolded ? builder_.Folded() : builder_.Exact(0, 1, exceptions_, changes);
    CROSSFADE_ASSIGN(CommitResult result, session_->Write(steps));
    if (result.outcome == CommitResult::Outcome::kRejected) {
      return result;
    }
    builder_.ClearRows();
    CROSSFADE_ASSIGN(const bool whole, ReadTransaction());
    more = builder_.rows() > 0 || !whole;
  }
  changes->clear();
  return session_->Finish(divergences_);
}

// Stands at the beginning of the large transaction again.
Status Applier::Reread() {
  const state::TransactionHeader header = builder_.transactions().front();
  CROSSFADE_ASSIGN(reader_, journal_->Read(Seq{header.seq.value - 1}));
  CROSSFADE_ASSIGN(const auto again, reader_->NextTransaction(Deadline{}));
  if (!again || again->seq != header.seq) {
    return MakeError(ErrorClass::kCorrupt, "CF1523", kComponent, "Seq {} is not in the journal any more",
                     header.seq.value);
  }
  builder_.Clear();
  builder_.BeginTransaction(header);
  CROSSFADE_TRY(ReadTransaction());
  return {};
}

// Tries once more, with the target's foreign keys off where the source's had nothing to say.
bool Applier::SpareChecks(const CommitResult& result) {
  constexpr std::string_view kForeignKeyViolation = "23503";
  if (exceptions_.spare_checks || !result.error || result.error->server_code != kForeignKeyViolation) {
    return false;
  }
  exceptions_.spare_checks = true;
  return true;
}

// Decides about every change that was refused, or stops.
Status Applier::Tolerate(const CommitResult& result, const std::vector<size_t>& changes, size_t transaction) {
  const std::string reason = result.error ? result.error->message : fmt::format("{} rows were there", result.affected);
  if (result.step >= changes.size()) {
    const Seq seq = builder_.transactions()[transaction].seq;
    auto error = MakeError(ErrorClass::kData, "CF1574", kComponent,
                           "Seq {}: the target refused to commit the transaction: {}", seq.value, reason);
    error.value().server_code = result.error ? result.error->server_code : "";
    error.value().object = fmt::format("the transaction of Seq {}", seq.value);
    error.value().found = "a deferred constraint or trigger that the source does not have";
    error.value().fix = "ALTER TABLE ... DROP CONSTRAINT on the target, for the one named here; then 'crossfade run'";
    return error;
  }
  if (result.error && result.error->server_code.empty()) {
    return Fail(*result.error);  // what to do about values that do not fit is the type policy's to say
  }
  if (result.wrong_steps.empty()) {
    return TolerateChange(changes[result.step], reason, transaction);
  }
  for (const size_t step : result.wrong_steps) {
    CROSSFADE_TRY(TolerateChange(changes[step], reason, transaction));
  }
  return {};
}

Status Applier::TolerateChange(size_t index, const std::string& reason, size_t transaction) {
  Divergence divergence = Describe(index, reason, transaction);
  const uint64_t number = builder_.dropped() + index;
  // What is refused even so, another row's unique key perhaps, is for a person.
  if (options_.on_divergence == OnDivergence::kStop || exceptions_.tolerated.count(number) != 0) {
    return Fail(DivergenceError(divergence));
  }
  const bool skip = options_.on_divergence == OnDivergence::kSkip;
  if (!skip &&
      builder_.TakesOthersAlong(index)) {  // a delete and an insert would take away the rows that should follow
    Error error = DivergenceError(divergence);
    error.fix =
        "rows refer to this one by what changes, so that it is not repaired: make the target's row as 'before' "
        "says, and take away one that stands where it goes";
    return Fail(std::move(error));
  }
  exceptions_.tolerated[number] = skip ? Tolerance::kSkip : Tolerance::kMakeItSo;
  divergence.action = skip ? "skipped" : "repaired";
  divergences_.push_back(std::move(divergence));
  batch_transactions_ = 1;
  std::lock_guard lock(mutex_);
  progress_.divergences += 1;
  return {};
}

Divergence Applier::Describe(size_t index, const std::string& reason, size_t transaction) const {
  const PendingChange& change = builder_.change(index);
  const Route& route = *change.table->route;
  const RowChange images = builder_.Images(index);
  Divergence divergence;
  divergence.seq = change.seq;
  divergence.position = builder_.transactions()[transaction].commit.position;
  divergence.table = route.source.name;
  divergence.kind = KindName(change.kind);
  divergence.key = Display(route, route.key, images.before.empty() ? images.after : images.before);
  divergence.before = Display(route, route.columns, images.before);
  divergence.after = Display(route, route.columns, images.after);
  divergence.reason = reason;
  return divergence;
}

Error Applier::DivergenceError(const Divergence& divergence) const {
  Error error;
  error.error_class = ErrorClass::kData;
  error.code = "CF1550";
  error.component = kComponent;
  error.message = fmt::format("Seq {} ({}): {} of {} ({}) does not fit the target: {}; before: {{{}}}; after: {{{}}}",
                              divergence.seq.value, divergence.position.ToString(), divergence.kind, divergence.table,
                              divergence.key, divergence.reason, divergence.before, divergence.after);
  error.object = divergence.table;
  error.found = divergence.key;
  error.fix = "find out who wrote to the target; or set apply.on_divergence to repair or skip";
  return error;
}

}  // namespace crossfade::apply
