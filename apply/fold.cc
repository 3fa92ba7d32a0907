#include "apply/fold.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace crossfade::apply {

namespace {

constexpr size_t kFirstSlots = 1024;

uint64_t Mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9E3779B97F4A7C15ULL + (h << 6) + (h >> 2);
  h *= 0xFF51AFD7ED558CCDULL;
  return h ^ (h >> 32);
}

uint64_t HashValue(uint64_t seed, const Value& value) {
  const uint64_t h = Mix(seed, static_cast<uint64_t>(value.kind) + 1);
  return value.bytes.empty() ? Mix(h, value.u) : Mix(h, XXH3_64bits(value.bytes.data(), value.bytes.size()));
}

// An order in which neighbours are near each other in the target's index, so that its pages are visited once.
bool ComesBefore(const Route& route, const RowChange& a, const RowChange& b) {
  const std::span<const Value> left = a.before.empty() ? a.after : a.before;
  const std::span<const Value> right = b.before.empty() ? b.after : b.before;
  for (const uint32_t column : route.key) {
    const Value& x = left[column];
    const Value& y = right[column];
    if (x.bytes != y.bytes) {
      return x.bytes < y.bytes;
    }
    if (x.i != y.i) {
      return x.i < y.i;
    }
  }
  return false;
}

// Whether no foreign key with an ON UPDATE action sees a difference.
bool SameReferences(const PendingChange& change, std::span<const Value> values) {
  const std::set<uint32_t>& referenced = change.table->route->referenced_columns;
  return std::all_of(referenced.begin(), referenced.end(), [&](uint32_t column) {
    return Identical(values[change.before + column], values[change.after + column]);
  });
}

bool SameForeignKeys(const PendingChange& change, std::span<const Value> values) {
  for (const ForeignKey& key : change.table->route->source.foreign_keys) {
    for (const uint32_t column : key.columns) {
      if (!Identical(values[change.before + column], values[change.after + column])) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

bool WithoutActions(const PendingChange& change) {
  const Route& route = *change.table->route;
  if (change.kind == ChangeKind::kTruncate) {
    return route.referenced;
  }
  if ((change.flags & (kNoForeignKeyChecks | kCascaded)) != kNoForeignKeyChecks) {
    return false;
  }
  // Where no foreign key could have acted, the right to switch them off is not needed.
  const bool as_parent = route.referenced && change.kind != ChangeKind::kInsert;
  const bool as_child = !route.source.foreign_keys.empty() && change.kind != ChangeKind::kDelete;
  return as_parent || as_child;
}

bool UnseenByForeignKeys(const PendingChange& change, std::span<const Value> values) {
  return change.kind == ChangeKind::kUpdate && (change.flags & kCascaded) == 0 && SameForeignKeys(change, values) &&
         SameReferences(change, values);
}

bool Acts(const PendingChange& change, std::span<const Value> values) {
  const Route& route = *change.table->route;
  if (route.cascade_reach.empty()) {
    return false;
  }
  if (change.kind == ChangeKind::kDelete) {
    return route.delete_acts;
  }
  if (change.kind != ChangeKind::kUpdate) {
    return false;
  }
  return !SameKey(change, values) || !SameReferences(change, values);
}

bool SameKey(const PendingChange& change, std::span<const Value> values) {
  const std::vector<uint32_t>& key = change.table->route->key;
  return std::all_of(key.begin(), key.end(), [&](uint32_t column) {
    return Identical(values[change.before + column], values[change.after + column]);
  });
}

StepKind KindOf(const PendingChange& change) {
  const bool lenient = change.lenient || (change.flags & kCascaded) != 0;
  switch (change.kind) {
    case ChangeKind::kInsert:
      return lenient ? StepKind::kUpsert : StepKind::kInsert;
    case ChangeKind::kUpdate:
      return lenient ? StepKind::kUpdateIfThere : StepKind::kUpdate;
    case ChangeKind::kDelete:
      return lenient ? StepKind::kDeleteIfThere : StepKind::kDelete;
    case ChangeKind::kTruncate:
      break;
  }
  return StepKind::kTruncate;
}

RowChange ImagesOf(const PendingChange& change, std::span<const Value> values) {
  RowChange row;
  row.seq = change.seq;
  if (change.before != kNoImage) {
    row.before = values.subspan(change.before, change.table->columns);
  }
  if (change.after != kNoImage) {
    row.after = values.subspan(change.after, change.table->columns);
  }
  return row;
}

void HashSet::Clear() {
  size_ = 0;
  if (++generation_ == 0) {
    slots_.assign(slots_.size(), Slot{});
    generation_ = 1;
  }
}

void HashSet::Insert(uint64_t hash) {
  if ((size_ + 1) * 2 > slots_.size()) {
    Grow();
  }
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].generation == generation_) {
    if (slots_[at].hash == hash) {
      return;
    }
    at = (at + 1) & mask;
  }
  slots_[at] = {hash, generation_};
  ++size_;
}

bool HashSet::Contains(uint64_t hash) const {
  if (size_ == 0) {
    return false;
  }
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].generation == generation_; at = (at + 1) & mask) {
    if (slots_[at].hash == hash) {
      return true;
    }
  }
  return false;
}

