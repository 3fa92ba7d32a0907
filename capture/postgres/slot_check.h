// Whether a slot still has what was not read from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/position.h"
#include "db/postgres/connection.h"
#include "db/postgres/replication.h"

namespace crossfade::capture {

// The server of `log` must be the one that `from` was read on, or one that has taken its place behind that, and its log
// must go on at `from`. Config CF1201 for another cluster, or for a position that is no place in a log. Corrupt CF1204
// when the server has lost what was read before: its log ends earlier, or its timeline left ours before `from`.
Status CheckServer(postgres::ReplicationConnection* log, const postgres::SystemIdentity& identity,
                   const Position& from);

// Config CF1203 when the slot is gone, was invalidated, or has been confirmed beyond `from`: what lies between can
// never be had again. Config CF1201 for a slot that is not one of ours. Else: up to where it was confirmed.
Result<uint64_t> CheckSlot(postgres::Connection* connection, const std::string& slot, const Position& from);

// Config CF1203 when the publication is gone, or leaves rows of a captured table out: they are not in the stream, and
// never will be.
Status CheckPublication(postgres::Connection* connection, const std::string& publication, const std::string& schema,
                        const std::vector<std::string>& tables);

}  // namespace crossfade::capture
