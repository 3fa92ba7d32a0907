#include "verify/check_state.h"

#include <algorithm>

#include "core/bytes.h"

namespace crossfade::verify {

namespace {
constexpr uint8_t kVersion = 1;
}  // namespace

uint64_t CheckState::different() const {
  return static_cast<uint64_t>(std::count_if(open.begin(), open.end(), [](const auto& row) { return row.second; }));
}

std::string CheckState::Encode() const {
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.U8(kVersion);
  writer.Varint(chain);
  writer.Varint(checked.value);
  writer.U8(full ? 1 : 0);
  if (full) {
    writer.SignedVarint(full->began_us);
    writer.SignedVarint(full->ended_us);
    writer.Varint(full->rows);
    writer.Varint(full->differences);
    writer.Varint(full->undecided);
  }
  writer.Varint(open.size());
  for (const auto& [row, different] : open) {
    writer.String(row.first);
    writer.String(row.second);
    writer.U8(different ? 1 : 0);
  }
  writer.Varint(waiting.size());
  for (const auto& [table, why] : waiting) {
    writer.String(table);
    writer.String(why);
  }
  return bytes;
}

Result<CheckState> CheckState::Decode(std::string_view bytes) {
  CheckState state;
  ByteReader reader(bytes);
  const bool known = reader.U8() == kVersion;
  state.chain = reader.Varint();
  state.checked.value = reader.Varint();
  if (reader.U8() != 0) {
    state.full.emplace();
    state.full->began_us = reader.SignedVarint();
    state.full->ended_us = reader.SignedVarint();
    state.full->rows = reader.Varint();
    state.full->differences = reader.Varint();
    state.full->undecided = reader.Varint();
  }
  for (uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    std::string table(reader.String());
    std::string key(reader.String());
    state.open[{std::move(table), std::move(key)}] = reader.U8() != 0;
  }
  for (uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    std::string table(reader.String());
    state.waiting[std::move(table)] = reader.String();
  }
  if (!known || !reader.ok() || !reader.at_end()) {
    return MakeError(ErrorClass::kCorrupt, "CF1821", "verify",
                     "what the state directory says about comparing is not readable");
  }
  return state;
}

}  // namespace crossfade::verify
