#include "tools/crossfade/pipeline.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>

#include "tools/crossfade/backoff.h"
#include "tools/crossfade/capture_loop.h"
#include "tools/crossfade/continuous_verify.h"

namespace crossfade::tools {

namespace {

constexpr std::string_view kComponent = "pipeline";
constexpr std::chrono::milliseconds kHeartbeatEvery{1000};
constexpr std::chrono::seconds kPreparedWait{10};
constexpr std::chrono::seconds kSaysItWaits{5};
constexpr std::string_view kPreparedFinding = "CF1151";

// Grows with each chunk that is in and each batch that is applied.
uint64_t DoneSoFar(const StatusReport& report) {
  uint64_t done = report.applied_seq.value;
  for (const auto& [name, table] : report.tables) {
    done += table.chunks_done;
  }
  return done;
}

Status RefuseBlockers(const std::vector<apply::Finding>& findings, const std::string& outcome) {
  std::string objects;
  std::string text;
  std::string fixes;
  for (const apply::Finding& finding : findings) {
    if (!finding.blocks) {
      spdlog::warn("check: {} {}: {}; {}", finding.code, finding.object, finding.found, finding.meaning);
      continue;
    }
    objects += fmt::format("{}{}", objects.empty() ? "" : "; ", finding.object);
    text += fmt::format("{}{} {}: {} ({})", text.empty() ? "" : "; ", finding.code, finding.object, finding.found,
                        finding.meaning);
    fixes += fmt::format("{}{}", fixes.empty() ? "" : "\n     ", finding.fix);
  }
  if (text.empty()) {
    return {};
  }
  Error error{ErrorClass::kConfig, "CF1710", std::string(kComponent), outcome + ": " + text, "", objects, "", fixes};
  return Fail(std::move(error));
}

// Where capture may start: all up to it is visible to every snapshot opened from now on. Not the log's head: a commit
// is there before it can be seen, and would be neither in the copy nor behind the start. None while an XA transaction
// is prepared there: its rows would be in front of the start, and its commit behind it.
Result<std::optional<Position>> VisiblePosition(SourceEngine* source, const std::vector<TableSchema>& schemas) {
  CROSSFADE_ASSIGN(const std::unique_ptr<snapshot::SnapshotSource> snapshots, source->OpenSnapshots(schemas));
  if (const auto locked = snapshots->OpenConsistent(1)) {
    return locked->prepared == 0 ? std::optional(locked->position) : std::nullopt;
  }
  // No right to lock, or no lock to be had now. One that is prepared and decided between these lines is not seen.
  CROSSFADE_ASSIGN(const std::unique_ptr<snapshot::Reader> reader, snapshots->OpenReader());
  CROSSFADE_ASSIGN(const snapshot::Reader::Window window, reader->OpenSnapshot());
  CROSSFADE_ASSIGN(const std::vector<std::string> prepared, source->PreparedTransactions());
  return prepared.empty() ? std::optional(window.low) : std::nullopt;
}

}  // namespace

Pipeline::Pipeline(const Config& config, const RunOptions& options, StatusBoard* board)
    : config_(config), options_(options), board_(board) {}

Pipeline::~Pipeline() {
  halt_.request_stop();
  continuous_verify_.reset();
  retention_watch_.reset();
  for (std::jthread* thread : {&capture_, &heartbeat_}) {
    if (thread->joinable()) {
      thread->join();
    }
  }
}

Status Pipeline::Run(std::stop_token stop) {
  const std::stop_callback forward(stop, [this] { halt_.request_stop(); });
  Status result = RunOwned();
  halt_.request_stop();
  continuous_verify_.reset();
  retention_watch_.reset();
  if (capture_.joinable()) {
    capture_.join();
  }
  if (heartbeat_.joinable()) {
    heartbeat_.join();
  }
  if (own_transactions_) {
    if (const Status closed = own_transactions_->Close(); !closed && result) {
      result = closed;
    }
  }
  {
    const std::lock_guard lock(fatal_mutex_);
    if (fatal_) {
      result = Fail(*fatal_);
    }
  }
  if (!result && stop.stop_requested() && IsRetriable(result.error())) {
    result = {};  // what was under way was cancelled because we were told to stop
  }
  if (!result) {
    AdviseRebuild(options_.config, &result.error());
    board_->SetError(result.error());
  }
  board_->SetPhase(result ? Phase::kStopped : Phase::kFailed);
  publisher_.reset();
  if (target_ && target_state_.epoch != 0) {
    target_->Release();
  }
  return result;
}

Status Pipeline::RunOwned() {
  CROSSFADE_ASSIGN(source_, MakeSourceEngine(config_));
  CROSSFADE_ASSIGN(order_, source_->Order());
  goal_.caught_up = options_.until == "caught-up";
  if (options_.until && !goal_.caught_up) {
    CROSSFADE_ASSIGN(goal_.position, source_->ParsePosition(*options_.until));
  }
  CROSSFADE_ASSIGN(target_, OpenTarget(config_));
  CROSSFADE_TRY(TakeOwnership());
  if (options_.rebuild_journal) {
    CROSSFADE_TRY(ClearForRebuild());
  }
  CROSSFADE_TRY(OpenJournal());
  if (!journal_->initialized()) {
    CROSSFADE_TRY(options_.rebuild_journal ? BeginRebuilt() : BeginMigration());
  }
  CROSSFADE_TRY(LoadRoutes());
  CROSSFADE_TRY(FinishRebuilt());
  CROSSFADE_TRY(CompareIdentity(target_state_));
  if (target_state_.journal_id.empty()) {
    CROSSFADE_TRY(target_->BindJournal(journal_->id(), ""));
    target_state_.journal_id = journal_->id();
  }
  CROSSFADE_TRY(CheckTransforms(routes_, target_state_, config_));
  if (const std::string fact = TransformsFact(routes_); !fact.empty() && !HasFact(fact)) {
    CROSSFADE_TRY(AddFact(fact));
  }
  if (HasFact("copied") && goal_.caught_up) {
    CROSSFADE_ASSIGN(goal_.position, source_->Head());
  }
  copying_ = !HasFact("copied");
  StartCapture();
  if (work_) {
    return DoWork();
  }
  CROSSFADE_TRY(Copy());
  copying_ = false;
  StartVerify();
  return Follow();
}

Status Pipeline::RunAtRest(std::stop_token stop, Work work) {
  work_ = std::move(work);
  return Run(std::move(stop));
}

Status Pipeline::DoWork() {
  CROSSFADE_TRY(RefuseTriggers());
  CROSSFADE_ASSIGN(const apply::TargetState state, target_->ReadState());
  CROSSFADE_TRY(Regain(state));
  CROSSFADE_TRY(OpenOwnTransactions());
  own_transactions_->Gap();  // what the work writes is not noted
  return work_({target_.get(), journal_.get(), halt_.get_token()});
}

Status Pipeline::TakeOwnership() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  const apply::Owner owner{host, ::getpid(), "crossfade " CROSSFADE_VERSION};
  {
    const std::jthread patience([&](std::stop_token taken) {
      for (SleepFor(kSaysItWaits, taken); !taken.stop_requested(); SleepFor(kSaysItWaits, taken)) {
        spdlog::info(
            "waiting for the migration's last owner: until its heartbeat on the target stands still for "
            "target.takeover_grace_ms, and its transaction there has ended");
      }
    });
    CROSSFADE_ASSIGN(target_state_, target_->TakeOver(owner, options_.take_over, halt_.get_token()));
  }
  board_->Update([&](StatusReport* report) { report->epoch = target_state_.epoch; });
  StartHeartbeat();
  return {};
}

