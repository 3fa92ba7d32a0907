#include "capture/mysql/json.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <optional>

#include "capture/mysql/event.h"
#include "capture/mysql/packed_value.h"
#include "capture/mysql/table_map.h"
#include "core/bytes.h"

namespace crossfade::capture {

namespace {

enum JsonType : uint8_t {
  kSmallObject = 0,
  kLargeObject = 1,
  kSmallArray = 2,
  kLargeArray = 3,
  kLiteral = 4,
  kInt16 = 5,
  kUint16 = 6,
  kInt32 = 7,
  kUint32 = 8,
  kInt64 = 9,
  kUint64 = 10,
  kDouble = 11,
  kString = 12,
  kOpaque = 15,
};

// No value's text is so much longer than its bytes; a document that claims more refers to one part many times.
constexpr size_t kMaxGrowth = 32;

struct Place {
  uint8_t type = 0;
  std::string_view bytes;  // from the value's first byte to the end of what it may use
};

// Seven bits in each byte, the lowest first.
uint64_t ReadJsonLength(ByteReader* in) {
  uint64_t v = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    const uint8_t byte = in->U8();
    v |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) {
      return v;
    }
  }
  Break(in);
  return 0;
}

// An object or array: a count, a size, entries of the keys, entries of the values; offsets count from its start.
class Container {
 public:
  explicit Container(Place place)
      : type_(place.type), wide_(place.type == kLargeObject || place.type == kLargeArray), bytes_(place.bytes) {
    ByteReader in(bytes_);
    count_ = Number(&in);
    const uint64_t size = Number(&in);
    good_ = in.ok() && size <= bytes_.size() && size >= Header();
    bytes_ = good_ ? bytes_.substr(0, size) : std::string_view();
  }

  bool good() const { return good_; }
  bool is_object() const { return type_ == kSmallObject || type_ == kLargeObject; }
  uint64_t count() const { return count_; }

  std::optional<std::string_view> Key(uint64_t i) const {
    ByteReader in(bytes_);
    in.Skip(2 * NumberBytes() + i * KeyEntry());
    const uint64_t offset = Number(&in);
    const uint16_t length = in.FixedU16();
    ByteReader key(bytes_);
    key.Skip(offset);
    const std::string_view text = key.Bytes(length);
    return in.ok() && key.ok() ? std::optional(text) : std::nullopt;
  }

  std::optional<Place> Item(uint64_t i) const {
    ByteReader in(bytes_);
    in.Skip(2 * NumberBytes() + (is_object() ? count_ * KeyEntry() : 0) + i * (1 + NumberBytes()));
    Place place;
    place.type = in.U8();
    if (IsInline(place.type)) {
      place.bytes = in.Bytes(NumberBytes());
      return in.ok() ? std::optional(place) : std::nullopt;
    }
    const uint64_t offset = Number(&in);
    ByteReader value(bytes_);
    value.Skip(offset);
    place.bytes = value.rest();
    // Values lie behind all entries; so no container is inside itself.
    return in.ok() && value.ok() && offset >= Header() ? std::optional(place) : std::nullopt;
  }

 private:
  size_t NumberBytes() const { return wide_ ? 4 : 2; }
  size_t KeyEntry() const { return NumberBytes() + 2; }
  uint64_t Header() const { return 2 * NumberBytes() + count_ * ((is_object() ? KeyEntry() : 0) + 1 + NumberBytes()); }
  uint64_t Number(ByteReader* in) const { return wide_ ? in->FixedU32() : in->FixedU16(); }
  bool IsInline(uint8_t type) const {
    return type == kLiteral || type == kInt16 || type == kUint16 || (wide_ && (type == kInt32 || type == kUint32));
  }

  uint8_t type_;
  bool wide_;
  bool good_ = false;
  std::string_view bytes_;
  uint64_t count_ = 0;
};

