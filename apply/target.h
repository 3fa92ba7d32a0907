// The database that a migration fills. Progress and data commit together; every transaction is fenced by the epoch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "apply/route.h"
#include "core/change.h"
#include "core/chunk.h"
#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"

namespace crossfade::apply {

// Who runs a migration, as another process is told.
struct Owner {
  std::string host;
  int64_t pid = 0;
  std::string program;  // "crossfade 0.1.0"
};

// One worker's row of progress.
struct Progress {
  uint32_t worker = 0;
  std::string journal_id;
  Seq low;  // all up to it is applied
  Position position;
  int64_t commit_time_us = 0;
  struct Applied {
    Seq seq;
    Position position;
  };
  std::vector<Applied> above;  // applied beyond `low`
};

// What stands durably on the target about this migration.
struct TargetState {
  uint64_t epoch = 0;
  std::string journal_id;  // empty: never begun
  std::vector<Progress> progress;
  std::vector<ChunkMark> chunks;
  std::vector<std::string> facts;  // stages done: "tables", "copied", "keys", "analyzed"
};

// One net change of one row. Images borrow from whoever made the batch.
struct RowChange {
  std::span<const Value> before;  // empty for inserts
  std::span<const Value> after;   // empty for deletes
  Seq seq;
};

enum class StepKind : uint8_t {
  kInsert,         // every row must be new
  kUpdate,         // every row must be there; found by the identity in `before`
  kDelete,         // every row must be there
  kUpsert,         // by primary key: insert, or make equal to `after` (chunk windows, repair)
  kUpdateIfThere,  // (chunk windows)
  kDeleteIfThere,
  kTruncate,  // all of this tenant's rows, without actions
};

// Rows of one table and kind that may be written by one statement, in any order among themselves; of a table whose
// identity is the whole row, in this order.
struct Step {
  const Route* route = nullptr;
  StepKind kind = StepKind::kInsert;
  bool without_actions = false;  // the source neither checked nor cascaded (hazard H9)
  std::vector<RowChange> rows;
  std::vector<ChunkRange> ranges;  // kTruncate: only these; empty: all
};

// A change that did not meet the row it was made for, and what was done about it. Kept on the target.
struct Divergence {
  Seq seq;
  Position position;
  std::string table;  // source name
  std::string kind;   // "insert", "update", "delete"
  std::string key;    // for people, as are the images
  std::string before;
  std::string after;
  std::string action;  // "repaired", "skipped"
  std::string reason;
};

// One target transaction.
struct Batch {
  std::vector<Step> steps;  // in this order
  Progress progress;        // what holds once it is committed
  std::vector<Divergence> divergences;
};

struct CommitResult {
  enum class Outcome : uint8_t {
    kCommitted,
    kRejected,  // rolled back: step `step` met a constraint, has a value that the target cannot hold, or touched
                // another number of rows than it has
  };
  Outcome outcome = Outcome::kCommitted;
  size_t step = 0;             // index into the steps of the call that was rejected; past the last: found at COMMIT
  uint64_t affected = 0;       // rows that the step touched, when that is what was wrong
  std::optional<Error> error;  // when a constraint was met, or a value cannot be held
  // kRejected for numbers of rows alone: every step of the call that touched another number than it has.
  std::vector<size_t> wrong_steps;
  // kCommitted: on the disk of the target, with everything committed before; else a crash there may undo it.
  bool durable = true;
  // kCommitted: the target's number of it (row_reader.h); 0: it has none.
  uint32_t transaction = 0;
};

// What to look for when rows were written, so that no foreign key of the target is broken unseen.
struct OrphanSearch {
  // True: `rows` as they were before they went or changed, to which rows of any table may still refer. False: rows as
  // they were written, whose own parents may not be there.
  bool referred = true;
  // The target's keys did not act: what cannot be looked at counts as an orphan. Else they judge it at COMMIT.
  bool unchecked = false;
  std::span<const std::string_view> rows;  // fields (row_reader.h)
};

// One worker's connection. One thread, but for Cancel.
class ApplySession {
 public:
  virtual ~ApplySession() = default;
  // All of the batch and its progress, or nothing. InDoubt when the connection was lost during COMMIT; Corrupt CF1502
  // when a higher epoch has taken over (nothing was committed).
  virtual Result<CommitResult> Commit(const Batch& batch) = 0;
  // The same in pieces, for a transaction larger than memory: Begin, then Write for any number of pieces, then Finish.
  // After an error or kRejected the transaction is rolled back; Begin starts the next one.
  virtual Status Begin(const Progress& progress) = 0;
  virtual Result<CommitResult> Write(const std::vector<Step>& steps) = 0;
  virtual Result<CommitResult> Finish(const std::vector<Divergence>& divergences) = 0;
  // Within what Begin opened: this tenant's rows with these keys, as fields (row_reader.h), locked until the end. Not
  // for routes whose identity is the whole row.
  using RowSink = std::function<Status(std::string_view fields)>;
  virtual Status LockRows(const Route& route, std::span<const std::string> keys, const RowSink& sink) = 0;
  // Behind the last Write, before Finish: the rows that a foreign key of the target refers to, or that refer, and whose
  // parent is not there by now; `row` is the place in the search.
  using OrphanSink = std::function<Status(size_t row, const std::string& reason)>;
  virtual Status FindOrphans(const Route& route, const OrphanSearch& search, const OrphanSink& sink) = 0;
  // From any thread: cancels what runs, which then fails with Transient.
  virtual void Cancel() = 0;
};

// Loads chunks. One thread, but for Cancel.
class ChunkLoader {
 public:
  virtual ~ChunkLoader() = default;
  // Starts the chunk's transaction: epoch check and mark first. `replace`: delete this tenant's rows of the range
  // before.
  virtual Status Begin(const Route& route, const ChunkMark& mark, bool replace) = 0;
  // One row: one Value per source column; borrowed during the call.
  virtual Status Add(std::span<const Value> row) = 0;
  // `mark` with its final window and row count. Durable when it returns; InDoubt when the connection was lost.
  virtual Status Commit(const ChunkMark& mark) = 0;
  virtual void Rollback() = 0;
  virtual void Cancel() = 0;
};

// Something a person should know, or must mend, before the copy starts.
struct Finding {
  bool blocks = false;
  std::string code;
  std::string object;
  std::string found;
  std::string meaning;
  std::string fix;
};

// Stages of the target's schema, each idempotent, each under the target's one DDL lock, each fenced.
enum class SchemaStage : uint8_t {
  kTables,             // tables with primary keys
  kActionForeignKeys,  // only the foreign keys with an action, and what indexes they need: constraints inside copy
                       // groups
  kKeys,               // secondary indexes and unique keys
  kForeignKeys,        // all that are left: added and validated
  kIdentity,           // identity values behind the largest id
  kAnalyze,
};

// One migration's place on one target. Thread-safe.
class Target {
 public:
  virtual ~Target() = default;

