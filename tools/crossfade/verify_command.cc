// crossfade verify.
#include <spdlog/spdlog.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/clock.h"
#include "snapshot/limits.h"
#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/commands.h"
#include "tools/crossfade/pass_file.h"
#include "tools/crossfade/repair_command.h"
#include "tools/crossfade/signal_stop.h"
#include "tools/crossfade/verify_output.h"
#include "tools/crossfade/verify_results.h"
#include "tools/crossfade/verify_session.h"
#include "tools/crossfade/verify_watch.h"
#include "verify/verifier.h"

namespace crossfade::tools {

namespace {

void SayThatItGoesOn(const InterruptedPass& pass) {
  uint64_t rows = 0;
  for (const verify::TableOutcome& table : pass.so_far.tables) {
    rows += table.source_rows;
  }
  spdlog::warn(
      "verify: goes on with the pass that began {} s ago, at {}: {} of {} chunks are done, {} rows; with --restart it "
      "begins anew",
      (WallMicros() - pass.so_far.began_us) / 1'000'000, pass.so_far.from.ToString(), pass.so_far.done.size(),
      pass.plan.chunk_count(), rows);
}

// A pass whose result cannot be kept stays where it is, and the next one ends it.
Status Keep(const Config& config, const verify::Outcome& outcome) {
  CROSSFADE_TRY(VerifyResults(config.state_dir).Keep(outcome));
  return PassFile::Remove(config.state_dir, PassKind::kCommand);
}

struct Compared {
  verify::Outcome outcome;
  Status kept;
};

Result<Compared> Compare(const Config& config, const VerifyCommandOptions& command, const std::stop_token& stop) {
  CROSSFADE_ASSIGN(const std::unique_ptr<VerifySession> session, VerifySession::Open(config));
  const std::string identity = PassIdentity(config, session->journal()->id(), session->routes());
  std::optional<InterruptedPass> interrupted;
  if (!command.restart) {
    interrupted = PassFile::Load(config.state_dir, PassKind::kCommand, identity);
  }
  CROSSFADE_TRY(RecordAction(config, interrupted ? "verify went on" : "verify started", {}));
  snapshot::CopyPlan plan;
  std::unique_ptr<PassFile> notes;
  if (interrupted) {
    SayThatItGoesOn(*interrupted);
    plan = interrupted->plan;
    CROSSFADE_ASSIGN(notes, PassFile::GoOn(config.state_dir, PassKind::kCommand));
  } else {
    CROSSFADE_ASSIGN(plan, session->Plan());
    CROSSFADE_ASSIGN(notes, PassFile::BeginNew(config.state_dir, PassKind::kCommand, identity, plan));
  }
  snapshot::CopyLimits within;
  snapshot::CopyLimits between;
  verify::VerifyOptions options;
  options.readers = static_cast<uint32_t>(config.verify.readers);
  options.between = &between;
  options.max_shown = config.verify.max_shown;
  options.paged_from_rows = config.verify.chunk_rows;
  verify::Verifier verifier(
      &plan, &session->routes(), session->journal(), &session->order(), &within, [&] { return session->OpenSides(); },
      options);
  verifier.NoteIn(notes.get());
  if (interrupted) {
    verifier.GoOnWith(std::move(interrupted->so_far));
  }
  Result<verify::Outcome> outcome;
  {
    const VerifyWatch watch(config, session->source(), &within, &between, &verifier, command.console);
    outcome = verifier.Run(stop);
  }
  CROSSFADE_TRY(outcome);
  Status kept = Keep(config, *outcome);  // while nobody else may compare
  return Compared{std::move(*outcome), std::move(kept)};
}

int ExitCodeOf(const verify::Outcome& outcome) {
  return outcome.differences() > 0 ? kDifferent : outcome.undecided() > 0 ? kCouldNotTell : kDone;
}

// The result, in the audit log.
Status RecordResult(const Config& config, const Result<Compared>& compared) {
  if (!compared) {
    if (std::filesystem::exists(config.state_dir)) {
      (void)AppendAction(config, "verify ended", {{"result", "failed"}, {"code", compared.error().code}});
    }
    return {};
  }
  const verify::Outcome& outcome = compared->outcome;
  const int exit_code = ExitCodeOf(outcome);
  return RecordAction(config, "verify ended",
                      {{"result", exit_code == kDone        ? "equal"
                                  : exit_code == kDifferent ? "different"
                                                            : "undecided"},
                       {"differences", outcome.differences()},
                       {"undecided", outcome.undecided()},
                       {"tables", outcome.tables.size()},
                       {"from", outcome.from.ToString()},
                       {"upto", outcome.upto.ToString()}});
}

}  // namespace

int VerifyCommand(const VerifyCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  spdlog::set_level(spdlog::level::from_str(config->log.level));
  if (options.repair || options.plan) {
    return options.repair ? RepairTarget(*config, options) : PlanRepair(*config, options);
  }
  const SignalStop signals;
  const Result<Compared> compared = Compare(*config, options, signals.token());
  if (const Status recorded = RecordResult(*config, compared); !recorded) {
    return Report(recorded.error());
  }
  if (!compared) {
    return Report(compared.error());
  }
  options.json ? PrintJson(compared->outcome) : PrintText(compared->outcome);
  return compared->kept ? ExitCodeOf(compared->outcome) : Report(compared->kept.error());
}

}  // namespace crossfade::tools