Status Pipeline::OpenJournal() {
  state::JournalOptions options;
  options.directory = config_.state_dir + "/journal";
  options.budget_bytes = config_.journal.budget_mib << 20;
  options.keep_seconds = config_.journal.keep_s;
  options.memory_bytes = config_.journal.memory_mib << 20;
  CROSSFADE_ASSIGN(journal_, state::Journal::Open(options));
  if (config_.verify.continuous) {
    CROSSFADE_ASSIGN(const std::optional<verify::CheckState> known, LoadCheckState(journal_.get()));
    if (known) {
      journal_->Keep(known->checked);
    }
  }
  if (work_) {
    return {};  // what the status says of the last run stays
  }
  publisher_ = std::make_unique<StatusPublisher>(config_.state_dir, board_, [this] {
    const state::JournalStats stats = journal_->stats();
    board_->Update([&](StatusReport* report) {
      report->journal_bytes = stats.disk_bytes;
      report->journal_over_budget = stats.over_budget;
      report->pins.clear();
      for (const auto& [holder, seq] : stats.pins) {
        report->pins.emplace_back(holder, seq.value);
      }
    });
  });
  return {};
}

// The first start: nothing is durable but, perhaps, a journal that was never initialized.
Status Pipeline::BeginMigration() {
  if (!target_state_.journal_id.empty()) {
    Error error{
        ErrorClass::kConfig,
        "CF1720",
        std::string(kComponent),
        fmt::format("the target knows migration {}, but {} holds no journal of it", config_.name, config_.state_dir),
        "",
        config_.state_dir,
        "no journal",
        HasFact("copied")
            ? fmt::format("put the state directory back; if it is lost, 'crossfade run --rebuild-journal {}'"
                          " makes a new journal and goes on from what the target holds",
                          options_.config)
            : "put the state directory back, or 'crossfade abort' and start again"};
    return Fail(std::move(error));
  }
  CROSSFADE_ASSIGN(std::vector<apply::Finding> findings, source_->Check());
  // A prepared transaction is waited for, below.
  std::erase_if(findings, [](const apply::Finding& finding) { return finding.code == kPreparedFinding; });
  CROSSFADE_ASSIGN(const SourceCatalog catalog, source_->ReadCatalog());
  CROSSFADE_ASSIGN(const apply::RouteSet routes, RoutesOf(config_, catalog.tables));
  CROSSFADE_ASSIGN(const std::vector<apply::Finding> plan, target_->PlanSchema(routes));
  findings.insert(findings.end(), plan.begin(), plan.end());
  CROSSFADE_TRY(RefuseBlockers(findings, "nothing was copied"));

  std::vector<TableSchema> schemas;
  for (const auto& route : routes.routes()) {
    schemas.push_back(route->source);
  }
  CROSSFADE_ASSIGN(const Position start, StartPosition(schemas));
  CROSSFADE_TRY(SaveSchemas(journal_.get(), schemas));
  spdlog::info("migration {} begins at {}", config_.name, start.ToString());
  return journal_->Initialize(start, Seq{0});
}

