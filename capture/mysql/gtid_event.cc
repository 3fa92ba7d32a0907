#include "capture/mysql/gtid_event.h"

#include <bit>
#include <map>

namespace crossfade::capture {

namespace {

constexpr uint64_t kMaxGtidNumber = ~uint64_t{0} >> 1;

// Integers of MySQL's message format: the trailing ones of the first byte tell how many bytes follow.
uint64_t ReadVariable(ByteReader* in) {
  const uint8_t first = in->U8();
  const int more = std::countr_one(first);
  if (more == 8) {
    return in->FixedU64();
  }
  const uint64_t rest = ReadLittleEndian(in, static_cast<size_t>(more));
  if (more == 7) {
    return rest;
  }
  return rest << (7 - more) | first >> (more + 1);
}

int64_t ReadVariableSigned(ByteReader* in) {
  const uint64_t v = ReadVariable(in);
  return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
}

// Seven bytes, of which the highest bit says that another value follows.
uint64_t ReadCommitTime(ByteReader* in, bool* another) {
  const uint64_t v = ReadLittleEndian(in, 7);
  constexpr uint64_t kFlag = uint64_t{1} << 55;
  *another = (v & kFlag) != 0;
  return v & ~kFlag;
}

Result<MySqlGtid> ParseUntagged(EventType type, std::string_view body) {
  ByteReader in(body);
  in.Skip(1);  // flags
  const std::string_view uuid = in.Bytes(16);
  MySqlGtid gtid;
  gtid.number = in.FixedU64();
  if (!in.ok()) {
    return Malformed(type, "too short");
  }
  if (type == EventType::kGtid) {
    if (gtid.number == 0 || gtid.number > kMaxGtidNumber) {
      return Malformed(type, "transaction number out of range");
    }
    gtid.sid = FormatUuid(uuid);
  }
  if (in.at_end() || in.U8() != 2) {
    return gtid;  // a server that keeps no logical clock
  }
  in.Skip(16);
  if (in.ok() && in.remaining() >= 7) {
    bool original_follows = false;
    gtid.commit_time_us = static_cast<int64_t>(ReadCommitTime(&in, &original_follows));
    if (original_follows) {
      in.Skip(7);
    }
    if (!in.at_end()) {
      gtid.transaction_bytes = ReadLengthEncoded(&in);
    }
  }
  if (!in.ok()) {
    return Malformed(type, "too short");
  }
  return gtid;
}

// Numbers of the fields of a tagged GTID event.
enum TaggedField : uint8_t {
  kFlags = 0,
  kUuid = 1,
  kNumber = 2,
  kTag = 3,
  kLastCommitted = 4,
  kSequenceNumber = 5,
  kImmediateCommitTime = 6,
  kOriginalCommitTime = 7,
  kTransactionLength = 8,
  kImmediateVersion = 9,
  kOriginalVersion = 10,
  kCommitGroupTicket = 11,
};

// Whether the field is one we know, and so can be stepped over.
bool ReadTaggedField(uint64_t field, ByteReader* in, std::string* uuid, std::string* tag, MySqlGtid* gtid) {
  switch (field) {
    case kUuid:
      for (int i = 0; i < 16; ++i) {
        uuid->push_back(static_cast<char>(ReadVariable(in)));
      }
      return true;
    case kNumber: {
      const int64_t number = ReadVariableSigned(in);
      gtid->number = number > 0 ? static_cast<uint64_t>(number) : 0;
      return true;
    }
    case kTag:
      *tag = in->Bytes(ReadVariable(in));
      return true;
    case kLastCommitted:
    case kSequenceNumber:
      ReadVariableSigned(in);
      return true;
    case kImmediateCommitTime:
      gtid->commit_time_us = static_cast<int64_t>(ReadVariable(in));
      return true;
    case kTransactionLength:
      gtid->transaction_bytes = ReadVariable(in);
      return true;
    case kFlags:
    case kOriginalCommitTime:
    case kImmediateVersion:
    case kOriginalVersion:
    case kCommitGroupTicket:
      ReadVariable(in);
      return true;
    default:
      return false;
  }
}

Result<MySqlGtid> ParseTagged(std::string_view body) {
  constexpr EventType kType = EventType::kGtidTagged;
  ByteReader in(body);
  ReadVariable(&in);  // version of the message format
  ReadVariable(&in);  // size
  const uint64_t last_needed_field = ReadVariable(&in);
  if (last_needed_field > kCommitGroupTicket) {
    return Malformed(kType, "needs a field that is not known");
  }
  MySqlGtid gtid;
  std::string uuid;
  std::string tag;
  while (in.ok() && !in.at_end()) {
    if (!ReadTaggedField(ReadVariable(&in), &in, &uuid, &tag, &gtid)) {
      break;  // later fields may be ignored
    }
  }
  if (!in.ok() || uuid.size() != 16 || gtid.number == 0) {
    return Malformed(kType, "no GTID in it");
  }
  gtid.sid = FormatUuid(uuid);
  if (!tag.empty()) {
    gtid.sid += ':';
    gtid.sid += tag;
  }
  return gtid;
}

}  // namespace

std::string FormatUuid(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      text += '-';
    }
    const auto byte = static_cast<uint8_t>(bytes[i]);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Result<MariaDbGroup> ParseMariaDbGtid(const EventHeader& header, std::string_view body) {
  ByteReader in(body);
  MariaDbGroup group;
  group.sequence = in.FixedU64();
  group.domain = in.FixedU32();
  group.flags = in.U8();
  group.server = header.server_id;
  if (!in.ok()) {
    return Malformed(header.type, "too short");
  }
  constexpr uint8_t kGroupCommit = 0x02;
  if ((group.flags & kGroupCommit) != 0) {
    in.Skip(8);
  }
  if (group.prepared_xa() || group.completed_xa()) {
    in.Skip(4);
    const size_t gtrid_bytes = in.U8();
    const size_t bqual_bytes = in.U8();
    in.Skip(gtrid_bytes + bqual_bytes);
  }
  group.more_flags = in.U8();  // 0 if the event ends before
  return group;
}

Result<MySqlGtid> ParseMySqlGtid(EventType type, std::string_view body) {
  return type == EventType::kGtidTagged ? ParseTagged(body) : ParseUntagged(type, body);
}

Result<std::string> ParsePreviousGtids(std::string_view body) {
  constexpr EventType kType = EventType::kPreviousGtids;
  ByteReader in(body);
  // The highest byte tells the encoding; the tagged one repeats that byte in the lowest.
  const uint64_t head = in.FixedU64();
  const bool tagged = head >> 56 == 1;
  const uint64_t sids = tagged ? head << 8 >> 16 : head;
  std::string text;
  for (uint64_t i = 0; i < sids && in.ok(); ++i) {
    std::string sid = FormatUuid(in.Bytes(16));
    if (tagged) {
      const std::string_view tag = in.Bytes(ReadVariable(&in));
      sid += tag.empty() ? "" : ":" + std::string(tag);
    }
    const uint64_t intervals = in.FixedU64();
    text += (text.empty() ? "" : ",") + sid;
    for (uint64_t k = 0; k < intervals && in.ok(); ++k) {
      const uint64_t first = in.FixedU64();
      const uint64_t end = in.FixedU64();
      if (!in.ok() || first == 0 || end <= first || end > kMaxGtidNumber) {
        return Malformed(kType, "interval out of range");
      }
      text += end - first == 1 ? fmt::format(":{}", first) : fmt::format(":{}-{}", first, end - 1);
    }
  }
  if (!in.ok()) {
    return Malformed(kType, "too short");
  }
  return text;
}

Result<std::string> ParseGtidList(std::string_view body) {
  ByteReader in(body);
  // The four high bits are flags.
  const uint32_t count = in.FixedU32() & 0x0FFFFFFF;
  std::map<uint32_t, std::string> domains;
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    const uint32_t domain = in.FixedU32();
    const uint32_t server = in.FixedU32();
    const uint64_t sequence = in.FixedU64();
    // Of several servers in one domain the last written one comes last.
    domains[domain] = fmt::format("{}-{}-{}", domain, server, sequence);
  }
  if (!in.ok()) {
    return Malformed(EventType::kGtidList, "too short");
  }
  std::string text;
  for (const auto& [domain, gtid] : domains) {
    text += (text.empty() ? "" : ",") + gtid;
  }
  return text;
}

}  // namespace crossfade::capture
