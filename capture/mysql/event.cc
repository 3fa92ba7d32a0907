#include "capture/mysql/event.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "capture/mysql/crc32.h"

namespace crossfade::capture {

namespace {

// Nothing a server sends is larger: max_allowed_packet of the dump protocol.
constexpr uint64_t kMaxUnpackedBytes = uint64_t{1} << 30;

uint32_t LoadU32(const char* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

bool ChecksumIsRight(std::string_view bytes) {
  const std::string_view covered = bytes.substr(0, bytes.size() - kChecksumBytes);
  return Crc32(covered) == LoadU32(covered.data() + covered.size());
}

}  // namespace

Result<RawEvent> ParseEvent(std::string_view bytes, ChecksumMode checksum) {
  ByteReader in(bytes);
  RawEvent event;
  EventHeader& header = event.header;
  header.timestamp = in.FixedU32();
  header.type = static_cast<EventType>(in.U8());
  header.server_id = in.FixedU32();
  header.size = in.FixedU32();
  header.next_position = in.FixedU32();
  header.flags = in.FixedU16();
  if (!in.ok() || header.size != bytes.size()) {
    return MakeError(ErrorClass::kCorrupt, "CF1205", "capture.mysql", "not a binlog event: {} bytes, header says {}",
                     bytes.size(), header.size);
  }
  event.body = in.rest();
  if (checksum == ChecksumMode::kNone) {
    return event;
  }
  const bool has_room = event.body.size() >= kChecksumBytes;
  const bool right = has_room && ChecksumIsRight(bytes);
  if (!right && checksum == ChecksumMode::kCrc32) {
    return MakeError(ErrorClass::kCorrupt, "CF1207", "capture.mysql", "checksum of a {} event of {} bytes is wrong",
                     EventName(header.type), bytes.size());
  }
  if (right) {
    event.body.remove_suffix(kChecksumBytes);
  }
  return event;
}

uint64_t ReadLengthEncoded(ByteReader* in) {
  const uint8_t first = in->U8();
  switch (first) {
    case 252:
      return in->FixedU16();
    case 253:
      return ReadLittleEndian(in, 3);
    case 254:
      return in->FixedU64();
    case 251:
    case 255:
      Break(in);
      return 0;
    default:
      return first;
  }
}

void Break(ByteReader* in) { in->Skip(~uint64_t{0}); }

std::string EventName(EventType type) { return fmt::format("type {}", static_cast<int>(type)); }

tl::unexpected<Error> Malformed(EventType type, std::string_view what) {
  return MakeError(ErrorClass::kCorrupt, "CF1205", "capture.mysql", "malformed binlog event of {}: {}", EventName(type),
                   what);
}

Result<FormatDescription> ParseFormatDescription(std::string_view body_with_checksum) {
  ByteReader in(body_with_checksum);
  const uint16_t version = in.FixedU16();
  std::string_view server = in.Bytes(50);
  in.Skip(4);  // created
  const uint8_t header_bytes = in.U8();
  if (!in.ok() || version != 4 || header_bytes != kEventHeaderBytes) {
    return Malformed(EventType::kFormatDescription, "not binlog version 4");
  }
  // The last five bytes are the algorithm and the event's own checksum, before them a length for each event type.
  if (in.remaining() < kChecksumBytes + 1) {
    return Malformed(EventType::kFormatDescription, "too short to name its checksum algorithm");
  }
  const auto algorithm = static_cast<uint8_t>(in.rest()[in.remaining() - kChecksumBytes - 1]);
  if (algorithm > 1) {
    return Malformed(EventType::kFormatDescription, "unknown checksum algorithm");
  }
  FormatDescription format;
  format.server_version = server.substr(0, server.find('\0'));
  format.checksum = algorithm == 1;
  return format;
}

Result<Rotate> ParseRotate(std::string_view body) {
  ByteReader in(body);
  Rotate rotate;
  rotate.position = in.FixedU64();
  rotate.file = in.rest();
  if (!in.ok() || rotate.file.empty()) {
    return Malformed(EventType::kRotate, "no file name");
  }
  return rotate;
}

namespace {

// The few variables that matter come first; what follows them differs by server and version.
void ReadStatusVariables(std::string_view bytes, Query* query) {
  ByteReader in(bytes);
  while (in.ok() && !in.at_end()) {
    switch (in.U8()) {
      case 0:  // flags2
        in.Skip(4);
        break;
      case 1:  // sql_mode
        query->sql_mode = in.FixedU64();
        break;
      case 3:  // auto_increment
        in.Skip(4);
        break;
      case 4:  // character sets: client, connection, server
        query->client_charset = in.FixedU16();
        return;
      case 6:  // catalog
        in.Skip(in.U8());
        break;
      default:
        return;
    }
  }
}

}  // namespace

Result<Query> ParseQuery(EventType type, std::string_view body, std::string* unpacked) {
  ByteReader in(body);
  in.Skip(8);  // thread id, execution time
  const uint8_t database_bytes = in.U8();
  in.Skip(2);  // error code
  const uint16_t status_bytes = in.FixedU16();
  Query query;
  ReadStatusVariables(in.Bytes(status_bytes), &query);
  query.database = in.Bytes(database_bytes);
  if (in.U8() != 0 || !in.ok()) {
    return Malformed(type, "no statement");
  }
  query.statement = in.rest();
  if (type == EventType::kQueryCompressed) {
    unpacked->clear();
    if (!Unpack(in.rest(), unpacked)) {
      return Malformed(type, "cannot be decompressed");
    }
    query.statement = *unpacked;
  }
  return query;
}

std::string FormatXid(uint32_t format_id, std::string_view gtrid, std::string_view bqual) {
  std::string xid = "X'";
  const auto append_hex = [&xid](std::string_view bytes) {
    for (const char c : bytes) {
      fmt::format_to(std::back_inserter(xid), "{:02x}", static_cast<uint8_t>(c));
    }
  };
  append_hex(gtrid);
  xid += "',X'";
  append_hex(bqual);
  fmt::format_to(std::back_inserter(xid), "',{}", format_id);
  return xid;
}

Result<XaPrepare> ParseXaPrepare(std::string_view body) {
  ByteReader in(body);
  XaPrepare prepare;
  prepare.one_phase = in.U8() != 0;
  const uint32_t format_id = in.FixedU32();
  const uint32_t gtrid_bytes = in.FixedU32();
  const uint32_t bqual_bytes = in.FixedU32();
  const std::string_view gtrid = in.Bytes(gtrid_bytes);
  const std::string_view bqual = in.Bytes(bqual_bytes);
  if (!in.ok()) {
    return Malformed(EventType::kXaPrepare, "too short");
  }
  prepare.xid = FormatXid(format_id, gtrid, bqual);
  return prepare;
}

Result<Rotate> ParseHeartbeat(EventType type, std::string_view body) {
  Rotate at;
  if (type == EventType::kHeartbeat) {
    at.file = body;
    return at;
  }
  ByteReader in(body);
  while (!in.at_end()) {
    const uint8_t field = in.U8();
    if (field == 0) {
      break;
    }
    ByteReader value(in.Bytes(ReadLengthEncoded(&in)));
    if (field == 1) {
      at.file = value.rest();
    } else if (field == 2) {
      at.position = ReadLengthEncoded(&value);
    }
    if (!value.ok()) {
      return Malformed(type, "broken field");
    }
  }
  if (!in.ok()) {
    return Malformed(type, "too short");
  }
  return at;
}

bool Unpack(std::string_view packed, std::string* out) {
  ByteReader in(packed);
  const uint8_t head = in.U8();
  const uint8_t length_bytes = head & 0x07;
  if ((head & 0x80) == 0 || (head & 0x70) != 0 || length_bytes == 0 || length_bytes > 4) {
    return false;
  }
  uint64_t length = 0;
  for (const char c : in.Bytes(length_bytes)) {
    length = length << 8 | static_cast<uint8_t>(c);
  }
  if (!in.ok() || length > kMaxUnpackedBytes) {
    return false;
  }
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) {
    return false;
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.rest().data()));
  stream.avail_in = static_cast<uInt>(in.remaining());
  // Grown as the bytes come: the length is only a claim.
  std::array<char, 1 << 14> piece;
  int state = Z_OK;
  uint64_t total = 0;
  while (state == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = piece.size();
    state = inflate(&stream, Z_NO_FLUSH);
    const size_t got = piece.size() - stream.avail_out;
    total += got;
    if (total > length || (state == Z_OK && got == 0)) {
      state = Z_DATA_ERROR;
      break;
    }
    out->append(piece.data(), got);
  }
  inflateEnd(&stream);
  return state == Z_STREAM_END && total == length;
}

}  // namespace crossfade::capture
