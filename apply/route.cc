#include "apply/route.h"

#include <algorithm>
#include <utility>

namespace crossfade::apply {

namespace {

constexpr std::string_view kComponent = "apply.route";
// PostgreSQL keeps 63 bytes of a name and silently drops the rest.
constexpr size_t kMaxNameBytes = 63;

bool Matches(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t after_star = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++after_star;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') {
    ++p;
  }
  return p == pattern.size();
}

bool AnyMatches(const std::vector<std::string>& patterns, std::string_view text) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) { return Matches(p, text); });
}

bool IsIdentity(const TableSchema& table, const std::vector<KeyPart>& parts) {
  return !parts.empty() && std::all_of(parts.begin(), parts.end(), [&](const KeyPart& part) {
    const Column& column = table.columns[part.column];
    return part.prefix == 0 && !column.nullable && !column.computed();
  });
}

std::vector<uint32_t> ColumnsOf(const std::vector<KeyPart>& parts) {
  std::vector<uint32_t> columns;
  for (const KeyPart& part : parts) {
    columns.push_back(part.column);
  }
  return columns;
}

void ChooseIdentity(Route* route) {
  const TableSchema& table = route->source;
  const bool whole_primary = std::all_of(table.primary_key.begin(), table.primary_key.end(),
                                         [](const KeyPart& part) { return part.prefix == 0; });
  if (!table.primary_key.empty() && whole_primary) {
    route->identity = RowIdentity::kPrimaryKey;
    route->key = ColumnsOf(table.primary_key);
    return;
  }
  for (const Key& key : table.keys) {
    if (key.unique && key.method.empty() && IsIdentity(table, key.parts)) {
      route->identity = RowIdentity::kUniqueKey;
      route->key = ColumnsOf(key.parts);
      return;
    }
  }
  route->identity = RowIdentity::kWholeRow;
  route->key = route->columns;
}

Status CheckName(std::string_view object, std::string_view name) {
  if (name.size() <= kMaxNameBytes) {
    return {};
  }
  auto error = MakeError(ErrorClass::kConfig, "CF1511", kComponent, "{}: the name {} has {} bytes, the target keeps {}",
                         object, name, name.size(), kMaxNameBytes);
  error.value().object = object;
  error.value().found = name;
  error.value().fix = "give it a shorter name in [transform], or exclude the table";
  return error;
}

tl::unexpected<Error> TwiceNamed(const std::string& object, const std::string& name) {
  return Fail(Error{ErrorClass::kConfig, "CF1518", std::string(kComponent),
                    fmt::format("{}: two would be named {} on the target", object, name), "", object, name,
                    "choose other names in [transform]"});
}

// Names and values of the columns, as rules have it.
Status TransformColumns(const TransformRules& rules, Route* route) {
  const TableSchema& table = route->source;
  route->targets = table.columns;
  route->transforms.resize(table.columns.size());
  const auto found = rules.columns.find(table.name);
  if (found == rules.columns.end()) {
    return {};
  }
  for (const auto& [name, rule] : found->second) {
    const std::string object = table.QualifiedName() + "." + name;
    const std::optional<uint32_t> column = table.FindColumn(name);
    if (!column) {
      return Fail(Error{ErrorClass::kConfig, "CF1517", std::string(kComponent),
                        fmt::format("{} is to be transformed and is not there", object), "", object, "no such column",
                        fmt::format("correct or remove transform.columns.{}.{}", table.name, name)});
    }
    if (rule.kind != TransformKind::kNone && !rule.exclude) {
      CROSSFADE_ASSIGN(route->transforms[*column],
                       Transform::Make(rule, table.columns[*column], object, rules.hash_key));
      route->targets[*column] = route->transforms[*column]->target();
    }
    if (!rule.name.empty()) {
      route->targets[*column].name = rule.name;
    }
  }
  return {};
}

// A row is found by its key on both sides, and a foreign key holds only while both of its ends are what they were:
// their columns may have other names and nothing else. A unique key may not lose what makes its values different.
Status CheckStays(const Route& route, uint32_t column, const std::string& key) {
  if (route.source.columns[column].computed()) {
    return {};
  }
  const bool there = std::find(route.columns.begin(), route.columns.end(), column) != route.columns.end();
  if (there && route.transforms[column] == nullptr) {
    return {};
  }
  const std::string object = route.source.QualifiedName() + "." + route.source.columns[column].name;
  const std::string what = there ? route.transforms[column]->ToString() : "excluded";
  return Fail(Error{ErrorClass::kConfig, "CF1515", std::string(kComponent),
                    fmt::format("{} is a part of {}, and cannot be {}", object, key, what), "", object, what,
                    "a column of such a key may be renamed only; leave it as it is, or exclude the table"});
}

