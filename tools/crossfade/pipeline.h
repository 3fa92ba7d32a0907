// One run of one migration: capture, copy, keys, apply; from durable state, as often as need be.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "apply/route.h"
#include "apply/target.h"
#include "apply/window.h"
#include "core/error.h"
#include "snapshot/plan.h"
#include "state/journal.h"
#include "tools/crossfade/commands.h"
#include "tools/crossfade/config.h"
#include "tools/crossfade/retention_watch.h"
#include "tools/crossfade/source_engine.h"
#include "tools/crossfade/status.h"
#include "tools/crossfade/status_publisher.h"
#include "verify/own_transactions.h"

namespace crossfade::tools {

class ContinuousVerify;

// Where a run that ends by itself ends. `position` may still have to be found (caught up: when the copy is done).
struct Goal {
  bool caught_up = false;
  std::optional<Position> position;
  std::optional<Seq> seq;  // known once the journal contains `position`
};

// Not thread-safe; one Run in its life. All it starts has ended when Run returns.
class Pipeline {
 public:
  Pipeline(const Config& config, const RunOptions& options, StatusBoard* board);
  ~Pipeline();

  // No error: the goal is reached, or `stop` was asked for.
  Status Run(std::stop_token stop);

  // In place of copying and following: who writes to the target while nothing is applied. Capture goes on.
  struct AtRest {
    apply::Target* target = nullptr;
    state::Journal* journal = nullptr;
    std::stop_token stop;
  };
  using Work = std::function<Status(const AtRest&)>;
  // As Run, for a migration whose copy is complete: owns it while `work` is done.
  Status RunAtRest(std::stop_token stop, Work work);

 private:
  Status RunOwned();
  Status DoWork();
  Status TakeOwnership();
  Status OpenJournal();
  Status BeginMigration();
  // Until no XA transaction is prepared on the source; Config CF1722 if that takes too long.
  Result<Position> StartPosition(const std::vector<TableSchema>& schemas);
  Status WaitForPrepared();
  // --rebuild-journal: refuses, or leaves a state directory without a journal, or with one that is being rebuilt.
  Status ClearForRebuild();
  Status RefuseRebuild() const;
  Status BeginRebuilt();
  // Of a journal that is being rebuilt: fills it, and binds the target to it.
  Status FinishRebuilt();
  Status CompareIdentity(const apply::TargetState& state) const;
  Status LoadRoutes();
  void StartHeartbeat();
  void StartCapture();
  Result<std::unique_ptr<capture::Source>> OpenLog(std::vector<capture::LogMark> known);
  Status RefuseTakenIn(const std::vector<std::string>& names) const;
  void StartVerify();
  Status Copy();
  Status CopyOnce();
  // The readers of one state; none where the copy is to be chunked.
  Result<std::optional<snapshot::ConsistentReaders>> OpenReaders(snapshot::SnapshotSource* snapshots);
  // Brings a chunked copy into staging tables from now on.
  Status EnterStaging(std::vector<ChunkMark>* done);
  Status LeaveStaging();
  // The routes that copy and apply write to: the staging tables' while a copy is in them.
  const apply::RouteSet& ActiveRoutes() const;
  Status RefuseTriggers();
  Status ClearUnfinished(const snapshot::CopyPlan& plan, std::vector<ChunkMark>* done);
  Status Follow();
  Status FollowOnce();
  // A journal that lost its end captures it again, before apply goes on with it.
  Status Regain(const apply::TargetState& state);
  // In the thread of capture, which has ended with `error`, and what it has read before is right: waits until that is
  // applied, as long as it goes on. False if the run ended meanwhile, by its own result.
  bool AwaitApplied(const Error& error);
  Status BuildKeys();
  // Without `last`: until the goal, or a stop.
  Status ApplyUntil(const apply::Windows& windows, Seq from, std::optional<Seq> last);
  // Which transactions on the target are ours: kept for verify, once nothing but apply writes rows.
  Status OpenOwnTransactions();
  Status BuildStage(apply::SchemaStage stage, const std::string& fact);
  Status WaitCaptured(const std::vector<Position>& positions);
  Status WaitUntilCaptured(const std::vector<Position>& positions);
  Result<bool> GoalReached(Seq applied);
  bool HasFact(const std::string& fact) const;
  Status AddFact(const std::string& fact);
  // Keeps the first fatal error and stops everything.
  void Fatal(const Error& error);
  // Runs `step` again after errors that a retry can mend, with pauses.
  Status Retry(const std::string& what, const std::function<Status()>& step);

  const Config& config_;
  RunOptions options_;
  StatusBoard* board_;
  std::stop_source halt_;
  std::unique_ptr<SourceEngine> source_;
  std::unique_ptr<apply::Target> target_;
  std::unique_ptr<state::Journal> journal_;
  std::unique_ptr<PositionOrder> order_;
  apply::TargetState target_state_;
  std::vector<TableSchema> schemas_;
  apply::RouteSet routes_;
  apply::RouteSet staged_routes_;
  Goal goal_;
  Work work_;  // empty: copy and follow
  std::atomic<bool> copying_{false};
  std::atomic<bool> waiting_captured_{false};
  std::atomic<bool> windows_open_{true};
  bool names_compared_ = false;  // of capture's thread
  std::unique_ptr<StatusPublisher> publisher_;
  std::unique_ptr<RetentionWatch> retention_watch_;
  std::unique_ptr<ContinuousVerify> continuous_verify_;
  std::unique_ptr<verify::OwnTransactions> own_transactions_;
  std::jthread heartbeat_;
  std::jthread capture_;
  std::mutex fatal_mutex_;
  std::optional<Error> fatal_;  // guarded by fatal_mutex_
};

// All chunks were read from one state: low = high everywhere, at one Position.
bool AreOnePosition(const std::vector<ChunkMark>& marks);

// The fact that apply has passed the windows of all chunks, for good.
inline constexpr const char* kWindowsPassedFact = "windows_passed";

// Where --rebuild-journal puts the journal that it found, in the state directory.
inline constexpr const char* kDamagedJournal = "journal.damaged";

// Corrupt CF1765 if the journal gives what the target has applied another number: it is not the one it was. The journal
// must have captured that far.
Status MatchesProgress(state::Journal* journal, const PositionOrder& order, const apply::Progress& progress);

// Says in `error`, if it is one that a new journal mends, how to have one.
void AdviseRebuild(const std::string& config, Error* error);

// The run record in the journal: what the tables looked like when the migration began.
Status SaveSchemas(state::Journal* journal, const std::vector<TableSchema>& schemas);
Result<std::vector<TableSchema>> LoadSchemas(state::Journal* journal);

}  // namespace crossfade::tools
