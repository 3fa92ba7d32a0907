// What the program can be told to do. Each returns the exit code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/error.h"
#include "tools/crossfade/console.h"

namespace crossfade::tools {

struct StatusReport;

// The same for all commands.
enum ExitCode : int {
  kDone = 0,          // done, equal, clean
  kDifferent = 1,     // different, a blocker or a divergence
  kCouldNotTell = 2,  // connection, time-out, interrupted
  kUsage = 3,         // configuration or usage
  kRefused = 4,       // another owner, wrong phase
  kDataStop = 5,
  kCorruptState = 6,
};

ExitCode ExitCodeOf(const Error& error);
// The error on standard error, in full, with what to do now; gives its exit code.
int Report(const Error& error);

struct RunOptions {
  std::string config;
  std::optional<std::string> until;  // "caught-up", or a position
  bool take_over = false;
  bool rebuild_journal = false;
  ConsoleMode console = ConsoleMode::kAuto;
};
int RunCommand(const RunOptions& options);

int CheckCommand(const std::string& config, bool json);
// Whether the process that wrote it seems to live.
bool IsAlive(const StatusReport& report);
int StatusCommand(const std::string& config, bool json);
// The copy of a running migration waits, or goes on.
int PauseCommand(const std::string& config, bool pause);
int AbortCommand(const std::string& config, bool yes);

struct JournalCommandOptions {
  std::string config;
  uint64_t from = 0;
  uint64_t limit = 100;
  bool decode = false;
  bool json = false;
};
int JournalCommand(const JournalCommandOptions& options);

struct VerifyCommandOptions {
  std::string config;
  bool json = false;
  bool restart = false;  // even if a pass was interrupted
  ConsoleMode console = ConsoleMode::kAuto;
  bool plan = false;    // say what would make the target equal
  bool repair = false;  // and do it
  bool yes = false;
  bool overwrite_foreign = false;
  bool final = false;
  uint64_t final_within_s = 30;
};
// Compares every row of both sides.
int VerifyCommand(const VerifyCommandOptions& options);
// Says whether both sides are equal at the source's present Position, from what [verify] continuous has compared.
int VerifyFinal(const VerifyCommandOptions& options);

struct ReportCommandOptions {
  std::string config;
  std::string html;    // a file, or "-"; empty with an empty `json`: NAME-report.html in this directory
  std::string json;    // a file, or "-"
  bool force = false;  // files that are there are replaced
};
// Writes what was moved, how, and whether it is equal, for people to sign and for programs to read.
int ReportCommand(const ReportCommandOptions& options);

}  // namespace crossfade::tools
