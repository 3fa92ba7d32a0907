#include "tools/crossfade/verify_session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "apply/window.h"
#include "tools/crossfade/pipeline.h"

namespace crossfade::tools {

namespace {

constexpr std::string_view kComponent = "verify";

Status RequireFollowing(const apply::TargetState& state, state::Journal* journal, const PositionOrder& order,
                        const Config& config) {
  const auto has = [&](const char* fact) {
    return std::find(state.facts.begin(), state.facts.end(), fact) != state.facts.end();
  };
  if (!has("analyzed")) {
    Error error{ErrorClass::kConfig,
                "CF1782",
                std::string(kComponent),
                "the copy is not complete, so there is nothing to compare yet",
                "",
                config.name,
                has("copied") ? "keys are being built" : "rows are being copied",
                fmt::format("wait until 'crossfade status {}' says that it follows", config.path)};
    return Fail(std::move(error));
  }
  if (state.journal_id != journal->id()) {
    Error error{ErrorClass::kConfig,
                "CF1783",
                std::string(kComponent),
                "the target follows another journal than the one in state_dir",
                "",
                config.state_dir,
                state.journal_id,
                "put the right state directory back"};
    return Fail(std::move(error));
  }
  if (has(kWindowsPassedFact)) {
    return {};
  }
  CROSSFADE_ASSIGN(const apply::Windows windows, apply::Windows::FromMarks(state.chunks, journal, order));
  for (const apply::Progress& progress : state.progress) {
    if (progress.low < windows.MaxHigh()) {
      Error error{ErrorClass::kConfig,
                  "CF1782",
                  std::string(kComponent),
                  "the copy is not complete: not all that happened meanwhile is applied",
                  "",
                  config.name,
                  fmt::format("seq {} is applied, {} is needed", progress.low.value, windows.MaxHigh().value),
                  "try again when 'crossfade run' has gone on"};
      return Fail(std::move(error));
    }
  }
  return {};
}

}  // namespace

Result<VerifyLock> VerifyLock::Take(const std::string& state_dir) {
  const std::string path = state_dir + "/verify.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) {
      ::close(fd);
    }
    Error error;
    error.error_class = ErrorClass::kConfig;
    error.code = fd < 0 ? "CF1781" : "CF1780";
    error.component = kComponent;
    error.message =
        fd < 0 ? fmt::format("cannot open {}: {}", path, why) : "this migration is being compared by another process";
    error.object = path;
    error.found = why;
    error.fix = fd < 0 ? "begin the migration with 'crossfade run', on this machine and as this user"
                       : "wait until that process has ended, or end it";
    return Fail(std::move(error));
  }
  return VerifyLock(fd);
}

VerifyLock::VerifyLock(VerifyLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

VerifyLock::~VerifyLock() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<std::unique_ptr<VerifySession>> VerifySession::Open(const Config& config) {
  CROSSFADE_ASSIGN(VerifyLock lock, VerifyLock::Take(config.state_dir));
  std::unique_ptr<VerifySession> session(new VerifySession(config, std::move(lock)));
  CROSSFADE_TRY(session->Load());
  return session;
}

Result<std::unique_ptr<VerifySession>> VerifySession::OpenBeside(const Config& config) {
  std::unique_ptr<VerifySession> session(new VerifySession(config, std::nullopt));
  CROSSFADE_TRY(session->Load());
  return session;
}

Status VerifySession::Load() {
  state::JournalOptions options;
  options.directory = config_.state_dir + "/journal";
  options.memory_bytes = std::min<uint64_t>(config_.journal.memory_mib, 64) << 20;
  CROSSFADE_ASSIGN(journal_, state::Journal::OpenForReading(options, scratch_.path()));
  CROSSFADE_ASSIGN(const std::vector<TableSchema> schemas, LoadSchemas(journal_.get()));
  CROSSFADE_ASSIGN(routes_, RoutesOf(config_, schemas));
  CROSSFADE_ASSIGN(source_, MakeSourceEngine(config_));
  CROSSFADE_ASSIGN(order_, source_->Order());
  {
    CROSSFADE_ASSIGN(const std::unique_ptr<apply::RowReader> target, OpenTargetRows(config_));
    CROSSFADE_ASSIGN(const apply::TargetState state, target->ReadState());
    CROSSFADE_TRY(RequireFollowing(state, journal_.get(), *order_, config_));
    CROSSFADE_TRY(CheckTransforms(routes_, state, config_));
  }
  CROSSFADE_ASSIGN(snapshots_, source_->OpenSnapshots(schemas));
  return {};
}

Result<snapshot::CopyPlan> VerifySession::Plan() {
  CROSSFADE_ASSIGN(const SourceCatalog catalog, source_->ReadCatalog());
  std::map<std::string, TableSize> sizes;
  for (size_t i = 0; i < catalog.tables.size(); ++i) {
    sizes[catalog.tables[i].name] = catalog.sizes[i];
  }
  snapshot::PlanOptions options;
  options.chunk_rows = config_.verify.chunk_rows;
  return snapshot::PlanCopy(routes_, sizes, snapshots_.get(), options);
}

Result<verify::Sides> VerifySession::OpenSides() const {
  verify::Sides sides;
  CROSSFADE_ASSIGN(sides.source, snapshots_->OpenReader());
  CROSSFADE_ASSIGN(sides.target, OpenTargetRows(config_));
  return sides;
}

}  // namespace crossfade::tools
