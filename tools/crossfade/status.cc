#include "tools/crossfade/status.h"

#include <fcntl.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "core/clock.h"
#include "core/failpoint.h"

namespace crossfade::tools {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kComponent = "status";

Json PositionJson(const Position& position) {
  return {{"server", position.server}, {"gtid", position.set}, {"file", position.file}, {"offset", position.offset}};
}

Position PositionFrom(const Json& json) {
  Position position;
  position.server = json.value("server", "");
  position.set = json.value("gtid", "");
  position.file = json.value("file", "");
  position.offset = json.value("offset", uint64_t{0});
  return position;
}

Json TablesJson(const StatusReport& report) {
  Json tables = Json::object();
  for (const auto& [name, table] : report.tables) {
    tables[name] = {{"rows_done", table.rows_done},
                    {"rows_estimated", table.rows_estimated},
                    {"chunks_done", table.chunks_done},
                    {"chunks", table.chunks}};
  }
  return tables;
}

Json ErrorJson(const StatusReport& report) {
  if (!report.last_error) {
    return nullptr;
  }
  const Error& error = *report.last_error;
  return {{"class", ErrorClassName(error.error_class)},
          {"code", error.code},
          {"text", error.ToString()},
          {"object", error.object},
          {"found", error.found},
          {"fix", error.fix},
          {"at_us", report.last_error_us}};
}

std::string Bytes(uint64_t bytes) {
  constexpr uint64_t kMiB = 1 << 20;
  return bytes >= 10 * kMiB * 1024 ? fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1024.0 * kMiB))
                                   : fmt::format("{:.1f} MiB", static_cast<double>(bytes) / kMiB);
}

std::string Milliseconds(int64_t ms) { return ms < 0 ? "unknown" : fmt::format("{} ms", ms); }

Json VerifyJson(const StatusReport::Verify& v) {
  return {{"on", v.on},
          {"full_began_us", v.full_began_us},
          {"full_ended_us", v.full_ended_us},
          {"full_rows", v.full_rows},
          {"full_result", v.full_result},
          {"doing", v.doing},
          {"checked_seq", v.checked_seq.value},
          {"behind", v.behind},
          {"checked_us", v.checked_us},
          {"open", v.open},
          {"undecided", v.undecided},
          {"waiting", v.waiting},
          {"problem", v.problem}};
}

StatusReport::Verify VerifyFrom(const Json& json) {
  StatusReport::Verify v;
  v.on = json.value("on", false);
  v.full_began_us = json.value("full_began_us", int64_t{0});
  v.full_ended_us = json.value("full_ended_us", int64_t{0});
  v.full_rows = json.value("full_rows", uint64_t{0});
  v.full_result = json.value("full_result", "");
  v.doing = json.value("doing", "");
  v.checked_seq.value = json.value("checked_seq", uint64_t{0});
  v.behind = json.value("behind", uint64_t{0});
  v.checked_us = json.value("checked_us", int64_t{0});
  v.open = json.value("open", uint64_t{0});
  v.undecided = json.value("undecided", uint64_t{0});
  v.waiting = json.value("waiting", std::vector<std::string>{});
  v.problem = json.value("problem", "");
  return v;
}

// Seconds since then; below 0: never.
double AgeSeconds(int64_t at_us) {
  return at_us == 0 ? -1 : std::max(0.0, static_cast<double>(WallMicros() - at_us) / 1e6);
}

std::string VerifyText(const StatusReport::Verify& v) {
  std::string text = "verify      ";
  text += v.full_began_us == 0 ? "no full pass has ended yet"
                               : fmt::format("full pass {:.0f} s ago: {}", AgeSeconds(v.full_began_us), v.full_result);
  text += v.checked_us == 0 ? "; touched rows: none compared yet"
                            : fmt::format("; touched rows are compared up to seq {}, all of {:.1f} s ago",
                                          v.checked_seq.value, AgeSeconds(v.checked_us));
  text += fmt::format("\n            {} rows differ, {} undecided", v.open, v.undecided);
  for (const std::string& table : v.waiting) {
    text += fmt::format("{} {}", &table == &v.waiting.front() ? "; to be compared as a whole:" : ",", table);
  }
  if (!v.doing.empty()) {
    text += "\n            under way: " + v.doing;
  }
  if (!v.problem.empty()) {
    text += "\n            " + v.problem;
  }
  return text + "\n";
}

