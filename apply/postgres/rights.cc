#include "apply/postgres/rights.h"

#include <algorithm>
#include <set>

#include "apply/postgres/standing_keys.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

namespace {

std::string Quoted(std::string_view name) { return postgres::Connection::Identifier(name); }

class Rights {
 public:
  Rights(SchemaConnection* connection, const SchemaPlan& plan) : connection_(connection), plan_(plan) {}

  Result<std::vector<Finding>> Find() {
    CROSSFADE_ASSIGN(const auto names, connection_->Select("SELECT current_user, current_database()"));
    account_ = names[0][0].value_or("");
    database_ = names[0][1].value_or("");
    CROSSFADE_TRY(JudgeHelperSchema());
    std::set<std::string> schemas;
    for (const WantedTable& table : plan_.tables) {
      if (schemas.insert(table.schema).second) {
        CROSSFADE_TRY(JudgeSchema(table.schema));
      }
      CROSSFADE_TRY(JudgeOwner(table));
    }
    CROSSFADE_TRY(JudgeReplicaRole());
    return std::move(findings_);
  }

 private:
  // Whether a query without rows of its own answers "t".
  Result<bool> Ask(const std::string& sql, const SchemaConnection::Parameters& parameters) {
    CROSSFADE_ASSIGN(const auto rows, connection_->Select("SELECT " + sql, parameters));
    return rows[0][0] == "t";
  }
  void Add(bool blocks, const char* code, std::string object, std::string meaning, std::string fix) {
    findings_.push_back(
        Finding{blocks, code, std::move(object), "not granted to " + account_, std::move(meaning), std::move(fix)});
  }

  Status JudgeHelperSchema() {
    CROSSFADE_ASSIGN(const bool stands, Ask("to_regnamespace('crossfade') IS NOT NULL", {}));
    CROSSFADE_ASSIGN(
        const bool may,
        stands ? Ask("pg_has_role((SELECT nspowner FROM pg_namespace WHERE nspname = 'crossfade'), 'USAGE')", {})
               : Ask("has_database_privilege(current_database(), 'CREATE')", {}));
    if (!may && stands) {
      CROSSFADE_ASSIGN(
          const auto owner,
          connection_->Select("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'crossfade'"));
      Add(true, "CF1563", "schema crossfade", "the helper schema belongs to another role, whose migrations made it",
          fmt::format("GRANT {} TO {}", Quoted(owner[0][0].value_or("")), Quoted(account_)));
    } else if (!may) {
      Add(true, "CF1563", "CREATE on database " + database_, "the helper schema cannot be made",
          fmt::format("GRANT CREATE ON DATABASE {} TO {}", Quoted(database_), Quoted(account_)));
    }
    return {};
  }

  Status JudgeSchema(const std::string& schema) {
    CROSSFADE_ASSIGN(const bool stands, Ask("to_regnamespace($1) IS NOT NULL", {Quoted(schema)}));
    CROSSFADE_ASSIGN(const bool may, stands ? Ask("has_schema_privilege(to_regnamespace($1), 'USAGE')"
                                                  " AND has_schema_privilege(to_regnamespace($1), 'CREATE')",
                                                  {Quoted(schema)})
                                            : Ask("has_database_privilege(current_database(), 'CREATE')", {}));
    if (!may) {
      Add(true, "CF1564", "schema " + schema, "tables cannot be made in it",
          stands ? fmt::format("GRANT USAGE, CREATE ON SCHEMA {} TO {}", Quoted(schema), Quoted(account_))
                 : fmt::format("CREATE SCHEMA {} AUTHORIZATION {}", Quoted(schema), Quoted(account_)));
    }
    return {};
  }

  Status JudgeOwner(const WantedTable& table) {
    CROSSFADE_ASSIGN(const auto owner,
                     connection_->Select("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass($1)"
                                         " AND NOT pg_has_role(relowner, 'USAGE')",
                                         {table.QualifiedName()}));
    if (!owner.empty()) {
      Add(true, "CF1565", table.schema + "." + table.table,
          "keys cannot be added to a table that belongs to role " + owner[0][0].value_or(""),
          fmt::format("GRANT {} TO {}", Quoted(owner[0][0].value_or("")), Quoted(account_)));
    }
    return {};
  }

  Status JudgeReplicaRole() {
    const bool grantable = connection_->server_version() >= 150000;
    CROSSFADE_ASSIGN(const bool may, Ask(grantable ? "has_parameter_privilege('session_replication_role', 'SET')"
                                                   : "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)",
                                         {}));
    if (may) {
      return {};
    }
    CROSSFADE_ASSIGN(const bool stand, KeysStand(connection_, plan_));
    // PostgreSQL's log holds what foreign keys did: the target's must never act on it.
    const bool logged = std::any_of(plan_.tables.begin(), plan_.tables.end(), [](const WantedTable& table) {
      const TableSchema& source = table.route->source;
      return (table.route->referenced || !source.foreign_keys.empty()) && source.columns.front().of_postgres;
    });
    Add(stand || logged, "CF1566", "SET on session_replication_role",
        "rows cannot be written without firing foreign keys: needed for what a MariaDB or MySQL source writes under"
        " foreign_key_checks = 0, for all that PostgreSQL logs, and for a copy into tables whose keys stand",
        grantable ? fmt::format("GRANT SET ON PARAMETER session_replication_role TO {}", Quoted(account_))
                  : fmt::format("ALTER ROLE {} SUPERUSER (before PostgreSQL 15 it cannot be granted alone)",
                                Quoted(account_)));
    return {};
  }

  SchemaConnection* connection_;
  const SchemaPlan& plan_;
  std::string account_;
  std::string database_;
  std::vector<Finding> findings_;
};

}  // namespace

Result<std::vector<Finding>> FindMissingRights(SchemaConnection* connection, const SchemaPlan& plan) {
  return Rights(connection, plan).Find();
}

}  // namespace crossfade::apply
