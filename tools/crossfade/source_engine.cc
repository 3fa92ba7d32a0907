#include "tools/crossfade/source_engine.h"

#include <random>

#include "apply/postgres/pg_row_reader.h"
#include "apply/postgres/pg_target.h"
#include "capture/mysql/mysql_source.h"
#include "db/mysql/account.h"
#include "db/mysql/catalog.h"
#include "db/mysql/connection.h"
#include "db/mysql/position.h"
#include "db/mysql/readiness.h"
#include "snapshot/mysql/mysql_snapshot.h"
#include "tools/crossfade/pipeline.h"

namespace crossfade::tools {

namespace {

using mysql::Connection;

// MySQL's XA RECOVER without the privilege XA_RECOVER_ADMIN says this instead of naming it.
constexpr const char* kMayNotRecover = "1401";

// MariaDB or MySQL: one engine, two flavors.
class MySqlEngine : public SourceEngine {
 public:
  MySqlEngine(mysql::ConnectionOptions options, mysql::Flavor flavor, uint32_t server_id, mysql::SourceNeeds needs)
      : options_(std::move(options)), flavor_(flavor), server_id_(server_id), needs_(std::move(needs)) {}

  Result<std::vector<apply::Finding>> Check() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connect());
    CROSSFADE_ASSIGN(const std::vector<mysql::Finding> found,
                     mysql::CheckSource(*connection, options_.database, needs_));
    std::vector<apply::Finding> findings;
    for (const mysql::Finding& f : found) {
      findings.push_back({f.blocks, f.code, f.object, f.found, f.meaning, f.fix});
    }
    return findings;
  }

  Result<SourceCatalog> ReadCatalog() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connect());
    CROSSFADE_ASSIGN(mysql::Catalog catalog, mysql::ReadCatalog(*connection, options_.database));
    SourceCatalog result;
    for (mysql::CatalogTable& table : catalog.tables) {
      result.tables.push_back(std::move(table.schema));
      result.sizes.push_back(table.size);
    }
    const auto list = [&](const char* kind, const std::vector<std::string>& names) {
      for (const std::string& name : names) {
        result.for_a_person.push_back(fmt::format("{}{}", kind, name));
      }
    };
    list("view ", catalog.views);
    list("trigger ", catalog.triggers);
    list("", catalog.routines);
    list("event ", catalog.events);
    return result;
  }

  Result<std::vector<std::string>> TableNames() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connect());
    CROSSFADE_ASSIGN(
        const auto rows,
        connection->Rows(fmt::format("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA "
                                     "= {} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME",
                                     connection->Literal(options_.database))));
    std::vector<std::string> names;
    for (const auto& row : rows) {
      names.push_back(row.empty() ? "" : row[0].value_or(""));
    }
    return names;
  }

  Result<Position> Head() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connect());
    return mysql::ReadHead(*connection);
  }

  Result<std::vector<std::string>> PreparedTransactions() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connect());
    const auto rows = connection->Rows("XA RECOVER");
    if (!rows && rows.error().server_code == kMayNotRecover) {
      CROSSFADE_ASSIGN(const std::string account, mysql::CurrentAccount(*connection));
      Error error{ErrorClass::kConfig,
                  "CF1725",
                  "source",
                  "the account may not list prepared XA transactions",
                  kMayNotRecover,
                  options_.user,
                  "no XA_RECOVER_ADMIN",
                  fmt::format("GRANT XA_RECOVER_ADMIN ON *.* TO {}", account)};
      return Fail(std::move(error));
    }
    CROSSFADE_TRY(rows);
    std::vector<std::string> ids;
    for (const auto& row : *rows) {
      ids.push_back(row.size() > 3 ? mysql::XidLiteral(row) : "(unknown)");
    }
    return ids;
  }

  Result<Position> ParsePosition(const std::string& text) override {
    Position position;
    const size_t colon = text.rfind(':');
    const bool is_file = colon != std::string::npos && text.find('.') < colon && text.find(',') == std::string::npos &&
                         text.find_first_not_of("0123456789", colon + 1) == std::string::npos;
    if (is_file) {
      CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connect());
      position.server = connection->server().identity;
      position.file = text.substr(0, colon);
      position.offset = std::strtoull(text.c_str() + colon + 1, nullptr, 10);
      return position;
    }
    if (flavor_ == mysql::Flavor::kMariaDb) {
      const auto state = mysql::MariaDbGtidState::Parse(text);
      position.set = state ? state->ToString() : "";
    } else {
      const auto set = mysql::MySqlGtidSet::Parse(text);
      position.set = set ? set->ToString() : "";
    }
    if (position.set.empty()) {
      return Fail(Error{ErrorClass::kConfig, "CF1714", "run", "this is no place in the source's log", "", "--until",
                        text, "'caught-up', a set of GTIDs as the source prints it, or file:offset"});
    }
    return position;
  }

  Result<std::unique_ptr<PositionOrder>> Order() override {
    return std::make_unique<mysql::MySqlPositionOrder>(flavor_);
  }

  Result<std::unique_ptr<capture::Source>> OpenSource(const std::vector<TableSchema>& tables,
                                                      std::vector<capture::LogMark> known_logs,
                                                      bool places_count) override {
    capture::MySqlSourceOptions options;
    options.connection = options_;
    options.database = options_.database;
    options.tables = tables;
    options.known_logs = std::move(known_logs);
    options.places_count = places_count;
    options.server_id = server_id_;
    return std::make_unique<capture::MySqlSource>(options);
  }

  Result<std::unique_ptr<snapshot::SnapshotSource>> OpenSnapshots(const std::vector<TableSchema>& tables) override {
    snapshot::MySqlSnapshotOptions options;
    options.connection = options_;
    for (const TableSchema& table : tables) {
      options.tables.push_back(table.name);
    }
    return std::make_unique<snapshot::MySqlSnapshotSource>(std::move(options));
  }

  Result<Load> ReadLoad() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connect());
    Load load;
    CROSSFADE_ASSIGN(const auto threads, connection->Rows("SHOW GLOBAL STATUS LIKE 'Threads_running'"));
    if (!threads.empty() && threads[0].size() > 1) {
      load.threads_running = std::strtoull(threads[0][1].value_or("0").c_str(), nullptr, 10);
    }
    CROSSFADE_ASSIGN(const auto history, connection->Scalar("SELECT COUNT FROM information_schema.INNODB_METRICS "
                                                            "WHERE NAME = 'trx_rseg_history_len'"));
    load.history_length = std::strtoull(history.value_or("0").c_str(), nullptr, 10);
    return load;
  }

  Result<capture::Retention> ReadRetention(const Position& needed) override {
    return capture::ReadRetention(options_, needed);
  }

 private:
  Result<std::unique_ptr<Connection>> Connect() const {
    CROSSFADE_ASSIGN(std::unique_ptr<Connection> connection, Connection::Open(options_));
    if (connection->server().flavor != flavor_) {
      Error error{
          ErrorClass::kConfig,
          "CF1724",
          "source",
          "the server is not of the engine that source.engine names",
          "",
          "source.engine",
          connection->server().version,
          flavor_ == mysql::Flavor::kMariaDb ? "set source.engine = \"mysql\"" : "set source.engine = \"mariadb\""};
      return Fail(std::move(error));
    }
    return connection;
  }

  mysql::ConnectionOptions options_;
  mysql::Flavor flavor_;
  uint32_t server_id_;
  const mysql::SourceNeeds needs_;
};

