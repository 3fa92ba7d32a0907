// How hard a copy may press on the source and the target; changed while it runs.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stop_token>

namespace crossfade::snapshot {

// Shared by all readers of a copy. Thread-safe.
class CopyLimits {
 public:
  // All readers together; 0: no limit.
  void SetRowsPerSecond(uint64_t rows_per_second);
  void SetPaused(bool paused);
  // Asked between rows, at most every half second and never by two threads at once; while it answers true the copy
  // waits. It may take its time, but not for ever.
  void SetBackOff(std::function<bool()> should_wait);

  // `rows` were read: waits as long as the limits want it. False as soon as a stop is asked for.
  bool Admit(uint64_t rows, const std::stop_token& stop);
  // How many rows a reader may go on for before it asks again.
  uint32_t step() const { return step_.load(std::memory_order_relaxed); }

  enum class Wait : uint8_t { kNone, kPaused, kBackOff, kRate };
  // Why a reader waits just now.
  Wait waiting() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  bool AskBackOff(const std::stop_token& stop);
  bool WaitForTurn(uint64_t rows, const std::stop_token& stop, bool* was_paused);
  void Refill(Clock::time_point now);

  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool paused_ = false;           // mutex_
  double rate_ = 0;               // mutex_; rows per second
  double tokens_ = 0;             // mutex_; below zero: rows read ahead of the rate
  Clock::time_point refilled_{};  // mutex_
  std::atomic<uint32_t> step_{1024};
  std::atomic<Wait> waiting_{Wait::kNone};

  std::mutex back_off_mutex_;
  std::function<bool()> should_wait_;  // back_off_mutex_
  Clock::time_point asked_{};          // back_off_mutex_
  bool holding_ = false;               // back_off_mutex_
  std::atomic<bool> has_back_off_{false};
};

}  // namespace crossfade::snapshot
