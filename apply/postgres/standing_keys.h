// A tenant that comes to tables whose keys stand already, because other tenants live there.
#pragma once

#include <string>
#include <vector>

#include "apply/postgres/schema_catalog.h"
#include "apply/postgres/schema_plan.h"
#include "apply/target.h"
#include "core/error.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

// Inside a transaction: if a foreign key leads from or to the table, our own rows are written without firing them until
// the transaction's end (self references and cycles cannot be loaded in pieces otherwise); FindOrphans makes up for it.
// Config CF1554 if the account may not do that.
Status SwitchOffForeignKeys(postgres::Connection* connection, const std::string& schema, const std::string& table);
// That error.
Error NoRightToSwitchOff(const std::string& object, const std::string& account);

// Whether any foreign key or unique secondary key stands on the tables of a plan.
Result<bool> KeysStand(SchemaConnection* connection, const SchemaPlan& plan);

// Blocking findings (CF1555) for tables into which another migration's copy is still under way: neither could build
// keys.
Result<std::vector<Finding>> FindCopiesUnderWay(SchemaConnection* connection, const SchemaPlan& plan,
                                                const std::string& migration);

// Data CF1556 if a row of this tenant refers to a parent that is not there.
Status FindOrphans(SchemaConnection* connection, const WantedTable& table, const WantedForeignKey& key,
                   const Tenancy& tenancy);

}  // namespace crossfade::apply
