#include "apply/postgres/schema_build.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "apply/postgres/chunk_loader.h"
#include "apply/postgres/schema_compare.h"
#include "apply/postgres/standing_keys.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

namespace {

constexpr std::string_view kComponent = "apply.postgres";

std::string Quoted(std::string_view name) { return postgres::Connection::Identifier(name); }

class Builder {
 public:
  Builder(SchemaConnection* connection, const SchemaPlan& plan, const SchemaBuildOptions& options)
      : connection_(connection), plan_(plan), options_(options) {}

  Status Run(SchemaStage stage, const std::stop_token& stop) {
    if (stage == SchemaStage::kTables) {
      CROSSFADE_TRY(MakeSchemas());
    }
    if (stage == SchemaStage::kActionForeignKeys) {
      // Before any of the keys: a parent may come behind its child.
      for (const WantedTable& table : plan_.tables) {
        CROSSFADE_TRY(MakeKeys(table, IndexesForActions(table)));
      }
    }
    for (const WantedTable& table : plan_.tables) {
      if (stop.stop_requested()) {
        return MakeError(ErrorClass::kTransient, "CF1504", kComponent, "interrupted while changing the schema");
      }
      Status status = RunOne(stage, table);
      if (!status) {
        return Fail(std::move(status).error().WithContext(table.schema + "." + table.table));
      }
    }
    return {};
  }

 private:
  Status RunOne(SchemaStage stage, const WantedTable& table) {
    switch (stage) {
      case SchemaStage::kTables:
        return MakeTable(table);
      case SchemaStage::kActionForeignKeys:
        return MakeForeignKeys(table, true);
      case SchemaStage::kKeys: {
        std::vector<const WantedIndex*> all;
        for (const WantedIndex& index : table.indexes) {
          all.push_back(&index);
        }
        return MakeKeys(table, all);
      }
      case SchemaStage::kForeignKeys:
        return MakeForeignKeys(table, false);
      case SchemaStage::kIdentity:
        return SetIdentities(table);
      case SchemaStage::kAnalyze:
        return connection_->RunAlone(options_.fence, "ANALYZE " + table.QualifiedName());
    }
    return {};
  }

  Status MakeSchemas();
  Status MakeTable(const WantedTable& table);
  std::vector<const WantedIndex*> IndexesForActions(const WantedTable& table) const;
  Status MakeKeys(const WantedTable& table, const std::vector<const WantedIndex*>& indexes);
  Status MakeIndex(const WantedTable& table, const CatalogTable& standing, const WantedIndex& index, bool shared);
  Status MakeForeignKeys(const WantedTable& table, bool with_action_only);
  Status MakeForeignKey(const WantedTable& table, const CatalogTable& standing, const WantedForeignKey& key);
  Status SetIdentities(const WantedTable& table);
  Status SetIdentity(const WantedTable& table, const WantedColumn& column);

  Result<CatalogTable> ReadStanding(const WantedTable& table) {
    CROSSFADE_ASSIGN(auto standing, connection_->ReadTable(table.schema, table.table));
    if (!standing) {
      return Fail(Error{ErrorClass::kData, "CF1547", std::string(kComponent),
                        "a table that was copied is not on the target any more", "", table.QualifiedName(), "no table",
                        "put it back with its rows; or 'crossfade abort', then 'crossfade run' copies anew"});
    }
    return std::move(*standing);
  }
  // Others use the table too: nothing may block their writes for long.
  Result<bool> IsShared(const WantedTable& table) {
    CROSSFADE_ASSIGN(const auto rows,
                     connection_->Select("SELECT 1 FROM crossfade.object WHERE kind = 'table' AND schema_name = $1"
                                         " AND table_name = $2 AND (migration <> $3 OR NOT created) LIMIT 1",
                                         {table.schema, table.table, options_.fence.migration}));
    return !rows.empty();
  }
  std::string Register(const char* kind, const WantedTable& table, const std::string& name, bool created) const {
    return fmt::format(
        "INSERT INTO crossfade.object (migration, kind, schema_name, table_name, name, created)"
        " VALUES ({}, '{}', {}, {}, {}, {}) ON CONFLICT DO NOTHING",
        QuoteLiteral(options_.fence.migration), kind, QuoteLiteral(table.schema), QuoteLiteral(table.table),
        QuoteLiteral(name), created);
  }

