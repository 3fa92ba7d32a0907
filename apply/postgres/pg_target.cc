#include "apply/postgres/pg_target.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "apply/postgres/chunk_loader.h"
#include "apply/postgres/control.h"
#include "apply/postgres/rights.h"
#include "apply/postgres/schema_build.h"
#include "apply/postgres/schema_catalog.h"
#include "apply/postgres/schema_compare.h"
#include "apply/postgres/schema_plan.h"
#include "apply/postgres/session.h"
#include "apply/postgres/staging.h"
#include "apply/postgres/standing_keys.h"
#include "apply/postgres/triggers.h"
#include "core/failpoint.h"

namespace crossfade::apply {

namespace {

using postgres::Connection;

constexpr std::string_view kComponent = "apply.postgres";
constexpr int kOldestServer = 140000;

// A connection that several threads use in turn, and that is opened again after it was lost.
class SharedConnection {
 public:
  explicit SharedConnection(postgres::ConnectionOptions options) : options_(std::move(options)) {}

  // Runs `body` with the connection.
  template <typename Body>
  auto With(Body body) -> decltype(body(static_cast<Connection*>(nullptr))) {
    const std::lock_guard lock(mutex_);
    if (!connection_) {
      CROSSFADE_ASSIGN(connection_, Connection::Open(options_));
      // Only what the disk holds counts as done.
      CROSSFADE_TRY(connection_->CommitDurably());
    }
    auto result = body(connection_.get());
    if (!result &&
        (result.error().error_class == ErrorClass::kReconnect || result.error().error_class == ErrorClass::kInDoubt)) {
      connection_.reset();
    }
    return result;
  }

 private:
  const postgres::ConnectionOptions options_;
  std::mutex mutex_;
  std::unique_ptr<Connection> connection_;  // guarded by mutex_
};

class PgTarget : public Target {
 public:
  explicit PgTarget(const PgTargetOptions& options)
      : options_(options), control_(options.connection), heart_(options.connection) {}

  Status Check();

  Result<TargetState> TakeOver(const Owner& owner, bool force, std::stop_token stop) override;
  Status Heartbeat() override;
  void Release() override;
  Result<TargetState> ReadState() override;
  Status BindJournal(const std::string& journal_id, const std::string& instead_of) override;
  Status SetFact(const std::string& fact) override;
  Result<std::vector<Finding>> PlanSchema(const RouteSet& routes) override;
  Result<bool> KeysStand(const RouteSet& routes) override;
  Status BuildSchema(const RouteSet& routes, SchemaStage stage, std::stop_token stop) override;
  Result<std::vector<Finding>> FindTriggers(const RouteSet& routes) override;
  std::string StagingSchema() const override { return StagingSchemaOf(options_.migration); }
  Status MoveStaged(const RouteSet& staged, const RouteSet& routes, std::stop_token stop) override;
  Status DropStaging() override;
  Result<std::unique_ptr<ChunkLoader>> OpenLoader() override;
  Result<std::unique_ptr<ApplySession>> OpenSession(uint32_t worker) override;
  Status ClearTable(const Route& route) override;
  Status Abort(const RouteSet& routes) override;

 private:
  Result<Fence> CurrentFence() const {
    const uint64_t epoch = epoch_.load();
    if (epoch == 0) {
      return MakeError(ErrorClass::kCorrupt, "CF1552", kComponent, "migration {} was used before it was taken over",
                       options_.migration);
    }
    return Fence{options_.migration, epoch};
  }
  Result<std::unique_ptr<SchemaConnection>> OpenSchema() {
    return SchemaConnection::Open(options_.connection, options_.lock_timeout_ms);
  }
  Result<SchemaPlan> Plan(const RouteSet& routes, const SchemaConnection& connection) const {
    return PlanSchemaOf(routes,
                        {options_.tenancy, options_.types, options_.text_keys_exact, connection.server_version()});
  }
  Result<std::string> TenantCondition(const Route& route) const;
  Status FindRows(SchemaConnection* connection, const WantedTable& table, std::vector<Finding>* findings);

