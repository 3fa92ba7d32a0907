// Shows a running copy on the board, and holds it back while its source suffers.
#pragma once

#include <thread>

#include "snapshot/limits.h"
#include "snapshot/progress.h"
#include "tools/crossfade/config.h"
#include "tools/crossfade/source_engine.h"
#include "tools/crossfade/status.h"

namespace crossfade::tools {

// Works from a thread of its own until it is destroyed. All given must outlive it.
// The copy pauses while a file named "pause" is in the state directory.
class CopyWatch {
 public:
  CopyWatch(const Config& config, SourceEngine* source, snapshot::CopyLimits* limits, snapshot::CopyProgress* progress,
            StatusBoard* board);
  ~CopyWatch();
  CopyWatch(const CopyWatch&) = delete;
  CopyWatch& operator=(const CopyWatch&) = delete;

 private:
  void Show();
  bool SourceSuffers() const;

  const Config& config_;
  SourceEngine* source_;
  snapshot::CopyLimits* limits_;
  snapshot::CopyProgress* progress_;
  StatusBoard* board_;
  uint64_t last_rows_ = 0;
  double rate_ = 0;
  std::chrono::steady_clock::time_point last_at_;
  std::jthread thread_;
};

}  // namespace crossfade::tools
