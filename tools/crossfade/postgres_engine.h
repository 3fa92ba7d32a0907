// PostgreSQL as a source.
#pragma once

#include <memory>

#include "core/error.h"
#include "tools/crossfade/config.h"
#include "tools/crossfade/source_engine.h"

namespace crossfade::tools {

// Config error CF1706 when the password cannot be had. Does not connect.
Result<std::unique_ptr<SourceEngine>> MakePostgresEngine(const Config& config);

}  // namespace crossfade::tools
