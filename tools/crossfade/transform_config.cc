#include "tools/crossfade/transform_config.h"

#include <utility>

namespace crossfade::tools {

namespace {

tl::unexpected<Error> Bad(const std::string& path, const toml::source_region& at, std::string code, std::string object,
                          std::string message, std::string fix) {
  return Fail(Error{ErrorClass::kConfig, std::move(code), "config",
                    fmt::format("{}:{}: {}", path, at.begin.line, message), "", std::move(object), "", std::move(fix)});
}

Result<std::string> Text(const toml::node& node, const std::string& path, const std::string& object) {
  const auto value = node.value_exact<std::string>();
  if (!value || value->empty()) {
    return Bad(path, node.source(), "CF1703", object, fmt::format("{} must be a text that is not empty", object),
               "put it in quotes");
  }
  return *value;
}

Status ReadRule(const toml::table& table, const std::string& path, const std::string& object, apply::ColumnRule* rule) {
  constexpr std::string_view kAllowed = "a column has: name, and one of exclude = true, hash = true, mask, cast";
  int kinds = 0;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string full = fmt::format("{}.{}", object, name);
    if (name == "exclude" || name == "hash") {
      if (const auto value = node.value_exact<bool>(); !value || !*value) {
        return Bad(path, node.source(), "CF1703", full, fmt::format("{} can only be true", full),
                   "write true, or remove it");
      }
      rule->exclude = rule->exclude || name == "exclude";
      rule->kind = name == "hash" ? apply::TransformKind::kHash : rule->kind;
      ++kinds;
    } else if (name == "name") {
      CROSSFADE_ASSIGN(rule->name, Text(node, path, full));
    } else if (name == "mask" || name == "cast") {
      CROSSFADE_ASSIGN(rule->argument, Text(node, path, full));
      rule->kind = name == "mask" ? apply::TransformKind::kMask : apply::TransformKind::kCast;
      ++kinds;
    } else {
      return Bad(path, key.source(), "CF1702", full, fmt::format("unknown key '{}'", full), std::string(kAllowed));
    }
  }
  if (kinds > 1 || (rule->exclude && !rule->name.empty()) || table.empty()) {
    return Bad(path, table.source(), "CF1704", object, fmt::format("{} has not one meaning", object),
               std::string(kAllowed));
  }
  return {};
}

Status ReadColumns(const toml::table& columns, const std::string& path, const std::string& table,
                   apply::TransformRules* rules) {
  for (const auto& [key, node] : columns) {
    const std::string object = fmt::format("transform.columns.{}.{}", table, std::string_view(key.str()));
    if (!node.is_table()) {
      return Bad(path, node.source(), "CF1703", object, fmt::format("{} must be a table", object),
                 "write it as column = { hash = true }");
    }
    apply::ColumnRule rule;
    CROSSFADE_TRY(ReadRule(*node.as_table(), path, object, &rule));
    rules->columns[table][std::string(key.str())] = std::move(rule);
  }
  return {};
}

}  // namespace

Status ReadTransforms(const std::string& name, const toml::node& node, const std::string& path,
                      apply::TransformRules* rules) {
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    return Bad(path, node.source(), "CF1703", "transform." + name, fmt::format("transform.{} must be a table", name),
               fmt::format("write [transform.{}] and its keys below", name));
  }
  for (const auto& [key, value] : *table) {
    const std::string of_table(key.str());
    const std::string object = fmt::format("transform.{}.{}", name, of_table);
    if (name == "tables") {
      CROSSFADE_ASSIGN(rules->tables[of_table], Text(value, path, object));
      continue;
    }
    if (!value.is_table()) {
      return Bad(path, value.source(), "CF1703", object, fmt::format("{} must be a table of columns", object),
                 "write it as [transform.columns.TABLE] and below it column = { hash = true }");
    }
    CROSSFADE_TRY(ReadColumns(*value.as_table(), path, of_table, rules));
  }
  return {};
}

}  // namespace crossfade::tools
