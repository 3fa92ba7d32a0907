// Telling a server's log file from another one of the same name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capture/source.h"
#include "core/error.h"
#include "core/position.h"
#include "db/mysql/connection.h"

namespace crossfade::capture {

// A server that was put back to an older copy of itself uses file names, offsets and GTIDs again, for other
// transactions. Since a server begins a new file whenever it starts, the time at which the file of `from` was begun
// tells. Corrupt CF1204 if it is another one than `known` says. `connection`: of its own, useless afterwards. Nothing
// is asked when `known` has no mark of that file.
Status CheckLogMark(mysql::Connection& connection, const Position& from, const std::vector<LogMark>& known);

// For who compares places in logs by server, file and offset: a server that takes the place of `from.server` may have
// been read before, and be another one by now, under the same name. The last file that `known` has of it must still be
// there, and have begun when it did; else Config CF1216. `connection`: of its own, useless afterwards.
Status CheckSameServer(mysql::Connection& connection, const Position& from, const std::vector<LogMark>& known);

// When a file was begun, by the server's clock, as its first event says; none if the server does not give the file.
// `connection`: of its own, useless afterwards.
Result<std::optional<int64_t>> ReadLogBegin(mysql::Connection& connection, const std::string& file);

}  // namespace crossfade::capture
