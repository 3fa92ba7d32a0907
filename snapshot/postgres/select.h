// The statements that read a table of PostgreSQL. Pure. In a namespace of their own: those of MySQL have the same
// names.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/chunk.h"
#include "core/error.h"
#include "core/schema.h"
#include "core/value.h"
#include "db/postgres/connection.h"

namespace crossfade::snapshot::pg {

// A statement and its parameters in binary form.
struct BoundQuery {
  std::string sql;
  std::vector<uint32_t> types;
  std::vector<std::string> values;

  std::vector<postgres::Parameter> Parameters() const;  // borrowed
};

// "schema"."table"
std::string QuotedName(const TableSchema& table);

std::string SelectRows(const TableSchema& table, const ChunkRange& range);
// First and last value of the first key column, of those that have a place among all (infinite dates have none).
std::string SelectKeySpan(const TableSchema& table);

// Rows whose `columns` have one of these tuples of values; as the server compares them. Each row once.
Result<BoundQuery> SelectKeys(const TableSchema& table, std::span<const uint32_t> columns,
                              std::span<const std::vector<Value>> keys);
Result<BoundQuery> SelectPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                              uint64_t max_rows);

}  // namespace crossfade::snapshot::pg
