// What the figures of a migration were over days, in a file of bounded size: for reports. No promise rests on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "tools/crossfade/status.h"

namespace crossfade::tools {

// The figures at one moment, and the largest lags since the sample before. Lags below 0 are not known.
struct HistorySample {
  int64_t at_us = 0;
  Phase phase = Phase::kStarting;
  struct Lag {
    int64_t look_ms = -1;  // at `at_us`
    int64_t max_ms = -1;
  };
  Lag total;    // source commit to applied
  Lag capture;  // source commit to journal
  Lag apply;    // journal to target
  uint64_t rows_copied = 0;
  uint64_t captured_seq = 0;
  uint64_t applied_seq = 0;
  uint64_t applied_rows = 0;  // since the process began
  uint64_t journal_bytes = 0;
};

// When a process entered a phase. Each process begins with kStarting.
struct HistoryPhase {
  int64_t at_us = 0;
  Phase phase = Phase::kStarting;
  int64_t pid = 0;
  std::string version;
  std::string code;  // of the error, for kFailed
};

struct History {
  int64_t step_us = 0;                 // about between two samples, while a process runs
  std::vector<HistorySample> samples;  // by time
  std::vector<HistoryPhase> phases;
};

struct HistoryLimits {
  int64_t step_us = 1'000'000;  // at first
  size_t max_samples = 16'384;  // when there are as many, half of them go, all over the time, and the step doubles
  size_t max_phases = 2'000;    // the first and the latest are kept
};

std::string HistoryPath(const std::string& state_dir);

// Lines that are none (torn by a crash) are left out. No error if there is no history yet; Transient CF1812 if it
// cannot be read.
Result<History> ReadHistory(const std::string& state_dir);

// Appends. One thread, one writer for a state directory: whoever owns the journal. Nothing is synced.
class HistoryWriter {
 public:
  explicit HistoryWriter(std::string state_dir, const HistoryLimits& limits = {});
  ~HistoryWriter();
  HistoryWriter(const HistoryWriter&) = delete;
  HistoryWriter& operator=(const HistoryWriter&) = delete;

  // To be told several times a second, and once after the end; writes what is due. Transient CF1813: nothing is lost
  // but history.
  Status Note(const StatusReport& report, const std::vector<PhaseChange>& changes);

 private:
  Status Open();
  Status Begin(const StatusReport& report);
  void Look(const StatusReport& report);
  Status Flush();
  Status Append(const std::string& line);
  bool IsFull() const;
  Status Thin();

  const std::string state_dir_;
  const HistoryLimits limits_;
  int fd_ = -1;
  bool begun_ = false;
  bool torn_ = false;  // the file does not end with a whole line
  int64_t step_us_ = 0;
  size_t samples_ = 0;
  size_t phases_ = 0;
  bool pending_ = false;
  HistorySample next_;  // what the looks since the last sample saw
  int64_t written_us_ = 0;
  int64_t thin_after_us_ = 0;  // after one that failed
};

}  // namespace crossfade::tools
