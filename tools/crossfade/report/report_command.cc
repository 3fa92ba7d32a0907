// crossfade report.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/failpoint.h"
#include "state/audit_log.h"
#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/commands.h"
#include "tools/crossfade/config.h"
#include "tools/crossfade/report/gather.h"
#include "tools/crossfade/report/report_html.h"
#include "tools/crossfade/report/report_json.h"
#include "tools/crossfade/report/verdict.h"

namespace crossfade::tools {

namespace {

constexpr const char* kStandardOutput = "-";

tl::unexpected<Error> Refused(const char* code, const std::string& message, const std::string& path,
                              const std::string& found, const std::string& fix) {
  return Fail(Error{ErrorClass::kConfig, code, "report", message, "", path, found, fix});
}

bool IsThere(const std::string& path) {
  struct stat about = {};
  return ::lstat(path.c_str(), &about) == 0;
}

Status RefuseOverwriting(const std::string& path, bool force) {
  if (path.empty() || path == kStandardOutput || force || !IsThere(path)) {
    return {};
  }
  return Refused("CF1810", "the report would replace a file", path, "a file of that name",
                 "name another file, or add --force to replace this one");
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) {
      return false;
    }
    text.remove_prefix(static_cast<size_t>(std::max<ssize_t>(0, written)));
  }
  return true;
}

// Under its name a report is whole, or not there: it may be signed. It holds customers' data: for this account only.
Status WriteReport(const std::string& path, const std::string& text) {
  if (path == kStandardOutput) {
    std::cout << text << std::flush;
    return {};
  }
  const std::string next = path + ".part";
  const int fd = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  const bool written = fd >= 0 && WriteAll(fd, text) && ::fsync(fd) == 0;
  int reason = errno;
  if (fd >= 0) {
    ::close(fd);
  }
  CROSSFADE_FAILPOINT("report.rename.before");
  const bool named = written && std::rename(next.c_str(), path.c_str()) == 0;
  CROSSFADE_FAILPOINT("report.rename.after");
  if (!named) {
    reason = written ? errno : reason;
    if (fd >= 0) {
      ::unlink(next.c_str());
    }
    return Refused("CF1815", "the report cannot be written", path, std::strerror(reason),
                   "name a file in a directory that this account may write to, on a disk with space left");
  }
  return {};
}

Status MakeReport(const ReportCommandOptions& options, const Config& config) {
  const std::string html = options.html.empty() && options.json.empty() ? config.name + "-report.html" : options.html;
  if (!html.empty() && html == options.json) {
    return Refused("CF1816", "HTML and JSON cannot be written to the same place", html, "--html and --json name it",
                   "name two files");
  }
  CROSSFADE_TRY(RefuseOverwriting(html, options.force));
  CROSSFADE_TRY(RefuseOverwriting(options.json, options.force));
  const Result<StatusReport> status = ReadStatusFile(config.state_dir);
  CROSSFADE_ASSIGN(const ReportData data, GatherReport(config, status && IsAlive(*status)));
  const std::string json = ReportJson(data);
  const std::string digest = state::Sha256(json);
  // The record names the report that may be signed. Where the state directory is lost there is no log to name it in.
  if (IsThere(config.state_dir)) {
    CROSSFADE_TRY(RecordAction(config, "report",
                               {{"html", html},
                                {"json", options.json},
                                {"sha256", digest},
                                {"verdict", std::string(VerdictName(data.verdict.verdict))}}));
  }
  if (!html.empty()) {
    CROSSFADE_TRY(WriteReport(html, ReportHtml(data, digest)));
  }
  if (!options.json.empty()) {
    CROSSFADE_TRY(WriteReport(options.json, json));
  }
  for (const std::string& unread : data.unread) {
    std::cerr << "crossfade: not read: " << unread << "\n";
  }
  std::string files;
  for (const std::string& path : {html, options.json}) {
    files += path.empty() || path == kStandardOutput ? "" : " " + path;
  }
  if (!files.empty()) {
    std::cerr << fmt::format("report:{}: {}\n", files, VerdictTitle(data.verdict.verdict));
  }
  return {};
}

}  // namespace

int ReportCommand(const ReportCommandOptions& options) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config) {
    return Report(config.error());
  }
  const Status made = MakeReport(options, *config);
  return made ? kDone : Report(made.error());
}

}  // namespace crossfade::tools
