// The SQL that writes one kind of change to one table, many rows at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apply/route.h"
#include "apply/target.h"
#include "core/chunk.h"
#include "core/error.h"
#include "db/postgres/type_map.h"

namespace crossfade::apply {

// One parameter of a statement, made from one column of one of the images of its rows.
struct RowParameter {
  uint32_t column = 0;  // of the source
  bool before = false;  // which image
};

struct RowStatement {
  std::string sql;
  std::vector<uint32_t> types;  // OIDs of the parameters
  std::vector<RowParameter> parameters;
  bool row_by_row = false;  // the parameters are one row's values, not arrays of many
};

// Makes the statements of one table. Immutable but for what its caller caches; any thread.
class TableStatements {
 public:
  // `tenant` is an SQL literal, empty where the table has no tenant column. Config CF1410 for a column without a type.
  static Result<TableStatements> Make(const Route& route, const Tenancy& tenancy, std::string tenant,
                                      const postgres::TypePolicy& policy);

  RowStatement Insert() const;
  // Sets `columns`, which may hold key columns; finds rows by the identity in `before`.
  RowStatement Update(std::span<const uint32_t> columns) const;
  RowStatement Delete() const;
  // By primary key: insert or overwrite.
  RowStatement Upsert() const;
  // For tables without a key: many rows at once, each of which takes one of the rows equal to its `before`, in one pass
  // over the table. No row's `after` may be equal to another's `before`. Wants hash joins.
  RowStatement DeleteWholeRows() const;
  RowStatement UpdateWholeRows(std::span<const uint32_t> columns) const;
  // Deletes rows that have the key of `after`: for an upsert where no unique index may stand yet.
  RowStatement DeleteByAfter() const;
  std::string Truncate(std::span<const ChunkRange> ranges) const;

  const Route& route() const { return *route_; }
  const postgres::PgType& type(uint32_t column) const { return types_[column]; }

 private:
  class Arrays;

  RowStatement DeleteBy(bool before) const;
  RowStatement InsertWith(std::string_view suffix) const;
  RowStatement DeleteWholeRow() const;
  RowStatement UpdateWholeRow(std::span<const uint32_t> columns) const;
  std::string WholeRowPlace(RowStatement* statement) const;
  std::string WholeRowPlaces(const Arrays& arrays) const;
  std::string Name(uint32_t column) const;
  std::string Scalar(uint32_t column, bool before, RowStatement* statement) const;
  std::string KeyMatches(bool before, const Arrays& arrays) const;
  std::string TenantMatches(std::string_view alias) const;
  std::string RangeCondition(const ChunkRange& range) const;

  const Route* route_ = nullptr;
  std::string target_;  // quoted, with schema
  std::string tenant_column_;
  std::string tenant_;
  std::vector<postgres::PgType> types_;  // by source column
};

// The SQL literal of the first value a key column can have at or above a KeyOrdinal number; none if there is no bound
// (`lowest`: every value is at or above it).
struct OrdinalBound {
  bool lowest = false;
  std::string literal;
};
OrdinalBound BoundOf(const Column& column, int64_t ordinal);

}  // namespace crossfade::apply
