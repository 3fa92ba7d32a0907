// Brings a target's schema to what a migration wants, stage by stage.
#pragma once

#include <stop_token>

#include "apply/postgres/control.h"
#include "apply/postgres/pg_target.h"
#include "apply/postgres/schema_catalog.h"
#include "apply/postgres/schema_plan.h"

namespace crossfade::apply {

struct SchemaBuildOptions {
  Fence fence;
  Tenancy tenancy;
  ExtraColumnPolicy extra_columns = ExtraColumnPolicy::kAdd;
};

// The caller holds the DDL lock on `connection`. Idempotent: what is there already, or half made by a run that was
// killed, is found in the catalog. Config with the code of the first finding that blocks.
Status BuildStage(SchemaConnection* connection, const SchemaPlan& plan, const SchemaBuildOptions& options,
                  SchemaStage stage, std::stop_token stop);

// Undoes everything: see Target::Abort. `tables` of the plan that this migration has never used are left alone.
Status RemoveMigration(SchemaConnection* connection, const SchemaPlan& plan, const SchemaBuildOptions& options);

}  // namespace crossfade::apply