std::string CopyText(const StatusReport& report) {
  uint64_t done = 0;
  uint64_t estimated = 0;
  size_t tables_done = 0;
  for (const auto& [name, table] : report.tables) {
    done += table.rows_done;
    estimated += std::max(table.rows_estimated, table.rows_done);
    tables_done += table.chunks > 0 && table.chunks_done == table.chunks ? 1 : 0;
  }
  std::string text = fmt::format("copy        {} of about {} rows, {} of {} tables", done, estimated, tables_done,
                                 report.tables.size());
  if (report.phase == Phase::kCopying) {
    text += fmt::format(", {} rows/s{}", report.copy_rows_per_second,
                        report.copy_eta_s < 0 ? "" : fmt::format(", {} s left", report.copy_eta_s));
  }
  if (!report.copy_waits_for.empty()) {
    text += "\n            waits: " + report.copy_waits_for;
  }
  return text;
}

}  // namespace

std::string PhaseName(Phase phase) {
  constexpr std::string_view kNames[] = {"starting",  "copying", "building keys", "catching up",
                                         "following", "stopped", "failed"};
  return std::string(kNames[static_cast<size_t>(phase)]);
}

void StatusBoard::SetPhase(Phase phase) {
  Update([&](StatusReport* report) { report->phase = phase; });
}

StatusReport StatusBoard::Show() {
  const std::lock_guard recording(recording_);
  while (recorder_) {
    {
      const std::lock_guard lock(mutex_);
      if (changes_[static_cast<size_t>(PhaseReader::kAudit)].empty()) {
        return report_;
      }
    }
    recorder_(TakePhaseChanges(PhaseReader::kAudit));
  }
  return Read();
}

void StatusBoard::RecordPhasesWith(PhaseRecorder recorder) {
  const std::lock_guard recording(recording_);
  recorder_ = std::move(recorder);
}

void StatusBoard::NoteChange() {
  constexpr size_t kMostChanges = 100;
  const bool failed = report_.phase == Phase::kFailed && report_.last_error;
  for (std::vector<PhaseChange>& changes : changes_) {
    if (changes.size() == kMostChanges) {
      changes.erase(changes.begin());
    }
    changes.push_back({WallMicros(), report_.phase, failed ? report_.last_error->code : ""});
  }
}

std::vector<PhaseChange> StatusBoard::TakePhaseChanges(PhaseReader reader) {
  const std::lock_guard lock(mutex_);
  return std::exchange(changes_[static_cast<size_t>(reader)], {});
}

void StatusBoard::SetError(const Error& error) {
  Update([&](StatusReport* report) {
    report->last_error = error;
    report->last_error_us = WallMicros();
  });
}

