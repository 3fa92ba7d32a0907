// SIGTERM and SIGINT as a stop request; a second one ends the process at once.
#pragma once

#include <signal.h>

#include <stop_token>
#include <thread>

namespace crossfade::tools {

// To be made before any other thread: these inherit that the signals are blocked.
class SignalStop {
 public:
  SignalStop();
  std::stop_token token() const { return stop_.get_token(); }

 private:
  void Wait(std::stop_token end);

  sigset_t set_{};
  std::stop_source stop_;
  std::jthread thread_;
};

}  // namespace crossfade::tools
