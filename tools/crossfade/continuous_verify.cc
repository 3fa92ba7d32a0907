#include "tools/crossfade/continuous_verify.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/clock.h"
#include "core/failpoint.h"
#include "tools/crossfade/backoff.h"
#include "tools/crossfade/pass_file.h"
#include "tools/crossfade/verify_results.h"
#include "tools/crossfade/verify_session.h"
#include "tools/crossfade/verify_watch.h"
#include "verify/verifier.h"

namespace crossfade::tools {

namespace {

constexpr const char* kRecord = "verify.continuous";
constexpr std::chrono::milliseconds kRoundEvery{1000};
constexpr std::chrono::milliseconds kLookForWork{1000};
constexpr std::chrono::milliseconds kPauseAfterError{3000};
constexpr std::chrono::milliseconds kPauseAfterRefusal{60'000};
constexpr std::string_view kOtherProcess = "CF1780";

std::chrono::milliseconds PauseAfter(const Error& error) {
  return IsRetriable(error) || error.code == kOtherProcess ? kPauseAfterError : kPauseAfterRefusal;
}

bool Follows(StatusBoard* board) { return board->Read().phase == Phase::kFollowing; }

}  // namespace

Result<std::optional<verify::CheckState>> LoadCheckState(state::Journal* journal) {
  CROSSFADE_ASSIGN(const std::optional<std::string> bytes, journal->GetRecord(kRecord));
  if (!bytes) {
    return std::optional<verify::CheckState>();
  }
  CROSSFADE_ASSIGN(verify::CheckState state, verify::CheckState::Decode(*bytes));
  return std::optional(std::move(state));
}

verify::ContinuousOptions ContinuousOptionsOf(const Config& config) {
  verify::ContinuousOptions options;
  options.full_interval = std::chrono::seconds(config.verify.full_interval_s);
  return options;
}

ContinuousVerify::ContinuousVerify(const Config& config, const apply::RouteSet* routes, state::Journal* journal,
                                   const PositionOrder* order, SourceEngine* source, StatusBoard* board)
    : config_(config), routes_(routes), journal_(journal), order_(order), source_(source), board_(board) {
  limits_.SetRowsPerSecond(config.verify.max_rows_per_second);
  board_->Update([](StatusReport* report) { report->verify.on = true; });
  touched_ = std::jthread([this](const std::stop_token& stop) { Touch(stop); });
  passes_ = std::jthread([this](const std::stop_token& stop) { MakePasses(stop); });
}

ContinuousVerify::~ContinuousVerify() {
  passes_.request_stop();
  touched_.request_stop();
}

Result<verify::Sides> ContinuousVerify::OpenSides() const {
  verify::Sides sides;
  CROSSFADE_ASSIGN(sides.source, snapshots_->OpenReader());
  CROSSFADE_ASSIGN(sides.target, OpenTargetRows(config_));
  return sides;
}

void ContinuousVerify::Touch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (!Follows(board_)) {
      SleepFor(kLookForWork / 5, stop);
      continue;
    }
    if (const Status ended = TouchUntilError(stop); !ended && !stop.stop_requested()) {
      ShowProblem(ended.error());
      SleepFor(PauseAfter(ended.error()), stop);
    }
  }
}

// With one connection to each side.
Status ContinuousVerify::TouchUntilError(const std::stop_token& stop) {
  if (!snapshots_) {
    std::vector<TableSchema> schemas;
    for (const auto& route : routes_->routes()) {
      schemas.push_back(route->source);
    }
    CROSSFADE_ASSIGN(snapshots_, source_->OpenSnapshots(schemas));
  }
  CROSSFADE_ASSIGN(const verify::Sides sides, OpenSides());
  const std::stop_callback end(stop, [&sides] {
    sides.source->Interrupt();
    sides.target->Cancel();
  });
  CROSSFADE_TRY(Prepare(sides));
  while (!stop.stop_requested()) {
    const Deadline next = After(kRoundEvery);
    const int64_t began_us = WallMicros();
    CROSSFADE_ASSIGN(const verify::Round round, check_->CheckTouched(sides, &limits_, stop));
    if (round.changed) {
      CROSSFADE_TRY(Store());
    }
    Told(round, began_us);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - std::chrono::steady_clock::now());
    SleepFor(std::max(left, std::chrono::milliseconds{0}), stop);
  }
  return {};
}

