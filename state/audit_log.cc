#include "state/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/clock.h"
#include "core/failpoint.h"
#include "state/audit_record.h"

namespace crossfade::state {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kComponent = "state.audit";

tl::unexpected<Error> NotOurs(const std::string& path, const std::string& what) {
  Error error = MakeError(ErrorClass::kCorrupt, "CF1321", kComponent,
                          "the audit log does not end in a record that was written to it: {}", what)
                    .value();
  error.object = path;
  error.found = what;
  error.fix =
      "'crossfade audit verify' says where; put the log back from its backup, or keep it and begin a new one: "
      "'crossfade audit begin --reason TEXT'";
  return Fail(std::move(error));
}

std::string UtcNow() {
  const int64_t now = WallMicros();
  const std::time_t seconds = now / 1'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:06}Z", text.data(), now % 1'000'000);
}

// What the end of the file says.
struct End {
  AuditHead head;
  std::string torn;  // what crashes left behind it, without the newline at its end
  bool needs_newline = false;
};

Result<std::string> ReadTail(const AuditFile& file, const std::string& path, uint64_t size) {
  std::string tail;
  tail.resize(std::min<uint64_t>(size, kMaxAuditTail));
  size_t got = 0;
  while (got < tail.size()) {
    const ssize_t n =
        ::pread(file.fd(), tail.data() + got, tail.size() - got, static_cast<off_t>(size - tail.size() + got));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return AuditUnusable(path, "read", n < 0 ? errno : EIO);
    }
    got += static_cast<size_t>(n);
  }
  return tail;
}

Result<End> FindEnd(const AuditFile& file, const std::string& path) {
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) {
    return AuditUnusable(path, "look at", errno);
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  End end;
  if (size == 0) {
    return end;
  }
  CROSSFADE_ASSIGN(const std::string tail, ReadTail(file, path, size));
  end.needs_newline = tail.back() != '\n';
  const size_t last = end.needs_newline ? tail.size() : tail.size() - 1;
  // Backwards, over what crashes left, to the last record.
  for (size_t stop = last;;) {
    const size_t newline = stop == 0 ? std::string::npos : tail.rfind('\n', stop - 1);
    const size_t start = newline == std::string::npos ? 0 : newline + 1;
    const bool is_cut = newline == std::string::npos && size > tail.size();
    const std::string_view line = std::string_view(tail).substr(start, stop - start);
    if (is_cut) {
      return NotOurs(path, fmt::format("no record in its last {} bytes", tail.size()));
    }
    if (const std::optional<AuditRecord> record = ParseAuditRecord(line)) {
      end.head = {record->seq, record->hash};
      if (stop < last) {
        end.torn = tail.substr(stop + 1, last - stop - 1);
      }
      return end;
    }
    if (IsWholeJson(line)) {
      return NotOurs(path, fmt::format("the line at byte {} was changed", size - tail.size() + start));
    }
    if (newline == std::string::npos) {
      end.torn = tail.substr(0, last);
      return end;
    }
    stop = newline;
  }
}

Result<std::string> MakeLine(const AuditHead& before, const End& end, const Json& members, std::string* hash) {
  Json json;
  json["seq"] = before.seq + 1;
  json["prev"] = before.seq == 0 ? std::string(kAuditHashSize, '0') : before.hash;
  json["at"] = UtcNow();
  for (const auto& [name, value] : members.items()) {
    json[name] = value;
  }
  if (!end.torn.empty()) {
    json["torn"] = {{"bytes", end.torn.size()}, {"sha256", Sha256(end.torn)}};
  }
  std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (line.size() > kMaxAuditLine - 100) {
    Error error = MakeError(ErrorClass::kConfig, "CF1323", kComponent,
                            "a record of {} bytes is too large for the audit log", line.size())
                      .value();
    error.found = fmt::format("{} bytes", line.size());
    error.fix =
        fmt::format("shorten the command line or the names in it: a record has at most {} bytes", kMaxAuditLine);
    return Fail(std::move(error));
  }
  *hash = Sha256(line);
  line.pop_back();
  return fmt::format("{}{}{}{}{}\n", end.needs_newline ? "\n" : "", line, kAuditHashBegin, *hash, kAuditHashEnd);
}

