// The copy, as part of a run.
#include <spdlog/spdlog.h>

#include <map>
#include <sstream>

#include "snapshot/copier.h"
#include "snapshot/plan.h"
#include "tools/crossfade/copy_watch.h"
#include "tools/crossfade/pipeline.h"

namespace crossfade::tools {

namespace {

constexpr const char* kPlanRecord = "run.plan";

std::map<std::string, TableSize> Sizes(const SourceCatalog& catalog) {
  std::map<std::string, TableSize> sizes;
  for (size_t i = 0; i < catalog.tables.size(); ++i) {
    sizes[catalog.tables[i].name] = catalog.sizes[i];
  }
  return sizes;
}

void LogPlan(const snapshot::CopyPlan& plan) {
  std::istringstream lines(plan.ToString());
  for (std::string line; std::getline(lines, line);) {
    spdlog::info("copy plan: {}", line);
  }
}

// The plan this migration's copy began with; made, and kept, when there is none.
Result<snapshot::CopyPlan> LoadOrMakePlan(state::Journal* journal, SourceEngine* source, const apply::RouteSet& routes,
                                          snapshot::SnapshotSource* snapshots, uint64_t chunk_rows) {
  CROSSFADE_ASSIGN(const std::optional<std::string> kept, journal->GetRecord(kPlanRecord));
  if (kept) {
    return snapshot::CopyPlan::Decode(*kept);
  }
  CROSSFADE_ASSIGN(const SourceCatalog catalog, source->ReadCatalog());
  snapshot::PlanOptions options;
  options.chunk_rows = chunk_rows;
  CROSSFADE_ASSIGN(snapshot::CopyPlan plan, snapshot::PlanCopy(routes, Sizes(catalog), snapshots, options));
  CROSSFADE_TRY(journal->PutRecord(kPlanRecord, plan.Encode()));
  LogPlan(plan);
  return plan;
}

}  // namespace

Status Pipeline::Copy() {
  if (HasFact("copied")) {
    return {};
  }
  board_->SetPhase(Phase::kCopying);
  CROSSFADE_TRY(Retry("tables", [this] { return BuildStage(apply::SchemaStage::kTables, "tables"); }));
  CROSSFADE_TRY(Retry("copy", [this] { return CopyOnce(); }));
  CROSSFADE_TRY(Retry("copy", [this] { return AddFact("copied"); }));
  if (goal_.caught_up) {
    CROSSFADE_ASSIGN(goal_.position, source_->Head());
  }
  return {};
}

// Over tables whose keys stand for other tenants nothing can be loaded from two states: what an interrupted copy left
// is taken away.
Status Pipeline::ClearUnfinished(const snapshot::CopyPlan& plan, std::vector<ChunkMark>* done) {
  const bool complete = done->size() == plan.chunk_count() && AreOnePosition(*done);
  if (done->empty() || complete) {
    return {};
  }
  spdlog::warn("copy: other tenants' keys stand on the tables, so the {} chunks of the interrupted copy are read again",
               done->size());
  for (const auto& route : routes_.routes()) {
    CROSSFADE_TRY(target_->ClearTable(*route));
  }
  done->clear();
  return {};
}

Result<std::optional<snapshot::ConsistentReaders>> Pipeline::OpenReaders(snapshot::SnapshotSource* snapshots) {
  if (config_.snapshot.mode != "consistent" || HasFact("staged")) {
    return std::nullopt;
  }
  auto readers = snapshots->OpenConsistent(static_cast<uint32_t>(config_.snapshot.readers));
  if (readers) {
    return std::move(*readers);
  }
  if (readers.error().code != "CF1601") {
    return Fail(std::move(readers).error());
  }
  spdlog::warn("copy: {}; the copy is chunked instead", readers.error().ToString());
  return std::nullopt;
}

// A chunked copy is of many states, and apply could not pass its windows under keys that stand: rows may lack their
// parents meanwhile, and unique values be there twice.
Status Pipeline::EnterStaging(std::vector<ChunkMark>* done) {
  if (!HasFact("staged")) {
    spdlog::info("copy: other tenants' keys stand on the tables, so the chunks go into staging tables ({}) first",
                 target_->StagingSchema());
    if (!done->empty()) {
      for (const auto& route : routes_.routes()) {
        CROSSFADE_TRY(target_->ClearTable(*route));
      }
      done->clear();
    }
    CROSSFADE_TRY(AddFact("staged"));
  }
  return BuildStage(apply::SchemaStage::kTables, "staging_tables");
}

Status Pipeline::LeaveStaging() {
  if (!HasFact("staged")) {
    return {};
  }
  if (!HasFact("moved")) {
    spdlog::info("copy: the staging tables are of one state now, and move over");
    CROSSFADE_TRY(target_->MoveStaged(staged_routes_, routes_, halt_.get_token()));
    target_state_.facts.emplace_back("moved");
  }
  return target_->DropStaging();
}

Status Pipeline::CopyOnce() {
  CROSSFADE_ASSIGN(apply::TargetState state, target_->ReadState());
  CROSSFADE_TRY(RefuseTriggers());
  CROSSFADE_ASSIGN(const bool keys_stand, target_->KeysStand(routes_));
  CROSSFADE_ASSIGN(const std::unique_ptr<snapshot::SnapshotSource> snapshots, source_->OpenSnapshots(schemas_));
  CROSSFADE_ASSIGN(const snapshot::CopyPlan plan, LoadOrMakePlan(journal_.get(), source_.get(), routes_,
                                                                 snapshots.get(), config_.snapshot.chunk_rows));
  CROSSFADE_ASSIGN(auto readers, OpenReaders(snapshots.get()));
  if (HasFact("staged") || (keys_stand && !readers)) {
    CROSSFADE_TRY(EnterStaging(&state.chunks));
  } else if (keys_stand) {
    CROSSFADE_TRY(ClearUnfinished(plan, &state.chunks));
  }
  snapshot::CopyOptions options;
  options.readers = static_cast<uint32_t>(config_.snapshot.readers);
  snapshot::CopyLimits limits;
  snapshot::CopyProgress progress;
  CopyWatch watch(config_, source_.get(), &limits, &progress, board_);
  snapshot::Copier copier(&plan, &ActiveRoutes(), snapshots.get(), target_.get(), &limits, &progress, options);

  const auto began = std::chrono::steady_clock::now();
  const auto done = readers ? copier.CopyConsistent(std::move(*readers), state.chunks, halt_.get_token())
                            : copier.CopyChunked(state.chunks, halt_.get_token());
  if (!done) {
    return Fail(done.error());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  spdlog::info("copy: {} rows in {:.1f} s; {} chunks kept from earlier, {} read again", done->totals.rows, took.count(),
               done->totals.chunks_kept, done->totals.chunks_reread);
  return {};
}

}  // namespace crossfade::tools
