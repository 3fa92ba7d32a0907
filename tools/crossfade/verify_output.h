// What verify found, for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "verify/verifier.h"

namespace crossfade::tools {

// On standard output.
void PrintText(const verify::Outcome& outcome);
void PrintJson(const verify::Outcome& outcome);

nlohmann::json JsonOf(const verify::Outcome& outcome);
// The same without the tables.
nlohmann::json SummaryOf(const verify::Outcome& outcome);
// The same as text, made table by table: as a whole it would take several times the memory.
std::string JsonText(const verify::Outcome& outcome);
// There and back: a pass that goes on takes from it what was found before. Nothing for what is no such JSON.
nlohmann::json JsonOf(const verify::TableOutcome& table);
std::optional<verify::TableOutcome> TableFromJson(const nlohmann::json& json);
nlohmann::json JsonOf(const verify::Writer& writer);

}  // namespace crossfade::tools