void AppendBase64(std::string_view bytes, std::string* out) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  constexpr size_t kLineBytes = 57;  // the server breaks the line behind 76 digits
  for (size_t i = 0; i < bytes.size(); i += 3) {
    if (i > 0 && i % kLineBytes == 0) {
      *out += "\\n";
    }
    uint32_t group = 0;
    const size_t have = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < have ? static_cast<uint8_t>(bytes[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      *out += k <= have ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
}

// Times inside documents are packed as in rows, but always with microseconds and as a little-endian number.
bool AppendTemporal(uint8_t field_type, std::string_view bytes, std::string* out) {
  ByteReader in(bytes);
  const auto packed = static_cast<int64_t>(in.FixedU64());
  if (!in.ok() || packed == std::numeric_limits<int64_t>::min()) {
    return false;
  }
  const int64_t magnitude = packed < 0 ? -packed : packed;
  const int64_t micros = magnitude & 0xFFFFFF;
  const int64_t fields = magnitude >> 24;
  const auto write = std::back_inserter(*out);
  *out += '"';
  if (field_type == static_cast<uint8_t>(FieldType::kTime)) {
    fmt::format_to(write, "{}{:02}:{:02}:{:02}.{:06}", packed < 0 ? "-" : "", fields >> 12 & 0x3FF, fields >> 6 & 63,
                   fields & 63, micros);
  } else {
    const int64_t months = fields >> 22;
    fmt::format_to(write, "{:04}-{:02}-{:02}", months / 13, months % 13, fields >> 17 & 31);
    if (field_type != static_cast<uint8_t>(FieldType::kDate)) {
      fmt::format_to(write, " {:02}:{:02}:{:02}.{:06}", fields >> 12 & 31, fields >> 6 & 63, fields & 63, micros);
    }
  }
  *out += '"';
  return true;
}

bool AppendOpaque(std::string_view bytes, std::string* out) {
  ByteReader in(bytes);
  const uint8_t field_type = in.U8();
  const std::string_view data = in.Bytes(ReadJsonLength(&in));
  if (!in.ok()) {
    return false;
  }
  switch (static_cast<FieldType>(field_type)) {
    case FieldType::kDecimal: {
      ByteReader decimal(data);
      const uint8_t precision = decimal.U8();
      const uint8_t scale = decimal.U8();
      std::array<char, kMaxDecimalText> text;
      const size_t length = ReadDecimal(&decimal, precision, scale, text.data());
      out->append(text.data(), length);
      return length > 0;
    }
    case FieldType::kDate:
    case FieldType::kTime:
    case FieldType::kDateTime:
    case FieldType::kTimestamp:
      return AppendTemporal(field_type, data, out);
    default:
      fmt::format_to(std::back_inserter(*out), "\"base64:type{}:", field_type);
      AppendBase64(data, out);
      *out += '"';
      return true;
  }
}

bool AppendScalar(Place place, std::string* out) {
  ByteReader in(place.bytes);
  const auto write = std::back_inserter(*out);
  switch (place.type) {
    case kLiteral: {
      const uint8_t literal = in.U8();
      constexpr std::array<std::string_view, 3> kLiterals = {"null", "true", "false"};
      if (literal >= kLiterals.size()) {
        return false;
      }
      *out += kLiterals[literal];
      break;
    }
    case kInt16:
      fmt::format_to(write, "{}", static_cast<int16_t>(in.FixedU16()));
      break;
    case kUint16:
      fmt::format_to(write, "{}", in.FixedU16());
      break;
    case kInt32:
      fmt::format_to(write, "{}", static_cast<int32_t>(in.FixedU32()));
      break;
    case kUint32:
      fmt::format_to(write, "{}", in.FixedU32());
      break;
    case kInt64:
      fmt::format_to(write, "{}", static_cast<int64_t>(in.FixedU64()));
      break;
    case kUint64:
      fmt::format_to(write, "{}", in.FixedU64());
      break;
    case kDouble:
      AppendJsonDouble(std::bit_cast<double>(in.FixedU64()), out);
      break;
    case kString:
      AppendJsonQuoted(in.Bytes(ReadJsonLength(&in)), out);
      break;
    case kOpaque:
      return AppendOpaque(place.bytes, out);
    default:
      return false;
  }
  return in.ok();
}

class Printer {
 public:
  Printer(size_t document_bytes, std::string* out)
      : out_(out), limit_(out->size() + document_bytes * kMaxGrowth + 64) {}

  bool Print(Place place, int depth) {
    if (out_->size() > limit_) {
      return false;
    }
    if (place.type > kLargeArray) {
      return AppendScalar(place, out_);
    }
    const Container container(place);
    if (!container.good() || depth >= kMaxJsonDepth) {
      return false;
    }
    *out_ += container.is_object() ? '{' : '[';
    for (uint64_t i = 0; i < container.count(); ++i) {
      *out_ += i > 0 ? ", " : "";
      if (container.is_object()) {
        const auto key = container.Key(i);
        if (!key) {
          return false;
        }
        AppendJsonQuoted(*key, out_);
        *out_ += ": ";
      }
      const auto item = container.Item(i);
      if (!item || !Print(*item, depth + 1)) {
        return false;
      }
    }
    *out_ += container.is_object() ? '}' : ']';
    return true;
  }

 private:
  std::string* out_;
  size_t limit_;
};

// The same walk, into nodes. `budget` bounds what all of it may become.
std::unique_ptr<JsonNode> Build(Place place, int depth, size_t* budget) {
  auto node = std::make_unique<JsonNode>();
  if (place.type > kLargeArray) {
    if (!AppendScalar(place, &node->text) || node->text.size() >= *budget) {
      return nullptr;
    }
    *budget -= node->text.size();
    return node;
  }
  const Container container(place);
  if (!container.good() || depth >= kMaxJsonDepth) {
    return nullptr;
  }
  node->kind = container.is_object() ? JsonNode::Kind::kObject : JsonNode::Kind::kArray;
  for (uint64_t i = 0; i < container.count(); ++i) {
    const auto item = container.Item(i);
    if (!item || *budget == 0) {
      return nullptr;
    }
    --*budget;
    auto child = Build(*item, depth + 1, budget);
    if (child == nullptr) {
      return nullptr;
    }
    if (!container.is_object()) {
      node->items.push_back(std::move(child));
      continue;
    }
    const auto key = container.Key(i);
    if (!key) {
      return nullptr;
    }
    node->members.emplace_back(*key, std::move(child));
  }
  return node;
}

}  // namespace

std::unique_ptr<JsonNode> ParseJson(std::string_view document) {
  if (document.empty()) {
    auto node = std::make_unique<JsonNode>();
    node->text = "null";
    return node;
  }
  size_t budget = document.size() * kMaxGrowth + 64;
  return Build({static_cast<uint8_t>(document[0]), document.substr(1)}, 0, &budget);
}

void AppendJsonQuoted(std::string_view text, std::string* out) {
  *out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\b':
        *out += "\\b";
        break;
      case '\f':
        *out += "\\f";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          fmt::format_to(std::back_inserter(*out), "\\u{:04x}", static_cast<uint8_t>(c));
        } else {
          *out += c;
        }
    }
  }
  *out += '"';
}

