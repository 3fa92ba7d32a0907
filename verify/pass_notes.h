// What is done of a pass, so that one that was interrupted goes on where it was.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"
#include "verify/outcome.h"
#include "verify/page_compare.h"

namespace crossfade::verify {

// A chunk of a pass: its table's place in the plan, and its own among the table's ranges.
struct PieceId {
  uint32_t table = 0;
  uint32_t chunk = 0;
  friend auto operator<=>(const PieceId&, const PieceId&) = default;
};

// What earlier processes have done of the pass. All of it was compared at or behind `from`.
struct PassSoFar {
  Position from;
  int64_t began_us = 0;
  uint32_t resumed = 0;  // times that a process went on with it
  std::set<PieceId> done;
  // Of pieces that are compared page by page: up to where, and the last sums.
  std::map<PieceId, PagePlace> pages;
  std::map<PieceId, std::string> sums;
  std::vector<TableOutcome> tables;  // what was found in them; in the plan's order
  // Up to here the journal was looked through for rows that moved, and what was noted of them.
  Seq followed;
  std::vector<std::string> moved;
  std::set<uint32_t> settled;  // tables that were done before that: what moves later is nothing to them
};

class PassNotes {
 public:
  virtual ~PassNotes() = default;
  // Calls come one at a time. After a kill what was noted is there again; after a loss of power all but the last
  // seconds.
  virtual Status Begin(const Position& from, int64_t began_us, Seq followed) = 0;
  // A part of a piece, up to a place.
  virtual Status PageDone(const PieceId& piece, const PagePlace& place, const TableOutcome& part) = 0;
  // The last sums of a piece replace those before.
  virtual Status KeepSums(const PieceId& piece, std::string_view sums) = 0;
  virtual Status PieceDone(const PieceId& piece, const TableOutcome& part) = 0;
  // `moved`: what is new since the call before; see MovedRows. `settled`: these tables, too.
  virtual Status Followed(Seq followed, std::string_view moved, const std::set<uint32_t>& settled) = 0;
  // What was noted of the table before is as if it were not.
  virtual Status Anew(uint32_t table) = 0;
};

}  // namespace crossfade::verify
