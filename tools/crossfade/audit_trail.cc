#include "tools/crossfade/audit_trail.h"

#include <pwd.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/clock.h"
#include "tools/crossfade/source_engine.h"

namespace crossfade::tools {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kComponent = "audit";
constexpr size_t kMaxArgument = 4096;
constexpr size_t kMaxArguments = 32;

std::string UserName(uid_t uid) {
  std::vector<char> buffer(16 << 10);
  passwd entry{};
  passwd* found = nullptr;
  const bool known = ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr;
  return known ? found->pw_name : "";
}

// The user of this process; who called sudo; and who logged in, as the kernel knows it.
Json User() {
  Json user = {{"uid", ::getuid()}, {"name", UserName(::getuid())}};
  if (const char* sudo = std::getenv("SUDO_USER"); sudo != nullptr) {
    user["sudo_user"] = sudo;
  }
  std::ifstream file("/proc/self/loginuid");
  uint32_t login = UINT32_MAX;
  if (file >> login && login != UINT32_MAX) {
    user["login_uid"] = login;
    user["login_name"] = UserName(login);
  }
  return user;
}

// Without secrets: none of the options takes one.
Json CommandLine() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  Json arguments = Json::array();
  for (std::string argument; arguments.size() < kMaxArguments && std::getline(file, argument, '\0');) {
    arguments.push_back(argument.substr(0, kMaxArgument));
  }
  return arguments;
}

std::string HostName() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

Json MembersOf(const Config& config, std::string_view action, const nlohmann::json& details) {
  return {{"migration", config.name},
          {"action", action},
          {"details", details.is_null() ? Json::object() : Json(details)},
          {"user", User()},
          {"host", HostName()},
          {"pid", ::getpid()},
          {"command", CommandLine()},
          {"config", {{"path", config.path}, {"sha256", config.sha256}}},
          {"program", "crossfade " CROSSFADE_VERSION}};
}

}  // namespace

Result<state::AuditHead> AppendAction(const Config& config, std::string_view action, const nlohmann::json& details) {
  return state::AppendAudit(state::AuditPath(config.state_dir), MembersOf(config, action, details));
}

Result<state::AuditHead> BeginTrailAnew(const Config& config, const state::AuditHead& known,
                                        const std::string& reason) {
  const std::string path = state::AuditPath(config.state_dir);
  const std::string kept_as = fmt::format("{}.kept.{}", path, WallMicros());
  return state::BeginAuditAnew(path, kept_as, known, MembersOf(config, "audit begun anew", {{"reason", reason}}));
}

Status HoldsKnown(const Config& config, const state::AuditReading& log, const state::AuditHead& known) {
  if (log.at == known.hash) {
    return {};
  }
  Error error = MakeError(ErrorClass::kCorrupt, "CF1791", kComponent,
                          "the audit log is not the one whose record {} the target knows", known.seq)
                    .value();
  error.object = state::AuditPath(config.state_dir);
  error.found = log.at ? fmt::format("another record {}", known.seq) : fmt::format("{} records", log.records);
  error.fix =
      fmt::format("'crossfade audit verify {}' says what is missing; put the log back from its backup", config.path);
  return Fail(std::move(error));
}

Result<bool> KeepHead(const Config& config) {
  CROSSFADE_ASSIGN(const auto target, OpenAuditHead(config));
  CROSSFADE_ASSIGN(const std::optional<state::AuditHead> known, target->Read());
  CROSSFADE_ASSIGN(const state::AuditReading log,
                   state::ReadAudit(state::AuditPath(config.state_dir), known ? known->seq : 0));
  if (known) {
    CROSSFADE_TRY(HoldsKnown(config, log, *known));
  }
  return target->Keep(log.head);
}

void TellHead(const Config& config) {
  if (const Result<bool> kept = KeepHead(config); !kept) {
    spdlog::warn("audit: the target is not told of this: {}: {}", kept.error().code, kept.error().message);
  }
}

Status RecordAction(const Config& config, std::string_view action, const nlohmann::json& details) {
  CROSSFADE_TRY(AppendAction(config, action, details));
  TellHead(config);
  return {};
}

Result<state::AuditHead> ReadHead(const Config& config) {
  return state::ReadAuditHead(state::AuditPath(config.state_dir));
}

Result<std::optional<state::AuditHead>> ReadHeadOnTarget(const Config& config) {
  CROSSFADE_ASSIGN(const auto target, OpenAuditHead(config));
  return target->Read();
}

}  // namespace crossfade::tools
