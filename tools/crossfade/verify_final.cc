// crossfade verify --final.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/commands.h"
#include "tools/crossfade/continuous_verify.h"
#include "tools/crossfade/signal_stop.h"
#include "tools/crossfade/verify_session.h"
#include "verify/continuous.h"

namespace crossfade::tools {

namespace {

const char* ResultOf(const verify::FinalVerdict& verdict) {
  return verdict.equal ? "equal" : verdict.different > 0 ? "different" : "undecided";
}

double Milliseconds(int64_t us) { return static_cast<double>(us) / 1000; }

void PrintFinal(const verify::FinalVerdict& verdict) {
  for (const std::string& reason : verdict.reasons) {
    std::cout << reason << "\n";
  }
  std::cout << fmt::format("final: {} at {} touched_keys={} waited_ms={:.1f} check_ms={:.1f}\n", ResultOf(verdict),
                           verdict.at.ToString(), verdict.touched_keys, Milliseconds(verdict.waited_us),
                           Milliseconds(verdict.check_us));
}

void PrintFinalJson(const verify::FinalVerdict& verdict) {
  nlohmann::json json = {{"result", ResultOf(verdict)},
                         {"position", verdict.at.ToString()},
                         {"seq", verdict.seq.value},
                         {"reasons", verdict.reasons},
                         {"different", verdict.different},
                         {"undecided", verdict.undecided},
                         {"touched_keys", verdict.touched_keys},
                         {"tables_compared", verdict.tables_compared},
                         {"waited_ms", Milliseconds(verdict.waited_us)},
                         {"check_ms", Milliseconds(verdict.check_us)},
                         {"full_pass", nullptr}};
  if (verdict.full) {
    json["full_pass"] = {{"began_us", verdict.full->began_us},
                         {"ended_us", verdict.full->ended_us},
                         {"rows", verdict.full->rows},
                         {"differences", verdict.full->differences},
                         {"undecided", verdict.full->undecided}};
  }
  std::cout << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

Result<verify::FinalVerdict> Check(const Config& config, uint64_t within_s, const std::stop_token& stop) {
  CROSSFADE_ASSIGN(const std::unique_ptr<VerifySession> session, VerifySession::OpenBeside(config));
  CROSSFADE_ASSIGN(std::optional<verify::CheckState> known, LoadCheckState(session->journal()));
  if (!known) {
    return Fail(Error{ErrorClass::kConfig, "CF1787", "verify", "touched rows were never followed for this migration",
                      "", config.name, config.verify.continuous ? "no round yet" : "verify.continuous = false",
                      "set continuous = true in section [verify], let 'crossfade run' go on, and wait until "
                      "'crossfade status' shows a full pass"});
  }
  CROSSFADE_ASSIGN(const verify::Sides sides, session->OpenSides());
  CROSSFADE_ASSIGN(const auto tables, verify::ComparedTables::Make(session->routes(), sides.target.get()));
  verify::ContinuousCheck check(tables.get(), &session->routes(), session->journal(), &session->order(),
                                ContinuousOptionsOf(config), std::move(known));
  CROSSFADE_ASSIGN(const Position at, session->source()->Head());
  return check.FinalCheck(at, After(std::chrono::seconds(within_s)), sides, stop);
}

// After the answer, which applications wait for; for the same reason the target is told of it by the next record.
Status RecordCheck(const Config& config, const Result<verify::FinalVerdict>& verdict) {
  std::cout << std::flush;
  nlohmann::json details;
  if (!verdict) {
    if (!std::filesystem::exists(config.state_dir)) {
      return {};
    }
    details = {{"result", "failed"}, {"code", verdict.error().code}};
  } else {
    details = {{"result", ResultOf(*verdict)},
               {"position", verdict->at.ToString()},
               {"different", verdict->different},
               {"undecided", verdict->undecided},
               {"waited_ms", Milliseconds(verdict->waited_us)},
               {"check_ms", Milliseconds(verdict->check_us)}};
  }
  CROSSFADE_TRY(AppendAction(config, "verify final", details));
  return {};
}

}  // namespace

int VerifyFinal(const VerifyCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  const SignalStop signals;
  spdlog::set_level(spdlog::level::from_str(config->log.level));
  const Result<verify::FinalVerdict> verdict = Check(*config, options.final_within_s, signals.token());
  if (!verdict) {
    const int exit_code = Report(verdict.error());
    (void)RecordCheck(*config, verdict);
    return exit_code;
  }
  options.json ? PrintFinalJson(*verdict) : PrintFinal(*verdict);
  if (const Status recorded = RecordCheck(*config, verdict); !recorded) {
    return Report(recorded.error());
  }
  return verdict->equal ? kDone : verdict->different > 0 ? kDifferent : kCouldNotTell;
}

}  // namespace crossfade::tools
