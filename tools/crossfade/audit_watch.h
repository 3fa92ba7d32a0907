// Keeps the audit log of a run: its phases, and the log's head on the target.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tools/crossfade/config.h"
#include "tools/crossfade/status.h"

namespace crossfade::tools {

// Records each change of phase on the board until it is destroyed, and then what is left of them. Tells the target of
// the head as soon as it can be reached; a target that cannot be stops nobody.
class AuditWatch {
 public:
  // `on_failure` is called once, from a thread of its own, when a record cannot be written.
  AuditWatch(const Config* config, StatusBoard* board, std::function<void()> on_failure);
  ~AuditWatch();
  AuditWatch(const AuditWatch&) = delete;
  AuditWatch& operator=(const AuditWatch&) = delete;

  // Records what is left, and ends. Why a record could not be written, if one could not.
  Status Finish();

 private:
  void Work(const std::stop_token& stop);
  uint64_t Recorded();
  void RecordPhases(const std::vector<PhaseChange>& changes);
  // Whether another attempt is due, later.
  bool TellTarget();

  const Config* config_;
  StatusBoard* board_;
  const std::function<void()> on_failure_;
  std::mutex mutex_;
  uint64_t recorded_ = 1;  // guarded by mutex_; seq of the last record known here; at first: there is one, of the start
  std::optional<Error> failure_;  // guarded by mutex_
  uint64_t told_ = 0;
  std::string told_of_;  // the last failure, so that each is logged once
  std::jthread thread_;  // the only one to use told_ and told_of_, until it has ended
};

}  // namespace crossfade::tools
