#include "core/position.h"

#include <fmt/format.h>

#include "core/bytes.h"

namespace crossfade {

namespace {
constexpr uint8_t kPositionVersion = 1;
}  // namespace

std::string Position::ToString() const {
  if (empty()) {
    return "(none)";
  }
  if (file.empty() && offset != 0) {
    constexpr int kHalf = 32;
    const std::string lsn = fmt::format("{:X}/{:X}", offset >> kHalf, offset & 0xFFFFFFFF);
    return set.empty() ? lsn : fmt::format("{} ({})", set, lsn);
  }
  if (file.empty()) {
    return set;
  }
  const std::string place = fmt::format("{}:{}", file, offset);
  return set.empty() ? place : fmt::format("{} ({})", set, place);
}

std::string Position::Encode() const {
  std::string out;
  ByteWriter writer(&out);
  writer.U8(kPositionVersion);
  writer.String(server);
  writer.String(set);
  writer.String(last);
  writer.String(file);
  writer.Varint(offset);
  return out;
}

Result<Position> Position::Decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  Position position;
  position.server = reader.String();
  position.set = reader.String();
  position.last = reader.String();
  position.file = reader.String();
  position.offset = reader.Varint();
  if (!reader.ok() || !reader.at_end() || version != kPositionVersion) {
    return MakeError(ErrorClass::kCorrupt, "CF1001", "core.position", "not an encoded position ({} bytes, version {})",
                     bytes.size(), version);
  }
  return position;
}

}  // namespace crossfade
