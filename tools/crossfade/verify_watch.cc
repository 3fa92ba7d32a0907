#include "tools/crossfade/verify_watch.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tools/crossfade/backoff.h"
#include "tools/crossfade/progress_text.h"

namespace crossfade::tools {

namespace {

constexpr std::chrono::milliseconds kEvery{200};
constexpr std::chrono::milliseconds kLinesEvery{2000};

std::string_view WaitText(snapshot::CopyLimits::Wait wait) {
  switch (wait) {
    case snapshot::CopyLimits::Wait::kNone:
      return "";
    case snapshot::CopyLimits::Wait::kPaused:
      return "paused by the operator";
    case snapshot::CopyLimits::Wait::kBackOff:
      return "the source is under load";
    case snapshot::CopyLimits::Wait::kRate:
      return "verify.max_rows_per_second";
  }
  return "";
}

}  // namespace

VerifyWatch::VerifyWatch(const Config& config, SourceEngine* source, snapshot::CopyLimits* within,
                         snapshot::CopyLimits* between, const verify::Verifier* verifier, ConsoleMode mode)
    : config_(config),
      source_(source),
      within_(within),
      between_(between),
      verifier_(verifier),
      last_at_(std::chrono::steady_clock::now()) {
  if (mode != ConsoleMode::kNone) {
    form_ = mode == ConsoleMode::kAuto && ::isatty(STDERR_FILENO) != 0 ? Form::kBars : Form::kLines;
  }
  within_->SetRowsPerSecond(config.verify.max_rows_per_second);
  // Not within a chunk or a page: its snapshot would be held for as long as the load lasts, and keep the history.
  if (config.snapshot.source_max_threads_running != 0 || config.snapshot.source_max_history != 0) {
    between_->SetBackOff([this] { return SourceSuffers(); });
  }
  thread_ = std::jthread([this](std::stop_token stop) { Watch(stop); });
}

VerifyWatch::~VerifyWatch() {
  thread_.request_stop();
  thread_.join();
  between_->SetBackOff({});
  between_->SetPaused(false);
}

void VerifyWatch::Watch(const std::stop_token& stop) {
  const std::string pause = config_.state_dir + "/pause";
  std::string shown;
  auto next_line = std::chrono::steady_clock::now() + kLinesEvery;
  while (!stop.stop_requested()) {
    between_->SetPaused(std::filesystem::exists(pause));  // a chunk that is begun ends: its snapshot is held no longer
    SleepFor(kEvery, stop);
    const verify::PassProgress progress = verifier_->progress();
    Measure(progress.rows);
    if (form_ == Form::kBars) {
      shown = fmt::format("{} {}", ProgressBar(progress.rows, progress.estimated, 24), Line(progress));
      shown.resize(std::min(shown.size(), TerminalWidth(STDERR_FILENO) - 1));
      fmt::print(stderr, "\r\033[K{}", shown);
    } else if (form_ == Form::kLines && std::chrono::steady_clock::now() >= next_line) {
      next_line += kLinesEvery;
      if (std::string line = Line(progress); line != shown) {
        fmt::print(stderr, "{}\n", line);
        shown = std::move(line);
      }
    }
  }
  if (form_ == Form::kBars) {
    fmt::print(stderr, "\r\033[K");  // the result follows
  }
}

bool VerifyWatch::SourceSuffers() {
  const Result<SourceEngine::Load> load = source_->ReadLoad();
  if (!load) {
    if (!warned_.exchange(true)) {
      spdlog::warn("verify: cannot ask the source for its load: {}", load.error().ToString());
    }
    return false;
  }
  const uint64_t threads = config_.snapshot.source_max_threads_running;
  const uint64_t history = config_.snapshot.source_max_history;
  return (threads != 0 && load->threads_running > threads) || (history != 0 && load->history_length > history);
}

void VerifyWatch::Measure(uint64_t rows) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - last_at_).count();
  if (last_rows_ == 0) {
    last_rows_ = rows;  // with what an earlier process has read
  } else if (seconds > 0) {
    const double current = static_cast<double>(rows - std::min(rows, last_rows_)) / seconds;
    rate_ = rate_ == 0 ? current : rate_ * 0.9 + current * 0.1;
    last_rows_ = rows;
  }
  last_at_ = now;
}

std::string VerifyWatch::Line(const verify::PassProgress& p) const {
  const auto within = within_->waiting();
  const std::string_view waits = WaitText(within == snapshot::CopyLimits::Wait::kNone ? between_->waiting() : within);
  std::string line =
      fmt::format("{}: verify: {} of about {} rows, {}/{} tables, {} rows/s", config_.name, ShortCount(p.rows),
                  ShortCount(p.estimated), p.tables_done, p.tables, ShortCount(static_cast<uint64_t>(rate_)));
  if (rate_ >= 1 && p.chunks_done < p.chunks) {
    line += fmt::format(", {:.0f} s left", static_cast<double>(p.estimated - p.rows) / rate_);
  }
  line += fmt::format(", {} differences", p.differences);
  if (p.undecided > 0) {
    line += fmt::format(", {} undecided", p.undecided);
  }
  return waits.empty() ? line : fmt::format("{}, waits: {}", line, waits);
}

}  // namespace crossfade::tools
