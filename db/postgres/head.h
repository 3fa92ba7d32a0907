// Where a PostgreSQL server's log stands.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "core/position.h"
#include "db/postgres/connection.h"
#include "db/postgres/position.h"

namespace crossfade::postgres {

Result<ServerName> ReadServerName(Connection* connection);

// A place at or behind every commit that the server has acknowledged before, those with synchronous_commit = off
// included (hazard M10), and on its disk: the stream passes it, also when the source is at rest. Writes a message of a
// few bytes into the log, and waits for the server's own disk only. Not a `low` of a chunk (hazard H4).
Result<Position> ReadHead(Connection* connection);

// The number of the next transaction, 64 bits: what the log shows of them is widened by it.
Result<uint64_t> ReadNextXid(Connection* connection);

}  // namespace crossfade::postgres
