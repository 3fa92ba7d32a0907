// Reads this tenant's rows back from PostgreSQL.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "apply/postgres/pg_target.h"
#include "apply/row_reader.h"
#include "core/error.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

// Connects; reads only. The account of the migration can do it.
Result<std::unique_ptr<RowReader>> OpenPgRowReader(const PgTargetOptions& options);

// `route` must outlive it.
Result<std::unique_ptr<RowForm>> MakePgRowForm(const Route& route, const postgres::TypePolicy& types);

// Rows with these keys over a connection whose open transaction they are locked in. `options`: types, tenancy.
Status LockPgRows(const PgTargetOptions& options, postgres::Connection* connection, const Route& route,
                  std::span<const std::string> keys, const RowReader::FieldsSink& sink);

}  // namespace crossfade::apply
