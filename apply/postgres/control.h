// What a migration keeps about itself in the target: the schema "crossfade".
//
//   migration   one row per migration: the epoch that fences every transaction, the journal, the stages done
//   heartbeat   who runs it. A row of its own: transactions hold the migration's row with FOR SHARE, and an update of
//   it
//               would wait for them
//   progress    one row per worker; worker -1 is the mark of transactions that are no worker's (DDL, clearing)
//   chunk       chunks that are in, with their windows
//   object      tables, columns, indexes and constraints that migrations use or made
//   divergence  rows that were not as they should have been
//   audit_head  the last record of each audit log; audit_beginning: the first of each begun anew; stay after an abort
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>

#include "apply/target.h"
#include "core/error.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

// Key of the advisory lock under which all DDL of all migrations on one target database runs.
inline constexpr int64_t kDdlLock = 0x63726f737366;

// Who writes: a migration in one epoch of it.
struct Fence {
  std::string migration;
  uint64_t epoch = 0;
};

// First statement of every transaction that has no other mark: takes the fence and changes the mark. Parameters:
// migration, epoch. Gives one row; none when a higher epoch has taken over.
inline constexpr const char* kFenceSql =
    "WITH fence AS (SELECT 1 FROM crossfade.migration WHERE name = $1 AND epoch = $2::bigint FOR SHARE)"
    " UPDATE crossfade.progress p SET counter = p.counter + 1, epoch = $2::bigint FROM fence"
    " WHERE p.migration = $1 AND p.worker = -1 RETURNING 1";

// Corrupt CF1502.
tl::unexpected<Error> Superseded(const Fence& fence);

// Bytes as text parameter or literal of type bytea, and back from bytea_output = hex.
std::string ToByteaText(std::string_view bytes);
Result<std::string> FromByteaText(std::string_view text);

// Tries for the DDL lock until `timeout_ms` have passed: Transient CF1505. Never waits inside a statement: a waiting
// statement has a snapshot, for which CREATE INDEX CONCURRENTLY of the lock's holder would wait in turn.
Status LockDdl(postgres::Connection* connection, uint32_t timeout_ms);
void UnlockDdl(postgres::Connection* connection);

// Makes the helper schema if it is not there. Config CF1506 if a newer program made it.
Status MakeControl(postgres::Connection* connection, uint32_t timeout_ms);

struct TakeOverRequest {
  std::string migration;
  std::string tenant;
  Owner owner;
  bool force = false;
  uint32_t grace_ms = 3000;
};

// See Target::TakeOver. Transient CF1504 when stopped.
Result<TargetState> TakeOverMigration(postgres::Connection* connection, const TakeOverRequest& request,
                                      std::stop_token stop);
Status BeatHeart(postgres::Connection* connection, const Fence& fence);
Status ReleaseMigration(postgres::Connection* connection, const Fence& fence);

// Waits for the transactions of this migration's workers that are still under way.
Result<TargetState> ReadMigration(postgres::Connection* connection, const Fence& fence);
// The same without any lock, for who only reads: one state if a transaction of one is open. Empty (no journal) where
// the target knows nothing of the migration.
Result<TargetState> LookAtMigration(postgres::Connection* connection, const std::string& migration);
Result<std::vector<Progress>> LookAtProgress(postgres::Connection* connection, const std::string& migration);
// Also renames the journal in the rows of progress: a journal made anew starts above every Seq in them.
Status BindMigration(postgres::Connection* connection, const Fence& fence, const std::string& journal_id,
                     const std::string& instead_of);
Status AddFact(postgres::Connection* connection, const Fence& fence, const std::string& fact);

}  // namespace crossfade::apply
