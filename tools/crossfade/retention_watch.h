// Says in good time that the source is about to purge what is not captured yet.
#pragma once

#include <functional>
#include <thread>

#include "core/position.h"
#include "tools/crossfade/source_engine.h"
#include "tools/crossfade/status.h"

namespace crossfade::tools {

// A thread of its own, from construction to destruction. Asks the source about once a minute, more often where it
// keeps its log for less than half an hour; what it finds is a standing warning on the board, and in the log when it
// begins and ends.
class RetentionWatch {
 public:
  // All must outlive it. `needed`: where capture would begin again.
  RetentionWatch(SourceEngine* source, StatusBoard* board, std::function<Position()> needed);

 private:
  void Run(std::stop_token stop);

  SourceEngine* source_;
  StatusBoard* board_;
  std::function<Position()> needed_;
  std::jthread thread_;
};

// The standing warning of a migration that is not run: that its source may have purged its log by now. Empty: no
// danger.
std::string RetentionOfStopped(const StatusReport& report, int64_t now_us);

}  // namespace crossfade::tools
