// A tenant's own tables, in which a chunked copy becomes one state before its rows come into tables in use (hazard H7).
#pragma once

#include <stop_token>
#include <string>

#include "apply/postgres/schema_build.h"
#include "apply/postgres/schema_catalog.h"
#include "apply/postgres/schema_plan.h"
#include "core/error.h"

namespace crossfade::apply {

// The schema of a migration's staging tables. No other migration's, and nobody else's.
std::string StagingSchemaOf(const std::string& migration);

// Copies every row of `staged` into the table of the same route in `wanted`, and notes the fact "moved": one
// transaction, without firing foreign keys (Config CF1554 if the account may not). Holds no lock that others' writes
// wait for. Nothing is done when the fact is there.
Status MoveStagedRows(SchemaConnection* connection, const SchemaPlan& staged, const SchemaPlan& wanted,
                      const SchemaBuildOptions& options, std::stop_token stop);

// Drops the staging tables, if they are there.
Status DropStagingSchema(SchemaConnection* connection, const Fence& fence);

}  // namespace crossfade::apply
