// SHA-256, as hexadecimal digits; empty if the library fails.
#pragma once

#include <string>
#include <string_view>

namespace crossfade::tools {

std::string Sha256Hex(std::string_view text);

}  // namespace crossfade::tools
