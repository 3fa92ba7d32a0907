// The parts of a report about what was moved, and how it went.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tools/crossfade/report/html_table.h"
#include "tools/crossfade/report/plot.h"
#include "tools/crossfade/report/report_html.h"
#include "tools/crossfade/report/report_text.h"

namespace crossfade::tools {

namespace {

constexpr size_t kMostSpans = 40;

std::string Code(const std::string& text) { return "<code>" + Escaped(text) + "</code>"; }

std::string OrDash(const std::optional<uint64_t>& number) { return number ? NumberText(*number) : "-"; }

const ReportTableResult* ResultOf(const ReportData& data, const std::string& table) {
  if (data.verification) {
    for (const ReportTableResult& result : data.verification->tables) {
      if (result.table == table) {
        return &result;
      }
    }
  }
  return nullptr;
}

// How many of each kind, made by us or there before.
std::string ObjectCounts(const std::vector<apply::StandingObject>& objects) {
  constexpr const char* kKinds[] = {"table", "column",      "primary key", "unique key",
                                    "index", "foreign key", "check",       "identity"};
  HtmlTable table({{"Kind"},
                   {"On the target", Cell::kNumber},
                   {"Made by this migration", Cell::kNumber},
                   {"There before", Cell::kNumber},
                   {"Not valid", Cell::kNumber}});
  for (const char* kind : kKinds) {
    uint64_t all = 0;
    uint64_t ours = 0;
    uint64_t invalid = 0;
    for (const apply::StandingObject& object : objects) {
      if (object.kind == kind) {
        ++all;
        ours += object.ours ? 1 : 0;
        invalid += object.valid ? 0 : 1;
      }
    }
    if (all > 0) {
      table.Row({std::string(kind) == "column" ? "column added to a table in use" : kind, NumberText(all),
                 NumberText(ours), NumberText(all - ours), NumberText(invalid)},
                invalid > 0 ? "wrong" : "");
    }
  }
  return table.Html("Nothing is on the target yet.");
}

std::string SpanNote(const PhaseSpan& span) {
  if (!span.code.empty()) {
    return Code(span.code);
  }
  return span.cut ? "ended without a word (killed, or the machine went down)" : span.lasting ? "until now" : "";
}

std::string PhasesTable(const ReportData& data) {
  HtmlTable table({{"Phase", Cell::kNarrow},
                   {"From", Cell::kNarrow},
                   {"To", Cell::kNarrow},
                   {"Took", Cell::kNumber},
                   {"Process", Cell::kNumber},
                   {"Note"}});
  const size_t left_out = data.phases.size() > kMostSpans ? data.phases.size() - kMostSpans : 0;
  for (size_t i = 0; i < data.phases.size(); ++i) {
    if (i >= kMostSpans / 4 && i < kMostSpans / 4 + left_out) {
      continue;
    }
    const PhaseSpan& span = data.phases[i];
    table.Row({PhaseName(span.phase), TimeText(span.from_us), TimeText(span.to_us),
               DurationText(span.to_us - span.from_us), std::to_string(span.pid), SpanNote(span)},
              span.phase == Phase::kFailed ? "wrong" : "");
  }
  std::string out = table.Html("No phase is recorded: this migration was run by a version that kept no history.");
  if (left_out > 0) {
    out += fmt::format("<p class=\"note\">{} in between are left out; the JSON form has all.</p>",
                       Counted(left_out, "phase"));
  }
  return out;
}

std::string PhaseSums(const ReportData& data) {
  std::map<Phase, std::pair<int64_t, uint64_t>> sums;
  for (const PhaseSpan& span : data.phases) {
    sums[span.phase].first += span.to_us - span.from_us;
    ++sums[span.phase].second;
  }
  HtmlTable table({{"Phase"}, {"Took in all", Cell::kNumber}, {"Entered", Cell::kNumber}});
  for (const auto& [phase, sum] : sums) {
    table.Row({PhaseName(phase), DurationText(sum.first), Counted(sum.second, "time")});
  }
  return table.empty() ? "" : table.Html("");
}

// One line for an action, or for all records of rows that one repair wrote one behind the other. How many they were.
size_t AddAction(const std::vector<ReportAction>& actions, size_t from, HtmlTable* table) {
  const ReportAction& first = actions[from];
  size_t count = 1;
  uint64_t rows = first.rows;
  while (first.rows > 0 && from + count < actions.size()) {
    const ReportAction& next = actions[from + count];
    if (next.rows == 0 || next.action != first.action || next.pid != first.pid || next.who != first.who) {
      break;
    }
    rows += next.rows;
    ++count;
  }
  const std::string numbers =
      NumberText(first.seq) + (count == 1 ? "" : " to " + NumberText(actions[from + count - 1].seq));
  const std::string details =
      first.rows == 0 ? Escaped(Shortened(first.details, 400))
                      : fmt::format("{} in {}; the JSON form of this report, or 'crossfade audit list', names each",
                                    Counted(rows, "row"), Counted(count, "record"));
  table->Row({numbers, Escaped(first.at.substr(0, 19)), Escaped(first.who), Escaped(first.action), details});
  return count;
}

void AddLag(const char* name, const LagFigures& lag, HtmlTable* table) {
  table->Row({name, LagText(lag.now_ms), LagText(lag.p50_ms), LagText(lag.p99_ms), LagText(lag.max_ms)});
}

}  // namespace

std::string MovedSection(const ReportData& data) {
  std::string out = SectionHeading("1", "What was moved");
  std::vector<std::pair<std::string, std::string>> facts = {{"Source", Escaped(data.source)},
                                                            {"Target", Escaped(data.target)}};
  if (data.record) {
    facts.emplace_back("Target's version", "PostgreSQL " + Escaped(data.record->server_version));
  }
  facts.emplace_back("Tenant", data.tenant.empty()
                                   ? "none: the target holds this database alone"
                                   : fmt::format("{} (type {})", Code(data.tenant), Escaped(data.tenant_type)));
  facts.emplace_back("Tables", fmt::format("{} moved, {} of the source left out", NumberText(data.tables.size()),
                                           NumberText(data.excluded.size())));
  size_t renamed = 0;
  size_t transformed = 0;
  size_t columns_out = 0;
  for (const ReportTable& table : data.tables) {
    renamed += table.target.ends_with("." + table.source) ? 0 : 1;
    for (const ReportColumn& column : table.columns) {
      columns_out += column.target_name.empty() ? 1 : 0;
      renamed += column.target_name.empty() || column.target_name == column.name ? 0 : 1;
      transformed += column.target_name.empty() || column.transform.empty() ? 0 : 1;
    }
  }
  facts.emplace_back("Names", renamed == 0
                                  ? "Tables and columns keep their names; only the schema and the tenant's "
                                    "column are the target's own."
                                  : fmt::format("{} tables and columns have other names: sections 2 and A.", renamed));
  facts.emplace_back("Columns changed or excluded",
                     transformed + columns_out == 0
                         ? "none"
                         : fmt::format("{} transformed, {} excluded: listed in section 9 and in appendix A",
                                       transformed, columns_out));
  if (!data.excluded.empty()) {
    facts.emplace_back("Left out", Code(Listed(data.excluded, 200)));
  }
  return out + Facts(facts);
}

std::string TablesSection(const ReportData& data) {
  std::string out = SectionHeading("2", "Tables and rows");
  const bool renamed = std::any_of(data.tables.begin(), data.tables.end(),
                                   [](const ReportTable& t) { return !t.target.ends_with("." + t.source); });
  HtmlTable table({{"Table", Cell::kName},
                   {"Rows told apart by", Cell::kName},
                   {"Copied", Cell::kNumber},
                   {"Source, compared", Cell::kNumber},
                   {"Target, compared", Cell::kNumber},
                   {"Result", Cell::kNarrow}});
  uint64_t source = 0;
  uint64_t target = 0;
  for (const ReportTable& t : data.tables) {
    const ReportTableResult* result = ResultOf(data, t.source);
    source += result == nullptr ? 0 : result->source_rows;
    target += result == nullptr ? 0 : result->target_rows;
    table.Row({Escaped(t.source) + (renamed ? " → " + Escaped(t.target) : ""), Escaped(t.identity),
               OrDash(t.copied_rows), result == nullptr ? "-" : NumberText(result->source_rows),
               result == nullptr ? "-" : NumberText(result->target_rows),
               result == nullptr ? "not compared" : Escaped(result->result)},
              result != nullptr && result->result == "different" ? "wrong" : "");
  }
  if (data.tables.size() > 1) {
    table.Row(
        {"all", "", OrDash(data.copy.rows), data.verification ? NumberText(source) : "-",
         data.verification ? NumberText(target) : "-", data.verification ? Escaped(data.verification->result) : ""},
        "total");
  }
  out +=
      "<p class=\"note\">Copied: rows that the first copy read. Compared: rows that the last comparison read on each "
      "side; they differ from the copied ones by what the applications wrote since, and from each other by what was "
      "under way between the two reads. The result counts each row once it was decided.</p>";
  return out + table.Html("The tables are not known: neither the journal nor the source could be read.");
}

std::string ObjectsSection(const ReportData& data) {
  std::string out = SectionHeading("3", "Objects on the target");
  if (!data.record) {
    return out + "<p class=\"none\">The target could not be read.</p>";
  }
  out +=
      "<p class=\"note\">As the target's catalog has them now, on the tables of this migration. Appendix B lists each "
      "with its definition. Foreign keys are made deferrable, and are enforced.</p>";
  return out + ObjectCounts(data.record->objects);
}

std::string TimesSection(const ReportData& data) {
  std::string out = SectionHeading("4", "Positions and times");
  std::vector<std::pair<std::string, std::string>> facts;
  if (data.record && data.record->known) {
    facts.emplace_back("Copy begun from", data.record->one_state
                                              ? "one state of the source: " + Code(data.record->copied_at.ToString())
                                              : fmt::format("{}; changes in between were applied on top",
                                                            Counted(data.record->windows, "window")));
  }
  if (data.status) {
    facts.emplace_back("Captured", fmt::format("{} (transaction {})", Code(data.status->captured.ToString()),
                                               NumberText(data.status->captured_seq.value)));
  }
  for (const apply::Progress& progress : data.record ? data.record->state.progress : std::vector<apply::Progress>()) {
    facts.emplace_back(
        "Applied", fmt::format("{} (transaction {}), committed on the source {}", Code(progress.position.ToString()),
                               NumberText(progress.low.value), TimeText(progress.commit_time_us)));
  }
  facts.emplace_back("Source now", data.source_head ? Code(*data.source_head) : "not read");
  if (data.record && data.record->known) {
    facts.emplace_back("Stages done", Escaped(Listed(data.record->state.facts, 50)));
    facts.emplace_back(
        "Owner", Escaped(fmt::format("{}, pid {} on {}, epoch {}", data.record->owner.program, data.record->owner.pid,
                                     data.record->owner.host, data.record->state.epoch)));
  }
  out += Facts(facts);
  out += "<h3>Phases</h3>" + PhasesTable(data);
  const std::string sums = PhaseSums(data);
  return sums.empty() ? out : out + "<h3>Time in each phase</h3>" + sums;
}

std::string CopySection(const ReportData& data) {
  std::string out = SectionHeading("5", "The copy");
  const CopyFigures& copy = data.copy;
  if (copy.began_us == 0) {
    return out + "<p class=\"none\">No copy is recorded.</p>";
  }
  out += Facts({{"Began", TimeText(copy.began_us)},
                {"Ended", copy.ended_us == 0 ? "not yet" : TimeText(copy.ended_us)},
                {"At work", DurationText(copy.seconds_us)},
                {"Rows", OrDash(copy.rows)},
                {"Throughput", copy.rows_per_second > 0
                                   ? NumberText(static_cast<uint64_t>(copy.rows_per_second)) + " rows a second"
                                   : "not known"}});
  const std::string plot = DrawPlot(CopyPlot(data.history, data.phases));
  return out + (plot.empty() ? "<p class=\"note\">The copy was too short for a plot, or its history was not kept.</p>"
                             : plot);
}

std::string LagSection(const ReportData& data) {
  std::string out = SectionHeading("6", "Lag and throughput");
  out +=
      "<p class=\"note\">How long after its commit on the source a change is on the target. Half of all looks, and 99 "
      "of "
      "100, were not above the figures named so; the largest is of all moments, also between the looks. What was "
      "missed while no process ran shows as the lag of the first changes after it.</p>";
  HtmlTable table(
      {{"Way"}, {"Now", Cell::kNumber}, {"Half", Cell::kNumber}, {"99 %", Cell::kNumber}, {"Largest", Cell::kNumber}});
  AddLag("source commit to applied", data.lag_total, &table);
  AddLag("the same, once it followed", data.lag_following, &table);
  AddLag("source commit to journal", data.lag_capture, &table);
  AddLag("journal to target", data.lag_apply, &table);
  out += table.Html("");
  if (data.lag_looks == 0) {
    return out + "<p class=\"none\">The lag is not known: no change was followed yet, or no history was kept.</p>";
  }
  out += fmt::format("<p class=\"note\">{}, about {} apart, from {} to {}.</p>", Counted(data.lag_looks, "look"),
                     DurationText(data.history.step_us), TimeText(data.lag_from_us), TimeText(data.lag_to_us));
  out += "<h3>Lag over time</h3>" + DrawPlot(LagPlot(data.history, data.phases));
  const std::string applied = DrawPlot(AppliedPlot(data.history, data.phases));
  return applied.empty() ? out : out + "<h3>Transactions applied</h3>" + applied;
}

std::string ActionsSection(const ReportData& data) {
  std::string out = SectionHeading("11", "Actions of operators");
  const ReportAudit& audit = data.audit;
  if (!audit.kept) {
    return out +
           "<p class=\"none\">No audit log of this migration was found. When 'crossfade run' began and ended is in "
           "section 4.</p>";
  }
  out += Facts({{"Records", fmt::format("{}; the last one has the hash <span class=\"hash\">{}</span>",
                                        NumberText(audit.head_seq), Escaped(audit.head))},
                {"Chain", audit.problems.empty() ? "whole: no record was changed, taken out or put in"
                                                 : "<b>broken</b>: " + Escaped(Listed(audit.problems, 5))},
                {"Target", !audit.on_target         ? "was not asked, or knows no record: a cut end would not show"
                           : audit.problems.empty() ? "knows the same records"
                                                    : "was asked"}});
  HtmlTable table(
      {{"No.", Cell::kNumber}, {"At", Cell::kNarrow}, {"Who", Cell::kName}, {"Action"}, {"Details", Cell::kName}});
  for (size_t i = 0; i < audit.actions.size();) {
    i += AddAction(audit.actions, i, &table);
  }
  out += table.Html("None.");
  const uint64_t left_out = audit.left_out + audit.phases_left_out;
  return left_out == 0 ? out
                       : out + fmt::format(
                                   "<p class=\"note\">{} and {} before these are left out: 'crossfade audit "
                                   "list' has all.</p>",
                                   Counted(audit.left_out, "action"), Counted(audit.phases_left_out, "phase"));
}

}  // namespace crossfade::tools
