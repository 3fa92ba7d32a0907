// What the audit log holds, and whether it is whole.
#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "state/audit_log.h"
#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/report/gather.h"

namespace crossfade::tools {

namespace {

using Json = nlohmann::json;

constexpr size_t kMostActions = 10'000;
constexpr size_t kMostPhases = 1000;
constexpr size_t kMostBytes = 64 << 20;  // of details

// The latest of them.
class Latest {
 public:
  explicit Latest(size_t most) : most_(most) {}
  void Add(ReportAction action) {
    bytes_ += action.details.size();
    actions_.push_back(std::move(action));
    while (actions_.size() > most_ || bytes_ > kMostBytes) {
      bytes_ -= actions_.front().details.size();
      actions_.pop_front();
      ++left_out_;
    }
  }
  uint64_t left_out() const { return left_out_; }
  std::deque<ReportAction>& actions() { return actions_; }

 private:
  const size_t most_;
  size_t bytes_ = 0;
  uint64_t left_out_ = 0;
  std::deque<ReportAction> actions_;
};

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
    action.pid = json.value("pid", int64_t{0});
    if (const auto rows = json.at("details").find("rows"); rows != json.at("details").end() && rows->is_array()) {
      action.rows = rows->size();
    }
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

// That it was begun anew is known to who signs.
void NoteBeginnings(const HeldTrail& trail, bool held, ReportAudit* audit) {
  if (const auto& beginning = trail.log.beginning) {
    audit->remarks.push_back(
        fmt::format("The audit log was begun anew at record {}: what stood before is not in this report ({}).{}",
                    beginning->first.seq, beginning->said, held ? "" : " The target was not asked whether it was."));
  }
  std::set<uint64_t> others;
  for (const state::AuditHead& beginning : trail.known.beginnings) {
    if (!trail.log.beginning || beginning.seq != trail.log.beginning->first.seq) {
      others.insert(beginning.seq);
    }
  }
  if (!others.empty()) {
    audit->remarks.push_back(
        fmt::format("The target knows that the audit log was begun anew, or was about to be, at "
                    "record {} as well.",
                    fmt::join(others, ", ")));
  }
}

}  // namespace

Result<ReportAudit> ReadAuditOf(const Config& config, bool target_read) {
  ReportAudit audit;
  const std::string path = state::AuditPath(config.state_dir);
  Latest actions(kMostActions);
  Latest phases(kMostPhases);
  const auto take = [&](std::string_view line) {
    if (std::optional<ReportAction> action = ActionFrom(line)) {
      (action->action == "phase" ? phases : actions).Add(std::move(*action));
    }
  };
  HeldTrail trail;
  if (target_read) {
    CROSSFADE_ASSIGN(trail, HoldTrail(config, take));
  } else {
    CROSSFADE_ASSIGN(trail.log, state::ReadAudit(path, 0, take));
  }
  audit.kept = trail.log.records > 0;
  audit.left_out = actions.left_out();
  audit.phases_left_out = phases.left_out();
  std::merge(std::make_move_iterator(actions.actions().begin()), std::make_move_iterator(actions.actions().end()),
             std::make_move_iterator(phases.actions().begin()), std::make_move_iterator(phases.actions().end()),
             std::back_inserter(audit.actions),
             [](const ReportAction& a, const ReportAction& b) { return a.seq < b.seq; });
  audit.head_seq = trail.log.head.seq;
  audit.head = trail.log.head.hash;
  for (const state::AuditProblem& problem : trail.log.problems) {
    audit.problems.push_back(fmt::format("line {}: {}", problem.line, problem.what));
  }
  if (!trail.holds) {
    audit.problems.push_back(trail.holds.error().message);
  }
  if (trail.log.beginning) {
    CROSSFADE_ASSIGN(const std::optional<std::string> wrong, state::JudgeKeptAudit(path, *trail.log.beginning));
    if (wrong) {
      audit.problems.push_back(*wrong);
    }
  }
  NoteBeginnings(trail, target_read, &audit);
  audit.on_target = trail.known.head.has_value();
  return audit;
}

}  // namespace crossfade::tools