Status WriteLine(const AuditFile& file, const std::string& path, const std::string& line) {
  CROSSFADE_FAILPOINT("audit.write.before");
  ssize_t written = 0;
  do {
    written = ::write(file.fd(), line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  CROSSFADE_FAILPOINT("audit.write.after");
  if (written != static_cast<ssize_t>(line.size())) {
    return AuditUnusable(path, "write", written < 0 ? errno : ENOSPC);  // what is there of it is torn
  }
  CROSSFADE_FAILPOINT("audit.sync.before");
  const bool synced = ::fsync(file.fd()) == 0;
  CROSSFADE_FAILPOINT("audit.sync.after");
  return synced ? Status() : AuditUnusable(path, "sync", errno);
}

// The name of a new file is as durable as its first line will be.
Status SyncDirectory(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const AuditFile file(::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CROSSFADE_FAILPOINT("audit.directory.before");
  const bool synced = file.fd() >= 0 && ::fsync(file.fd()) == 0;
  CROSSFADE_FAILPOINT("audit.directory.after");
  return synced ? Status() : AuditUnusable(path, "make durable", errno);
}

}  // namespace

std::string AuditPath(const std::string& directory) { return directory + "/audit.jsonl"; }

namespace {

// Opened and locked: the file that has this name.
Result<std::unique_ptr<AuditFile>> OpenLocked(const std::string& path, std::chrono::milliseconds lock_wait) {
  for (;;) {
    auto file = std::make_unique<AuditFile>(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (file->fd() < 0) {
      return AuditUnusable(path, "open", errno);
    }
    CROSSFADE_TRY(LockAudit(*file, path, lock_wait));
    struct stat ours {};
    struct stat named {};
    if (::fstat(file->fd(), &ours) != 0) {
      return AuditUnusable(path, "look at", errno);
    }
    // While it was waited for another may have taken its place.
    if (::stat(path.c_str(), &named) == 0 && named.st_ino == ours.st_ino && named.st_dev == ours.st_dev) {
      return file;
    }
  }
}

Result<std::string> ReadWhole(const AuditFile& file, const std::string& path) {
  std::string bytes;
  std::string block(kAuditBlock, '\0');
  for (;;) {
    const ssize_t n = ::pread(file.fd(), block.data(), block.size(), static_cast<off_t>(bytes.size()));
    if (n < 0 && errno != EINTR) {
      return AuditUnusable(path, "read", errno);
    }
    if (n == 0) {
      return bytes;
    }
    bytes.append(block, 0, n < 0 ? 0 : static_cast<size_t>(n));
  }
}

}  // namespace

Result<AuditHead> AppendAudit(const std::string& path, const Json& members, std::chrono::milliseconds lock_wait) {
  CROSSFADE_ASSIGN(const std::unique_ptr<AuditFile> file, OpenLocked(path, lock_wait));
  CROSSFADE_ASSIGN(const End end, FindEnd(*file, path));
  AuditHead head;
  head.seq = end.head.seq + 1;
  CROSSFADE_ASSIGN(const std::string line, MakeLine(end.head, end, members, &head.hash));
  if (end.head.seq == 0) {
    CROSSFADE_TRY(SyncDirectory(path));
  }
  CROSSFADE_TRY(WriteLine(*file, path, line));
  return head;
}

Result<AuditHead> BeginAuditAnew(const std::string& path, const std::string& kept_as, const AuditHead& known,
                                 const Json& members, const std::function<Status(const AuditHead&)>& tell) {
  CROSSFADE_ASSIGN(const std::unique_ptr<AuditFile> old, OpenLocked(path, kAuditLockWait));
  CROSSFADE_ASSIGN(const std::string bytes, ReadWhole(*old, path));
  const std::string next = path + ".next";
  AuditHead head;
  head.seq = known.seq + 1;
  Json all = members;
  all["begins_anew"] = {{"kept_as", kept_as}, {"bytes", bytes.size()}, {"sha256", Sha256(bytes)}};
  CROSSFADE_ASSIGN(const std::string line, MakeLine(known, {}, all, &head.hash));
  {
    const AuditFile file(::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
    if (file.fd() < 0) {
      return AuditUnusable(next, "open", errno);
    }
    CROSSFADE_TRY(WriteLine(file, next, line));
  }
  CROSSFADE_TRY(tell(head));
  // The old one has both names for a moment: at no time is there none.
  if (::link(path.c_str(), kept_as.c_str()) != 0) {
    return AuditUnusable(kept_as, "keep", errno);
  }
  CROSSFADE_FAILPOINT("audit.anew.before");
  const bool renamed = ::rename(next.c_str(), path.c_str()) == 0;
  CROSSFADE_FAILPOINT("audit.anew.after");
  if (!renamed) {
    return AuditUnusable(path, "replace", errno);
  }
  CROSSFADE_TRY(SyncDirectory(path));
  return head;
}

Result<AuditHead> ReadAuditHead(const std::string& path) {
  const AuditFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) {
    return errno == ENOENT ? Result<AuditHead>(AuditHead{}) : AuditUnusable(path, "open", errno);
  }
  CROSSFADE_TRY(LockAudit(file, path));
  CROSSFADE_ASSIGN(End end, FindEnd(file, path));
  return std::move(end.head);
}

}  // namespace crossfade::state