postgres::TypePolicy TypesOf(const Config& config) {
  postgres::TypePolicy policy;
  policy.zero_dates = config.types.zero_dates == "null"       ? postgres::ZeroDatePolicy::kNull
                      : config.types.zero_dates == "infinity" ? postgres::ZeroDatePolicy::kInfinity
                                                              : postgres::ZeroDatePolicy::kStop;
  policy.nul_bytes =
      config.types.nul_bytes == "remove" ? postgres::NulBytePolicy::kRemove : postgres::NulBytePolicy::kStop;
  policy.time = config.types.time == "time" ? postgres::TimePolicy::kTime : postgres::TimePolicy::kInterval;
  return policy;
}

}  // namespace

apply::RouteRules RulesOf(const Config& config) {
  apply::RouteRules rules;
  rules.tenancy.mode = config.tenant.mode == "none" ? apply::TenancyMode::kNone : apply::TenancyMode::kColumn;
  rules.tenancy.column = config.tenant.column;
  rules.tenancy.type = config.tenant.type == "bigint" ? apply::TenantType::kBigint
                       : config.tenant.type == "uuid" ? apply::TenantType::kUuid
                                                      : apply::TenantType::kText;
  rules.tenancy.value = config.tenant.value;
  rules.target_schema = config.target.schema;
  rules.include = config.tables.include;
  rules.exclude = config.tables.exclude;
  rules.transforms = config.transform.rules;
  return rules;
}

Result<apply::RouteSet> RoutesOf(const Config& config, const std::vector<TableSchema>& tables,
                                 const std::string& schema) {
  apply::RouteRules rules = RulesOf(config);
  CROSSFADE_ASSIGN(rules.transforms.hash_key, ReadHashKey(config));
  if (!schema.empty()) {
    rules.target_schema = schema;
  }
  return apply::RouteSet::Make(tables, rules);
}

namespace {
constexpr std::string_view kTransformsFact = "transforms ";
}  // namespace

std::string TransformsFact(const apply::RouteSet& routes) {
  const std::string fingerprint = routes.rules().transforms.Fingerprint();
  return fingerprint.empty() ? "" : std::string(kTransformsFact) + fingerprint;
}

