// Keys and differences as a person reads them.
#pragma once

#include <string>
#include <string_view>

#include "verify/outcome.h"
#include "verify/recheck.h"
#include "verify/sides.h"

namespace crossfade::verify {

// "written by somebody else (transaction 1234, 2026-01-02 ...)"; empty if that is not known.
std::string ShownWriter(const Writer& writer);

ShownDifference Show(const ComparedTable& table, const Difference& difference);
std::string ShownKey(const ComparedTable& table, std::string_view key);
// One field; values of the target that the source's type cannot hold are shown by their bytes.
std::string Shown(const ComparedTable& table, uint32_t place, std::string_view part);
std::string ColumnName(const ComparedTable& table, uint32_t place);

}  // namespace crossfade::verify
