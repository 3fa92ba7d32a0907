// The errors of a PostgreSQL server, classed by SQLSTATE.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

struct pg_result;

namespace crossfade::postgres {

// Reconnect, Transient, Config, Data or Corrupt; never InDoubt, which only the caller can know.
ErrorClass ClassOfSqlState(std::string_view sqlstate);

// CF1401 (session lost), CF1403 (transient), CF1404 (configuration), CF1405 (data), CF1406 (server corrupt): by class.
std::string_view CodeOfClass(ErrorClass error_class);

// An error of `component` from what the server said.
Error ErrorFromServer(std::string_view component, std::string_view sqlstate, std::string message);

// The primary text of a result that is an error, with the detail, table, column, constraint and context that the server
// named.
std::string ServerText(const pg_result* result);

}  // namespace crossfade::postgres
