// The program: options only.
#include <malloc.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "core/failpoint.h"
#include "tools/crossfade/audit_command.h"
#include "tools/crossfade/commands.h"
#include "tools/crossfade/config.h"

namespace {

using namespace crossfade::tools;  // NOLINT(google-build-using-namespace): the one place that is the program

constexpr const char* kFooter =
    "Begin with:\n"
    "  crossfade config --example > acme.toml     write the file, set the passwords in the environment\n"
    "  crossfade check acme.toml                  what is missing, with the statement that mends it\n"
    "  crossfade run acme.toml                    copies, then follows; the same command goes on after any "
    "interruption\n"
    "  crossfade status acme.toml                 from another shell\n"
    "  crossfade verify acme.toml                 whether both sides are equal, while data moves\n"
    "  crossfade report acme.toml                 what was moved, and whether it is equal: one HTML file to sign\n"
    "  crossfade audit list acme.toml             who did what, and when\n\n"
    "Exit codes: 0 done; 1 different, blocker or divergence; 2 could not tell (connection, time-out, interrupted);\n"
    "3 configuration or usage; 4 refused (another owner, wrong phase); 5 data stop; 6 corrupt.";

struct Options {
  std::string config;
  bool json = false;
  bool example = false;
  bool page = false;
  bool yes = false;
  bool no_progress = false;
  bool lines = false;
  std::string until;
  RunOptions run;
  JournalCommandOptions journal;
  VerifyCommandOptions verify;
  ReportCommandOptions report;
  AuditCommandOptions audit;
};

CLI::App* AddCommand(CLI::App* app, const char* name, const char* meaning, Options* o, bool needs_config = true) {
  CLI::App* command = app->add_subcommand(name, meaning);
  CLI::Option* file = command->add_option("config", o->config, "the migration's TOML file");
  if (needs_config) {
    file->required();
  }
  return command;
}

constexpr const char* kAuditMeaning =
    "Who did what to a migration, and when. Each action and each change of phase is a line of JSON in "
    "state_dir/audit.jsonl, chained to the one before by its SHA-256; the target keeps the last hash. 'abort' leaves "
    "the "
    "log where it is.";
constexpr const char* kAuditFooter =
    "Begin with:\n"
    "  crossfade audit list acme.toml             one line for each record\n"
    "  crossfade audit verify acme.toml           whether it is as it was written; exit code 0: whole; 6: changed, "
    "cut,\n"
    "                                             moved or written anew; 2: the target could not be asked\n"
    "  crossfade audit export acme.toml > a.jsonl the records as they stand, for a backup or another tool";

void AddAuditCommands(CLI::App* app, Options* o) {
  CLI::App* audit = app->add_subcommand("audit", kAuditMeaning);
  audit->footer(kAuditFooter);
  audit->require_subcommand(1);
  CLI::App* list = AddCommand(audit, "list", "List the records, oldest first.", o);
  list->add_option("--last", o->audit.last, "only so many, the newest; 0: all")->default_val(0);
  list->add_flag("--json", o->json, "as JSON lines, as they stand in the file");
  CLI::App* verify = AddCommand(audit, "verify",
                                "Hold every line against the chain, and the chain against the last record that the "
                                "target knows.",
                                o);
  verify->add_flag("--offline", o->audit.offline,
                   "without the target: finds edited and moved lines, but neither a cut end nor a log written anew");
  verify->add_flag("--json", o->json, "as JSON");
  AddCommand(audit, "export", "Print the records as JSON lines.", o);
  AddCommand(audit, "begin",
             "When the log is broken or lost: keep it as audit.jsonl.kept.<time> and begin a new one behind the last "
             "record that the target knows. Its first record says who did so, and why.",
             o)
      ->add_option("--reason", o->audit.reason, "what happened to the old one")
      ->required();
}

void AddCommands(CLI::App* app, Options* o) {
  CLI::App* run = AddCommand(app, "run",
                             "Copy what is missing, then follow the source. Idempotent: durable state decides "
                             "what is left to do.",
                             o);
  run->add_option(
      "--until", o->until,
      "end with status 0 once this is applied: 'caught-up' (all that was committed on the source when the copy "
      "ended, or later when the command started), a GTID set, or file:offset");
  run->add_flag("--take-over", o->run.take_over,
                "take over from an owner that seems alive; it will not commit anything more");
  run->add_flag("--rebuild-journal", o->run.rebuild_journal,
                "when the state directory is lost or damaged: make a new journal and go on from what the target holds; "
                "refused when the journal is whole, when the copy was not complete, and when the source's log no "
                "longer goes back that far");
  run->add_flag("--no-progress", o->no_progress, "print no progress");
  run->add_flag("--lines", o->lines, "progress as plain lines, on a terminal too");

  AddCommand(app, "check", "Say whether source and target are ready, and what to change. Changes nothing.", o)
      ->add_flag("--json", o->json, "as JSON");
  AddCommand(app, "status", "Show where a migration is.", o)->add_flag("--json", o->json, "as JSON");
  CLI::App* verify = AddCommand(app, "verify",
                                "Compare every row of both sides, while 'run' follows and applications write. Changes "
                                "nothing, but with --repair. Exit "
                                "code 0: equal; 1: different; 2: some rows could not be decided.",
                                o);
  verify->add_flag("--json", o->json, "as JSON");
  verify->add_flag("--restart", o->verify.restart, "begin anew, even if a pass of the last 24 hours was interrupted");
  verify->add_flag("--no-progress", o->no_progress, "print no progress (it goes to standard error)");
  verify->add_flag("--lines", o->lines, "progress as plain lines, on a terminal too");
  CLI::Option* plan = verify->add_flag("--plan", o->verify.plan, "say row by row what would make the target equal");
  CLI::Option* repair = verify->add_flag("--repair", o->verify.repair,
                                         "make the target's rows equal; 'run' must be stopped, and goes on afterwards");
  repair->excludes(plan);
  verify->add_flag("--yes", o->verify.yes, "do not ask before repairing")->needs(repair);
  verify
      ->add_flag("--overwrite-foreign", o->verify.overwrite_foreign,
                 "repair rows too that somebody else wrote on the target")
      ->needs(repair);
  CLI::Option* final_check = verify->add_flag(
      "--final", o->verify.final,
      "say whether both sides are equal at the source's present position, from what [verify] continuous has compared "
      "and the rows touched since; to be asked while nothing is written on the source");
  final_check->excludes(plan)->excludes(repair)->excludes("--restart");
  verify->add_option("--within", o->verify.final_within_s, "with --final: seconds it may take")
      ->default_val(30)
      ->needs(final_check);
  CLI::App* report = AddCommand(
      app, "report",
      "Write a report that a person can sign: what was moved, how long it took, lag over time, and whether both sides "
      "are equal. Works while 'run' runs and when it does not; what is out of reach is named in it.",
      o);
  report->add_option(
      "--html", o->report.html,
      "the HTML file, one that needs nothing else; '-': standard output; default: NAME-report.html here, "
      "unless only --json is given");
  report->add_option("--json", o->report.json, "the same as JSON; '-': standard output");
  report->add_flag("--force", o->report.force, "replace files that are there");
  AddCommand(app, "pause", "Make the copy of a running migration wait, and a comparison; capture goes on.", o);
  AddCommand(app, "resume", "Let a paused copy or comparison go on.", o);
  AddCommand(app, "abort",
             "Undo a migration: this tenant's rows, helper rows and local state. The source is not touched.", o)
      ->add_flag("--yes", o->yes, "do not ask");

  CLI::App* journal =
      AddCommand(app, "journal", "List the transactions in the journal, also while 'run' is at work.", o);
  journal->add_option("--from", o->journal.from, "first Seq to list")->default_val(0);
  journal->add_option("--limit", o->journal.limit, "transactions to list at most")->default_val(100);
  journal->add_flag("--decode", o->journal.decode, "show every change");
  journal->add_flag("--json", o->journal.json, "as JSON lines");

  AddAuditCommands(app, o);

  CLI::App* config = AddCommand(app, "config", "Validate a configuration file, or show all settings.", o, false);
  config->add_flag("--example", o->example, "print a full, commented file with every setting and its default");
  config->add_flag("--page", o->page, "print docs/configuration.md");
}

int ConfigCommand(const Options& o) {
  if (o.example || o.page) {
    std::cout << (o.example ? ExampleConfig() : ConfigurationPage());
    return kDone;
  }
  if (o.config.empty()) {
    std::cerr << "crossfade config: name a file, or use --example\n";
    return kUsage;
  }
  const auto config = LoadConfig(o.config);
  if (!config) {
    return Report(config.error());
  }
  std::cout << o.config << ": good\n";
  return kDone;
}

int AuditCommand(const CLI::App& audit, Options* o) {
  const std::string command = audit.get_subcommands().front()->get_name();
  o->audit.config = o->config;
  o->audit.json = o->json;
  return command == "list"     ? AuditListCommand(o->audit)
         : command == "verify" ? AuditVerifyCommand(o->audit)
         : command == "export" ? AuditExportCommand(o->audit)
                               : AuditBeginCommand(o->audit);
}

int Dispatch(const CLI::App& app, Options* o) {
  const std::string command = app.get_subcommands().front()->get_name();
  const ConsoleMode console = o->no_progress ? ConsoleMode::kNone : o->lines ? ConsoleMode::kLines : ConsoleMode::kAuto;
  if (command == "run") {
    o->run.config = o->config;
    o->run.console = console;
    if (!o->until.empty()) {
      o->run.until = o->until;
    }
    return RunCommand(o->run);
  }
  if (command == "check") {
    return CheckCommand(o->config, o->json);
  }
  if (command == "status") {
    return StatusCommand(o->config, o->json);
  }
  if (command == "verify") {
    o->verify.config = o->config;
    o->verify.console = console;
    o->verify.json = o->json;
    return o->verify.final ? VerifyFinal(o->verify) : VerifyCommand(o->verify);
  }
  if (command == "report") {
    o->report.config = o->config;
    return ReportCommand(o->report);
  }
  if (command == "pause" || command == "resume") {
    return PauseCommand(o->config, command == "pause");
  }
  if (command == "abort") {
    return AbortCommand(o->config, o->yes);
  }
  if (command == "audit") {
    return AuditCommand(*app.get_subcommands().front(), o);
  }
  if (command == "journal") {
    o->journal.config = o->config;
    return JournalCommand(o->journal);
  }
  return ConfigCommand(*o);
}

// By itself malloc takes the largest block that was ever freed, up to 32 MiB, as the size from which a block is given
// back to the system. With rows of 20 MiB the holes between blocks then took up to 60 MiB.
void BoundHolesInMemory() {
  constexpr int kGiveBackFrom = 8 << 20;
  mallopt(M_MMAP_THRESHOLD, kGiveBackFrom);
  mallopt(M_TRIM_THRESHOLD, 2 * kGiveBackFrom);
}

}  // namespace

// An exception that comes up to here is a bug, or the end of memory: the program aborts.
int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape): see above
  BoundHolesInMemory();
  crossfade::failpoint::ArmFromEnvironment();
  spdlog::set_default_logger(spdlog::stderr_logger_mt("crossfade"));
  spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");

  CLI::App app("Crossfade moves a live database into a shared, multi-tenant one, and keeps both in step.", "crossfade");
  app.footer(kFooter);
  app.set_version_flag("--version", "crossfade " CROSSFADE_VERSION);
  app.require_subcommand(1);
  Options options;
  AddCommands(&app, &options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kDone : kUsage;
  }
  return Dispatch(app, &options);
}