Status CheckKeysStay(const Route& route) {
  const TableSchema& table = route.source;
  if (route.identity != RowIdentity::kWholeRow) {
    for (const uint32_t column : route.key) {
      CROSSFADE_TRY(CheckStays(route, column, "the key by which rows are found"));
    }
  }
  for (const KeyPart& part : table.primary_key) {
    CROSSFADE_TRY(CheckStays(route, part.column, "the primary key"));
  }
  for (const Key& key : table.keys) {
    for (const KeyPart& part : key.parts) {
      if (key.unique) {
        CROSSFADE_TRY(CheckStays(route, part.column, "the unique key " + key.name));
      }
    }
  }
  return {};
}

Status CheckForeignKeysStay(const Route& route, const std::map<std::string, Route*>& routes) {
  for (const ForeignKey& key : route.source.foreign_keys) {
    for (const uint32_t column : key.columns) {
      CROSSFADE_TRY(CheckStays(route, column, "the foreign key " + key.name));
    }
    const auto parent = routes.find(key.parent_table);
    if (parent == routes.end()) {
      continue;
    }
    for (const std::string& name : key.parent_columns) {
      if (const auto column = parent->second->source.FindColumn(name)) {
        CROSSFADE_TRY(CheckStays(*parent->second, *column, "the foreign key " + key.name));
      }
    }
  }
  return {};
}

Result<std::unique_ptr<Route>> MakeRoute(const TableSchema& table, const RouteRules& rules) {
  auto route = std::make_unique<Route>();
  route->source = table;
  route->schema = rules.target_schema;
  const auto renamed = rules.transforms.tables.find(table.name);
  route->table = renamed == rules.transforms.tables.end() ? table.name : renamed->second;
  route->tenant_column = rules.tenancy.mode == TenancyMode::kColumn;
  CROSSFADE_TRY(CheckName(table.QualifiedName(), route->table));
  CROSSFADE_TRY(TransformColumns(rules.transforms, route.get()));
  std::set<std::string> names;
  for (uint32_t i = 0; i < table.columns.size(); ++i) {
    if (const ColumnRule* rule = rules.transforms.Find(table.name, table.columns[i].name); rule && rule->exclude) {
      continue;
    }
    const std::string& name = route->targets[i].name;
    if (route->tenant_column && name == rules.tenancy.column) {
      auto error = MakeError(ErrorClass::kConfig, "CF1510", kComponent,
                             "{} has a column named like the tenant column {}", table.QualifiedName(), name);
      error.value().object = table.QualifiedName();
      error.value().found = "column " + name;
      error.value().fix = "choose another name for tenant.column, or for the column in [transform]";
      return error;
    }
    CROSSFADE_TRY(CheckName(table.QualifiedName(), name));
    if (!names.insert(name).second) {
      return TwiceNamed(table.QualifiedName(), name);
    }
    if (!table.columns[i].computed()) {
      route->columns.push_back(i);
    }
  }
  if (route->columns.empty()) {
    return Fail(Error{ErrorClass::kConfig, "CF1515", std::string(kComponent),
                      fmt::format("all columns of {} are excluded", table.QualifiedName()), "", table.QualifiedName(),
                      "no column left", fmt::format("exclude the table: tables.exclude = [\"{}\"]", table.name)});
  }
  ChooseIdentity(route.get());
  CROSSFADE_TRY(CheckKeysStay(*route));
  return route;
}

// For each table, the tables whose foreign keys with an action refer to it.
using Edges = std::map<std::string, std::set<std::string>>;

std::set<std::string> Closure(const Edges& edges, const std::string& start) {
  std::set<std::string> reached;
  std::vector<std::string> open = {start};
  while (!open.empty()) {
    const std::string table = std::move(open.back());
    open.pop_back();
    const auto found = edges.find(table);
    if (found == edges.end()) {
      continue;
    }
    for (const std::string& child : found->second) {
      if (reached.insert(child).second) {
        open.push_back(child);
      }
    }
  }
  return reached;
}

void NoteReference(const ForeignKey& key, Route* parent) {
  parent->referenced = true;
  parent->delete_acts |= key.on_delete != ReferenceAction::kNoAction;
  if (key.on_update == ReferenceAction::kNoAction) {
    return;
  }
  for (const std::string& name : key.parent_columns) {
    if (const auto column = parent->source.FindColumn(name)) {
      parent->referenced_columns.insert(*column);
    }
  }
}

