#include "tools/crossfade/verify_output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iostream>
#include <nlohmann/json.hpp>

namespace crossfade::tools {

namespace {

constexpr const char* kSomebodyElse = "somebody else";

const char* NameOf(verify::DifferenceKind kind) {
  switch (kind) {
    case verify::DifferenceKind::kMissing:
      return "missing";
    case verify::DifferenceKind::kExtra:
      return "extra";
    case verify::DifferenceKind::kDifferent:
      return "different";
  }
  return "";
}

const char* VerdictOf(const verify::TableOutcome& table) {
  return table.differences() > 0 ? "different" : table.undecided > 0 ? "undecided" : "equal";
}

const char* VerdictOf(const verify::Outcome& outcome) {
  return outcome.differences() > 0 ? "different" : outcome.undecided() > 0 ? "undecided" : "equal";
}

void PrintTable(const verify::TableOutcome& table, const std::string& from) {
  const bool equal = table.differences() == 0 && table.undecided == 0;
  std::cout << fmt::format("{:<32} {:>12} {:>12} {:>10}  {}{}\n", table.table, table.source_rows, table.target_rows,
                           table.rechecked, VerdictOf(table), equal ? " at " + from : "");
}

// The columns that differ, line by line; the whole row where only one side has it.
void PrintCells(const verify::ShownDifference& difference) {
  if (difference.kind == verify::DifferenceKind::kDifferent) {
    for (const auto& cell : difference.cells) {
      std::cout << fmt::format("    {}: source {}, target {}\n", cell.column, cell.source, cell.target);
    }
    return;
  }
  std::cout << "    row: ";
  for (const auto& cell : difference.cells) {
    const bool missing = difference.kind == verify::DifferenceKind::kMissing;
    std::cout << (&cell == &difference.cells.front() ? "" : ", ") << cell.column << "="
              << (missing ? cell.source : cell.target);
  }
  std::cout << "\n";
}

void PrintDifferences(const verify::TableOutcome& table) {
  for (const verify::ShownDifference& difference : table.shown) {
    std::cout << fmt::format("{} {}: {}\n", table.table, difference.key,
                             difference.kind == verify::DifferenceKind::kMissing ? "missing on the target"
                             : difference.kind == verify::DifferenceKind::kExtra ? "only on the target"
                                                                                 : "different");
    if (const std::string writer = verify::ShownWriter(difference.writer); !writer.empty()) {
      std::cout << fmt::format("    {}\n", writer);
    }
    PrintCells(difference);
  }
  if (table.shown.size() < table.differences()) {
    std::cout << fmt::format("{}: {} more\n", table.table, table.differences() - table.shown.size());
  }
  for (const std::string& key : table.shown_undecided) {
    std::cout << fmt::format("{} {}: undecided\n", table.table, key);
  }
  if (table.undecided > 0) {
    std::cout << fmt::format("{}: {} rows undecided: {}\n", table.table, table.undecided, table.why_undecided);
  }
}

// Of a table that was found equal: where. Each of its rows was compared there or behind it.
void AddPosition(const verify::Outcome& outcome, nlohmann::json* table) {
  if ((*table)["result"] == "equal") {
    (*table)["equal_at"] = outcome.from.ToString();
  }
}

std::string DumpOf(const nlohmann::json& json) {
  // A value that was cut may end within a character.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

// "unknown", or who it cannot have been.
nlohmann::json JsonOf(const verify::Writer& writer) {
  nlohmann::json json = {{"who", writer.foreign ? kSomebodyElse : "unknown"}};
  if (writer.transaction != 0) {
    json["transaction"] = writer.transaction;
  }
  if (!writer.at.empty()) {
    json["at"] = writer.at;
  }
  return json;
}

nlohmann::json JsonOf(const verify::TableOutcome& table) {
  nlohmann::json differences = nlohmann::json::array();
  for (const verify::ShownDifference& difference : table.shown) {
    nlohmann::json columns = nlohmann::json::array();
    for (const auto& cell : difference.cells) {
      columns.push_back({{"column", cell.column}, {"source", cell.source}, {"target", cell.target}});
    }
    differences.push_back({{"kind", NameOf(difference.kind)},
                           {"key", difference.key},
                           {"columns", columns},
                           {"writer", JsonOf(difference.writer)}});
  }
  return {{"table", table.table},
          {"result", VerdictOf(table)},
          {"chunks", table.chunks},
          {"source_rows", table.source_rows},
          {"target_rows", table.target_rows},
          {"rechecked", table.rechecked},
          {"missing", table.missing},
          {"extra", table.extra},
          {"different", table.different},
          {"undecided", table.undecided},
          {"why_undecided", table.why_undecided},
          {"excluded_columns", table.excluded},
          {"undecided_keys", table.shown_undecided},
          {"differences", differences}};
}

std::optional<verify::TableOutcome> TableFromJson(const nlohmann::json& json) {
  verify::TableOutcome table;
  try {
    table.table = json.at("table");
    table.chunks = json.at("chunks");
    table.source_rows = json.at("source_rows");
    table.target_rows = json.at("target_rows");
    table.rechecked = json.at("rechecked");
    table.missing = json.at("missing");
    table.extra = json.at("extra");
    table.different = json.at("different");
    table.undecided = json.at("undecided");
    table.why_undecided = json.at("why_undecided");
    table.excluded = json.value("excluded_columns", std::vector<std::string>());
    table.shown_undecided = json.at("undecided_keys");
    for (const nlohmann::json& difference : json.at("differences")) {
      verify::ShownDifference& shown = table.shown.emplace_back();
      shown.key = difference.at("key");
      shown.kind = difference.at("kind") == NameOf(verify::DifferenceKind::kMissing) ? verify::DifferenceKind::kMissing
                   : difference.at("kind") == NameOf(verify::DifferenceKind::kExtra)
                       ? verify::DifferenceKind::kExtra
                       : verify::DifferenceKind::kDifferent;
      for (const nlohmann::json& cell : difference.at("columns")) {
        shown.cells.push_back({cell.at("column"), cell.at("source"), cell.at("target")});
      }
      const nlohmann::json& writer = difference.at("writer");
      shown.writer.foreign = writer.at("who") == kSomebodyElse;
      shown.writer.transaction = writer.value("transaction", uint32_t{0});
      shown.writer.at = writer.value("at", "");
    }
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
  return table;
}

nlohmann::json SummaryOf(const verify::Outcome& outcome) {
  return {{"result", VerdictOf(outcome)},     {"from", outcome.from.ToString()}, {"upto", outcome.upto.ToString()},
          {"began_us", outcome.began_us},     {"ended_us", outcome.ended_us},    {"differences", outcome.differences()},
          {"undecided", outcome.undecided()}, {"resumed", outcome.resumed}};
}

nlohmann::json JsonOf(const verify::Outcome& outcome) {
  nlohmann::json json = SummaryOf(outcome);
  json["tables"] = nlohmann::json::array();
  for (const verify::TableOutcome& table : outcome.tables) {
    json["tables"].push_back(JsonOf(table));
    AddPosition(outcome, &json["tables"].back());
  }
  return json;
}

std::string JsonText(const verify::Outcome& outcome) {
  std::string text = DumpOf(SummaryOf(outcome));
  text.resize(text.rfind('\n'));  // without the last brace
  text += ",\n\"tables\": [";
  for (const verify::TableOutcome& table : outcome.tables) {
    nlohmann::json json = JsonOf(table);
    AddPosition(outcome, &json);
    text += &table == &outcome.tables.front() ? "\n" : ",\n";
    text += DumpOf(json);
  }
  return text + "\n]}\n";
}

void PrintJson(const verify::Outcome& outcome) { std::cout << JsonText(outcome); }

void PrintText(const verify::Outcome& outcome) {
  std::cout << fmt::format("{:<32} {:>12} {:>12} {:>10}  {}\n", "table", "source rows", "target rows", "rechecked",
                           "result");
  uint64_t rows = 0;
  for (const verify::TableOutcome& table : outcome.tables) {
    PrintTable(table, outcome.from.ToString());
    rows += table.source_rows;
  }
  for (const verify::TableOutcome& table : outcome.tables) {
    PrintDifferences(table);
    if (!table.excluded.empty()) {
      std::cout << fmt::format("{}: not compared, since excluded: {}\n", table.table, fmt::join(table.excluded, ", "));
    }
  }
  std::cout << fmt::format("verify: {} tables={} rows={} differences={} undecided={} seconds={:.1f}\n",
                           VerdictOf(outcome), outcome.tables.size(), rows, outcome.differences(), outcome.undecided(),
                           static_cast<double>(outcome.ended_us - outcome.began_us) / 1e6);
  std::cout << fmt::format("each row was compared at or behind {}; at the end {} was applied\n",
                           outcome.from.ToString(), outcome.upto.ToString());
}

}  // namespace crossfade::tools