std::string StatusJson(const StatusReport& r) {
  Json pins = Json::object();
  for (const auto& [holder, seq] : r.pins) {
    pins[holder] = seq;
  }
  const Json json = {
      {"name", r.name},
      {"tenant", r.tenant},
      {"pid", r.pid},
      {"host", r.host},
      {"version", r.version},
      {"at_us", r.at_us},
      {"started_us", r.started_us},
      {"phase", PhaseName(r.phase)},
      {"phase_number", static_cast<int>(r.phase)},
      {"epoch", r.epoch},
      {"http", r.http},
      {"copy",
       {{"tables", TablesJson(r)},
        {"rows_per_second", r.copy_rows_per_second},
        {"eta_s", r.copy_eta_s},
        {"chunks_read_again", r.chunks_read_again},
        {"paused", r.paused},
        {"waits_for", r.copy_waits_for}}},
      {"capture",
       {{"position", PositionJson(r.captured)},
        {"seq", r.captured_seq.value},
        {"transactions", r.captured_transactions},
        {"reconnects", r.capture_reconnects}}},
      {"apply",
       {{"position", PositionJson(r.applied)},
        {"seq", r.applied_seq.value},
        {"transactions", r.applied_transactions},
        {"rows", r.applied_rows},
        {"divergences", r.divergences}}},
      {"lag_ms", r.lag_ms},
      {"lag_capture_ms", r.lag_capture_ms},
      {"lag_apply_ms", r.lag_apply_ms},
      {"journal",
       {{"bytes", r.journal_bytes},
        {"budget_bytes", r.journal_budget_bytes},
        {"over_budget", r.journal_over_budget},
        {"pins", pins}}},
      {"retention", {{"kept_s", r.retention_kept_s}, {"left_s", r.retention_left_s}}},
      {"verify", VerifyJson(r.verify)},
      {"warnings", r.warnings},
      {"last_error", ErrorJson(r)},
  };
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<StatusReport> ParseStatusJson(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("copy") || !json.contains("capture") || !json.contains("apply")) {
    return Fail(Error{ErrorClass::kTransient, "CF1730", std::string(kComponent), "the status file is damaged", "",
                      "status.json", fmt::format("{} bytes that are no status", text.size()),
                      "'crossfade run' writes it anew, at its start and four times a second"});
  }
  StatusReport r;
  r.name = json.value("name", "");
  r.tenant = json.value("tenant", "");
  r.pid = json.value("pid", int64_t{0});
  r.host = json.value("host", "");
  r.version = json.value("version", "");
  r.at_us = json.value("at_us", int64_t{0});
  r.started_us = json.value("started_us", int64_t{0});
  r.phase = static_cast<Phase>(json.value("phase_number", 0));
  r.epoch = json.value("epoch", uint64_t{0});
  r.http = json.value("http", "");
  const Json& copy = json.at("copy");
  for (const auto& [name, table] : copy.at("tables").items()) {
    r.tables[name] = {table.value("rows_done", uint64_t{0}), table.value("rows_estimated", uint64_t{0}),
                      table.value("chunks_done", uint32_t{0}), table.value("chunks", uint32_t{0})};
  }
  r.copy_rows_per_second = copy.value("rows_per_second", uint64_t{0});
  r.copy_eta_s = copy.value("eta_s", int64_t{-1});
  r.chunks_read_again = copy.value("chunks_read_again", uint64_t{0});
  r.paused = copy.value("paused", false);
  r.copy_waits_for = copy.value("waits_for", "");
  const Json& capture = json.at("capture");
  r.captured = PositionFrom(capture.at("position"));
  r.captured_seq.value = capture.value("seq", uint64_t{0});
  r.captured_transactions = capture.value("transactions", uint64_t{0});
  r.capture_reconnects = capture.value("reconnects", uint64_t{0});
  const Json& apply = json.at("apply");
  r.applied = PositionFrom(apply.at("position"));
  r.applied_seq.value = apply.value("seq", uint64_t{0});
  r.applied_transactions = apply.value("transactions", uint64_t{0});
  r.applied_rows = apply.value("rows", uint64_t{0});
  r.divergences = apply.value("divergences", uint64_t{0});
  r.lag_ms = json.value("lag_ms", int64_t{-1});
  r.lag_capture_ms = json.value("lag_capture_ms", int64_t{-1});
  r.lag_apply_ms = json.value("lag_apply_ms", int64_t{-1});
  const Json& journal = json.at("journal");
  r.journal_bytes = journal.value("bytes", uint64_t{0});
  r.journal_budget_bytes = journal.value("budget_bytes", uint64_t{0});
  r.journal_over_budget = journal.value("over_budget", false);
  for (const auto& [holder, seq] : journal.at("pins").items()) {
    r.pins.emplace_back(holder, seq.get<uint64_t>());
  }
  if (const auto retention = json.find("retention"); retention != json.end()) {
    r.retention_kept_s = retention->value("kept_s", int64_t{-1});
    r.retention_left_s = retention->value("left_s", int64_t{-1});
  }
  if (const auto verify = json.find("verify"); verify != json.end()) {
    r.verify = VerifyFrom(*verify);
  }
  r.warnings = json.value("warnings", std::vector<std::string>{});
  if (const Json& error = json.at("last_error"); error.is_object()) {
    Error e;
    e.code = error.value("code", "");
    e.component = "recorded";
    e.message = error.value("text", "");
    r.last_error = e;
    r.last_error_us = error.value("at_us", int64_t{0});
  }
  return r;
}