  SchemaConnection* connection_;
  const SchemaPlan& plan_;
  const SchemaBuildOptions& options_;
};

Status Builder::MakeSchemas() {
  std::vector<std::string> made;
  for (const WantedTable& table : plan_.tables) {
    if (std::find(made.begin(), made.end(), table.schema) != made.end()) {
      continue;
    }
    made.push_back(table.schema);
    CROSSFADE_ASSIGN(const auto rows, connection_->Select("SELECT to_regnamespace($1)::text", {Quoted(table.schema)}));
    if (!rows[0][0]) {
      CROSSFADE_TRY(connection_->Transact(options_.fence, {"CREATE SCHEMA " + Quoted(table.schema)}));
    }
  }
  return {};
}

Status Builder::MakeTable(const WantedTable& table) {
  CROSSFADE_ASSIGN(const auto standing, connection_->ReadTable(table.schema, table.table));
  std::vector<std::string> statements;
  if (!standing) {
    statements.push_back(CreateTableSql(table));
    for (std::string& statement : FinishTableSql(table)) {
      statements.push_back(std::move(statement));
    }
    statements.push_back(Register("table", table, table.table, true));
    return connection_->Transact(options_.fence, statements);
  }
  const TableDifference difference = CompareTable(table, *standing, options_.extra_columns);
  for (const Finding& finding : difference.findings) {
    if (finding.blocks) {
      Error error;
      error.error_class = ErrorClass::kConfig;
      error.code = finding.code;
      error.component = kComponent;
      error.message = fmt::format("{}: {}: {}", finding.object, finding.found, finding.meaning);
      error.object = finding.object;
      error.found = finding.found;
      error.fix = finding.fix;
      return Fail(std::move(error));
    }
  }
  for (const WantedColumn* column : difference.missing) {
    statements.push_back(
        fmt::format("ALTER TABLE {} ADD COLUMN {} {}", table.QualifiedName(), Quoted(column->name), column->type.sql));
    statements.push_back(Register("column", table, column->name, true));
  }
  statements.push_back(Register("table", table, table.table, false));
  return connection_->Transact(options_.fence, statements);
}

// The unique indexes that foreign keys with an action refer to, and the indexes by which such an action finds its rows.
std::vector<const WantedIndex*> Builder::IndexesForActions(const WantedTable& table) const {
  std::vector<const WantedIndex*> needed;
  for (const WantedIndex& index : table.indexes) {
    const auto covers = [&](const std::vector<std::string>& columns, bool whole) {
      if (index.parts.size() < columns.size() || (whole && index.parts.size() != columns.size())) {
        return false;
      }
      return std::all_of(index.parts.begin(), index.parts.begin() + static_cast<std::ptrdiff_t>(columns.size()),
                         [&](const WantedIndexPart& part) {
                           return part.expression.empty() &&
                                  std::find(columns.begin(), columns.end(), part.column) != columns.end();
                         });
    };
    bool wanted = false;
    for (const WantedTable& child : plan_.tables) {
      for (const WantedForeignKey& key : child.foreign_keys) {
        const bool is_parent = key.parent_schema == table.schema && key.parent_table == table.table;
        wanted = wanted || (key.has_action() && ((is_parent && index.unique && covers(key.parent_columns, true)) ||
                                                 (&child == &table && covers(key.columns, false))));
      }
    }
    if (wanted) {
      needed.push_back(&index);
    }
  }
  return needed;
}

Status Builder::MakeKeys(const WantedTable& table, const std::vector<const WantedIndex*>& indexes) {
  CROSSFADE_ASSIGN(const bool shared, IsShared(table));
  for (const WantedIndex* index : indexes) {
    CROSSFADE_ASSIGN(const CatalogTable standing, ReadStanding(table));
    CROSSFADE_TRY(MakeIndex(table, standing, *index, shared));
  }
  return {};
}

Status Builder::MakeIndex(const WantedTable& table, const CatalogTable& standing, const WantedIndex& index,
                          bool shared) {
  for (const CatalogIndex& other : standing.indexes) {
    if (other.valid && !other.primary && SameIndex(index, other)) {
      return connection_->Transact(options_.fence, {Register("index", table, other.name, false)});
    }
  }
  const std::string identity = CreateIndexSql(table, index, "", false);
  std::string name = index.name;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto leftover = std::find_if(standing.indexes.begin(), standing.indexes.end(),
                                       [&](const CatalogIndex& other) { return other.name == name && !other.valid; });
    const std::string qualified = Quoted(table.schema) + "." + Quoted(name);
    if (leftover != standing.indexes.end()) {
      CROSSFADE_TRY(connection_->RunAlone(options_.fence, "DROP INDEX CONCURRENTLY " + qualified));
      break;
    }
    CROSSFADE_ASSIGN(const auto taken, connection_->Select("SELECT to_regclass($1)::text", {qualified}));
    if (!taken[0][0]) {
      break;
    }
    name = HashedName(index.name, identity);
  }
  if (!shared) {
    return connection_->Transact(options_.fence,
                                 {CreateIndexSql(table, index, name, false), Register("index", table, name, true)});
  }
  Status status = connection_->RunAlone(options_.fence, CreateIndexSql(table, index, name, true));
  if (!status && status.error().error_class != ErrorClass::kData) {
    return status;  // stopped, or the session is lost: the next run takes away what is left
  }
  if (!status) {
    // What is left of it is no index to read, but one that every writer of every tenant must keep.
    (void)connection_->RunAlone(
        options_.fence, fmt::format("DROP INDEX CONCURRENTLY IF EXISTS {}.{}", Quoted(table.schema), Quoted(name)));
    return status;
  }
  return connection_->Transact(options_.fence, {Register("index", table, name, true)});
}

