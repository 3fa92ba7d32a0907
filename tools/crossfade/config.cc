#include "tools/crossfade/config.h"

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>

#include "state/audit_log.h"
#include "tools/crossfade/settings.h"
#include "tools/crossfade/transform_config.h"

namespace crossfade::tools {

namespace {

constexpr std::string_view kComponent = "config";

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string Nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (const std::string& candidate : candidates) {
    // A key written without its section, or under another one, is near as well.
    const size_t dot = candidate.rfind('.');
    const std::string tail = dot == std::string::npos ? candidate : candidate.substr(dot + 1);
    const size_t word_dot = word.rfind('.');
    const std::string word_tail = word_dot == std::string::npos ? word : word.substr(word_dot + 1);
    const size_t distance = std::min(EditDistance(word, candidate), EditDistance(word_tail, tail) + 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

tl::unexpected<Error> Bad(const std::string& path, const toml::source_region& at, std::string code, std::string object,
                          std::string message, std::string fix) {
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = std::move(code);
  error.component = kComponent;
  error.message = fmt::format("{}:{}: {}", path, at.begin.line, message);
  error.object = std::move(object);
  error.fix = std::move(fix);
  return Fail(std::move(error));
}

// A value as it stands in the file, for an error text; what could be a secret is not shown.
std::string Shown(const Setting& setting, const toml::node& node) {
  if (setting.key.find("password") != std::string::npos) {
    return "(not shown)";
  }
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  return out.str();
}

// What a parser says, without what it quotes of the file: that could be a secret. Single characters stay.
std::string WithoutQuotes(std::string_view description) {
  std::string out;
  while (!description.empty()) {
    const size_t open = description.find('\'');
    const size_t close = open == std::string_view::npos ? open : description.find('\'', open + 1);
    if (close == std::string_view::npos) {
      break;
    }
    const bool is_short = close - open <= 3;
    out += description.substr(0, open + 1);
    out += is_short ? description.substr(open + 1, close - open) : "...'";
    description.remove_prefix(close + 1);
  }
  return out.append(description);
}

Status AssignText(const Setting& setting, const toml::node& node, const std::string& path, std::string* field) {
  const auto value = node.value_exact<std::string>();
  if (!value) {
    return Bad(path, node.source(), "CF1703", setting.FullKey(),
               fmt::format("{} must be a string, not {}", setting.FullKey(), Shown(setting, node)), "put it in quotes");
  }
  if (!setting.choices.empty() &&
      std::find(setting.choices.begin(), setting.choices.end(), *value) == setting.choices.end()) {
    return Bad(
        path, node.source(), "CF1704", setting.FullKey(),
        fmt::format("{} = \"{}\" is not a value it can have", setting.FullKey(), *value),
        fmt::format("use one of: {}; nearest: {}", fmt::join(setting.choices, ", "), Nearest(*value, setting.choices)));
  }
  *field = *value;
  return {};
}

Status AssignNumber(const Setting& setting, const toml::node& node, const std::string& path, uint64_t* field) {
  const auto value = node.value_exact<int64_t>();
  if (!value || *value < 0 || static_cast<uint64_t>(*value) < setting.min ||
      static_cast<uint64_t>(*value) > setting.max) {
    const std::string upper = setting.max == UINT64_MAX ? "" : fmt::format(" and at most {}", setting.max);
    return Bad(path, node.source(), "CF1704", setting.FullKey(),
               fmt::format("{} = {} is not a value it can have", setting.FullKey(), Shown(setting, node)),
               fmt::format("use a whole number of at least {}{}", setting.min, upper));
  }
  *field = static_cast<uint64_t>(*value);
  return {};
}

Status AssignList(const Setting& setting, const toml::node& node, const std::string& path,
                  std::vector<std::string>* field) {
  const toml::array* array = node.as_array();
  std::vector<std::string> values;
  bool good = array != nullptr;
  for (size_t i = 0; good && i < array->size(); ++i) {
    const auto value = array->get(i)->value_exact<std::string>();
    good = value.has_value();
    values.push_back(value.value_or(""));
  }
  if (!good) {
    return Bad(path, node.source(), "CF1703", setting.FullKey(),
               fmt::format("{} must be a list of strings", setting.FullKey()), "write it as [\"a\", \"b\"]");
  }
  *field = std::move(values);
  return {};
}

Status Assign(const Setting& setting, const toml::node& node, const std::string& path) {
  if (auto* const* text = std::get_if<std::string*>(&setting.field)) {
    return AssignText(setting, node, path, *text);
  }
  if (auto* const* number = std::get_if<uint64_t*>(&setting.field)) {
    return AssignNumber(setting, node, path, *number);
  }
  if (auto* const* list = std::get_if<std::vector<std::string>*>(&setting.field)) {
    return AssignList(setting, node, path, *list);
  }
  const auto value = node.value_exact<bool>();
  if (!value) {
    return Bad(path, node.source(), "CF1703", setting.FullKey(),
               fmt::format("{} must be true or false, not {}", setting.FullKey(), Shown(setting, node)),
               "true or false");
  }
  *std::get<bool*>(setting.field) = *value;
  return {};
}

Status ReadTable(const toml::table& table, const std::string& section, const std::string& path,
                 const std::vector<Setting>& settings, const std::vector<std::string>& names,
                 apply::TransformRules* transforms, std::set<std::string>* seen) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (section.empty() && node.is_table()) {
      const bool known =
          std::any_of(settings.begin(), settings.end(), [&](const Setting& s) { return s.section == name; });
      if (known) {
        CROSSFADE_TRY(ReadTable(*node.as_table(), name, path, settings, names, transforms, seen));
        continue;
      }
    }
    if (section == "transform" && (name == "tables" || name == "columns")) {
      CROSSFADE_TRY(ReadTransforms(name, node, path, transforms));
      continue;
    }
    const std::string full = section.empty() ? name : fmt::format("{}.{}", section, name);
    const auto setting = std::find_if(settings.begin(), settings.end(),
                                      [&](const Setting& s) { return s.section == section && s.key == name; });
    if (setting == settings.end()) {
      return Bad(path, key.source(), "CF1702", full, fmt::format("unknown key '{}'", full),
                 fmt::format("did you mean '{}'? 'crossfade config --example' lists all", Nearest(full, names)));
    }
    CROSSFADE_TRY(Assign(*setting, node, path));
    seen->insert(full);
  }
  return {};
}

Status CheckWhole(const Config& config, const std::string& path) {
  const auto bad = [&](std::string object, const std::string& found, std::string message, std::string fix) -> Status {
    return Fail(Error{ErrorClass::kConfig, "CF1705", std::string(kComponent), fmt::format("{}: {}", path, message), "",
                      std::move(object), found.empty() ? "nothing" : found, std::move(fix)});
  };
  const bool plain_name = std::all_of(config.name.begin(), config.name.end(),
                                      [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; });
  if (config.name.empty() || config.name.size() > 48 || !plain_name) {
    return bad("name", config.name, fmt::format("name = \"{}\" is not a name", config.name),
               "use 1 to 48 letters, digits, '-' or '_'");
  }
  if (config.tenant.mode == "column" && config.tenant.value.empty()) {
    return bad("tenant.value", "", "tenant.mode is \"column\" and tenant.value is not set",
               "set tenant.value, or tenant.mode = \"none\" if the tables are this migration's alone");
  }
  if (config.tenant.mode == "column" && config.tenant.column.empty()) {
    return bad("tenant.column", "", "tenant.column is empty", "name the tenant column");
  }
  for (const auto& [tls, ca, side] : {std::tuple{config.source.tls, config.source.tls_ca, "source"},
                                      std::tuple{config.target.tls, config.target.tls_ca, "target"}}) {
    if (tls == "verify" && ca.empty()) {
      return bad(fmt::format("{}.tls_ca", side), "",
                 fmt::format("{}.tls is \"verify\" and {}.tls_ca is not set", side, side),
                 "name the file of the certificate authority");
    }
  }
  return {};
}

std::string DefaultText(const Setting& setting) {
  if (auto* const* text = std::get_if<std::string*>(&setting.field)) {
    return fmt::format("\"{}\"", **text);
  }
  if (auto* const* number = std::get_if<uint64_t*>(&setting.field)) {
    return fmt::format("{}", **number);
  }
  if (auto* const* flag = std::get_if<bool*>(&setting.field)) {
    return **flag ? "true" : "false";
  }
  const auto& list = *std::get<std::vector<std::string>*>(setting.field);
  return list.empty() ? "[]" : fmt::format("[\"{}\"]", fmt::join(list, "\", \""));
}

std::string Wrap(const std::string& text, const std::string& prefix) {
  std::string out;
  std::string line = prefix;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (line.size() + word.size() + 1 > 100) {
      out += line + "\n";
      line = prefix;
    }
    line += (line == prefix ? "" : " ") + word;
  }
  return out + line + "\n";
}

}  // namespace

