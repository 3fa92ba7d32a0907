// libFuzzer over the binlog decoder. The input: a byte that chooses the server, then events: type, flags, length (2
// bytes), body. A transaction is open and a table with a column of every type is mapped before the first.
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "capture/mysql/log_decoder.h"

namespace crossfade::capture {
namespace {

struct FuzzColumn {
  ColumnType type;
  uint8_t field_type;
  std::string meta;
};

class PassThrough : public mysql::CharsetConverter {
 public:
  bool passes_through() const override { return true; }
  bool Convert(std::string_view bytes, std::string* out) const override {
    *out += bytes;
    return true;
  }
};

const std::vector<FuzzColumn>& Columns() {
  static const std::vector<FuzzColumn> columns = {
      {ColumnType::kInt, 3, ""},
      {ColumnType::kFloat, 4, "\x04"},
      {ColumnType::kDouble, 5, "\x08"},
      {ColumnType::kDecimal, 246, "\x14\x05"},
      {ColumnType::kBit, 16, "\x04\x01"},
      {ColumnType::kChar, 254, "\xfe\x14"},
      {ColumnType::kVarchar, 15, std::string("\x2c\x01", 2)},
      {ColumnType::kVarchar, 141, std::string("\x2d\x01", 2)},
      {ColumnType::kText, 252, "\x02"},
      {ColumnType::kBlob, 140, "\x04"},
      {ColumnType::kBinary, 254, "\xfe\x04"},
      {ColumnType::kVarbinary, 15, std::string("\x09\x00", 2)},
      {ColumnType::kDate, 10, ""},
      {ColumnType::kTime, 19, "\x03"},
      {ColumnType::kDateTime, 18, "\x06"},
      {ColumnType::kDateTime, 12, ""},
      {ColumnType::kTimestamp, 17, "\x02"},
      {ColumnType::kYear, 13, ""},
      {ColumnType::kEnum, 254, "\xf7\x01"},
      {ColumnType::kSet, 254, "\xf8\x01"},
      {ColumnType::kJson, 245, "\x04"},
      {ColumnType::kJson, 245, "\x04"},
      {ColumnType::kUuid, 254, "\xfe\x10"},
      {ColumnType::kInet4, 254, "\xfe\x04"},
      {ColumnType::kGeometry, 255, "\x04"},
      {ColumnType::kVector, 242, "\x04"},
  };
  return columns;
}

Column MakeColumn(const FuzzColumn& fuzz) {
  Column column;
  column.name = "c";
  column.type = fuzz.type;
  column.bits = 32;
  column.precision = 20;
  column.scale = 5;
  column.labels = {"a", "b", "c"};
  switch (fuzz.type) {
    case ColumnType::kBit:
      column.length = 12;
      break;
    case ColumnType::kChar:
      column.length = 20;
      break;
    case ColumnType::kVarchar:
      column.length = 300;
      break;
    case ColumnType::kBinary:
      column.length = 4;
      break;
    case ColumnType::kVarbinary:
      column.length = 9;
      break;
    case ColumnType::kTime:
      column.fraction = 3;
      break;
    case ColumnType::kDateTime:
      column.fraction = fuzz.field_type == 18 ? 6 : 0;
      break;
    case ColumnType::kTimestamp:
      column.fraction = 2;
      break;
    default:
      break;
  }
  return column;
}

TableSchema MakeTable(const std::string& name, size_t columns) {
  TableSchema table;
  table.database = "d";
  table.name = name;
  for (size_t i = 0; i < columns; ++i) {
    table.columns.push_back(MakeColumn(Columns()[i]));
  }
  return table;
}

std::string MapBody(char id, const std::string& name, size_t columns) {
  std::string body{id, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, static_cast<char>(name.size())};
  body += name + '\0' + static_cast<char>(columns);
  std::string meta;
  for (size_t i = 0; i < columns; ++i) {
    body += static_cast<char>(Columns()[i].field_type);
    meta += Columns()[i].meta;
  }
  body += static_cast<char>(meta.size()) + meta;
  body.append((columns + 7) / 8, '\xff');
  return body;
}

std::string MakeEvent(uint8_t type, uint8_t flags, std::string_view body) {
  std::string event;
  ByteWriter out(&event);
  out.FixedU32(1);
  out.U8(type);
  out.FixedU32(1);
  out.FixedU32(static_cast<uint32_t>(kEventHeaderBytes + body.size()));
  out.FixedU32(0);
  out.U8(flags);
  out.U8(0);
  out.Bytes(body);
  return event;
}

bool FeedAll(LogDecoder* decoder, const std::string& event) {
  if (!decoder->Feed(event, 1)) {
    return false;
  }
  for (;;) {
    const auto next = decoder->Next();
    if (!next || !*next) {
      return next.has_value();
    }
    if (const auto* change = std::get_if<Change>(&**next)) {
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
}

void Run(std::string_view input) {
  ByteReader in(input);
  const uint8_t choice = in.U8();
  LogOptions options;
  options.flavor = (choice & 1) != 0 ? mysql::Flavor::kMySql : mysql::Flavor::kMariaDb;
  options.database = "d";
  options.hold_bytes = (choice & 2) != 0 ? 64 : 1 << 20;
  ServerText text;
  text.converter = [](const std::string&) -> Result<std::shared_ptr<const mysql::CharsetConverter>> {
    return std::make_shared<const PassThrough>();
  };
  LogDecoder decoder(options, {MakeTable("t", Columns().size()), MakeTable("u", 1)}, std::move(text));
  Position from;
  from.file = "binlog.000001";
  from.offset = 4;
  if (!decoder.Start(from, (choice & 4) == 0, (choice & 8) != 0)) {
    std::abort();
  }
  std::string format("\x04\x00", 2);
  format += std::string(54, '\0') + '\x13' + std::string(40, '\x08') + '\0' + std::string(4, '\0');
  std::string gtid(19, '\0');
  gtid[0] = 1;
  const bool ready = FeedAll(&decoder, MakeEvent(15, 0, format)) && FeedAll(&decoder, MakeEvent(162, 0, gtid)) &&
                     ((choice & 8) != 0 || (FeedAll(&decoder, MakeEvent(19, 0, MapBody(1, "t", Columns().size()))) &&
                                            FeedAll(&decoder, MakeEvent(19, 0, MapBody(2, "u", 1)))));
  if (!ready) {
    std::abort();
  }
  while (!in.at_end()) {
    const uint8_t type = in.U8();
    const uint8_t flags = in.U8();
    const uint16_t size = in.FixedU16();
    const std::string event = MakeEvent(type, flags, in.Bytes(std::min<size_t>(size, in.remaining())));
    if (!FeedAll(&decoder, event)) {
      return;
    }
  }
}

}  // namespace
}  // namespace crossfade::capture

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  crossfade::capture::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
