// Which changes the copy already holds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/chunk.h"
#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"
#include "core/value.h"
#include "state/journal.h"

namespace crossfade::apply {

// One chunk, its window as Seqs: all up to `low` is in the copy, nothing beyond `high` is.
struct ChunkWindow {
  std::string table;  // source name
  ChunkRange range;
  Seq low;
  Seq high;
};

enum class Verdict : uint8_t {
  kSkip,    // the copy holds it
  kFuzzy,   // the copy may or may not hold it
  kStrict,  // the copy does not hold it
};

// The windows of one table.
class TableWindows {
 public:
  // `key` is the value of the first column of the primary key. Corrupt CF1521 if no chunk holds it.
  Result<Verdict> Decide(const Value& key, Seq seq) const;
  // No key of this table gets another verdict than kStrict at `seq`.
  bool AllStrict(Seq seq) const { return seq > max_high_; }

  // What a TRUNCATE at `seq` empties: nullopt is nothing, no ranges is everything.
  std::optional<std::vector<ChunkRange>> Truncated(Seq seq) const;

 private:
  friend class Windows;
  std::vector<ChunkWindow> chunks_;  // by range
  bool uniform_ = true;              // all have one window
  Seq max_high_;
};

// The windows of all chunks. Immutable; any thread.
class Windows {
 public:
  Windows() = default;  // all is strict
  explicit Windows(std::vector<ChunkWindow> chunks);

  // Transient CF1520 while the journal has not reached the highest `high`: what is yet to come could be within it.
  static Result<Windows> FromMarks(const std::vector<ChunkMark>& marks, state::Journal* journal,
                                   const PositionOrder& order);

  // None: every change of that table is strict.
  const TableWindows* Find(std::string_view table) const;
  // Beyond it every change is strict.
  Seq MaxHigh() const { return max_high_; }

 private:
  std::map<std::string, TableWindows, std::less<>> tables_;
  Seq max_high_;
};

}  // namespace crossfade::apply
