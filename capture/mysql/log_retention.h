// How long the server will still keep what we would have to read after a restart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capture/retention.h"
#include "core/error.h"
#include "core/position.h"
#include "db/mysql/connection.h"

namespace crossfade::capture {

// What a server says of its log files. Plain data.
struct LogFiles {
  struct File {
    std::string name;
    uint64_t bytes = 0;
  };
  std::vector<File> files;       // oldest first
  int64_t expire_s = 0;          // a closed file is purged so long after its last byte; 0: never
  uint64_t max_total_bytes = 0;  // the oldest are purged when all are larger; 0: never
  std::string setting;           // what decides expire_s
  int64_t now_s = 0;             // the server's clock
};

// Pure. `next_begun_s`: when the file behind the one of `needed` was begun, that is, when ours was closed.
Retention JudgeRetention(const LogFiles& log, const Position& needed, int64_t next_begun_s);

// Asks over connections of its own. A position of another server: nothing is known, and nothing is wrong.
Result<Retention> ReadRetention(const mysql::ConnectionOptions& options, const Position& needed);

}  // namespace crossfade::capture
