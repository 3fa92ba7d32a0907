#include "apply/postgres/session_steps.h"

#include <algorithm>
#include <functional>
#include <unordered_set>
#include <utility>

namespace crossfade::apply {

namespace {

// Updates of one step that change different columns become so many statements at most; the rest share one.
constexpr size_t kMaxColumnGroups = 8;
constexpr size_t kMaskColumns = 64;
// From so many rows on, rows without a key are looked for all at once.
constexpr size_t kManyWholeRows = 8;
// Parameters of a statement that reads its whole table: the fewer of them the better.
constexpr uint64_t kScanBytes = 8 << 20;

bool IsKey(const Route& route, uint32_t column) {
  return std::find(route.key.begin(), route.key.end(), column) != route.key.end();
}

// What the log left out of `after` did not change.
bool Changed(const RowChange& row, uint32_t column) {
  return !row.after[column].is_absent() && !Identical(row.before[column], row.after[column]);
}

bool IsPartial(const Route& route, const RowChange& row) {
  return std::any_of(route.columns.begin(), route.columns.end(),
                     [&](uint32_t column) { return row.after[column].is_absent(); });
}

std::vector<uint32_t> ColumnsOfMask(const Route& route, uint64_t mask) {
  std::vector<uint32_t> columns;
  for (const uint32_t column : route.columns) {
    if (((mask >> column) & 1) != 0) {
      columns.push_back(column);
    }
  }
  return columns;
}

uint64_t MaskOf(const Route& route, const RowChange& row) {
  uint64_t mask = 0;
  for (const uint32_t column : route.columns) {
    mask |= uint64_t{Changed(row, column)} << column;
  }
  return mask;
}

struct ColumnGroup {
  uint64_t mask = 0;
  std::vector<uint32_t> rows;
};

std::vector<ColumnGroup> GroupByColumns(const Step& step) {
  std::vector<ColumnGroup> groups;
  for (uint32_t i = 0; i < step.rows.size(); ++i) {
    const uint64_t mask = MaskOf(*step.route, step.rows[i]);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const ColumnGroup& g) { return g.mask == mask; });
    if (group == groups.end() && groups.size() == kMaxColumnGroups) {
      group = groups.end() - 1;
      group->mask |= mask;
    } else if (group == groups.end()) {
      group = groups.insert(groups.end(), ColumnGroup{mask, {}});
    }
    group->rows.push_back(i);
  }
  return groups;
}

// Too many columns for a mask: those that any row changes.
std::vector<uint32_t> ChangedInAny(const Step& step) {
  std::vector<uint32_t> columns;
  for (const uint32_t column : step.route->columns) {
    if (std::any_of(step.rows.begin(), step.rows.end(), [&](const RowChange& row) { return Changed(row, column); })) {
      columns.push_back(column);
    }
  }
  return columns;
}

uint64_t HashImage(const Route& route, std::span<const Value> image) {
  uint64_t hash = 0;
  for (const uint32_t column : route.columns) {
    const Value& value = image[column];
    const uint64_t of_bytes = std::hash<std::string_view>()(value.bytes);
    hash = (hash ^ of_bytes ^ value.u ^ static_cast<uint64_t>(value.kind)) * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29;
  }
  return hash;
}

// Whether a row that one of them makes may be one that another looks for.
bool Chained(const Step& step) {
  std::unordered_set<uint64_t> wanted;
  for (const RowChange& row : step.rows) {
    wanted.insert(HashImage(*step.route, row.before));
  }
  return std::any_of(step.rows.begin(), step.rows.end(),
                     [&](const RowChange& row) { return wanted.count(HashImage(*step.route, row.after)) != 0; });
}

// All but the key, and the key too where a row changes it: the row there may be of another time than `before`.
std::vector<uint32_t> AllToSet(const Step& step) {
  std::vector<uint32_t> columns;
  for (const uint32_t column : step.route->columns) {
    if (!IsKey(*step.route, column) ||
        std::any_of(step.rows.begin(), step.rows.end(), [&](const RowChange& row) { return Changed(row, column); })) {
      columns.push_back(column);
    }
  }
  return columns;
}

// The same for one row that lacks values.
std::vector<uint32_t> PresentToSet(const Route& route, const RowChange& row, bool all) {
  std::vector<uint32_t> columns;
  for (const uint32_t column : route.columns) {
    if (Changed(row, column) || (all && !row.after[column].is_absent() && !IsKey(route, column))) {
      columns.push_back(column);
    }
  }
  return columns;
}

}  // namespace

StepWriter::StepWriter(postgres::Connection* connection, const PgSessionOptions* options, std::string tenant)
    : connection_(connection), options_(options), tenant_(std::move(tenant)) {}

