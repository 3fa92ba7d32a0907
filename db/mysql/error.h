// Errors of a MariaDB or MySQL server, classed by their number.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/error.h"

namespace crossfade::mysql {

// Stable codes of this folder's connections.
//   CF1100 no connection (Transient)            CF1104 the statement failed (Data)
//   CF1101 login refused (Config)               CF1105 busy: lock, deadlock, limits (Transient)
//   CF1102 TLS not as asked for (Config)        CF1106 not permitted, not possible as set up (Config)
//   CF1103 the session is gone (Reconnect)

// Of a session that was open. `secret` is struck out wherever it stands in `message`.
Error ServerError(unsigned number, std::string_view sql_state, std::string_view message, std::string_view secret);

// Of a connection that did not come up. A failed TLS handshake is Config where a certificate is verified, else
// Transient: the number alone does not tell a wrong certificate from a cut line, and without verification it can only
// be the line.
Error ConnectError(unsigned number, std::string_view sql_state, std::string_view message, std::string_view secret,
                   bool verifying);

// "10.11.19-MariaDB" is 101119, "9.7.4" is 90704; 0 if it is no version.
uint32_t ParseVersion(std::string_view version);

}  // namespace crossfade::mysql
