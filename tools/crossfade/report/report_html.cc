#include "tools/crossfade/report/report_html.h"

#include <fmt/format.h>

#include <cctype>

#include "tools/crossfade/report/html_table.h"
#include "tools/crossfade/report/report_style.h"
#include "tools/crossfade/report/report_text.h"
#include "tools/crossfade/report/verdict.h"

namespace crossfade::tools {

namespace {

constexpr size_t kMostRemarks = 12;

struct Tile {
  std::string name;
  std::string value;
  std::string below;
  bool wrong = false;
};

std::string_view ColorOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kEqual:
    case Verdict::kEqualWithRemarks:
      return "good";
    case Verdict::kDifferent:
    case Verdict::kFailed:
      return "bad";
    default:
      return "open";
  }
}

std::vector<Tile> ComparisonTiles(const ReportData& data) {
  const auto& v = data.verification;
  const std::string none = "not verified";
  std::vector<Tile> tiles = {
      {"Rows compared", v ? NumberText(v->rows) : "-", v ? "each column, both sides" : none},
      {"Differences", v ? NumberText(v->differences) : "-", v ? "in the last comparison" : none,
       v && v->differences > 0},
      {"Undecided", v ? NumberText(v->undecided) : "-", v ? "in the last comparison" : none, v && v->undecided > 0}};
  if (data.status && data.status->verify.on) {
    const uint64_t open = data.status->verify.open;
    tiles.push_back({"Differ now", NumberText(open), "by continuous comparison", open > 0});
  }
  return tiles;
}

std::vector<Tile> TilesOf(const ReportData& data) {
  uint64_t applied = data.status ? data.status->applied_seq.value : 0;
  if (data.record && !data.record->state.progress.empty()) {
    applied = data.record->state.progress.front().low.value;
  }
  const bool known = data.record.has_value();
  const uint64_t divergences = known ? data.record->divergence_count : 0;
  std::vector<Tile> tiles = {{"Tables", NumberText(data.tables.size()), "moved"},
                             {"Rows copied", data.copy.rows ? NumberText(*data.copy.rows) : "-",
                              data.copy.rows ? "by the first copy" : "not known"}};
  for (Tile& tile : ComparisonTiles(data)) {
    tiles.push_back(std::move(tile));
  }
  tiles.push_back({"Divergences", known ? NumberText(divergences) : "-",
                   known ? "rows met that were otherwise" : "target not read", divergences > 0});
  tiles.push_back({"Lag now", data.alive ? LagText(data.lag_total.now_ms) : "-",
                   data.alive ? "source to target" : "'run' is not at work"});
  tiles.push_back({"Lag, 99 %", LagText(data.lag_following.p99_ms),
                   data.lag_following.p50_ms < 0 ? "not followed yet"
                                                 : "followed; half below " + LagText(data.lag_following.p50_ms)});
  tiles.push_back({"Copy took", data.copy.seconds_us > 0 ? DurationText(data.copy.seconds_us) : "-",
                   data.copy.rows_per_second > 0
                       ? NumberText(static_cast<uint64_t>(data.copy.rows_per_second)) + " rows/s"
                       : "not known"});
  tiles.push_back({"Transactions", NumberText(applied), "applied after the copy began"});
  return tiles;
}

std::string TilesHtml(const ReportData& data) {
  std::string out = "<div class=\"tiles\">";
  for (const Tile& tile : TilesOf(data)) {
    out += fmt::format("<div class=\"tile{}\"><span>{}</span><strong>{}</strong><span>{}</span></div>",
                       tile.wrong ? " wrong" : "", Escaped(tile.name), Escaped(tile.value), Escaped(tile.below));
  }
  return out + "</div>\n";
}

std::string RemarksHtml(const ReportData& data) {
  const auto& remarks = data.verdict.remarks;
  if (remarks.empty()) {
    return data.verdict.verdict == Verdict::kEqual
               ? "<p class=\"note\">No remarks: nothing was skipped, left undecided or out of reach.</p>\n"
               : "<p class=\"note\">No other remarks.</p>\n";
  }
  std::string out = "<h3>To be known before signing</h3><ul>";
  for (size_t i = 0; i < std::min(kMostRemarks, remarks.size()); ++i) {
    out += "<li>" + Escaped(Shortened(remarks[i], 600)) + "</li>";
  }
  if (remarks.size() > kMostRemarks) {
    out += fmt::format("<li>{} more, in section 10</li>", remarks.size() - kMostRemarks);
  }
  return out + "</ul>\n";
}

std::string Contents() {
  constexpr const char* kTitles[][2] = {{"1", "What was moved"},
                                        {"2", "Tables and rows"},
                                        {"3", "Objects on the target"},
                                        {"4", "Positions and times"},
                                        {"5", "The copy"},
                                        {"6", "Lag and throughput"},
                                        {"7", "Verification"},
                                        {"8", "Divergences"},
                                        {"9", "What changes values, and what is not moved"},
                                        {"10", "Warnings and errors"},
                                        {"11", "Actions of operators"},
                                        {"12", "About this report"},
                                        {"13", "Signatures"},
                                        {"A", "Columns and types"},
                                        {"B", "Objects on the target, one by one"}};
  std::string out = "<ol class=\"contents\">";
  for (const auto& title : kTitles) {
    out += fmt::format("<li><a href=\"#s{0}\">{0}&ensp;{1}</a></li>", title[0], title[1]);
  }
  return out + "</ol>\n";
}

