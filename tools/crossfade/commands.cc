#include "tools/crossfade/commands.h"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigtimedwait is of POSIX
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "state/journal_listing.h"
#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/audit_watch.h"
#include "tools/crossfade/http.h"
#include "tools/crossfade/pipeline.h"
#include "tools/crossfade/scratch.h"
#include "tools/crossfade/signal_stop.h"
#include "tools/crossfade/verify_results.h"

namespace crossfade::tools {

namespace {

tl::unexpected<Error> Refused(std::string_view code, std::string message, std::string object, std::string found,
                              std::string fix) {
  return Fail(Error{ErrorClass::kConfig, std::string(code), "run", std::move(message), "", std::move(object),
                    std::move(found), std::move(fix)});
}

Status MakeStateDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || ::chmod(path.c_str(), 0700) != 0) {
    return Refused("CF1711", "the state directory cannot be made", path, error ? error.message() : std::strerror(errno),
                   "name in state_dir a directory that this account may make, or give it one of its own: install -d -m "
                   "700 -o $(id -un) DIRECTORY");
  }
  return {};
}

Status SetUpLog(const Config& config) {
  if (!config.log.file.empty()) {
    try {
      spdlog::set_default_logger(spdlog::basic_logger_mt("file", config.log.file));
    } catch (const spdlog::spdlog_ex& e) {
      return Refused("CF1712", "the log file cannot be written", config.log.file, e.what(),
                     "name in log.file a file that this account may write; without log.file the log goes to stderr");
    }
    spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
    spdlog::flush_on(spdlog::level::info);
  }
  spdlog::set_level(spdlog::level::from_str(config.log.level));
  return {};
}

std::string HostName() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

void PrintFindings(const std::vector<apply::Finding>& findings) {
  for (const apply::Finding& finding : findings) {
    std::cout << fmt::format("{} {}  {}\n    found: {}\n    means: {}\n    fix:   {}\n",
                             finding.blocks ? "BLOCKS " : "notice ", finding.code, finding.object, finding.found,
                             finding.meaning, finding.fix);
  }
}

void PrintFindingsJson(const std::vector<apply::Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const apply::Finding& f : findings) {
    list.push_back({{"blocks", f.blocks},
                    {"code", f.code},
                    {"object", f.object},
                    {"found", f.found},
                    {"meaning", f.meaning},
                    {"fix", f.fix}});
  }
  std::cout << list.dump(2) << "\n";
}

Result<std::vector<apply::Finding>> CollectFindings(const Config& config) {
  CROSSFADE_ASSIGN(const std::unique_ptr<SourceEngine> source, MakeSourceEngine(config));
  CROSSFADE_ASSIGN(std::vector<apply::Finding> findings, source->Check());
  CROSSFADE_ASSIGN(const SourceCatalog catalog, source->ReadCatalog());
  for (const std::string& object : catalog.for_a_person) {
    findings.push_back({false, "CF1715", object, "not moved", "tables and rows are moved; this is work for a person",
                        "make it on the target by hand before the switch (triggers: only at the switch)"});
  }
  CROSSFADE_ASSIGN(const std::unique_ptr<apply::Target> target, OpenTarget(config));
  CROSSFADE_ASSIGN(const apply::RouteSet routes, RoutesOf(config, catalog.tables));
  CROSSFADE_ASSIGN(std::vector<apply::Finding> plan, target->PlanSchema(routes));
  findings.insert(findings.end(), plan.begin(), plan.end());
  return findings;
}

Status AbortMigration(const Config& config) {
  CROSSFADE_ASSIGN(const std::unique_ptr<apply::Target> target, OpenTarget(config));
  const apply::Owner owner{HostName(), ::getpid(), "crossfade " CROSSFADE_VERSION};
  CROSSFADE_TRY(target->TakeOver(owner, false, {}));
  CROSSFADE_ASSIGN(const std::unique_ptr<SourceEngine> source, MakeSourceEngine(config));
  CROSSFADE_ASSIGN(const SourceCatalog catalog, source->ReadCatalog());
  // Names alone matter here: rules that cannot be read any more must not keep anybody from taking the rows away.
  apply::RouteRules rules = RulesOf(config);
  rules.transforms.columns.clear();
  std::erase_if(rules.transforms.tables, [&](const auto& rename) {
    return !rules.Includes(rename.first) || std::none_of(catalog.tables.begin(), catalog.tables.end(),
                                                         [&](const TableSchema& t) { return t.name == rename.first; });
  });
  CROSSFADE_ASSIGN(const apply::RouteSet routes, apply::RouteSet::Make(catalog.tables, rules));
  CROSSFADE_TRY(target->Abort(routes));
  CROSSFADE_TRY(source->EndLog());
  std::error_code error;
  for (const char* part : {"journal", kDamagedJournal, "status.json", "status.json.next", "pause", "verify.lock",
                           kVerifyFolder, "history", kScratchFolder}) {
    std::filesystem::remove_all(std::filesystem::path(config.state_dir) / part, error);
  }
  return {};
}

