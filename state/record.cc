#include "state/record.h"

// For a state on the stack.
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <cstring>

#include "core/bytes.h"

namespace crossfade::state {

namespace {

constexpr std::string_view kComponent = "state.journal";
constexpr uint8_t kCommitVersion = 1;
constexpr uint8_t kTailVersion = 1;
constexpr size_t kChecksumBytes = 8;
// In the place of a block's version.
constexpr uint8_t kPieceVersion = 2;

tl::unexpected<Error> Damaged(std::string_view what, std::string_view why) {
  return MakeError(ErrorClass::kCorrupt, "CF1304", kComponent, "{}: {}", what, why);
}

// With the key in it, a value that came to stand under another key is found out too.
uint64_t Checksum(std::string_view key, std::string_view payload) {
  return XXH3_64bits_withSeed(payload.data(), payload.size(), XXH3_64bits(key.data(), key.size()));
}

}  // namespace

LogKey::LogKey(Seq seq, uint32_t part) {
  const uint64_t s = __builtin_bswap64(seq.value);
  const uint32_t p = __builtin_bswap32(part);
  std::memcpy(bytes.data(), &s, sizeof s);
  std::memcpy(bytes.data() + sizeof s, &p, sizeof p);
}

std::optional<LogPlace> DecodeLogKey(std::string_view key) {
  ByteReader in(key);
  LogPlace place;
  place.seq.value = in.BigEndianU64();
  place.part = in.BigEndianU32();
  if (!in.ok() || !in.at_end()) {
    return std::nullopt;
  }
  return place;
}

std::string DescribeLogKey(std::string_view key) {
  const std::optional<LogPlace> place = DecodeLogKey(key);
  if (!place) {
    return "a row with a foreign key in the log";
  }
  return place->part == kCommitPart ? fmt::format("seq {}", place->seq.value)
                                    : fmt::format("seq {} part {}", place->seq.value, place->part);
}

std::string OpenKey(std::string_view xid, uint32_t part) {
  std::string key;
  ByteWriter out(&key);
  out.String(xid);
  out.BigEndianU32(part);
  return key;
}

std::optional<std::pair<std::string_view, uint32_t>> DecodeOpenKey(std::string_view key) {
  ByteReader in(key);
  const std::string_view xid = in.String();
  const uint32_t part = in.BigEndianU32();
  if (!in.ok() || !in.at_end()) {
    return std::nullopt;
  }
  return std::pair{xid, part};
}

std::string SealOf(std::string_view key, std::string_view payload, std::string_view rest) {
  XXH3_state_t state;
  XXH3_64bits_reset_withSeed(&state, XXH3_64bits(key.data(), key.size()));
  XXH3_64bits_update(&state, payload.data(), payload.size());
  XXH3_64bits_update(&state, rest.data(), rest.size());
  std::string seal;
  ByteWriter(&seal).FixedU64(XXH3_64bits_digest(&state));
  return seal;
}

void Seal(std::string_view key, std::string* payload) { ByteWriter(payload).FixedU64(Checksum(key, *payload)); }

std::string Sealed(std::string_view key, std::string_view payload) {
  std::string value(payload);
  Seal(key, &value);
  return value;
}

Result<std::string_view> Unseal(std::string_view key, std::string_view value, std::string_view what) {
  if (value.size() < kChecksumBytes) {
    return Damaged(what, fmt::format("only {} bytes", value.size()));
  }
  const std::string_view payload = value.substr(0, value.size() - kChecksumBytes);
  if (ByteReader(value.substr(payload.size())).FixedU64() != Checksum(key, payload)) {
    return Damaged(what, fmt::format("checksum does not fit ({} bytes)", value.size()));
  }
  return payload;
}

std::string PiecePrefix(uint64_t left) {
  std::string prefix;
  ByteWriter writer(&prefix);
  writer.U8(kPieceVersion);
  writer.Varint(left);
  return prefix;
}

std::optional<Piece> DecodePiece(std::string_view payload) {
  ByteReader in(payload);
  if (in.U8() != kPieceVersion) {
    return std::nullopt;
  }
  Piece piece;
  piece.left = in.Varint();
  piece.bytes = in.Bytes(in.remaining());
  return in.ok() ? std::optional(piece) : std::nullopt;
}

void EncodeCommitRecord(std::string_view key, const CommitInfo& commit, const CommitRecord& record, std::string* out) {
  out->clear();
  ByteWriter writer(out);
  writer.U8(kCommitVersion);
  writer.Varint(record.parts);
  writer.Varint(record.changes);
  writer.Varint(record.bytes);
  writer.SignedVarint(commit.commit_time_us);
  writer.SignedVarint(commit.arrival_time_us);
  writer.String(commit.position.Encode());
  writer.Bytes(record.block);
  Seal(key, out);
}

Result<CommitRecord> DecodeCommitRecord(std::string_view key, std::string_view value, std::string_view what) {
  CROSSFADE_ASSIGN(const std::string_view payload, Unseal(key, value, what));
  ByteReader in(payload);
  const uint8_t version = in.U8();
  CommitRecord record;
  const uint64_t parts = in.Varint();
  record.changes = in.Varint();
  record.bytes = in.Varint();
  record.commit.commit_time_us = in.SignedVarint();
  record.commit.arrival_time_us = in.SignedVarint();
  const std::string_view position = in.String();
  if (!in.ok() || version != kCommitVersion || parts >= kCommitPart) {
    return Damaged(what, fmt::format("not a commit record (version {}, {} bytes)", version, value.size()));
  }
  record.parts = static_cast<uint32_t>(parts);
  record.block = in.rest();
  if (record.parts != 0 ? !record.block.empty() : record.block.size() != record.bytes) {
    return Damaged(what, fmt::format("{} bytes of changes, but {} in the record", record.bytes, record.block.size()));
  }
  CROSSFADE_ASSIGN(record.commit.position, Position::Decode(position));
  return record;
}

std::string EncodeTail(const Tail& tail) {
  std::string payload;
  ByteWriter out(&payload);
  out.U8(kTailVersion);
  out.Varint(tail.seq.value);
  out.String(tail.position.Encode());
  return payload;
}

Result<Tail> DecodeTail(std::string_view payload) {
  ByteReader in(payload);
  const uint8_t version = in.U8();
  Tail tail;
  tail.seq.value = in.Varint();
  const std::string_view position = in.String();
  if (!in.ok() || !in.at_end() || version != kTailVersion) {
    return Damaged("the tail's record", "cannot be read");
  }
  CROSSFADE_ASSIGN(tail.position, Position::Decode(position));
  return tail;
}

}  // namespace crossfade::state
