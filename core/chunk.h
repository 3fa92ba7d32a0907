// A key range of one table that the snapshot reads at once, and the proof that it is in the target.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/position.h"
#include "core/value.h"

namespace crossfade {

// Half-open range [from, to) over the first column of the primary key, in KeyOrdinal numbers; a missing end is open.
// A table that cannot be cut is one chunk with both ends open.
struct ChunkRange {
  std::optional<int64_t> from;
  std::optional<int64_t> to;

  bool whole() const { return !from && !to; }
  bool Holds(int64_t ordinal) const { return (!from || ordinal >= *from) && (!to || ordinal < *to); }
  friend bool operator==(const ChunkRange&, const ChunkRange&) = default;
};

// Order-preserving number of an integer or date key value; none for every other kind.
// Unsigned values are shifted down by 2^63, so that all of them fit.
std::optional<int64_t> KeyOrdinal(const Value& value);

// Written on the target, in the chunk's own transaction, before its rows.
struct ChunkMark {
  std::string table;   // source name
  uint32_t chunk = 0;  // number within the table's plan
  ChunkRange range;
  Position low;   // everything up to it was visible to the read
  Position high;  // nothing beyond it was visible
  uint64_t rows = 0;
};

}  // namespace crossfade
