// What the target account may not do, and must.
#pragma once

#include <string>
#include <vector>

#include "apply/postgres/schema_catalog.h"
#include "apply/postgres/schema_plan.h"
#include "apply/target.h"
#include "core/error.h"

namespace crossfade::apply {

// Findings, each with the GRANT that mends it: CF1563 no right to make the helper schema, CF1564 none to make tables in
// the target schema, CF1565 a standing table belongs to a role that ours is no member of; these block. CF1566 no right
// to write without firing foreign keys: needed where keys stand for other tenants (then it blocks), and for what the
// source wrote under foreign_key_checks = 0.
Result<std::vector<Finding>> FindMissingRights(SchemaConnection* connection, const SchemaPlan& plan);

}  // namespace crossfade::apply
