// How a session with a PostgreSQL server begins. Of this folder alone.
#pragma once

#include "core/error.h"
#include "db/postgres/connection.h"

struct pg_conn;

namespace crossfade::postgres {

// Connects within connect_timeout_s; the caller owns the connection (PQfinish). TLS that was asked for is there.
// Config, not Reconnect, for what waiting will not mend: a refused login, a server without TLS (CF1407), a certificate
// that does not verify (CF1407).
Result<pg_conn*> ConnectServer(const ConnectionOptions& options);

}  // namespace crossfade::postgres
