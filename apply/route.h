// How one source table becomes one target table.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "apply/transform.h"
#include "core/error.h"
#include "core/schema.h"

namespace crossfade::apply {

enum class TenancyMode : uint8_t { kColumn, kNone };
enum class TenantType : uint8_t { kText, kBigint, kUuid };

// The value that tells this migration's rows from all others on the target.
struct Tenancy {
  TenancyMode mode = TenancyMode::kColumn;
  std::string column = "tenant_id";
  TenantType type = TenantType::kText;
  std::string value;  // as text, valid for `type`
};

// What tells one row of a table from another, for updates and deletes.
enum class RowIdentity : uint8_t {
  kPrimaryKey,
  kUniqueKey,  // the first unique key of NOT NULL columns, whole columns only
  kWholeRow,   // no key: all columns of the before image, and one row of those that are equal
};

struct Route {
  TableSchema source;
  // One for each column of the source: what it is on the target, under the name that it has there.
  std::vector<Column> targets;
  // The same, for columns whose values become others on their way; null: as they are.
  std::vector<std::shared_ptr<const Transform>> transforms;
  std::string schema;  // target
  std::string table;   // target
  bool tenant_column = false;
  // Source columns whose values go to the target, in the target's order. Computed ones do not.
  std::vector<uint32_t> columns;
  RowIdentity identity = RowIdentity::kPrimaryKey;
  std::vector<uint32_t> key;  // source columns of the identity; for kWholeRow: all of `columns`

  // Source tables whose rows a delete or key change of this one's may change through foreign keys with an action,
  // directly or on and on; with this table itself if it is among them. Empty: no barrier is needed (hazard H12).
  std::set<std::string> cascade_reach;
  // Columns of this table that some foreign key with an ON UPDATE action refers to.
  std::set<uint32_t> referenced_columns;
  // Some foreign key with an ON DELETE action refers to this table: a delete may change other rows.
  bool delete_acts = false;
  // Some foreign key, of any kind and of any captured table, refers to this table.
  bool referenced = false;
  // Place in an order in which parents come before children, as far as foreign keys have one.
  uint32_t rank = 0;

  // What is stored for a source row's value. Bytes may be borrowed from `storage`. Data CF1516.
  Result<Value> Stored(uint32_t column, const Value& value, std::string* storage) const {
    return transforms[column] ? transforms[column]->Apply(value, storage) : Result<Value>(value);
  }
  // Source columns that the target does not have, by name.
  std::vector<std::string> ExcludedColumns() const;
  // The same table for rows that have the target's form already: it transforms nothing.
  Route WithoutTransforms() const;
};

struct RouteRules {
  Tenancy tenancy;
  std::string target_schema = "public";
  std::vector<std::string> include = {"*"};  // table names, * and ? as wildcards
  std::vector<std::string> exclude;
  TransformRules transforms;

  // Whether a table of that name, if there is one, belongs to the migration.
  bool Includes(std::string_view table) const;
};

// All routes of a migration. Immutable; any thread.
class RouteSet {
 public:
  // Config CF1510 for a column named like the tenant column, CF1511 for a name that the target would cut, CF1512 when
  // no table is left, CF1515 for a transform that its column cannot have, CF1517 for one of a table or column that is
  // not there, CF1518 for two that would have one name.
  static Result<RouteSet> Make(const std::vector<TableSchema>& tables, const RouteRules& rules);
  const Route* Find(std::string_view source_table) const;
  const std::vector<std::unique_ptr<Route>>& routes() const { return routes_; }  // by source name
  const RouteRules& rules() const { return rules_; }

 private:
  std::vector<std::unique_ptr<Route>> routes_;
  std::map<std::string, const Route*, std::less<>> by_name_;
  RouteRules rules_;
};

}  // namespace crossfade::apply
