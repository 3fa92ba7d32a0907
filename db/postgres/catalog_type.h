// What a column's type is, by its number in PostgreSQL's catalog. Used by the catalog and by the log's decoder.
#pragma once

#include <cstdint>

#include "core/schema.h"

namespace crossfade::postgres {

// Sets the type of a column whose source_type is known: `base_type` is the OID of its type, or of what its domain is
// made over, and `modifier` goes with it (-1: none). A type that is not among ours, or a modifier that our numbers
// cannot say, is native.
void SetColumnType(uint32_t base_type, int32_t modifier, Column* column);

// Whether two values of the column are equal for the server only if their texts are. False where not known.
bool EqualsByText(const Column& column);

}  // namespace crossfade::postgres