Result<Config> LoadConfig(const std::string& path) {
  std::ifstream in(path);
  const bool directory = std::filesystem::is_directory(path);
  if (!in || directory) {
    return Fail(Error{ErrorClass::kConfig, "CF1700", std::string(kComponent), fmt::format("cannot read {}", path), "",
                      path, directory ? "a directory" : std::strerror(errno),
                      fmt::format("name a file that is there, or 'crossfade config --example > {}{}' and fill it in",
                                  path, directory ? "/NAME.toml" : "")});
  }
  std::stringstream text;
  text << in.rdbuf();
  Config config;
  config.path = path;
  config.sha256 = state::Sha256(text.str());
  try {
    const toml::table root = toml::parse(text.str(), path);
    const std::vector<Setting> settings = AllSettings(&config);
    std::vector<std::string> names;
    for (const Setting& setting : settings) {
      names.push_back(setting.FullKey());
    }
    std::set<std::string> seen;
    CROSSFADE_TRY(ReadTable(root, "", path, settings, names, &config.transform.rules, &seen));
    for (const Setting& setting : settings) {
      if (setting.required && seen.count(setting.FullKey()) == 0) {
        Error error{ErrorClass::kConfig,
                    "CF1705",
                    std::string(kComponent),
                    fmt::format("{}: {} is not set", path, setting.FullKey()),
                    "",
                    setting.FullKey(),
                    "nothing",
                    fmt::format("add {} = \"...\": {}", setting.FullKey(), setting.meaning)};
        return Fail(std::move(error));
      }
    }
  } catch (const toml::parse_error& e) {
    return Fail(Error{ErrorClass::kConfig, "CF1701", std::string(kComponent), fmt::format("{} is not TOML", path), "",
                      fmt::format("{}:{}", path, e.source().begin.line), WithoutQuotes(e.description()),
                      "write that line as key = value, text in quotes; 'crossfade config --example' shows every key"});
  }
  CROSSFADE_TRY(CheckWhole(config, path));
  return config;
}