void HashSet::Grow() {
  std::vector<Slot> old = std::move(slots_);
  slots_.assign(std::max<size_t>(256, old.size() * 2), Slot{});
  size_ = 0;
  for (const Slot& slot : old) {
    if (slot.generation == generation_) {
      Insert(slot.hash);
    }
  }
}

void Fold::Begin(std::span<const Value> values) {
  values_ = values;
  steps_.clear();
  held_.clear();
  entries_.clear();
  freed_.Clear();
  taken_.Clear();
  NextGeneration();
  without_actions_ = false;
}

void Fold::NextGeneration() {
  if (++generation_ == 0) {
    slots_.assign(slots_.size(), Slot{});
    generation_ = 1;
  }
}

std::vector<Step> Fold::Finish() {
  ReleaseHeld();
  Close();
  return std::move(steps_);
}

void Fold::Add(const PendingChange& change) {
  if ((change.flags & kCascaded) != 0) {
    held_.push_back(change);
  } else {
    const bool without = WithoutActions(change);
    // What no foreign key can see goes with its neighbours, either way.
    const bool either = !without && (change.flags & kNoForeignKeyChecks) != 0;
    if (!either && without != without_actions_) {
      Close();
      without_actions_ = without;
    }
    if (change.kind == ChangeKind::kTruncate || (!without && Acts(change, values_))) {
      AddBarrier(change);
    } else {
      AddFolded(change);
    }
  }
  if ((change.flags & kEndOfStatement) != 0) {
    ReleaseHeld();
  }
}

void Fold::AddBarrier(const PendingChange& change) {
  Close();
  const StepKind kind = KindOf(change);
  const bool deletes = kind == StepKind::kDelete || kind == StepKind::kDeleteIfThere;
  Step* last = steps_.empty() ? nullptr : &steps_.back();
  if (!deletes || last == nullptr || last->route != change.table->route || last->kind != kind ||
      last->without_actions != without_actions_) {
    last = &steps_.emplace_back();
    last->route = change.table->route;
    last->kind = kind;
    last->without_actions = without_actions_;
  }
  if (change.kind == ChangeKind::kTruncate) {
    if (change.table->windows != nullptr) {
      last->ranges = change.table->windows->Truncated(change.seq).value_or(std::vector<ChunkRange>());
    }
    return;
  }
  last->rows.push_back(ImagesOf(change, values_));
}

void Fold::AddFolded(const PendingChange& change) {
  if (change.table->route->identity == RowIdentity::kWholeRow) {
    BucketOf(change.table).ordered.push_back(change);
    return;
  }
  if (change.kind == ChangeKind::kUpdate && !SameKey(change, values_)) {
    if (change.partial) {  // no row can be made of it
      AddBarrier(change);
      return;
    }
    Put(change, ChangeKind::kDelete);
    Put(change, ChangeKind::kInsert);
    return;
  }
  Put(change, change.kind);
}

