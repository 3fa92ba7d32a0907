#include <algorithm>
#include <charconv>
#include <optional>

#include "capture/mysql/event.h"
#include "capture/mysql/json.h"
#include "core/bytes.h"

namespace crossfade::capture {

namespace {

void PrintNode(const JsonNode& node, std::string* out) {
  switch (node.kind) {
    case JsonNode::Kind::kScalar:
      *out += node.text;
      return;
    case JsonNode::Kind::kArray:
      *out += '[';
      for (size_t i = 0; i < node.items.size(); ++i) {
        *out += i > 0 ? ", " : "";
        PrintNode(*node.items[i], out);
      }
      *out += ']';
      return;
    case JsonNode::Kind::kObject:
      *out += '{';
      for (size_t i = 0; i < node.members.size(); ++i) {
        *out += i > 0 ? ", " : "";
        AppendJsonQuoted(node.members[i].first, out);
        *out += ": ";
        PrintNode(*node.members[i].second, out);
      }
      *out += '}';
      return;
  }
}

// One step of a path: a member or a cell.
struct Leg {
  bool is_member = false;
  std::string member;
  uint64_t cell = 0;
};

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += static_cast<char>(0xC0 | code >> 6);
    *out += static_cast<char>(0x80 | (code & 63));
  } else {
    *out += static_cast<char>(0xE0 | code >> 12);
    *out += static_cast<char>(0x80 | (code >> 6 & 63));
    *out += static_cast<char>(0x80 | (code & 63));
  }
}

// Behind a backslash. Only control characters are written as \u.
bool ReadEscape(std::string_view* rest, std::string* out) {
  if (rest->empty()) {
    return false;
  }
  const char c = rest->front();
  rest->remove_prefix(1);
  constexpr std::string_view kFrom = "bfnrt\"\\/";
  constexpr std::string_view kTo = "\b\f\n\r\t\"\\/";
  if (const size_t i = kFrom.find(c); i != std::string_view::npos) {
    *out += kTo[i];
    return true;
  }
  uint32_t code = 0;
  if (c != 'u' || rest->size() < 4) {
    return false;
  }
  const auto [end, error] = std::from_chars(rest->data(), rest->data() + 4, code, 16);
  if (error != std::errc() || end != rest->data() + 4) {
    return false;
  }
  rest->remove_prefix(4);
  AppendUtf8(code, out);
  return true;
}

bool ReadMember(std::string_view* rest, Leg* leg) {
  leg->is_member = true;
  if (rest->empty() || rest->front() != '"') {
    const size_t end = std::min(rest->find_first_of(".["), rest->size());
    leg->member = rest->substr(0, end);
    rest->remove_prefix(end);
    return end > 0;
  }
  rest->remove_prefix(1);
  while (!rest->empty()) {
    const char c = rest->front();
    rest->remove_prefix(1);
    if (c == '"') {
      return true;
    }
    if (c != '\\') {
      leg->member += c;
    } else if (!ReadEscape(rest, &leg->member)) {
      return false;
    }
  }
  return false;
}

std::optional<std::vector<Leg>> ParsePath(std::string_view path) {
  if (path.empty() || path.front() != '$') {
    return std::nullopt;
  }
  path.remove_prefix(1);
  std::vector<Leg> legs;
  while (!path.empty()) {
    const char c = path.front();
    path.remove_prefix(1);
    Leg leg;
    if (c == '.') {
      if (!ReadMember(&path, &leg)) {
        return std::nullopt;
      }
    } else {
      const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), leg.cell);
      const auto used = static_cast<size_t>(end - path.data());
      if (c != '[' || error != std::errc() || used >= path.size() || *end != ']') {
        return std::nullopt;
      }
      path.remove_prefix(used + 1);
    }
    legs.push_back(std::move(leg));
  }
  return legs;
}

// The server keeps members by length of the key, then by its bytes.
bool KeyBefore(std::string_view a, std::string_view b) { return a.size() != b.size() ? a.size() < b.size() : a < b; }

