// What on the target would act on rows that are applied: triggers, rules and row-level security (hazard H11).
#pragma once

#include <vector>

#include "apply/postgres/schema_catalog.h"
#include "apply/postgres/schema_plan.h"
#include "apply/target.h"
#include "core/error.h"

namespace crossfade::apply {

// Blocking findings for standing tables of the plan: CF1560 a trigger that would fire, CF1561 a rule, CF1562 policies
// that hide rows from our account. A trigger that asks for the setting crossfade.applying, which all our sessions set
// to 'on', is somebody's who knows of us, and passes.
Result<std::vector<Finding>> FindTriggersOn(SchemaConnection* connection, const SchemaPlan& plan);

}  // namespace crossfade::apply