// Rows that the source's own foreign keys changed come before their parent's row in the log, and the target's foreign
// keys may have changed them already when the parent's change is through.
void Fold::ReleaseHeld() {
  if (held_.empty()) {
    return;
  }
  Close();
  without_actions_ = false;
  for (PendingChange& change : held_) {
    change.lenient = true;
    const bool whole_row = change.table->route->identity == RowIdentity::kWholeRow;
    if (change.kind == ChangeKind::kUpdate && !whole_row && !SameKey(change, values_)) {
      Close();
      Step& step = steps_.emplace_back();
      step.route = change.table->route;
      step.kind = StepKind::kUpdateIfThere;
      step.rows.push_back(ImagesOf(change, values_));
    } else {
      AddFolded(change);
    }
  }
  held_.clear();
  Close();
}

void Fold::Put(const PendingChange& change, ChangeKind op) {
  const AppliedTable& table = *change.table;
  const uint32_t image = op == ChangeKind::kDelete ? change.before : change.after;
  const uint64_t hash = HashKey(table, image);
  Slot* slot = FindSlot(table, image, hash);
  if (slot->generation == generation_) {
    Entry* entry = &entries_[slot->entry];
    if (entry->lenient == change.lenient && !Loses(*entry, change, op) &&
        (change.lenient ? MergeLenient(entry, change, op) : Merge(entry, change, op))) {
      entry->seq = change.seq;
      return;
    }
    Close();
  } else if (op == ChangeKind::kUpdate && !change.lenient && !MayHandOver(table, change.before, change.after, false)) {
    Close();
  }
  if ((entries_.size() + 1) * 2 > slots_.size()) {
    GrowSlots();
  }
  slot = FindSlot(table, image, hash);
  *slot = {static_cast<uint32_t>(entries_.size()), generation_};
  Entry& entry = entries_.emplace_back();
  entry.table = change.table;
  entry.net = op == ChangeKind::kInsert ? Net::kInsert : op == ChangeKind::kUpdate ? Net::kUpdate : Net::kDelete;
  entry.lenient = change.lenient;
  entry.before = op == ChangeKind::kInsert ? kNoImage : change.before;
  entry.after = op == ChangeKind::kDelete ? kNoImage : change.after;
  entry.key = image;
  entry.hash = hash;
  entry.seq = change.seq;
  if (op == ChangeKind::kUpdate && !change.lenient) {
    NoteHandOver(table, change.before, change.after);
  }
}

// Whether the entry has a new value that the change, to which it is old, does not repeat.
bool Fold::Loses(const Entry& entry, const PendingChange& change, ChangeKind op) const {
  if (!change.partial || op != ChangeKind::kUpdate || entry.after == kNoImage) {
    return false;
  }
  const std::vector<uint32_t>& columns = change.table->route->columns;
  return std::any_of(columns.begin(), columns.end(), [&](uint32_t column) {
    return values_[change.after + column].is_absent() && !values_[entry.after + column].is_absent();
  });
}

// False: the two cannot be one; also for a sequence that no source can have made, which then fails as it should.
bool Fold::Merge(Entry* entry, const PendingChange& change, ChangeKind op) {
  const AppliedTable& table = *change.table;
  if (op == ChangeKind::kInsert) {
    if (entry->net == Net::kNothing) {
      entry->net = Net::kInsert;
      entry->after = change.after;
      return true;
    }
    const std::set<uint32_t>& referenced = table.route->referenced_columns;
    const bool same_references = std::all_of(referenced.begin(), referenced.end(), [&](uint32_t column) {
      return Identical(values_[entry->before + column], values_[change.after + column]);
    });
    if (entry->net != Net::kDelete || !same_references || !MayHandOver(table, entry->before, change.after, true)) {
      return false;
    }
    NoteHandOver(table, entry->before, change.after);
    entry->net = Net::kUpdate;
    entry->after = change.after;
    return true;
  }
  if (op == ChangeKind::kUpdate) {
    if (entry->net == Net::kUpdate) {
      if (!MayHandOver(table, change.before, change.after, false)) {
        return false;
      }
      NoteHandOver(table, change.before, change.after);
    } else if (entry->net != Net::kInsert) {
      return false;
    }
    entry->after = change.after;
    return true;
  }
  if (entry->net != Net::kUpdate && entry->net != Net::kInsert) {
    return false;
  }
  entry->net = entry->net == Net::kInsert ? Net::kNothing : Net::kDelete;
  entry->after = kNoImage;
  return true;
}