size_t FindMember(const JsonNode& node, std::string_view key) {
  for (size_t i = 0; i < node.members.size(); ++i) {
    if (node.members[i].first == key) {
      return i;
    }
  }
  return node.members.size();
}

// The node that `leg` names in `node`, or null.
std::unique_ptr<JsonNode>* Child(JsonNode* node, const Leg& leg) {
  if (leg.is_member) {
    const size_t i = node->kind == JsonNode::Kind::kObject ? FindMember(*node, leg.member) : node->members.size();
    return i < node->members.size() ? &node->members[i].second : nullptr;
  }
  return node->kind == JsonNode::Kind::kArray && leg.cell < node->items.size() ? &node->items[leg.cell] : nullptr;
}

enum Operation : uint8_t { kReplace = 0, kInsert = 1, kRemove = 2 };

bool Insert(JsonNode* parent, const Leg& leg, std::unique_ptr<JsonNode> value) {
  if (leg.is_member) {
    if (parent->kind != JsonNode::Kind::kObject || FindMember(*parent, leg.member) < parent->members.size()) {
      return false;
    }
    const auto at = std::find_if(parent->members.begin(), parent->members.end(),
                                 [&leg](const auto& member) { return KeyBefore(leg.member, member.first); });
    parent->members.emplace(at, leg.member, std::move(value));
    return true;
  }
  if (parent->kind != JsonNode::Kind::kArray) {
    return false;
  }
  const size_t at = std::min<uint64_t>(leg.cell, parent->items.size());
  parent->items.insert(parent->items.begin() + static_cast<ptrdiff_t>(at), std::move(value));
  return true;
}

bool Remove(JsonNode* parent, const Leg& leg) {
  if (Child(parent, leg) == nullptr) {
    return false;
  }
  if (leg.is_member) {
    parent->members.erase(parent->members.begin() + static_cast<ptrdiff_t>(FindMember(*parent, leg.member)));
  } else {
    parent->items.erase(parent->items.begin() + static_cast<ptrdiff_t>(leg.cell));
  }
  return true;
}

bool ApplyOne(uint8_t operation, const std::vector<Leg>& legs, std::unique_ptr<JsonNode> value,
              std::unique_ptr<JsonNode>* root) {
  std::unique_ptr<JsonNode>* at = root;
  const size_t parents = operation == kReplace ? legs.size() : std::max<size_t>(legs.size(), 1) - 1;
  for (size_t i = 0; i < parents; ++i) {
    at = Child(at->get(), legs[i]);
    if (at == nullptr) {
      return false;
    }
  }
  if (operation == kReplace) {
    *at = std::move(value);
    return true;
  }
  if (legs.empty()) {
    return false;
  }
  return operation == kInsert ? Insert(at->get(), legs.back(), std::move(value)) : Remove(at->get(), legs.back());
}

}  // namespace

bool ApplyJsonDiffs(std::string_view document, std::string_view diffs, std::string* out) {
  std::unique_ptr<JsonNode> root = ParseJson(document);
  ByteReader in(diffs);
  while (root != nullptr && !in.at_end()) {
    const uint8_t operation = in.U8();
    const auto legs = ParsePath(in.Bytes(ReadLengthEncoded(&in)));
    std::unique_ptr<JsonNode> value;
    if (operation != kRemove) {
      value = ParseJson(in.Bytes(ReadLengthEncoded(&in)));
    }
    // Paths no deeper than a document may be; so what results can be walked, too.
    if (!in.ok() || !legs || legs->size() > kMaxJsonDepth || operation > kRemove ||
        (operation != kRemove && value == nullptr) || !ApplyOne(operation, *legs, std::move(value), &root)) {
      return false;
    }
  }
  if (root == nullptr) {
    return false;
  }
  PrintNode(*root, out);
  return true;
}

}  // namespace crossfade::capture
