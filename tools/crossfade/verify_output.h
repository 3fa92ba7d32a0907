// What verify found, for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "verify/verifier.h"

namespace crossfade::tools {

// On standard output.
void PrintText(const verify::Outcome& outcome);
void PrintJson(const verify::Outcome& outcome);

nlohmann::json JsonOf(const verify::Outcome& outcome);

}  // namespace crossfade::tools
