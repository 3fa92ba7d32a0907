// What the audit log holds, and whether it is whole.
#include <nlohmann/json.hpp>

#include "state/audit_log.h"
#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/report/gather.h"

namespace crossfade::tools {

namespace {

using Json = nlohmann::json;

constexpr size_t kMostActions = 200;

// Null for a line that is none: the chain's own check says so.
std::optional<ReportAction> ActionFrom(std::string_view line) {
  try {
    const Json json = Json::parse(line);
    ReportAction action;
    action.seq = json.at("seq").get<uint64_t>();
    action.at = json.at("at").get<std::string>();
    action.action = json.at("action").get<std::string>();
    action.details =
        json.at("details").empty() ? "" : json.at("details").dump(-1, ' ', false, Json::error_handler_t::replace);
    const Json& user = json.at("user");
    action.who = fmt::format("{}@{}", user.at("name").get<std::string>(), json.at("host").get<std::string>());
    if (user.contains("sudo_user")) {
      action.who += fmt::format(" (sudo of {})", user.at("sudo_user").get<std::string>());
    }
    return action;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace

Result<ReportAudit> ReadAuditOf(const Config& config, bool target_read) {
  ReportAudit audit;
  std::optional<state::AuditHead> known;
  if (target_read) {
    CROSSFADE_ASSIGN(known, ReadHeadOnTarget(config));
  }
  std::vector<ReportAction> actions;
  CROSSFADE_ASSIGN(
      const state::AuditReading log,
      state::ReadAudit(state::AuditPath(config.state_dir), known ? known->seq : 0, [&](std::string_view line) {
        if (std::optional<ReportAction> action = ActionFrom(line)) {
          actions.push_back(std::move(*action));
        }
        if (actions.size() > 2 * kMostActions) {
          actions.erase(actions.begin(), actions.end() - kMostActions);
        }
      }));
  if (actions.size() > kMostActions) {
    actions.erase(actions.begin(), actions.end() - kMostActions);
  }
  audit.kept = log.records > 0;
  audit.left_out = log.records - std::min<uint64_t>(log.records, actions.size());
  audit.actions = std::move(actions);
  audit.head_seq = log.head.seq;
  audit.head = log.head.hash;
  for (const state::AuditProblem& problem : log.problems) {
    audit.problems.push_back(fmt::format("line {}: {}", problem.line, problem.what));
  }
  if (known && log.at != known->hash) {
    audit.problems.push_back(fmt::format("the target knows another record {}", known->seq));
  }
  audit.on_target = known.has_value();
  return audit;
}

}  // namespace crossfade::tools
