#include "apply/postgres/audit_head.h"

#include <cstdlib>

#include "core/failpoint.h"

namespace crossfade::apply {

namespace {

constexpr uint32_t kConnectTimeoutS = 5;

}  // namespace

Result<std::unique_ptr<PgAuditHead>> PgAuditHead::Open(const PgTargetOptions& options) {
  postgres::ConnectionOptions connection_options = options.connection;
  connection_options.connect_timeout_s = kConnectTimeoutS;
  CROSSFADE_ASSIGN(auto connection, postgres::Connection::Open(connection_options));
  CROSSFADE_TRY(
      connection->Execute("SET statement_timeout = '5s'; SELECT set_config('synchronous_commit', 'on', false)"
                          " WHERE current_setting('synchronous_commit') = 'off'"));
  return std::unique_ptr<PgAuditHead>(new PgAuditHead(std::move(connection), options.migration));
}

Result<bool> PgAuditHead::HasTable() {
  CROSSFADE_ASSIGN(const auto table, connection_->Scalar("SELECT to_regclass('crossfade.audit_head')::text"));
  return table.has_value();
}

Result<std::optional<state::AuditHead>> PgAuditHead::Read() {
  CROSSFADE_ASSIGN(const bool has_table, HasTable());
  if (!has_table) {
    return std::optional<state::AuditHead>();
  }
  CROSSFADE_ASSIGN(const postgres::ResultSet set,
                   connection_->Query("SELECT seq, hash FROM crossfade.audit_head WHERE migration = $1", {migration_}));
  if (set.rows.empty()) {
    return std::optional<state::AuditHead>();
  }
  return std::optional(
      state::AuditHead{std::strtoull(set.rows[0][0].value_or("0").c_str(), nullptr, 10), set.rows[0][1].value_or("")});
}

Result<bool> PgAuditHead::Keep(const state::AuditHead& head) {
  CROSSFADE_ASSIGN(const bool has_table, HasTable());
  if (!has_table) {
    return false;
  }
  CROSSFADE_FAILPOINT("audit.head.before");
  CROSSFADE_TRY(
      connection_->Query("INSERT INTO crossfade.audit_head AS kept (migration, seq, hash) VALUES ($1, $2::bigint, $3)"
                         " ON CONFLICT (migration) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,"
                         " at = clock_timestamp() WHERE kept.seq < excluded.seq",
                         {migration_, std::to_string(head.seq), head.hash}));
  CROSSFADE_FAILPOINT("audit.head.after");
  return true;
}

}  // namespace crossfade::apply
