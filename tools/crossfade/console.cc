#include "tools/crossfade/console.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tools/crossfade/backoff.h"
#include "tools/crossfade/progress_text.h"

namespace crossfade::tools {

namespace {

constexpr std::chrono::milliseconds kBarsEvery{200};
constexpr std::chrono::milliseconds kLinesEvery{2000};

struct CopyTotals {
  uint64_t done = 0;
  uint64_t estimated = 0;
  size_t tables_done = 0;
};

CopyTotals Totals(const StatusReport& report) {
  CopyTotals totals;
  for (const auto& [name, table] : report.tables) {
    totals.done += table.rows_done;
    totals.estimated += std::max(table.rows_estimated, table.rows_done);
    totals.tables_done += table.chunks > 0 && table.chunks_done == table.chunks ? 1 : 0;
  }
  return totals;
}

std::string Lag(const StatusReport& report) {
  return report.lag_ms < 0 ? "lag unknown" : fmt::format("lag {} ms", report.lag_ms);
}

std::string Line(const StatusReport& report) {
  const CopyTotals totals = Totals(report);
  std::string line = fmt::format("{}: {}", report.name, PhaseName(report.phase));
  if (report.phase == Phase::kCopying) {
    line += fmt::format(": {} of about {} rows, {}/{} tables, {} rows/s{}{}", ShortCount(totals.done),
                        ShortCount(totals.estimated), totals.tables_done, report.tables.size(),
                        ShortCount(report.copy_rows_per_second),
                        report.copy_eta_s < 0 ? "" : fmt::format(", {} s left", report.copy_eta_s),
                        report.copy_waits_for.empty() ? "" : ", waits: " + report.copy_waits_for);
  } else if (report.phase == Phase::kCatchingUp || report.phase == Phase::kFollowing) {
    line += fmt::format(
        ": {}, {} transactions applied, {} waiting", Lag(report), ShortCount(report.applied_transactions),
        ShortCount(report.captured_seq.value - std::min(report.captured_seq.value, report.applied_seq.value)));
  }
  return line;
}

}  // namespace

Console::Console(StatusBoard* board, ConsoleMode mode) : board_(board) {
  if (mode == ConsoleMode::kNone) {
    return;
  }
  const bool bars = mode == ConsoleMode::kAuto && ::isatty(STDOUT_FILENO) != 0;
  thread_ = std::jthread([this, bars](std::stop_token stop) { bars ? RunBars(stop) : RunLines(stop); });
}

Console::~Console() = default;

void Console::RunBars(std::stop_token stop) {
  while (!stop.stop_requested()) {
    SleepFor(kBarsEvery, stop);
    const StatusReport report = board_->Show();
    std::string line = Line(report);
    if (report.phase == Phase::kCopying) {
      const CopyTotals totals = Totals(report);
      line = fmt::format("{} {}", ProgressBar(totals.done, totals.estimated, 24), line);
    }
    line.resize(std::min(line.size(), TerminalWidth(STDOUT_FILENO) - 1));
    fmt::print("\r\033[K{}", line);
    std::fflush(stdout);
  }
  fmt::print("\n");
}

void Console::RunLines(std::stop_token stop) {
  std::string last;
  while (!stop.stop_requested()) {
    SleepFor(kLinesEvery, stop);
    const std::string line = Line(board_->Show());
    if (line != last) {
      fmt::print("{}\n", line);
      std::fflush(stdout);
      last = line;
    }
  }
}

}  // namespace crossfade::tools
