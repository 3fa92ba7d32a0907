// Takes values out of a packet of MySQL's binary protocol.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/value.h"

namespace crossfade::snapshot {

inline constexpr int64_t kMicrosPerSecond = 1'000'000;
inline constexpr int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;

// A length as the protocol writes it: one byte, or a mark and 2, 3 or 8 bytes.
inline std::optional<uint64_t> TakeLength(std::string_view* bytes) {
  if (bytes->empty()) {
    return std::nullopt;
  }
  const auto first = static_cast<uint8_t>(bytes->front());
  if (first < 0xFB) {
    bytes->remove_prefix(1);
    return first;
  }
  const size_t width = first == 0xFC ? 2 : first == 0xFD ? 3 : first == 0xFE ? 8 : 0;
  if (width == 0 || bytes->size() < 1 + width) {
    return std::nullopt;
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes->data() + 1, width);
  bytes->remove_prefix(1 + width);
  return length;
}

inline bool SkipString(std::string_view* bytes) {
  const std::optional<uint64_t> length = TakeLength(bytes);
  if (!length || *length > bytes->size()) {
    return false;
  }
  bytes->remove_prefix(*length);
  return true;
}

// Walks the values of one row. A read past the end gives false or nothing, and nothing is read outside.
class PacketCursor {
 public:
  explicit PacketCursor(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool at_end() const { return at_ == end_; }

  template <typename T>
  bool Fixed(T* out) {
    if (static_cast<size_t>(end_ - at_) < sizeof(T)) {
      return false;
    }
    std::memcpy(out, at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }

  bool String(std::string_view* out) {
    if (at_ == end_) {
      return false;
    }
    uint64_t length = static_cast<uint8_t>(*at_);
    if (length < 0xFB) {
      ++at_;
    } else {
      std::string_view rest(at_, end_ - at_);
      const std::optional<uint64_t> taken = TakeLength(&rest);
      if (!taken) {
        return false;
      }
      length = *taken;
      at_ = rest.data();
    }
    if (length > static_cast<uint64_t>(end_ - at_)) {
      return false;
    }
    *out = std::string_view(at_, length);
    at_ += length;
    return true;
  }

  // A length byte, then a date (4 bytes), time of day (7) and microseconds (11); missing parts are zero.
  bool DateTime(CivilDate* date, int64_t* micros) {
    uint8_t length = 0;
    *date = {0, 0, 0};
    *micros = 0;
    if (!Fixed(&length) || (length != 0 && length != 4 && length != 7 && length != 11)) {
      return false;
    }
    if (length >= 4) {
      uint16_t year = 0;
      uint8_t month = 0;
      uint8_t day = 0;
      if (!Fixed(&year) || !Fixed(&month) || !Fixed(&day) || year > 9999 || month > 12 || day > 31) {
        return false;
      }
      *date = {year, month, day};
    }
    return length < 7 || TimeOfDay(length == 11, micros);
  }

  // A length byte, then sign and days before the time of day.
  bool Time(int64_t* micros) {
    uint8_t length = 0;
    *micros = 0;
    if (!Fixed(&length) || (length != 0 && length != 8 && length != 12)) {
      return false;
    }
    if (length == 0) {
      return true;
    }
    uint8_t negative = 0;
    uint32_t days = 0;
    // The server's own limit is 838 hours.
    if (!Fixed(&negative) || !Fixed(&days) || days > 365 || !TimeOfDay(length == 12, micros)) {
      return false;
    }
    *micros += days * kMicrosPerDay;
    if (negative != 0) {
      *micros = -*micros;
    }
    return true;
  }

 private:
  bool TimeOfDay(bool with_fraction, int64_t* micros) {
    uint8_t hour = 0;
    uint8_t minute = 0;
    uint8_t second = 0;
    uint32_t fraction = 0;
    if (!Fixed(&hour) || !Fixed(&minute) || !Fixed(&second) || (with_fraction && !Fixed(&fraction)) || hour > 23 ||
        minute > 59 || second > 59 || fraction >= kMicrosPerSecond) {
      return false;
    }
    *micros = ((hour * 60 + minute) * 60 + second) * kMicrosPerSecond + fraction;
    return true;
  }

  const char* at_;
  const char* end_;
};

}  // namespace crossfade::snapshot
