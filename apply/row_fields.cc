#include "apply/row_reader.h"
#include "core/bytes.h"

namespace crossfade::apply {

namespace {

constexpr uint32_t kNull = ~uint32_t{0};

}  // namespace

void SplitFields(Fields fields, std::vector<std::string_view>* parts) {
  parts->clear();
  ByteReader in(fields);
  while (!in.at_end()) {
    const uint32_t length = in.BigEndianU32();
    parts->push_back(length == kNull ? std::string_view() : in.Bytes(length));
  }
}

void SelectFields(Fields fields, std::span<const uint32_t> places, std::string* out) {
  out->clear();
  std::vector<std::string_view> parts;
  SplitFields(fields, &parts);
  ByteWriter writer(out);
  for (const uint32_t place : places) {
    const bool null = parts[place].data() == nullptr;
    writer.BigEndianU32(null ? kNull : static_cast<uint32_t>(parts[place].size()));
    writer.Bytes(parts[place]);
  }
}

}  // namespace crossfade::apply
