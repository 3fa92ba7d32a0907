#include "tools/crossfade/report/report_json.h"

#include <nlohmann/json.hpp>

#include "tools/crossfade/report/verdict.h"

namespace crossfade::tools {

namespace {

using Json = nlohmann::ordered_json;

Json Pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json json = Json::object();
  for (const auto& [key, value] : pairs) {
    json[key] = value;
  }
  return json;
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json Tables(const ReportData& data) {
  Json list = Json::array();
  for (const ReportTable& table : data.tables) {
    Json columns = Json::array();
    for (const ReportColumn& column : table.columns) {
      columns.push_back({{"name", column.name},
                         {"source_type", column.source_type},
                         {"target_type", column.target_type},
                         {"target_name", column.target_name},
                         {"transform", column.transform},
                         {"nullable", column.nullable}});
    }
    list.push_back({{"source", table.source},
                    {"target", table.target},
                    {"identity", table.identity},
                    {"copied_rows", OrNull(table.copied_rows)},
                    {"copied_chunks", OrNull(table.copied_chunks)},
                    {"columns", std::move(columns)}});
  }
  return list;
}

Json Objects(const ReportData& data) {
  Json list = Json::array();
  for (const apply::StandingObject& object :
       data.record ? data.record->objects : std::vector<apply::StandingObject>()) {
    list.push_back({{"kind", object.kind},
                    {"schema", object.schema},
                    {"table", object.table},
                    {"name", object.name},
                    {"definition", object.definition},
                    {"made_by_this_migration", object.ours},
                    {"valid", object.valid}});
  }
  return list;
}

Json Positions(const ReportData& data) {
  Json json = {{"source_now", OrNull(data.source_head)}, {"captured", nullptr}, {"applied", Json::array()}};
  if (data.status) {
    json["captured"] = {{"position", data.status->captured.ToString()}, {"seq", data.status->captured_seq.value}};
  }
  if (data.record) {
    for (const apply::Progress& progress : data.record->state.progress) {
      json["applied"].push_back({{"position", progress.position.ToString()},
                                 {"seq", progress.low.value},
                                 {"committed_us", progress.commit_time_us}});
    }
    json["copied_at"] = data.record->one_state ? Json(data.record->copied_at.ToString()) : Json(nullptr);
    json["copy_windows"] = data.record->windows;
    json["journal"] = data.record->state.journal_id;
    json["epoch"] = data.record->state.epoch;
    json["stages"] = data.record->state.facts;
  }
  return json;
}

Json Phases(const ReportData& data) {
  Json list = Json::array();
  for (const PhaseSpan& span : data.phases) {
    list.push_back({{"phase", PhaseName(span.phase)},
                    {"from_us", span.from_us},
                    {"to_us", span.to_us},
                    {"pid", span.pid},
                    {"version", span.version},
                    {"code", span.code},
                    {"ended_without_a_word", span.cut},
                    {"lasting", span.lasting}});
  }
  return list;
}

Json LagJson(const LagFigures& lag) {
  return {{"now_ms", lag.now_ms}, {"p50_ms", lag.p50_ms}, {"p99_ms", lag.p99_ms}, {"max_ms", lag.max_ms}};
}

Json Samples(const ReportData& data) {
  Json list = Json::array();
  for (const HistorySample& s : data.history.samples) {
    list.push_back({{"at_us", s.at_us},
                    {"phase", PhaseName(s.phase)},
                    {"lag_ms", s.total.look_ms},
                    {"lag_max_ms", s.total.max_ms},
                    {"capture_ms", s.capture.look_ms},
                    {"capture_max_ms", s.capture.max_ms},
                    {"apply_ms", s.apply.look_ms},
                    {"apply_max_ms", s.apply.max_ms},
                    {"rows_copied", s.rows_copied},
                    {"captured_seq", s.captured_seq},
                    {"applied_seq", s.applied_seq},
                    {"journal_bytes", s.journal_bytes}});
  }
  return list;
}

Json VerificationJson(const ReportData& data) {
  if (!data.verification) {
    return nullptr;
  }
  const ReportVerification& v = *data.verification;
  Json tables = Json::array();
  for (const ReportTableResult& table : v.tables) {
    tables.push_back({{"table", table.table},
                      {"result", table.result},
                      {"source_rows", table.source_rows},
                      {"target_rows", table.target_rows},
                      {"rechecked", table.rechecked},
                      {"differences", table.differences},
                      {"undecided", table.undecided},
                      {"why_undecided", table.why_undecided}});
  }
  Json shown = Json::array();
  for (const ReportDifference& difference : v.shown) {
    Json cells = Json::array();
    for (const auto& cell : difference.cells) {
      cells.push_back({{"column", cell.column}, {"source", cell.source}, {"target", cell.target}});
    }
    shown.push_back({{"table", difference.table},
                     {"key", difference.key},
                     {"kind", difference.kind},
                     {"columns", std::move(cells)}});
  }
  return {{"result", v.result},
          {"from", v.from},
          {"upto", v.upto},
          {"began_us", v.began_us},
          {"ended_us", v.ended_us},
          {"rows", v.rows},
          {"differences", v.differences},
          {"undecided", v.undecided},
          {"transactions_applied_since", OrNull(data.applied_since_verification)},
          {"tables", std::move(tables)},
          {"shown", std::move(shown)}};
}

Json ContinuousJson(const ReportData& data) {
  if (!data.status || !data.status->verify.on) {
    return nullptr;
  }
  const StatusReport::Verify& v = data.status->verify;
  return {{"as_of_us", data.status->at_us},
          {"full_pass", v.full_ended_us == 0 ? Json(nullptr)
                                             : Json({{"began_us", v.full_began_us},
                                                     {"ended_us", v.full_ended_us},
                                                     {"age_us", data.made_us - v.full_began_us},
                                                     {"rows", v.full_rows},
                                                     {"result", v.full_result}})},
          {"touched_compared_seq", v.checked_seq.value},
          {"touched_compared_us", v.checked_us},
          {"touched_behind", v.behind},
          {"open", v.open},
          {"undecided", v.undecided},
          {"waiting", v.waiting},
          {"doing", v.doing},
          {"problem", v.problem}};
}

Json PassesJson(const ReportData& data) {
  Json list = Json::array();
  for (const ReportPass& pass : data.passes) {
    list.push_back({{"began_us", pass.began_us},
                    {"ended_us", pass.ended_us},
                    {"result", pass.result},
                    {"differences", pass.differences},
                    {"undecided", pass.undecided},
                    {"rows", pass.rows},
                    {"tables", pass.tables},
                    {"upto", pass.upto}});
  }
  return list;
}

Json DivergencesJson(const ReportData& data) {
  Json shown = Json::array();
  for (const auto& [d, found_us] : data.record ? data.record->divergences : std::vector<apply::RecordedDivergence>()) {
    shown.push_back({{"found_us", found_us},
                     {"seq", d.seq.value},
                     {"position", d.position.ToString()},
                     {"table", d.table},
                     {"kind", d.kind},
                     {"key", d.key},
                     {"before", d.before},
                     {"after", d.after},
                     {"action", d.action},
                     {"reason", d.reason}});
  }
  return {{"count", data.record ? Json(data.record->divergence_count) : Json(nullptr)}, {"shown", std::move(shown)}};
}

Json FindingsJson(const ReportData& data) {
  Json list = Json::array();
  for (const apply::Finding& f : data.findings) {
    list.push_back({{"blocks", f.blocks},
                    {"code", f.code},
                    {"object", f.object},
                    {"found", f.found},
                    {"meaning", f.meaning},
                    {"fix", f.fix}});
  }
  return list;
}

Json ActionsJson(const ReportData& data) {
  if (!data.audit.kept) {
    return nullptr;
  }
  Json list = Json::array();
  for (const ReportAction& action : data.audit.actions) {
    list.push_back({{"seq", action.seq},
                    {"at", action.at},
                    {"who", action.who},
                    {"action", action.action},
                    {"details", action.details}});
  }
  return {{"head_seq", data.audit.head_seq},
          {"head", data.audit.head},
          {"known_to_target", data.audit.on_target},
          {"problems", data.audit.problems},
          {"begun_anew", data.audit.remarks},
          {"left_out", data.audit.left_out},
          {"phases_left_out", data.audit.phases_left_out},
          {"actions", std::move(list)}};
}

Json RunJson(const ReportData& data) {
  if (!data.status) {
    return nullptr;
  }
  const StatusReport& status = *data.status;
  return {{"alive", data.alive},
          {"phase", PhaseName(status.phase)},
          {"at_us", status.at_us},
          {"started_us", status.started_us},
          {"host", status.host},
          {"pid", status.pid},
          {"version", status.version},
          {"warnings", status.warnings},
          {"last_error", status.last_error ? Json({{"code", status.last_error->code},
                                                   {"text", status.last_error->message},
                                                   {"at_us", status.last_error_us}})
                                           : Json(nullptr)}};
}

}  // namespace

std::string ReportJson(const ReportData& data) {
  const Json json = {
      {"format", "crossfade-report"},
      {"format_version", 1},
      {"made_us", data.made_us},
      {"made_by", data.made_by},
      {"program", data.program},
      {"name", data.name},
      {"config", {{"path", data.config_path}, {"sha256", data.config_hash}, {"settings", Pairs(data.settings)}}},
      {"verdict", VerdictName(data.verdict.verdict)},
      {"sentence", data.verdict.sentence},
      {"remarks", data.verdict.remarks},
      {"source", data.source},
      {"target", data.target},
      {"target_version", data.record ? Json(data.record->server_version) : Json(nullptr)},
      {"tenant", data.tenant},
      {"run", RunJson(data)},
      {"tables", Tables(data)},
      {"excluded_tables", data.excluded},
      {"not_moved", data.for_a_person},
      {"objects", Objects(data)},
      {"findings", FindingsJson(data)},
      {"policies", Pairs(data.changing)},
      {"positions", Positions(data)},
      {"phases", Phases(data)},
      {"copy",
       {{"began_us", data.copy.began_us},
        {"ended_us", data.copy.ended_us},
        {"at_work_us", data.copy.seconds_us},
        {"rows", OrNull(data.copy.rows)},
        {"rows_per_second", data.copy.rows_per_second}}},
      {"lag",
       {{"looks", data.lag_looks},
        {"from_us", data.lag_from_us},
        {"to_us", data.lag_to_us},
        {"total", LagJson(data.lag_total)},
        {"following", LagJson(data.lag_following)},
        {"source_to_journal", LagJson(data.lag_capture)},
        {"journal_to_target", LagJson(data.lag_apply)},
        {"samples", Samples(data)}}},
      {"verification", VerificationJson(data)},
      {"continuous", ContinuousJson(data)},
      {"passes", PassesJson(data)},
      {"divergences", DivergencesJson(data)},
      {"audit", ActionsJson(data)},
      {"unread", data.unread},
  };
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace crossfade::tools
