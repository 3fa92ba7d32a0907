// The envelope of binlog events and the small events around the rows. Pure: bytes in, facts out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/bytes.h"
#include "core/error.h"

namespace crossfade::capture {

enum class EventType : uint8_t {
  kQuery = 2,
  kStop = 3,
  kRotate = 4,
  kIntvar = 5,
  kRand = 13,
  kUserVar = 14,
  kFormatDescription = 15,
  kXid = 16,
  kBeginLoadQuery = 17,
  kExecuteLoadQuery = 18,
  kTableMap = 19,
  kWriteRowsV1 = 23,
  kUpdateRowsV1 = 24,
  kDeleteRowsV1 = 25,
  kIncident = 26,
  kHeartbeat = 27,
  kIgnorable = 28,
  kRowsQuery = 29,
  kWriteRows = 30,
  kUpdateRows = 31,
  kDeleteRows = 32,
  kGtid = 33,           // MySQL
  kAnonymousGtid = 34,  // MySQL, gtid_mode = OFF
  kPreviousGtids = 35,  // MySQL
  kTransactionContext = 36,
  kViewChange = 37,
  kXaPrepare = 38,
  kPartialUpdateRows = 39,
  kTransactionPayload = 40,
  kHeartbeatV2 = 41,
  kGtidTagged = 42,
  kAnnotateRows = 160,  // from here on MariaDB
  kBinlogCheckpoint = 161,
  kMariaDbGtid = 162,
  kGtidList = 163,
  kStartEncryption = 164,
  kQueryCompressed = 165,
  kWriteRowsCompressedV1 = 166,
  kUpdateRowsCompressedV1 = 167,
  kDeleteRowsCompressedV1 = 168,
  kWriteRowsCompressed = 169,
  kUpdateRowsCompressed = 170,
  kDeleteRowsCompressed = 171,
};

// Bits of EventHeader::flags.
inline constexpr uint16_t kArtificialEvent = 0x20;
inline constexpr uint16_t kIgnorableEvent = 0x80;
inline constexpr size_t kEventHeaderBytes = 19;
inline constexpr size_t kChecksumBytes = 4;

struct EventHeader {
  uint32_t timestamp = 0;
  EventType type{};
  uint32_t server_id = 0;
  uint32_t size = 0;
  uint32_t next_position = 0;  // low 32 bits of the place behind the event; 0 if it is in no file
  uint16_t flags = 0;
};

// One event. `body` borrows, and holds neither header nor checksum.
struct RawEvent {
  EventHeader header;
  std::string_view body;
};

enum class ChecksumMode : uint8_t {
  kNone,
  kCrc32,  // the event ends in four bytes that must be right
  kGuess,  // stripped if they are right: events that come before the server has said which it is
};

// Corrupt CF1205 for bytes that are no event, CF1207 for a wrong checksum.
Result<RawEvent> ParseEvent(std::string_view bytes, ChecksumMode checksum);

// MySQL's length-encoded integer.
uint64_t ReadLengthEncoded(ByteReader* in);
// Unsigned little-endian integer of 1 to 8 bytes.
inline uint64_t ReadLittleEndian(ByteReader* in, size_t bytes) {
  const std::string_view raw = in->Bytes(bytes);
  uint64_t v = 0;
  if (!raw.empty()) {
    std::memcpy(&v, raw.data(), std::min(raw.size(), sizeof v));
  }
  return v;
}
// Breaks the reader for good: for contents that are wrong though they are there.
void Break(ByteReader* in);

// Corrupt CF1205, naming the event and what is wrong in it.
tl::unexpected<Error> Malformed(EventType type, std::string_view what);
std::string EventName(EventType type);

struct FormatDescription {
  std::string server_version;
  bool checksum = false;
};
Result<FormatDescription> ParseFormatDescription(std::string_view body_with_checksum);

struct Rotate {
  std::string_view file;
  uint64_t position = 0;
};
Result<Rotate> ParseRotate(std::string_view body);

struct Query {
  std::string_view database;  // the session's default database, "" if none
  std::string_view statement;
  uint64_t sql_mode = 0;
  uint16_t client_charset = 0;  // collation id of the statement's text, 0 if unknown
};
// Both forms; `unpacked` receives the text of a compressed one.
Result<Query> ParseQuery(EventType type, std::string_view body, std::string* unpacked);

struct XaPrepare {
  bool one_phase = false;
  std::string xid;  // as the server writes it in statements: X'67',X'',1
};
Result<XaPrepare> ParseXaPrepare(std::string_view body);
std::string FormatXid(uint32_t format_id, std::string_view gtrid, std::string_view bqual);

// The file named in a heartbeat, with the position of version 2 (0 if the header has it).
Result<Rotate> ParseHeartbeat(EventType type, std::string_view body);

// MariaDB's compressed parts: a byte with the length's length, the length, a zlib stream. Appends to `out`.
bool Unpack(std::string_view packed, std::string* out);

}  // namespace crossfade::capture
