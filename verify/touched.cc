#include "verify/touched.h"

#include <algorithm>
#include <chrono>

namespace crossfade::verify {

namespace {

constexpr uint64_t kOverhead = 64;  // of a string in a set
constexpr std::string_view kMovedWithoutKey =
    "a foreign key's action changed rows of it while it was compared, and it has no key by which they could be found";
constexpr std::string_view kWithoutKey = "it has no key by which a changed row could be found";

std::optional<std::vector<uint32_t>> ColumnsOf(const apply::Route& route, const std::vector<std::string>& names) {
  std::vector<uint32_t> columns;
  for (const std::string& name : names) {
    const std::optional<uint32_t> column = route.source.FindColumn(name);
    if (!column) {
      return std::nullopt;
    }
    columns.push_back(*column);
  }
  return columns;
}

bool SetsAnotherValue(ReferenceAction action) {
  return action == ReferenceAction::kSetNull || action == ReferenceAction::kSetDefault;
}

// Whether the rows of a child on which an action acted cannot be found by its columns: only all of it can be compared.
bool Unfindable(const ChildKey& key, ReferenceAction action) {
  return key.child->whole_row() || SetsAnotherValue(action);
}

// Whether what the action does to a child, which cannot be found afterwards, may act on rows that refer to it.
bool ActsFurther(const ChildKey& key, ReferenceAction action, bool deleted) {
  const apply::Route& child = key.child->route();
  if (deleted && !SetsAnotherValue(action)) {
    return child.delete_acts;
  }
  return Unfindable(key, action) && std::any_of(key.columns.begin(), key.columns.end(), [&](uint32_t column) {
           return child.referenced_columns.contains(column);
         });
}

// Whether a new value in `columns` of the child's parent goes on to the child.
bool HandedOn(const ChildKey& key, const std::vector<uint32_t>& columns) {
  return key.on_update != ReferenceAction::kNoAction &&
         std::any_of(key.parent_columns.begin(), key.parent_columns.end(), [&](uint32_t column) {
           return std::find(columns.begin(), columns.end(), column) != columns.end();
         });
}

void AddUnfindable(const ChildKey& key, Touched* touched) {
  touched->AddWhole(key.child,
                    key.child->whole_row() ? kWithoutKey : "a foreign key's action gave rows of it another value");
}

}  // namespace

bool ReferredFields(apply::Fields row, const std::vector<uint32_t>& places, std::string* out) {
  std::vector<std::string_view> parts;
  apply::SplitFields(row, &parts);
  const bool all = std::all_of(places.begin(), places.end(), [&](uint32_t p) { return parts[p].data() != nullptr; });
  if (all) {
    apply::SelectFields(row, places, out);
  }
  return all;
}

Result<std::unique_ptr<ComparedTables>> ComparedTables::Make(const apply::RouteSet& routes, apply::RowReader* target) {
  auto tables = std::make_unique<ComparedTables>();
  for (const auto& route : routes.routes()) {
    CROSSFADE_ASSIGN(std::unique_ptr<ComparedTable> table, ComparedTable::Make(*route, target));
    tables->children_[table.get()] = {};
    tables->tables_[route->source.name] = std::move(table);
  }
  for (const auto& [name, child] : tables->tables_) {
    for (const ForeignKey& key : child->route().source.foreign_keys) {
      const ComparedTable* parent = tables->Find(key.parent_table);
      if (parent == nullptr || !key.has_action()) {
        continue;
      }
      const auto columns = ColumnsOf(parent->route(), key.parent_columns);
      if (columns) {
        ChildKey known{child.get(), key.columns, parent->PlacesOf(*columns), *columns, key.on_delete, key.on_update};
        tables->children_[parent].push_back(std::move(known));
      }
    }
  }
  return tables;
}

const ComparedTable* ComparedTables::Find(std::string_view table) const {
  const auto found = tables_.find(table);
  return found == tables_.end() ? nullptr : found->second.get();
}

void Touched::Count(const std::string& added) {
  ++keys_;
  bytes_ += added.size() + kOverhead;
}

void Touched::AddKey(const ComparedTable* table, const std::string& key) {
  if (rows_[table].keys.insert(key).second) {
    Count(key);
  }
}

void Touched::AddChildren(const ComparedTable* table, const std::vector<uint32_t>& columns, const std::string& values) {
  if (rows_[table].by[columns].insert(values).second) {
    Count(values);
  }
}

void Touched::AddWhole(const ComparedTable* table, std::string_view why) {
  if (!whole_.contains(table)) {
    whole_.emplace(table, why);
  }
}

void Touched::Clear() {
  rows_.clear();
  whole_.clear();
  keys_ = bytes_ = 0;
}

Status TouchedReader::Open(Seq after) {
  decoder_.reset();
  block_.reset();
  reader_.reset();
  current_ = Seq{0};
  collected_ = after;
  last_ = Seq{0};
  last_position_ = {};
  CROSSFADE_ASSIGN(reader_, journal_->Read(after));
  return {};
}

Result<bool> TouchedReader::Collect(Seq upto, const TouchedLimits& limits, Touched* touched,
                                    const std::stop_token& stop) {
  while (touched->keys() < limits.max_keys && touched->bytes() < limits.max_bytes && !stop.stop_requested()) {
    CROSSFADE_ASSIGN(const bool more, NextChange(upto));
    if (!more) {
      return true;
    }
    CROSSFADE_TRY(Take(touched));
  }
  return false;
}

// False behind the last transaction up to `upto`.
Result<bool> TouchedReader::NextChange(Seq upto) {
  for (;;) {
    if (decoder_) {
      values_.clear();
      CROSSFADE_ASSIGN(const bool more, decoder_->Next(&values_, &change_));
      if (more) {
        return true;
      }
      decoder_.reset();
    }
    if (current_.value != 0) {
      CROSSFADE_ASSIGN(block_, reader_->NextBlock());
      if (block_) {
        decoder_ = state::DecodeBlock(*journal_, *block_);
        continue;
      }
      collected_ = current_;
      current_ = Seq{0};
    }
    if (collected_ >= upto) {
      return false;
    }
    CROSSFADE_ASSIGN(const auto header, reader_->NextTransaction(std::chrono::steady_clock::now()));
    if (!header) {
      return false;
    }
    current_ = last_ = header->seq;
    last_position_ = header->commit.position;
  }
}

Status TouchedReader::Take(Touched* touched) {
  const ComparedTable* table = tables_->Find(change_.table->name);
  if (table == nullptr) {
    return {};
  }
  if (change_.kind == ChangeKind::kTruncate) {
    if (moved_within_) {
      return {};
    }
    touched->AddWhole(table, "it was emptied by TRUNCATE");
    return {};
  }
  if (change_.table->columns.size() != table->route().source.columns.size()) {
    touched->AddWhole(table, "it was changed while it had other columns");
    return {};
  }
  before_.clear();
  after_.clear();
  if (moved_within_) {
    return TakeMoved(*table, touched);
  }
  CROSSFADE_TRY(TakeImage(*table, change_.before, change_.before_count, &before_, touched));
  CROSSFADE_TRY(TakeImage(*table, change_.after, change_.after_count, &after_, touched));
  TakeChildren(*table, touched);
  return {};
}

Status TouchedReader::TakeImage(const ComparedTable& table, size_t begin, size_t count, std::string* fields,
                                Touched* touched) {
  if (count == 0) {
    return {};
  }
  if (table.whole_row()) {
    touched->AddWhole(&table, kWithoutKey);
  }
  CROSSFADE_TRY(table.form().FieldsOf({values_.data() + begin, count}, fields));
  if (!table.whole_row()) {
    table.KeyOf(*fields, &key_);
    touched->AddKey(&table, key_);
  }
  return {};
}

bool TouchedReader::ReferenceChanged(const ChildKey& key) const {
  return std::any_of(key.parent_columns.begin(), key.parent_columns.end(), [&](uint32_t column) {
    return !Identical(values_[change_.before + column], values_[change_.after + column]);
  });
}

// The source's engine changes children without a word in the log.
void TouchedReader::TakeChildren(const ComparedTable& table, Touched* touched) {
  if (before_.empty() || (change_.flags & kNoForeignKeyChecks) != 0) {
    return;
  }
  const bool deleted = after_.empty();
  for (const ChildKey& key : tables_->children_of(table)) {
    const ReferenceAction action = deleted ? key.on_delete : key.on_update;
    if (action == ReferenceAction::kNoAction || (!deleted && !ReferenceChanged(key)) ||
        !ReferredFields(before_, key.parent_places, &key_)) {
      continue;
    }
    if (Unfindable(key, action)) {
      AddUnfindable(key, touched);
    }
    if (!key.child->whole_row()) {
      touched->AddChildren(key.child, key.columns, key_);
      if (!deleted && ReferredFields(after_, key.parent_places, &key_)) {
        touched->AddChildren(key.child, key.columns, key_);
      }
    }
    if (ActsFurther(key, action, deleted)) {
      AddReach(key, touched);
    } else if (!deleted) {
      handed_on_.clear();
      TakeHandedOn(key, touched);
    }
  }
}

// Which of the child's rows those were is not known any more, nor then which rows refer to them.
void TouchedReader::AddReach(const ChildKey& key, Touched* touched) const {
  for (const std::string& name : key.child->route().cascade_reach) {
    touched->AddWhole(tables_->Find(name), "a foreign key's action changed rows that it refers to");
  }
}

// A child's new value goes on to its own children. Those that a look finds by their columns are left to it. Whether
// there were such rows is not asked: they may have been changed since.
void TouchedReader::TakeHandedOn(const ChildKey& from, Touched* touched) {
  for (const ChildKey& key : tables_->children_of(*from.child)) {
    if (!HandedOn(key, from.columns) || !handed_on_.insert(&key).second) {
      continue;
    }
    if (!Unfindable(key, key.on_update)) {
      TakeHandedOn(key, touched);
      continue;
    }
    AddUnfindable(key, touched);
    if (ActsFurther(key, key.on_update, false)) {
      AddReach(key, touched);
    }
  }
}

// False if there is none: the whole table is added then.
bool TouchedReader::MakeRoom(const ComparedTable& table, Touched* touched) const {
  const bool room = touched->keys() < moved_within_->max_keys && touched->bytes() < moved_within_->max_bytes;
  if (!room) {
    touched->AddWhole(&table, "the keys of more of its rows than can be kept changed while it was compared");
  }
  return room;
}

// An insert, also one of a row that was deleted before, writes all columns: nothing wrong moves along with it.
Status TouchedReader::TakeMoved(const ComparedTable& table, Touched* touched) {
  if (change_.before_count == 0) {
    return {};
  }
  const bool updated = change_.after_count > 0;
  const apply::Route& route = table.route();
  const bool moved = updated && std::any_of(route.key.begin(), route.key.end(), [&](uint32_t column) {
                       return !Identical(values_[change_.before + column], values_[change_.after + column]);
                     });
  if (moved && table.whole_row()) {
    if ((change_.flags & kCascaded) != 0) {  // else the target's row must be the source's
      touched->AddWhole(&table, kMovedWithoutKey);
    }
  } else if (moved && MakeRoom(table, touched)) {
    CROSSFADE_TRY(table.form().FieldsOf({values_.data() + change_.after, change_.after_count}, &after_));
    table.KeyOf(after_, &key_);
    touched->AddKey(&table, key_);
  }
  const bool acts = (change_.flags & kNoForeignKeyChecks) == 0 && !tables_->children_of(table).empty();
  if (!acts || (updated && !moved && route.referenced_columns.empty())) {
    return {};
  }
  CROSSFADE_TRY(table.form().FieldsOf({values_.data() + change_.before, change_.before_count}, &before_));
  if (updated) {
    CROSSFADE_TRY(table.form().FieldsOf({values_.data() + change_.after, change_.after_count}, &after_));
  }
  TakeMovedChildren(table, touched);
  return {};
}

void TouchedReader::TakeMovedChildren(const ComparedTable& table, Touched* touched) {
  const bool deleted = change_.after_count == 0;
  for (const ChildKey& key : tables_->children_of(table)) {
    const ReferenceAction action = deleted ? key.on_delete : key.on_update;
    const bool removes = deleted && !SetsAnotherValue(action);
    if (action == ReferenceAction::kNoAction || removes || (!deleted && !ReferenceChanged(key)) ||
        !ReferredFields(before_, key.parent_places, &key_)) {
      continue;
    }
    handed_on_.clear();
    if (MovesBelow(key, !SetsAnotherValue(action), touched) && MakeRoom(*key.child, touched) &&
        ReferredFields(after_, key.parent_places, &key_)) {
      touched->AddChildren(key.child, key.columns, key_);
    }
  }
}

// Whether rows of the child, which got another value in the key's columns, or rows below them moved, and can be found
// from the child's rows. Tables whose rows cannot be found are added.
bool TouchedReader::MovesBelow(const ChildKey& key, bool findable, Touched* touched) {
  const std::vector<uint32_t>& identity = key.child->route().key;
  const bool identifies = std::any_of(key.columns.begin(), key.columns.end(), [&](uint32_t column) {
    return std::find(identity.begin(), identity.end(), column) != identity.end();
  });
  bool moves = false;
  if (key.child->whole_row()) {
    touched->AddWhole(key.child, kMovedWithoutKey);
    findable = false;
  } else if (identifies && findable) {
    moves = true;
  } else if (identifies) {
    touched->AddWhole(key.child, "a foreign key's action changed keys of it that cannot be told");
  }
  for (const ChildKey& next : tables_->children_of(*key.child)) {
    if (HandedOn(next, key.columns) && handed_on_.insert(&next).second) {
      moves |= MovesBelow(next, findable && !SetsAnotherValue(next.on_update), touched);
    }
  }
  return moves;
}

}  // namespace crossfade::verify
