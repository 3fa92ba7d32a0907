// Any bytes as the journal's records and blocks: an error or a value, and nothing else.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/schema.h"
#include "state/change_codec.h"
#include "state/record.h"

namespace crossfade::state {
namespace {

TableSchema MakeTable(size_t columns) {
  TableSchema table;
  table.database = "d";
  table.name = "t";
  table.columns.resize(columns);
  return table;
}

void Require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

// What has been decoded is encoded and decoded again, and must be the same.
void DecodeAgain(const Change& change, uint32_t number, const ChangeDecoder::TableOf& table_of) {
  std::string block;
  Require(EncodeChange(number, change, &block).has_value());
  std::vector<Value> values;
  ChangeDecoder::Decoded decoded;
  const auto next = DecodeChanges(table_of, block)->Next(&values, &decoded);
  Require(next.has_value() && *next && decoded.kind == change.kind && decoded.flags == change.flags);
  Require(decoded.before_count == change.before.size() && decoded.after_count == change.after.size());
  for (size_t i = 0; i < decoded.before_count; ++i) {
    Require(Identical(values[decoded.before + i], change.before[i]));
  }
  for (size_t i = 0; i < decoded.after_count; ++i) {
    Require(Identical(values[decoded.after + i], change.after[i]));
  }
}

void DecodeBlockOf(std::string_view bytes) {
  static const TableSchema kTables[] = {MakeTable(0), MakeTable(1), MakeTable(3), MakeTable(20)};
  const ChangeDecoder::TableOf table_of = [](uint32_t number) {
    return number < std::size(kTables) ? &kTables[number] : nullptr;
  };
  const auto decoder = DecodeChanges(table_of, bytes);
  std::vector<Value> values;
  ChangeDecoder::Decoded decoded;
  while (true) {
    values.clear();
    const Result<bool> next = decoder->Next(&values, &decoded);
    if (!next || !*next) {
      return;
    }
    const std::span<const Value> all = values;
    DecodeAgain({.table = decoded.table,
                 .kind = decoded.kind,
                 .flags = decoded.flags,
                 .before = all.subspan(decoded.before, decoded.before_count),
                 .after = all.subspan(decoded.after, decoded.after_count)},
                static_cast<uint32_t>(decoded.table - kTables), table_of);
  }
}

void DecodeRecordsOf(std::string_view bytes) {
  const LogKey key(Seq{1}, kCommitPart);
  (void)Unseal(key.view(), bytes, "bytes");
  // Past the checksum, which would hide everything behind it from a fuzzer.
  const std::string sealed = Sealed(key.view(), bytes);  // a record borrows from it
  if (const auto record = DecodeCommitRecord(key.view(), sealed, "bytes")) {
    DecodeBlockOf(std::string(record->block));
  }
  (void)DecodeTail(bytes);
  (void)DecodeLogKey(bytes);
  (void)DecodeOpenKey(bytes);
  (void)TableSchema::Decode(bytes);
}

}  // namespace
}  // namespace crossfade::state

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of exactly this size, so that a read behind its end is seen.
  const std::vector<char> copy(data, data + size);
  const std::string_view bytes(copy.data(), copy.size());
  if (size > 0 && copy[0] % 2 == 0) {
    crossfade::state::DecodeRecordsOf(bytes.substr(1));
  } else {
    crossfade::state::DecodeBlockOf(bytes);
  }
  return 0;
}
