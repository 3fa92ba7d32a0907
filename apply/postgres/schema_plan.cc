#include "apply/postgres/schema_plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "apply/postgres/chunk_loader.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

namespace {

// A B-tree entry of PostgreSQL has at most 2704 bytes, headers included.
constexpr uint64_t kLargestKeyBytes = 2600;

bool IsText(const Column& column) {
  return column.type == ColumnType::kChar || column.type == ColumnType::kVarchar || column.type == ColumnType::kText;
}

// Collations under which only equal bytes are equal. A *_bin collation that pads takes 'a' and 'a ' for the same.
bool IsExactCollation(std::string_view collation) {
  return collation == "binary" || collation == "utf8mb4_0900_bin" || collation.ends_with("_nopad_bin");
}

bool IsDateLike(const Column& column) {
  return column.type == ColumnType::kDate || column.type == ColumnType::kDateTime ||
         column.type == ColumnType::kTimestamp;
}

std::string SourceQuoted(std::string_view name) {
  std::string out = "`";
  for (const char c : name) {
    out += c;
    if (c == '`') {
      out += c;
    }
  }
  return out + "`";
}

// How a type of the source's own comes to the target. An enum's labels are known; anything else is the person's.
std::string TypeFix(const Column& column) {
  if (column.type != ColumnType::kNative) {
    return {};
  }
  if (column.labels.empty()) {
    return fmt::format(
        "make {} on the target as the source has it: CREATE EXTENSION of what brings it, or its "
        "CREATE TYPE or CREATE DOMAIN (pg_dump --schema-only)",
        column.source_type);
  }
  std::string labels;
  for (const std::string& label : column.labels) {
    labels += (labels.empty() ? "" : ", ") + QuoteLiteral(label);
  }
  return fmt::format("CREATE TYPE {} AS ENUM ({})", column.source_type, labels);
}

class Planner {
 public:
  Planner(const RouteSet& routes, const SchemaPlanOptions& options) : routes_(routes), options_(options) {}

  Result<SchemaPlan> Plan() {
    for (const auto& route : routes_.routes()) {
      names_.insert(route->table);
    }
    for (const auto& route : routes_.routes()) {
      CROSSFADE_TRY(PlanTable(*route));
    }
    return std::move(plan_);
  }

 private:
  Status PlanTable(const Route& route);
  Status PlanColumns(const Route& route, WantedTable* table);
  Status PlanComputed(const Route& route, uint32_t index, WantedTable* table);
  void CheckGenerated(const Route& route, uint32_t index);
  void PlanKey(const Route& route, const Key& key, WantedTable* table);
  void PlanForeignKey(const Route& route, const ForeignKey& key, WantedTable* table);
  bool ForeignKeyStands(const Route& route, const ForeignKey& key, const Route* parent);
  void CheckTextKeys(const Route& route);
  void CheckKeyLength(const Route& route, const std::string& name, const std::vector<KeyPart>& parts);

  void Find(bool blocks, std::string_view code, std::string object, std::string found, std::string meaning,
            std::string fix = {}) {
    plan_.findings.push_back(
        Finding{blocks, std::string(code), std::move(object), std::move(found), std::move(meaning), std::move(fix)});
  }

  std::string FreeName(const std::string& name, const std::string& identity) {
    std::string out = ShortName(name, identity);
    if (!names_.insert(out).second) {
      out = HashedName(name, identity);
      names_.insert(out);
    }
    return out;
  }