Result<Position> Pipeline::StartPosition(const std::vector<TableSchema>& schemas) {
  const Deadline give_up = After(kPreparedWait);
  std::optional<Position> position;
  while (!position) {
    CROSSFADE_TRY(WaitForPrepared());
    CROSSFADE_ASSIGN(position, VisiblePosition(source_.get(), schemas));
    if (!position && (halt_.stop_requested() || std::chrono::steady_clock::now() > give_up)) {
      Error error{ErrorClass::kTransient,
                  "CF1726",
                  std::string(kComponent),
                  "the source prepares XA transactions all the time; no moment without one was found",
                  "",
                  config_.source.database,
                  "XA transactions",
                  "start again when there are fewer of them"};
      return Fail(std::move(error));
    }
  }
  if (position->empty()) {
    return Fail(Error{ErrorClass::kConfig, "CF1727", std::string(kComponent),
                      "the source has not named any transaction yet, so that its log has no place to begin at", "",
                      "gtid_executed", "empty", "commit any transaction on the source, and start again"});
  }
  return *position;
}

Status Pipeline::WaitForPrepared() {
  const Deadline give_up = After(kPreparedWait);
  CROSSFADE_ASSIGN(std::vector<std::string> prepared, source_->PreparedTransactions());
  while (!prepared.empty() && std::chrono::steady_clock::now() < give_up && !halt_.stop_requested()) {
    SleepFor(std::chrono::milliseconds(50), halt_.get_token());
    CROSSFADE_ASSIGN(prepared, source_->PreparedTransactions());
  }
  if (!prepared.empty()) {
    Error error{ErrorClass::kConfig,
                "CF1722",
                std::string(kComponent),
                "the source has prepared XA transactions; capture cannot start behind their rows",
                "",
                prepared.front(),
                fmt::format("{} prepared", prepared.size()),
                fmt::format("XA COMMIT {0} or XA ROLLBACK {0}, for each that XA RECOVER lists", prepared.front())};
    return Fail(std::move(error));
  }
  return {};
}

