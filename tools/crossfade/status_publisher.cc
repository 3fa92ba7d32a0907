#include "tools/crossfade/status_publisher.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "core/clock.h"
#include "tools/crossfade/backoff.h"

namespace crossfade::tools {

namespace {
constexpr std::chrono::milliseconds kEvery{250};
}  // namespace

StatusPublisher::StatusPublisher(std::string state_dir, StatusBoard* board, std::function<void()> refresh)
    : state_dir_(std::move(state_dir)), board_(board), history_(state_dir_), refresh_(std::move(refresh)) {
  thread_ = std::jthread([this](std::stop_token stop) {
    while (!stop.stop_requested()) {
      Publish();
      SleepFor(kEvery, stop);
    }
  });
}

StatusPublisher::~StatusPublisher() {
  thread_.request_stop();
  thread_.join();
  Publish();
}

void StatusPublisher::Publish() {
  refresh_();
  StatusReport report = board_->Show();
  report.at_us = WallMicros();
  if (const Status written = WriteStatusFile(state_dir_, report); !written) {
    spdlog::warn("{}", written.error().ToString());
  }
  // A gap in the history harms nothing: one word about it is enough.
  const Status noted = history_.Note(report, board_->TakePhaseChanges(PhaseReader::kHistory));
  if (!noted && !std::exchange(history_warned_, true)) {
    spdlog::warn("{}", noted.error().ToString());
  }
}

}  // namespace crossfade::tools
