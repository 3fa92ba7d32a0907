#include "tools/crossfade/postgres_engine.h"

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "capture/postgres/postgres_source.h"
#include "db/postgres/catalog.h"
#include "db/postgres/connection.h"
#include "db/postgres/head.h"
#include "db/postgres/position.h"
#include "db/postgres/readiness.h"
#include "db/postgres/slot.h"
#include "snapshot/postgres/pg_snapshot.h"

namespace crossfade::tools {

namespace {

using postgres::Connection;

// How long a migration that begins waits for the source's transactions that write to end.
constexpr std::chrono::seconds kSlotWait{60};

std::vector<std::string> NamesOf(const std::vector<TableSchema>& tables) {
  std::vector<std::string> names;
  for (const TableSchema& table : tables) {
    names.push_back(table.name);
  }
  return names;
}

class PostgresEngine final : public SourceEngine {
 public:
  PostgresEngine(postgres::ConnectionOptions options, std::string schema, const std::string& migration,
                 bool consistent_copy, std::function<bool(const std::string&)> concerns)
      : options_(std::move(options)),
        schema_(std::move(schema)),
        replication_(postgres::ReplicationName(migration)),
        consistent_copy_(consistent_copy),
        concerns_(std::move(concerns)) {}

  Result<std::vector<apply::Finding>> Check() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connection::Open(options_));
    std::vector<apply::Finding> findings;
    postgres::SourceNeeds needs;
    needs.schema = schema_;
    needs.name = replication_;
    needs.application_name = options_.application_name;
    needs.consistent_copy = consistent_copy_;
    needs.concerns = concerns_;
    CROSSFADE_ASSIGN(const std::vector<postgres::Finding> lacking, postgres::CheckSource(connection.get(), needs));
    for (const postgres::Finding& f : lacking) {
      findings.push_back({f.blocks, f.code, f.object, f.found, f.meaning, f.fix});
    }
    CROSSFADE_ASSIGN(const postgres::Catalog catalog, postgres::ReadCatalog(*connection, schema_));
    for (const postgres::CatalogFinding& f : catalog.findings) {
      if (f.table.empty() || concerns_(f.table)) {
        findings.push_back({f.blocks, f.code, f.object, f.found, f.meaning, f.fix});
      }
    }
    return findings;
  }

