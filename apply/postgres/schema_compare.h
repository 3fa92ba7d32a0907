// What a migration wants against what stands on the target. Pure.
#pragma once

#include <string>
#include <vector>

#include "apply/postgres/pg_target.h"
#include "apply/postgres/schema_catalog.h"
#include "apply/postgres/schema_plan.h"

namespace crossfade::apply {

struct TableDifference {
  std::vector<const WantedColumn*> missing;  // to be added, nullable
  std::vector<Finding> findings;
};

// Findings: CF1531 type, CF1532 and CF1533 NOT NULL, CF1534 primary key, CF1536 tenant column, CF1539 missing column,
// CF1546 a unique key this source lacks.
TableDifference CompareTable(const WantedTable& wanted, const CatalogTable& table, ExtraColumnPolicy policy);

// Whether every value of the wanted type fits, in the same binary form. Both as format_type shows them.
bool Holds(const std::string& existing, const std::string& wanted);

bool SameIndex(const WantedIndex& wanted, const CatalogIndex& index);
bool SameForeignKey(const WantedForeignKey& wanted, const CatalogForeignKey& key);

}  // namespace crossfade::apply