// "Make it so" steps need no history: the last one stands.
bool Fold::MergeLenient(Entry* entry, const PendingChange& change, ChangeKind op) {
  if (op == ChangeKind::kDelete) {
    entry->net = Net::kDelete;
    entry->before = change.before;
    entry->after = kNoImage;
  } else if (op == ChangeKind::kInsert || entry->net == Net::kInsert) {
    entry->net = Net::kInsert;
    entry->after = change.after;
  } else if (entry->net == Net::kUpdate) {
    entry->after = change.after;
  }
  return true;
}

// Unique keys are checked row by row. Deletes come first and inserts last, so only an update can meet a value that
// another update of the same segment has yet to give up.
bool Fold::MayHandOver(const AppliedTable& table, uint32_t before, uint32_t after, bool row_was_deleted) const {
  for (size_t i = 0; i < table.unique_keys.size(); ++i) {
    const std::vector<uint32_t>& columns = table.unique_keys[i];
    if (SameColumns(columns, before, after)) {
      continue;
    }
    const uint64_t seed = Mix(table.index, i);
    if ((HasValue(columns, after) && freed_.Contains(HashUnique(columns, after, seed))) ||
        (row_was_deleted && HasValue(columns, before) && taken_.Contains(HashUnique(columns, before, seed)))) {
      return false;
    }
  }
  return true;
}

void Fold::NoteHandOver(const AppliedTable& table, uint32_t before, uint32_t after) {
  for (size_t i = 0; i < table.unique_keys.size(); ++i) {
    const std::vector<uint32_t>& columns = table.unique_keys[i];
    if (SameColumns(columns, before, after)) {
      continue;
    }
    const uint64_t seed = Mix(table.index, i);
    if (HasValue(columns, before)) {
      freed_.Insert(HashUnique(columns, before, seed));
    }
    if (HasValue(columns, after)) {
      taken_.Insert(HashUnique(columns, after, seed));
    }
  }
}

// A unique key with a NULL in it is no value: nobody else can want it.
bool Fold::HasValue(const std::vector<uint32_t>& unique_key, uint32_t image) const {
  return std::none_of(unique_key.begin(), unique_key.end(),
                      [&](uint32_t column) { return values_[image + column].is_null(); });
}

bool Fold::Unchanged(const AppliedTable& table, uint32_t before, uint32_t after) const {
  return SameColumns(table.route->columns, before, after);
}

bool Fold::SameColumns(std::span<const uint32_t> columns, uint32_t a, uint32_t b) const {
  return std::all_of(columns.begin(), columns.end(),
                     [&](uint32_t column) { return Identical(values_[a + column], values_[b + column]); });
}

uint64_t Fold::HashKey(const AppliedTable& table, uint32_t image) const {
  uint64_t h = table.index;
  for (const uint32_t column : table.route->key) {
    h = HashValue(h, values_[image + column]);
  }
  return h;
}

uint64_t Fold::HashUnique(const std::vector<uint32_t>& columns, uint32_t image, uint64_t seed) const {
  uint64_t h = seed;
  for (const uint32_t column : columns) {
    h = HashValue(h, values_[image + column]);
  }
  return h;
}

Fold::Slot* Fold::FindSlot(const AppliedTable& table, uint32_t image, uint64_t hash) {
  if (slots_.empty()) {
    slots_.resize(kFirstSlots);
  }
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (; slots_[at].generation == generation_; at = (at + 1) & mask) {
    const Entry& entry = entries_[slots_[at].entry];
    if (entry.hash == hash && entry.table == &table && SameColumns(table.route->key, entry.key, image)) {
      break;
    }
  }
  return &slots_[at];
}

void Fold::GrowSlots() {
  slots_.assign(slots_.size() * 2, Slot{});
  const size_t mask = slots_.size() - 1;
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    size_t at = entries_[i].hash & mask;
    while (slots_[at].generation == generation_) {
      at = (at + 1) & mask;
    }
    slots_[at] = {i, generation_};
  }
}

