// The one word that a report begins with, and what a person who signs it must know beside it.
#pragma once

#include <string_view>

#include "tools/crossfade/report/report_data.h"

namespace crossfade::tools {

std::string_view VerdictName(Verdict verdict);   // "equal_with_remarks", for programs
std::string_view VerdictTitle(Verdict verdict);  // "Equal, with remarks"

// From all the rest of `data`.
ReportVerdict JudgeReport(const ReportData& data);

}  // namespace crossfade::tools
