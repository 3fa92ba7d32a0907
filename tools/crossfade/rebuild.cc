// A journal made anew from what the target holds, as part of a run: when the state directory was lost or is damaged.
//
// The new journal begins behind the target's progress. The shape of the tables is read from the source as it is now, so
// the target is bound to the journal only once that holds the log up to where the source stood after that reading: a
// schema change in between, a log that was purged or that lost something, stops the migration before anything was
// written. Until then the journal has the record kRebuilds; what was interrupted goes on with the next run.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/bytes.h"
#include "core/failpoint.h"
#include "tools/crossfade/pipeline.h"

namespace crossfade::tools {

namespace {

constexpr std::string_view kComponent = "pipeline";
constexpr const char* kRebuilds = "run.rebuilds";

std::string AbortFix() { return "'crossfade abort', then 'crossfade run' copies anew"; }

tl::unexpected<Error> Refused(std::string_view code, std::string message, std::string object, std::string found,
                              std::string fix) {
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = code;
  error.component = kComponent;
  error.message = std::move(message);
  error.object = std::move(object);
  error.found = std::move(found);
  error.fix = std::move(fix);
  return Fail(std::move(error));
}

// The journal that the new one stands for, and what the new one must hold before it does.
struct Rebuilding {
  std::string instead_of;
  Position until;
};

Status Save(state::Journal* journal, const Rebuilding& rebuilding) {
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.String(rebuilding.instead_of);
  writer.String(rebuilding.until.Encode());
  return journal->PutRecord(kRebuilds, bytes);
}

Result<std::optional<Rebuilding>> Load(state::Journal* journal) {
  CROSSFADE_ASSIGN(const std::optional<std::string> bytes, journal->GetRecord(kRebuilds));
  if (!bytes) {
    return std::optional<Rebuilding>();
  }
  Rebuilding rebuilding;
  ByteReader reader(*bytes);
  rebuilding.instead_of = reader.String();
  CROSSFADE_ASSIGN(rebuilding.until, Position::Decode(reader.String()));
  return std::optional(std::move(rebuilding));
}

// All that the target has not applied yet can be read, and numbers are what they were when it was applied.
Status CanGoOnFrom(state::Journal* journal, const PositionOrder& order, const apply::Progress& progress) {
  const Seq applied = progress.low;
  CROSSFADE_TRY(journal->Verify());
  CROSSFADE_ASSIGN(const auto reader, journal->Read(applied));
  for (Seq last = applied; last < journal->tail().seq;) {
    CROSSFADE_ASSIGN(const auto transaction, reader->NextTransaction({}));
    if (!transaction) {
      break;
    }
    last = transaction->seq;
    for (bool more = true; more;) {
      CROSSFADE_ASSIGN(const auto block, reader->NextBlock());
      more = block.has_value();
    }
  }
  return MatchesProgress(journal, order, progress);
}

Status SetAside(const std::string& state_dir) {
  const std::filesystem::path directory(state_dir);
  std::error_code error;
  std::filesystem::remove_all(directory / kDamagedJournal, error);
  CROSSFADE_FAILPOINT("rebuild.set_aside.before");
  if (!error) {
    std::filesystem::rename(directory / "journal", directory / kDamagedJournal, error);
  }
  CROSSFADE_FAILPOINT("rebuild.set_aside.after");
  if (error) {
    return Refused("CF1711", "the journal cannot be moved aside", state_dir + "/journal", error.message(),
                   fmt::format("mv {0}/journal {0}/{1} as an account that may, then the same command", state_dir,
                               kDamagedJournal));
  }
  spdlog::warn("rebuild: the journal that was there is now {}/{}; it holds customers' data: delete it in the end",
               state_dir, kDamagedJournal);
  return {};
}

// A position that all the others hold.
Result<Position> EarliestOf(const std::vector<Position>& positions, const PositionOrder& order) {
  for (const Position& candidate : positions) {
    bool within_all = !candidate.empty();
    for (size_t i = 0; within_all && i < positions.size(); ++i) {
      CROSSFADE_ASSIGN(within_all, order.Contains(positions[i], candidate));
    }
    if (within_all) {
      return candidate;
    }
  }
  return Refused("CF1762", "the target holds no position that all of its marks contain", "crossfade.chunk",
                 fmt::format("{} marks", positions.size()), AbortFix());
}

}  // namespace

void AdviseRebuild(const std::string& config, Error* error) {
  // What the journal holds, or lacks, and not that a later version wrote it, or that the source's log is odd.
  constexpr std::string_view kMended[] = {"CF1304", "CF1305", "CF1306", "CF1309", "CF1310", "CF1723", "CF1765"};
  const bool mended = std::find(std::begin(kMended), std::end(kMended), error->code) != std::end(kMended);
  if (mended && error->error_class == ErrorClass::kCorrupt && error->fix.empty()) {
    error->fix = fmt::format(
        "'crossfade run --rebuild-journal {}' makes a new journal and goes on from what the target holds", config);
  }
}

Status MatchesProgress(state::Journal* journal, const PositionOrder& order, const apply::Progress& progress) {
  if (progress.position.empty()) {
    return {};
  }
  CROSSFADE_ASSIGN(const Seq seq, journal->PrefixWithin(progress.position, order));
  if (seq == progress.low) {
    return {};
  }
  return MakeError(ErrorClass::kCorrupt, "CF1765", kComponent,
                   "the target has applied seq {} at {}; in the journal that is seq {}", progress.low.value,
                   progress.position.ToString(), seq.value);
}

Status Pipeline::RefuseRebuild() const {
  if (target_state_.journal_id.empty()) {
    return Refused("CF1762", fmt::format("the target knows no migration {} that has begun", config_.name), config_.name,
                   "nothing to go on from", "'crossfade run' without --rebuild-journal");
  }
  if (!HasFact("copied")) {
    return Refused(
        "CF1761",
        fmt::format("the copy of migration {} was not complete: without its journal it cannot go on", config_.name),
        config_.name, fmt::format("{} chunks are in", target_state_.chunks.size()), AbortFix());
  }
  const bool plain = target_state_.progress.size() <= 1 &&
                     std::all_of(target_state_.progress.begin(), target_state_.progress.end(),
                                 [](const apply::Progress& progress) { return progress.above.empty(); });
  if (!plain) {
    return Refused("CF1764", "progress of several workers cannot be gone on from without their journal", config_.name,
                   fmt::format("{} rows of progress", target_state_.progress.size()), AbortFix());
  }
  return {};
}

Status Pipeline::ClearForRebuild() {
  CROSSFADE_TRY(RefuseRebuild());
  const std::string directory = config_.state_dir + "/journal";
  if (!std::filesystem::exists(directory)) {
    return {};
  }
  const auto look = [&]() -> Result<bool> {  // whether what is there is to stay
    CROSSFADE_ASSIGN(const auto journal, state::Journal::Open({.directory = directory}));
    if (!journal->initialized()) {
      return true;
    }
    CROSSFADE_ASSIGN(const auto rebuilding, Load(journal.get()));
    if (rebuilding && rebuilding->instead_of == target_state_.journal_id) {
      return true;
    }
    if (journal->id() != target_state_.journal_id) {
      return Refused(
          "CF1760", fmt::format("{} holds a journal that the target does not follow", config_.state_dir), directory,
          journal->id(),
          fmt::format("if it is of another migration, name another state_dir; else move {} away", directory));
    }
    const auto& rows = target_state_.progress;
    CROSSFADE_TRY(CanGoOnFrom(journal.get(), *order_, rows.empty() ? apply::Progress{} : rows.front()));
    CROSSFADE_TRY(LoadSchemas(journal.get()));
    return Refused("CF1760", fmt::format("the journal in {} is there and whole", config_.state_dir), directory,
                   journal->id(), "'crossfade run' without --rebuild-journal");
  };
  const Result<bool> stays = look();
  if (stays) {
    return {};
  }
  if (stays.error().error_class != ErrorClass::kCorrupt || stays.error().code == "CF1302") {
    return Fail(stays.error());
  }
  spdlog::warn("rebuild: {}", stays.error().ToString());
  return SetAside(config_.state_dir);
}

Status Pipeline::BeginRebuilt() {
  CROSSFADE_TRY(WaitForPrepared());
  CROSSFADE_ASSIGN(const SourceCatalog catalog, source_->ReadCatalog());
  CROSSFADE_ASSIGN(const apply::RouteSet routes, RoutesOf(config_, catalog.tables));
  CROSSFADE_ASSIGN(Position until, source_->Head());
  std::vector<TableSchema> schemas;
  std::set<std::string> copied;
  for (const ChunkMark& mark : target_state_.chunks) {
    copied.insert(mark.table);
  }
  for (const auto& route : routes.routes()) {
    schemas.push_back(route->source);
    if (copied.erase(route->source.name) == 0) {
      return Refused("CF1763", fmt::format("table {} was not copied by this migration", route->source.name),
                     route->source.name, "no chunk of it on the target",
                     "leave it out with tables.exclude, as it was before; or " + AbortFix());
    }
  }
  if (!copied.empty()) {
    return Refused("CF1763", fmt::format("table {} was copied, and is not on the source now", *copied.begin()),
                   *copied.begin(), "no such table, or left out by tables.include and tables.exclude", AbortFix());
  }
  std::vector<Position> positions;
  Seq before_first{0};
  for (const apply::Progress& progress : target_state_.progress) {
    if (progress.low > before_first) {
      before_first = progress.low;
      positions = {progress.position};
    }
  }
  if (positions.empty()) {  // nothing was applied yet
    for (const ChunkMark& mark : target_state_.chunks) {
      positions.push_back(mark.low);
    }
  }
  CROSSFADE_ASSIGN(const Position start, EarliestOf(positions, *order_));
  CROSSFADE_TRY(SaveSchemas(journal_.get(), schemas));
  CROSSFADE_TRY(Save(journal_.get(), {target_state_.journal_id, std::move(until)}));
  spdlog::info("rebuild: a new journal for migration {} begins behind seq {}, at {}", config_.name, before_first.value,
               start.ToString());
  return journal_->Initialize(start, before_first);
}

Status Pipeline::FinishRebuilt() {
  CROSSFADE_ASSIGN(const std::optional<Rebuilding> rebuilding, Load(journal_.get()));
  if (!rebuilding || rebuilding->instead_of != target_state_.journal_id) {
    return {};
  }
  copying_ = true;  // nothing drains the journal
  StartCapture();
  CROSSFADE_TRY(WaitCaptured({rebuilding->until}));
  CROSSFADE_TRY(target_->BindJournal(journal_->id(), rebuilding->instead_of));
  target_state_.journal_id = journal_->id();
  spdlog::info("rebuild: the target follows the new journal");
  return {};
}

}  // namespace crossfade::tools
