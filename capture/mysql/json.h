// MySQL's binary JSON documents to text, exactly as the server prints them. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace crossfade::capture {

// Appends the text. False if the bytes are no document; `out` then has a part of it. An empty document is null,
// as the server has it.
bool JsonToText(std::string_view document, std::string* out);

// A partial update: the operations of `diffs`, one after the other, on `document`. Appends the text of what results.
bool ApplyJsonDiffs(std::string_view document, std::string_view diffs, std::string* out);

// The server's own limit on nesting.
constexpr int kMaxJsonDepth = 100;

// A document taken apart, with the text of each scalar.
struct JsonNode {
  enum class Kind : uint8_t { kScalar, kArray, kObject };
  Kind kind = Kind::kScalar;
  std::string text;  // scalars: as printed
  std::vector<std::unique_ptr<JsonNode>> items;
  std::vector<std::pair<std::string, std::unique_ptr<JsonNode>>> members;  // keys unescaped, in the server's order
};

// Null if the bytes are no document.
std::unique_ptr<JsonNode> ParseJson(std::string_view document);

// Appends `text` in quotes, escaped as the server does.
void AppendJsonQuoted(std::string_view text, std::string* out);
// Appends the shortest number that reads back the same, in the server's notation.
void AppendJsonDouble(double value, std::string* out);

}  // namespace crossfade::capture
