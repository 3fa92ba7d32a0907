// crossfade verify.
#include <spdlog/spdlog.h>

#include <memory>

#include "snapshot/limits.h"
#include "tools/crossfade/commands.h"
#include "tools/crossfade/signal_stop.h"
#include "tools/crossfade/verify_output.h"
#include "tools/crossfade/verify_results.h"
#include "tools/crossfade/verify_session.h"
#include "verify/verifier.h"

namespace crossfade::tools {

namespace {

Result<verify::Outcome> Compare(const Config& config, const std::stop_token& stop) {
  CROSSFADE_ASSIGN(const std::unique_ptr<VerifySession> session, VerifySession::Open(config));
  CROSSFADE_ASSIGN(const snapshot::CopyPlan plan, session->Plan());
  snapshot::CopyLimits limits;
  limits.SetRowsPerSecond(config.verify.max_rows_per_second);
  verify::VerifyOptions options;
  options.readers = static_cast<uint32_t>(config.verify.readers);
  options.max_shown = config.verify.max_shown;
  verify::Verifier verifier(
      &plan, &session->routes(), session->journal(), &session->order(), &limits, [&] { return session->OpenSides(); },
      options);
  return verifier.Run(stop);
}

int ExitCodeOf(const verify::Outcome& outcome) {
  return outcome.differences() > 0 ? kDifferent : outcome.undecided() > 0 ? kCouldNotTell : kDone;
}

}  // namespace

int VerifyCommand(const VerifyCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  const SignalStop signals;
  spdlog::set_level(spdlog::level::from_str(config->log.level));
  const Result<verify::Outcome> outcome = Compare(*config, signals.token());
  if (!outcome) {
    return Report(outcome.error());
  }
  const Status kept = VerifyResults(config->state_dir).Keep(*outcome);
  options.json ? PrintJson(*outcome) : PrintText(*outcome);
  return kept ? ExitCodeOf(*outcome) : Report(kept.error());
}

}  // namespace crossfade::tools
