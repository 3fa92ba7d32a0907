#include "tools/crossfade/signal_stop.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <ctime>

#include "tools/crossfade/commands.h"

namespace crossfade::tools {

SignalStop::SignalStop() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGTERM);
  sigaddset(&set_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  signal(SIGPIPE, SIG_IGN);
  thread_ = std::jthread([this](std::stop_token end) { Wait(end); });
}

void SignalStop::Wait(std::stop_token end) {
  while (!end.stop_requested()) {
    const timespec wait{0, 100'000'000};
    const int signal = sigtimedwait(&set_, nullptr, &wait);
    if (signal < 0) {
      continue;
    }
    if (stop_.stop_requested()) {
      ::_exit(kCouldNotTell);
    }
    spdlog::info("signal {}: stopping", signal);
    stop_.request_stop();
  }
}

}  // namespace crossfade::tools