void AppendJsonDouble(double value, std::string* out) {
  // The shortest digits, as d.ddde±xx, then laid out in the server's way.
  std::array<char, 40> buffer;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value), std::chars_format::scientific);
  const std::string_view text(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t e = text.find('e');
  if (error != std::errc() || e == std::string_view::npos) {  // not a finite number; no document has one
    *out += "null";
    return;
  }
  int exponent = 0;
  const size_t sign = text[e + 1] == '+' ? 2 : 1;
  std::from_chars(text.data() + e + sign, text.data() + text.size(), exponent);
  std::string digits(1, text[0]);
  if (e > 2) {
    digits += text.substr(2, e - 2);
  }
  if (std::signbit(value)) {
    *out += '-';
  }
  const int point = exponent + 1;  // place of the decimal point among the digits
  const int count = static_cast<int>(digits.size());
  constexpr int kMostPlain = 15;
  if (point < -kMostPlain + 1 || point > kMostPlain) {
    *out += digits[0];
    if (count > 1) {
      *out += '.';
      out->append(digits, 1);
    }
    fmt::format_to(std::back_inserter(*out), "e{}", exponent);
  } else if (point <= 0) {
    *out += "0.";
    out->append(static_cast<size_t>(-point), '0');
    *out += digits;
  } else if (point >= count) {
    *out += digits;
    out->append(static_cast<size_t>(point - count), '0');
    *out += ".0";
  } else {
    out->append(digits, 0, static_cast<size_t>(point));
    *out += '.';
    out->append(digits, static_cast<size_t>(point));
  }
}

bool JsonToText(std::string_view document, std::string* out) {
  if (document.empty()) {
    *out += "null";
    return true;
  }
  return Printer(document.size(), out).Print({static_cast<uint8_t>(document[0]), document.substr(1)}, 0);
}

}  // namespace crossfade::capture
