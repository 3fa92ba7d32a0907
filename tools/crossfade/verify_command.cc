// crossfade verify.
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "apply/window.h"
#include "snapshot/plan.h"
#include "state/journal.h"
#include "tools/crossfade/commands.h"
#include "tools/crossfade/pipeline.h"
#include "tools/crossfade/scratch.h"
#include "tools/crossfade/signal_stop.h"
#include "tools/crossfade/source_engine.h"
#include "verify/verifier.h"

namespace crossfade::tools {

namespace {

constexpr std::string_view kComponent = "verify";

const char* NameOf(verify::DifferenceKind kind) {
  switch (kind) {
    case verify::DifferenceKind::kMissing:
      return "missing";
    case verify::DifferenceKind::kExtra:
      return "extra";
    case verify::DifferenceKind::kDifferent:
      return "different";
  }
  return "";
}

const char* VerdictOf(const verify::TableOutcome& table) {
  return table.differences() > 0 ? "different" : table.undecided > 0 ? "undecided" : "equal";
}

const char* VerdictOf(const verify::Outcome& outcome) {
  return outcome.differences() > 0 ? "different" : outcome.undecided() > 0 ? "undecided" : "equal";
}

void PrintTable(const verify::TableOutcome& table) {
  std::cout << fmt::format("{:<32} {:>12} {:>12} {:>10}  {}\n", table.table, table.source_rows, table.target_rows,
                           table.rechecked, VerdictOf(table));
}

void PrintDifferences(const verify::TableOutcome& table) {
  for (const verify::ShownDifference& difference : table.shown) {
    std::cout << fmt::format("{} {}: {}\n", table.table, difference.key,
                             difference.kind == verify::DifferenceKind::kMissing ? "missing on the target"
                             : difference.kind == verify::DifferenceKind::kExtra ? "only on the target"
                                                                                 : "different");
    if (difference.kind == verify::DifferenceKind::kDifferent) {
      for (const auto& cell : difference.cells) {
        std::cout << fmt::format("    {}: source {}, target {}\n", cell.column, cell.source, cell.target);
      }
    }
  }
  if (table.shown.size() < table.differences()) {
    std::cout << fmt::format("{}: {} more\n", table.table, table.differences() - table.shown.size());
  }
  for (const std::string& key : table.shown_undecided) {
    std::cout << fmt::format("{} {}: undecided\n", table.table, key);
  }
  if (table.undecided > 0) {
    std::cout << fmt::format("{}: {} rows undecided: {}\n", table.table, table.undecided, table.why_undecided);
  }
}

void PrintText(const verify::Outcome& outcome) {
  std::cout << fmt::format("{:<32} {:>12} {:>12} {:>10}  {}\n", "table", "source rows", "target rows", "rechecked",
                           "result");
  uint64_t rows = 0;
  for (const verify::TableOutcome& table : outcome.tables) {
    PrintTable(table);
    rows += table.source_rows;
  }
  for (const verify::TableOutcome& table : outcome.tables) {
    PrintDifferences(table);
  }
  std::cout << fmt::format("verify: {} tables={} rows={} differences={} undecided={} seconds={:.1f}\n",
                           VerdictOf(outcome), outcome.tables.size(), rows, outcome.differences(), outcome.undecided(),
                           static_cast<double>(outcome.ended_us - outcome.began_us) / 1e6);
  std::cout << fmt::format("each row was compared at or behind {}; at the end {} was applied\n",
                           outcome.from.ToString(), outcome.upto.ToString());
}

nlohmann::json JsonOf(const verify::TableOutcome& table) {
  nlohmann::json differences = nlohmann::json::array();
  for (const verify::ShownDifference& difference : table.shown) {
    nlohmann::json columns = nlohmann::json::array();
    for (const auto& cell : difference.cells) {
      columns.push_back({{"column", cell.column}, {"source", cell.source}, {"target", cell.target}});
    }
    differences.push_back({{"kind", NameOf(difference.kind)}, {"key", difference.key}, {"columns", columns}});
  }
  return {{"table", table.table},
          {"result", VerdictOf(table)},
          {"chunks", table.chunks},
          {"source_rows", table.source_rows},
          {"target_rows", table.target_rows},
          {"rechecked", table.rechecked},
          {"missing", table.missing},
          {"extra", table.extra},
          {"different", table.different},
          {"undecided", table.undecided},
          {"why_undecided", table.why_undecided},
          {"undecided_keys", table.shown_undecided},
          {"differences", differences}};
}

void PrintJson(const verify::Outcome& outcome) {
  nlohmann::json tables = nlohmann::json::array();
  for (const verify::TableOutcome& table : outcome.tables) {
    tables.push_back(JsonOf(table));
  }
  const nlohmann::json whole = {{"result", VerdictOf(outcome)},     {"from", outcome.from.ToString()},
                                {"upto", outcome.upto.ToString()},  {"began_us", outcome.began_us},
                                {"ended_us", outcome.ended_us},     {"differences", outcome.differences()},
                                {"undecided", outcome.undecided()}, {"tables", tables}};
  // A value that was cut may end within a character.
  std::cout << whole.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

// One comparison of a migration at a time: they would share RocksDB's notes, and the load.
class Lock {
 public:
  static Result<Lock> Take(const std::string& state_dir) {
    const std::string path = state_dir + "/verify.lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const std::string why = std::strerror(errno);
      if (fd >= 0) {
        ::close(fd);
      }
      Error error;
      error.error_class = ErrorClass::kConfig;
      error.code = fd < 0 ? "CF1781" : "CF1780";
      error.component = kComponent;
      error.message =
          fd < 0 ? fmt::format("cannot open {}: {}", path, why) : "this migration is being compared by another process";
      error.object = path;
      error.found = why;
      error.fix = fd < 0 ? "begin the migration with 'crossfade run', on this machine and as this user"
                         : "wait until that process has ended, or end it";
      return Fail(std::move(error));
    }
    return Lock(fd);
  }
  Lock(Lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }

 private:
  explicit Lock(int fd) : fd_(fd) {}
  int fd_;
};

Status RequireFollowing(const apply::TargetState& state, state::Journal* journal, const PositionOrder& order,
                        const Config& config) {
  const auto has = [&](const char* fact) {
    return std::find(state.facts.begin(), state.facts.end(), fact) != state.facts.end();
  };
  if (!has("analyzed")) {
    Error error{ErrorClass::kConfig,
                "CF1782",
                std::string(kComponent),
                "the copy is not complete, so there is nothing to compare yet",
                "",
                config.name,
                has("copied") ? "keys are being built" : "rows are being copied",
                fmt::format("wait until 'crossfade status {}' says that it follows", config.path)};
    return Fail(std::move(error));
  }
  if (state.journal_id != journal->id()) {
    Error error{ErrorClass::kConfig,
                "CF1783",
                std::string(kComponent),
                "the target follows another journal than the one in state_dir",
                "",
                config.state_dir,
                state.journal_id,
                "put the right state directory back"};
    return Fail(std::move(error));
  }
  CROSSFADE_ASSIGN(const apply::Windows windows, apply::Windows::FromMarks(state.chunks, journal, order));
  for (const apply::Progress& progress : state.progress) {
    if (progress.low < windows.MaxHigh()) {
      Error error{ErrorClass::kConfig,
                  "CF1782",
                  std::string(kComponent),
                  "the copy is not complete: not all that happened meanwhile is applied",
                  "",
                  config.name,
                  fmt::format("seq {} is applied, {} is needed", progress.low.value, windows.MaxHigh().value),
                  "try again when 'crossfade run' has gone on"};
      return Fail(std::move(error));
    }
  }
  return {};
}

Result<verify::Outcome> Compare(const Config& config, std::stop_token stop) {
  CROSSFADE_ASSIGN(const Lock lock, Lock::Take(config.state_dir));
  state::JournalOptions options;
  options.directory = config.state_dir + "/journal";
  options.memory_bytes = std::min<uint64_t>(config.journal.memory_mib, 64) << 20;
  const Scratch scratch(config.state_dir);
  CROSSFADE_ASSIGN(const std::unique_ptr<state::Journal> journal,
                   state::Journal::OpenForReading(options, scratch.path()));
  CROSSFADE_ASSIGN(const std::vector<TableSchema> schemas, LoadSchemas(journal.get()));
  CROSSFADE_ASSIGN(const apply::RouteSet routes, apply::RouteSet::Make(schemas, RulesOf(config)));
  CROSSFADE_ASSIGN(const std::unique_ptr<SourceEngine> source, MakeSourceEngine(config));
  CROSSFADE_ASSIGN(const std::unique_ptr<PositionOrder> order, source->Order());
  {
    CROSSFADE_ASSIGN(const std::unique_ptr<apply::RowReader> target, OpenTargetRows(config));
    CROSSFADE_ASSIGN(const apply::TargetState state, target->ReadState());
    CROSSFADE_TRY(RequireFollowing(state, journal.get(), *order, config));
  }
  CROSSFADE_ASSIGN(const std::unique_ptr<snapshot::SnapshotSource> snapshots, source->OpenSnapshots(schemas));
  CROSSFADE_ASSIGN(const SourceCatalog catalog, source->ReadCatalog());
  std::map<std::string, TableSize> sizes;
  for (size_t i = 0; i < catalog.tables.size(); ++i) {
    sizes[catalog.tables[i].name] = catalog.sizes[i];
  }
  snapshot::PlanOptions plan_options;
  plan_options.chunk_rows = config.verify.chunk_rows;
  CROSSFADE_ASSIGN(const snapshot::CopyPlan plan, snapshot::PlanCopy(routes, sizes, snapshots.get(), plan_options));

  snapshot::CopyLimits limits;
  limits.SetRowsPerSecond(config.verify.max_rows_per_second);
  verify::VerifyOptions verify_options;
  verify_options.readers = static_cast<uint32_t>(config.verify.readers);
  verify_options.max_shown = config.verify.max_shown;
  const auto open = [&]() -> Result<verify::Sides> {
    verify::Sides sides;
    CROSSFADE_ASSIGN(sides.source, snapshots->OpenReader());
    CROSSFADE_ASSIGN(sides.target, OpenTargetRows(config));
    return sides;
  };
  verify::Verifier verifier(&plan, &routes, journal.get(), order.get(), &limits, open, verify_options);
  Result<verify::Outcome> outcome = verifier.Run(stop);
  return outcome;
}

}  // namespace

int VerifyCommand(const VerifyCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  const SignalStop signals;
  spdlog::set_level(spdlog::level::from_str(config->log.level));
  const Result<verify::Outcome> outcome = Compare(*config, signals.token());
  if (!outcome) {
    return Report(outcome.error());
  }
  options.json ? PrintJson(*outcome) : PrintText(*outcome);
  return outcome->differences() > 0 ? kDifferent : outcome->undecided() > 0 ? kCouldNotTell : kDone;
}

}  // namespace crossfade::tools
