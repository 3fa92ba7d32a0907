// The head of a migration's audit log, and where it was begun anew, kept where who may write the log cannot: in
// crossfade.audit_head and .audit_beginning on the target.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apply/postgres/pg_target.h"
#include "core/error.h"
#include "db/postgres/connection.h"
#include "state/audit_log.h"

namespace crossfade::apply {

// A short connection of its own. Not thread-safe.
class PgAuditHead {
 public:
  // Connects within a few seconds; no statement lasts longer. Makes nothing: the tables are made with the helper
  // schema.
  static Result<std::unique_ptr<PgAuditHead>> Open(const PgTargetOptions& options);

  // Nothing: the target knows none.
  Result<std::optional<state::AuditHead>> Read();
  // Never goes back: where a head of the same seq or a higher one stands it stays. Durable when it returns. False:
  // there is no helper schema (yet) to keep it in.
  Result<bool> Keep(const state::AuditHead& head);

  // The first records of logs that 'crossfade audit begin' made, or was about to: the latest ones, in order.
  Result<std::vector<state::AuditHead>> Beginnings();
  // Durable when it returns; makes the table in a helper schema that lacks it. False: there is no helper schema.
  Result<bool> KeepBeginning(const state::AuditHead& first);

 private:
  PgAuditHead(std::unique_ptr<postgres::Connection> connection, const PgTargetOptions& options)
      : connection_(std::move(connection)), migration_(options.migration), lock_timeout_ms_(options.lock_timeout_ms) {}
  Result<bool> HasTable(const std::string& name);

  std::unique_ptr<postgres::Connection> connection_;
  const std::string migration_;
  const uint32_t lock_timeout_ms_;
};

}  // namespace crossfade::apply
