#include "apply/postgres/statements.h"

#include <algorithm>
#include <utility>

#include "db/postgres/connection.h"

namespace crossfade::apply {

namespace {

using postgres::Connection;
using postgres::Encoding;
using postgres::PgType;

void Join(std::string* out, std::string_view separator, std::string_view item) {
  if (!out->empty()) {
    *out += separator;
  }
  *out += item;
}

// What is equal, and can be hashed, when, and only when, two values are stored alike; types without an equality
// included.
std::string Canonical(const PgType& type, const std::string& expression) {
  switch (type.encoding) {
    case Encoding::kFloat4:
      return "pg_catalog.float4send(" + expression + ")";
    case Encoding::kFloat8:
      return "pg_catalog.float8send(" + expression + ")";
    case Encoding::kFloat4Array:
      return "pg_catalog.array_send(" + expression + ")";
    case Encoding::kText:
    case Encoding::kBit:
    case Encoding::kJson:
    case Encoding::kJsonb:
    case Encoding::kNative:
      return "(" + expression + ")::text COLLATE \"C\"";
    case Encoding::kNumeric:
      // Without a scale of the column's own, 1.0 and 1.00 are equal, and stored as they are.
      return type.sql == "numeric" ? "(" + expression + ")::text COLLATE \"C\"" : expression;
    default:
      return expression;
  }
}

}  // namespace

// "FROM unnest($1, $2, ...) AS v(c0, c1, ...)" while its parameters are collected.
class TableStatements::Arrays {
 public:
  Arrays(const TableStatements& table, RowStatement* statement) : table_(table), statement_(statement) {}

  // Adds a parameter; gives the expression of its element.
  std::string Add(uint32_t column, bool before) {
    const PgType& type = table_.types_[column];
    statement_->parameters.push_back({column, before});
    statement_->types.push_back(type.array_oid);
    const size_t number = statement_->parameters.size();
    Join(&arrays_, ", ", fmt::format("${}::{}", number, type.array_sql));
    Join(&names_, ", ", fmt::format("c{}", number));
    return Element(number - 1);
  }

  std::string Element(size_t parameter) const {
    const PgType& type = table_.types_[statement_->parameters[parameter].column];
    std::string element = fmt::format("v.c{}", parameter + 1);
    if (!type.array_cast.empty()) {
      element += "::" + type.array_cast;
    }
    return element;
  }

  // The expression of a parameter that was added before.
  std::string Find(uint32_t column, bool before) const {
    for (size_t i = 0; i < statement_->parameters.size(); ++i) {
      if (statement_->parameters[i].column == column && statement_->parameters[i].before == before) {
        return Element(i);
      }
    }
    return {};
  }

  std::string Table() const { return "unnest(" + arrays_ + ") AS v(" + names_ + ")"; }
  std::string NumberedTable() const { return "unnest(" + arrays_ + ") WITH ORDINALITY AS v(" + names_ + ", number)"; }