std::string StatusText(const StatusReport& r, bool alive) {
  std::string out = fmt::format("{}  {}{}\n", r.name, PhaseName(r.phase), alive ? "" : "  (no process is running)");
  out += fmt::format("process     pid {} on {}, {}, epoch {}\n", r.pid, r.host, r.version, r.epoch);
  if (!r.tenant.empty()) {
    out += fmt::format("tenant      {}\n", r.tenant);
  }
  out += CopyText(r) + "\n";
  if (r.phase == Phase::kCopying) {
    for (const auto& [name, table] : r.tables) {
      if (table.chunks_done < table.chunks) {
        out += fmt::format("            {:<32} {:>12} of about {:>12} rows, {}/{} chunks\n", name, table.rows_done,
                           table.rows_estimated, table.chunks_done, table.chunks);
      }
    }
  }
  out += fmt::format("captured    {}  (seq {}, {} reconnects)\n", r.captured.ToString(), r.captured_seq.value,
                     r.capture_reconnects);
  out += fmt::format("applied     {}  (seq {}, {} transactions, {} rows since start)\n", r.applied.ToString(),
                     r.applied_seq.value, r.applied_transactions, r.applied_rows);
  out += fmt::format("lag         {}  (source to journal {}, journal to target {})\n", Milliseconds(r.lag_ms),
                     Milliseconds(r.lag_capture_ms), Milliseconds(r.lag_apply_ms));
  out += fmt::format("journal     {} of {}", Bytes(r.journal_bytes), Bytes(r.journal_budget_bytes));
  for (const auto& [holder, seq] : r.pins) {
    out += fmt::format(", {} holds all above seq {}", holder, seq);
  }
  out += fmt::format("\ndivergences {}\n", r.divergences);
  if (r.verify.on) {
    out += VerifyText(r.verify);
  }
  if (!r.http.empty() && alive) {
    out += fmt::format("http        http://{}/status  /metrics\n", r.http);
  }
  for (const std::string& warning : r.warnings) {
    out += fmt::format("warning     {}\n", warning);
  }
  if (r.last_error) {
    out +=
        fmt::format("last error  {} s ago: {}\n", (WallMicros() - r.last_error_us) / 1'000'000, r.last_error->message);
  }
  return out;
}

