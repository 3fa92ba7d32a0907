#include "tools/crossfade/audit_trail.h"

#include <pwd.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
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

tl::unexpected<Error> Unknown(const Config& config, const state::AuditHead& first) {
  Error error =
      MakeError(ErrorClass::kCorrupt, "CF1793", kComponent,
                "the audit log begins at record {}, and the target does not know that it was begun anew there",
                first.seq)
          .value();
  error.object = state::AuditPath(config.state_dir);
  error.found = "record " + first.hash;
  error.fix = fmt::format(
      "put the log back from its backup; without one, keep it and begin a new one in the open: 'crossfade audit begin"
      " --reason TEXT {}'",
      config.path);
  return Fail(std::move(error));
}

// The head is asked for first, since the log can only grow. A beginning is told before its log is there: it is asked
// for last.
Result<HeldTrail> Hold(const Config& config, apply::PgAuditHead* target,
                       const std::function<void(std::string_view line)>& each) {
  HeldTrail trail;
  CROSSFADE_ASSIGN(trail.known.head, target->Read());
  CROSSFADE_ASSIGN(trail.log, state::ReadAudit(state::AuditPath(config.state_dir),
                                               trail.known.head ? trail.known.head->seq : 0, each));
  CROSSFADE_ASSIGN(trail.known.beginnings, target->Beginnings());
  trail.holds = HoldsKnown(config, trail.log, trail.known);
  return trail;
}

}  // namespace

Result<state::AuditHead> AppendAction(const Config& config, std::string_view action, const nlohmann::json& details) {
  return state::AppendAudit(state::AuditPath(config.state_dir), MembersOf(config, action, details));
}

Result<state::AuditHead> BeginTrailAnew(const Config& config, const state::AuditHead& known,
                                        const std::string& reason) {
  const std::string path = state::AuditPath(config.state_dir);
  const std::string kept_as = fmt::format("{}.kept.{}", path, WallMicros());
  const auto tell = [&](const state::AuditHead& first) -> Status {
    CROSSFADE_ASSIGN(const auto target, OpenAuditHead(config));
    CROSSFADE_ASSIGN(const bool kept, target->KeepBeginning(first));
    return kept || first.seq == 1 ? Status() : Unknown(config, first);
  };
  return state::BeginAuditAnew(path, kept_as, known, MembersOf(config, "audit begun anew", {{"reason", reason}}), tell);
}

Status HoldsKnown(const Config& config, const state::AuditReading& log, const KnownTrail& known) {
  if (known.head && log.at != known.head->hash) {
    Error error = MakeError(ErrorClass::kCorrupt, "CF1791", kComponent,
                            "the audit log is not the one whose record {} the target knows", known.head->seq)
                      .value();
    error.object = state::AuditPath(config.state_dir);
    error.found = log.at ? fmt::format("another record {}", known.head->seq) : fmt::format("{} records", log.records);
    error.fix =
        fmt::format("'crossfade audit verify {}' says what is missing; put the log back from its backup", config.path);
    return Fail(std::move(error));
  }
  const bool from_the_first = !log.beginning || log.beginning->first.seq == 1;
  const auto& beginnings = known.beginnings;
  return from_the_first || std::find(beginnings.begin(), beginnings.end(), log.beginning->first) != beginnings.end()
             ? Status()
             : Unknown(config, log.beginning->first);
}

Result<HeldTrail> HoldTrail(const Config& config, const std::function<void(std::string_view line)>& each) {
  CROSSFADE_ASSIGN(const auto target, OpenAuditHead(config));
  return Hold(config, target.get(), each);
}

Result<bool> KeepHead(const Config& config) {
  CROSSFADE_ASSIGN(const auto target, OpenAuditHead(config));
  CROSSFADE_ASSIGN(const HeldTrail trail, Hold(config, target.get(), {}));
  CROSSFADE_TRY(trail.holds);
  return target->Keep(trail.log.head);
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

}  // namespace crossfade::tools
