#include "snapshot/mysql/binary_query.h"

#include <string>

#include "core/bytes.h"

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.mysql";
constexpr uint8_t kStatementPrepare = 0x16;
constexpr uint8_t kStatementExecute = 0x17;
constexpr uint8_t kStatementClose = 0x19;
constexpr char kEndOfRows = '\xFE';

tl::unexpected<Error> Malformed(std::string_view what, size_t bytes) {
  return MakeError(ErrorClass::kCorrupt, "CF1612", kComponent, "malformed {} of {} bytes", what, bytes);
}

struct Prepared {
  uint32_t id = 0;
  std::vector<WireColumn> columns;
};

// Definitions, then the empty packet behind them.
Result<std::vector<WireColumn>> ReadDefinitions(mysql::Connection* connection, size_t count) {
  std::vector<WireColumn> columns;
  for (;;) {
    CROSSFADE_ASSIGN(const std::string_view packet, connection->ReadPacket());
    if (packet.empty()) {
      return columns;
    }
    if (columns.size() == count) {
      return Malformed("end of column definitions", packet.size());
    }
    CROSSFADE_ASSIGN(const WireColumn column, ParseColumnDefinition(packet));
    columns.push_back(column);
  }
}

Result<Prepared> Prepare(mysql::Connection* connection, std::string_view sql) {
  CROSSFADE_TRY(connection->SendCommand(kStatementPrepare, sql));
  CROSSFADE_ASSIGN(const std::string_view packet, connection->ReadPacket());
  ByteReader reader(packet);
  const uint8_t ok = reader.U8();
  Prepared prepared;
  prepared.id = reader.FixedU32();
  const uint16_t columns = reader.FixedU16();
  const uint16_t parameters = reader.FixedU16();
  if (!reader.ok() || ok != 0 || columns == 0 || parameters != 0) {
    return Malformed("answer to a prepared statement", packet.size());
  }
  CROSSFADE_ASSIGN(prepared.columns, ReadDefinitions(connection, columns));
  return prepared;
}

// Definitions come again with the result, unless the server says that they are those of before (MariaDB).
Status Execute(mysql::Connection* connection, Prepared* prepared) {
  std::string payload;
  ByteWriter writer(&payload);
  writer.FixedU32(prepared->id);
  writer.U8(0);        // no cursor
  writer.FixedU32(1);  // once
  CROSSFADE_TRY(connection->SendCommand(kStatementExecute, payload));
  CROSSFADE_ASSIGN(const std::string_view packet, connection->ReadPacket());
  ByteReader reader(packet);
  const uint8_t count = reader.U8();
  const uint64_t columns = count == 0xFC ? reader.FixedU16() : count;  // at most 4096 exist
  if (!reader.ok() || columns == 0 || columns > 4096) {
    return Malformed("result header", packet.size());
  }
  CROSSFADE_ASSIGN(std::vector<WireColumn> definitions, ReadDefinitions(connection, columns));
  if (!definitions.empty()) {
    prepared->columns = std::move(definitions);
  }
  if (prepared->columns.size() != columns) {
    return Malformed("result header", packet.size());
  }
  return {};
}

}  // namespace

Status BinaryQuery(mysql::Connection* connection, mysql::Charsets* charsets, std::string_view sql,
                   const TableSchema& table, std::span<const uint32_t> columns,
                   const std::function<Status(std::span<const Value>)>& sink) {
  CROSSFADE_ASSIGN(Prepared prepared, Prepare(connection, sql));
  const auto charset_of = [&](const std::string& charset) { return charsets->Get(charset); };
  // Asks the server about character sets, which it could not once rows are on their way.
  CROSSFADE_TRY(BinaryRowDecoder::Make(table, columns, prepared.columns, charset_of));
  CROSSFADE_TRY(Execute(connection, &prepared));
  CROSSFADE_ASSIGN(BinaryRowDecoder decoder, BinaryRowDecoder::Make(table, columns, prepared.columns, charset_of));
  for (;;) {
    CROSSFADE_ASSIGN(const std::string_view packet, connection->ReadPacket());
    if (packet.empty() || packet.front() == kEndOfRows) {
      break;
    }
    CROSSFADE_ASSIGN(const std::span<const Value> row, decoder.Decode(packet));
    CROSSFADE_TRY(sink(row));
  }
  std::string payload;
  ByteWriter(&payload).FixedU32(prepared.id);
  return connection->SendCommand(kStatementClose, payload);  // has no answer
}

}  // namespace crossfade::snapshot
