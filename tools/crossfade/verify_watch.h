// Shows a comparison's progress, and holds it back while its source suffers.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "snapshot/limits.h"
#include "tools/crossfade/config.h"
#include "tools/crossfade/console.h"
#include "tools/crossfade/source_engine.h"
#include "verify/verifier.h"

namespace crossfade::tools {

// Works from a thread of its own until it is destroyed; prints to standard error. All given must outlive it. `within`
// is the rate at which a chunk is read; `between` holds back the next ones, and so waits without a snapshot. The
// comparison pauses while a file named "pause" is in the state directory, as the copy does.
class VerifyWatch {
 public:
  VerifyWatch(const Config& config, SourceEngine* source, snapshot::CopyLimits* within, snapshot::CopyLimits* between,
              const verify::Verifier* verifier, ConsoleMode mode);
  ~VerifyWatch();
  VerifyWatch(const VerifyWatch&) = delete;
  VerifyWatch& operator=(const VerifyWatch&) = delete;

 private:
  enum class Form : uint8_t { kNone, kBars, kLines };
  void Watch(const std::stop_token& stop);
  bool SourceSuffers();
  void Measure(uint64_t rows);
  std::string Line(const verify::PassProgress& progress) const;

  const Config& config_;
  SourceEngine* source_;
  snapshot::CopyLimits* within_;
  snapshot::CopyLimits* between_;
  const verify::Verifier* verifier_;
  Form form_ = Form::kNone;
  std::atomic<bool> warned_{false};
  uint64_t last_rows_ = 0;
  double rate_ = 0;
  std::chrono::steady_clock::time_point last_at_;
  std::jthread thread_;
};

}  // namespace crossfade::tools
