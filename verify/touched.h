// Which rows the journal says were changed, until they are compared.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "apply/route.h"
#include "apply/row_reader.h"
#include "core/error.h"
#include "core/seq.h"
#include "state/journal.h"
#include "verify/sides.h"

namespace crossfade::verify {

// A foreign key with an action, as seen from the parent. Both sides' columns in the key's order.
struct ChildKey {
  const ComparedTable* child = nullptr;
  std::vector<uint32_t> columns;        // of the child
  std::vector<uint32_t> parent_places;  // among the parent's fields
  std::vector<uint32_t> parent_columns;
  ReferenceAction on_delete = ReferenceAction::kNoAction;
  ReferenceAction on_update = ReferenceAction::kNoAction;
};

// The fields at `places`; false if one of them is NULL, which no row refers to.
bool ReferredFields(apply::Fields row, const std::vector<uint32_t>& places, std::string* out);

// All tables of a migration, and what a change of one may do to others. Immutable.
class ComparedTables {
 public:
  static Result<std::unique_ptr<ComparedTables>> Make(const apply::RouteSet& routes, apply::RowReader* target);

  const ComparedTable* Find(std::string_view table) const;
  const std::vector<ChildKey>& children_of(const ComparedTable& table) const { return children_.at(&table); }

 private:
  std::map<std::string, std::unique_ptr<ComparedTable>, std::less<>> tables_;
  std::map<const ComparedTable*, std::vector<ChildKey>> children_;
};

using FieldSet = std::unordered_set<std::string>;

// Of one table.
struct TouchedRows {
  FieldSet keys;
  // Rows that only other columns lead to: by the columns, the values that are looked for. Children of a touched parent.
  std::map<std::vector<uint32_t>, FieldSet> by;
};

// Of all tables; every row once, however often it was changed.
class Touched {
 public:
  void AddKey(const ComparedTable* table, const std::string& key);
  void AddChildren(const ComparedTable* table, const std::vector<uint32_t>& columns, const std::string& values);
  // What happened to the table cannot be told by rows: all of it must be compared.
  void AddWhole(const ComparedTable* table, std::string_view why);

  const std::map<const ComparedTable*, TouchedRows>& rows() const { return rows_; }
  const std::map<const ComparedTable*, std::string>& whole() const { return whole_; }
  uint64_t keys() const { return keys_; }
  uint64_t bytes() const { return bytes_; }
  void Clear();

 private:
  void Count(const std::string& added);

  std::map<const ComparedTable*, TouchedRows> rows_;
  std::map<const ComparedTable*, std::string> whole_;
  uint64_t keys_ = 0;
  uint64_t bytes_ = 0;
};

struct TouchedLimits {
  uint64_t max_keys = 20'000;
  uint64_t max_bytes = 16 << 20;
};

// Walks the journal. One thread.
class TouchedReader {
 public:
  TouchedReader(const ComparedTables* tables, state::Journal* journal) : tables_(tables), journal_(journal) {}
  // Takes only rows whose key changed, under the key that they have then, in the log or by a foreign key's action. Of a
  // table for which there is no room left, all of it.
  TouchedReader(const ComparedTables* tables, state::Journal* journal, const TouchedLimits& moved_within)
      : tables_(tables), journal_(journal), moved_within_(moved_within) {}

  // Goes on behind `after`. Corrupt CF1305 if the journal does not go back that far.
  Status Open(Seq after);
  // Adds to `touched` until it is full or a stop is asked for, in the middle of a transaction too, or all up to `upto`
  // is in it: then true. Corrupt CF1305 if the journal was trimmed meanwhile.
  Result<bool> Collect(Seq upto, const TouchedLimits& limits, Touched* touched, const std::stop_token& stop = {});
  // Up to here everything has been added.
  Seq collected() const { return collected_; }
  // The last transaction of which something has been added, and where it ended; none: 0.
  Seq last() const { return last_; }
  const Position& last_position() const { return last_position_; }

 private:
  Result<bool> NextChange(Seq upto);
  Status Take(Touched* touched);
  Status TakeImage(const ComparedTable& table, size_t begin, size_t count, std::string* fields, Touched* touched);
  void TakeChildren(const ComparedTable& table, Touched* touched);
  Status TakeMoved(const ComparedTable& table, Touched* touched);
  void TakeMovedChildren(const ComparedTable& table, Touched* touched);
  bool MovesBelow(const ChildKey& key, bool findable, Touched* touched);
  bool MakeRoom(const ComparedTable& table, Touched* touched) const;
  void TakeHandedOn(const ChildKey& from, Touched* touched);
  void AddReach(const ChildKey& key, Touched* touched) const;
  bool ReferenceChanged(const ChildKey& key) const;

  const ComparedTables* tables_;
  state::Journal* journal_;
  const std::optional<TouchedLimits> moved_within_;
  std::unique_ptr<state::JournalReader> reader_;
  Seq collected_;
  Seq current_;  // the transaction that is being read; 0: none
  Seq last_;
  Position last_position_;
  std::optional<state::ChangeBlock> block_;  // stays where it is while `decoder_` reads it
  std::unique_ptr<state::ChangeDecoder> decoder_;
  state::ChangeDecoder::Decoded change_;
  std::vector<Value> values_;
  std::string before_;
  std::string after_;
  std::string key_;
  std::set<const ChildKey*> handed_on_;
};

}  // namespace crossfade::verify
