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
    return part.prefix == 0 && !table.columns[part.column].nullable;
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
  error.value().fix = "exclude the table, or rename it on the source";
  return error;
}

Result<std::unique_ptr<Route>> MakeRoute(const TableSchema& table, const RouteRules& rules) {
  auto route = std::make_unique<Route>();
  route->source = table;
  route->schema = rules.target_schema;
  route->table = table.name;
  route->tenant_column = rules.tenancy.mode == TenancyMode::kColumn;
  CROSSFADE_TRY(CheckName(table.QualifiedName(), table.name));
  for (uint32_t i = 0; i < table.columns.size(); ++i) {
    const std::string& name = table.columns[i].name;
    if (route->tenant_column && name == rules.tenancy.column) {
      auto error = MakeError(ErrorClass::kConfig, "CF1510", kComponent,
                             "{} has a column named like the tenant column {}", table.QualifiedName(), name);
      error.value().object = table.QualifiedName();
      error.value().found = "column " + name;
      error.value().fix = "choose another name for tenant.column";
      return error;
    }
    CROSSFADE_TRY(CheckName(table.QualifiedName(), name));
    route->columns.push_back(i);
  }
  ChooseIdentity(route.get());
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

}  // namespace

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