void StepWriter::Define(const std::string& name, const std::string& sql, std::vector<uint32_t> types) {
  definitions_[name] = {sql, std::move(types), false};
}

Status StepWriter::Plan(const std::vector<Step>& steps) {
  once_.clear();
  if (prepared_.size() > options_->prepared_statements || next_name_ > 2 * uint64_t{options_->prepared_statements}) {
    CROSSFADE_TRY(connection_->Execute("DEALLOCATE ALL"));
    ForgetPrepared();
  }
  for (auto& [name, definition] : definitions_) {
    if (!definition.prepared) {
      CROSSFADE_TRY(connection_->Prepare(name, definition.sql, definition.types));
      definition.prepared = true;
    }
  }
  parts_.clear();
  for (size_t i = 0; i < steps.size(); ++i) {
    CROSSFADE_TRY(PlanStep(steps[i], i));
  }
  return {};
}

void StepWriter::Use(postgres::Connection* connection) {
  connection_ = connection;
  ForgetPrepared();
}

void StepWriter::ForgetPrepared() {
  prepared_.clear();
  next_name_ = 0;
  for (auto& [name, definition] : definitions_) {
    definition.prepared = false;
  }
}

Status StepWriter::PlanStep(const Step& step, size_t index) {
  const Route* route = step.route;
  if (route->identity == RowIdentity::kWholeRow && step.rows.size() >= kManyWholeRows) {
    return PlanWholeRows(step, index);
  }
  switch (step.kind) {
    case StepKind::kInsert:
      return AddPart(index, route, Variant::kInsert);
    case StepKind::kDelete:
    case StepKind::kDeleteIfThere:
      return AddPart(index, route, Variant::kDelete);
    case StepKind::kUpdate:
    case StepKind::kUpdateIfThere:
      return PlanUpdates(step, index);
    case StepKind::kUpsert:
      if (route->identity == RowIdentity::kPrimaryKey) {
        return AddPart(index, route, Variant::kUpsert);
      }
      if (route->identity == RowIdentity::kUniqueKey) {
        CROSSFADE_TRY(AddPart(index, route, Variant::kDeleteByAfter, {}, {}, false));
      }
      return AddPart(index, route, Variant::kInsert);
    case StepKind::kTruncate:
      CROSSFADE_ASSIGN(const Prepared* prepared, PrepareTruncate(step));
      parts_.push_back({index, prepared, {}, false});
      return {};
  }
  return {};
}

Status StepWriter::PlanWholeRows(const Step& step, size_t index) {
  const bool deletes = step.kind == StepKind::kDelete || step.kind == StepKind::kDeleteIfThere;
  const bool updates = step.kind == StepKind::kUpdate || step.kind == StepKind::kUpdateIfThere;
  const std::vector<uint32_t> columns = updates ? ChangedInAny(step) : std::vector<uint32_t>();
  if (deletes) {
    CROSSFADE_TRY(AddPart(index, step.route, Variant::kDeleteWholeRows));
  } else if (updates && !columns.empty() && !Chained(step)) {
    CROSSFADE_TRY(AddPart(index, step.route, Variant::kUpdateWholeRows, columns));
  } else {
    return AddPart(index, step.route, updates ? Variant::kUpdate : Variant::kInsert, columns);
  }
  parts_.back().scans = true;
  return {};
}

// Rows that lack values go by themselves, with those that set the same columns.
Status StepWriter::PlanUpdates(const Step& step, size_t index) {
  const Route* const route = step.route;
  std::map<std::vector<uint32_t>, std::vector<uint32_t>> partial;
  std::vector<uint32_t> whole;
  const bool lenient = step.kind == StepKind::kUpdateIfThere;
  for (uint32_t i = 0; i < step.rows.size(); ++i) {
    if (IsPartial(*route, step.rows[i])) {
      partial[PresentToSet(*route, step.rows[i], lenient)].push_back(i);
    } else {
      whole.push_back(i);
    }
  }
  if (partial.empty()) {
    return lenient ? AddPart(index, route, Variant::kUpdate, AllToSet(step)) : PlanUpdate(step, index);
  }
  for (auto& [columns, rows] : partial) {
    CROSSFADE_TRY(AddPart(index, route, Variant::kUpdate, columns, std::move(rows)));
  }
  if (whole.empty()) {
    return {};
  }
  // In what is set of all of them, no matter which of it changed.
  Step rest;
  rest.route = route;
  for (const uint32_t i : whole) {
    rest.rows.push_back(step.rows[i]);
  }
  return AddPart(index, route, Variant::kUpdate, lenient ? AllToSet(rest) : ChangedInAny(rest), std::move(whole));
}

