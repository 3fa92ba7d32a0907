// Keys and apply, as part of a run.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "apply/applier.h"
#include "apply/window.h"
#include "core/clock.h"
#include "tools/crossfade/backoff.h"
#include "tools/crossfade/pipeline.h"

namespace crossfade::tools {

namespace {

constexpr uint32_t kWorker = 0;
constexpr int64_t kFollowingLagMs = 1000;
// So long a target may take for one commit before we stop with what is applied.
constexpr std::chrono::seconds kAwaitApplied{30};
constexpr std::chrono::milliseconds kLookAtAppliedEvery{5};

std::vector<Position> DistinctHighs(const std::vector<ChunkMark>& marks) {
  std::vector<Position> highs;
  for (const ChunkMark& mark : marks) {
    if (std::find(highs.begin(), highs.end(), mark.high) == highs.end()) {
      highs.push_back(mark.high);
    }
  }
  return highs;
}

apply::ApplierOptions OptionsOf(const Config& config) {
  apply::ApplierOptions options;
  options.limits.max_bytes = config.apply.max_batch_kib << 10;
  options.limits.max_rows = config.apply.max_batch_rows;
  options.limits.max_span_us = static_cast<int64_t>(config.apply.max_source_span_ms) * 1000;
  options.on_divergence = config.apply.on_divergence == "repair" ? apply::OnDivergence::kRepair
                          : config.apply.on_divergence == "skip" ? apply::OnDivergence::kSkip
                                                                 : apply::OnDivergence::kStop;
  options.worker = kWorker;
  return options;
}

Seq AppliedBy(const apply::TargetState& state) {
  for (const apply::Progress& progress : state.progress) {
    if (progress.worker == kWorker) {
      return progress.low;
    }
  }
  return Seq{0};
}

// Figures of earlier Appliers of this run, since each begins at zero.
void ShowApplied(StatusBoard* board, const apply::ApplyProgress& now, const apply::ApplyProgress& before,
                 bool keys_stand) {
  board->Update([&](StatusReport* report) {
    const bool newer = now.seq != report->applied_seq || report->lag_ms < 0;
    report->applied = now.position;
    report->applied_seq = now.seq;
    report->applied_transactions = before.transactions + now.transactions;
    report->applied_rows = before.changes + now.changes;
    report->divergences = before.divergences + now.divergences;
    const int64_t wall = WallMicros();
    if (now.caught_up) {
      report->lag_apply_ms = 0;
      report->lag_ms = std::max<int64_t>(0, report->lag_capture_ms);
    } else if (newer && now.commit_time_us != 0) {
      report->lag_ms = std::max<int64_t>(0, (wall - now.commit_time_us) / 1000);
      report->lag_apply_ms = std::max<int64_t>(0, (wall - now.arrival_time_us) / 1000);
    }
    const bool close = now.caught_up || (report->lag_ms >= 0 && report->lag_ms < kFollowingLagMs);
    if (keys_stand && report->phase == Phase::kCatchingUp && close) {
      report->phase = Phase::kFollowing;
    }
  });
}

}  // namespace

bool AreOnePosition(const std::vector<ChunkMark>& marks) {
  return std::all_of(marks.begin(), marks.end(),
                     [&](const ChunkMark& mark) { return mark.low == mark.high && mark.high == marks.front().high; });
}

Status Pipeline::Follow() {
  return Retry("apply", [this] { return FollowOnce(); });
}

Status Pipeline::Regain(const apply::TargetState& state) {
  for (const apply::Progress& progress : state.progress) {
    if (progress.worker != kWorker || progress.position.empty()) {
      continue;
    }
    if (journal_->tail().seq < progress.low) {
      spdlog::warn("apply: the journal ends at seq {}, the target has applied seq {}: what is missing is read again",
                   journal_->tail().seq.value, progress.low.value);
      CROSSFADE_ASSIGN(const Position head, source_->Head());
      CROSSFADE_ASSIGN(const bool there, order_->Contains(head, progress.position));
      if (!there) {
        return MakeError(ErrorClass::kCorrupt, "CF1765", "pipeline",
                         "the journal has lost transactions, and the source, at {}, does not have {} any more",
                         head.ToString(), progress.position.ToString());
      }
      CROSSFADE_TRY(WaitCaptured({progress.position}));
    }
    CROSSFADE_TRY(MatchesProgress(journal_.get(), *order_, progress));
  }
  return {};
}

bool Pipeline::AwaitApplied(const Error& error) {
  const Seq last = journal_->tail().seq;
  Seq applied = board_->Read().applied_seq;
  if (applied >= last || copying_ || work_) {  // in the copy and beside other work nothing is applied
    return true;
  }
  board_->SetError(error);
  spdlog::error("{}; what was read before it, up to seq {}, is applied, then the migration stops", error.ToString(),
                last.value);
  Deadline give_up = After(kAwaitApplied);
  while (applied < last && !copying_ && !halt_.stop_requested() && std::chrono::steady_clock::now() < give_up) {
    SleepFor(kLookAtAppliedEvery, halt_.get_token());
    const Seq before = std::exchange(applied, board_->Read().applied_seq);
    if (applied > before) {
      give_up = After(kAwaitApplied);
    }
  }
  return !halt_.stop_requested();
}

Status Pipeline::FollowOnce() {
  CROSSFADE_TRY(RefuseTriggers());
  CROSSFADE_ASSIGN(const apply::TargetState state, target_->ReadState());
  target_state_.facts = state.facts;
  CROSSFADE_TRY(Regain(state));
  if (HasFact(kWindowsPassedFact)) {
    windows_open_ = false;  // also where the answer to the fact's commit was lost
    return ApplyUntil(apply::Windows(), AppliedBy(state), std::nullopt);
  }
  CROSSFADE_TRY(WaitCaptured(DistinctHighs(state.chunks)));
  CROSSFADE_ASSIGN(const apply::Windows windows, apply::Windows::FromMarks(state.chunks, journal_.get(), *order_));
  if (!HasFact("analyzed")) {
    if (AreOnePosition(state.chunks)) {
      CROSSFADE_TRY(BuildKeys());
    } else {
      spdlog::info("the copy has open windows: keys are built when seq {} is applied", windows.MaxHigh().value);
      CROSSFADE_TRY(BuildStage(apply::SchemaStage::kActionForeignKeys, "action_foreign_keys"));
      CROSSFADE_TRY(ApplyUntil(windows, AppliedBy(state), windows.MaxHigh()));
      if (halt_.stop_requested()) {
        return {};
      }
      CROSSFADE_TRY(BuildKeys());
      return FollowOnce();
    }
  }
  if (AppliedBy(state) < windows.MaxHigh()) {
    CROSSFADE_TRY(ApplyUntil(windows, AppliedBy(state), windows.MaxHigh()));
    return halt_.stop_requested() ? Status() : FollowOnce();
  }
  // The places in the log that the copy's chunks remember say nothing any more. They must not be asked again: a server
  // that takes the source's place under its old name has other logs of the same names.
  CROSSFADE_TRY(AddFact(kWindowsPassedFact));
  windows_open_ = false;
  return ApplyUntil(apply::Windows(), AppliedBy(state), std::nullopt);
}

Status Pipeline::BuildKeys() {
  board_->SetPhase(Phase::kBuildingKeys);
  CROSSFADE_TRY(LeaveStaging());
  CROSSFADE_TRY(BuildStage(apply::SchemaStage::kKeys, "keys"));
  CROSSFADE_TRY(BuildStage(apply::SchemaStage::kForeignKeys, "foreign_keys"));
  CROSSFADE_TRY(BuildStage(apply::SchemaStage::kIdentity, "identity"));
  CROSSFADE_TRY(BuildStage(apply::SchemaStage::kAnalyze, "analyzed"));
  spdlog::info("keys and foreign keys stand");
  return {};
}

Status Pipeline::OpenOwnTransactions() {
  if (own_transactions_) {
    return {};
  }
  CROSSFADE_ASSIGN(const std::unique_ptr<apply::RowReader> target, OpenTargetRows(config_));
  CROSSFADE_ASSIGN(const std::optional<uint32_t> last, target->LastOwnTransaction());
  auto own = std::make_unique<verify::OwnTransactions>(journal_.get());
  CROSSFADE_TRY(own->Open(last));
  own_transactions_ = std::move(own);
  return {};
}

Status Pipeline::ApplyUntil(const apply::Windows& windows, Seq from, std::optional<Seq> last) {
  if (last && from >= *last) {
    return {};
  }
  board_->SetPhase(Phase::kCatchingUp);
  CROSSFADE_ASSIGN(const std::unique_ptr<apply::ApplySession> session, target_->OpenSession(kWorker));
  const std::stop_callback cancel(halt_.get_token(), [&] { session->Cancel(); });
  const StatusReport before_report = board_->Read();
  apply::ApplyProgress before;
  before.transactions = before_report.applied_transactions;
  before.changes = before_report.applied_rows;
  before.divergences = before_report.divergences;
  apply::ApplierOptions options = OptionsOf(config_);
  if (last) {
    options.last = *last;
  }
  if (!last) {  // before that keys may be built between our transactions, and staged rows moved
    CROSSFADE_TRY(OpenOwnTransactions());
    options.committed = [this](uint32_t transaction) -> Status {
      if (transaction == 0) {
        own_transactions_->Gap();
        return {};
      }
      CROSSFADE_TRY(own_transactions_->Note(transaction));
      return own_transactions_->Keep(false);
    };
  }
  Status goal_error;
  options.done = [&](const apply::ApplyProgress& now) {
    ShowApplied(board_, now, before, !last);
    if (last) {
      return false;
    }
    goal_error = own_transactions_->Keep(false);
    const Result<bool> reached = goal_error ? GoalReached(now.seq) : Result<bool>(true);
    if (!reached) {
      goal_error = Fail(reached.error());
    }
    return !reached || *reached;
  };
  apply::Applier applier(journal_.get(), &ActiveRoutes(), &windows, session.get(), std::move(options));
  const Result<apply::Applier::Ended> ended = applier.Run(from, halt_.get_token());
  ShowApplied(board_, applier.progress(), before, !last);
  if (!ended) {
    if (own_transactions_) {
      own_transactions_->Gap();  // the last one may have committed
    }
    return Fail(ended.error());
  }
  return goal_error;
}

}  // namespace crossfade::tools