namespace {

// The first line of a file, or a variable of the environment; empty if neither is named. `setting`: "source.password".
Result<std::string> ReadSecret(const std::string& setting, const std::string& env, const std::string& file) {
  if (!env.empty()) {
    const char* value = std::getenv(env.c_str());
    if (value == nullptr) {
      return Fail(Error{ErrorClass::kConfig, "CF1706", std::string(kComponent),
                        fmt::format("{}_env names {}, which is not set in the environment", setting, env), "",
                        fmt::format("{}_env", setting), fmt::format("{} is not set", env),
                        fmt::format("export {}='...', or name another variable, or a file in {}_file", env, setting)});
    }
    return std::string(value);
  }
  if (file.empty()) {
    return std::string();
  }
  std::ifstream in(file);
  std::string line;
  if (!in || !std::getline(in, line)) {
    return Fail(Error{ErrorClass::kConfig, "CF1706", std::string(kComponent),
                      fmt::format("{}_file {} gives nothing", setting, file), "", fmt::format("{}_file", setting),
                      in.is_open() ? "nothing in it" : std::strerror(errno),
                      fmt::format("write it as the first line of {}, readable by this account alone", file)});
  }
  if (!line.empty() && line.back() == '\r') {
    line.pop_back();
  }
  return line;
}

}  // namespace