// Only what changed is set: a large value that did not change is then not written again.
Status StepWriter::PlanUpdate(const Step& step, size_t index) {
  const Route* route = step.route;
  if (route->identity == RowIdentity::kWholeRow || route->source.columns.size() > kMaskColumns) {
    return AddPart(index, route, Variant::kUpdate, ChangedInAny(step));
  }
  std::vector<ColumnGroup> groups = GroupByColumns(step);
  if (groups.size() == 1) {
    return AddPart(index, route, Variant::kUpdate, ColumnsOfMask(*route, groups[0].mask));
  }
  for (ColumnGroup& group : groups) {
    CROSSFADE_TRY(AddPart(index, route, Variant::kUpdate, ColumnsOfMask(*route, group.mask), std::move(group.rows)));
  }
  return {};
}

Status StepWriter::AddPart(size_t step, const Route* route, Variant variant, std::span<const uint32_t> columns,
                           std::vector<uint32_t> rows, bool counted) {
  CROSSFADE_ASSIGN(const Prepared* prepared, Find(route, variant, columns));
  parts_.push_back({step, prepared, std::move(rows), counted});
  return {};
}

Result<const TableStatements*> StepWriter::TableOf(const Route* route) {
  std::unique_ptr<TableStatements>& table = tables_[route];
  if (!table) {
    CROSSFADE_ASSIGN(TableStatements made, TableStatements::Make(*route, options_->tenancy, tenant_, options_->types));
    table = std::make_unique<TableStatements>(std::move(made));
  }
  return table.get();
}

Result<const StepWriter::Prepared*> StepWriter::Find(const Route* route, Variant variant,
                                                     std::span<const uint32_t> columns) {
  std::string key(reinterpret_cast<const char*>(&route), sizeof(const Route*));
  key.push_back(static_cast<char>(variant));
  key.append(reinterpret_cast<const char*>(columns.data()), columns.size_bytes());
  if (const auto found = prepared_.find(key); found != prepared_.end()) {
    return found->second.get();
  }
  CROSSFADE_ASSIGN(const TableStatements* table, TableOf(route));
  auto prepared = std::make_unique<Prepared>();
  prepared->name = fmt::format("step{}", next_name_++);
  prepared->table = table;
  switch (variant) {
    case Variant::kInsert:
      prepared->statement = table->Insert();
      break;
    case Variant::kUpdate:
      prepared->statement = table->Update(columns);
      break;
    case Variant::kDelete:
      prepared->statement = table->Delete();
      break;
    case Variant::kUpsert:
      prepared->statement = table->Upsert();
      break;
    case Variant::kDeleteByAfter:
      prepared->statement = table->DeleteByAfter();
      break;
    case Variant::kTruncate:
      prepared->statement.sql = table->Truncate({});
      break;
    case Variant::kUpdateWholeRows:
      prepared->statement = table->UpdateWholeRows(columns);
      break;
    case Variant::kDeleteWholeRows:
      prepared->statement = table->DeleteWholeRows();
      break;
  }
  CROSSFADE_TRY(connection_->Prepare(prepared->name, prepared->statement.sql, prepared->statement.types));
  return prepared_.emplace(std::move(key), std::move(prepared)).first->second.get();
}

Result<const StepWriter::Prepared*> StepWriter::PrepareTruncate(const Step& step) {
  if (step.ranges.empty()) {
    return Find(step.route, Variant::kTruncate, {});
  }
  CROSSFADE_ASSIGN(const TableStatements* table, TableOf(step.route));
  auto prepared = std::make_unique<Prepared>();
  prepared->name = fmt::format("step{}", next_name_++);
  prepared->table = table;
  prepared->statement.sql = table->Truncate(step.ranges);
  CROSSFADE_TRY(connection_->Prepare(prepared->name, prepared->statement.sql, {}));
  return once_.emplace_back(std::move(prepared)).get();
}

Status StepWriter::Queue(const std::vector<Step>& steps) {
  bool without_actions = false;
  for (const Part& part : parts_) {
    const Step& step = steps[part.step];
    if (step.without_actions != without_actions) {
      CROSSFADE_TRY(SwitchActions(!step.without_actions, part.step));
      without_actions = step.without_actions;
    }
    CROSSFADE_TRY(QueuePart(step, part));
  }
  return without_actions ? SwitchActions(true, kNoStep) : Status();
}

// What was written with checks must pass them before unchecked changes may take its parents away.
Status StepWriter::SwitchActions(bool on, size_t next_step) {
  if (on) {
    CROSSFADE_TRY(QueueNamed("origin", {}, kRoleSwitch));
    return QueueDefined("deferred", {});
  }
  CROSSFADE_TRY(QueueNamed("immediate", {}, next_step));
  return QueueNamed("replica", {}, kRoleSwitch);
}

