#include "tools/crossfade/audit_command.h"

#include <deque>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/commands.h"

namespace crossfade::tools {

namespace {

using nlohmann::json;

constexpr std::string_view kComponent = "audit";

Error NoLog(const Config& config) {
  Error error = MakeError(ErrorClass::kTransient, "CF1790", kComponent, "this migration has no audit log yet").value();
  error.object = state::AuditPath(config.state_dir);
  error.found = "no records";
  error.fix = "begin the migration with 'crossfade run', or name in state_dir where it runs";
  return error;
}

std::string Who(const json& record) {
  const json& user = record["user"];
  std::string who = user.value("name", "");
  if (who.empty()) {
    who = fmt::format("uid {}", user.value("uid", 0));
  }
  return user.contains("sudo_user") ? fmt::format("{} (sudo by {})", who, user.value("sudo_user", "")) : who;
}

// One record for a person.
std::string LineOf(std::string_view line) {
  const json record = json::parse(line, nullptr, false);
  std::string details;
  for (const auto& [name, value] : record["details"].items()) {
    details += fmt::format("{}{}={}", details.empty() ? "" : " ", name,
                           value.is_string() ? value.get<std::string>() : value.dump());
  }
  return fmt::format("{:>6}  {}  {}@{}[{}]  {}{}{}", record["seq"].get<uint64_t>(), record.value("at", ""), Who(record),
                     record.value("host", ""), record.value("pid", 0), record.value("action", ""),
                     details.empty() ? "" : "  ", details);
}

// What verify found.
struct Verdict {
  state::AuditReading log;
  KnownTrail known;              // of the target
  std::optional<Error> unasked;  // why the target could not say
  std::optional<Error> unknown;  // the log is not the one that the target knows
  bool offline = false;