  Result<SourceCatalog> ReadCatalog() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connection::Open(options_));
    CROSSFADE_ASSIGN(postgres::Catalog catalog, postgres::ReadCatalog(*connection, schema_));
    SourceCatalog result;
    for (postgres::CatalogTable& table : catalog.tables) {
      result.tables.push_back(std::move(table.schema));
      result.sizes.push_back(table.size);
    }
    result.for_a_person = std::move(catalog.for_a_person);
    return result;
  }

  Result<Position> Head() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connection::Open(options_));
    return postgres::ReadHead(connection.get());
  }

  // The publication first: changes that were made without one can never be read.
  Result<std::optional<Position>> BeginLog(const std::vector<TableSchema>& tables) override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connection::Open(options_));
    CROSSFADE_TRY(postgres::EnsurePublication(connection.get(), replication_, schema_, NamesOf(tables)));
    CROSSFADE_ASSIGN(const uint64_t begins, postgres::EnsureSlot(connection.get(), replication_, kSlotWait));
    CROSSFADE_ASSIGN(Position position, postgres::ReadHead(connection.get()));
    position.offset = begins;
    return std::optional(std::move(position));
  }

  Status EndLog() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connection::Open(options_));
    CROSSFADE_TRY(postgres::DropSlot(connection.get(), replication_));
    return postgres::DropPublication(connection.get(), replication_);
  }

  // They are in the slot's stream when they are committed, wherever it begins.
  Result<std::vector<std::string>> PreparedTransactions() override { return std::vector<std::string>(); }

  Result<Position> ParsePosition(const std::string& text) override {
    const Result<uint64_t> lsn = postgres::ParseLsn(text);
    if (!lsn) {
      return Fail(Error{ErrorClass::kConfig, "CF1714", "run", "this is no place in the source's log", "", "--until",
                        text, "'caught-up', or an LSN as the source prints it: 0/15785B0"});
    }
    CROSSFADE_ASSIGN(Position position, Head());
    position.offset = *lsn;
    return position;
  }

  Result<std::unique_ptr<PositionOrder>> Order() override { return std::make_unique<postgres::PgPositionOrder>(); }

  Result<std::unique_ptr<capture::Source>> OpenSource(const std::vector<TableSchema>& tables,
                                                      std::vector<capture::LogMark>) override {
    capture::PostgresSourceOptions options;
    options.connection = options_;
    options.schema = schema_;
    options.tables = tables;
    options.slot = replication_;
    options.publication = replication_;
    return std::make_unique<capture::PostgresSource>(std::move(options));
  }

  Result<std::unique_ptr<snapshot::SnapshotSource>> OpenSnapshots(const std::vector<TableSchema>&) override {
    snapshot::PgSnapshotOptions options;
    options.connection = options_;
    options.slot_wait = kSlotWait;
    return std::make_unique<snapshot::PgSnapshotSource>(std::move(options));
  }

  Result<Load> ReadLoad() override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connection::Open(options_));
    CROSSFADE_ASSIGN(const postgres::ResultSet set,
                     connection->Query("SELECT count(*) FILTER (WHERE state = 'active'),"
                                       " coalesce(max(age(backend_xmin)), 0) FROM pg_catalog.pg_stat_activity"
                                       " WHERE backend_type = 'client backend'",
                                       {}));
    Load load;
    load.threads_running = std::strtoull(set.rows.at(0).at(0).value_or("0").c_str(), nullptr, 10);
    load.history_length = std::strtoull(set.rows[0].at(1).value_or("0").c_str(), nullptr, 10);
    return load;
  }

  // The slot keeps the log; only a limit by size takes it away.
  Result<capture::Retention> ReadRetention(const Position&) override {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connection::Open(options_));
    CROSSFADE_ASSIGN(const std::optional<postgres::SlotState> slot, postgres::ReadSlot(connection.get(), replication_));
    capture::Retention retention;
    if (!slot) {
      return retention;
    }
    retention.purged = !slot->lost.empty();
    const bool scarce = slot->safe_bytes >= 0 && slot->held_bytes / 3 > static_cast<uint64_t>(slot->safe_bytes);
    if (retention.purged || scarce) {
      retention.warning = fmt::format(
          "the source will drop the log that slot {} needs after {} more MiB are written; ALTER SYSTEM SET "
          "max_slot_wal_keep_size = -1; SELECT pg_reload_conf()",
          replication_, slot->safe_bytes < 0 ? 0 : slot->safe_bytes >> 20);
    }
    return retention;
  }

 private:
  const postgres::ConnectionOptions options_;
  const std::string schema_;
  const std::string replication_;  // name of slot and publication
  const bool consistent_copy_;
  const std::function<bool(const std::string&)> concerns_;
};

}  // namespace

Result<std::unique_ptr<SourceEngine>> MakePostgresEngine(const Config& config) {
  postgres::ConnectionOptions options;
  options.host = config.source.socket.empty() ? config.source.host : config.source.socket;
  options.port = static_cast<uint16_t>(config.source.port);
  options.user = config.source.user;
  options.database = config.source.database;
  options.tls = config.source.tls == "off"      ? postgres::TlsMode::kOff
                : config.source.tls == "verify" ? postgres::TlsMode::kVerify
                                                : postgres::TlsMode::kRequired;
  options.tls_ca = config.source.tls_ca;
  CROSSFADE_ASSIGN(options.password, ReadPassword("source", config.source.password_env, config.source.password_file));
  return std::make_unique<PostgresEngine>(
      std::move(options), config.source.schema, config.name, config.snapshot.mode == "consistent",
      [rules = RulesOf(config)](const std::string& table) { return rules.Includes(table); });
}

}  // namespace crossfade::tools