Status ContinuousVerify::Prepare(const verify::Sides& sides) {
  if (check_) {
    return {};
  }
  CROSSFADE_ASSIGN(tables_, verify::ComparedTables::Make(*routes_, sides.target.get()));
  CROSSFADE_ASSIGN(std::optional<verify::CheckState> known, LoadCheckState(journal_));
  if (known) {
    spdlog::info("verify: touched rows are compared on from seq {}{}", known->checked.value,
                 known->full ? "" : "; a full pass begins");
  }
  check_ = std::make_unique<verify::ContinuousCheck>(tables_.get(), routes_, journal_, order_,
                                                     ContinuousOptionsOf(config_), std::move(known));
  ready_ = check_.get();
  return {};
}

Status ContinuousVerify::Store() {
  const std::lock_guard lock(store_mutex_);
  const verify::CheckState state = check_->state();
  const std::string bytes = state.Encode();
  CROSSFADE_FAILPOINT("verify.checked.before");
  CROSSFADE_TRY(journal_->PutRecord(kRecord, bytes));
  CROSSFADE_FAILPOINT("verify.checked.after");
  journal_->Keep(state.checked);
  return {};
}

void ContinuousVerify::Told(const verify::Round& round, int64_t began_us) {
  if (!round.anew.empty()) {
    spdlog::warn("verify: the last full pass does not count any more, and another begins: {}", round.anew);
  }
  for (const std::string& row : round.found) {
    spdlog::error("verify: {}: different on the two sides", row);
  }
  for (const std::string& row : round.mended) {
    spdlog::info("verify: {}: equal again", row);
  }
  const verify::CheckState state = check_->state();
  board_->Update([&](StatusReport* report) {
    report->verify.problem.clear();
    report->verify.checked_seq = state.checked;
    report->verify.behind = round.applied.value - std::min(round.applied.value, state.checked.value);
    if (round.complete) {
      report->verify.checked_us = began_us;
    }
  });
  Show();
}

void ContinuousVerify::Show() {
  const verify::CheckState state = check_->state();
  board_->Update([&](StatusReport* report) {
    StatusReport::Verify& shown = report->verify;
    shown.full_began_us = state.full ? state.full->began_us : 0;
    shown.full_ended_us = state.full ? state.full->ended_us : 0;
    shown.full_rows = state.full ? state.full->rows : 0;
    shown.full_result = !state.full                   ? ""
                        : state.full->differences > 0 ? "different"
                        : state.full->undecided > 0   ? "undecided"
                                                      : "equal";
    shown.open = state.different();
    shown.undecided = state.open.size() - shown.open;
    shown.waiting.clear();
    for (const auto& [table, why] : state.waiting) {
      shown.waiting.push_back(table);
    }
  });
}

void ContinuousVerify::ShowProblem(const Error& error) {
  spdlog::warn("verify: {}", error.ToString());
  board_->Update([&](StatusReport* report) { report->verify.problem = error.ToString(); });
}

void ContinuousVerify::MakePasses(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::optional<verify::Pass> pass;
    if (verify::ContinuousCheck* check = ready_; check != nullptr && Follows(board_)) {
      pass = check->NextPass();
    }
    if (!pass) {
      SleepFor(kLookForWork, stop);
      continue;
    }
    const Status made = MakePass(*pass, stop);
    board_->Update([](StatusReport* report) { report->verify.doing.clear(); });
    if (!made && !stop.stop_requested()) {
      if (made.error().code != kOtherProcess) {
        ShowProblem(made.error());
      }
      SleepFor(PauseAfter(made.error()), stop);
    }
  }
}

Result<snapshot::CopyPlan> ContinuousVerify::PlanOf(const verify::Pass& pass) {
  CROSSFADE_ASSIGN(const SourceCatalog catalog, source_->ReadCatalog());
  std::map<std::string, TableSize> sizes;
  for (size_t i = 0; i < catalog.tables.size(); ++i) {
    sizes[catalog.tables[i].name] = catalog.sizes[i];
  }
  snapshot::PlanOptions options;
  options.chunk_rows = config_.verify.chunk_rows;
  CROSSFADE_ASSIGN(snapshot::CopyPlan plan, snapshot::PlanCopy(*routes_, sizes, snapshots_.get(), options));
  std::erase_if(plan.tables, [&](const snapshot::PlannedTable& table) { return !pass.tables.contains(table.table); });
  return plan;
}

