#include "tools/crossfade/report/gather.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/clock.h"
#include "state/journal.h"
#include "tools/crossfade/pipeline.h"
#include "tools/crossfade/report/figures.h"
#include "tools/crossfade/report/verdict.h"
#include "tools/crossfade/scratch.h"
#include "tools/crossfade/settings.h"
#include "tools/crossfade/source_engine.h"

namespace crossfade::tools {

namespace {

constexpr uint64_t kMostDivergences = 1000;
constexpr size_t kMostPasses = 50;

std::string MadeBy() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  passwd entry = {};
  passwd* found = nullptr;
  std::array<char, 4096> buffer = {};
  const bool known = ::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return fmt::format("{}@{}", known ? entry.pw_name : std::to_string(::geteuid()), host);
}

std::string ValueOf(const Setting& setting) {
  if (const auto* text = std::get_if<std::string*>(&setting.field)) {
    return **text;
  }
  if (const auto* number = std::get_if<uint64_t*>(&setting.field)) {
    return std::to_string(**number);
  }
  if (const auto* flag = std::get_if<bool*>(&setting.field)) {
    return **flag ? "true" : "false";
  }
  std::string list;
  for (const std::string& item : **std::get_if<std::vector<std::string>*>(&setting.field)) {
    list += (list.empty() ? "" : ", ") + item;
  }
  return list;
}

// What the file sets otherwise than the default. Passwords are never part of it, only where they are found.
std::vector<std::pair<std::string, std::string>> SettingsOf(Config config) {
  Config defaults;
  const std::vector<Setting> known = AllSettings(&defaults);
  const std::vector<Setting> given = AllSettings(&config);
  std::vector<std::pair<std::string, std::string>> settings;
  for (size_t i = 0; i < given.size(); ++i) {
    if (ValueOf(given[i]) != ValueOf(known[i])) {
      settings.emplace_back(given[i].FullKey(), ValueOf(given[i]));
    }
  }
  return settings;
}

std::vector<std::pair<std::string, std::string>> ChangingPolicies(const Config& config) {
  std::vector<std::pair<std::string, std::string>> list;
  if (config.tenant.mode == "column") {
    list.emplace_back("tenant",
                      fmt::format("Every table on the target has one more column, {}, which holds '{}' in all "
                                  "rows of this migration; it is part of every key.",
                                  config.tenant.column, config.tenant.value));
  }
  for (const auto& [table, columns] : config.transform.rules.columns) {
    for (const auto& [column, rule] : columns) {
      const std::string what =
          rule.exclude ? "Excluded: its values are not on the target, and are not compared."
          : rule.kind == apply::TransformKind::kHash
              ? "Hashed (HMAC-SHA-256): compared as hashed; the values cannot be had back."
          : rule.kind == apply::TransformKind::kMask ? "Masked: every value but NULL is one and the same on the target."
          : rule.kind == apply::TransformKind::kCast ? "Cast to " + rule.argument + ": compared as cast."
                                                     : "";
      const std::string name = rule.name.empty() ? "" : fmt::format(" Named {} on the target.", rule.name);
      list.emplace_back(fmt::format("transform.columns.{}.{}", table, column), what + name);
    }
  }
  const std::string& zero = config.types.zero_dates;
  list.emplace_back("types.zero_dates = " + zero,
                    zero == "null"       ? "A date such as 0000-00-00 is NULL on the target."
                    : zero == "infinity" ? "0000-00-00 is -infinity on the target; a partial date such as 2020-02-00 "
                                           "stops the migration."
                                         : "A date such as 0000-00-00 stops the migration: none was changed.");
  list.emplace_back("types.nul_bytes = " + config.types.nul_bytes,
                    config.types.nul_bytes == "remove" ? "The character U+0000 is taken out of text."
                                                       : "The character U+0000 in text stops the migration: none was "
                                                         "taken out.");
  list.emplace_back("types.time = " + config.types.time,
                    config.types.time == "time"
                        ? "TIME is stored as 'time'; a value that is negative or above 24 h stops "
                          "the migration."
                        : "TIME is stored as 'interval', exactly.");
  list.emplace_back("types.text_keys = " + config.types.text_keys,
                    config.types.text_keys == "exact"
                        ? "Keys over text tell apart on the target what the source's collation takes for the same."
                        : "Keys over text that the source compares more coarsely than byte by byte are refused.");
  list.emplace_back("apply.on_divergence = " + config.apply.on_divergence,
                    config.apply.on_divergence == "repair"
                        ? "A row that is not as the log says is made as the source says."
                    : config.apply.on_divergence == "skip" ? "A change whose row is not as the log says is left out."
                                                           : "A row that is not as the log says stops the migration.");
  return list;
}

std::string IdentityText(const apply::Route& route) {
  std::string columns;
  for (const uint32_t column : route.key) {
    columns += (columns.empty() ? "" : ", ") + route.source.columns[column].name;
  }
  switch (route.identity) {
    case apply::RowIdentity::kPrimaryKey:
      return columns;
    case apply::RowIdentity::kUniqueKey:
      return columns + " (unique key)";
    case apply::RowIdentity::kWholeRow:
      return "all columns";
  }
  return columns;
}

class Gatherer {
 public:
  Gatherer(const Config& config, bool alive) : config_(config) { data_.alive = alive; }

