// Little building blocks of every durable format: fixed and variable integers, strings, in one buffer.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace crossfade {

// Appends to a string it does not own.
class ByteWriter {
 public:
  explicit ByteWriter(std::string* out) : out_(out) {}

  void U8(uint8_t v) { out_->push_back(static_cast<char>(v)); }
  void FixedU32(uint32_t v) { Raw(&v, sizeof v); }
  void FixedU64(uint64_t v) { Raw(&v, sizeof v); }
  void BigEndianU32(uint32_t v);
  void BigEndianU64(uint64_t v);
  void Varint(uint64_t v) {
    while (v >= 0x80) {
      U8(static_cast<uint8_t>(v | 0x80));
      v >>= 7;
    }
    U8(static_cast<uint8_t>(v));
  }
  // Small negative numbers stay small.
  void SignedVarint(int64_t v) { Varint((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63)); }
  void String(std::string_view s) {
    Varint(s.size());
    out_->append(s);
  }
  void Bytes(std::string_view s) { out_->append(s); }

 private:
  void Raw(const void* p, size_t n) { out_->append(static_cast<const char*>(p), n); }

  std::string* out_;
};

// Reads from bytes it does not own. Reading past the end makes it fail for good: every later read gives zero or
// empty, and ok() is false; so a decoder checks once at the end, and never reads outside.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  size_t remaining() const { return rest_.size(); }
  std::string_view rest() const { return rest_; }

  uint8_t U8() { return Fixed<uint8_t>(); }
  uint16_t FixedU16() { return Fixed<uint16_t>(); }
  uint32_t FixedU32() { return Fixed<uint32_t>(); }
  uint64_t FixedU64() { return Fixed<uint64_t>(); }
  uint32_t BigEndianU32();
  uint64_t BigEndianU64();
  uint64_t Varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = U8();
      v |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) {
        return v;
      }
    }
    return Broken();
  }
  int64_t SignedVarint() {
    const uint64_t v = Varint();
    return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
  }
  std::string_view String() { return Bytes(Varint()); }
  std::string_view Bytes(uint64_t n) {
    if (n > rest_.size()) {
      Broken();
      return {};
    }
    const std::string_view out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
  }
  void Skip(uint64_t n) { Bytes(n); }

 private:
  template <typename T>
  T Fixed() {
    const std::string_view raw = Bytes(sizeof(T));
    T v = 0;
    if (raw.size() == sizeof(T)) {
      std::memcpy(&v, raw.data(), sizeof v);
    }
    return v;
  }
  uint64_t Broken() {
    ok_ = false;
    rest_ = {};
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace crossfade
