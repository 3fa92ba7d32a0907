// The audit log: one line of JSON for each action, each chained to the one before it.
//
//   {"seq":2,"prev":"<hash of record 1>","at":"2026-01-02T03:04:05.678901Z", ... ,"hash":"<SHA-256>"}
//
// `hash` is the SHA-256, in hex, of the line as it stands without ,"hash":"..." ; `prev` is the `hash` of the record
// before, 64 zeros in the first. A line is only ever added. What a crash left of a line stays where it is, is ended by
// the next record, and that one says so in `torn`: the number of its bytes and their SHA-256.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace crossfade::state {

// In hex.
std::string Sha256(std::string_view bytes);

// The last record.
struct AuditHead {
  uint64_t seq = 0;  // 0: there is none
  std::string hash;
  bool operator==(const AuditHead&) const = default;
};

// `directory`/audit.jsonl.
std::string AuditPath(const std::string& directory);

// Adds a record with `members`, which name none of seq, prev, at, torn and hash; makes the file (mode 0600) if it is
// not there. Any number of processes and threads may append at once. On the disk when it returns; after an error the
// record is not there, or is there and nobody was told. Config CF1320 if the file cannot be used, Corrupt CF1321 if its
// last record is not one that was written here, Transient CF1322 if another process holds it for long, Config CF1323 if
// the record is too large.
Result<AuditHead> AppendAudit(const std::string& path, const nlohmann::ordered_json& members,
                              std::chrono::milliseconds lock_wait = std::chrono::seconds(10));

// Where the log that was there cannot go on: keeps it as `kept_as` and begins a new one that continues `known`, the
// last record that somebody else knows, with a record of `members`. It says that it begins anew, and of what the kept
// file consists. `tell` is given that record before the log is replaced: what it fails with is returned, and the log
// stays as it is. Whole at any moment. Errors as AppendAudit, but for CF1321.
Result<AuditHead> BeginAuditAnew(const std::string& path, const std::string& kept_as, const AuditHead& known,
                                 const nlohmann::ordered_json& members,
                                 const std::function<Status(const AuditHead&)>& tell);

// The last record, by the end of the file alone. Errors as AppendAudit; none if there is no file.
Result<AuditHead> ReadAuditHead(const std::string& path);

struct AuditProblem {
  uint64_t line = 0;
  std::string what;
};

// The first record of a log that says of itself that it was begun anew. Anybody can write that: whether it was is known
// to the target alone.
struct AuditBeginning {
  AuditHead first;
  std::string said;  // JSON: kept_as, bytes, sha256
};

struct AuditReading {
  uint64_t records = 0;
  AuditHead head;  // of the last line that is a record, whether or not it fits
  std::optional<AuditBeginning> beginning;
  // Not as it was written: at most kProblemsKept, in the order of lines.
  static constexpr size_t kProblemsKept = 100;
  uint64_t problem_count = 0;
  std::vector<AuditProblem> problems;
  // As it can be, and to be known: what a crash left, a clock that was put back.
  std::vector<AuditProblem> notices;
  bool torn_end = false;          // the file ends in what a crash left
  std::optional<std::string> at;  // the hash of the record asked for
};

// Reads the file as it is now from beginning to end, in bounded memory, and holds each line against the chain. `each`
// is given every record's line; `wanted` is the seq whose hash to remember. Config CF1320 if it cannot be read; no
// records if there is no file.
Result<AuditReading> ReadAudit(const std::string& path, uint64_t wanted = 0,
                               const std::function<void(std::string_view line)>& each = {});

// Whether the log that stood at `path` before is kept beside it, as the beginning says: what is wrong with it, or
// nothing. Config CF1320 if it cannot be read.
Result<std::optional<std::string>> JudgeKeptAudit(const std::string& path, const AuditBeginning& beginning);

}  // namespace crossfade::state