// Depth first over the parents. A cycle is cut where it is met.
void Rank(const std::map<std::string, Route*>& routes, Route* route, std::set<const Route*>* seen, uint32_t* next) {
  if (!seen->insert(route).second) {
    return;
  }
  for (const ForeignKey& key : route->source.foreign_keys) {
    if (const auto parent = routes.find(key.parent_table); parent != routes.end()) {
      Rank(routes, parent->second, seen, next);
    }
  }
  route->rank = (*next)++;
}

void FollowForeignKeys(const std::map<std::string, Route*>& routes) {
  Edges acting;
  for (const auto& [name, route] : routes) {
    for (const ForeignKey& key : route->source.foreign_keys) {
      const auto parent = routes.find(key.parent_table);
      if (parent == routes.end()) {
        continue;
      }
      NoteReference(key, parent->second);
      if (key.has_action()) {
        acting[key.parent_table].insert(name);
      }
    }
  }
  std::set<const Route*> seen;
  uint32_t next = 0;
  for (const auto& [name, route] : routes) {
    route->cascade_reach = Closure(acting, name);
    Rank(routes, route, &seen, &next);
  }
}

// Rules of tables that are not moved, and tables of one name.
Status CheckTables(const RouteRules& rules, const std::vector<TableSchema>& tables,
                   const std::map<std::string, Route*>& routes) {
  std::set<std::string> wanted;
  for (const auto& [name, to] : rules.transforms.tables) {
    wanted.insert(name);
  }
  for (const auto& [name, of_columns] : rules.transforms.columns) {
    wanted.insert(name);
  }
  for (const std::string& name : wanted) {
    if (routes.find(name) == routes.end()) {
      const bool there =
          std::any_of(tables.begin(), tables.end(), [&](const TableSchema& t) { return t.name == name; });
      return Fail(Error{ErrorClass::kConfig, "CF1517", std::string(kComponent),
                        fmt::format("[transform] names the table {}, which {}", name,
                                    there ? "is left out" : "the source does not have"),
                        "", name, there ? "left out by tables.include or tables.exclude" : "no such table",
                        "correct the name in [transform], or remove it"});
    }
  }
  std::map<std::string, std::string> taken;
  for (const auto& [name, route] : routes) {
    if (!taken.emplace(route->table, name).second) {
      return TwiceNamed(fmt::format("{} and {}", taken[route->table], name), route->table);
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> Route::ExcludedColumns() const {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < source.columns.size(); ++i) {
    if (std::find(columns.begin(), columns.end(), i) == columns.end()) {
      names.push_back(source.columns[i].name);
    }
  }
  return names;
}

Route Route::WithoutTransforms() const {
  Route route = *this;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (transforms[i]) {
      route.source.columns[i] = targets[i];
      route.transforms[i] = nullptr;
    }
  }
  return route;
}

bool RouteRules::Includes(std::string_view table) const {
  return AnyMatches(include, table) && !AnyMatches(exclude, table);
}

Result<RouteSet> RouteSet::Make(const std::vector<TableSchema>& tables, const RouteRules& rules) {
  RouteSet set;
  set.rules_ = rules;
  std::map<std::string, Route*> by_name;
  for (const TableSchema& table : tables) {
    if (!rules.Includes(table.name)) {
      continue;
    }
    CROSSFADE_ASSIGN(auto route, MakeRoute(table, rules));
    by_name[table.name] = route.get();
    set.routes_.push_back(std::move(route));
  }
  if (set.routes_.empty()) {
    auto error = MakeError(ErrorClass::kConfig, "CF1512", kComponent, "none of the source's {} tables is included",
                           tables.size());
    error.value().object = "tables.include, tables.exclude";
    error.value().found = fmt::format("{} of {} tables left out", tables.size(), tables.size());
    error.value().fix = "tables.include and tables.exclude must leave at least one table";
    return error;
  }
  CROSSFADE_TRY(CheckTables(rules, tables, by_name));
  for (const auto& route : set.routes_) {
    CROSSFADE_TRY(CheckForeignKeysStay(*route, by_name));
  }
  std::sort(set.routes_.begin(), set.routes_.end(),
            [](const auto& a, const auto& b) { return a->source.name < b->source.name; });
  FollowForeignKeys(by_name);
  for (const auto& route : set.routes_) {
    set.by_name_[route->source.name] = route.get();
  }
  return set;
}

const Route* RouteSet::Find(std::string_view source_table) const {
  const auto found = by_name_.find(source_table);
  return found == by_name_.end() ? nullptr : found->second;
}

}  // namespace crossfade::apply
