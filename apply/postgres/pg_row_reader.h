// Reads this tenant's rows back from PostgreSQL.
#pragma once

#include <memory>

#include "apply/postgres/pg_target.h"
#include "apply/row_reader.h"
#include "core/error.h"

namespace crossfade::apply {

// Connects; reads only. The account of the migration can do it.
Result<std::unique_ptr<RowReader>> OpenPgRowReader(const PgTargetOptions& options);

}  // namespace crossfade::apply
