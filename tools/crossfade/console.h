// Progress for a person: bars on a terminal, a line now and then elsewhere.
#pragma once

#include <stop_token>
#include <thread>

#include "tools/crossfade/status.h"

namespace crossfade::tools {

enum class ConsoleMode : uint8_t { kAuto, kLines, kNone };

// Prints to standard output from a thread of its own until it is destroyed.
class Console {
 public:
  Console(StatusBoard* board, ConsoleMode mode);
  ~Console();

 private:
  void RunBars(std::stop_token stop);
  void RunLines(std::stop_token stop);

  StatusBoard* board_;
  std::jthread thread_;
};

}  // namespace crossfade::tools
