#include "capture/mysql/packed_value.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "capture/mysql/event.h"
#include "core/value.h"

namespace crossfade::capture {

namespace {

constexpr unsigned kDigitsPerWord = 9;
constexpr std::array<uint8_t, 10> kBytesOfDigits = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};
constexpr std::array<uint32_t, 10> kPowersOfTen = {1,      10,      100,      1000,      10000,
                                                   100000, 1000000, 10000000, 100000000, 1000000000};
constexpr unsigned kMaxPrecision = 81;
constexpr unsigned kMaxScale = 38;

constexpr int64_t kMicrosPerSecond = 1'000'000;

int64_t Micros(int64_t hours, int64_t minutes, int64_t seconds) {
  return ((hours * 60 + minutes) * 60 + seconds) * kMicrosPerSecond;
}

// A fraction of `digits` takes one byte for each two digits.
int64_t ReadFraction(ByteReader* in, unsigned digits) {
  const unsigned bytes = (digits + 1) / 2;
  constexpr std::array<int64_t, 4> kScale = {0, 10000, 100, 1};
  return bytes == 0 ? 0 : static_cast<int64_t>(ReadBigEndian(in, bytes)) * kScale[std::min(bytes, 3U)];
}

// Puts out `digits` decimal digits of v; false if it has more.
bool PutDigits(uint32_t v, unsigned digits, char** out) {
  if (v >= kPowersOfTen[digits]) {
    return false;
  }
  for (unsigned i = digits; i > 0; --i) {
    *(*out + i - 1) = static_cast<char>('0' + v % 10);
    v /= 10;
  }
  *out += digits;
  return true;
}

}  // namespace

uint64_t ReadBigEndian(ByteReader* in, size_t bytes) {
  uint64_t v = 0;
  for (const char c : in->Bytes(bytes)) {
    v = v << 8 | static_cast<uint8_t>(c);
  }
  return v;
}

size_t PackedDecimalBytes(unsigned precision, unsigned scale) {
  if (precision == 0 || precision > kMaxPrecision || scale > kMaxScale || scale > precision) {
    return 0;
  }
  const unsigned whole = precision - scale;
  return whole / kDigitsPerWord * 4 + kBytesOfDigits[whole % kDigitsPerWord] + scale / kDigitsPerWord * 4 +
         kBytesOfDigits[scale % kDigitsPerWord];
}

size_t ReadDecimal(ByteReader* in, unsigned precision, unsigned scale, char* text) {
  const size_t size = PackedDecimalBytes(precision, scale);
  const std::string_view packed = in->Bytes(size);
  if (packed.size() != size || size == 0) {
    Break(in);
    return 0;
  }
  // Groups of nine digits, the short ones outside; a negative number has all bits inverted, the first bit is inverted
  // once more so that the bytes sort.
  const uint8_t invert = (static_cast<uint8_t>(packed[0]) & 0x80) != 0 ? 0 : 0xFF;
  size_t at = 0;
  const auto next_word = [&](unsigned digits) {
    uint32_t v = 0;
    for (unsigned i = 0; i < kBytesOfDigits[digits]; ++i, ++at) {
      const auto byte = static_cast<uint8_t>(packed[at] ^ (at == 0 ? 0x80 : 0));
      v = v << 8 | static_cast<uint8_t>(byte ^ invert);
    }
    return v;
  };
  std::array<char, kMaxDecimalText> digits;
  char* end = digits.data();
  const unsigned whole = precision - scale;
  bool good = whole % kDigitsPerWord == 0 || PutDigits(next_word(whole % kDigitsPerWord), whole % kDigitsPerWord, &end);
  for (unsigned i = 0; i < whole / kDigitsPerWord; ++i) {
    good = good && PutDigits(next_word(kDigitsPerWord), kDigitsPerWord, &end);
  }
  char* const point = end;
  for (unsigned i = 0; i < scale / kDigitsPerWord; ++i) {
    good = good && PutDigits(next_word(kDigitsPerWord), kDigitsPerWord, &end);
  }
  good = good &&
         (scale % kDigitsPerWord == 0 || PutDigits(next_word(scale % kDigitsPerWord), scale % kDigitsPerWord, &end));
  if (!good) {
    Break(in);
    return 0;
  }
  char* out = text;
  const bool zero = std::all_of(digits.data(), end, [](char c) { return c == '0'; });
  if (invert != 0 && !zero) {
    *out++ = '-';
  }
  char* const first = std::find_if(digits.data(), point, [](char c) { return c != '0'; });
  if (first == point) {
    *out++ = '0';
  }
  out = std::copy(first, point, out);
  if (scale > 0) {
    *out++ = '.';
    out = std::copy(point, end, out);
  }
  return static_cast<size_t>(out - text);
}

