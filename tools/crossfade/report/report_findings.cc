// The parts of a report about what was found, and what a person has to know.
#include <fmt/format.h>

#include <algorithm>

#include "tools/crossfade/report/html_table.h"
#include "tools/crossfade/report/report_html.h"
#include "tools/crossfade/report/report_text.h"

namespace crossfade::tools {

namespace {

constexpr size_t kMostDifferences = 200;
constexpr size_t kMostDivergences = 100;
constexpr size_t kMostCells = 12;
constexpr size_t kMostValue = 160;
constexpr size_t kMostPasses = 20;

std::string Code(const std::string& text) { return "<code>" + Escaped(text) + "</code>"; }

std::string LeftOut(size_t all, size_t shown, std::string_view what) {
  return all <= shown ? ""
                      : fmt::format(
                            "<p class=\"note\">{} more {}; the JSON form of this report, or 'crossfade verify', "
                            "names them.</p>",
                            NumberText(all - shown), what);
}

std::string CellsHtml(const ReportDifference& difference) {
  std::string out;
  for (size_t i = 0; i < std::min(kMostCells, difference.cells.size()); ++i) {
    const auto& cell = difference.cells[i];
    const bool both = difference.kind == "different";
    const std::string& only = difference.kind == "extra" ? cell.target : cell.source;
    out += fmt::format(
        "{}<b>{}</b>: {}", i > 0 ? "<br>" : "", Escaped(cell.column),
        both ? fmt::format("source <code>{}</code>, target <code>{}</code>",
                           Escaped(Shortened(cell.source, kMostValue)), Escaped(Shortened(cell.target, kMostValue)))
             : "<code>" + Escaped(Shortened(only, kMostValue)) + "</code>");
  }
  if (difference.cells.size() > kMostCells) {
    out += fmt::format("<br>and {} more columns", difference.cells.size() - kMostCells);
  }
  return out;
}

std::string DifferencesHtml(const ReportVerification& v) {
  if (v.differences == 0) {
    return "";
  }
  HtmlTable table({{"Table", Cell::kName}, {"Key", Cell::kName}, {"What"}, {"Values"}});
  for (size_t i = 0; i < std::min(kMostDifferences, v.shown.size()); ++i) {
    const ReportDifference& difference = v.shown[i];
    table.Row({Escaped(difference.table), Escaped(Shortened(difference.key, kMostValue)),
               difference.kind == "missing" ? "missing on the target"
               : difference.kind == "extra" ? "only on the target"
                                            : "different",
               CellsHtml(difference)});
  }
  return "<h3>Differences</h3>" + table.Html("The comparison kept none of them.") +
         LeftOut(v.differences, std::min(kMostDifferences, v.shown.size()), "differences");
}

std::string UndecidedHtml(const ReportVerification& v) {
  if (v.undecided == 0) {
    return "";
  }
  HtmlTable table({{"Table", Cell::kName}, {"Rows", Cell::kNumber}, {"Why"}});
  for (const ReportTableResult& result : v.tables) {
    if (result.undecided > 0) {
      table.Row({Escaped(result.table), NumberText(result.undecided), Escaped(result.why_undecided)});
    }
  }
  return "<h3>Undecided</h3>" + table.Html("");
}

std::string PassesHtml(const ReportData& data) {
  HtmlTable table({{"Began", Cell::kNarrow},
                   {"Took", Cell::kNumber},
                   {"Result", Cell::kNarrow},
                   {"Rows", Cell::kNumber},
                   {"Different", Cell::kNumber},
                   {"Undecided", Cell::kNumber},
                   {"Up to", Cell::kName}});
  const size_t from = data.passes.size() > kMostPasses ? data.passes.size() - kMostPasses : 0;
  for (size_t i = data.passes.size(); i-- > from;) {
    const ReportPass& pass = data.passes[i];
    table.Row({TimeText(pass.began_us), DurationText(pass.ended_us - pass.began_us), Escaped(pass.result),
               NumberText(pass.rows), NumberText(pass.differences), NumberText(pass.undecided), Escaped(pass.upto)},
              pass.result == "different" ? "wrong" : "");
  }
  return table.empty() ? ""
                       : "<h3>All comparisons, the latest first</h3>" + table.Html("") +
                             LeftOut(data.passes.size(), kMostPasses, "older ones");
}

std::string ContinuousHtml(const ReportData& data) {
  if (!data.status || !data.status->verify.on) {
    return "";
  }
  const StatusReport::Verify& v = data.status->verify;
  const std::string full = v.full_ended_us == 0
                               ? "none has ended"
                               : fmt::format("began {}, {} before this report; {}, {}", TimeText(v.full_began_us),
                                             DurationText(std::max<int64_t>(0, data.made_us - v.full_began_us)),
                                             Counted(v.full_rows, "row"), Escaped(v.full_result));
  std::vector<std::pair<std::string, std::string>> facts = {
      {"As of", TimeText(data.status->at_us) + (data.alive ? "" : "; 'crossfade run' is not at work since")},
      {"Last full pass", full},
      {"Touched rows compared",
       v.checked_us == 0
           ? "none yet"
           : fmt::format("all that was applied by {} (transaction {}); {} applied beyond", TimeText(v.checked_us),
                         NumberText(v.checked_seq.value), Counted(v.behind, "transaction"))},
      {"Rows that differ", v.open == 0 ? "0" : "<b>" + NumberText(v.open) + "</b>"},
      {"Undecided", NumberText(v.undecided)},
      {"Tables waiting", v.waiting.empty() ? "none" : Escaped(Listed(v.waiting, 20))}};
  if (!v.doing.empty()) {
    facts.emplace_back("Under way", Escaped(v.doing));
  }
  if (!v.problem.empty()) {
    facts.emplace_back("Held up by", Escaped(v.problem));
  }
  return "<h3>Continuous comparison</h3><p class=\"note\">What 'crossfade run' compares beside its work: rows that "
         "were "
         "changed, and all rows from time to time.</p>" +
         Facts(facts);
}

}  // namespace

std::string VerificationSection(const ReportData& data) {
  std::string out = SectionHeading("7", "Verification");
  if (!data.verification) {
    return out +
           fmt::format(
               "<p class=\"none\">No comparison of both sides is recorded.</p><p>{} makes one, while the "
               "migration runs.</p>",
               Code("crossfade verify " + data.config_path)) +
           ContinuousHtml(data) + PassesHtml(data);
  }
  const ReportVerification& v = *data.verification;
  out += Facts(
      {{"Result", "<b>" + Escaped(v.result) + "</b>"},
       {"Compared", fmt::format("{} to {} ({})", TimeText(v.began_us), TimeText(v.ended_us),
                                DurationText(v.ended_us - v.began_us))},
       {"Each row at or behind", Code(v.from)},
       {"Applied at the end", Code(v.upto)},
       {"Rows", NumberText(v.rows)},
       {"Differences", NumberText(v.differences)},
       {"Undecided", NumberText(v.undecided)},
       {"Applied since",
        data.applied_since_verification ? Counted(*data.applied_since_verification, "transaction") : "not known"}});
  out +=
      "<p class=\"note\">Every row of every table, all columns that the target has, both ways, as stored on both "
      "sides. What changed "
      "between "
      "the two reads was looked at again, at Positions that the journal joins; only what was found twice is called a "
      "difference. Section 2 has the result of each table.</p>";
  return out + DifferencesHtml(v) + UndecidedHtml(v) + ContinuousHtml(data) + PassesHtml(data);
}

std::string DivergencesSection(const ReportData& data) {
  std::string out = SectionHeading("8", "Divergences");
  out +=
      "<p class=\"note\">Rows that were on the target otherwise than the source's log said when a change was applied "
      "to "
      "them: somebody else wrote there, or the copy was incomplete.</p>";
  if (!data.record) {
    return out + "<p class=\"none\">The target could not be read.</p>";
  }
  HtmlTable table({{"Found", Cell::kNarrow},
                   {"Table", Cell::kName},
                   {"Key", Cell::kName},
                   {"Change"},
                   {"Done"},
                   {"Why"},
                   {"Images", Cell::kName}});
  const auto& found = data.record->divergences;
  for (size_t i = 0; i < std::min(kMostDivergences, found.size()); ++i) {
    const apply::Divergence& d = found[i].divergence;
    table.Row({TimeText(found[i].found_us), Escaped(d.table), Escaped(Shortened(d.key, kMostValue)), Escaped(d.kind),
               Escaped(d.action), Escaped(d.reason),
               Escaped(Shortened(d.before, kMostValue)) + "<br>" + Escaped(Shortened(d.after, kMostValue))});
  }
  return out + table.Html("None.") +
         LeftOut(data.record->divergence_count, std::min(kMostDivergences, found.size()), "divergences");
}

std::string ChangesSection(const ReportData& data) {
  std::string out = SectionHeading("9", "What changes values, and what is not moved");
  HtmlTable policies({{"Rule", Cell::kName}, {"What it does"}});
  for (const auto& [rule, meaning] : data.changing) {
    policies.Row({Escaped(rule), Escaped(meaning)});
  }
  out += policies.Html("None.");
  out +=
      "<p class=\"note\">Apart from these, every value is stored exactly: appendix A names the type of each column on "
      "both "
      "sides.</p><h3>Tables left out</h3>";
  out += data.excluded.empty() ? "<p class=\"none\">None.</p>" : "<p>" + Code(Listed(data.excluded, 500)) + "</p>";
  HtmlTable left({{"On the source", Cell::kName}, {"What to do"}});
  for (const std::string& object : data.for_a_person) {
    left.Row({Escaped(object), "not moved: make it on the target by hand before the switch"});
  }
  out += "<h3>Left to a person</h3>" + left.Html("No views, triggers, routines or events, or the source was not read.");
  HtmlTable notices({{"Code", Cell::kNarrow}, {"Object", Cell::kName}, {"Found"}, {"What it means"}});
  for (const apply::Finding& finding : data.findings) {
    notices.Row({Escaped(finding.code), Escaped(finding.object), Escaped(finding.found), Escaped(finding.meaning)},
                finding.blocks ? "wrong" : "");
  }
  return out + "<h3>What could not be made as on the source</h3>" + notices.Html("Nothing.");
}

std::string WarningsSection(const ReportData& data) {
  std::string out = SectionHeading("10", "Warnings and errors");
  if (data.status && data.status->last_error) {
    out += fmt::format("<h3>Last error, {}</h3><p>{}</p>", TimeText(data.status->last_error_us),
                       Escaped(data.status->last_error->message));
    if (data.status->phase != Phase::kFailed) {
      out += "<p class=\"note\">It did not end the migration.</p>";
    }
  } else {
    out += "<p class=\"none\">No error is recorded.</p>";
  }
  HtmlTable table({{"Remark"}});
  for (const std::string& remark : data.verdict.remarks) {
    table.Row({Escaped(remark)});
  }
  return out + "<h3>All remarks</h3>" + table.Html("None.");
}

std::string ColumnsAppendix(const ReportData& data) {
  HtmlTable table(
      {{"Column", Cell::kName}, {"Type on the source", Cell::kName}, {"On the target", Cell::kName}, {"NULL"}});
  for (const ReportTable& t : data.tables) {
    table.Row({fmt::format("{}", Escaped(t.source)), "", Escaped(t.target), ""}, "group");
    for (const ReportColumn& column : t.columns) {
      const std::string name =
          column.target_name.empty() || column.target_name == column.name ? "" : Code(column.target_name) + " ";
      const std::string transform = column.transform.empty() ? "" : fmt::format(" <b>{}</b>", column.transform);
      table.Row({Escaped(column.name), Escaped(Shortened(column.source_type, 300)),
                 name + Escaped(column.target_type) + transform, column.nullable ? "yes" : "no"});
    }
  }
  return "<div class=\"appendix\">" + SectionHeading("A", "Columns and types") +
         table.Html("The tables are not known.") + "</div>\n";
}

std::string ObjectsAppendix(const ReportData& data) {
  std::string out = "<div class=\"appendix\">" + SectionHeading("B", "Objects on the target, one by one");
  if (!data.record) {
    return out + "<p class=\"none\">The target could not be read.</p></div>\n";
  }
  HtmlTable table({{"Kind", Cell::kNarrow}, {"Name", Cell::kName}, {"Definition", Cell::kName}, {"Made by"}});
  for (const apply::StandingObject& object : data.record->objects) {
    if (object.kind == "table") {
      table.Row({"table", Escaped(object.schema + "." + object.table), "", object.ours ? "us" : "others"}, "group");
      continue;
    }
    table.Row({Escaped(object.kind), Escaped(object.name), Escaped(object.definition),
               std::string(object.ours ? "us" : "others") + (object.valid ? "" : ", not valid")},
              object.valid ? "" : "wrong");
  }
  return out + table.Html("Nothing is on the target yet.") + "</div>\n";
}

}  // namespace crossfade::tools
