// One text for all JSON documents that are the same value.
#pragma once

#include <string>
#include <string_view>

namespace crossfade::apply {

// Members by length of their names and then by these, the last of those with one name; numbers by their decimal digits,
// none lost; strings unescaped. Appends to `out`. False if `json` is no JSON document; `out` is then as it was.
bool AppendJsonForm(std::string_view json, std::string* out);

// And back: a document of that value. False if `form` is none; `out` is then as it was.
bool AppendJsonOfForm(std::string_view form, std::string* out);

}  // namespace crossfade::apply
