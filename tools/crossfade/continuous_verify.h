// The comparison that goes on beside a run.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "apply/route.h"
#include "core/error.h"
#include "core/position.h"
#include "snapshot/limits.h"
#include "snapshot/plan.h"
#include "snapshot/reader.h"
#include "state/journal.h"
#include "tools/crossfade/config.h"
#include "tools/crossfade/source_engine.h"
#include "tools/crossfade/status.h"
#include "verify/continuous.h"
#include "verify/pass_notes.h"

namespace crossfade::tools {

// Two threads, from construction to destruction: one compares rows that were changed, about every second; one makes
// passes over whole tables when they are due. They begin when the board says that the migration follows. Whatever goes
// wrong with them is told on the board and in the log, and tried again: it never stops the migration.
class ContinuousVerify {
 public:
  // All must outlive it.
  ContinuousVerify(const Config& config, const apply::RouteSet* routes, state::Journal* journal,
                   const PositionOrder* order, SourceEngine* source, StatusBoard* board);
  ~ContinuousVerify();
  ContinuousVerify(const ContinuousVerify&) = delete;
  ContinuousVerify& operator=(const ContinuousVerify&) = delete;

 private:
  void Touch(const std::stop_token& stop);
  Status TouchUntilError(const std::stop_token& stop);
  Status Prepare(const verify::Sides& sides);
  void Told(const verify::Round& round, int64_t began_us);
  void MakePasses(const std::stop_token& stop);
  struct Begun {
    snapshot::CopyPlan plan;
    std::unique_ptr<verify::PassNotes> notes;
    std::optional<verify::PassSoFar> so_far;  // of an earlier process
  };
  Result<Begun> BeginPass(verify::Pass* pass);
  Status MakePass(verify::Pass pass, const std::stop_token& stop);
  Result<snapshot::CopyPlan> PlanOf(const verify::Pass& pass);
  Result<verify::Sides> OpenSides() const;
  Status Store();
  void Show();
  void ShowProblem(const Error& error);

  const Config& config_;
  const apply::RouteSet* routes_;
  state::Journal* journal_;
  const PositionOrder* order_;
  SourceEngine* source_;
  StatusBoard* board_;
  snapshot::CopyLimits limits_;
  std::unique_ptr<snapshot::SnapshotSource> snapshots_;   // once made, for both threads
  std::unique_ptr<verify::ComparedTables> tables_;        // likewise
  std::unique_ptr<verify::ContinuousCheck> check_;        // likewise
  std::atomic<verify::ContinuousCheck*> ready_{nullptr};  // check_, when it can be used
  std::mutex store_mutex_;                                // a state is not overtaken by an older one
  std::jthread passes_;
  std::jthread touched_;
};

// What a continuous comparison has noted in the journal; none if there never was one.
Result<std::optional<verify::CheckState>> LoadCheckState(state::Journal* journal);

verify::ContinuousOptions ContinuousOptionsOf(const Config& config);

}  // namespace crossfade::tools
