#include "tools/crossfade/report/report_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace crossfade::tools {

namespace {

constexpr std::string_view kNarrowSpace = "\u202f";
constexpr std::string_view kReplacement = "\ufffd";

// Length of the UTF-8 character that `text` begins with; 0 if it begins with none.
size_t CharacterLength(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const size_t length = byte(0) < 0x80             ? 1
                        : (byte(0) & 0xE0) == 0xC0 ? 2
                        : (byte(0) & 0xF0) == 0xE0 ? 3
                        : (byte(0) & 0xF8) == 0xF0 ? 4
                                                   : 0;
  if (length == 0 || length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  const bool overlong = (length == 2 && byte(0) < 0xC2) || (length == 3 && byte(0) == 0xE0 && byte(1) < 0xA0) ||
                        (length == 4 && byte(0) == 0xF0 && byte(1) < 0x90);
  const bool surrogate = length == 3 && byte(0) == 0xED && byte(1) > 0x9F;
  const bool beyond = length == 4 && (byte(0) > 0xF4 || (byte(0) == 0xF4 && byte(1) > 0x8F));
  return overlong || surrogate || beyond ? 0 : length;
}

void AppendEscaped(char c, std::string* out) {
  switch (c) {
    case '&':
      *out += "&amp;";
      break;
    case '<':
      *out += "&lt;";
      break;
    case '>':
      *out += "&gt;";
      break;
    case '"':
      *out += "&quot;";
      break;
    case '\'':
      *out += "&#39;";
      break;
    default:
      *out += c;
  }
}

bool IsControl(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
}

}  // namespace

std::string Escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    if (length == 0 || IsControl(text[0])) {
      out += kReplacement;
    } else if (length == 1) {
      AppendEscaped(text[0], &out);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(1, length));
  }
  return out;
}

std::string NumberText(uint64_t number) {
  std::string digits = std::to_string(number);
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) {
      out += kNarrowSpace;
    }
    out += digits[i];
  }
  return out;
}

std::string Counted(uint64_t number, std::string_view what) {
  return fmt::format("{} {}{}", NumberText(number), what, number == 1 ? "" : "s");
}

std::string TimeText(int64_t at_us) {
  if (at_us <= 0) {
    return "-";
  }
  const std::time_t seconds = at_us / 1'000'000;
  std::tm parts = {};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string DurationText(int64_t us) {
  constexpr int64_t kSecond = 1'000'000;
  if (us < kSecond) {
    return fmt::format("{} ms", us / 1000);
  }
  if (us < 60 * kSecond) {
    return fmt::format("{:.1f} s", static_cast<double>(us / 100'000) / 10);
  }
  const int64_t seconds = us / kSecond;
  if (seconds < 3600) {
    return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  }
  if (seconds < 86'400) {
    return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
  }
  return fmt::format("{} d {} h", seconds / 86'400, seconds / 3600 % 24);
}

std::string LagText(int64_t lag_ms) { return lag_ms < 0 ? "not known" : DurationText(lag_ms * 1000); }

std::string BytesText(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string Listed(const std::vector<std::string>& names, size_t most) {
  std::string out;
  for (size_t i = 0; i < std::min(most, names.size()); ++i) {
    out += (i > 0 ? ", " : "") + names[i];
  }
  return names.size() > most ? fmt::format("{}, and {} more", out, names.size() - most) : out;
}

std::string Shortened(std::string_view text, size_t most) {
  if (text.size() <= most) {
    return std::string(text);
  }
  size_t end = most;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return fmt::format("{}… ({} bytes)", text.substr(0, end), text.size());
}

}  // namespace crossfade::tools
