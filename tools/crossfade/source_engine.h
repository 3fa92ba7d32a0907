// Everything that is made of one kind of source: the pipeline knows only this.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "apply/postgres/audit_head.h"
#include "apply/postgres/migration_record.h"
#include "apply/route.h"
#include "apply/row_reader.h"
#include "apply/target.h"
#include "capture/mysql/log_retention.h"
#include "capture/source.h"
#include "core/error.h"
#include "core/position.h"
#include "core/schema.h"
#include "snapshot/reader.h"
#include "tools/crossfade/config.h"

namespace crossfade::tools {

struct SourceCatalog {
  std::vector<TableSchema> tables;
  std::vector<TableSize> sizes;           // beside `tables`
  std::vector<std::string> for_a_person;  // "view v", "trigger t on x": not moved by us
};

// Opens a connection of its own for each call: none is held. Thread-safe.
class SourceEngine {
 public:
  virtual ~SourceEngine() = default;

  // What the server, the account and the tables lack; empty is ready.
  virtual Result<std::vector<apply::Finding>> Check() = 0;
  virtual Result<SourceCatalog> ReadCatalog() = 0;
  // Names of the tables that the account can see; no views.
  virtual Result<std::vector<std::string>> TableNames() = 0;
  virtual Result<Position> Head() = 0;
  // Ids of transactions that are prepared and neither committed nor rolled back: capture must not start behind them.
  virtual Result<std::vector<std::string>> PreparedTransactions() = 0;
  // A position as an operator writes it: a GTID set or file:offset.
  virtual Result<Position> ParsePosition(const std::string& text) = 0;
  virtual Result<std::unique_ptr<PositionOrder>> Order() = 0;
  // `places_count`: the copy's places in the log are still compared with what is read.
  virtual Result<std::unique_ptr<capture::Source>> OpenSource(const std::vector<TableSchema>& tables,
                                                              std::vector<capture::LogMark> known_logs,
                                                              bool places_count) = 0;
  virtual Result<std::unique_ptr<snapshot::SnapshotSource>> OpenSnapshots(const std::vector<TableSchema>& tables) = 0;

  // For load limits: what the source says about itself now.
  struct Load {
    uint64_t threads_running = 0;
    uint64_t history_length = 0;
  };
  virtual Result<Load> ReadLoad() = 0;

  // How long the source will still keep what is read after `needed`.
  virtual Result<capture::Retention> ReadRetention(const Position& needed) = 0;
};

// How the configuration names tables, tenant and target.
apply::RouteRules RulesOf(const Config& config);
// Tables as they are routed; `schema` instead of the target's, if it is not empty. Config CF1706 when the key of hashed
// columns cannot be had, and as RouteSet::Make.
Result<apply::RouteSet> RoutesOf(const Config& config, const std::vector<TableSchema>& tables,
                                 const std::string& schema = "");
// The fact on the target that says by which transforms its rows were made; empty if there are none.
std::string TransformsFact(const apply::RouteSet& routes);
// Config CF1728 if the target's rows were made by others.
Status CheckTransforms(const apply::RouteSet& routes, const apply::TargetState& state, const Config& config);

// Config error CF1706 when the password cannot be had. Does not connect.
Result<std::unique_ptr<SourceEngine>> MakeSourceEngine(const Config& config);

// The target the configuration names; connects.
Result<std::unique_ptr<apply::Target>> OpenTarget(const Config& config);

// A reader of what the target stores; connects.
Result<std::unique_ptr<apply::RowReader>> OpenTargetRows(const Config& config);

// Where the target keeps the head of the audit log; connects.
Result<std::unique_ptr<apply::PgAuditHead>> OpenAuditHead(const Config& config);

// What stands on the target about the migration, for people; connects.
Result<apply::MigrationRecord> ReadTargetRecord(const Config& config, uint64_t max_divergences);

// The type that a column has on the target; empty if there is none.
std::string TargetTypeOf(const Config& config, const Column& column);

}  // namespace crossfade::tools