// The plan and the notes of a pass; of a full one that was interrupted also what is done of it, which `pass` then goes
// on with. A pass over tables that wait has no notes.
Result<ContinuousVerify::Begun> ContinuousVerify::BeginPass(verify::Pass* pass) {
  Begun begun;
  if (!pass->full) {
    CROSSFADE_ASSIGN(begun.plan, PlanOf(*pass));
    return begun;
  }
  const std::string identity = fmt::format("{}|{}", PassIdentity(config_, journal_->id(), *routes_), pass->chain);
  // The chain that the notes are of, before there are any: another process would begin it anew behind later changes.
  CROSSFADE_TRY(Store());
  auto interrupted = PassFile::Load(config_.state_dir, PassKind::kBackground, identity);
  const std::optional<verify::FullPass> last = check_->state().full;
  if (interrupted && (!last || interrupted->so_far.began_us > last->began_us)) {  // else that one has ended
    pass->resumed = true;
    pass->began_us = interrupted->so_far.began_us;
    begun.plan = std::move(interrupted->plan);
    spdlog::info("verify: the full pass that began {} s ago goes on: {} of {} chunks are done",
                 (WallMicros() - pass->began_us) / 1'000'000, interrupted->so_far.done.size(),
                 begun.plan.chunk_count());
    // A journal that lost its end has forgotten what was found: such a table is looked at once more.
    for (size_t i = 0; i < begun.plan.tables.size(); ++i) {
      const verify::TableOutcome& found = interrupted->so_far.tables[i];
      const verify::ComparedTable* table = tables_->Find(begun.plan.tables[i].table);
      if (table != nullptr && found.differences() + found.undecided > 0) {
        check_->Decided(*pass, *table, {}, found.differences() + found.undecided);
      }
    }
    CROSSFADE_TRY(Store());
    begun.so_far = std::move(interrupted->so_far);
    CROSSFADE_ASSIGN(begun.notes, PassFile::GoOn(config_.state_dir, PassKind::kBackground));
    return begun;
  }
  CROSSFADE_ASSIGN(begun.plan, PlanOf(*pass));
  spdlog::info("verify: a full pass over {} tables begins", begun.plan.tables.size());
  CROSSFADE_ASSIGN(begun.notes, PassFile::BeginNew(config_.state_dir, PassKind::kBackground, identity, begun.plan));
  return begun;
}

Status ContinuousVerify::MakePass(verify::Pass pass, const std::stop_token& stop) {
  CROSSFADE_ASSIGN(const VerifyLock lock, VerifyLock::Take(config_.state_dir));
  CROSSFADE_ASSIGN(Begun begun, BeginPass(&pass));
  board_->Update([&](StatusReport* report) {
    report->verify.doing = pass.full ? "full pass" : fmt::format("pass over {} tables", pass.tables.size());
  });
  verify::VerifyOptions options;
  options.readers = 1;
  options.max_shown = config_.verify.max_shown;
  options.paged_from_rows = config_.verify.chunk_rows;
  snapshot::CopyLimits between;
  options.between = &between;
  options.decided = [&](const verify::ComparedTable& table, const verify::Decision& decision, uint64_t more) {
    check_->Decided(pass, table, decision, more);
    // What is not equal is kept before the piece counts as done: a process that goes on with the pass does not look
    // again.
    const bool news = more > 0 || !decision.differences.empty() || !decision.undecided.empty();
    return news ? Store() : Status{};
  };
  verify::Verifier verifier(
      &begun.plan, routes_, journal_, order_, &limits_, [this] { return OpenSides(); }, options);
  verifier.NoteIn(begun.notes.get());
  if (begun.so_far) {
    verifier.GoOnWith(std::move(*begun.so_far));
  }
  const VerifyWatch watch(config_, source_, &limits_, &between, &verifier, ConsoleMode::kNone);
  CROSSFADE_ASSIGN(const verify::Outcome outcome, verifier.Run(stop));
  if (pass.full) {
    CROSSFADE_TRY(VerifyResults(config_.state_dir).Keep(outcome));
  }
  const bool counts = check_->EndPass(pass, outcome);
  CROSSFADE_TRY(Store());
  CROSSFADE_TRY(pass.full ? PassFile::Remove(config_.state_dir, PassKind::kBackground) : Status{});
  Show();
  for (const verify::TableOutcome& table : outcome.tables) {
    for (const verify::ShownDifference& row : table.shown) {
      spdlog::error("verify: {} {}: different on the two sides", table.table, row.key);
    }
  }
  if (pass.full) {
    spdlog::info("verify: the full pass has ended: differences={} undecided={}{}", outcome.differences(),
                 outcome.undecided(), counts ? "" : "; it does not count, since all began anew meanwhile");
  }
  return {};
}

}  // namespace crossfade::tools
