#include "tools/crossfade/history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/failpoint.h"

namespace crossfade::tools {

namespace {

using Json = nlohmann::json;

constexpr int64_t kThinAgainUs = 60'000'000;
constexpr int kPhases = static_cast<int>(Phase::kFailed) + 1;

tl::unexpected<Error> Unwritten(const std::string& path, int reason) {
  return Fail(Error{ErrorClass::kTransient, "CF1813", "history", "the history of lag and throughput cannot be written",
                    "", path, std::strerror(reason),
                    "free space on that disk, and let this account write there; the migration itself goes on"});
}

std::string LineOf(const HistorySample& s) {
  const Json json = {{"at_us", s.at_us},
                     {"phase", static_cast<int>(s.phase)},
                     {"lag", {s.total.look_ms, s.total.max_ms}},
                     {"capture", {s.capture.look_ms, s.capture.max_ms}},
                     {"apply", {s.apply.look_ms, s.apply.max_ms}},
                     {"copied", s.rows_copied},
                     {"captured_seq", s.captured_seq},
                     {"applied_seq", s.applied_seq},
                     {"applied_rows", s.applied_rows},
                     {"journal", s.journal_bytes}};
  return json.dump() + "\n";
}

std::string LineOf(const HistoryPhase& p) {
  const Json json = {{"at_us", p.at_us},
                     {"begins", static_cast<int>(p.phase)},
                     {"pid", p.pid},
                     {"version", p.version},
                     {"code", p.code}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string LineOf(int64_t step_us) { return Json({{"step_us", step_us}}).dump() + "\n"; }

HistorySample::Lag LagFrom(const Json& json) { return {json.at(0).get<int64_t>(), json.at(1).get<int64_t>()}; }

// Throws what nlohmann throws for a line that is none of ours.
void ReadLine(const std::string& line, History* history) {
  const Json json = Json::parse(line);
  const auto phase = [&](const char* key) {
    return static_cast<Phase>(std::clamp(json.at(key).get<int>(), 0, kPhases - 1));
  };
  if (json.contains("step_us")) {
    history->step_us = std::max<int64_t>(1, json.at("step_us").get<int64_t>());
  } else if (json.contains("begins")) {
    history->phases.push_back({json.at("at_us").get<int64_t>(), phase("begins"), json.at("pid").get<int64_t>(),
                               json.at("version").get<std::string>(), json.at("code").get<std::string>()});
  } else {
    HistorySample sample;
    sample.at_us = json.at("at_us").get<int64_t>();
    sample.phase = phase("phase");
    sample.total = LagFrom(json.at("lag"));
    sample.capture = LagFrom(json.at("capture"));
    sample.apply = LagFrom(json.at("apply"));
    sample.rows_copied = json.at("copied").get<uint64_t>();
    sample.captured_seq = json.at("captured_seq").get<uint64_t>();
    sample.applied_seq = json.at("applied_seq").get<uint64_t>();
    sample.applied_rows = json.at("applied_rows").get<uint64_t>();
    sample.journal_bytes = json.at("journal").get<uint64_t>();
    history->samples.push_back(sample);
  }
}

void Merge(const HistorySample::Lag& later, HistorySample::Lag* lag) {
  lag->look_ms = later.look_ms;
  lag->max_ms = std::max(lag->max_ms, later.max_ms);
}

// Samples of one step become one: the figures of the latest, and the largest lags of all.
std::vector<HistorySample> Thinned(const std::vector<HistorySample>& samples, int64_t step_us) {
  std::vector<HistorySample> kept;
  for (const HistorySample& sample : samples) {
    if (kept.empty() || kept.back().at_us / step_us != sample.at_us / step_us) {
      kept.push_back(sample);
      continue;
    }
    HistorySample merged = sample;
    merged.total = kept.back().total;
    merged.capture = kept.back().capture;
    merged.apply = kept.back().apply;
    Merge(sample.total, &merged.total);
    Merge(sample.capture, &merged.capture);
    Merge(sample.apply, &merged.apply);
    kept.back() = merged;
  }
  return kept;
}

// How it began, and how it went lately.
void Thin(std::vector<HistoryPhase>* phases, size_t limit) {
  if (phases->size() > limit) {
    const auto first = phases->begin() + static_cast<ptrdiff_t>(limit / 8);
    phases->erase(first, phases->end() - static_cast<ptrdiff_t>(limit / 2));
  }
}

}  // namespace

std::string HistoryPath(const std::string& state_dir) { return state_dir + "/history/figures.jsonl"; }

Result<History> ReadHistory(const std::string& state_dir) {
  History history;
  const std::string path = HistoryPath(state_dir);
  std::ifstream in(path);
  if (!in && errno != ENOENT) {
    return Fail(Error{
        ErrorClass::kTransient, "CF1812", "history", "the history of lag and throughput cannot be read", "", path,
        std::strerror(errno),
        "it belongs to the account that runs the migration; take away what stands there if it is no file of ours"});
  }
  for (std::string line; std::getline(in, line);) {
    try {
      ReadLine(line, &history);
    } catch (const Json::exception&) {
      // A crash, or a full disk, cut it.
    }
  }
  const auto earlier = [](const auto& a, const auto& b) { return a.at_us < b.at_us; };
  std::stable_sort(history.samples.begin(), history.samples.end(), earlier);
  std::stable_sort(history.phases.begin(), history.phases.end(), earlier);
  return history;
}

HistoryWriter::HistoryWriter(std::string state_dir, const HistoryLimits& limits)
    : state_dir_(std::move(state_dir)), limits_(limits), step_us_(limits.step_us) {}

HistoryWriter::~HistoryWriter() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Status HistoryWriter::Open() {
  if (fd_ >= 0) {
    return {};
  }
  CROSSFADE_ASSIGN(const History known, ReadHistory(state_dir_));
  const std::string path = HistoryPath(state_dir_);
  const std::string folder = state_dir_ + "/history";
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return Unwritten(folder, errno);
  }
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd_ < 0) {
    return Unwritten(path, errno);
  }
  samples_ = known.samples.size();
  phases_ = known.phases.size();
  struct stat about = {};
  char last = '\n';
  if (::fstat(fd_, &about) == 0 && about.st_size > 0) {
    (void)!::pread(fd_, &last, 1, about.st_size - 1);
  }
  torn_ = last != '\n';
  if (known.step_us > 0) {
    step_us_ = known.step_us;
    return {};
  }
  return Append(LineOf(step_us_));
}

Status HistoryWriter::Append(const std::string& line) {
  const std::string text = torn_ ? "\n" + line : line;
  const ssize_t written = ::write(fd_, text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) {
    torn_ = false;
    return {};
  }
  torn_ = torn_ || written > 0;
  return Unwritten(HistoryPath(state_dir_), written < 0 ? errno : ENOSPC);
}

Status HistoryWriter::Begin(const StatusReport& report) {
  CROSSFADE_TRY(Open());
  if (begun_) {
    return {};
  }
  begun_ = true;
  written_us_ = report.at_us;
  ++phases_;
  return Append(LineOf(HistoryPhase{report.started_us, Phase::kStarting, report.pid, report.version, ""}));
}

Status HistoryWriter::Note(const StatusReport& report, const std::vector<PhaseChange>& changes) {
  CROSSFADE_TRY(Begin(report));
  if (IsFull()) {
    // Where it cannot be thinned nothing more is kept: it must not grow.
    if (report.at_us < thin_after_us_) {
      return {};
    }
    thin_after_us_ = report.at_us + kThinAgainUs;
    CROSSFADE_TRY(Thin());
    thin_after_us_ = 0;
  }
  const bool ended = report.phase == Phase::kStopped || report.phase == Phase::kFailed;
  if (!ended) {
    Look(report);
  }
  // A clock that was put back must not end the history.
  if (pending_ && (ended || report.at_us - written_us_ >= step_us_ || report.at_us < written_us_)) {
    written_us_ = report.at_us;
    CROSSFADE_TRY(Flush());
  }
  for (const PhaseChange& change : changes) {
    const bool failed = change.phase == Phase::kFailed && report.last_error;
    ++phases_;
    CROSSFADE_TRY(Append(LineOf(
        HistoryPhase{change.at_us, change.phase, report.pid, report.version, failed ? report.last_error->code : ""})));
  }
  return {};
}

bool HistoryWriter::IsFull() const { return samples_ >= limits_.max_samples || phases_ > limits_.max_phases; }

void HistoryWriter::Look(const StatusReport& report) {
  HistorySample now;
  now.at_us = report.at_us;
  now.phase = report.phase;
  if (report.phase == Phase::kCatchingUp || report.phase == Phase::kFollowing) {
    now.total = {report.lag_ms, report.lag_ms};
    now.apply = {report.lag_apply_ms, report.lag_apply_ms};
  }
  now.capture = {report.lag_capture_ms, report.lag_capture_ms};
  for (const auto& [name, table] : report.tables) {
    now.rows_copied += table.rows_done;
  }
  now.captured_seq = report.captured_seq.value;
  now.applied_seq = report.applied_seq.value;
  now.applied_rows = report.applied_rows;
  now.journal_bytes = report.journal_bytes;
  if (pending_) {
    now.total.max_ms = std::max(now.total.max_ms, next_.total.max_ms);
    now.capture.max_ms = std::max(now.capture.max_ms, next_.capture.max_ms);
    now.apply.max_ms = std::max(now.apply.max_ms, next_.apply.max_ms);
  }
  next_ = now;
  pending_ = true;
}

Status HistoryWriter::Flush() {
  pending_ = false;
  ++samples_;
  return Append(LineOf(next_));
}

Status HistoryWriter::Thin() {
  CROSSFADE_ASSIGN(History history, ReadHistory(state_dir_));
  // A little more than half is left where the steps do not begin with the first sample.
  while (history.samples.size() > limits_.max_samples / 2 + 1) {
    step_us_ *= 2;
    history.samples = Thinned(history.samples, step_us_);
  }
  tools::Thin(&history.phases, limits_.max_phases);
  const std::string path = HistoryPath(state_dir_);
  const std::string next = path + ".next";
  {
    std::ofstream out(next, std::ios::trunc);
    out << LineOf(step_us_);
    for (const HistoryPhase& phase : history.phases) {
      out << LineOf(phase);
    }
    for (const HistorySample& sample : history.samples) {
      out << LineOf(sample);
    }
    out.flush();
    if (!out || ::chmod(next.c_str(), 0600) != 0) {
      return Unwritten(next, errno);
    }
  }
  CROSSFADE_FAILPOINT("history.thin.before");
  if (std::rename(next.c_str(), path.c_str()) != 0) {
    return Unwritten(path, errno);
  }
  CROSSFADE_FAILPOINT("history.thin.after");
  ::close(fd_);
  fd_ = -1;
  return Open();
}

}  // namespace crossfade::tools
