// What the operator sees: one board that the pipeline writes and everybody else reads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"

namespace crossfade::tools {

// Derived from durable facts; never stored.
enum class Phase : uint8_t { kStarting, kCopying, kBuildingKeys, kCatchingUp, kFollowing, kStopped, kFailed };
std::string PhaseName(Phase phase);

struct PhaseChange {
  int64_t at_us = 0;
  Phase phase = Phase::kStarting;
  std::string code;  // of the error, for kFailed
};

struct TableStatus {
  uint64_t rows_done = 0;
  uint64_t rows_estimated = 0;
  uint32_t chunks_done = 0;
  uint32_t chunks = 0;
};

// Everything at one moment. Plain data.
struct StatusReport {
  std::string name;
  std::string tenant;
  int64_t pid = 0;
  std::string host;
  std::string version;
  int64_t at_us = 0;
  int64_t started_us = 0;
  Phase phase = Phase::kStarting;
  uint64_t epoch = 0;
  std::string http;  // address of /status, empty: none

  std::map<std::string, TableStatus> tables;
  uint64_t copy_rows_per_second = 0;
  int64_t copy_eta_s = -1;  // unknown below 0
  uint64_t chunks_read_again = 0;
  bool paused = false;
  std::string copy_waits_for;  // why the copy holds back, empty: it does not

  Position captured;
  Seq captured_seq;
  uint64_t captured_transactions = 0;
  uint64_t capture_reconnects = 0;
  Position applied;
  Seq applied_seq;
  uint64_t applied_transactions = 0;
  uint64_t applied_rows = 0;
  uint64_t divergences = 0;
  int64_t lag_ms = -1;          // source commit (or heartbeat) to applied; unknown below 0
  int64_t lag_capture_ms = -1;  // source commit to synced in the journal
  int64_t lag_apply_ms = -1;    // synced in the journal to applied

  uint64_t journal_bytes = 0;
  uint64_t journal_budget_bytes = 0;
  bool journal_over_budget = false;
  std::vector<std::pair<std::string, uint64_t>> pins;
  int64_t retention_kept_s = -1;  // how long the source keeps a closed log file; -1: for ever, or not known
  int64_t retention_left_s = -1;  // until it may purge what is not captured; -1: nothing of that is closed
  // [verify] continuous.
  struct Verify {
    bool on = false;
    int64_t full_began_us = 0;  // of the last full pass that counts; 0: none has ended
    int64_t full_ended_us = 0;
    uint64_t full_rows = 0;
    std::string full_result;  // equal, different or undecided, when it ended
    std::string doing;        // the pass that is under way
    Seq checked_seq;          // touched rows are compared up to it
    uint64_t behind = 0;      // transactions that were applied beyond
    int64_t checked_us = 0;   // all that was applied by then is compared; 0: nothing yet
    uint64_t open = 0;        // rows that differ
    uint64_t undecided = 0;
    std::vector<std::string> waiting;  // tables that must be compared as a whole
    std::string problem;
  } verify;
  std::vector<std::string> warnings;  // standing ones: retention at risk, budget, ...
  std::optional<Error> last_error;
  int64_t last_error_us = 0;
};

// Who keeps changes of phase.
enum class PhaseReader : uint8_t { kHistory, kAudit };

using PhaseRecorder = std::function<void(const std::vector<PhaseChange>&)>;

// Thread-safe.
class StatusBoard {
 public:
  template <typename Change>
  void Update(Change change) {
    const std::lock_guard lock(mutex_);
    const Phase before = report_.phase;
    change(&report_);
    if (report_.phase != before) {
      NoteChange();
    }
  }
  StatusReport Read() const {
    const std::lock_guard lock(mutex_);
    return report_;
  }
  // The same for somebody outside of this process: a phase is recorded before it is shown, so that what an operator
  // does when seeing it stands behind it in the record. May write to the disk.
  StatusReport Show();
  // Who records: called by Show(), by one thread at a time, and never again once this has been called with nothing.
  void RecordPhasesWith(PhaseRecorder recorder);
  void SetPhase(Phase phase);
  void SetError(const Error& error);
  // The changes of phase since the last call of this reader, the latest ones if they were very many.
  std::vector<PhaseChange> TakePhaseChanges(PhaseReader reader);

 private:
  void NoteChange();

  mutable std::mutex mutex_;
  StatusReport report_;                              // guarded by mutex_
  std::mutex recording_;                             // taken before mutex_
  PhaseRecorder recorder_;                           // guarded by recording_
  std::array<std::vector<PhaseChange>, 2> changes_;  // by reader; guarded by mutex_
};

std::string StatusJson(const StatusReport& report);
Result<StatusReport> ParseStatusJson(const std::string& json);
// For people; several lines.
std::string StatusText(const StatusReport& report, bool alive);
// The Prometheus text format.
std::string StatusMetrics(const StatusReport& report);

// The board's file in the state directory, replaced whole.
std::string StatusPath(const std::string& state_dir);
Status WriteStatusFile(const std::string& state_dir, const StatusReport& report);
Result<StatusReport> ReadStatusFile(const std::string& state_dir);

}  // namespace crossfade::tools
