#include "tools/crossfade/progress_text.h"

#include <fmt/core.h>
#include <sys/ioctl.h>

#include <algorithm>

namespace crossfade::tools {

std::string ShortCount(uint64_t n) {
  if (n >= 10'000'000) {
    return fmt::format("{:.1f}M", static_cast<double>(n) / 1e6);
  }
  return n >= 100'000 ? fmt::format("{:.0f}k", static_cast<double>(n) / 1e3) : fmt::format("{}", n);
}

std::string ProgressBar(uint64_t done, uint64_t estimated, size_t width) {
  const double share = estimated == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(estimated));
  const auto filled = static_cast<size_t>(share * static_cast<double>(width));
  return fmt::format("[{}{}] {:3.0f}%", std::string(filled, '#'), std::string(width - filled, '.'), share * 100);
}

size_t TerminalWidth(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

}  // namespace crossfade::tools
