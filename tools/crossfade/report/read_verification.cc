// What `crossfade verify` left in the state directory.
#include <fstream>
#include <nlohmann/json.hpp>

#include "tools/crossfade/report/gather.h"

namespace crossfade::tools {

namespace {

using Json = nlohmann::json;

tl::unexpected<Error> Damaged(const std::string& path, const std::string& why) {
  return Fail(Error{ErrorClass::kTransient, "CF1814", "report", "a recorded comparison is damaged", "", path, why,
                    "'crossfade verify' writes it anew"});
}

uint64_t CountOf(const Json& json, const char* key) { return json.contains(key) ? json.at(key).get<uint64_t>() : 0; }

ReportDifference DifferenceFrom(const std::string& table, const Json& json) {
  ReportDifference difference;
  difference.table = table;
  difference.key = json.at("key").get<std::string>();
  difference.kind = json.at("kind").get<std::string>();
  for (const Json& cell : json.at("columns")) {
    difference.cells.push_back({cell.at("column").get<std::string>(), cell.at("source").get<std::string>(),
                                cell.at("target").get<std::string>()});
  }
  return difference;
}

ReportVerification VerificationFrom(const Json& json) {
  ReportVerification v;
  v.result = json.at("result").get<std::string>();
  v.from = json.at("from").get<std::string>();
  v.upto = json.at("upto").get<std::string>();
  v.began_us = json.at("began_us").get<int64_t>();
  v.ended_us = json.at("ended_us").get<int64_t>();
  v.differences = json.at("differences").get<uint64_t>();
  v.undecided = json.at("undecided").get<uint64_t>();
  for (const Json& table : json.at("tables")) {
    ReportTableResult result;
    result.table = table.at("table").get<std::string>();
    result.result = table.at("result").get<std::string>();
    result.source_rows = CountOf(table, "source_rows");
    result.target_rows = CountOf(table, "target_rows");
    result.rechecked = CountOf(table, "rechecked");
    result.differences = CountOf(table, "missing") + CountOf(table, "extra") + CountOf(table, "different");
    result.undecided = CountOf(table, "undecided");
    result.why_undecided = table.value("why_undecided", "");
    v.rows += result.source_rows;
    for (const Json& difference : table.at("differences")) {
      v.shown.push_back(DifferenceFrom(result.table, difference));
    }
    v.tables.push_back(std::move(result));
  }
  return v;
}

ReportPass PassFrom(const Json& json) {
  ReportPass pass;
  pass.began_us = json.at("began_us").get<int64_t>();
  pass.ended_us = json.at("ended_us").get<int64_t>();
  pass.result = json.at("result").get<std::string>();
  pass.differences = CountOf(json, "differences");
  pass.undecided = CountOf(json, "undecided");
  pass.rows = CountOf(json, "rows");
  const auto tables = json.find("tables");
  pass.tables = tables == json.end() ? 0 : tables->is_array() ? tables->size() : tables->get<uint64_t>();
  pass.upto = json.value("upto", "");
  return pass;
}

}  // namespace

Result<std::optional<ReportVerification>> ReadVerification(const std::string& state_dir) {
  const std::string path = state_dir + "/verify/last.json";
  std::ifstream in(path);
  if (!in) {
    return std::nullopt;
  }
  try {
    return VerificationFrom(Json::parse(in));
  } catch (const Json::exception& e) {
    return Damaged(path, e.what());
  }
}

Result<std::vector<ReportPass>> ReadPasses(const std::string& state_dir, size_t most) {
  std::vector<ReportPass> passes;
  std::ifstream in(state_dir + "/verify/passes.jsonl");
  for (std::string line; std::getline(in, line);) {
    try {
      passes.push_back(PassFrom(Json::parse(line)));
    } catch (const Json::exception&) {
      continue;  // cut by a crash
    }
    if (passes.size() > 2 * most) {
      passes.erase(passes.begin(), passes.end() - static_cast<ptrdiff_t>(most));
    }
  }
  if (passes.size() > most) {
    passes.erase(passes.begin(), passes.end() - static_cast<ptrdiff_t>(most));
  }
  return passes;
}

}  // namespace crossfade::tools
