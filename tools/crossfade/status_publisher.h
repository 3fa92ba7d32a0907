// Keeps the status file and the history of a state directory we own up to date.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "tools/crossfade/history.h"
#include "tools/crossfade/status.h"

namespace crossfade::tools {

// Writes the board's file several times a second, until it is destroyed; then once more.
class StatusPublisher {
 public:
  StatusPublisher(std::string state_dir, StatusBoard* board, std::function<void()> refresh);
  ~StatusPublisher();
  StatusPublisher(const StatusPublisher&) = delete;
  StatusPublisher& operator=(const StatusPublisher&) = delete;

 private:
  void Publish();

  std::string state_dir_;
  StatusBoard* board_;
  HistoryWriter history_;
  bool history_warned_ = false;
  std::function<void()> refresh_;  // called before each write, to bring slow figures up to date
  std::jthread thread_;
};

}  // namespace crossfade::tools