Status CheckTransforms(const apply::RouteSet& routes, const apply::TargetState& state, const Config& config) {
  std::string stored;
  bool begun = false;
  for (const std::string& fact : state.facts) {
    begun = begun || fact == "tables";
    if (fact.starts_with(kTransformsFact)) {
      stored = fact;
    }
  }
  const std::string wanted = TransformsFact(routes);
  if (stored == wanted || (stored.empty() && !begun)) {
    return {};
  }
  return Fail(
      Error{ErrorClass::kConfig, "CF1728", "config",
            fmt::format("{}: [transform], or the key of hashed columns, is not what the rows on the target were "
                        "made with",
                        config.path),
            "", "[transform]", stored.empty() ? "the migration began without" : "the migration began with others",
            fmt::format("put back what it was; or 'crossfade abort {}', and begin again", config.path)});
}

Result<std::unique_ptr<SourceEngine>> MakeSourceEngine(const Config& config) {
  mysql::ConnectionOptions options;
  options.host = config.source.host;
  options.port = static_cast<uint16_t>(config.source.port);
  options.socket = config.source.socket;
  options.user = config.source.user;
  options.database = config.source.database;
  options.tls = config.source.tls == "off"      ? mysql::TlsMode::kOff
                : config.source.tls == "verify" ? mysql::TlsMode::kVerify
                                                : mysql::TlsMode::kRequired;
  options.tls_ca = config.source.tls_ca;
  CROSSFADE_ASSIGN(options.password, ReadPassword("source", config.source.password_env, config.source.password_file));
  const auto flavor = config.source.engine == "mysql" ? mysql::Flavor::kMySql : mysql::Flavor::kMariaDb;
  // One id for the whole run: a reconnect replaces our own dead connection on the server instead of standing beside it.
  std::random_device random;
  const auto drawn = std::uniform_int_distribution<uint32_t>(100'000'000, 4'000'000'000)(random);
  const auto server_id = config.source.server_id != 0 ? static_cast<uint32_t>(config.source.server_id) : drawn;
  mysql::SourceNeeds needs;
  needs.consistent_copy = config.snapshot.mode == "consistent";
  needs.concerns = [rules = RulesOf(config)](const std::string& table) { return rules.Includes(table); };
  return std::make_unique<MySqlEngine>(std::move(options), flavor, server_id, std::move(needs));
}

namespace {

Result<apply::PgTargetOptions> TargetOptionsOf(const Config& config) {
  apply::PgTargetOptions options;
  options.connection.host = config.target.host;
  options.connection.port = static_cast<uint16_t>(config.target.port);
  options.connection.user = config.target.user;
  options.connection.database = config.target.database;
  options.connection.tls = config.target.tls == "off"      ? postgres::TlsMode::kOff
                           : config.target.tls == "verify" ? postgres::TlsMode::kVerify
                                                           : postgres::TlsMode::kRequired;
  options.connection.tls_ca = config.target.tls_ca;
  CROSSFADE_ASSIGN(options.connection.password,
                   ReadPassword("target", config.target.password_env, config.target.password_file));
  options.migration = config.name;
  options.tenancy = RulesOf(config).tenancy;
  options.types = TypesOf(config);
  options.extra_columns =
      config.target.extra_columns == "stop" ? apply::ExtraColumnPolicy::kStop : apply::ExtraColumnPolicy::kAdd;
  options.text_keys_exact = config.types.text_keys == "exact";
  options.synchronous_commit = config.target.synchronous_commit;
  options.grace_ms = static_cast<uint32_t>(config.target.takeover_grace_ms);
  return options;
}

}  // namespace

Result<std::unique_ptr<apply::Target>> OpenTarget(const Config& config) {
  CROSSFADE_ASSIGN(const apply::PgTargetOptions options, TargetOptionsOf(config));
  return apply::OpenPgTarget(options);
}

Result<std::unique_ptr<apply::RowReader>> OpenTargetRows(const Config& config) {
  CROSSFADE_ASSIGN(const apply::PgTargetOptions options, TargetOptionsOf(config));
  return apply::OpenPgRowReader(options);
}

Result<std::unique_ptr<apply::PgAuditHead>> OpenAuditHead(const Config& config) {
  CROSSFADE_ASSIGN(const apply::PgTargetOptions options, TargetOptionsOf(config));
  return apply::PgAuditHead::Open(options);
}

Result<apply::MigrationRecord> ReadTargetRecord(const Config& config, uint64_t max_divergences) {
  CROSSFADE_ASSIGN(const apply::PgTargetOptions options, TargetOptionsOf(config));
  return apply::ReadMigrationRecord(options, max_divergences);
}

std::string TargetTypeOf(const Config& config, const Column& column) {
  const Result<postgres::PgType> type = postgres::MapType(column, TypesOf(config));
  return type ? type->sql : "";
}

}  // namespace crossfade::tools