  bool Broken() const { return log.problem_count > 0 || unknown; }
  // That it was begun anew is only its own word.
  bool OwnWord() const { return log.beginning && log.beginning->first.seq > 1 && (offline || unasked); }
  bool CouldNotTell() const { return OwnWord() || (!offline && (unasked || !known.head)); }
  int ExitCode() const { return Broken() ? kCorruptState : CouldNotTell() ? kCouldNotTell : kDone; }
  const char* Word() const { return Broken() ? "broken" : CouldNotTell() ? "could not tell" : "whole"; }
};

Result<Verdict> Judge(const Config& config, bool offline) {
  const std::string path = state::AuditPath(config.state_dir);
  Verdict verdict;
  verdict.offline = offline;
  Result<HeldTrail> trail = offline ? Result<HeldTrail>(HeldTrail{}) : HoldTrail(config);
  if (!offline && trail) {
    verdict.log = std::move(trail->log);
    verdict.known = std::move(trail->known);
    if (!trail->holds) {
      verdict.unknown = trail->holds.error();
    }
  } else {
    CROSSFADE_ASSIGN(verdict.log, state::ReadAudit(path));
  }
  if (!trail) {
    verdict.unasked = trail.error();
  }
  if (verdict.log.beginning) {
    CROSSFADE_ASSIGN(const std::optional<std::string> wrong, state::JudgeKeptAudit(path, *verdict.log.beginning));
    if (wrong) {
      ++verdict.log.problem_count;
      verdict.log.problems.push_back({1, *wrong});
    }
  }
  if (verdict.log.records == 0 && !verdict.log.torn_end && !verdict.Broken()) {
    return Fail(verdict.unasked ? *verdict.unasked : NoLog(config));
  }
  return verdict;
}

std::string WhatTheTargetSays(const Verdict& verdict) {
  const state::AuditHead& head = verdict.log.head;
  const std::string own_word =
      verdict.OwnWord() ? "; the log's own word that it was begun anew proves nothing: this cannot be told" : "";
  if (verdict.offline) {
    return "not held against the target: a cut end and a log written anew are not seen without it" + own_word;
  }
  if (verdict.unasked) {
    return "the target could not be asked: " + verdict.unasked->ToString() + own_word;
  }
  const std::optional<state::AuditHead>& known = verdict.known.head;
  if (verdict.unknown && (!known || verdict.log.at == known->hash)) {
    return fmt::format(
        "the target does not know that the log was begun anew at record {}: what stood before it is gone",
        verdict.log.beginning->first.seq);
  }
  if (!known) {
    return "the target knows no record of it: a cut end and a log written anew cannot be seen";
  }
  if (!verdict.unknown) {
    return known->seq == head.seq ? fmt::format("the target knows record {}, the last one", head.seq)
                                  : fmt::format("the target knows record {}; {} came later and are not known there yet",
                                                known->seq, head.seq - known->seq);
  }
  return verdict.log.at
             ? fmt::format("record {} is not the one that the target knows: records were written anew", known->seq)
             : fmt::format("the target knows record {}, the log ends with record {}: records were cut off", known->seq,
                           head.seq);
}

void PrintText(const std::string& path, const Verdict& verdict) {
  std::cout << fmt::format("{}: {}\n  {} records, the last is {} ({})\n", path, verdict.Word(), verdict.log.records,
                           verdict.log.head.seq, verdict.log.head.hash);
  for (const state::AuditProblem& problem : verdict.log.problems) {
    std::cout << fmt::format("  BROKEN line {}: {}\n", problem.line, problem.what);
  }
  if (verdict.log.problem_count > verdict.log.problems.size()) {
    std::cout << fmt::format("  and {} more\n", verdict.log.problem_count - verdict.log.problems.size());
  }
  for (const state::AuditProblem& notice : verdict.log.notices) {
    std::cout << fmt::format("  notice line {}: {}\n", notice.line, notice.what);
  }
  std::cout << (verdict.unknown ? "  BROKEN " : "  ") << WhatTheTargetSays(verdict) << "\n";
}

json JsonOf(const std::vector<state::AuditProblem>& problems) {
  json list = json::array();
  for (const state::AuditProblem& problem : problems) {
    list.push_back({{"line", problem.line}, {"what", problem.what}});
  }
  return list;
}

json JsonOf(const state::AuditHead& head) { return {{"seq", head.seq}, {"hash", head.hash}}; }

void PrintJson(const std::string& path, const Verdict& verdict) {
  const json whole = {{"result", verdict.Word()},
                      {"path", path},
                      {"records", verdict.log.records},
                      {"head", JsonOf(verdict.log.head)},
                      {"target", verdict.known.head ? JsonOf(*verdict.known.head) : json()},
                      {"target_says", WhatTheTargetSays(verdict)},
                      {"code", verdict.unknown ? json(verdict.unknown->code) : json()},
                      {"problem_count", verdict.log.problem_count},
                      {"problems", JsonOf(verdict.log.problems)},
                      {"notices", JsonOf(verdict.log.notices)},
                      {"torn_end", verdict.log.torn_end}};
  std::cout << whole.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
}

// After records were printed: says on standard error if the log is not as it was written.
int EndOfRecords(const Config& config, const Result<state::AuditReading>& log) {
  if (!log) {
    return Report(log.error());
  }
  if (log->records == 0 && log->problem_count == 0) {
    return Report(NoLog(config));
  }
  if (log->problem_count > 0) {
    std::cerr << fmt::format("crossfade: the log is not as it was written; 'crossfade audit verify {}' says where\n",
                             config.path);
    return kCorruptState;
  }
  return kDone;
}

}  // namespace

int AuditListCommand(const AuditCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  std::deque<std::string> last;
  const auto print = [&](std::string_view line) {
    std::cout << (options.json ? std::string(line) : LineOf(line)) << "\n";
  };
  const auto log = state::ReadAudit(state::AuditPath(config->state_dir), 0, [&](std::string_view line) {
    if (options.last == 0) {
      print(line);
      return;
    }
    last.emplace_back(line);
    if (last.size() > options.last) {
      last.pop_front();
    }
  });
  for (const std::string& line : last) {
    print(line);
  }
  return EndOfRecords(*config, log);
}

int AuditExportCommand(const AuditCommandOptions& options) {
  AuditCommandOptions all = options;
  all.json = true;
  all.last = 0;
  return AuditListCommand(all);
}

int AuditVerifyCommand(const AuditCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  const Result<Verdict> verdict = Judge(*config, options.offline);
  if (!verdict) {
    return Report(verdict.error());
  }
  const std::string path = state::AuditPath(config->state_dir);
  options.json ? PrintJson(path, *verdict) : PrintText(path, *verdict);
  return verdict->ExitCode();
}

int AuditBeginCommand(const AuditCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  const auto begin = [&]() -> Result<state::AuditHead> {
    CROSSFADE_ASSIGN(const Verdict verdict, Judge(*config, false));
    if (verdict.unasked) {
      return Fail(*verdict.unasked);
    }
    const std::string path = state::AuditPath(config->state_dir);
    if (!verdict.Broken()) {
      Error error = MakeError(ErrorClass::kConfig, "CF1792", kComponent, "the audit log is whole").value();
      error.object = path;
      error.found = fmt::format("{} records", verdict.log.records);
      error.fix = "nothing is to be done: the log goes on by itself";
      return Fail(std::move(error));
    }
    // Behind nothing but what the target knows: the file may say anything.
    const state::AuditHead known = verdict.known.head.value_or(state::AuditHead{});
    CROSSFADE_ASSIGN(state::AuditHead head, BeginTrailAnew(*config, known, options.reason));
    CROSSFADE_TRY(KeepHead(*config));
    return head;
  };
  const Result<state::AuditHead> head = begin();
  if (!head) {
    return Report(head.error());
  }
  std::cout << fmt::format("the log begins anew at record {}; what was there is kept beside it\n", head->seq);
  return kDone;
}

}  // namespace crossfade::tools
