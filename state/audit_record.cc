#include "state/audit_record.h"

#include <sys/file.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/clock.h"
#include "state/audit_log.h"

namespace crossfade::state {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kComponent = "state.audit";

}  // namespace

tl::unexpected<Error> AuditUnusable(const std::string& path, std::string_view doing, int number) {
  Error error =
      MakeError(ErrorClass::kConfig, "CF1320", kComponent, "cannot {} the audit log: {}", doing, std::strerror(number))
          .value();
  error.object = path;
  error.found = std::strerror(number);
  error.fix = fmt::format("let this user write it: chown $(id -un) {} && chmod 600 {}; and see that the disk has room",
                          path, path);
  return Fail(std::move(error));
}

bool IsWholeJson(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  return json.is_object();
}

std::optional<AuditRecord> ParseAuditRecord(std::string_view line) {
  const size_t tail = kAuditHashBegin.size() + kAuditHashSize + kAuditHashEnd.size();
  if (line.size() <= tail || line.substr(line.size() - kAuditHashEnd.size()) != kAuditHashEnd ||
      line.substr(line.size() - tail, kAuditHashBegin.size()) != kAuditHashBegin) {
    return std::nullopt;
  }
  AuditRecord record;
  record.hash = line.substr(line.size() - kAuditHashEnd.size() - kAuditHashSize, kAuditHashSize);
  if (Sha256(std::string(line.substr(0, line.size() - tail)) + "}") != record.hash) {
    return std::nullopt;
  }
  const Json json = Json::parse(line, nullptr, false);
  const auto text = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (!json.is_object() || !json.contains("seq") || !json["seq"].is_number_unsigned()) {
    return std::nullopt;
  }
  record.seq = json["seq"].get<uint64_t>();
  record.prev = text("prev");
  record.at = text("at");
  if (const auto anew = json.find("begins_anew"); anew != json.end()) {
    record.begins_anew = anew->dump();
  }
  if (const auto torn = json.find("torn"); torn != json.end()) {
    if (!torn->is_object() || !torn->value("bytes", Json()).is_number_unsigned() ||
        !torn->value("sha256", Json()).is_string()) {
      return std::nullopt;
    }
    record.torn = {(*torn)["bytes"].get<uint64_t>(), (*torn)["sha256"].get<std::string>()};
  }
  return record;
}

Status LockAudit(const AuditFile& file, const std::string& path, std::chrono::milliseconds wait) {
  const Deadline give_up = After(wait);
  while (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return AuditUnusable(path, "lock", errno);
    }
    if (std::chrono::steady_clock::now() > give_up) {
      return MakeError(ErrorClass::kTransient, "CF1322", kComponent,
                       "another process has held the audit log {} for {} ms; 'lsof {}' names it", path, wait.count(),
                       path);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return {};
}

}  // namespace crossfade::state
