// Loads chunks into PostgreSQL by binary COPY.
#pragma once

#include <memory>

#include "apply/postgres/control.h"
#include "apply/target.h"
#include "core/error.h"
#include "db/postgres/connection.h"
#include "db/postgres/type_map.h"

namespace crossfade::apply {

struct ChunkLoaderOptions {
  postgres::ConnectionOptions connection;
  Fence fence;
  Tenancy tenancy;
  postgres::TypePolicy types;
  size_t buffer_bytes = 256 << 10;  // rows are sent in pieces of this size
};

// Connects. The loader replaces a chunk whose mark is there already even when it is not told to: a commit in doubt may
// have come through.
Result<std::unique_ptr<ChunkLoader>> OpenChunkLoader(const ChunkLoaderOptions& options);

// "AND col >= .. AND col < ..": the rows of a range over a column, whose ordinals are KeyOrdinal's. Empty if whole.
Result<std::string> RangeCondition(const Column& column, const ChunkRange& range);

// The tenant column's type and the encoding of its value.
Column TenantColumn(const Tenancy& tenancy);
postgres::PgType TenantPgType(const Tenancy& tenancy);
// Appends the tenant's value as a binary field. Config CF1557 if the value is none of its type.
Status AppendTenant(const Tenancy& tenancy, std::string* out);

}  // namespace crossfade::apply
