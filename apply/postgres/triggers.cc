#include "apply/postgres/triggers.h"

#include <string>

#include "db/postgres/connection.h"

namespace crossfade::apply {

namespace {

// Kind, name (a policy's: our account's). A trigger of a partitioned table's parts is the parent's.
constexpr const char* kActorsSql =
    "SELECT 'trigger', t.tgname FROM pg_catalog.pg_trigger t WHERE t.tgrelid = to_regclass($1) AND NOT t.tgisinternal"
    " AND t.tgenabled <> 'D' AND pg_catalog.pg_get_triggerdef(t.oid) NOT LIKE '%crossfade.applying%'"
    " UNION ALL SELECT 'rule', r.rulename FROM pg_catalog.pg_rewrite r WHERE r.ev_class = to_regclass($1)"
    " AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D'"
    " UNION ALL SELECT 'policy', current_user WHERE pg_catalog.row_security_active(to_regclass($1)) ORDER BY 1, 2";

Finding FindingOf(const WantedTable& table, const std::string& kind, const std::string& name) {
  const std::string object = table.schema + "." + table.table;
  if (kind == "trigger") {
    return Finding{true,
                   "CF1560",
                   object,
                   "trigger " + name,
                   "it would act on every row that is applied, whose effects on the source are applied as well",
                   fmt::format("ALTER TABLE {} DISABLE TRIGGER {}; where other tenants need it, make it anew with"
                               " WHEN (current_setting('crossfade.applying', true) IS DISTINCT FROM 'on')",
                               table.QualifiedName(), postgres::Connection::Identifier(name))};
  }
  if (kind == "rule") {
    return Finding{
        true,
        "CF1561",
        object,
        "rule " + name,
        "it would rewrite what is applied",
        fmt::format("ALTER TABLE {} DISABLE RULE {}", table.QualifiedName(), postgres::Connection::Identifier(name))};
  }
  return Finding{true,
                 "CF1562",
                 object,
                 "row-level security",
                 "its policies hold for the target account too: rows could be hidden from it",
                 fmt::format("ALTER ROLE {} BYPASSRLS", postgres::Connection::Identifier(name))};
}

}  // namespace

Result<std::vector<Finding>> FindTriggersOn(SchemaConnection* connection, const SchemaPlan& plan) {
  std::vector<Finding> findings;
  for (const WantedTable& table : plan.tables) {
    CROSSFADE_ASSIGN(const auto standing, connection->Select("SELECT to_regclass($1)::text", {table.QualifiedName()}));
    if (!standing[0][0]) {
      continue;
    }
    CROSSFADE_ASSIGN(const auto actors, connection->Select(kActorsSql, {table.QualifiedName()}));
    for (const auto& actor : actors) {
      findings.push_back(FindingOf(table, actor[0].value_or(""), actor[1].value_or("")));
    }
  }
  return findings;
}

}  // namespace crossfade::apply
