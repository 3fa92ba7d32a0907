#include "verify/touched.h"

#include <algorithm>
#include <chrono>

namespace crossfade::verify {

namespace {

constexpr uint64_t kOverhead = 64;  // of a string in a set
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

// Whether what the action does to a child, which cannot be found afterwards, may act on rows that refer to it.
bool ActsFurther(const ChildKey& key, ReferenceAction action, bool deleted) {
  const apply::Route& child = key.child->route();
  if (!SetsAnotherValue(action)) {
    return deleted && child.delete_acts;
  }
  return std::any_of(key.columns.begin(), key.columns.end(),
                     [&](uint32_t column) { return child.referenced_columns.contains(column); });
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

Result<bool> TouchedReader::Collect(Seq upto, const TouchedLimits& limits, Touched* touched) {
  while (touched->keys() < limits.max_keys && touched->bytes() < limits.max_bytes) {
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
    touched->AddWhole(table, "it was emptied by TRUNCATE");
    return {};
  }
  if (change_.table->columns.size() != table->route().source.columns.size()) {
    touched->AddWhole(table, "it was changed while it had other columns");
    return {};
  }
  before_.clear();
  after_.clear();
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
  for (size_t i = begin; i < begin + count; ++i) {
    if (values_[i].is_absent()) {
      values_[i] = Value::Null();  // not in the log; never of the key, which is all that is looked at
    }
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
    if (key.child->whole_row()) {
      touched->AddWhole(key.child, kWithoutKey);
      continue;
    }
    touched->AddChildren(key.child, key.columns, key_);
    if (!deleted && ReferredFields(after_, key.parent_places, &key_)) {
      touched->AddChildren(key.child, key.columns, key_);
    }
    if (SetsAnotherValue(action)) {
      touched->AddWhole(key.child, "a foreign key's action gave rows of it another value");
    }
    if (ActsFurther(key, action, deleted)) {
      // Which of its rows those were is not known any more, nor then which rows refer to them.
      for (const std::string& name : key.child->route().cascade_reach) {
        touched->AddWhole(tables_->Find(name), "a foreign key's action changed rows that it refers to");
      }
    }
  }
}

}  // namespace crossfade::verify
