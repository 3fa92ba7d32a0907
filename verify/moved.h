// Rows whose key changed while a pass went through their table.
//
// A pass reads a table in parts. A row that moves from a part that is still to be read to one that has been read is
// read on neither side; and where only the columns that changed are written, what was wrong in it moves along.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "core/seq.h"
#include "state/journal.h"
#include "verify/touched.h"

namespace crossfade::verify {

// One thread.
class MovedRows {
 public:
  // Of a table of which more is to be kept than `limits` leave room for, all of it is said to have moved.
  MovedRows(const ComparedTables* tables, state::Journal* journal, const TouchedLimits& limits)
      : tables_(tables), journal_(journal), limits_(limits) {}

  void Begin(Seq after) { followed_ = after; }
  // What Follow has noted for an earlier process. False if that is unreadable.
  bool Add(std::string_view noted);
  // Adds what the journal holds by now, and notes what is new in bytes for Add. Where it was stopped the rest is left.
  // Corrupt CF1305 if the journal was trimmed.
  Result<std::string> Follow(const std::stop_token& stop);
  // What moved in the table cannot be told any more. Bytes for Add.
  std::string AddWhole(const ComparedTable* table, std::string_view why);

  Seq followed() const { return followed_; }
  const Touched& rows() const { return rows_; }

 private:
  void Merge(const Touched& more);

  const ComparedTables* tables_;
  state::Journal* journal_;
  const TouchedLimits limits_;
  Seq followed_;
  Touched rows_;
};

}  // namespace crossfade::verify
