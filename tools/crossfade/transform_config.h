// [transform.tables] and [transform.columns] of the configuration, whose keys are names of tables and columns.
#pragma once

#include <toml++/toml.h>

#include <string>

#include "apply/transform.h"
#include "core/error.h"

namespace crossfade::tools {

// `name`: "tables" or "columns". Config CF1702 for a key that is none, CF1703 and CF1704 for its value; with file and
// line.
Status ReadTransforms(const std::string& name, const toml::node& node, const std::string& path,
                      apply::TransformRules* rules);

}  // namespace crossfade::tools