Status StepWriter::QueuePart(const Step& step, const Part& part) {
  const size_t owner = part.counted ? part.step : kNoStep;
  if (step.kind == StepKind::kTruncate) {
    return QueueNamed(part.prepared->name, {}, owner);
  }
  if (part.scans) {
    CROSSFADE_TRY(QueueDefined("hash_on", {}));
    CROSSFADE_TRY(QueueArrays(step, part));
    return QueueDefined("hash_off", {});
  }
  if (!part.prepared->statement.row_by_row) {
    return QueueArrays(step, part);
  }
  for (const RowChange& row : step.rows) {
    CROSSFADE_TRY(QueueRow(step, part, row));
  }
  return {};
}

Status StepWriter::QueueArrays(const Step& step, const Part& part) {
  const TableStatements& table = *part.prepared->table;
  const std::vector<RowParameter>& wanted = part.prepared->statement.parameters;
  const std::vector<Column>& columns = step.route->targets;
  if (arrays_.size() < wanted.size()) {
    arrays_.resize(wanted.size());
  }
  const size_t count = part.rows.empty() ? step.rows.size() : part.rows.size();
  const uint64_t most_bytes = part.scans ? std::max(kScanBytes, options_->statement_bytes) : options_->statement_bytes;
  for (size_t next = 0; next < count;) {
    for (size_t p = 0; p < wanted.size(); ++p) {
      arrays_[p].Begin(table.type(wanted[p].column));
    }
    for (size_t bytes = 0; next < count && bytes < most_bytes; ++next) {
      const RowChange& row = step.rows[part.rows.empty() ? next : part.rows[next]];
      bytes = 0;
      for (size_t p = 0; p < wanted.size(); ++p) {
        const uint32_t column = wanted[p].column;
        const Result<Value> value =
            step.route->Stored(column, wanted[p].before ? row.before[column] : row.after[column], &transformed_);
        if (!value) {
          return Refused(step, part, row, value.error());
        }
        if (Status status = arrays_[p].Append(columns[column], options_->types, *value); !status) {
          return Refused(step, part, row, std::move(status).error());
        }
        bytes += arrays_[p].bytes();
      }
    }
    parameters_.clear();
    for (size_t p = 0; p < wanted.size(); ++p) {
      parameters_.push_back({table.type(wanted[p].column).array_oid, arrays_[p].Finish()});
    }
    CROSSFADE_TRY(QueueNamed(part.prepared->name, parameters_, part.counted ? part.step : kNoStep));
    for (size_t p = 0; p < wanted.size(); ++p) {
      arrays_[p].Trim();
    }
  }
  return {};
}

Status StepWriter::QueueRow(const Step& step, const Part& part, const RowChange& row) {
  const TableStatements& table = *part.prepared->table;
  const std::vector<RowParameter>& wanted = part.prepared->statement.parameters;
  const std::vector<Column>& columns = step.route->targets;
  scratch_.clear();
  std::vector<size_t> starts;
  for (const RowParameter& parameter : wanted) {
    starts.push_back(scratch_.size());
    const uint32_t column = parameter.column;
    const Result<Value> value =
        step.route->Stored(column, parameter.before ? row.before[column] : row.after[column], &transformed_);
    if (!value) {
      return Refused(step, part, row, value.error());
    }
    if (Status status = postgres::AppendField(table.type(column), columns[column], options_->types, *value, &scratch_);
        !status) {
      return Refused(step, part, row, std::move(status).error());
    }
  }
  parameters_.clear();
  starts.push_back(scratch_.size());
  constexpr size_t kLengthBytes = 4;
  for (size_t p = 0; p < wanted.size(); ++p) {
    postgres::Parameter parameter;
    parameter.type = table.type(wanted[p].column).oid;
    const std::string_view field = std::string_view(scratch_).substr(starts[p], starts[p + 1] - starts[p]);
    // The length before a field is -1 for NULL; any other has its first bit clear.
    if ((static_cast<uint8_t>(field.front()) & 0x80) == 0) {
      parameter.bytes = field.substr(kLengthBytes);
    }
    parameters_.push_back(parameter);
  }
  return QueueNamed(part.prepared->name, parameters_, part.counted ? part.step : kNoStep);
}

tl::unexpected<Error> StepWriter::Refused(const Step& step, const Part& part, const RowChange& row, Error error) {
  refused_step_ = part.step;
  return Fail(
      std::move(error).WithContext(fmt::format("Seq {}, table {}", row.seq.value, step.route->source.QualifiedName())));
}

Status StepWriter::QueueDefined(const std::string& name, std::span<const postgres::Parameter> parameters) {
  return QueueNamed(name, parameters, kNoStep);
}

Status StepWriter::QueueNamed(const std::string& name, std::span<const postgres::Parameter> parameters, size_t owner) {
  owners_.push_back(owner);
  return connection_->PipelineQueue(name, parameters);
}

}  // namespace crossfade::apply