std::string FirstPage(const ReportData& data) {
  std::string out = fmt::format(
      "<section class=\"first\"><p class=\"kind\">Crossfade migration report</p><h1>{}</h1>\n", Escaped(data.name));
  std::vector<std::pair<std::string, std::string>> facts = {{"From", Escaped(data.source)},
                                                            {"To", Escaped(data.target)}};
  if (!data.tenant.empty()) {
    facts.emplace_back("Tenant", "<code>" + Escaped(data.tenant) + "</code>");
  }
  const std::string doing = !data.status ? "not known"
                            : data.alive ? PhaseName(data.status->phase)
                                         : fmt::format("{}; no process is running", PhaseName(data.status->phase));
  facts.emplace_back("State", Escaped(doing));
  facts.emplace_back("As of", TimeText(data.made_us));
  out += Facts(facts);
  out += fmt::format("<div class=\"verdict {}\"><b>{}</b><p>{}</p></div>\n", ColorOf(data.verdict.verdict),
                     VerdictTitle(data.verdict.verdict), Escaped(data.verdict.sentence));
  out += TilesHtml(data) + RemarksHtml(data);
  return out + "<h3>Contents</h3>" + Contents() + "</section>\n";
}

// On each page in print: which report it belongs to.
std::string PageFooter(const ReportData& data) {
  std::string name;
  for (const char c : data.name) {
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' ? c : ' ';
  }
  return fmt::format(
      "@page {{ @bottom-left {{ content: \"{}, {}\"; font: 8pt Helvetica, Arial, \"Liberation Sans\", "
      "sans-serif; color: #5b6470; }} }}\n",
      name, TimeText(data.made_us));
}

std::string AboutSection(const ReportData& data, const std::string& digest) {
  std::string out = SectionHeading("12", "About this report");
  out += Facts({{"Made", Escaped(fmt::format("{} by {}", TimeText(data.made_us), data.made_by))},
                {"Program", Escaped(data.program)},
                {"Configuration", "<code>" + Escaped(data.config_path) + "</code>"},
                {"SHA-256 of it", "<span class=\"hash\">" + Escaped(data.config_hash) + "</span>"},
                {"SHA-256 of this report as JSON", "<span class=\"hash\">" + Escaped(digest) + "</span>"}});
  HtmlTable settings({{"Setting", Cell::kName}, {"Value", Cell::kName}});
  for (const auto& [key, value] : data.settings) {
    settings.Row({Escaped(key), Escaped(value)});
  }
  out += "<h3>Settings other than the defaults</h3>" + settings.Html("All settings are the defaults.");
  out += "<h3>What could not be read</h3>";
  if (data.unread.empty()) {
    return out + "<p class=\"none\">Nothing: state directory, journal, source and target were read.</p>\n";
  }
  out += "<ul>";
  for (const std::string& unread : data.unread) {
    out += "<li>" + Escaped(unread) + "</li>";
  }
  return out + "</ul>\n";
}

std::string SignatureSection(const ReportData& data) {
  std::string out = "<div class=\"sign\">" + SectionHeading("13", "Signatures");
  out += fmt::format(
      "<p>Migration <b>{}</b>, as of {}. The verdict of this report: <b>{}</b>.</p>"
      "<table><thead><tr><th></th><th scope=\"col\">Prepared by</th><th scope=\"col\">Reviewed by</th></tr></thead>",
      Escaped(data.name), TimeText(data.made_us), VerdictTitle(data.verdict.verdict));
  for (const char* line : {"Name", "Role", "Date", "Signature"}) {
    out += fmt::format("<tr><th scope=\"row\">{}</th><td></td><td></td></tr>", line);
  }
  return out + "</table></div>\n";
}

}  // namespace

std::string SectionHeading(const std::string& number, const std::string& title) {
  return fmt::format("<h2 id=\"s{0}\">{0}&ensp;{1}</h2>\n", number, Escaped(title));
}

std::string ReportHtml(const ReportData& data, const std::string& digest) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{} - migration report</title>\n"
      "<meta name=\"viewport\" content=\"width=device-width\"><style>{}{}</style></head><body><main>\n",
      Escaped(data.name), kReportStyle, PageFooter(data));
  out += FirstPage(data);
  out += MovedSection(data) + TablesSection(data) + ObjectsSection(data) + TimesSection(data) + CopySection(data);
  out += LagSection(data) + VerificationSection(data) + DivergencesSection(data) + ChangesSection(data);
  out += WarningsSection(data) + ActionsSection(data) + AboutSection(data, digest) + SignatureSection(data);
  out += ColumnsAppendix(data) + ObjectsAppendix(data);
  return out + "</main></body></html>\n";
}

}  // namespace crossfade::tools
