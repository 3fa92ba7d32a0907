#include "capture/mysql/log_retention.h"

#include <algorithm>
#include <charconv>

#include "capture/mysql/log_mark.h"

namespace crossfade::capture {

namespace {

using mysql::Connection;

constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 24 * kHour;

double Number(const std::optional<std::string>& text) {
  double value = 0;
  if (text) {
    std::from_chars(text->data(), text->data() + text->size(), value);
  }
  return value;
}

Result<LogFiles> ReadLogFiles(Connection& connection) {
  LogFiles log;
  CROSSFADE_ASSIGN(const auto variables,
                   connection.Rows("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('binlog_expire_logs_seconds', "
                                   "'expire_logs_days', 'binlog_expire_logs_auto_purge', 'max_binlog_total_size')"));
  bool purges = true;
  double days = 0;
  for (const auto& row : variables) {
    const std::string name = row[0].value_or("");
    if (name == "binlog_expire_logs_seconds") {
      log.expire_s = static_cast<int64_t>(Number(row[1]));
      log.setting = name;
    } else if (name == "expire_logs_days") {
      days = Number(row[1]);
    } else if (name == "max_binlog_total_size") {
      log.max_total_bytes = static_cast<uint64_t>(Number(row[1]));
    } else if (row[1].value_or("ON") == "OFF") {
      purges = false;
    }
  }
  if (log.expire_s == 0 && days > 0) {
    log.expire_s = static_cast<int64_t>(days * kDay);
    log.setting = log.setting.empty() ? "expire_logs_days" : log.setting;
  }
  log.expire_s = purges ? log.expire_s : 0;
  CROSSFADE_ASSIGN(const auto files, connection.Rows("SHOW BINARY LOGS"));
  for (const auto& row : files) {
    log.files.push_back({row[0].value_or(""), static_cast<uint64_t>(Number(row[1]))});
  }
  CROSSFADE_ASSIGN(const auto now, connection.Scalar("SELECT UNIX_TIMESTAMP()"));
  log.now_s = static_cast<int64_t>(Number(now));
  return log;
}

std::string Span(int64_t seconds) {
  if (seconds >= 2 * kDay) {
    return fmt::format("{} days", seconds / kDay);
  }
  return seconds >= 2 * kHour ? fmt::format("{} hours", seconds / kHour) : fmt::format("{} s", seconds);
}

auto Find(const LogFiles& log, const std::string& name) {
  return std::find_if(log.files.begin(), log.files.end(), [&](const auto& file) { return file.name == name; });
}

std::string WiderExpiry(const LogFiles& log) {
  const int64_t wanted = std::max(3 * kDay, 2 * log.expire_s);
  return log.setting == "expire_logs_days" ? fmt::format("SET GLOBAL expire_logs_days = {}", wanted / kDay)
                                           : fmt::format("SET GLOBAL {} = {}", log.setting, wanted);
}

void JudgeSize(const LogFiles& log, std::vector<LogFiles::File>::const_iterator needed, Retention* retention) {
  uint64_t held = 0;
  for (auto file = needed; file != log.files.end(); ++file) {
    held += file->bytes;
  }
  if (log.max_total_bytes == 0 || held < log.max_total_bytes / 4 * 3) {
    return;
  }
  retention->warning = fmt::format(
      "the source will purge what is not captured yet: from {} on its log has {} MiB of the {} that "
      "max_binlog_total_size allows; SET GLOBAL max_binlog_total_size = {}",
      needed->name, held >> 20, log.max_total_bytes >> 20, 2 * log.max_total_bytes);
}

}  // namespace

Retention JudgeRetention(const LogFiles& log, const Position& needed, int64_t next_begun_s) {
  Retention retention;
  retention.kept_s = log.expire_s > 0 ? log.expire_s : -1;
  const auto file = Find(log, needed.file);
  if (file == log.files.end()) {
    retention.purged = true;
    retention.warning = fmt::format(
        "the source has purged {}, which is not captured to its end: the log can be followed as long as this "
        "connection lasts, and not after it",
        needed.file);
    return retention;
  }
  if (std::next(file) == log.files.end()) {
    return retention;  // it is still written
  }
  if (log.expire_s > 0) {
    retention.left_s = std::max<int64_t>(0, log.expire_s - (log.now_s - next_begun_s));
    // A quarter of the time; a day, or half of what is less, is what it takes to notice and to act.
    const int64_t enough = std::max(log.expire_s / 4, std::min(kDay, log.expire_s / 2));
    if (retention.left_s < enough) {
      retention.warning = fmt::format(
          "capture is behind, and in {} the source may purge {}, which it needs after a restart ({} = {} there); {}",
          Span(retention.left_s), needed.file, log.setting,
          log.setting == "expire_logs_days" ? log.expire_s / kDay : log.expire_s, WiderExpiry(log));
    }
  }
  if (retention.warning.empty()) {
    JudgeSize(log, file, &retention);
  }
  return retention;
}

Result<Retention> ReadRetention(const mysql::ConnectionOptions& options, const Position& needed) {
  CROSSFADE_ASSIGN(const std::unique_ptr<Connection> connection, Connection::Open(options));
  if (needed.file.empty() || needed.server != connection->server().identity) {
    return Retention{};
  }
  CROSSFADE_ASSIGN(const LogFiles log, ReadLogFiles(*connection));
  const auto file = Find(log, needed.file);
  int64_t next_begun_s = log.now_s;
  if (log.expire_s > 0 && file != log.files.end() && std::next(file) != log.files.end()) {
    CROSSFADE_ASSIGN(const std::unique_ptr<Connection> dump, Connection::Open(options));
    CROSSFADE_ASSIGN(const auto begun, ReadLogBegin(*dump, std::next(file)->name));
    next_begun_s = begun.value_or(log.now_s);
  }
  return JudgeRetention(log, needed, next_begun_s);
}

}  // namespace crossfade::capture
