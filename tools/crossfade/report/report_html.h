// A report for people: one HTML file that needs nothing else, no script either.
#pragma once

#include <string>

#include "tools/crossfade/report/report_data.h"

namespace crossfade::tools {

// `digest`: SHA-256 of the same report as JSON.
std::string ReportHtml(const ReportData& data, const std::string& digest);

// Its parts; each begins with a heading.
std::string MovedSection(const ReportData& data);
std::string TablesSection(const ReportData& data);
std::string ObjectsSection(const ReportData& data);
std::string TimesSection(const ReportData& data);
std::string CopySection(const ReportData& data);
std::string LagSection(const ReportData& data);
std::string VerificationSection(const ReportData& data);
std::string DivergencesSection(const ReportData& data);
std::string ChangesSection(const ReportData& data);
std::string WarningsSection(const ReportData& data);
std::string ActionsSection(const ReportData& data);
std::string ColumnsAppendix(const ReportData& data);
std::string ObjectsAppendix(const ReportData& data);

// "<h2 ...>3 Tables</h2>", with a place to link to.
std::string SectionHeading(const std::string& number, const std::string& title);

}  // namespace crossfade::tools