int64_t ReadDate(ByteReader* in) {
  const auto v = static_cast<int>(ReadLittleEndian(in, 3));
  return PackDate(v >> 9, (v >> 5) & 15, v & 31);
}

int64_t ReadTime2(ByteReader* in, unsigned fraction) {
  // One signed number, of seconds packed as fields and the fraction, moved up by half its range.
  const unsigned fraction_bytes = (fraction + 1) / 2;
  const unsigned fraction_bits = 8 * fraction_bytes;
  const auto raw = static_cast<int64_t>(ReadBigEndian(in, 3 + fraction_bytes));
  const int64_t packed = raw - (int64_t{0x800000} << fraction_bits);
  const int64_t magnitude = packed < 0 ? -packed : packed;
  const int64_t fields = magnitude >> fraction_bits;
  constexpr std::array<int64_t, 4> kScale = {0, 10000, 100, 1};
  const int64_t part = (magnitude & ((int64_t{1} << fraction_bits) - 1)) * kScale[fraction_bytes & 3];
  const int64_t micros = Micros(fields >> 12 & 0x3FF, fields >> 6 & 0x3F, fields & 0x3F) + part;
  return packed < 0 ? -micros : micros;
}

int64_t ReadDateTime2(ByteReader* in, unsigned fraction) {
  const auto raw = static_cast<int64_t>(ReadBigEndian(in, 5));
  const int64_t fields = raw - int64_t{0x8000000000};
  const int64_t part = ReadFraction(in, fraction);
  if (fields < 0) {
    Break(in);
    return 0;
  }
  const int64_t months = fields >> 22;
  const int64_t date =
      PackDate(static_cast<int>(months / 13), static_cast<int>(months % 13), static_cast<int>(fields >> 17 & 0x1F));
  return PackDateTime(date, Micros(fields >> 12 & 0x1F, fields >> 6 & 0x3F, fields & 0x3F) + part);
}

int64_t ReadTimestamp2(ByteReader* in, unsigned fraction) {
  const auto seconds = static_cast<int64_t>(ReadBigEndian(in, 4));
  const int64_t part = ReadFraction(in, fraction);
  return seconds == 0 && part == 0 ? kZeroTimestamp : seconds * kMicrosPerSecond + part;
}

int64_t ReadOldTime(ByteReader* in) {
  auto v = static_cast<int64_t>(ReadLittleEndian(in, 3));
  v = (v & 0x800000) != 0 ? v - 0x1000000 : v;
  const int64_t magnitude = v < 0 ? -v : v;
  const int64_t micros = Micros(magnitude / 10000, magnitude / 100 % 100, magnitude % 100);
  return v < 0 ? -micros : micros;
}

int64_t ReadOldDateTime(ByteReader* in) {
  const uint64_t v = in->FixedU64();
  const uint64_t date = v / 1000000;
  const auto time = static_cast<int64_t>(v % 1000000);
  const uint64_t year = date / 10000;
  const uint64_t month = date / 100 % 100;
  if (year > 9999 || month > 12 || date % 100 > 31) {
    Break(in);
    return 0;
  }
  return PackDateTime(PackDate(static_cast<int>(year), static_cast<int>(month), static_cast<int>(date % 100)),
                      Micros(time / 10000, time / 100 % 100, time % 100));
}

int64_t ReadOldTimestamp(ByteReader* in) {
  const auto seconds = static_cast<int64_t>(in->FixedU32());
  return seconds == 0 ? kZeroTimestamp : seconds * kMicrosPerSecond;
}

}  // namespace crossfade::capture
