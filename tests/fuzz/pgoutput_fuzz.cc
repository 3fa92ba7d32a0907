// libFuzzer over the decoder of pgoutput and what makes events of it. The input: a byte that says whether a transaction
// with a table is open before the first message, then messages: length (2 bytes, big-endian), bytes.
#include <cstdlib>
#include <string>
#include <variant>

#include "capture/postgres/stream_decoder.h"

namespace crossfade::capture {
namespace {

TableSchema MakeTable() {
  TableSchema table;
  table.database = "d";
  table.name = "t";
  constexpr ColumnType kTypes[] = {ColumnType::kInt,  ColumnType::kText,      ColumnType::kDecimal, ColumnType::kDate,
                                   ColumnType::kBlob, ColumnType::kTimestamp, ColumnType::kUuid,    ColumnType::kBool};
  for (const ColumnType type : kTypes) {
    Column column;
    column.name = std::string(1, static_cast<char>('a' + table.columns.size()));
    column.type = type;
    column.bits = 32;
    column.of_postgres = true;
    table.columns.push_back(column);
  }
  return table;
}

std::string RelationMessage() {
  std::string message("R\0\0\0\1s\0t\0d\0\10", 12);
  for (char name = 'a'; name <= 'h'; ++name) {
    message += std::string(name == 'a' ? "\1" : "\0", 1) + name + std::string("\0\0\0\0\1\377\377\377\377", 9);
  }
  return message;
}

bool FeedAll(StreamDecoder* decoder, std::string_view message) {
  if (!decoder->Feed(message)) {
    return false;
  }
  while (const auto event = decoder->Take()) {
    if (const auto* change = std::get_if<Change>(&*event)) {
      size_t sum = 0;  // every byte that a value shows must be there
      for (const auto image : {change->before, change->after}) {
        for (const Value& value : image) {
          for (const char c : value.bytes) {
            sum += static_cast<uint8_t>(c);
          }
        }
      }
      volatile size_t keep = sum;
      static_cast<void>(keep);
    }
  }
  return true;
}

void Run(std::string_view input) {
  Relations relations("s", {MakeTable()}, [](uint32_t, int32_t) -> Result<std::string> { return std::string(); });
  StreamDecoder decoder(Position{.server = "1/1", .offset = 1}, &relations,
                        []() -> Result<uint64_t> { return uint64_t{1000}; });
  if (!input.empty() && input.front() % 2 == 0) {
    const std::string begin = "B" + std::string(7, '\0') + "\7" + std::string(8, '\0') + std::string("\0\0\0\5", 4);
    if (!FeedAll(&decoder, begin) || !FeedAll(&decoder, RelationMessage())) {
      std::abort();
    }
  }
  input.remove_prefix(input.empty() ? 0 : 1);
  while (input.size() >= 2) {
    const size_t size = static_cast<uint8_t>(input[0]) * size_t{256} + static_cast<uint8_t>(input[1]);
    input.remove_prefix(2);
    const std::string message(input.substr(0, size));  // of its own, so that reading behind it is seen
    input.remove_prefix(message.size());
    (void)FeedAll(&decoder, message);
  }
}

}  // namespace
}  // namespace crossfade::capture

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  crossfade::capture::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
