#include "tools/crossfade/report/verdict.h"

#include <algorithm>
#include <set>

#include "tools/crossfade/report/report_text.h"

namespace crossfade::tools {

namespace {

constexpr int64_t kDayUs = 86'400'000'000;

struct Names {
  std::string_view name;
  std::string_view title;
};

constexpr Names kNames[] = {
    {"equal", "Equal"},
    {"equal_with_remarks", "Equal, with remarks"},
    {"not_verified", "Not verified"},
    {"incomplete", "Not complete"},
    {"undecided", "Undecided"},
    {"failed", "Stopped by an error"},
    {"different", "Different"},
};

bool IsIncomplete(const ReportData& data) {
  if (data.record && data.record->known) {
    const auto& facts = data.record->state.facts;
    return std::find(facts.begin(), facts.end(), "analyzed") == facts.end();
  }
  return data.status && data.status->phase <= Phase::kBuildingKeys;
}

// Tables that are moved, but were not in the comparison.
std::vector<std::string> Uncompared(const ReportData& data) {
  std::set<std::string> compared;
  for (const ReportTableResult& table : data.verification->tables) {
    compared.insert(table.table);
  }
  std::vector<std::string> missing;
  for (const ReportTable& table : data.tables) {
    if (!compared.contains(table.source)) {
      missing.push_back(table.source);
    }
  }
  return missing;
}

std::string Since(const ReportData& data) {
  const int64_t age = data.made_us - data.verification->ended_us;
  std::string text = fmt::format("{} before this report", DurationText(std::max<int64_t>(0, age)));
  if (data.applied_since_verification) {
    text += fmt::format("; {} {} applied since", Counted(*data.applied_since_verification, "transaction"),
                        *data.applied_since_verification == 1 ? "was" : "were");
  }
  return text;
}

// Rows of which continuous comparison knows that they differ.
uint64_t OpenRows(const ReportData& data) {
  return data.status && data.status->verify.on ? data.status->verify.open : 0;
}

std::string Sentence(const ReportData& data, Verdict verdict) {
  const auto& v = data.verification;
  switch (verdict) {
    case Verdict::kEqual:
    case Verdict::kEqualWithRemarks:
      return fmt::format("All {} of {} were compared column by column on both sides and found equal, {}.",
                         Counted(v->rows, "row"), Counted(v->tables.size(), "table"), Since(data));
    case Verdict::kDifferent:
      if (OpenRows(data) > 0 && (!v || v->differences == 0)) {
        return fmt::format("{} known to continuous comparison as not the same on both sides, as of {}.",
                           Counted(OpenRows(data), "row") + (OpenRows(data) == 1 ? " is" : " are"),
                           TimeText(data.status->at_us));
      }
      return fmt::format("{} {} found that {} not the same on both sides, {}.", Counted(v->differences, "row"),
                         v->differences == 1 ? "was" : "were", v->differences == 1 ? "is" : "are", Since(data));
    case Verdict::kUndecided:
      return fmt::format("{} could not be decided; no other row was found different, {}.", Counted(v->undecided, "row"),
                         Since(data));
    case Verdict::kFailed:
      return "The migration was stopped by an error and does not go on by itself.";
    case Verdict::kIncomplete:
      return "The copy, or the building of keys behind it, is not complete: the target cannot be compared yet.";
    case Verdict::kNotVerified:
      return fmt::format("No comparison of both sides is recorded. 'crossfade verify {}' makes one.", data.config_path);
  }
  return "";
}

Verdict Headline(const ReportData& data) {
  if ((data.verification && data.verification->differences > 0) || OpenRows(data) > 0) {
    return Verdict::kDifferent;
  }
  if (data.status && data.status->phase == Phase::kFailed) {
    return Verdict::kFailed;
  }
  if (IsIncomplete(data)) {
    return Verdict::kIncomplete;
  }
  if (!data.verification) {
    return Verdict::kNotVerified;
  }
  if (data.verification->undecided > 0) {
    return Verdict::kUndecided;
  }
  return data.verification->result == "equal" ? Verdict::kEqual : Verdict::kNotVerified;
}

void RemarkVerification(const ReportData& data, std::vector<std::string>* remarks) {
  if (!data.verification) {
    return;
  }
  if (const auto missing = Uncompared(data); !missing.empty()) {
    remarks->push_back(fmt::format("{} moved, but not in the last comparison: {}.",
                                   Counted(missing.size(), "table") + (missing.size() == 1 ? " is" : " are"),
                                   Listed(missing, 5)));
  }
  if (data.made_us - data.verification->ended_us > kDayUs) {
    remarks->push_back(
        fmt::format("The last comparison is {} old.", DurationText(data.made_us - data.verification->ended_us)));
  }
}

void RemarkContinuous(const ReportData& data, std::vector<std::string>* remarks) {
  if (!data.status || !data.status->verify.on) {
    return;
  }
  const StatusReport::Verify& verify = data.status->verify;
  if (verify.open > 0) {
    remarks->push_back(
        fmt::format("{} on both sides, by continuous comparison (section 7); 'crossfade verify' names "
                    "{}.",
                    verify.open == 1 ? "1 row differs" : Counted(verify.open, "row") + " differ",
                    verify.open == 1 ? "it" : "them"));
  }
  if (verify.undecided > 0) {
    remarks->push_back(fmt::format("{} not be decided by continuous comparison (section 7).",
                                   Counted(verify.undecided, "row") + " could"));
  }
  if (!verify.waiting.empty()) {
    remarks->push_back(
        fmt::format("{} to be compared as a whole by continuous comparison: {}.",
                    Counted(verify.waiting.size(), "table") + (verify.waiting.size() == 1 ? " waits" : " wait"),
                    Listed(verify.waiting, 5)));
  }
  if (!verify.problem.empty()) {
    remarks->push_back("Continuous comparison is held up: " + verify.problem);
  }
}

void RemarkExcluded(const ReportData& data, std::vector<std::string>* remarks) {
  std::vector<std::string> names;
  for (const ReportTable& table : data.tables) {
    for (const ReportColumn& column : table.columns) {
      if (column.target_name.empty()) {
        names.push_back(table.source + "." + column.name);
      }
    }
  }
  if (!names.empty()) {
    constexpr size_t kMostNames = 20;
    remarks->push_back(fmt::format("{} excluded, which the target does not hold and nothing compared: {}.",
                                   Counted(names.size(), "column"), Listed(names, kMostNames)));
  }
}

void RemarkRun(const ReportData& data, std::vector<std::string>* remarks) {
  if (data.record && data.record->divergence_count > 0) {
    remarks->push_back(fmt::format(
        "{} met on the target that the log said otherwise about (section 8).",
        Counted(data.record->divergence_count, "row") + (data.record->divergence_count == 1 ? " was" : " were")));
  }
  if (data.status && data.status->last_error && data.status->phase == Phase::kFailed) {
    remarks->push_back(data.status->last_error->message);
  }
  if (data.status && !data.alive && data.status->phase != Phase::kFailed) {
    remarks->push_back(
        fmt::format("'crossfade run' is not at work since {}: what the source commits does not reach the"
                    " target.",
                    TimeText(data.status->at_us)));
  }
  if (data.status) {
    for (const std::string& warning : data.status->warnings) {
      remarks->push_back(warning);
    }
  }
  for (const std::string& problem : data.audit.problems) {
    remarks->push_back("The audit log is not as it was written: " + problem);
  }
  remarks->insert(remarks->end(), data.audit.remarks.begin(), data.audit.remarks.end());
  for (const apply::StandingObject& object :
       data.record ? data.record->objects : std::vector<apply::StandingObject>()) {
    if (!object.valid) {
      remarks->push_back(fmt::format("The {} {} of {}.{} is not valid on the target.", object.kind, object.name,
                                     object.schema, object.table));
    }
  }
}

}  // namespace

std::string_view VerdictName(Verdict verdict) { return kNames[static_cast<size_t>(verdict)].name; }
std::string_view VerdictTitle(Verdict verdict) { return kNames[static_cast<size_t>(verdict)].title; }

ReportVerdict JudgeReport(const ReportData& data) {
  ReportVerdict judged;
  judged.verdict = Headline(data);
  RemarkVerification(data, &judged.remarks);
  RemarkContinuous(data, &judged.remarks);
  RemarkExcluded(data, &judged.remarks);
  RemarkRun(data, &judged.remarks);
  for (const std::string& unread : data.unread) {
    judged.remarks.push_back("Not read: " + unread);
  }
  if (judged.verdict == Verdict::kEqual && !judged.remarks.empty()) {
    judged.verdict = Verdict::kEqualWithRemarks;
  }
  judged.sentence = Sentence(data, judged.verdict);
  return judged;
}

}  // namespace crossfade::tools