  // Becomes the owner, with a higher epoch: waits for transactions of an earlier one that are still under way, and
  // reads the state under that lock. Config CF1501, naming the owner, if one lives (its heartbeat moved while we
  // looked) and `force` is false.
  virtual Result<TargetState> TakeOver(const Owner& owner, bool force, std::stop_token stop) = 0;
  // Shows that the owner lives. Every second. Corrupt CF1502 when superseded.
  virtual Status Heartbeat() = 0;
  // Gives ownership back, so that the next TakeOver need not wait.
  virtual void Release() = 0;

  // Progress and facts, read under row locks.
  virtual Result<TargetState> ReadState() = 0;
  // From `instead_of`, empty for the first one, to `journal_id`, in one step. Corrupt CF1558 if the target follows
  // another one by now.
  virtual Status BindJournal(const std::string& journal_id, const std::string& instead_of) = 0;
  virtual Status SetFact(const std::string& fact) = 0;

  // What would be made, and what stands in the way.
  virtual Result<std::vector<Finding>> PlanSchema(const RouteSet& routes) = 0;
  // Before kKeys was built: whether other tenants' keys stand on the tables. Then the copy must have one state, or go
  // by staging tables: there is no time at which apply could pass a chunk's window without the keys.
  virtual Result<bool> KeysStand(const RouteSet& routes) = 0;
  virtual Status BuildSchema(const RouteSet& routes, SchemaStage stage, std::stop_token stop) = 0;
  // Whether something on the target would act on rows that are applied.
  virtual Result<std::vector<Finding>> FindTriggers(const RouteSet& routes) = 0;

  // A chunked copy that cannot be loaded under standing keys goes into tables of its own first: routes with this target
  // schema. When all windows are closed its rows move over, once and in one transaction, and the tables are dropped.
  virtual std::string StagingSchema() const = 0;
  virtual Status MoveStaged(const RouteSet& staged, const RouteSet& routes, std::stop_token stop) = 0;
  virtual Status DropStaging() = 0;

  virtual Result<std::unique_ptr<ChunkLoader>> OpenLoader() = 0;
  virtual Result<std::unique_ptr<ApplySession>> OpenSession(uint32_t worker) = 0;

  // Deletes this tenant's rows of one table, and its chunk marks, in one transaction.
  virtual Status ClearTable(const Route& route) = 0;
  // Undoes the migration: this tenant's rows, helper rows, tables nobody else uses.
  virtual Status Abort(const RouteSet& routes) = 0;
};

}  // namespace crossfade::apply