std::string StatusMetrics(const StatusReport& r) {
  prometheus::Registry registry;
  const std::map<std::string, std::string> labels = {{"migration", r.name}};
  const auto gauge = [&](const char* name, const char* help, double value) {
    prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels).Set(value);
  };
  uint64_t rows = 0;
  for (const auto& [name, table] : r.tables) {
    rows += table.rows_done;
  }
  gauge("crossfade_phase", "0 starting, 1 copying, 2 building keys, 3 catching up, 4 following, 5 stopped, 6 failed",
        static_cast<double>(r.phase));
  gauge("crossfade_copy_rows", "Rows copied by the snapshot", static_cast<double>(rows));
  gauge("crossfade_captured_seq", "Last transaction durable in the journal", static_cast<double>(r.captured_seq.value));
  gauge("crossfade_applied_seq", "Last transaction applied", static_cast<double>(r.applied_seq.value));
  gauge("crossfade_applied_transactions", "Transactions applied since start",
        static_cast<double>(r.applied_transactions));
  gauge("crossfade_applied_rows", "Row changes applied since start", static_cast<double>(r.applied_rows));
  gauge("crossfade_divergences", "Rows that were not as the log said", static_cast<double>(r.divergences));
  gauge("crossfade_lag_seconds", "Source commit to applied; -1: unknown",
        r.lag_ms < 0 ? -1 : static_cast<double>(r.lag_ms) / 1000);
  gauge("crossfade_lag_capture_seconds", "Source commit to journal",
        r.lag_capture_ms < 0 ? -1 : static_cast<double>(r.lag_capture_ms) / 1000);
  gauge("crossfade_lag_apply_seconds", "Journal to target",
        r.lag_apply_ms < 0 ? -1 : static_cast<double>(r.lag_apply_ms) / 1000);
  gauge("crossfade_journal_bytes", "Disk taken by the journal", static_cast<double>(r.journal_bytes));
  gauge("crossfade_journal_budget_bytes", "Disk the journal may take", static_cast<double>(r.journal_budget_bytes));
  gauge("crossfade_capture_reconnects", "Reconnects to the source's log since start",
        static_cast<double>(r.capture_reconnects));
  gauge("crossfade_epoch", "Epoch of the owner", static_cast<double>(r.epoch));
  gauge("crossfade_source_log_kept_seconds", "How long the source keeps a closed log file; -1: for ever, or not known",
        static_cast<double>(r.retention_kept_s));
  gauge("crossfade_source_log_left_seconds",
        "Until the source may purge what is not captured; -1: nothing of that is in a closed file",
        static_cast<double>(r.retention_left_s));
  if (r.verify.on) {
    gauge("crossfade_verify_full_pass_age_seconds", "Since the last full pass that counts began; -1: none has ended",
          AgeSeconds(r.verify.full_began_us));
    gauge("crossfade_verify_full_pass_equal", "Whether that pass found all rows equal",
          r.verify.full_result == "equal" ? 1 : 0);
    gauge("crossfade_verify_touched_behind_transactions", "Applied, and touched rows not compared",
          static_cast<double>(r.verify.behind));
    gauge("crossfade_verify_touched_behind_seconds",
          "Since the moment up to which all that was applied is compared; -1: nothing yet",
          AgeSeconds(r.verify.checked_us));
    gauge("crossfade_verify_open_rows", "Rows that differ on the two sides", static_cast<double>(r.verify.open));
    gauge("crossfade_verify_undecided_rows", "Rows that could not be decided", static_cast<double>(r.verify.undecided));
    gauge("crossfade_verify_tables_waiting", "Tables to be compared as a whole",
          static_cast<double>(r.verify.waiting.size()));
  }
  gauge("crossfade_warnings", "Standing warnings", static_cast<double>(r.warnings.size()));
  return prometheus::TextSerializer().Serialize(registry.Collect());
}

std::string StatusPath(const std::string& state_dir) { return state_dir + "/status.json"; }

Status WriteStatusFile(const std::string& state_dir, const StatusReport& report) {
  const std::string path = StatusPath(state_dir);
  const std::string text = StatusJson(report);
  const std::string next = path + ".next";
  const int fd = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int reason = errno;
  if (fd >= 0) {
    ::close(fd);
  }
  CROSSFADE_FAILPOINT("status.replace.before");
  // A reader must never see half of it.
  const bool replaced = written && std::rename(next.c_str(), path.c_str()) == 0;
  CROSSFADE_FAILPOINT("status.replace.after");
  if (!replaced) {
    return Fail(Error{ErrorClass::kConfig, "CF1731", std::string(kComponent), "the status cannot be written", "", next,
                      std::strerror(written ? errno : reason),
                      "free space on that disk, and let this account write there; the migration itself goes on"});
  }
  return {};
}

Result<StatusReport> ReadStatusFile(const std::string& state_dir) {
  std::ifstream in(StatusPath(state_dir));
  if (!in) {
    return Fail(Error{ErrorClass::kTransient, "CF1732", std::string(kComponent),
                      "this migration was never started here, or its state directory is another one", "", state_dir,
                      "no status.json", "start it with 'crossfade run', or name in state_dir where it runs"});
  }
  std::stringstream text;
  text << in.rdbuf();
  Result<StatusReport> report = ParseStatusJson(text.str());
  if (!report) {
    report.error().object = StatusPath(state_dir);
  }
  return report;
}

}  // namespace crossfade::tools
