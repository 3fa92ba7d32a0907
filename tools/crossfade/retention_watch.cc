#include "tools/crossfade/retention_watch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "tools/crossfade/backoff.h"

namespace crossfade::tools {

namespace {

constexpr std::string_view kCode = "CF1770";
constexpr int64_t kAskedInAFile = 30;
constexpr int64_t kDay = int64_t{24} * 3600;

}  // namespace

RetentionWatch::RetentionWatch(SourceEngine* source, StatusBoard* board, std::function<Position()> needed)
    : source_(source), board_(board), needed_(std::move(needed)) {
  thread_ = std::jthread([this](std::stop_token stop) { Run(std::move(stop)); });
}

void RetentionWatch::Run(std::stop_token stop) {
  bool warned = false;
  int64_t every_s = 1;
  while (!stop.stop_requested()) {
    // What keeps it from answering keeps capture from reading, which says so.
    if (const Result<capture::Retention> found = source_->ReadRetention(needed_())) {
      const std::string warning = found->warning.empty() ? "" : fmt::format("{} [{}]", found->warning, kCode);
      if (warned != !warning.empty()) {
        warned = !warning.empty();
        if (warned) {
          spdlog::warn("{}", warning);
        } else {
          spdlog::info("the source keeps its log long enough again");
        }
      }
      board_->Update([&](StatusReport* report) {
        report->retention_kept_s = found->kept_s;
        report->retention_left_s = found->left_s;
        std::erase_if(report->warnings, [](const std::string& text) { return text.find(kCode) != text.npos; });
        if (warned) {
          report->warnings.push_back(warning);
        }
      });
      every_s = found->kept_s < 0 ? 60 : std::clamp<int64_t>(found->kept_s / kAskedInAFile, 1, 60);
    }
    SleepFor(std::chrono::seconds(every_s), stop);
  }
}

std::string RetentionOfStopped(const StatusReport& report, int64_t now_us) {
  const int64_t away_s = (now_us - report.at_us) / 1'000'000;
  const int64_t enough = std::max(report.retention_kept_s / 4, std::min(kDay, report.retention_kept_s / 2));
  if (report.retention_kept_s < 0 || report.retention_kept_s - away_s > enough) {
    return {};
  }
  return fmt::format(
      "no process has run for {} s, and the source keeps its log for {} s: run it again before the log is purged [{}]",
      away_s, report.retention_kept_s, kCode);
}

}  // namespace crossfade::tools
