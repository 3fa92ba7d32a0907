// Brings a run of changes to its net effect, as steps that may be written set by set.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "apply/route.h"
#include "apply/target.h"
#include "apply/window.h"
#include "core/change.h"
#include "core/seq.h"
#include "core/value.h"

namespace crossfade::apply {

// One captured table as the log shows it, and where its rows go.
struct AppliedTable {
  const Route* route = nullptr;
  const TableWindows* windows = nullptr;           // none: all is strict
  std::vector<std::vector<uint32_t>> unique_keys;  // beside the identity
  uint32_t columns = 0;
  uint32_t index = 0;  // dense number
};

inline constexpr uint32_t kNoImage = std::numeric_limits<uint32_t>::max();

// One row's change, not yet judged against others. Images are indexes into a list of values.
struct PendingChange {
  const AppliedTable* table = nullptr;
  ChangeKind kind = ChangeKind::kInsert;
  uint8_t flags = 0;
  bool lenient = false;  // in a chunk's window
  bool partial = false;  // an update whose `after` lacks values that did not change: they are not in the log
  uint32_t before = kNoImage;
  uint32_t after = kNoImage;
  uint32_t transaction = 0;
  Seq seq;
};

// Whether the source neither checked nor fired foreign keys for it, and the target must not either (hazard H9).
bool WithoutActions(const PendingChange& change);
// Whether it is an update that no foreign key can see, neither the table's own nor those that refer to it.
bool UnseenByForeignKeys(const PendingChange& change, std::span<const Value> values);
// Whether the target's foreign keys will change other rows on account of this change (hazard H12).
bool Acts(const PendingChange& change, std::span<const Value> values);
bool SameKey(const PendingChange& change, std::span<const Value> values);
// The statement that makes exactly this change.
StepKind KindOf(const PendingChange& change);
RowChange ImagesOf(const PendingChange& change, std::span<const Value> values);

// A set of 64-bit hashes that is emptied in no time. Equal hashes count as equal values: its users may only err towards
// caution.
class HashSet {
 public:
  void Clear();
  void Insert(uint64_t hash);
  bool Contains(uint64_t hash) const;

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t generation = 0;
  };
  void Grow();
  std::vector<Slot> slots_;
  size_t size_ = 0;
  uint32_t generation_ = 1;
};

// Changes of one key fold into one; changes of different keys are sorted into deletes, updates and inserts, wherever no
// constraint and no foreign key's action can see the difference. Where one could, a segment ends: everything before it
// is written before everything behind it. Buffers are kept from batch to batch. One thread.
class Fold {
 public:
  // `values` stays as it is until Finish has returned and its steps are used up.
  void Begin(std::span<const Value> values);
  void Add(const PendingChange& change);
  // A transaction ends: nothing of it is held back any more.
  void EndTransaction() { ReleaseHeld(); }
  std::vector<Step> Finish();

 private:
  enum class Net : uint8_t { kNothing, kInsert, kUpdate, kDelete };
  struct Entry {
    const AppliedTable* table = nullptr;
    Net net = Net::kNothing;
    bool lenient = false;
    bool upsert = false;  // lenient insert
    uint32_t before = kNoImage;
    uint32_t after = kNoImage;
    uint32_t key = kNoImage;  // an image with the entry's key
    uint64_t hash = 0;
    Seq seq;
  };
  struct Slot {
    uint32_t entry = 0;
    uint32_t generation = 0;
  };
  // What one table has to write in this segment.
  struct Bucket {
    const AppliedTable* table = nullptr;
    std::vector<RowChange> deletes, lenient_deletes, updates, lenient_updates, upserts, inserts;
    std::vector<PendingChange> ordered;  // identity is the whole row
  };

  void AddBarrier(const PendingChange& change);
  void AddFolded(const PendingChange& change);
  void ReleaseHeld();
  void Put(const PendingChange& change, ChangeKind op);
  bool Loses(const Entry& entry, const PendingChange& change, ChangeKind op) const;
  bool Merge(Entry* entry, const PendingChange& change, ChangeKind op);
  bool MergeLenient(Entry* entry, const PendingChange& change, ChangeKind op);
  bool MayHandOver(const AppliedTable& table, uint32_t before, uint32_t after, bool row_was_deleted) const;
  void NoteHandOver(const AppliedTable& table, uint32_t before, uint32_t after);
  bool HasValue(const std::vector<uint32_t>& unique_key, uint32_t image) const;
  bool Unchanged(const AppliedTable& table, uint32_t before, uint32_t after) const;
  bool SameColumns(std::span<const uint32_t> columns, uint32_t a, uint32_t b) const;
  uint64_t HashKey(const AppliedTable& table, uint32_t image) const;
  uint64_t HashUnique(const std::vector<uint32_t>& columns, uint32_t image, uint64_t seed) const;
  Slot* FindSlot(const AppliedTable& table, uint32_t image, uint64_t hash);
  void GrowSlots();
  void NextGeneration();
  Bucket& BucketOf(const AppliedTable* table);
  RowChange Row(const AppliedTable& table, uint32_t before, uint32_t after, Seq seq) const;
  void Sort(const Entry& entry);
  void Close();
  void Emit(const Route* route, StepKind kind, std::vector<RowChange>* rows);
  void EmitOrdered(Bucket* bucket);

  std::span<const Value> values_;
  std::vector<Step> steps_;
  std::vector<PendingChange> held_;  // cascaded rows, until their parent's change is through
  bool without_actions_ = false;     // of the open segment

  std::vector<Entry> entries_;
  std::vector<Slot> slots_;
  uint32_t generation_ = 1;
  HashSet freed_;                  // unique values that an update of this segment gives up
  HashSet taken_;                  // and takes
  std::vector<Bucket> buckets_;    // by AppliedTable::index
  std::vector<uint32_t> touched_;  // buckets in use
};

}  // namespace crossfade::apply
