// crossfade verify --plan and --repair.
#pragma once

#include "tools/crossfade/commands.h"
#include "tools/crossfade/config.h"

namespace crossfade::tools {

// Compares, and prints what would make the target equal; `run` may be at work.
int PlanRepair(const Config& config, const VerifyCommandOptions& options);
// Owns the migration meanwhile: Config CF1501 while another process does. Config CF1840 when rows are in question that
// somebody else wrote, CF1841 when it was not agreed to; nothing is written then.
int RepairTarget(const Config& config, const VerifyCommandOptions& options);

}  // namespace crossfade::tools