// The last record of an action. Gives the exit code, or another one if the record cannot be written.
int RecordEnd(const Config& config, std::string_view action, const Status& result, int exit_code) {
  nlohmann::json details = {{"exit_code", exit_code}, {"result", result ? "done" : "failed"}};
  if (!result) {
    details["code"] = result.error().code;
  }
  const Status recorded = RecordAction(config, action, details);
  return recorded || exit_code != kDone ? exit_code : Report(recorded.error());
}

// Another owner, or not in this state of the migration.
bool IsRefusal(std::string_view code) {
  constexpr std::string_view kRefusals[] = {"CF1301", "CF1501", "CF1720", "CF1760", "CF1761", "CF1762", "CF1763",
                                            "CF1764", "CF1780", "CF1782", "CF1783", "CF1787", "CF1840", "CF1841"};
  return std::find(std::begin(kRefusals), std::end(kRefusals), code) != std::end(kRefusals);
}

}  // namespace

bool IsAlive(const StatusReport& report) {
  const bool fresh = WallMicros() - report.at_us < 5'000'000;
  if (report.phase == Phase::kStopped || report.phase == Phase::kFailed) {
    return false;
  }
  return report.host == HostName() ? ::kill(static_cast<pid_t>(report.pid), 0) == 0 || errno == EPERM : fresh;
}

ExitCode ExitCodeOf(const Error& error) {
  switch (error.error_class) {
    case ErrorClass::kTransient:
    case ErrorClass::kReconnect:
    case ErrorClass::kInDoubt:
      return kCouldNotTell;
    case ErrorClass::kData:
      return kDataStop;
    case ErrorClass::kConfig:
      if (error.code == "CF1710") {
        return kDifferent;
      }
      return IsRefusal(error.code) ? kRefused : kUsage;
    case ErrorClass::kCorrupt:
      return error.code == "CF1502" ? kRefused : kCorruptState;
  }
  return kCorruptState;
}

int Report(const Error& error) {
  std::cerr << "crossfade: " << error.ToString() << "\n";
  return ExitCodeOf(error);
}

namespace {

// The board, what shows it, and the pipeline. `stop` ends it in order.
Status RunMigration(const Config& config, const RunOptions& options, const std::stop_token& stop) {
  StatusBoard board;
  board.Update([&](StatusReport* report) {
    report->name = config.name;
    report->tenant = config.tenant.mode == "column" ? config.tenant.column + " = " + config.tenant.value : "";
    report->pid = ::getpid();
    report->host = HostName();
    report->version = "crossfade " CROSSFADE_VERSION;
    report->started_us = WallMicros();
    report->journal_budget_bytes = config.journal.budget_mib << 20;
  });
  std::unique_ptr<HttpServer> http;
  if (!config.http.listen.empty()) {
    CROSSFADE_ASSIGN(http, HttpServer::Start(config.http.listen, &board));
    board.Update([&](StatusReport* report) { report->http = http->address(); });
  }
  std::stop_source halt;
  const std::stop_callback forward(stop, [&] { halt.request_stop(); });
  AuditWatch audit(&config, &board, [&] { halt.request_stop(); });
  Status result;
  {
    const Console console(&board, options.console);
    Pipeline pipeline(config, options, &board);
    result = pipeline.Run(halt.get_token());
  }
  const Status recorded = audit.Finish();
  return result ? recorded : result;
}

Status RecordRunStart(const Config& config, const RunOptions& options) {
  const bool goes_on = std::filesystem::exists(config.state_dir + "/journal");
  nlohmann::json details = {{"take_over", options.take_over}, {"rebuild_journal", options.rebuild_journal}};
  if (options.until) {
    details["until"] = *options.until;
  }
  CROSSFADE_TRY(AppendAction(config, goes_on ? "run went on" : "run started", details));
  return {};
}

}  // namespace

int RunCommand(const RunOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  SignalStop signals;
  if (const Status logs = SetUpLog(*config); !logs) {
    return Report(logs.error());
  }
  if (const Status made = MakeStateDirectory(config->state_dir); !made) {
    return Report(made.error());
  }
  if (const Status recorded = RecordRunStart(*config, options); !recorded) {
    return Report(recorded.error());
  }
  const Status result = RunMigration(*config, options, signals.token());
  const bool interrupted = signals.token().stop_requested() && options.until.has_value();
  const int exit_code = !result ? Report(result.error()) : interrupted ? kCouldNotTell : kDone;
  return RecordEnd(*config, "run ended", result, exit_code);
}

