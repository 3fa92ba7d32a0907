#include "apply/postgres/standing_keys.h"

#include "apply/postgres/chunk_loader.h"
#include "apply/postgres/control.h"

namespace crossfade::apply {

namespace {

constexpr std::string_view kComponent = "apply.postgres";

std::string Quoted(std::string_view name) { return postgres::Connection::Identifier(name); }

}  // namespace

Error NoRightToSwitchOff(const std::string& object, const std::string& account) {
  return Error{ErrorClass::kConfig,
               "CF1554",
               std::string(kComponent),
               "the account may not write rows without firing foreign keys, and those of the tables stand already",
               "42501",
               object,
               "no right to set session_replication_role",
               fmt::format("GRANT SET ON PARAMETER session_replication_role TO {}", account)};
}

Status SwitchOffForeignKeys(postgres::Connection* connection, const std::string& schema, const std::string& table) {
  CROSSFADE_ASSIGN(
      const postgres::ResultSet keys,
      connection->Query("SELECT quote_ident(current_user) FROM pg_catalog.pg_constraint WHERE contype = 'f'"
                        " AND to_regclass($1) IN (conrelid, confrelid) LIMIT 1",
                        {Quoted(schema) + "." + Quoted(table)}));
  if (keys.rows.empty()) {
    return {};
  }
  const auto set = connection->Execute("SET LOCAL session_replication_role = replica");
  if (!set && set.error().server_code == "42501") {
    return Fail(NoRightToSwitchOff(schema + "." + table, keys.rows[0][0].value_or("")));
  }
  CROSSFADE_TRY(set);
  return {};
}

Result<bool> KeysStand(SchemaConnection* connection, const SchemaPlan& plan) {
  for (const WantedTable& table : plan.tables) {
    CROSSFADE_ASSIGN(
        const auto rows,
        connection->Select("SELECT 1 FROM pg_catalog.pg_constraint WHERE contype = 'f'"
                           " AND conrelid = to_regclass($1)"
                           " UNION ALL SELECT 1 FROM pg_catalog.pg_index"
                           " WHERE indrelid = to_regclass($1) AND indisunique AND NOT indisprimary LIMIT 1",
                           {table.QualifiedName()}));
    if (!rows.empty()) {
      return true;
    }
  }
  return false;
}

Result<std::vector<Finding>> FindCopiesUnderWay(SchemaConnection* connection, const SchemaPlan& plan,
                                                const std::string& migration) {
  std::vector<Finding> findings;
  CROSSFADE_ASSIGN(const auto helper, connection->Select("SELECT to_regclass('crossfade.object')::text"));
  if (!helper[0][0]) {
    return findings;
  }
  for (const WantedTable& table : plan.tables) {
    CROSSFADE_ASSIGN(
        const auto others,
        connection->Select("SELECT m.name FROM crossfade.object o JOIN crossfade.migration m ON m.name = o.migration"
                           " WHERE o.kind = 'table' AND o.schema_name = $1 AND o.table_name = $2 AND m.name <> $3"
                           " AND NOT coalesce('analyzed' = ANY (m.facts), false) ORDER BY 1 LIMIT 1",
                           {table.schema, table.table, migration}));
    if (!others.empty()) {
      const std::string other = others[0][0].value_or("");
      findings.push_back(
          Finding{true, "CF1555", table.schema + "." + table.table, "migration " + other + " is still copying into it",
                  "keys could not be built over two copies that are both unfinished",
                  "wait until 'crossfade status' of " + other + " says catching up or following, or abort it"});
      return findings;
    }
  }
  return findings;
}

Status FindOrphans(SchemaConnection* connection, const WantedTable& table, const WantedForeignKey& key,
                   const Tenancy& tenancy) {
  std::string match;
  std::string filled;
  for (size_t i = 0; i < key.columns.size(); ++i) {
    match += fmt::format("{}p.{} = c.{}", i == 0 ? "" : " AND ", Quoted(key.parent_columns[i]), Quoted(key.columns[i]));
    filled += fmt::format(" AND c.{} IS NOT NULL", Quoted(key.columns[i]));
  }
  std::string mine = "true";
  if (table.route->tenant_column) {
    mine = fmt::format("c.{} = {}::{}", Quoted(tenancy.column), QuoteLiteral(tenancy.value), TenantPgType(tenancy).sql);
  }
  // The statistics know nothing of this tenant yet: a plan made for its one row would read the parents once for each.
  CROSSFADE_TRY(connection->Select("SELECT set_config('enable_nestloop', 'off', false)"));
  CROSSFADE_ASSIGN(
      const auto orphans,
      connection->Select(fmt::format(
          "SELECT row_to_json(c)::text FROM {} c WHERE {}{} AND NOT EXISTS (SELECT 1 FROM {}.{} p WHERE {}) LIMIT 1",
          table.QualifiedName(), mine, filled, Quoted(key.parent_schema), Quoted(key.parent_table), match)));
  CROSSFADE_TRY(connection->Select("SELECT set_config('enable_nestloop', 'on', false)"));
  if (orphans.empty()) {
    return {};
  }
  Error error{ErrorClass::kData,
              "CF1556",
              std::string(kComponent),
              fmt::format("rows of {} refer to rows of {} that are not there, against foreign key {}", table.table,
                          key.parent_table, key.name),
              "",
              table.schema + "." + table.table,
              orphans[0][0].value_or("").substr(0, 200),
              "mend the orphans on the source, then 'crossfade abort' and run again"};
  return Fail(std::move(error));
}

}  // namespace crossfade::apply
