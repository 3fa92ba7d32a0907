// What the writer and the reader of the audit log share. For those two alone.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace crossfade::state {

inline constexpr size_t kMaxAuditLine = 256 << 10;
inline constexpr size_t kMaxAuditTail = 4 * kMaxAuditLine;  // how far back the last record is looked for
inline constexpr size_t kAuditBlock = 64 << 10;             // read at once
inline constexpr size_t kAuditHashSize = 64;
inline constexpr std::string_view kAuditHashBegin = ",\"hash\":\"";
inline constexpr std::string_view kAuditHashEnd = "\"}";
inline constexpr std::chrono::milliseconds kAuditLockWait{10'000};

class AuditFile {
 public:
  explicit AuditFile(int fd) : fd_(fd) {}
  AuditFile(const AuditFile&) = delete;
  AuditFile& operator=(const AuditFile&) = delete;
  ~AuditFile() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

struct AuditRecord {
  uint64_t seq = 0;
  std::string prev;
  std::string at;
  std::string hash;
  std::optional<std::pair<uint64_t, std::string>> torn;  // bytes, SHA-256
  std::string begins_anew;                               // what is said of the log before
};

// Whole JSON: somebody's line, if not ours. What a crash leaves of a line never is.
bool IsWholeJson(std::string_view line);

// Nothing: not a line that was written here.
std::optional<AuditRecord> ParseAuditRecord(std::string_view line);

// Config CF1320.
tl::unexpected<Error> AuditUnusable(const std::string& path, std::string_view doing, int number);

// Until the file is closed. Transient CF1322 if another process holds it for longer than `wait`.
Status LockAudit(const AuditFile& file, const std::string& path, std::chrono::milliseconds wait = kAuditLockWait);

}  // namespace crossfade::state