Status Pipeline::CompareIdentity(const apply::TargetState& state) const {
  if (!state.journal_id.empty() && state.journal_id != journal_->id()) {
    Error error{ErrorClass::kCorrupt,
                "CF1721",
                std::string(kComponent),
                fmt::format("the target follows journal {}, but {} holds journal {}", state.journal_id,
                            config_.state_dir, journal_->id()),
                "",
                config_.state_dir,
                journal_->id(),
                fmt::format("put back the state directory that belongs to this migration; if it is lost, name another "
                            "state_dir, and 'crossfade run --rebuild-journal {}' goes on from what the target holds",
                            options_.config)};
    return Fail(std::move(error));
  }
  return {};
}

Status Pipeline::LoadRoutes() {
  CROSSFADE_ASSIGN(schemas_, LoadSchemas(journal_.get()));
  CROSSFADE_ASSIGN(routes_, RoutesOf(config_, schemas_));
  for (const TableSchema& schema : schemas_) {
    if (routes_.Find(schema.name) == nullptr) {  // its changes would be passed by, and never come again
      return Fail(Error{ErrorClass::kConfig, "CF1729", std::string(kComponent),
                        fmt::format("table {} belongs to this migration, and [tables] leaves it out now", schema.name),
                        "", schema.name, "left out",
                        fmt::format("put [tables] back as it was; or 'crossfade abort {}', and begin without the table",
                                    options_.config)});
    }
  }
  CROSSFADE_ASSIGN(staged_routes_, RoutesOf(config_, schemas_, target_->StagingSchema()));
  return {};
}

const apply::RouteSet& Pipeline::ActiveRoutes() const {
  return HasFact("staged") && !HasFact("moved") ? staged_routes_ : routes_;
}

Status Pipeline::RefuseTriggers() {
  CROSSFADE_ASSIGN(const std::vector<apply::Finding> triggers, target_->FindTriggers(routes_));
  return RefuseBlockers(triggers, "nothing was applied");
}

void Pipeline::StartHeartbeat() {
  heartbeat_ = std::jthread([this] {
    const std::stop_token stop = halt_.get_token();
    while (!stop.stop_requested()) {
      if (const Status beat = target_->Heartbeat(); !beat && !IsRetriable(beat.error())) {
        Fatal(beat.error());
        return;
      }
      SleepFor(kHeartbeatEvery, stop);
    }
  });
}

// In the thread of capture: where the source does not answer, apply goes on with what the journal has.
Result<std::unique_ptr<capture::Source>> Pipeline::OpenLog(std::vector<capture::LogMark> known) {
  if (!names_compared_) {
    CROSSFADE_ASSIGN(const std::vector<std::string> names, source_->TableNames());
    CROSSFADE_TRY(RefuseTakenIn(names));
    names_compared_ = true;
  }
  return source_->OpenSource(schemas_, std::move(known), windows_open_);
}

// [tables] may have changed since the last run. A table that comes later is met in the log; and where one of ours goes
// by another name, the log will tell how that came.
Status Pipeline::RefuseTakenIn(const std::vector<std::string>& names) const {
  const bool all_there = std::all_of(schemas_.begin(), schemas_.end(), [&](const TableSchema& schema) {
    return std::find(names.begin(), names.end(), schema.name) != names.end();
  });
  if (!all_there) {
    return {};
  }
  for (const std::string& name : names) {
    if (!routes_.rules().Includes(name) || routes_.Find(name) != nullptr) {
      continue;
    }
    return Fail(
        Error{ErrorClass::kConfig, "CF1718", std::string(kComponent),
              fmt::format("table {} does not belong to this migration, and [tables] takes it in now, or it was created "
                          "since: its rows are not on the target",
                          name),
              "", name, "taken in",
              fmt::format("leave it out: add \"{}\" to exclude in [tables]; or 'crossfade abort {}', and begin "
                          "with the table",
                          name, options_.config)});
  }
  return {};
}