  Result<ReportData> Gather() {
    Head();
    ReadStateDirectory();
    ReadTarget();
    if (!data_.status && !(data_.record && data_.record->known)) {
      Error error{
          ErrorClass::kConfig,
          "CF1811",
          "report",
          fmt::format("there is nothing to report about {}", config_.name),
          "",
          config_.state_dir,
          data_.record ? "no status.json there, and nothing on the target" : "no status.json there",
          fmt::format("begin the migration with 'crossfade run {}', or name in state_dir where it runs", config_.path)};
      return Fail(std::move(error));
    }
    data_.audit =
        Take("the audit log", ReadAuditOf(config_, data_.record && data_.record->known)).value_or(ReportAudit{});
    ReadTables();
    Compute();
    return std::move(data_);
  }

 private:
  void Head() {
    data_.made_us = WallMicros();
    data_.made_by = MadeBy();
    data_.program = "crossfade " CROSSFADE_VERSION;
    data_.name = config_.name;
    data_.config_path = config_.path;
    data_.config_hash = config_.sha256;
    data_.settings = SettingsOf(config_);
    data_.changing = ChangingPolicies(config_);
    const std::string where = config_.source.socket.empty()
                                  ? fmt::format("{}:{}", config_.source.host, config_.source.port)
                                  : config_.source.socket;
    data_.source = fmt::format("{} at {}, database {}",
                               config_.source.engine == "mysql"      ? "MySQL"
                               : config_.source.engine == "postgres" ? "PostgreSQL"
                                                                     : "MariaDB",
                               where, config_.source.database);
    data_.target = fmt::format("PostgreSQL at {}:{}, database {}, schema {}", config_.target.host, config_.target.port,
                               config_.target.database, config_.target.schema);
    if (config_.tenant.mode == "column") {
      data_.tenant = fmt::format("{} = '{}'", config_.tenant.column, config_.tenant.value);
      data_.tenant_type = config_.tenant.type;
    }
  }

  // Takes a value, or notes why there is none.
  template <typename T>
  std::optional<T> Take(const char* what, Result<T> result) {
    if (!result) {
      data_.unread.push_back(fmt::format("{}: {}", what, result.error().ToString()));
      return std::nullopt;
    }
    return std::move(*result);
  }

  void ReadStateDirectory() {
    data_.status = Take("the status of 'crossfade run'", ReadStatusFile(config_.state_dir));
    data_.history = Take("the history", ReadHistory(config_.state_dir)).value_or(History{});
    data_.verification =
        Take("the last comparison", ReadVerification(config_.state_dir)).value_or(std::optional<ReportVerification>());
    data_.passes =
        Take("the list of comparisons", ReadPasses(config_.state_dir, kMostPasses)).value_or(std::vector<ReportPass>());
  }

  void ReadTarget() { data_.record = Take("the target", ReadTargetRecord(config_, kMostDivergences)); }

  Result<std::vector<TableSchema>> SchemasOfJournal() const {
    const Scratch scratch(config_.state_dir);
    CROSSFADE_ASSIGN(const std::unique_ptr<state::Journal> journal,
                     state::Journal::OpenForReading({.directory = config_.state_dir + "/journal"}, scratch.path()));
    return LoadSchemas(journal.get());
  }