Fold::Bucket& Fold::BucketOf(const AppliedTable* table) {
  if (table->index >= buckets_.size()) {
    buckets_.resize(table->index + 1);
  }
  Bucket& bucket = buckets_[table->index];
  if (bucket.table == nullptr) {
    bucket.table = table;
    touched_.push_back(table->index);
  }
  return bucket;
}

RowChange Fold::Row(const AppliedTable& table, uint32_t before, uint32_t after, Seq seq) const {
  RowChange row;
  row.seq = seq;
  if (before != kNoImage) {
    row.before = values_.subspan(before, table.columns);
  }
  if (after != kNoImage) {
    row.after = values_.subspan(after, table.columns);
  }
  return row;
}

void Fold::Sort(const Entry& entry) {
  const AppliedTable& table = *entry.table;
  if (entry.net == Net::kNothing ||
      (entry.net == Net::kUpdate && !entry.lenient && Unchanged(table, entry.before, entry.after))) {
    return;
  }
  Bucket& bucket = BucketOf(entry.table);
  switch (entry.net) {
    case Net::kNothing:
      break;
    case Net::kInsert:
      (entry.lenient ? bucket.upserts : bucket.inserts).push_back(Row(table, kNoImage, entry.after, entry.seq));
      break;
    case Net::kUpdate:
      (entry.lenient ? bucket.lenient_updates : bucket.updates)
          .push_back(Row(table, entry.before, entry.after, entry.seq));
      break;
    case Net::kDelete:
      (entry.lenient ? bucket.lenient_deletes : bucket.deletes)
          .push_back(Row(table, entry.before, kNoImage, entry.seq));
      break;
  }
}

void Fold::Close() {
  for (const Entry& entry : entries_) {
    Sort(entry);
  }
  entries_.clear();
  NextGeneration();
  freed_.Clear();
  taken_.Clear();
  std::sort(touched_.begin(), touched_.end(),
            [&](uint32_t a, uint32_t b) { return buckets_[a].table->route->rank < buckets_[b].table->route->rank; });
  for (auto index = touched_.rbegin(); index != touched_.rend(); ++index) {
    Bucket& bucket = buckets_[*index];
    Emit(bucket.table->route, StepKind::kDelete, &bucket.deletes);
    Emit(bucket.table->route, StepKind::kDeleteIfThere, &bucket.lenient_deletes);
  }
  for (const uint32_t index : touched_) {
    Bucket& bucket = buckets_[index];
    Emit(bucket.table->route, StepKind::kUpdate, &bucket.updates);
    Emit(bucket.table->route, StepKind::kUpdateIfThere, &bucket.lenient_updates);
    Emit(bucket.table->route, StepKind::kUpsert, &bucket.upserts);
    Emit(bucket.table->route, StepKind::kInsert, &bucket.inserts);
    EmitOrdered(&bucket);
    bucket.table = nullptr;
  }
  touched_.clear();
}

void Fold::Emit(const Route* route, StepKind kind, std::vector<RowChange>* rows) {
  if (rows->empty()) {
    return;
  }
  if (route->identity != RowIdentity::kWholeRow) {
    std::sort(rows->begin(), rows->end(),
              [&](const RowChange& a, const RowChange& b) { return ComesBefore(*route, a, b); });
  }
  Step& step = steps_.emplace_back();
  step.route = route;
  step.kind = kind;
  step.without_actions = without_actions_;
  step.rows = std::move(*rows);
  rows->clear();
}

void Fold::EmitOrdered(Bucket* bucket) {
  std::vector<RowChange> rows;
  for (size_t i = 0; i < bucket->ordered.size(); ++i) {
    const PendingChange& change = bucket->ordered[i];
    rows.push_back(ImagesOf(change, values_));
    if (i + 1 == bucket->ordered.size() || KindOf(bucket->ordered[i + 1]) != KindOf(change)) {
      Emit(bucket->table->route, KindOf(change), &rows);
    }
  }
  bucket->ordered.clear();
}

}  // namespace crossfade::apply