 private:
  const TableStatements& table_;
  RowStatement* statement_;
  std::string arrays_;
  std::string names_;
};

Result<TableStatements> TableStatements::Make(const Route& route, const Tenancy& tenancy, std::string tenant,
                                              const postgres::TypePolicy& policy) {
  TableStatements table;
  table.route_ = &route;
  table.target_ = Connection::Identifier(route.schema) + "." + Connection::Identifier(route.table);
  if (route.tenant_column) {
    table.tenant_column_ = Connection::Identifier(tenancy.column);
    table.tenant_ = std::move(tenant);
  }
  table.types_.resize(route.source.columns.size());
  for (const uint32_t column : route.columns) {
    CROSSFADE_ASSIGN(table.types_[column], postgres::MapType(route.targets[column], policy));
  }
  return table;
}

std::string TableStatements::Name(uint32_t column) const {
  return Connection::Identifier(route_->targets[column].name);
}

std::string TableStatements::TenantMatches(std::string_view alias) const {
  return tenant_column_.empty() ? "true" : fmt::format("{}.{} = {}", alias, tenant_column_, tenant_);
}

std::string TableStatements::KeyMatches(bool before, const Arrays& arrays) const {
  std::string out = TenantMatches("t");
  for (const uint32_t column : route_->key) {
    out += fmt::format(" AND t.{} = {}", Name(column), arrays.Find(column, before));
  }
  return out;
}

RowStatement TableStatements::Insert() const { return InsertWith(""); }

RowStatement TableStatements::InsertWith(std::string_view suffix) const {
  RowStatement statement;
  Arrays arrays(*this, &statement);
  std::string names = tenant_column_;
  std::string values = tenant_;
  for (const uint32_t column : route_->columns) {
    Join(&names, ", ", Name(column));
    Join(&values, ", ", arrays.Add(column, false));
  }
  statement.sql =
      fmt::format("INSERT INTO {} ({}) SELECT {} FROM {}{}", target_, names, values, arrays.Table(), suffix);
  return statement;
}

RowStatement TableStatements::Upsert() const {
  std::string target = tenant_column_;
  for (const uint32_t column : route_->key) {
    Join(&target, ", ", Name(column));
  }
  std::string assignments;
  for (const uint32_t column : route_->columns) {
    if (std::find(route_->key.begin(), route_->key.end(), column) == route_->key.end()) {
      Join(&assignments, ", ", fmt::format("{0} = EXCLUDED.{0}", Name(column)));
    }
  }
  return InsertWith(assignments.empty() ? fmt::format(" ON CONFLICT ({}) DO NOTHING", target)
                                        : fmt::format(" ON CONFLICT ({}) DO UPDATE SET {}", target, assignments));
}

RowStatement TableStatements::Update(std::span<const uint32_t> columns) const {
  if (route_->identity == RowIdentity::kWholeRow) {
    return UpdateWholeRow(columns);
  }
  RowStatement statement;
  Arrays arrays(*this, &statement);
  for (const uint32_t column : route_->key) {
    arrays.Add(column, true);
  }
  std::string assignments;
  for (const uint32_t column : columns) {
    Join(&assignments, ", ", fmt::format("{} = {}", Name(column), arrays.Add(column, false)));
  }
  if (assignments.empty()) {
    const std::string key = Name(route_->key.front());
    assignments = fmt::format("{0} = t.{0}", key);
  }
  statement.sql = fmt::format("UPDATE {} AS t SET {} FROM {} WHERE {}", target_, assignments, arrays.Table(),
                              KeyMatches(true, arrays));
  return statement;
}

RowStatement TableStatements::Delete() const {
  return route_->identity == RowIdentity::kWholeRow ? DeleteWholeRow() : DeleteBy(true);
}

RowStatement TableStatements::DeleteByAfter() const { return DeleteBy(false); }

RowStatement TableStatements::DeleteBy(bool before) const {
  RowStatement statement;
  Arrays arrays(*this, &statement);
  for (const uint32_t column : route_->key) {
    arrays.Add(column, before);
  }
  statement.sql =
      fmt::format("DELETE FROM {} AS t USING {} WHERE {}", target_, arrays.Table(), KeyMatches(before, arrays));
  return statement;
}

std::string TableStatements::Scalar(uint32_t column, bool before, RowStatement* statement) const {
  statement->parameters.push_back({column, before});
  statement->types.push_back(types_[column].oid);
  const bool cast = types_[column].encoding == Encoding::kNative;
  return fmt::format("${}{}", statement->parameters.size(), cast ? "::" + types_[column].array_cast : "");
}

// One of the rows that are equal to the before image in all columns.
std::string TableStatements::WholeRowPlace(RowStatement* statement) const {
  std::string conditions = TenantMatches("w");
  for (const uint32_t column : route_->columns) {
    const std::string parameter = Scalar(column, true, statement);
    conditions += fmt::format(" AND {} IS NOT DISTINCT FROM {}", Canonical(types_[column], "w." + Name(column)),
                              Canonical(types_[column], parameter));
  }
  return fmt::format("t.ctid = (SELECT w.ctid FROM {} AS w WHERE {} LIMIT 1)", target_, conditions);
}

RowStatement TableStatements::DeleteWholeRow() const {
  RowStatement statement;
  statement.row_by_row = true;
  const std::string place = WholeRowPlace(&statement);
  statement.sql = fmt::format("DELETE FROM {} AS t WHERE {}", target_, place);
  return statement;
}

RowStatement TableStatements::UpdateWholeRow(std::span<const uint32_t> columns) const {
  RowStatement statement;
  statement.row_by_row = true;
  const std::string place = WholeRowPlace(&statement);
  std::string assignments;
  for (const uint32_t column : columns) {
    Join(&assignments, ", ", fmt::format("{} = {}", Name(column), Scalar(column, false, &statement)));
  }
  if (assignments.empty()) {
    const std::string name = Name(route_->columns.front());
    assignments = fmt::format("{0} = t.{0}", name);
  }
  statement.sql = fmt::format("UPDATE {} AS t SET {} WHERE {}", target_, assignments, place);
  return statement;
}

// Two lists of rows in front of a statement: v, what is wanted, and w, the places of rows that are equal to it. Equal
// rows are numbered on both sides, so that each wanted row gets a place of its own. The hash makes one pass over the
// table do.
std::string TableStatements::WholeRowPlaces(const Arrays& arrays) const {
  std::string wanted;
  std::string there;
  std::string equal;
  for (const uint32_t column : route_->columns) {
    const std::string left = Canonical(types_[column], "w." + Name(column));
    const std::string right = Canonical(types_[column], arrays.Find(column, true));
    Join(&wanted, ", ", right);
    Join(&there, ", ", left);
    equal += fmt::format(" AND {} IS NOT DISTINCT FROM {}", left, right);
  }
  return fmt::format(
      "WITH v AS (SELECT v.*, pg_catalog.hash_record_extended(ROW({0}), 0) AS hash, min(v.number) OVER same AS image,"
      " row_number() OVER (same ORDER BY v.number) AS place FROM {1} WINDOW same AS (PARTITION BY {0})),"
      " w AS (SELECT v.image, w.ctid AS row, row_number() OVER (PARTITION BY v.image ORDER BY w.ctid) AS place"
      " FROM v JOIN {2} AS w ON pg_catalog.hash_record_extended(ROW({3}), 0) = v.hash AND {4}{5} WHERE v.place = 1)",
      wanted, arrays.NumberedTable(), target_, there, TenantMatches("w"), equal);
}

RowStatement TableStatements::DeleteWholeRows() const {
  RowStatement statement;
  Arrays arrays(*this, &statement);
  for (const uint32_t column : route_->columns) {
    arrays.Add(column, true);
  }
  statement.sql = fmt::format(
      "{} DELETE FROM {} AS t USING w JOIN v ON v.image = w.image AND v.place = w.place WHERE t.ctid = w.row",
      WholeRowPlaces(arrays), target_);
  return statement;
}

RowStatement TableStatements::UpdateWholeRows(std::span<const uint32_t> columns) const {
  RowStatement statement;
  Arrays arrays(*this, &statement);
  for (const uint32_t column : route_->columns) {
    arrays.Add(column, true);
  }
  std::string assignments;
  for (const uint32_t column : columns) {
    Join(&assignments, ", ", fmt::format("{} = {}", Name(column), arrays.Add(column, false)));
  }
  statement.sql = fmt::format(
      "{} UPDATE {} AS t SET {} FROM w JOIN v ON v.image = w.image AND v.place = w.place WHERE t.ctid = w.row",
      WholeRowPlaces(arrays), target_, assignments);
  return statement;
}

std::string TableStatements::Truncate(std::span<const ChunkRange> ranges) const {
  std::string sql = fmt::format("DELETE FROM {} AS t WHERE {}", target_, TenantMatches("t"));
  std::string any;
  for (const ChunkRange& range : ranges) {
    Join(&any, " OR ", "(" + RangeCondition(range) + ")");
  }
  return any.empty() ? sql : sql + " AND (" + any + ")";
}

std::string TableStatements::RangeCondition(const ChunkRange& range) const {
  const uint32_t key = route_->source.primary_key.front().column;
  const Column& column = route_->targets[key];
  std::string condition = "true";
  if (range.from) {
    if (const OrdinalBound bound = BoundOf(column, *range.from); !bound.lowest) {
      condition += fmt::format(" AND t.{} >= {}", Name(key), bound.literal);
    }
  }
  if (range.to) {
    const OrdinalBound bound = BoundOf(column, *range.to);
    condition += bound.lowest ? " AND false" : fmt::format(" AND t.{} < {}", Name(key), bound.literal);
  }
  return condition;
}

OrdinalBound BoundOf(const Column& column, int64_t ordinal) {
  OrdinalBound bound;
  if (column.type != ColumnType::kDate) {
    bound.literal = column.is_unsigned
                        ? fmt::format("{}::numeric", static_cast<uint64_t>(ordinal) ^ (uint64_t{1} << 63))
                        : fmt::format("({})::bigint", ordinal);
    return bound;
  }
  if (column.of_postgres) {
    bound.lowest = ordinal == kDateMinusInfinity;
    bound.literal = postgres::DateLiteral(ordinal);
    return bound;
  }
  // The numbers of dates have gaps, and the target has no 0000-00-00: the next real date is the same bound.
  if (ordinal <= 0) {
    bound.lowest = true;
    return bound;
  }
  constexpr int64_t kLast = PackDate(9999, 12, 31);
  ordinal = std::max(ordinal, PackDate(1, 1, 1));
  while (ordinal <= kLast && !IsRealDate(UnpackDate(ordinal))) {
    ++ordinal;
  }
  if (ordinal > kLast) {
    bound.literal = "'infinity'::date";
    return bound;
  }
  const CivilDate date = UnpackDate(ordinal);
  bound.literal = fmt::format("'{:04}-{:02}-{:02}'::date", date.year, date.month, date.day);
  return bound;
}

}  // namespace crossfade::apply
