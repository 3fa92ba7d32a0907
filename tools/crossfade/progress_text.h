// How numbers and bars of a progress look.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace crossfade::tools {

// "99999", "250k", "12.3M".
std::string ShortCount(uint64_t n);
// "[######......]  50%".
std::string ProgressBar(uint64_t done, uint64_t estimated, size_t width);
// Columns of the terminal that `fd` is.
size_t TerminalWidth(int fd);

}  // namespace crossfade::tools
