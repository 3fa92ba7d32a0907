#include "tools/crossfade/copy_watch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "tools/crossfade/backoff.h"

namespace crossfade::tools {

namespace {

constexpr std::chrono::milliseconds kEvery{250};

std::string WaitText(snapshot::CopyLimits::Wait wait) {
  switch (wait) {
    case snapshot::CopyLimits::Wait::kNone:
      return "";
    case snapshot::CopyLimits::Wait::kPaused:
      return "paused by the operator";
    case snapshot::CopyLimits::Wait::kBackOff:
      return "the source is under load";
    case snapshot::CopyLimits::Wait::kRate:
      return "snapshot.max_rows_per_second";
  }
  return "";
}

}  // namespace

CopyWatch::CopyWatch(const Config& config, SourceEngine* source, snapshot::CopyLimits* limits,
                     snapshot::CopyProgress* progress, StatusBoard* board)
    : config_(config),
      source_(source),
      limits_(limits),
      progress_(progress),
      board_(board),
      last_at_(std::chrono::steady_clock::now()) {
  limits_->SetRowsPerSecond(config.snapshot.max_rows_per_second);
  if (config.snapshot.source_max_threads_running != 0 || config.snapshot.source_max_history != 0) {
    limits_->SetBackOff([this] { return SourceSuffers(); });
  }
  thread_ = std::jthread([this](std::stop_token stop) {
    while (!stop.stop_requested()) {
      Show();
      SleepFor(kEvery, stop);
    }
  });
}

CopyWatch::~CopyWatch() {
  thread_.request_stop();
  thread_.join();
  Show();
}

bool CopyWatch::SourceSuffers() const {
  const Result<SourceEngine::Load> load = source_->ReadLoad();
  if (!load) {
    spdlog::warn("copy: cannot ask the source for its load: {}", load.error().ToString());
    return false;
  }
  const uint64_t threads = config_.snapshot.source_max_threads_running;
  const uint64_t history = config_.snapshot.source_max_history;
  return (threads != 0 && load->threads_running > threads) || (history != 0 && load->history_length > history);
}

void CopyWatch::Show() {
  const bool paused = std::filesystem::exists(config_.state_dir + "/pause");
  limits_->SetPaused(paused);
  const snapshot::CopyTotals totals = progress_->totals();
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - last_at_).count();
  if (seconds > 0) {
    const double current = static_cast<double>(totals.rows - std::min(totals.rows, last_rows_)) / seconds;
    rate_ = rate_ == 0 ? current : rate_ * 0.8 + current * 0.2;
    last_rows_ = totals.rows;
    last_at_ = now;
  }
  const uint64_t left = totals.estimated_rows - std::min(totals.estimated_rows, totals.rows);
  board_->Update([&](StatusReport* report) {
    report->tables.clear();
    for (const snapshot::TableProgress& table : progress_->tables()) {
      report->tables[table.table] = {table.rows, table.estimated_rows, table.chunks_done, table.chunks};
    }
    report->copy_rows_per_second = static_cast<uint64_t>(rate_);
    report->copy_eta_s = rate_ < 1 ? -1 : static_cast<int64_t>(static_cast<double>(left) / rate_);
    report->chunks_read_again = totals.chunks_reread;
    report->paused = paused;
    report->copy_waits_for = WaitText(limits_->waiting());
  });
}

}  // namespace crossfade::tools
