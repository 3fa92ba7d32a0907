// Keys and values of the journal's rows in RocksDB; docs/journal_format.md. Nothing here knows RocksDB.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/seq.h"
#include "state/journal.h"

namespace crossfade::state {

// The part number of a commit record (log) and of a prepare record (open area): it sorts behind all parts.
inline constexpr uint32_t kCommitPart = 0xFFFFFFFF;

struct LogKey {
  std::array<char, 12> bytes;

  LogKey(Seq seq, uint32_t part);
  std::string_view view() const { return {bytes.data(), bytes.size()}; }
};

struct LogPlace {
  Seq seq;
  uint32_t part = 0;
};

std::optional<LogPlace> DecodeLogKey(std::string_view key);
std::string DescribeLogKey(std::string_view key);  // "seq 812 part 3", for messages

std::string OpenKey(std::string_view xid, uint32_t part);
// The xid and the part; none if it is no such key. Borrows from `key`.
std::optional<std::pair<std::string_view, uint32_t>> DecodeOpenKey(std::string_view key);

// Every value is a payload and, behind it, 8 bytes of checksum over the key and the payload.
void Seal(std::string_view key, std::string* payload);
// The same for a payload in two parts.
std::string SealOf(std::string_view key, std::string_view payload, std::string_view rest);
std::string Sealed(std::string_view key, std::string_view payload);
// The payload; Corrupt CF1304 if the checksum does not fit. `what` names the row in the message.
Result<std::string_view> Unseal(std::string_view key, std::string_view value, std::string_view what);

// A block that is too large for one row lies in several, as pieces in order. Payload: this prefix, and the bytes.
// `left`: bytes of the block behind this piece.
std::string PiecePrefix(uint64_t left);
struct Piece {
  uint64_t left = 0;
  std::string_view bytes;
};
// None if the payload is no piece (but a whole block). Borrows from it.
std::optional<Piece> DecodePiece(std::string_view payload);

// Of a committed transaction, or of a prepared one (whose position is that of the prepare).
struct CommitRecord {
  CommitInfo commit;
  uint32_t parts = 0;  // 0: the changes are here, in `block`
  uint64_t changes = 0;
  uint64_t bytes = 0;  // of all its blocks
  std::string_view block;
};

// Replaces `out`.
void EncodeCommitRecord(std::string_view key, const CommitInfo& commit, const CommitRecord& record, std::string* out);
Result<CommitRecord> DecodeCommitRecord(std::string_view key, std::string_view value, std::string_view what);

std::string EncodeTail(const Tail& tail);
Result<Tail> DecodeTail(std::string_view payload);

}  // namespace crossfade::state
