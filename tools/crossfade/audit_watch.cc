#include "tools/crossfade/audit_watch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/backoff.h"

namespace crossfade::tools {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLookEvery{200};
constexpr milliseconds kFirstPause{400};
constexpr milliseconds kLongestPause{30'000};

}  // namespace

AuditWatch::AuditWatch(const Config* config, StatusBoard* board, std::function<void()> on_failure)
    : config_(config), board_(board), on_failure_(std::move(on_failure)) {
  board_->RecordPhasesWith([this](const std::vector<PhaseChange>& changes) { RecordPhases(changes); });
  thread_ = std::jthread([this](const std::stop_token& stop) { Work(stop); });
}

AuditWatch::~AuditWatch() { (void)Finish(); }

Status AuditWatch::Finish() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
    (void)board_->Show();
    board_->RecordPhasesWith(nullptr);
  }
  const std::lock_guard lock(mutex_);
  return failure_ ? Status(Fail(*failure_)) : Status();
}

void AuditWatch::Work(const std::stop_token& stop) {
  milliseconds pause = kFirstPause;
  auto next = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    (void)board_->Show();
    if (Recorded() > told_ && std::chrono::steady_clock::now() >= next) {
      const bool again = TellTarget();
      pause = again ? std::min(pause * 2, kLongestPause) : kFirstPause;
      next = std::chrono::steady_clock::now() + (again ? pause : milliseconds(0));
    }
    SleepFor(kLookEvery, stop);
  }
}

uint64_t AuditWatch::Recorded() {
  const std::lock_guard lock(mutex_);
  return recorded_;
}

void AuditWatch::RecordPhases(const std::vector<PhaseChange>& changes) {
  const std::lock_guard lock(mutex_);
  for (const PhaseChange& change : changes) {
    nlohmann::json details = {{"phase", PhaseName(change.phase)}, {"at_us", change.at_us}};
    if (!change.code.empty()) {
      details["code"] = change.code;
    }
    const Result<state::AuditHead> head = failure_ ? Fail(*failure_) : AppendAction(*config_, "phase", details);
    if (!head && !failure_) {
      failure_ = head.error();
      spdlog::error("{}", head.error().ToString());
      on_failure_();
    }
    recorded_ = head ? head->seq : recorded_;
  }
}

bool AuditWatch::TellTarget() {
  const uint64_t recorded = Recorded();
  const Result<bool> kept = KeepHead(*config_);
  if (kept && *kept) {
    told_ = recorded;
    told_of_.clear();
    return false;
  }
  if (!kept && kept.error().code != told_of_) {
    told_of_ = kept.error().code;
    spdlog::warn("audit: the target is not told of record {}: {}", recorded, kept.error().ToString());
  }
  return true;
}

}  // namespace crossfade::tools
