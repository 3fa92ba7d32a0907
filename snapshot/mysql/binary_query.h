// A statement whose rows come in MySQL's binary protocol, read straight from the connection's packets.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/schema.h"
#include "db/mysql/charset.h"
#include "db/mysql/connection.h"
#include "snapshot/mysql/binary_row.h"

namespace crossfade::snapshot {

// Runs `sql`, which selects `columns` of `table`, and gives each row to `sink`; borrowed during the call.
// An error of the sink is handed back at once: then, as after any other error, rows may still stand on the connection,
// and it can only be dropped.
Status BinaryQuery(mysql::Connection* connection, mysql::Charsets* charsets, std::string_view sql,
                   const TableSchema& table, std::span<const uint32_t> columns,
                   const std::function<Status(std::span<const Value>)>& sink);

}  // namespace crossfade::snapshot