  const RouteSet& routes_;
  const SchemaPlanOptions& options_;
  SchemaPlan plan_;
  std::set<std::string> names_;  // relations share one name space within a schema
};

Status Planner::PlanColumns(const Route& route, WantedTable* table) {
  if (route.tenant_column) {
    WantedColumn tenant;
    tenant.name = options_.tenancy.column;
    tenant.type = TenantPgType(options_.tenancy);
    tenant.not_null = true;
    tenant.tenant = true;
    table->columns.push_back(std::move(tenant));
  }
  std::set<uint32_t> in_key;
  for (const KeyPart& part : route.source.primary_key) {
    in_key.insert(part.column);
  }
  for (uint32_t index = 0; index < route.source.columns.size(); ++index) {
    const bool moved = std::find(route.columns.begin(), route.columns.end(), index) != route.columns.end();
    if (!moved) {
      CROSSFADE_TRY(PlanComputed(route, index, table));
      continue;
    }
    const Column& source = route.targets[index];
    const std::string object = route.source.name + "." + route.source.columns[index].name;
    WantedColumn column;
    column.name = source.name;
    CROSSFADE_ASSIGN(column.type, postgres::MapType(source, options_.types));
    const bool may_become_null = options_.types.zero_dates == postgres::ZeroDatePolicy::kNull && IsDateLike(source);
    column.not_null = !source.nullable && (!may_become_null || in_key.contains(index));
    column.type_fix = TypeFix(source);
    column.numbered = source.auto_increment && source.type == ColumnType::kInt;
    column.comment = source.comment;
    if (auto translated = TranslateDefault(source, options_.types); translated && !column.numbered) {
      column.default_sql = std::move(*translated);
    } else if (const auto& given = route.source.columns[index].default_value;
               given && !column.numbered && source.generated == GeneratedKind::kNone) {
      Find(false, "CF1535", object, "DEFAULT " + *given,
           "this default has no exact counterpart on the target; the column gets none",
           fmt::format("if one is wanted: ALTER TABLE {} ALTER COLUMN {} SET DEFAULT with what means the same",
                       table->QualifiedName(), postgres::Connection::Identifier(column.name)));
    }
    CheckGenerated(route, index);
    if (source.generated != GeneratedKind::kNone) {
      Find(false, "CF1544", object, source.generation_expression,
           "a generated column: its values are copied, but the target does not compute them",
           "make it a generated column on the target after the switch, or let the application fill it");
    }
    table->columns.push_back(std::move(column));
  }
  return {};
}

// A column that the target works out itself, by the expression that the source has.
Status Planner::PlanComputed(const Route& route, uint32_t index, WantedTable* table) {
  const Column& source = route.source.columns[index];
  if (!source.computed()) {
    return {};
  }
  const bool as_they_are =
      route.columns.size() ==
          static_cast<size_t>(std::count_if(route.source.columns.begin(), route.source.columns.end(),
                                            [](const Column& c) { return !c.computed(); })) &&
      std::all_of(route.columns.begin(), route.columns.end(), [&](uint32_t other) {
        return !route.transforms[other] && route.targets[other].name == route.source.columns[other].name;
      });
  const std::string object = route.source.name + "." + source.name;
  if (!as_they_are || source.generated != GeneratedKind::kStored || route.transforms[index]) {
    Find(false, "CF1544", object, source.generation_expression,
         "a generated column: the log does not hold its values, and its expression may name columns that [transform] "
         "changes; the target has no such column",
         "make it a generated column on the target after the switch");
    return {};
  }
  WantedColumn column;
  column.name = route.targets[index].name;
  CROSSFADE_ASSIGN(column.type, postgres::MapType(source, options_.types));
  column.not_null = !source.nullable;
  column.computed_sql = source.generation_expression;
  column.comment = source.comment;
  table->columns.push_back(std::move(column));
  return {};
}

// What a rule hides would stand beside it in clear.
void Planner::CheckGenerated(const Route& route, uint32_t index) {
  const Column& generated = route.source.columns[index];
  if (generated.generated == GeneratedKind::kNone || route.transforms[index]) {
    return;
  }
  for (uint32_t i = 0; i < route.source.columns.size(); ++i) {
    const bool there = std::find(route.columns.begin(), route.columns.end(), i) != route.columns.end();
    const std::string name = SourceQuoted(route.source.columns[i].name);
    if ((!there || route.transforms[i]) && generated.generation_expression.find(name) != std::string::npos) {
      Find(true, "CF1549", route.source.name + "." + generated.name, generated.generation_expression,
           fmt::format("this column is made of {}, which [transform] {}, and would bring its value along", name,
                       there ? "changes" : "excludes"),
           fmt::format("[transform.columns.{}] {} = {{ exclude = true }}, or another rule", route.source.name,
                       generated.name));
    }
  }
}

Status Planner::PlanTable(const Route& route) {
  WantedTable table;
  table.route = &route;
  table.schema = route.schema;
  table.table = route.table;
  table.comment = route.source.comment;
  CROSSFADE_TRY(PlanColumns(route, &table));
  const auto& key = route.source.primary_key;
  names_.insert(ShortName(route.table + "_pkey", route.table + ".pkey"));
  if (!key.empty() && std::all_of(key.begin(), key.end(), [](const KeyPart& part) { return part.prefix == 0; })) {
    if (route.tenant_column) {
      table.primary_key.push_back(options_.tenancy.column);
    }
    for (const KeyPart& part : key) {
      table.primary_key.push_back(route.targets[part.column].name);
    }
    CheckKeyLength(route, "PRIMARY", key);
  } else if (!key.empty()) {
    // PostgreSQL has no primary key over part of a column: a unique index over the expression keeps its promise.
    PlanKey(route, Key{"primary", true, key, ""}, &table);
  }
  for (const Key& other : route.source.keys) {
    PlanKey(route, other, &table);
  }
  for (const ForeignKey& foreign : route.source.foreign_keys) {
    PlanForeignKey(route, foreign, &table);
  }
  for (const std::string& check : route.source.checks) {
    Find(false, "CF1543", route.source.name, check, "a check constraint is not carried over",
         "add it on the target before the switch, if it is wanted there");
  }
  CheckTextKeys(route);
  plan_.tables.push_back(std::move(table));
  return {};
}

void Planner::PlanKey(const Route& route, const Key& key, WantedTable* table) {
  if (!key.method.empty()) {
    Find(false, "CF1540", route.source.name + "." + key.name, key.method + " index",
         "an index of this kind is made by a person who knows its use",
         key.method == "FULLTEXT" ? "CREATE INDEX ... USING gin (to_tsvector(...)) on the target"
                                  : "use PostGIS and CREATE INDEX ... USING gist on the target");
    return;
  }
  for (const KeyPart& part : key.parts) {
    const Column& source = route.source.columns[part.column];
    const bool there = std::find(route.columns.begin(), route.columns.end(), part.column) != route.columns.end() ||
                       std::any_of(table->columns.begin(), table->columns.end(), [&](const WantedColumn& column) {
                         return !column.computed_sql.empty() && column.name == route.targets[part.column].name;
                       });
    if (!there || (part.prefix != 0 && route.transforms[part.column])) {
      Find(false, "CF1548", route.source.name + "." + key.name, there ? "transformed" : "excluded",
           fmt::format("an index over {}, which [transform] {}: it is not made", source.name,
                       there ? "changes" : "leaves out"),
           "make another index on the target, if its queries need one");
      return;
    }
  }
  WantedIndex index;
  index.name = FreeName(route.table + "_" + key.name, route.table + "." + key.name);
  index.unique = key.unique;
  if (route.tenant_column) {
    index.parts.push_back({options_.tenancy.column, "", false});
  }
  for (const KeyPart& part : key.parts) {
    const Column& column = route.targets[part.column];
    WantedIndexPart wanted{column.name, "", part.descending};
    if (part.prefix != 0) {
      const std::string name = postgres::Connection::Identifier(column.name);
      wanted.expression = IsText(column) ? fmt::format("left({}, {})", name, part.prefix)
                                         : fmt::format("substring({} FROM 1 FOR {})", name, part.prefix);
    }
    index.parts.push_back(std::move(wanted));
  }
  CheckKeyLength(route, key.name, key.parts);
  table->indexes.push_back(std::move(index));
}

void Planner::CheckKeyLength(const Route& route, const std::string& name, const std::vector<KeyPart>& parts) {
  uint64_t bytes = 0;
  for (const KeyPart& part : parts) {
    const Column& column = route.targets[part.column];
    const uint64_t length = part.prefix != 0 ? part.prefix : column.length;
    if (column.of_postgres) {
      continue;  // the source has the same limit
    }
    if (IsText(column)) {
      bytes += length * (column.charset == "utf8mb4" ? 4 : column.charset == "utf8mb3" ? 3 : 2);
    } else if (column.type == ColumnType::kVarbinary || column.type == ColumnType::kBinary ||
               column.type == ColumnType::kBlob) {
      bytes += length;
    }
  }
  if (bytes > kLargestKeyBytes) {
    Find(
        false, "CF1538", route.source.name + "." + name, fmt::format("up to {} bytes", bytes),
        "an index entry of PostgreSQL has at most 2704 bytes: a longer value stops the index, or the row",
        "nothing if no value is that long; else a key over the first characters, on the source: ADD KEY (column(600))");
  }
}

// Whether a foreign key can be made; says what stands in its way.
bool Planner::ForeignKeyStands(const Route& route, const ForeignKey& key, const Route* parent) {
  const std::string object = route.source.name + "." + key.name;
  if (parent == nullptr) {
    Find(key.has_action(), "CF1545", object, "references " + key.parent_table,
         "the parent table is not copied: the foreign key is left out, and what its action does on the source is not "
         "in the log",
         "include " + key.parent_table);
    return false;
  }
  const std::set<std::string> wanted(key.parent_columns.begin(), key.parent_columns.end());
  const auto is_unique_key = [&](const std::vector<KeyPart>& parts) {
    std::set<std::string> columns;
    for (const KeyPart& part : parts) {
      if (part.prefix != 0) {
        return false;
      }
      columns.insert(parent->source.columns[part.column].name);
    }
    return columns == wanted;
  };
  bool unique = is_unique_key(parent->source.primary_key);
  for (const Key& other : parent->source.keys) {
    unique = unique || (other.unique && other.method.empty() && is_unique_key(other.parts));
  }
  if (!unique) {
    Find(key.has_action(), "CF1541", object, "references columns of " + key.parent_table + " that are not unique",
         "PostgreSQL refuses such a foreign key: it is left out, and with it its action",
         "make the columns a unique key of the parent, or drop the foreign key on the source");
    return false;
  }
  const bool set_null_needs_list = key.on_delete == ReferenceAction::kSetNull && options_.server_version < 150000;
  const bool impossible = key.on_update == ReferenceAction::kSetNull || key.on_update == ReferenceAction::kSetDefault ||
                          key.on_delete == ReferenceAction::kSetDefault || set_null_needs_list;
  if (route.tenant_column && impossible) {
    Find(true, "CF1542", object, set_null_needs_list ? "ON DELETE SET NULL" : "ON UPDATE SET NULL, or SET DEFAULT",
         "beside a tenant column this action would set the tenant column too",
         set_null_needs_list ? "use PostgreSQL 15 or later, or another action on the source"
                             : "change the action on the source");
    return false;
  }
  return true;
}

void Planner::PlanForeignKey(const Route& route, const ForeignKey& key, WantedTable* table) {
  const Route* parent = routes_.Find(key.parent_table);
  if (!ForeignKeyStands(route, key, parent)) {
    return;
  }
  WantedForeignKey wanted;
  wanted.name = ShortName(key.name.empty() ? route.table + "_fkey" : key.name, route.table + "." + key.name);
  wanted.parent_schema = parent->schema;
  wanted.parent_table = parent->table;
  wanted.on_delete = key.on_delete;
  wanted.on_update = key.on_update;
  if (route.tenant_column) {
    wanted.columns.push_back(options_.tenancy.column);
    wanted.parent_columns.push_back(options_.tenancy.column);
  }
  for (const uint32_t column : key.columns) {
    wanted.columns.push_back(route.targets[column].name);
    if (route.tenant_column && key.on_delete == ReferenceAction::kSetNull) {
      wanted.set_null_columns.push_back(route.targets[column].name);
    }
  }
  for (const std::string& name : key.parent_columns) {
    const std::optional<uint32_t> column = parent->source.FindColumn(name);
    wanted.parent_columns.push_back(column ? parent->targets[*column].name : name);
  }
  table->foreign_keys.push_back(std::move(wanted));
}

void Planner::CheckTextKeys(const Route& route) {
  std::set<uint32_t> columns;
  for (const KeyPart& part : route.source.primary_key) {
    columns.insert(part.column);
  }
  for (const Key& key : route.source.keys) {
    if (key.unique && key.method.empty()) {
      for (const KeyPart& part : key.parts) {
        columns.insert(part.column);
      }
    }
  }
  for (const ForeignKey& key : route.source.foreign_keys) {
    columns.insert(key.columns.begin(), key.columns.end());
  }
  for (const uint32_t index : columns) {
    const Column& column = route.source.columns[index];
    // What PostgreSQL compares more coarsely, the source's catalog has named (CF1434).
    if (options_.text_keys_exact || column.of_postgres || !IsText(column) || IsExactCollation(column.collation)) {
      continue;
    }
    Find(true, "CF1530", route.source.name + "." + column.name, column.collation,
         "a key of text that the source compares without case, accents or trailing blanks; PostgreSQL compares it byte "
         "by byte",
         fmt::format("ALTER TABLE {} MODIFY {} {} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin{} on the source (on "
                     "MySQL: utf8mb4_0900_bin), or types.text_keys = \"exact\" if the application does not mind",
                     SourceQuoted(route.source.name), SourceQuoted(column.name), column.source_type,
                     column.nullable ? "" : " NOT NULL"));
  }
}

}  // namespace

Result<SchemaPlan> PlanSchemaOf(const RouteSet& routes, const SchemaPlanOptions& options) {
  return Planner(routes, options).Plan();
}

}  // namespace crossfade::apply