int CheckCommand(const std::string& path, bool json) {
  const Result<Config> config = LoadConfig(path);
  if (!config) {
    return Report(config.error());
  }
  const Result<std::vector<apply::Finding>> findings = CollectFindings(*config);
  if (!findings) {
    return Report(findings.error());
  }
  const auto blockers = std::count_if(findings->begin(), findings->end(), [](const auto& f) { return f.blocks; });
  if (json) {
    PrintFindingsJson(*findings);
  } else {
    PrintFindings(*findings);
    std::cout << fmt::format("{}: {} blockers, {} notices\n", blockers == 0 ? "ready" : "not ready", blockers,
                             findings->size() - static_cast<size_t>(blockers));
  }
  return blockers == 0 ? kDone : kDifferent;
}

int StatusCommand(const std::string& path, bool json) {
  const Result<Config> config = LoadConfig(path);
  if (!config) {
    return Report(config.error());
  }
  Result<StatusReport> report = ReadStatusFile(config->state_dir);
  if (!report) {
    return Report(report.error());
  }
  const bool alive = IsAlive(*report);
  if (const std::string warning = alive ? "" : RetentionOfStopped(*report, WallMicros()); !warning.empty()) {
    report->warnings = {warning};
  }
  if (json) {
    nlohmann::json out = nlohmann::json::parse(StatusJson(*report));
    // The recorded error keeps its parts only in the file itself.
    std::ifstream file(StatusPath(config->state_dir));
    nlohmann::json whole = nlohmann::json::parse(file, nullptr, false);
    if (whole.is_object()) {
      out = std::move(whole);
    }
    out["alive"] = alive;
    out["warnings"] = report->warnings;
    std::cout << out.dump(2) << "\n";
  } else {
    std::cout << StatusText(*report, alive);
  }
  return kDone;
}

int PauseCommand(const std::string& path, bool pause) {
  const Result<Config> config = LoadConfig(path);
  if (!config) {
    return Report(config.error());
  }
  const std::filesystem::path mark = std::filesystem::path(config->state_dir) / "pause";
  std::error_code error;
  if (std::filesystem::exists(config->state_dir)) {
    if (const Status recorded = RecordAction(*config, pause ? "pause" : "resume", {}); !recorded) {
      return Report(recorded.error());
    }
  }
  if (pause && !std::ofstream(mark)) {
    return Report(Error{ErrorClass::kTransient, "CF1713", "pause", "the mark that the copy looks for cannot be written",
                        "", mark, std::strerror(errno),
                        "start the migration with 'crossfade run' first; or name in state_dir where it runs"});
  }
  if (!pause) {
    std::filesystem::remove(mark, error);
  }
  std::cout << (pause ? "copy and comparison wait; capture and apply go on\n" : "copy and comparison go on\n");
  return kDone;
}

int AbortCommand(const std::string& path, bool yes) {
  const Result<Config> config = LoadConfig(path);
  if (!config) {
    return Report(config.error());
  }
  if (!yes) {
    std::cout << fmt::format(
        "This deletes what migration {} has put into database {} of {}:{}, and its state in {}.\n"
        "Type the migration's name to go on: ",
        config->name, config->target.database, config->target.host, config->target.port, config->state_dir);
    std::string answer;
    std::getline(std::cin, answer);
    if (answer != config->name) {
      std::cerr << "crossfade: not aborted\n";
      return kRefused;
    }
  }
  if (const Status made = MakeStateDirectory(config->state_dir); !made) {
    return Report(made.error());
  }
  if (const Status recorded = RecordAction(*config, "abort started", {}); !recorded) {
    return Report(recorded.error());
  }
  const Status aborted = AbortMigration(*config);
  if (aborted) {
    std::cout << "aborted: nothing of " << config->name
              << " is left on the target or in its state directory, but its audit log and that one's last record\n";
  }
  return RecordEnd(*config, "abort ended", aborted, aborted ? kDone : Report(aborted.error()));
}

int JournalCommand(const JournalCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  const std::string directory = config->state_dir + "/journal";
  if (!std::filesystem::exists(directory)) {
    return Report(Error{ErrorClass::kTransient, "CF1716", "journal", "this migration has no journal yet", "", directory,
                        "no such directory", "start it with 'crossfade run', or name in state_dir where it runs"});
  }
  const Scratch scratch(config->state_dir);
  Result<std::unique_ptr<state::Journal>> journal =
      state::Journal::OpenForReading({.directory = directory}, scratch.path());
  if (!journal) {
    return Report(journal.error());
  }
  const Status listed =
      options.json ? state::ListJournalJson(**journal, Seq{options.from}, options.limit, options.decode, std::cout)
                   : state::ListJournal(**journal, Seq{options.from}, options.limit, options.decode, std::cout);
  return listed ? kDone : Report(listed.error());
}

}  // namespace crossfade::tools
