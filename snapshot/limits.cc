#include "snapshot/limits.h"

#include <algorithm>
#include <utility>

namespace crossfade::snapshot {

namespace {
constexpr auto kAskEvery = std::chrono::milliseconds(500);
constexpr double kBurstSeconds = 0.1;
constexpr uint32_t kMostRowsBetween = 1024;
}  // namespace

void CopyLimits::SetRowsPerSecond(uint64_t rows_per_second) {
  const std::lock_guard lock(mutex_);
  rate_ = static_cast<double>(rows_per_second);
  tokens_ = 0;
  refilled_ = Clock::now();
  step_ = rows_per_second == 0 ? kMostRowsBetween
                               : static_cast<uint32_t>(std::clamp<uint64_t>(rows_per_second / 20, 1, kMostRowsBetween));
  changed_.notify_all();
}

void CopyLimits::SetPaused(bool paused) {
  const std::lock_guard lock(mutex_);
  paused_ = paused;
  changed_.notify_all();
}

void CopyLimits::SetBackOff(std::function<bool()> should_wait) {
  const std::lock_guard lock(back_off_mutex_);
  should_wait_ = std::move(should_wait);
  has_back_off_ = true;  // also to end a wait that the one before asked for
  asked_ = {};
}

void CopyLimits::Refill(Clock::time_point now) {
  tokens_ += rate_ * std::chrono::duration<double>(now - refilled_).count();
  tokens_ = std::min(tokens_, rate_ * kBurstSeconds);
  refilled_ = now;
}

bool CopyLimits::Admit(uint64_t rows, const std::stop_token& stop) {
  bool was_paused = true;
  while (was_paused) {  // the source may have much to do by now
    if (has_back_off_.load(std::memory_order_relaxed) && !AskBackOff(stop)) {
      return false;
    }
    was_paused = false;
    if (!WaitForTurn(std::exchange(rows, 0), stop, &was_paused)) {
      return false;
    }
  }
  return true;
}

bool CopyLimits::WaitForTurn(uint64_t rows, const std::stop_token& stop, bool* was_paused) {
  std::unique_lock lock(mutex_);
  if (rate_ > 0) {
    Refill(Clock::now());
    tokens_ -= static_cast<double>(rows);
  }
  bool waited = false;
  while (!stop.stop_requested()) {
    if (paused_) {
      waiting_ = Wait::kPaused;
      waited = true;
      *was_paused = true;
      changed_.wait(lock, stop, [&] { return !paused_; });
      continue;
    }
    if (rate_ <= 0) {
      break;
    }
    Refill(Clock::now());
    if (tokens_ >= 0) {
      break;
    }
    waiting_ = Wait::kRate;
    waited = true;
    const double rate = rate_;
    changed_.wait_for(lock, stop, std::chrono::duration<double>(-tokens_ / rate),
                      [&] { return paused_ || rate_ != rate; });
  }
  if (waited) {
    waiting_ = Wait::kNone;
  }
  return !stop.stop_requested();
}

bool CopyLimits::AskBackOff(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      const std::lock_guard lock(back_off_mutex_);
      if (Clock::now() - asked_ >= kAskEvery) {
        holding_ = should_wait_ && should_wait_();
        asked_ = Clock::now();
        waiting_ = holding_ ? Wait::kBackOff : Wait::kNone;
      }
      if (!holding_) {
        return true;
      }
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kAskEvery, [] { return false; });
  }
  return false;
}

}  // namespace crossfade::snapshot
