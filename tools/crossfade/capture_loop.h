// Source to journal: group commit, confirmation, and the one retry loop of this stream.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "capture/source.h"
#include "core/error.h"
#include "state/journal.h"
#include "tools/crossfade/status.h"

namespace crossfade::tools {

class CaptureLoop {
 public:
  using OpenSource = std::function<Result<std::unique_ptr<capture::Source>>(std::vector<capture::LogMark>)>;

  // Whether a table of that name, new ones too, belongs to the migration.
  using ConcernsUs = std::function<bool(const std::string&)>;

  // All must outlive it. `fail_over_budget`: true while nothing drains the journal, when a full budget is an error
  // (CF1741) and not a wait. `applies`: false while apply waits for capture, which then must not wait for apply.
  CaptureLoop(state::Journal* journal, OpenSource open_source, ConcernsUs concerns_us,
              std::function<bool()> fail_over_budget, std::function<bool()> applies, StatusBoard* board);

  // Runs until it is stopped (no error) or meets an error that a retry cannot mend.
  Status Run(std::stop_token stop);

 private:
  Status Session(std::stop_token stop);
  Status Pump(capture::Source* source, std::stop_token stop);
  Status Take(const capture::Event& event);
  Status LoadLogs();
  Status KeepLog(const capture::Source& source);
  Status BeginWriting();
  void MarkUnsynced();
  Status End(const capture::TransactionEnd& end);
  Status SyncGroup(capture::Source* source);
  bool MustHold() const;
  Status HoldWhileOverBudget(std::stop_token stop);

  state::Journal* journal_;
  OpenSource open_source_;
  ConcernsUs concerns_us_;
  std::function<bool()> fail_over_budget_;
  std::function<bool()> applies_;
  StatusBoard* board_;
  bool in_transaction_ = false;  // on the source
  bool writing_ = false;         // in the journal
  bool has_unsynced_ = false;
  Deadline sync_by_{};
  Deadline check_budget_at_{};
  Position last_;                       // behind the last event that was taken whole
  std::vector<capture::LogMark> logs_;  // as the journal has them, the last one read last
  int64_t last_commit_us_ = 0;
  uint64_t transactions_ = 0;
  uint64_t reconnects_ = 0;
};

}  // namespace crossfade::tools