void Pipeline::StartCapture() {
  if (capture_.joinable()) {
    return;
  }
  windows_open_ = !HasFact(kWindowsPassedFact);
  retention_watch_ =
      std::make_unique<RetentionWatch>(source_.get(), board_, [this] { return journal_->tail().position; });
  board_->Update([tail = journal_->tail()](StatusReport* report) {  // until there is more
    report->captured = tail.position;
    report->captured_seq = tail.seq;
  });
  capture_ = std::jthread([this] {
    CaptureLoop loop(
        journal_.get(), [this](std::vector<capture::LogMark> known) { return OpenLog(std::move(known)); },
        [this](const std::string& table) { return routes_.rules().Includes(table); },
        [this] { return copying_.load(); }, [this] { return !waiting_captured_; }, board_);
    if (const Status ran = loop.Run(halt_.get_token()); !ran) {
      if (ran.error().error_class != ErrorClass::kData || AwaitApplied(ran.error())) {
        Fatal(ran.error());
      }
    }
  });
}

// Its threads wait until the migration follows.
void Pipeline::StartVerify() {
  if (config_.verify.continuous && !continuous_verify_) {
    continuous_verify_ =
        std::make_unique<ContinuousVerify>(config_, &routes_, journal_.get(), order_.get(), source_.get(), board_);
  }
}

void Pipeline::Fatal(const Error& error) {
  {
    const std::lock_guard lock(fatal_mutex_);
    if (!fatal_) {
      fatal_ = error;
      spdlog::error("{}", error.ToString());
    }
  }
  halt_.request_stop();
}

Status Pipeline::Retry(const std::string& what, const std::function<Status()>& step) {
  Backoff backoff;
  while (true) {
    const uint64_t before = DoneSoFar(board_->Read());
    Status done = step();
    if (done || !IsRetriable(done.error()) || halt_.stop_requested()) {
      return done;
    }
    // Pauses grow while nothing is achieved, not over all the cuts of a process's long life.
    if (DoneSoFar(board_->Read()) > before) {
      backoff.Reset();
    }
    board_->SetError(done.error());
    spdlog::warn("{}: {}; trying again in {} ms", what, done.error().ToString(), backoff.next().count());
    backoff.Wait(halt_.get_token());
  }
}

bool Pipeline::HasFact(const std::string& fact) const {
  return std::find(target_state_.facts.begin(), target_state_.facts.end(), fact) != target_state_.facts.end();
}

Status Pipeline::AddFact(const std::string& fact) {
  CROSSFADE_TRY(target_->SetFact(fact));
  target_state_.facts.push_back(fact);
  return {};
}

Status Pipeline::BuildStage(apply::SchemaStage stage, const std::string& fact) {
  if (HasFact(fact)) {
    return {};
  }
  CROSSFADE_TRY(target_->BuildSchema(ActiveRoutes(), stage, halt_.get_token()));
  return AddFact(fact);
}

Status Pipeline::WaitCaptured(const std::vector<Position>& positions) {
  // Nothing is applied meanwhile: capture must not wait for room.
  waiting_captured_ = true;
  Status captured = WaitUntilCaptured(positions);
  waiting_captured_ = false;
  return captured;
}

Status Pipeline::WaitUntilCaptured(const std::vector<Position>& positions) {
  for (const Position& position : positions) {
    while (true) {
      CROSSFADE_ASSIGN(const bool captured, order_->Contains(journal_->tail().position, position));
      if (captured) {
        break;
      }
      if (halt_.stop_requested()) {
        return MakeError(ErrorClass::kTransient, "CF1740", kComponent, "stopped");
      }
      SleepFor(std::chrono::milliseconds(5), halt_.get_token());
    }
  }
  return {};
}

Result<bool> Pipeline::GoalReached(Seq applied) {
  if (!goal_.position) {
    return false;
  }
  if (!goal_.seq) {
    CROSSFADE_ASSIGN(const bool captured, order_->Contains(journal_->tail().position, *goal_.position));
    if (!captured) {
      return false;
    }
    CROSSFADE_ASSIGN(goal_.seq, journal_->PrefixWithin(*goal_.position, *order_));
  }
  return applied >= *goal_.seq;
}

}  // namespace crossfade::tools
