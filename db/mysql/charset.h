// Text of any MySQL character set to UTF-8, exactly as the server would convert it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/error.h"
#include "db/mysql/connection.h"

namespace crossfade::mysql {

// Converts text of one character set. Immutable; any thread.
class CharsetConverter {
 public:
  virtual ~CharsetConverter() = default;
  // True when stored bytes are UTF-8 already (utf8mb4, utf8mb3, ascii): Convert need not be called.
  virtual bool passes_through() const = 0;
  // Appends the UTF-8 form. False if `bytes` is not valid in this character set; then `out` is unchanged.
  virtual bool Convert(std::string_view bytes, std::string* out) const = 0;
};

// Whether `bytes` is well-formed UTF-8 (no surrogates, no overlong forms). Fast on ASCII.
bool IsUtf8(std::string_view bytes);

// All converters that `connection`'s server has need of. Single-byte sets are asked of the server itself, byte by byte;
// ucs2, utf16, utf16le, utf32 are decoded here; the multi-byte Asian sets too are asked of the server.
// Converters are made at first use and shared; the object must outlive them. Not thread-safe.
class Charsets {
 public:
  explicit Charsets(Connection* connection) : connection_(connection) {}
  // Config error CF1120 for an unknown character set.
  Result<std::shared_ptr<const CharsetConverter>> Get(const std::string& charset);

 private:
  Connection* connection_;
  std::vector<std::pair<std::string, std::shared_ptr<const CharsetConverter>>> made_;
};

}  // namespace crossfade::mysql