Result<std::string> ReadPassword(const std::string& side, const std::string& env, const std::string& file) {
  return ReadSecret(side + ".password", env, file);
}

Result<std::string> ReadHashKey(const Config& config) {
  return ReadSecret("transform.hash_key", config.transform.hash_key_env, config.transform.hash_key_file);
}

namespace {

constexpr std::string_view kTransformExample =
    R"(# Names and values on their way to the target, by the names of the source. Only what is listed is changed.
# A column of a primary, unique or foreign key can be renamed only.
#
# [transform.tables]
# customer = "client"                      # another name for a table
#
# [transform.columns.customer]
# fax = { exclude = true }                 # not moved at all
# surname = { name = "last_name" }         # another name
# email = { hash = true }                  # HMAC-SHA-256 with the key, 64 hex digits; varchar(64)
# phone = { name = "tel", mask = "***" }   # one text, or one whole number, instead of every value
# zip = { cast = "text" }                  # text, bigint or numeric(p,s); a value that does not fit exactly stops
)";

}  // namespace

std::string ExampleConfig() {
  Config config;
  std::string out = "# A Crossfade migration: every setting, with its default. Made by 'crossfade config --example'.\n";
  std::string section;
  for (const Setting& setting : AllSettings(&config)) {
    if (setting.section != section) {
      section = setting.section;
      out += fmt::format("\n# {}\n[{}]\n", SectionMeaning(section), section);
    }
    out += "\n" + Wrap(setting.meaning, "# ");
    if (!setting.choices.empty()) {
      out += fmt::format("# One of: {}.\n", fmt::join(setting.choices, ", "));
    }
    const bool shown = setting.required || !setting.example.empty();
    const std::string value = setting.example.empty() ? DefaultText(setting) : fmt::format("\"{}\"", setting.example);
    const bool active = setting.required || setting.key == "password_env" || setting.FullKey() == "tenant.value";
    out += fmt::format("{}{} = {}\n", active || !shown ? "" : "# ", setting.key, value);
    if (setting.FullKey() == "transform.hash_key_file") {
      out += fmt::format("\n{}", kTransformExample);
    }
  }
  return out;
}

std::string ConfigurationPage() {
  Config config;
  std::string out =
      "# Configuration\n\nOne TOML file describes one migration. This page is generated from the program "
      "(`crossfade config --page`); `crossfade config --example` prints a full, commented file.\n\n"
      "An unknown key or a value that cannot be is an error that names file, line and the nearest valid key. Passwords "
      "come "
      "from the environment or from a file, never from this file.\n";
  std::string section = "-";
  for (const Setting& setting : AllSettings(&config)) {
    if (setting.section != section) {
      section = setting.section;
      const std::string title = section.empty() ? "Top level" : "[" + section + "]";
      out += fmt::format("\n## {}\n\n{}{}| key | default | meaning |\n|---|---|---|\n", title, SectionMeaning(section),
                         section.empty() ? "" : "\n\n");
    }
    const std::string choices =
        setting.choices.empty() ? "" : fmt::format(" One of: `{}`.", fmt::join(setting.choices, "`, `"));
    out += fmt::format("| `{}` | {} | {}{} |\n", setting.key,
                       setting.required ? "required" : "`" + DefaultText(setting) + "`", setting.meaning, choices);
    if (setting.FullKey() == "transform.hash_key_file") {
      out += fmt::format("\n```toml\n{}```\n", kTransformExample);
    }
  }
  return out;
}

}  // namespace crossfade::tools
