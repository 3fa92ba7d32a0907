// Numbers, times and names as a report writes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace crossfade::tools {

// For text and attribute values of HTML and SVG; what is not UTF-8, and control characters, are replaced.
std::string Escaped(std::string_view text);

std::string NumberText(uint64_t number);                      // "1 234 567", with narrow no-break spaces
std::string Counted(uint64_t number, std::string_view what);  // "1 row", "12 rows"
std::string TimeText(int64_t at_us);                          // "2026-11-23 02:35:25 UTC"; "-" for 0
std::string DurationText(int64_t duration_us);  // "850 ms", "12.3 s", "4 min 05 s", "3 h 12 min", "2 d 4 h"
std::string LagText(int64_t lag_ms);            // the same; "not known" below 0
std::string BytesText(uint64_t bytes);          // "12.3 MiB"
// The first ones, and how many more there are.
std::string Listed(const std::vector<std::string>& names, size_t most);
// Not more than so many bytes, cut between characters.
std::string Shortened(std::string_view text, size_t most);

}  // namespace crossfade::tools
