#include "apply/postgres/staging.h"

#include <map>
#include <utility>
#include <vector>

#include "apply/postgres/standing_keys.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

namespace {

std::string Quoted(std::string_view name) { return postgres::Connection::Identifier(name); }

std::string MoveSql(const WantedTable& from, const WantedTable& to) {
  std::string columns;
  for (const WantedColumn& column : from.columns) {
    if (column.computed_sql.empty()) {
      columns += (columns.empty() ? "" : ", ") + Quoted(column.name);
    }
  }
  return fmt::format("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}", to.QualifiedName(), columns,
                     columns, from.QualifiedName());
}

}  // namespace

std::string StagingSchemaOf(const std::string& migration) {
  return ShortName("crossfade_staging_" + migration, migration);
}

Status MoveStagedRows(SchemaConnection* connection, const SchemaPlan& staged, const SchemaPlan& wanted,
                      const SchemaBuildOptions& options, std::stop_token stop) {
  const std::string migration = QuoteLiteral(options.fence.migration);
  CROSSFADE_ASSIGN(const auto moved,
                   connection->Select("SELECT 1 FROM crossfade.migration WHERE name = $1 AND 'moved' = ANY (facts)",
                                      {options.fence.migration}));
  if (!moved.empty()) {
    return {};
  }
  std::map<std::string, const WantedTable*> places;
  for (const WantedTable& table : wanted.tables) {
    places[table.route->source.name] = &table;
  }
  std::vector<std::string> statements = {"SET LOCAL session_replication_role = replica"};
  for (const WantedTable& table : staged.tables) {
    statements.push_back(MoveSql(table, *places.at(table.route->source.name)));
  }
  statements.push_back(
      fmt::format("UPDATE crossfade.migration SET facts = facts || 'moved'::text WHERE name = {}", migration));
  const std::stop_callback cancel(std::move(stop), [&] { connection->Cancel(); });
  Status done = connection->Transact(options.fence, statements);
  if (!done && done.error().server_code == "42501") {
    CROSSFADE_ASSIGN(const auto account, connection->Select("SELECT quote_ident(current_user)"));
    return Fail(NoRightToSwitchOff(StagingSchemaOf(options.fence.migration), account[0][0].value_or("")));
  }
  return done;
}

Status DropStagingSchema(SchemaConnection* connection, const Fence& fence) {
  const std::string schema = StagingSchemaOf(fence.migration);
  return connection->Transact(fence,
                              {fmt::format("DROP SCHEMA IF EXISTS {} CASCADE", Quoted(schema)),
                               fmt::format("DELETE FROM crossfade.object WHERE migration = {} AND schema_name = {}",
                                           QuoteLiteral(fence.migration), QuoteLiteral(schema))});
}

}  // namespace crossfade::apply
