// The list of all settings: one entry makes a key known to the reader, the example and the documentation.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "tools/crossfade/config.h"

namespace crossfade::tools {

struct Setting {
  std::string section;  // empty: top level
  std::string key;
  std::variant<std::string*, uint64_t*, bool*, std::vector<std::string>*> field;
  std::string meaning;               // with the unit, where there is one
  std::vector<std::string> choices;  // strings only; empty: any
  bool required = false;
  uint64_t min = 0;
  uint64_t max = UINT64_MAX;
  std::string example;  // shown instead of an empty default

  std::string FullKey() const { return section.empty() ? key : section + "." + key; }
};

// In the order in which a person reads them. The fields point into `config`.
std::vector<Setting> AllSettings(Config* config);

// What a section is for, in one sentence.
std::string SectionMeaning(const std::string& section);

}  // namespace crossfade::tools
