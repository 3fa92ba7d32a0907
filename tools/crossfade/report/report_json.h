// A report for programs. docs/report.md says what each member means.
#pragma once

#include <string>

#include "tools/crossfade/report/report_data.h"

namespace crossfade::tools {

std::string ReportJson(const ReportData& data);

}  // namespace crossfade::tools
