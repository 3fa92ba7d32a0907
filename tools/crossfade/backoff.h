// Pauses between tries of a stream's retry loop.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

#include "core/error.h"

namespace crossfade::tools {

// Transient, Reconnect and InDoubt: begin again from durable progress. All others need a person.
inline bool IsRetriable(const Error& error) {
  return error.error_class == ErrorClass::kTransient || error.error_class == ErrorClass::kReconnect ||
         error.error_class == ErrorClass::kInDoubt;
}

// Waits until the time has passed or a stop is asked for.
inline void SleepFor(std::chrono::milliseconds duration, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any wakes;
  std::unique_lock lock(mutex);
  wakes.wait_for(lock, stop, duration, [] { return false; });
}

class Backoff {
 public:
  std::chrono::milliseconds next() const { return next_; }
  void Reset() { next_ = kFirst; }
  void Wait(std::stop_token stop) {
    SleepFor(next_, stop);
    next_ = std::min(next_ * 2, kLongest);
  }

 private:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLongest{5000};
  std::chrono::milliseconds next_ = kFirst;
};

}  // namespace crossfade::tools
