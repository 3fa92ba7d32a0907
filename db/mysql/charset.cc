#include "db/mysql/charset.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>

namespace crossfade::mysql {
namespace {

constexpr std::string_view kComponent = "db.mysql.charset";

uint8_t Byte(std::string_view bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }

// Number of leading bytes below 0x80, eight at a time.
size_t AsciiPrefix(std::string_view bytes) {
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t block;
    std::memcpy(&block, bytes.data() + i, sizeof block);
    if ((block & 0x8080808080808080) != 0) {
      break;
    }
  }
  while (i < bytes.size() && Byte(bytes, i) < 0x80) {
    ++i;
  }
  return i;
}

// Length of the well-formed UTF-8 character at the front; 0 if there is none.
size_t Utf8Length(std::string_view bytes) {
  const uint8_t lead = Byte(bytes, 0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length == 0 || length > bytes.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((Byte(bytes, i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  if (length >= 3) {
    const uint8_t second = Byte(bytes, 1);
    const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
    const bool surrogate = lead == 0xED && second >= 0xA0;
    const bool beyond = lead == 0xF4 && second >= 0x90;
    if (overlong || surrogate || beyond) {
      return 0;
    }
  }
  return length;
}

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xC0 | code >> 6));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | code >> 12));
    out->push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | code >> 18));
    out->push_back(static_cast<char>(0x80 | (code >> 12 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

bool IsSurrogate(uint32_t code) { return code >= 0xD800 && code <= 0xDFFF; }

class Utf8Text final : public CharsetConverter {
 public:
  explicit Utf8Text(bool ascii_only) : ascii_only_(ascii_only) {}

  bool passes_through() const override { return true; }
  bool Convert(std::string_view bytes, std::string* out) const override {
    if (ascii_only_ ? AsciiPrefix(bytes) != bytes.size() : !IsUtf8(bytes)) {
      return false;
    }
    out->append(bytes);
    return true;
  }

 private:
  bool ascii_only_;
};

// ucs2, utf16, utf16le, utf32: units of fixed width.
class WideText final : public CharsetConverter {
 public:
  enum class Form { kUcs2, kUtf16, kUtf16LittleEndian, kUtf32 };
  explicit WideText(Form form) : form_(form) {}

  bool passes_through() const override { return false; }
  bool Convert(std::string_view bytes, std::string* out) const override {
    const size_t width = form_ == Form::kUtf32 ? 4 : 2;
    const size_t start = out->size();
    bool good = bytes.size() % width == 0;
    for (size_t i = 0; good && i < bytes.size(); i += width) {
      uint32_t code = form_ == Form::kUtf32 ? Unit(bytes, i) << 16 | Unit(bytes, i + 2) : Unit(bytes, i);
      if (IsSurrogate(code)) {
        const bool pairs = form_ == Form::kUtf16 || form_ == Form::kUtf16LittleEndian;
        const uint32_t low = pairs && code < 0xDC00 && i + 4 <= bytes.size() ? Unit(bytes, i + 2) : 0;
        good = low >= 0xDC00 && low <= 0xDFFF;
        code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF);
        i += 2;
      }
      good = good && code <= 0x10FFFF;
      if (good) {
        AppendUtf8(code, out);
      }
    }
    if (!good) {
      out->resize(start);
    }
    return good;
  }

 private:
  uint32_t Unit(std::string_view bytes, size_t i) const {
    return form_ == Form::kUtf16LittleEndian ? static_cast<uint32_t>(Byte(bytes, i) | Byte(bytes, i + 1) << 8)
                                             : static_cast<uint32_t>(Byte(bytes, i) << 8 | Byte(bytes, i + 1));
  }

  Form form_;
};

// The UTF-8 form of one character in one number, first byte lowest. kNoCharacter is no UTF-8.
using PackedUtf8 = uint32_t;
constexpr PackedUtf8 kNoCharacter = 0xFFFFFFFF;

// gb18030 numbers its four-byte codes through. The first lie in Unicode's first plane where the two-byte codes left
// gaps, and are asked of the server; from 90308130 on they are the planes above, in order.
constexpr uint32_t kGbFirstPlaneCodes = 39420;
constexpr uint32_t kGbUpperPlanes = 189000;

std::optional<uint32_t> GbFourByteNumber(std::string_view code) {
  const uint32_t b0 = Byte(code, 0);
  const uint32_t b1 = Byte(code, 1);
  const uint32_t b2 = Byte(code, 2);
  const uint32_t b3 = Byte(code, 3);
  if (b0 < 0x81 || b0 > 0xFE || b1 < 0x30 || b1 > 0x39 || b2 < 0x81 || b2 > 0xFE || b3 < 0x30 || b3 > 0x39) {
    return std::nullopt;
  }
  return (((b0 - 0x81) * 10 + (b1 - 0x30)) * 126 + (b2 - 0x81)) * 10 + (b3 - 0x30);
}

// Characters of one to four bytes, as the server maps them. A code of several bytes starts with one that is no
// character by itself; 8F starts the three-byte codes where there are any.
class MappedText final : public CharsetConverter {
 public:
  explicit MappedText(size_t longest)
      : two_(longest >= 2 ? 0x10000 : 0, kNoCharacter),
        three_(longest == 3 ? 0x10000 : 0, kNoCharacter),
        four_(longest == 4 ? kGbFirstPlaneCodes : 0, kNoCharacter) {
    one_.fill(kNoCharacter);
  }

  // False if a code has no place here.
  bool Map(std::string_view code, PackedUtf8 character) {
    if (PackedUtf8* const place = Place(code)) {
      *place = character;
      return true;
    }
    return false;
  }

  // To be called when all codes are mapped.
  void Finish() {
    ascii_ = true;
    for (uint32_t i = 0; i < 0x80; ++i) {
      ascii_ = ascii_ && one_[i] == i;
    }
  }

  bool passes_through() const override { return false; }
  bool Convert(std::string_view bytes, std::string* out) const override {
    const size_t start = out->size();
    out->reserve(start + bytes.size() * 2);
    while (!bytes.empty()) {
      if (ascii_ && Byte(bytes, 0) < 0x80) {
        const size_t length = AsciiPrefix(bytes);
        out->append(bytes.substr(0, length));
        bytes.remove_prefix(length);
        continue;
      }
      const size_t length = ConvertOne(bytes, out);
      if (length == 0) {
        out->resize(start);
        return false;
      }
      bytes.remove_prefix(length);
    }
    return true;
  }

 private:
  PackedUtf8* Place(std::string_view code) {
    if (code.size() == 1) {
      return &one_[Byte(code, 0)];
    }
    if (code.size() == 2 && !two_.empty()) {
      return &two_[Byte(code, 0) << 8 | Byte(code, 1)];
    }
    if (code.size() == 3 && !three_.empty() && Byte(code, 0) == 0x8F) {
      return &three_[Byte(code, 1) << 8 | Byte(code, 2)];
    }
    if (code.size() == 4 && !four_.empty()) {
      const auto number = GbFourByteNumber(code);
      return number && *number < four_.size() ? &four_[*number] : nullptr;
    }
    return nullptr;
  }

  // Appends the character at the front, and gives the length of its code; 0 if there is none.
  size_t ConvertOne(std::string_view bytes, std::string* out) const {
    if (Append(one_[Byte(bytes, 0)], out)) {
      return 1;
    }
    if (bytes.size() >= 2 && !two_.empty() && Append(two_[Byte(bytes, 0) << 8 | Byte(bytes, 1)], out)) {
      return 2;
    }
    if (bytes.size() >= 3 && !three_.empty() && Byte(bytes, 0) == 0x8F &&
        Append(three_[Byte(bytes, 1) << 8 | Byte(bytes, 2)], out)) {
      return 3;
    }
    if (bytes.size() >= 4 && !four_.empty()) {
      const auto number = GbFourByteNumber(bytes);
      if (number && *number < four_.size()) {
        return Append(four_[*number], out) ? 4 : 0;
      }
      if (number && *number >= kGbUpperPlanes && *number - kGbUpperPlanes <= 0xFFFFF) {
        AppendUtf8(0x10000 + *number - kGbUpperPlanes, out);
        return 4;
      }
    }
    return 0;
  }

  static bool Append(PackedUtf8 character, std::string* out) {
    if (character == kNoCharacter) {
      return false;
    }
    do {
      out->push_back(static_cast<char>(character & 0xFF));
      character >>= 8;
    } while (character != 0);
    return true;
  }

  std::array<PackedUtf8, 256> one_;
  std::vector<PackedUtf8> two_;
  std::vector<PackedUtf8> three_;
  std::vector<PackedUtf8> four_;
  bool ascii_ = false;
};

std::optional<std::string> Unhex(std::string_view digits) {
  std::string bytes;
  for (size_t i = 0; i + 2 <= digits.size(); i += 2) {
    uint8_t byte = 0;
    if (std::from_chars(digits.data() + i, digits.data() + i + 2, byte, 16).ptr != digits.data() + i + 2) {
      return std::nullopt;
    }
    bytes += static_cast<char>(byte);
  }
  return digits.size() % 2 == 0 ? std::optional(bytes) : std::nullopt;
}

std::optional<PackedUtf8> Pack(std::string_view utf8) {
  if (utf8.empty() || Utf8Length(utf8) != utf8.size()) {
    return std::nullopt;
  }
  PackedUtf8 packed = 0;
  for (size_t i = 0; i < utf8.size(); ++i) {
    packed |= static_cast<PackedUtf8>(Byte(utf8, i)) << (8 * i);
  }
  return packed;
}

// The numbers from 0 to 65535, or to 255, as column n of a derived table.
std::string Numbers(bool to_65535) {
  std::string digits = "(SELECT 0 AS n";
  for (int i = 1; i < 16; ++i) {
    digits += fmt::format(" UNION ALL SELECT {}", i);
  }
  digits += ")";
  return to_65535 ? fmt::format("(SELECT a.n + 16 * b.n + 256 * c.n + 4096 * d.n AS n FROM {0} a, {0} b, {0} c, {0} d)",
                                digits)
                  : fmt::format("(SELECT a.n + 16 * b.n AS n FROM {0} a, {0} b)", digits);
}

// Asks for the UTF-8 form of all codes of one length. The server puts '?' where there is no character, and so do we for
// '?' itself, so that only codes that are not changed by reading them, and are one character, are answered.
std::string Question(const std::string& charset, const std::string& hex_digits, const std::string& numbers,
                     const std::string& condition) {
  return fmt::format(
      "SELECT code, HEX(CONVERT(text USING utf8mb4)) FROM (SELECT HEX(bytes) AS code, CONVERT(bytes USING {0}) AS text "
      "FROM (SELECT UNHEX({1}) AS bytes FROM {2} AS numbers WHERE {3}) AS codes) AS texts WHERE HEX(text) = code AND "
      "CHAR_LENGTH(text) = 1",
      charset, hex_digits, numbers, condition);
}

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

Status AskInto(Connection& connection, const std::string& sql, bool has_replacement_character, MappedText* text) {
  bool understood = true;
  CROSSFADE_TRY(connection.Query(sql, [&](TextRow row) {
    if (!row[0] || !row[1]) {
      return true;
    }
    const auto code = Unhex(*row[0]);
    const auto utf8 = Unhex(*row[1]);
    if (!code || !utf8) {
      understood = false;
      return false;
    }
    const bool unmapped =
        (*utf8 == "?" && *code != "?") || (*utf8 == kReplacementCharacter && !has_replacement_character);
    const auto packed = Pack(*utf8);  // none for the empty text that MySQL gives for a part of a character
    if (!unmapped && packed) {
      understood = text->Map(*code, *packed);
    }
    return understood;
  }));
  if (!understood) {
    return MakeError(ErrorClass::kCorrupt, "CF1121", kComponent, "the server's character map cannot be read");
  }
  return {};
}

Result<std::shared_ptr<const CharsetConverter>> AskServer(Connection& connection, const std::string& charset,
                                                          size_t longest) {
  const bool gb18030 = charset == "gb18030";
  auto text = std::make_shared<MappedText>(longest);
  const auto ask = [&](const std::string& digits, bool many, const std::string& condition) {
    return AskInto(connection, Question(charset, digits, Numbers(many), condition), gb18030, text.get());
  };
  CROSSFADE_TRY(ask("LPAD(HEX(n), 2, '0')", false, "TRUE"));
  if (longest >= 2) {
    CROSSFADE_TRY(ask("HEX(n)", true, "n >= 32768"));
  }
  if (longest == 3) {
    CROSSFADE_TRY(ask("CONCAT('8F', HEX(n))", true, "n >= 32768"));
  }
  if (longest == 4) {
    CROSSFADE_TRY(
        ask("CONCAT(HEX(129 + n DIV 12600), HEX(48 + n DIV 1260 % 10), HEX(129 + n DIV 10 % 126), HEX(48 + n % 10))",
            true, fmt::format("n < {}", kGbFirstPlaneCodes)));
  }
  text->Finish();
  return std::shared_ptr<const CharsetConverter>(std::move(text));
}

std::shared_ptr<const CharsetConverter> MadeHere(const std::string& charset) {
  if (charset == "utf8mb4" || charset == "utf8mb3" || charset == "utf8" || charset == "ascii") {
    return std::make_shared<Utf8Text>(charset == "ascii");
  }
  using Form = WideText::Form;
  for (const auto& [name, form] : {std::pair("ucs2", Form::kUcs2), std::pair("utf16", Form::kUtf16),
                                   std::pair("utf16le", Form::kUtf16LittleEndian), std::pair("utf32", Form::kUtf32)}) {
    if (charset == name) {
      return std::make_shared<WideText>(form);
    }
  }
  return nullptr;
}

// How many bytes a character can have, if we know how the codes of this set are made; else 0.
size_t LongestCode(const std::string& charset, std::string_view maxlen) {
  size_t server_says = 0;
  std::from_chars(maxlen.data(), maxlen.data() + maxlen.size(), server_says);
  if (server_says <= 2) {
    return server_says;
  }
  if (server_says == 3) {
    return charset == "ujis" || charset == "eucjpms" ? 3 : 0;
  }
  return charset == "gb18030" ? 4 : 0;
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  for (;;) {
    bytes.remove_prefix(AsciiPrefix(bytes));
    if (bytes.empty()) {
      return true;
    }
    const size_t length = Utf8Length(bytes);
    if (length == 0) {
      return false;
    }
    bytes.remove_prefix(length);
  }
}

Result<std::shared_ptr<const CharsetConverter>> Charsets::Get(const std::string& charset) {
  const auto found =
      std::find_if(made_.begin(), made_.end(), [&](const auto& entry) { return entry.first == charset; });
  if (found != made_.end()) {
    return found->second;
  }
  std::shared_ptr<const CharsetConverter> converter = MadeHere(charset);
  if (converter == nullptr) {
    CROSSFADE_ASSIGN(const auto answer,
                     connection_->Rows("SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS WHERE "
                                       "CHARACTER_SET_NAME = " +
                                       connection_->Literal(charset)));
    const std::string name = answer.empty() ? "" : answer[0][0].value_or("");
    const size_t longest = answer.empty() ? 0 : LongestCode(name, answer[0][1].value_or(""));
    if (longest == 0 || name == "binary") {
      return MakeError(ErrorClass::kConfig, "CF1120", kComponent, "character set '{}' is not known", charset);
    }
    CROSSFADE_ASSIGN(converter, AskServer(*connection_, name, longest));
  }
  made_.emplace_back(charset, converter);
  return converter;
}

}  // namespace crossfade::mysql
