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
  CROSSFADE_TRY(Retry("copy", [this] { return target_->SetFact("copied"); }));
  target_state_.facts.emplace_back("copied");
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

Status Pipeline::CopyOnce() {
  CROSSFADE_ASSIGN(apply::TargetState state, target_->ReadState());
  CROSSFADE_ASSIGN(const bool keys_stand, target_->KeysStand(routes_));
  CROSSFADE_ASSIGN(const std::unique_ptr<snapshot::SnapshotSource> snapshots, source_->OpenSnapshots(schemas_));
  CROSSFADE_ASSIGN(const snapshot::CopyPlan plan, LoadOrMakePlan(journal_.get(), source_.get(), routes_,
                                                                 snapshots.get(), config_.snapshot.chunk_rows));
  if (keys_stand) {
    CROSSFADE_TRY(ClearUnfinished(plan, &state.chunks));
  }
  snapshot::CopyOptions options;
  options.readers = static_cast<uint32_t>(config_.snapshot.readers);
  snapshot::CopyLimits limits;
  snapshot::CopyProgress progress;
  CopyWatch watch(config_, source_.get(), &limits, &progress, board_);
  snapshot::Copier copier(&plan, &routes_, snapshots.get(), target_.get(), &limits, &progress, options);

  bool consistent = config_.snapshot.mode == "consistent";
  Result<snapshot::ConsistentReaders> readers = snapshot::ConsistentReaders{};
  if (consistent) {
    readers = snapshots->OpenConsistent(options.readers);
    if (!readers && readers.error().code == "CF1601") {
      spdlog::warn("copy: {}; the copy is chunked instead", readers.error().ToString());
      consistent = false;
    } else if (!readers) {
      return Fail(std::move(readers).error());
    }
  }
  if (keys_stand && !consistent) {
    Error error{
        ErrorClass::kConfig,
        "CF1751",
        "copy",
        "other tenants' keys stand on the target's tables, and a chunked copy cannot be loaded under them",
        "",
        "snapshot.mode",
        "chunked",
        "use snapshot.mode = \"consistent\", and grant the source account RELOAD, or LOCK TABLES on the database"};
    return Fail(std::move(error));
  }
  const auto began = std::chrono::steady_clock::now();
  const auto done = consistent ? copier.CopyConsistent(std::move(*readers), state.chunks, halt_.get_token())
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