  void ReadTables() {
    std::optional<std::vector<TableSchema>> schemas =
        Take("the tables as they were when the migration began", SchemasOfJournal());
    const std::optional<SourceCatalog> catalog = ReadSource();
    if (!schemas && catalog) {
      schemas = catalog->tables;
    }
    if (!schemas) {
      return;
    }
    const std::optional<apply::RouteSet> routes = Take("how tables are mapped", RoutesOf(config_, *schemas));
    if (!routes) {
      return;
    }
    if (catalog) {
      data_.for_a_person = catalog->for_a_person;
      for (const TableSchema& table : catalog->tables) {
        if (routes->Find(table.name) == nullptr) {
          data_.excluded.push_back(table.name);
        }
      }
    }
    for (const auto& route : routes->routes()) {
      AddTable(*route);
    }
    if (data_.record) {
      if (const Status same = CheckTransforms(*routes, data_.record->state, config_); !same) {
        data_.unread.push_back(same.error().message);
      }
      std::erase_if(data_.record->state.facts, [](const std::string& fact) { return fact.find(' ') != fact.npos; });
      ReadPlan(*routes);
    }
  }

  std::optional<SourceCatalog> ReadSource() {
    const auto read = [&]() -> Result<SourceCatalog> {
      CROSSFADE_ASSIGN(const std::unique_ptr<SourceEngine> source, MakeSourceEngine(config_));
      CROSSFADE_ASSIGN(SourceCatalog catalog, source->ReadCatalog());
      CROSSFADE_ASSIGN(const Position head, source->Head());
      data_.source_head = head.ToString();
      return catalog;
    };
    return Take("the source", read());
  }

  void ReadPlan(const apply::RouteSet& routes) {
    const auto read = [&]() -> Result<std::vector<apply::Finding>> {
      CROSSFADE_ASSIGN(const std::unique_ptr<apply::Target> target, OpenTarget(config_));
      return target->PlanSchema(routes);
    };
    data_.findings = Take("what 'crossfade check' says of the target", read()).value_or(std::vector<apply::Finding>());
  }

  void AddTable(const apply::Route& route) {
    ReportTable table;
    table.source = route.source.name;
    table.target = route.schema + "." + route.table;
    table.identity = IdentityText(route);
    for (uint32_t i = 0; i < route.source.columns.size(); ++i) {
      const Column& source = route.source.columns[i];
      const Column& target = route.targets[i];
      if (std::find(route.columns.begin(), route.columns.end(), i) == route.columns.end()) {
        table.columns.push_back({source.name, source.source_type, "", "", "excluded", source.nullable});
        continue;
      }
      table.columns.push_back({source.name, source.source_type, TargetTypeOf(config_, target), target.name,
                               route.transforms[i] ? route.transforms[i]->ToString() : "", source.nullable});
    }
    if (data_.record) {
      for (const apply::CopiedTable& copied : data_.record->copied) {
        if (copied.table == table.source) {
          table.copied_rows = copied.rows;
          table.copied_chunks = copied.chunks;
        }
      }
    }
    data_.tables.push_back(std::move(table));
  }

  void Compute() {
    data_.phases = PhaseSpans(data_.history, data_.alive, data_.made_us);
    data_.copy = CopyOf(data_.phases, data_.record ? &data_.record->copied : nullptr, data_.history);
    data_.lag_total = LagOf(data_.history, &HistorySample::total);
    data_.lag_following = LagOf(data_.history, &HistorySample::total, true);
    data_.lag_capture = LagOf(data_.history, &HistorySample::capture);
    data_.lag_apply = LagOf(data_.history, &HistorySample::apply);
    if (data_.alive && data_.status) {
      data_.lag_total.now_ms = data_.status->lag_ms;
      data_.lag_following.now_ms = data_.status->phase == Phase::kFollowing ? data_.status->lag_ms : -1;
      data_.lag_capture.now_ms = data_.status->lag_capture_ms;
      data_.lag_apply.now_ms = data_.status->lag_apply_ms;
    }
    for (const HistorySample& sample : data_.history.samples) {
      if (sample.total.look_ms >= 0) {
        ++data_.lag_looks;
        data_.lag_from_us = data_.lag_from_us == 0 ? sample.at_us : data_.lag_from_us;
        data_.lag_to_us = sample.at_us;
      }
    }
    uint64_t applied = data_.status ? data_.status->applied_seq.value : 0;
    if (data_.record) {
      for (const apply::Progress& progress : data_.record->state.progress) {
        applied = std::max(applied, progress.low.value);
      }
    }
    if (data_.verification) {
      data_.applied_since_verification = AppliedSince(data_.history, data_.verification->ended_us, applied);
    }
    data_.verdict = JudgeReport(data_);
  }

  const Config& config_;
  ReportData data_;
};

}  // namespace

Result<ReportData> GatherReport(const Config& config, bool alive) { return Gatherer(config, alive).Gather(); }

}  // namespace crossfade::tools
