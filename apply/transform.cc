#include "apply/transform.h"

#include <fmt/ranges.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "state/audit_log.h"

namespace crossfade::apply {

namespace {

constexpr std::string_view kComponent = "apply.transform";
constexpr size_t kHashDigits = 64;
constexpr size_t kLeastKeyBytes = 16;
constexpr int64_t kLargestPrecision = 1000;

// Empty if OpenSSL refuses.
std::string Hmac(std::string_view key, std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(bytes.data()),
           bytes.size(), digest.data(), &size);
  std::string hex;
  for (unsigned int i = 0; made != nullptr && i < size; ++i) {
    fmt::format_to(std::back_inserter(hex), "{:02x}", digest[i]);
  }
  return hex;
}

bool IsText(ColumnType type) {
  return type == ColumnType::kChar || type == ColumnType::kVarchar || type == ColumnType::kText ||
         type == ColumnType::kEnum || type == ColumnType::kSet || type == ColumnType::kJsonText;
}

bool IsNumber(ColumnType type) {
  return type == ColumnType::kInt || type == ColumnType::kDecimal || type == ColumnType::kYear ||
         type == ColumnType::kBit;
}

bool HasTimeOfDay(ColumnType type) {
  return type == ColumnType::kTime || type == ColumnType::kDateTime || type == ColumnType::kTimestamp;
}

// What has one text, the same however the value came here.
bool HasOneText(ColumnType type) {
  return IsText(type) || IsNumber(type) || HasTimeOfDay(type) || type == ColumnType::kDate ||
         type == ColumnType::kFloat || type == ColumnType::kDouble;
}

// With as many digits of the fraction as the column has.
std::string TextOf(const Column& column, const Value& value) {
  if (value.kind == ValueKind::kText || value.kind == ValueKind::kJson || value.kind == ValueKind::kDecimal) {
    return std::string(value.bytes);
  }
  std::string text = ToDisplay(value);
  const size_t point = text.rfind('.');
  if (HasTimeOfDay(column.type) && point != std::string::npos) {
    constexpr size_t kMicroDigits = 6;
    const size_t keep = column.fraction == 0 ? 0 : column.fraction + size_t{1};
    text.erase(point + keep, kMicroDigits + 1 - keep);
  }
  return text;
}

// "-0012.50" is "-12.50"; none for what is not digits with at most one point among them.
std::optional<std::string> PlainDigits(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  text.remove_prefix(negative || (!text.empty() && text.front() == '+') ? 1 : 0);
  const size_t point = text.find('.');
  std::string_view whole = text.substr(0, point);
  const std::string_view fraction = point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  const auto digits = [](std::string_view part) {
    return std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  if (whole.empty() || !digits(whole) || !digits(fraction) || (point != std::string_view::npos && fraction.empty())) {
    return std::nullopt;
  }
  whole.remove_prefix(std::min(whole.find_first_not_of('0'), whole.size() - 1));
  const bool zero = (std::string(whole) + std::string(fraction)).find_first_not_of('0') == std::string::npos;
  return fmt::format("{}{}{}{}", negative && !zero ? "-" : "", whole, fraction.empty() ? "" : ".", fraction);
}

Column PlainColumn(const Column& source, ColumnType type) {
  Column column;
  column.name = source.name;
  column.type = type;
  column.source_type = source.source_type;
  column.nullable = source.nullable;
  column.invisible = source.invisible;
  column.comment = source.comment;
  column.generated = source.generated;
  column.generation_expression = source.generation_expression;
  return column;
}

size_t Characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace

const ColumnRule* TransformRules::Find(std::string_view table, std::string_view column) const {
  const auto of_table = columns.find(std::string(table));
  if (of_table == columns.end()) {
    return nullptr;
  }
  const auto rule = of_table->second.find(std::string(column));
  return rule == of_table->second.end() ? nullptr : &rule->second;
}

std::string TransformRules::Fingerprint() const {
  if (empty()) {
    return {};
  }
  std::string text;
  const auto add = [&](std::string_view part) { text += fmt::format("{}:{},", part.size(), part); };
  for (const auto& [from, to] : tables) {
    add(from);
    add(to);
  }
  bool hashes = false;
  for (const auto& [table, rules] : columns) {
    for (const auto& [column, rule] : rules) {
      hashes = hashes || rule.kind == TransformKind::kHash;
      add(table);
      add(column);
      add(rule.name);
      add(rule.argument);
      add(fmt::format("{} {}", rule.exclude, static_cast<int>(rule.kind)));
    }
  }
  return state::Sha256(text + (hashes ? Hmac(hash_key, text) : ""));
}

Result<std::shared_ptr<const Transform>> Transform::Make(const ColumnRule& rule, const Column& source,
                                                         const std::string& object, const std::string& hash_key) {
  std::shared_ptr<Transform> made(new Transform());
  made->rule_ = rule;
  made->object_ = object;
  made->source_ = source;
  CROSSFADE_TRY(made->SetUp(hash_key));
  return std::shared_ptr<const Transform>(std::move(made));
}

Status Transform::SetUp(const std::string& hash_key) {
  switch (rule_.kind) {
    case TransformKind::kNone:
      target_ = source_;
      return {};
    case TransformKind::kHash:
      return SetUpHash(hash_key);
    case TransformKind::kMask:
      return SetUpMask();
    case TransformKind::kCast:
      return SetUpCast();
  }
  return {};
}

tl::unexpected<Error> Transform::Refused(std::string message, std::string fix) const {
  return Fail(Error{ErrorClass::kConfig, "CF1515", std::string(kComponent),
                    fmt::format("{} ({}): {}", object_, source_.source_type, message), "", object_, ToString(),
                    std::move(fix)});
}

Status Transform::SetUpHash(const std::string& hash_key) {
  if (source_.type == ColumnType::kJson) {
    return Refused("a JSON document has no one text that could be hashed",
                   "exclude the column, or mask parts on the source");
  }
  if (hash_key.size() < kLeastKeyBytes) {
    return Refused(fmt::format("a hash with a key of fewer than {} bytes can be undone by trying", kLeastKeyBytes),
                   "set transform.hash_key_env or transform.hash_key_file to a long key: openssl rand -hex 32");
  }
  if (Hmac(hash_key, "").size() != kHashDigits) {
    return Refused("OpenSSL refuses HMAC-SHA-256 with this key", "use a key that OpenSSL's configuration allows");
  }
  hash_key_ = hash_key;
  target_ = PlainColumn(source_, ColumnType::kVarchar);
  target_.length = kHashDigits;
  target_.charset = "utf8mb4";
  target_.collation = "utf8mb4_bin";
  return {};
}

Status Transform::SetUpMask() {
  target_ = source_;
  target_.default_value.reset();
  if (source_.type == ColumnType::kChar || source_.type == ColumnType::kVarchar || source_.type == ColumnType::kText) {
    if (source_.type != ColumnType::kText && Characters(rule_.argument) > source_.length) {
      return Refused(fmt::format("the mask has more than the column's {} characters", source_.length),
                     "shorten the mask");
    }
    mask_ = Value::OfBytes(ValueKind::kText, rule_.argument);
    return {};
  }
  int64_t number = 0;
  const char* end = rule_.argument.data() + rule_.argument.size();
  const auto [at, failed] = std::from_chars(rule_.argument.data(), end, number);
  const bool is_number = failed == std::errc() && at == end && !rule_.argument.empty();
  if (source_.type == ColumnType::kInt && is_number) {
    const int bits = source_.bits == 0 ? 32 : source_.bits;
    const bool fits = source_.is_unsigned
                          ? number >= 0 && (bits >= 63 || number < int64_t{1} << bits)
                          : bits == 64 || (number >= -(int64_t{1} << (bits - 1)) && number < int64_t{1} << (bits - 1));
    if (!fits) {
      return Refused("the column cannot hold the mask", "use a smaller number");
    }
    mask_ = source_.is_unsigned ? Value::Uint(static_cast<uint64_t>(number)) : Value::Int(number);
    return {};
  }
  return Refused(
      fmt::format("\"{}\" is no mask for such a column", rule_.argument),
      "a mask is a text for a column of text and a whole number for one of integers; exclude or hash others");
}

Status Transform::SetUpCast() {
  const std::string& to = rule_.argument;
  const bool digits = IsNumber(source_.type) || IsText(source_.type);
  if (to == "text" && HasOneText(source_.type)) {
    target_ = PlainColumn(source_, ColumnType::kText);
    target_.charset = "utf8mb4";
    target_.collation = "utf8mb4_bin";
    return {};
  }
  if (to == "bigint" && digits) {
    target_ = PlainColumn(source_, ColumnType::kInt);
    target_.bits = 64;
    return {};
  }
  unsigned precision = 0;
  unsigned scale = 0;
  int read = 0;
  if (digits && std::sscanf(to.c_str(), "numeric(%u,%u)%n", &precision, &scale, &read) == 2 &&
      static_cast<size_t>(read) == to.size() && precision >= 1 && precision <= kLargestPrecision &&
      scale <= precision) {
    target_ = PlainColumn(source_, ColumnType::kDecimal);
    target_.precision = static_cast<uint16_t>(precision);
    target_.scale = static_cast<uint16_t>(scale);
    return {};
  }
  return Refused(fmt::format("no cast to \"{}\"", to),
                 "casts are: to text from all but JSON documents, binary values, UUID, addresses, geometry and "
                 "vectors; to bigint and numeric(p,s) from whole "
                 "numbers, decimals, bits, years and text");
}

Result<Value> Transform::Apply(const Value& value, std::string* storage) const {
  if (value.is_null() || rule_.kind == TransformKind::kNone) {
    return value;
  }
  switch (rule_.kind) {
    case TransformKind::kHash:
      *storage = Hmac(hash_key_, HasOneText(source_.type) ? TextOf(source_, value) : std::string(value.bytes));
      if (storage->size() != kHashDigits) {
        return MakeError(ErrorClass::kData, "CF1516", kComponent, "{}: OpenSSL did not hash a value", object_);
      }
      return Value::OfBytes(ValueKind::kText, *storage);
    case TransformKind::kMask:
      return mask_;
    default:
      return Cast(value, storage);
  }
}

Result<Value> Transform::Cast(const Value& value, std::string* storage) const {
  switch (target_.type) {
    case ColumnType::kInt:
      return CastToBigint(value);
    case ColumnType::kDecimal:
      return CastToNumeric(value, storage);
    default:
      *storage = TextOf(source_, value);
      return Value::OfBytes(ValueKind::kText, *storage);
  }
}

std::optional<std::string> Transform::DigitsOf(const Value& value) const { return PlainDigits(TextOf(source_, value)); }

Result<Value> Transform::CastToBigint(const Value& value) const {
  std::optional<std::string> digits = DigitsOf(value);
  if (!digits) {
    return CannotHold(value);
  }
  if (const size_t point = digits->find('.'); point != std::string::npos) {
    if (digits->find_first_not_of('0', point + 1) != std::string::npos) {
      return CannotHold(value);
    }
    digits->erase(point);
  }
  int64_t number = 0;
  const auto [at, failed] = std::from_chars(digits->data(), digits->data() + digits->size(), number);
  if (failed != std::errc() || at != digits->data() + digits->size()) {
    return CannotHold(value);
  }
  return Value::Int(number);
}

Result<Value> Transform::CastToNumeric(const Value& value, std::string* storage) const {
  const std::optional<std::string> digits = DigitsOf(value);
  if (!digits) {
    return CannotHold(value);
  }
  const size_t point = std::min(digits->find('.'), digits->size());
  const size_t sign = digits->front() == '-' ? 1 : 0;
  std::string fraction = digits->substr(std::min(point + 1, digits->size()));
  const bool loses =
      fraction.size() > target_.scale && fraction.find_first_not_of('0', target_.scale) != std::string::npos;
  const size_t whole = digits->substr(sign, point - sign) == "0" ? 0 : point - sign;
  if (loses || whole + target_.scale > target_.precision) {
    return CannotHold(value);
  }
  fraction.resize(target_.scale, '0');
  *storage = digits->substr(0, point) + (target_.scale == 0 ? "" : ".") + fraction;
  return Value::OfBytes(ValueKind::kDecimal, *storage);
}

tl::unexpected<Error> Transform::CannotHold(const Value& value) const {
  return Fail(Error{ErrorClass::kData, "CF1516", std::string(kComponent),
                    fmt::format("{}: {} cannot be {} exactly", object_, ToDisplay(value), ToString()), "", object_,
                    ToDisplay(value),
                    "mend the value on the source; where the log has it already: 'crossfade abort', and begin again "
                    "with another cast"});
}

std::string Transform::ToString() const {
  switch (rule_.kind) {
    case TransformKind::kHash:
      return "hashed";
    case TransformKind::kMask:
      return "masked";
    case TransformKind::kCast:
      return "cast to " + rule_.argument;
    case TransformKind::kNone:
      break;
  }
  return "";
}

}  // namespace crossfade::apply