  const PgTargetOptions options_;
  SharedConnection control_;
  SharedConnection heart_;  // its own, so that the heart beats while control_ waits for a lock
  std::atomic<uint64_t> epoch_{0};
  std::mutex journal_mutex_;
  std::string journal_id_;  // guarded by journal_mutex_
};

Status PgTarget::Check() {
  if (options_.tenancy.mode == TenancyMode::kColumn) {
    std::string field;
    CROSSFADE_TRY(AppendTenant(options_.tenancy, &field));
  }
  const auto refused = [&](std::string message, std::string what, std::string fix) -> Status {
    return Fail(Error{ErrorClass::kConfig, "CF1503", std::string(kComponent), std::move(message), "",
                      fmt::format("{}:{}", options_.connection.host, options_.connection.port), std::move(what),
                      std::move(fix)});
  };
  return control_.With([&](Connection* connection) -> Status {
    CROSSFADE_ASSIGN(const auto found, connection->Query("SELECT current_setting('server_version_num'),"
                                                         " current_setting('server_version'),"
                                                         " pg_is_in_recovery(),"
                                                         " current_setting('default_transaction_read_only'),"
                                                         " quote_ident(current_user),"
                                                         " quote_ident(current_database())",
                                                         {}));
    const int version = std::atoi(found.rows[0][0].value_or("0").c_str());
    if (version < kOldestServer) {
      return refused("the target is too old", "server_version " + found.rows[0][1].value_or("?"),
                     "upgrade it to PostgreSQL 14 or later, or name another server in target.host");
    }
    if (found.rows[0][2] == "t") {
      return refused("the target is a standby", "pg_is_in_recovery() is true", "name its primary in target.host");
    }
    if (found.rows[0][3] == "on") {
      return refused("the target is read-only by default", "default_transaction_read_only = on",
                     fmt::format("SET default_transaction_read_only = off; ALTER ROLE {} IN DATABASE {} SET "
                                 "default_transaction_read_only = off",
                                 found.rows[0][4].value_or(""), found.rows[0][5].value_or("")));
    }
    return {};
  });
}

Result<TargetState> PgTarget::TakeOver(const Owner& owner, bool force, std::stop_token stop) {
  const TakeOverRequest request{options_.migration, options_.tenancy.value, owner, force, options_.grace_ms};
  auto state = control_.With([&](Connection* connection) -> Result<TargetState> {
    CROSSFADE_TRY(MakeControl(connection, options_.lock_timeout_ms));
    return TakeOverMigration(connection, request, stop);
  });
  if (!state && state.error().server_code == "42501") {
    Error error = std::move(state).error();
    error.fix = fmt::format("GRANT CREATE ON DATABASE {} TO {}; 'crossfade check' names all rights that are missing",
                            Connection::Identifier(options_.connection.database),
                            Connection::Identifier(options_.connection.user));
    return Fail(std::move(error));
  }
  if (state) {
    epoch_ = state->epoch;
    const std::lock_guard lock(journal_mutex_);
    journal_id_ = state->journal_id;
  }
  return state;
}

Status PgTarget::Heartbeat() {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  return heart_.With([&](Connection* connection) { return BeatHeart(connection, fence); });
}

void PgTarget::Release() {
  if (const auto fence = CurrentFence()) {
    (void)heart_.With([&](Connection* connection) { return ReleaseMigration(connection, *fence); });
  }
}

Result<TargetState> PgTarget::ReadState() {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  return control_.With([&](Connection* connection) { return ReadMigration(connection, fence); });
}

Status PgTarget::BindJournal(const std::string& journal_id, const std::string& instead_of) {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  CROSSFADE_TRY(
      control_.With([&](Connection* connection) { return BindMigration(connection, fence, journal_id, instead_of); }));
  const std::lock_guard lock(journal_mutex_);
  journal_id_ = journal_id;
  return {};
}

Status PgTarget::SetFact(const std::string& fact) {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  return control_.With([&](Connection* connection) { return AddFact(connection, fence, fact); });
}

Result<std::string> PgTarget::TenantCondition(const Route& route) const {
  if (!route.tenant_column) {
    return std::string();
  }
  return fmt::format(" WHERE {} = {}::{}", Connection::Identifier(options_.tenancy.column),
                     QuoteLiteral(options_.tenancy.value), TenantPgType(options_.tenancy).sql);
}

// Rows that this migration did not bring. Once it has registered the table, what is there is its own.
Status PgTarget::FindRows(SchemaConnection* connection, const WantedTable& table, std::vector<Finding>* findings) {
  CROSSFADE_ASSIGN(const auto helper, connection->Select("SELECT to_regclass('crossfade.object')::text"));
  if (helper[0][0]) {
    CROSSFADE_ASSIGN(const auto known, connection->Select("SELECT 1 FROM crossfade.object WHERE migration = $1 AND"
                                                          " kind = 'table' AND schema_name = $2 AND table_name = $3",
                                                          {options_.migration, table.schema, table.table}));
    if (!known.empty()) {
      return {};
    }
  }
  CROSSFADE_ASSIGN(const std::string condition, TenantCondition(*table.route));
  CROSSFADE_ASSIGN(const auto rows,
                   connection->Select(fmt::format("SELECT 1 FROM {}{} LIMIT 1", table.QualifiedName(), condition)));
  if (!rows.empty()) {
    const bool tenant = table.route->tenant_column;
    findings->push_back(Finding{
        true, "CF1537", table.schema + "." + table.table, tenant ? "rows of tenant " + options_.tenancy.value : "rows",
        "they are not of this migration, which has not begun here",
        "remove them, or choose another target schema" + std::string(tenant ? " or tenant value" : "")});
  }
  return {};
}

Result<std::vector<Finding>> PgTarget::PlanSchema(const RouteSet& routes) {
  CROSSFADE_ASSIGN(auto connection, OpenSchema());
  CROSSFADE_ASSIGN(SchemaPlan plan, Plan(routes, *connection));
  CROSSFADE_ASSIGN(const std::vector<Finding> rights, FindMissingRights(connection.get(), plan));
  plan.findings.insert(plan.findings.end(), rights.begin(), rights.end());
  if (std::any_of(rights.begin(), rights.end(), [](const Finding& f) { return f.blocks; })) {
    return std::move(plan.findings);  // what stands there cannot be looked at
  }
  for (const WantedTable& table : plan.tables) {
    CROSSFADE_ASSIGN(const auto standing, connection->ReadTable(table.schema, table.table));
    if (!standing) {
      continue;
    }
    TableDifference difference = CompareTable(table, *standing, options_.extra_columns);
    bool has_tenant = true;
    for (Finding& finding : difference.findings) {
      has_tenant = has_tenant && finding.code != "CF1536";
      plan.findings.push_back(std::move(finding));
    }
    if (has_tenant) {
      CROSSFADE_TRY(FindRows(connection.get(), table, &plan.findings));
    }
  }
  CROSSFADE_ASSIGN(const std::vector<Finding> copies, FindCopiesUnderWay(connection.get(), plan, options_.migration));
  plan.findings.insert(plan.findings.end(), copies.begin(), copies.end());
  CROSSFADE_ASSIGN(const std::vector<Finding> triggers, FindTriggersOn(connection.get(), plan));
  plan.findings.insert(plan.findings.end(), triggers.begin(), triggers.end());
  return std::move(plan.findings);
}

Result<bool> PgTarget::KeysStand(const RouteSet& routes) {
  CROSSFADE_ASSIGN(auto connection, OpenSchema());
  CROSSFADE_ASSIGN(const SchemaPlan plan, Plan(routes, *connection));
  return apply::KeysStand(connection.get(), plan);
}

Status PgTarget::BuildSchema(const RouteSet& routes, SchemaStage stage, std::stop_token stop) {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  CROSSFADE_ASSIGN(auto connection, OpenSchema());
  CROSSFADE_ASSIGN(const SchemaPlan plan, Plan(routes, *connection));
  CROSSFADE_TRY(connection->LockDdl(options_.lock_timeout_ms));
  return BuildStage(connection.get(), plan, {fence, options_.tenancy, options_.extra_columns}, stage, std::move(stop));
}

Result<std::vector<Finding>> PgTarget::FindTriggers(const RouteSet& routes) {
  CROSSFADE_ASSIGN(auto connection, OpenSchema());
  CROSSFADE_ASSIGN(const SchemaPlan plan, Plan(routes, *connection));
  return FindTriggersOn(connection.get(), plan);
}

Status PgTarget::MoveStaged(const RouteSet& staged, const RouteSet& routes, std::stop_token stop) {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  CROSSFADE_ASSIGN(auto connection, OpenSchema());
  CROSSFADE_ASSIGN(const SchemaPlan from, Plan(staged, *connection));
  CROSSFADE_ASSIGN(const SchemaPlan to, Plan(routes, *connection));
  return MoveStagedRows(connection.get(), from, to, {fence, options_.tenancy, options_.extra_columns}, std::move(stop));
}

Status PgTarget::DropStaging() {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  CROSSFADE_ASSIGN(auto connection, OpenSchema());
  return DropStagingSchema(connection.get(), fence);
}

Result<std::unique_ptr<ChunkLoader>> PgTarget::OpenLoader() {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  return OpenChunkLoader({options_.connection, fence, options_.tenancy, options_.types});
}

Result<std::unique_ptr<ApplySession>> PgTarget::OpenSession(uint32_t worker) {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  PgSessionOptions session;
  session.connection = options_.connection;
  session.migration = fence.migration;
  session.epoch = fence.epoch;
  session.worker = worker;
  session.tenancy = options_.tenancy;
  session.types = options_.types;
  session.synchronous_commit = options_.synchronous_commit;
  {
    const std::lock_guard lock(journal_mutex_);
    session.journal_id = journal_id_;
  }
  return OpenPgSession(session);
}

Status PgTarget::ClearTable(const Route& route) {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  CROSSFADE_ASSIGN(auto connection, OpenSchema());
  CROSSFADE_ASSIGN(const std::string condition, TenantCondition(route));
  const std::string table = Connection::Identifier(route.schema) + "." + Connection::Identifier(route.table);
  std::vector<std::string> statements = {
      fmt::format("DELETE FROM crossfade.chunk WHERE migration = {} AND table_name = {}",
                  QuoteLiteral(options_.migration), QuoteLiteral(route.source.name))};
  CROSSFADE_ASSIGN(const auto keys, connection->Select("SELECT quote_ident(current_user) FROM pg_catalog.pg_constraint"
                                                       " WHERE contype = 'f'"
                                                       " AND to_regclass($1) IN (conrelid, confrelid) LIMIT 1",
                                                       {table}));
  if (!keys.empty()) {
    // Rows of other tables that refer to these are read again as well, or stay as they are.
    statements.emplace_back("SET LOCAL session_replication_role = replica");
  }
  statements.push_back(fmt::format("DELETE FROM {}{}", table, condition));
  Status done = connection->Transact(fence, statements);
  if (!done && done.error().server_code == "42501" && !keys.empty()) {
    return Fail(NoRightToSwitchOff(table, keys[0][0].value_or("")));
  }
  return done;
}

Status PgTarget::Abort(const RouteSet& routes) {
  CROSSFADE_ASSIGN(const Fence fence, CurrentFence());
  CROSSFADE_ASSIGN(auto connection, OpenSchema());
  CROSSFADE_ASSIGN(const SchemaPlan plan, Plan(routes, *connection));
  CROSSFADE_TRY(connection->LockDdl(options_.lock_timeout_ms));
  CROSSFADE_TRY(DropStagingSchema(connection.get(), fence));
  CROSSFADE_TRY(RemoveMigration(connection.get(), plan, {fence, options_.tenancy, options_.extra_columns}));
  epoch_ = 0;
  return {};
}

}  // namespace

Result<std::unique_ptr<Target>> OpenPgTarget(const PgTargetOptions& options) {
  auto target = std::make_unique<PgTarget>(options);
  CROSSFADE_TRY(target->Check());
  return target;
}

}  // namespace crossfade::apply