Status Builder::MakeForeignKeys(const WantedTable& table, bool with_action_only) {
  for (const WantedForeignKey& key : table.foreign_keys) {
    if (with_action_only && !key.has_action()) {
      continue;
    }
    CROSSFADE_ASSIGN(const CatalogTable standing, ReadStanding(table));
    CROSSFADE_TRY(MakeForeignKey(table, standing, key));
  }
  return {};
}

// Added without looking at the rows, under a short lock; then validated under a lock that lets writers go on.
Status Builder::MakeForeignKey(const WantedTable& table, const CatalogTable& standing, const WantedForeignKey& key) {
  std::string name = key.name;
  bool add = true;
  bool validate = true;
  for (const CatalogForeignKey& other : standing.foreign_keys) {
    if (SameForeignKey(key, other)) {
      add = false;
      validate = !other.validated;
      name = other.name;
      break;
    }
  }
  if (add) {
    CROSSFADE_ASSIGN(const auto taken, connection_->Select("SELECT 1 FROM pg_catalog.pg_constraint"
                                                           " WHERE conrelid = to_regclass($1) AND conname = $2",
                                                           {table.QualifiedName(), name}));
    if (!taken.empty()) {
      name = HashedName(name, AddForeignKeySql(table, key, ""));
    }
    CROSSFADE_TRY(connection_->Transact(
        options_.fence, {AddForeignKeySql(table, key, name), Register("constraint", table, name, true)}));
  }
  if (validate) {
    CROSSFADE_TRY(connection_->Transact(
        options_.fence, {fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", table.QualifiedName(), Quoted(name))}));
  }
  // It stood while our rows were loaded, which did not fire it.
  return add || validate ? Status{} : FindOrphans(connection_, table, key, options_.tenancy);
}

Status Builder::SetIdentities(const WantedTable& table) {
  for (const WantedColumn& column : table.columns) {
    if (column.numbered) {
      CROSSFADE_TRY(SetIdentity(table, column));
    }
  }
  return {};
}

// Never backwards: the sequence is shared with other tenants, whose largest ids it has seen at their own time.
Status Builder::SetIdentity(const WantedTable& table, const WantedColumn& column) {
  CROSSFADE_ASSIGN(const auto found,
                   connection_->Select("SELECT s.seq, q.seqstart, pg_catalog.pg_has_role(c.relowner, 'USAGE'), q.seqmax"
                                       " FROM (SELECT pg_catalog.pg_get_serial_sequence($1, $2) AS seq) s"
                                       " JOIN pg_catalog.pg_class c ON c.oid = s.seq::regclass"
                                       " JOIN pg_catalog.pg_sequence q ON q.seqrelid = c.oid",
                                       {table.QualifiedName(), column.name}));
  if (found.empty()) {
    return {};
  }
  const std::string sequence = found[0][0].value_or("");
  // Not least(), which passes over the NULL of an empty table.
  std::string largest =
      fmt::format("SELECT CASE WHEN max({0}) > {1} THEN {1} ELSE max({0}) END::bigint AS top FROM {2}",
                  Quoted(column.name), found[0][3].value_or("0"), table.QualifiedName());
  if (table.route->tenant_column) {
    largest += fmt::format(" WHERE {} = {}::{}", Quoted(options_.tenancy.column), QuoteLiteral(options_.tenancy.value),
                           TenantPgType(options_.tenancy).sql);
  }
  std::vector<std::string> statements;
  if (found[0][2] == "t") {
    // Changes nothing, but holds off nextval() until the end of the transaction: none can come between the look and
    // the setting.
    statements.push_back(fmt::format("ALTER SEQUENCE {} START WITH {}", sequence, found[0][1].value_or("1")));
  }
  statements.push_back(
      fmt::format("SELECT setval({}::regclass, l.top, true) FROM ({}) l, {} s"
                  " WHERE l.top > s.last_value OR (l.top = s.last_value AND NOT s.is_called)",
                  QuoteLiteral(sequence), largest, sequence));
  return connection_->Transact(options_.fence, statements);
}

// Takes away what a migration has put on its target.
class Remover {
 public:
  Remover(SchemaConnection* connection, const SchemaPlan& plan, const SchemaBuildOptions& options)
      : connection_(connection), plan_(plan), options_(options) {}

  Status Run() {
    CROSSFADE_TRY(FindUnplanned());
    // Children first: their parents have the lower rank.
    std::vector<const WantedTable*> tables;
    for (const WantedTable& table : plan_.tables) {
      tables.push_back(&table);
    }
    for (const WantedTable& table : unplanned_) {
      tables.push_back(&table);
    }
    std::sort(tables.begin(), tables.end(),
              [](const WantedTable* a, const WantedTable* b) { return a->route->rank > b->route->rank; });
    std::string drop;
    std::vector<std::string> statements = {"SET CONSTRAINTS ALL DEFERRED"};
    for (const WantedTable* table : tables) {
      CROSSFADE_TRY(Judge(*table, &drop, &statements));
    }
    if (!drop.empty()) {
      statements.push_back("DROP TABLE " + drop);
    }
    const std::string migration = QuoteLiteral(options_.fence.migration);
    for (const char* helper : {"chunk", "object", "divergence", "progress", "heartbeat"}) {
      statements.push_back(fmt::format("DELETE FROM crossfade.{} WHERE migration = {}", helper, migration));
    }
    statements.push_back(fmt::format("DELETE FROM crossfade.migration WHERE name = {}", migration));
    return connection_->Transact(options_.fence, statements);
  }

 private:
  // Tables that were made or filled for the migration, and that configuration and source do not name now.
  Status FindUnplanned() {
    CROSSFADE_ASSIGN(const auto known, connection_->Select("SELECT schema_name, table_name FROM crossfade.object"
                                                           " WHERE kind = 'table' AND migration = $1",
                                                           {options_.fence.migration}));
    for (const auto& row : known) {
      const std::string schema = row[0].value_or("");
      const std::string name = row[1].value_or("");
      const bool planned = std::any_of(plan_.tables.begin(), plan_.tables.end(), [&](const WantedTable& table) {
        return table.schema == schema && table.table == name;
      });
      if (planned) {
        continue;
      }
      Route& route = routes_.emplace_back();
      route.tenant_column = options_.tenancy.mode == TenancyMode::kColumn;
      WantedTable& table = unplanned_.emplace_back();
      table.route = &route;
      table.schema = schema;
      table.table = name;
    }
    return {};
  }

  // What is to become of one table.
  Status Judge(const WantedTable& table, std::string* drop, std::vector<std::string>* statements) {
    const SchemaConnection::Parameters parameters = {table.schema, table.table, options_.fence.migration};
    CROSSFADE_ASSIGN(const auto ours, connection_->Select("SELECT created FROM crossfade.object WHERE kind = 'table'"
                                                          " AND schema_name = $1 AND table_name = $2"
                                                          " AND migration = $3",
                                                          parameters));
    CROSSFADE_ASSIGN(const auto standing, connection_->ReadTable(table.schema, table.table));
    if (ours.empty() || !standing) {
      return {};
    }
    CROSSFADE_ASSIGN(const auto others, connection_->Select("SELECT 1 FROM crossfade.object WHERE kind = 'table'"
                                                            " AND schema_name = $1 AND table_name = $2"
                                                            " AND migration <> $3",
                                                            parameters));
    const bool created = ours[0][0] == "t";
    CROSSFADE_ASSIGN(const bool foreign_rows, HasForeignRows(table));
    if (created && others.empty() && !foreign_rows) {
      // Looked at again when nobody can write any more; the cast is what stops the transaction.
      if (table.route->tenant_column) {
        statements->push_back(fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table.QualifiedName()));
        statements->push_back(fmt::format("SELECT ('rows of another tenant came: ' || {}::text)::int FROM {}{} LIMIT 1",
                                          Quoted(options_.tenancy.column), table.QualifiedName(),
                                          TenantCondition(table, "<>")));
      }
      *drop += (drop->empty() ? "" : ", ") + table.QualifiedName();
      return {};
    }
    statements->push_back(fmt::format("DELETE FROM {}{}", table.QualifiedName(), TenantCondition(table, "=")));
    if (created) {
      // The last one that uses the table shall drop it.
      statements->push_back(fmt::format(
          "UPDATE crossfade.object SET created = true WHERE kind = 'table' AND schema_name = {} AND table_name = {}",
          QuoteLiteral(table.schema), QuoteLiteral(table.table)));
    }
    return {};
  }

  std::string TenantCondition(const WantedTable& table, const char* comparison) const {
    if (!table.route->tenant_column) {
      return "";
    }
    return fmt::format(" WHERE {} {} {}::{}", Quoted(options_.tenancy.column), comparison,
                       QuoteLiteral(options_.tenancy.value), TenantPgType(options_.tenancy).sql);
  }

  Result<bool> HasForeignRows(const WantedTable& table) {
    if (!table.route->tenant_column) {
      return false;
    }
    CROSSFADE_ASSIGN(const auto rows,
                     connection_->Select(fmt::format("SELECT 1 FROM {}{} LIMIT 1", table.QualifiedName(),
                                                     TenantCondition(table, "<>"))));
    return !rows.empty();
  }

  SchemaConnection* connection_;
  const SchemaPlan& plan_;
  const SchemaBuildOptions& options_;
  std::deque<Route> routes_;  // of unplanned_
  std::deque<WantedTable> unplanned_;
};

}  // namespace

Status BuildStage(SchemaConnection* connection, const SchemaPlan& plan, const SchemaBuildOptions& options,
                  SchemaStage stage, std::stop_token stop) {
  const std::stop_callback cancel(stop, [&] { connection->Cancel(); });
  return Builder(connection, plan, options).Run(stage, stop);
}

Status RemoveMigration(SchemaConnection* connection, const SchemaPlan& plan, const SchemaBuildOptions& options) {
  return Remover(connection, plan, options).Run();
}

}  // namespace crossfade::apply
