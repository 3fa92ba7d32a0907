// Packets of MySQL's binary result protocol, made by hand.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"

namespace crossfade::snapshot {

// Column definition as the servers send it. `extended`: MariaDB's additional string.
inline std::string DefinitionPacket(uint8_t type, uint16_t flags, bool extended = false) {
  std::string out;
  for (const std::string_view text : {"def", "db", "t", "t", "column", "column"}) {
    out.push_back(static_cast<char>(text.size()));
    out += text;
  }
  if (extended) {
    out += std::string("\x06\x00\x04uuid", 7);
  }
  out += '\x0C';
  out += std::string("\x2D\x00\xFF\x00\x00\x00", 6);
  out += static_cast<char>(type);
  out.append(reinterpret_cast<const char*>(&flags), 2);
  out += std::string("\x00\x00\x00", 3);
  return out;
}

// A row without NULLs, but for the columns named.
class RowPacket {
 public:
  explicit RowPacket(size_t columns) : bytes_(1 + (columns + 9) / 8, '\0') {}
  RowPacket& Null(size_t column) {
    bytes_[1 + (column + 2) / 8] = static_cast<char>(bytes_[1 + (column + 2) / 8] | 1 << (column + 2) % 8);
    return *this;
  }
  template <typename T>
  RowPacket& Fixed(T v) {
    bytes_.append(reinterpret_cast<const char*>(&v), sizeof v);
    return *this;
  }
  RowPacket& String(std::string_view text) {
    if (text.size() < 0xFB) {
      bytes_.push_back(static_cast<char>(text.size()));
    } else {
      const auto length = static_cast<uint32_t>(text.size());
      bytes_ += text.size() < 0x10000 ? '\xFC' : '\xFD';
      bytes_.append(reinterpret_cast<const char*>(&length), text.size() < 0x10000 ? 2 : 3);
    }
    bytes_ += text;
    return *this;
  }
  RowPacket& Raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace crossfade::snapshot
