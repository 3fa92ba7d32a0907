#include "apply/postgres/audit_head.h"

#include <cstdlib>

#include "apply/postgres/control.h"
#include "core/failpoint.h"

namespace crossfade::apply {

namespace {

constexpr uint32_t kConnectTimeoutS = 5;

state::AuditHead HeadOf(const std::vector<std::optional<std::string>>& row) {
  return {std::strtoull(row[0].value_or("0").c_str(), nullptr, 10), row[1].value_or("")};
}

}  // namespace

Result<std::unique_ptr<PgAuditHead>> PgAuditHead::Open(const PgTargetOptions& options) {
  postgres::ConnectionOptions connection_options = options.connection;
  connection_options.connect_timeout_s = kConnectTimeoutS;
  CROSSFADE_ASSIGN(auto connection, postgres::Connection::Open(connection_options));
  CROSSFADE_TRY(connection->Execute("SET statement_timeout = '5s'"));
  CROSSFADE_TRY(connection->CommitDurably());
  return std::unique_ptr<PgAuditHead>(new PgAuditHead(std::move(connection), options));
}

Result<bool> PgAuditHead::HasTable(const std::string& name) {
  CROSSFADE_ASSIGN(const auto table,
                   connection_->Scalar(fmt::format("SELECT to_regclass('crossfade.{}')::text", name)));
  return table.has_value();
}

Result<std::optional<state::AuditHead>> PgAuditHead::Read() {
  CROSSFADE_ASSIGN(const bool has_table, HasTable("audit_head"));
  if (!has_table) {
    return std::optional<state::AuditHead>();
  }
  CROSSFADE_ASSIGN(const postgres::ResultSet set,
                   connection_->Query("SELECT seq, hash FROM crossfade.audit_head WHERE migration = $1", {migration_}));
  if (set.rows.empty()) {
    return std::optional<state::AuditHead>();
  }
  return std::optional(HeadOf(set.rows[0]));
}

Result<bool> PgAuditHead::Keep(const state::AuditHead& head) {
  CROSSFADE_ASSIGN(const bool has_table, HasTable("audit_head"));
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

Result<std::vector<state::AuditHead>> PgAuditHead::Beginnings() {
  std::vector<state::AuditHead> beginnings;
  CROSSFADE_ASSIGN(const bool has_table, HasTable("audit_beginning"));
  if (!has_table) {
    return beginnings;
  }
  CROSSFADE_ASSIGN(const postgres::ResultSet set,
                   connection_->Query("SELECT seq, hash FROM (SELECT * FROM crossfade.audit_beginning WHERE migration ="
                                      " $1 ORDER BY seq DESC, at DESC LIMIT 1000) AS latest ORDER BY seq, at",
                                      {migration_}));
  for (const auto& row : set.rows) {
    beginnings.push_back(HeadOf(row));
  }
  return beginnings;
}

Result<bool> PgAuditHead::KeepBeginning(const state::AuditHead& first) {
  CROSSFADE_ASSIGN(const auto schema, connection_->Scalar("SELECT to_regclass('crossfade.format')::text"));
  if (!schema) {
    return false;
  }
  CROSSFADE_TRY(MakeControl(connection_.get(), lock_timeout_ms_));
  CROSSFADE_FAILPOINT("audit.beginning.before");
  CROSSFADE_TRY(
      connection_->Query("INSERT INTO crossfade.audit_beginning (migration, seq, hash) VALUES ($1, $2::bigint, $3)"
                         " ON CONFLICT DO NOTHING",
                         {migration_, std::to_string(first.seq), first.hash}));
  CROSSFADE_FAILPOINT("audit.beginning.after");
  return true;
}

}  // namespace crossfade::apply
