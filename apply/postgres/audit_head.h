// The head of a migration's audit log, kept where who may write the log cannot: in crossfade.audit_head on the target.
#pragma once

#include <memory>
#include <optional>

#include "apply/postgres/pg_target.h"
#include "core/error.h"
#include "db/postgres/connection.h"
#include "state/audit_log.h"

namespace crossfade::apply {

// A short connection of its own. Not thread-safe.
class PgAuditHead {
 public:
  // Connects within a few seconds; no statement lasts longer. Makes nothing: the table is made with the helper schema.
  static Result<std::unique_ptr<PgAuditHead>> Open(const PgTargetOptions& options);

  // Nothing: the target knows none.
  Result<std::optional<state::AuditHead>> Read();
  // Never goes back: where a head of the same seq or a higher one stands it stays. Durable when it returns. False:
  // there is no helper schema (yet) to keep it in.
  Result<bool> Keep(const state::AuditHead& head);

 private:
  PgAuditHead(std::unique_ptr<postgres::Connection> connection, std::string migration)
      : connection_(std::move(connection)), migration_(std::move(migration)) {}
  Result<bool> HasTable();

  std::unique_ptr<postgres::Connection> connection_;
  const std::string migration_;
};

}  // namespace crossfade::apply
