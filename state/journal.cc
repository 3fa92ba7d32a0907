#include "state/journal.h"

#include <algorithm>
#include <thread>

#include "core/bytes.h"
#include "core/failpoint.h"
#include "state/change_codec.h"
#include "state/rocks_journal.h"

namespace crossfade::state {

namespace {

constexpr std::string_view kPinPrefix = "pin/";
constexpr std::string_view kRecordPrefix = "record/";

std::string KeyOf(std::string_view prefix, std::string_view name) { return std::string(prefix).append(name); }

}  // namespace

std::unique_ptr<ChangeDecoder> DecodeBlock(const Journal& journal, const ChangeBlock& block) {
  return DecodeChanges([&journal](uint32_t number) { return journal.FindTable(number); }, block.bytes);
}

Tail RocksJournal::tail() const {
  const std::lock_guard lock(mutex_);
  return tail_;
}

// The tables' versions first: whoever sees the new tail finds those that its transactions use.
Status RocksJournal::Refresh() {
  if (owner_) {
    return {};
  }
  const std::lock_guard refresh(refresh_mutex_);
  CROSSFADE_TRY(store_->CatchUp());
  CROSSFADE_TRY(schemas_.Load(*store_));
  CROSSFADE_TRY(LoadPlaces());
  published_.notify_all();
  return {};
}

JournalWriter& RocksJournal::writer() { return *writer_; }

Result<std::unique_ptr<JournalReader>> RocksJournal::Read(Seq after) {
  if (after > synced()) {
    return MakeError(ErrorClass::kCorrupt, "CF1306", kJournalComponent,
                     "read behind seq {}, but the journal ends at seq {}: it has lost transactions", after.value,
                     synced().value);
  }
  if (after < trimmed()) {
    return MakeError(ErrorClass::kCorrupt, "CF1305", kJournalComponent,
                     "read behind seq {}, but all up to seq {} has been trimmed", after.value, trimmed().value);
  }
  return MakeReader(this, after);
}

void RocksJournal::Publish(const Tail& tail) {
  {
    const std::lock_guard lock(mutex_);
    tail_ = tail;
    synced_.store(tail.seq.value, std::memory_order_release);
  }
  published_.notify_all();
}

bool RocksJournal::WaitForSynced(Seq seq, Deadline deadline) {
  if (!owner_) {
    return WaitForWriter(seq, deadline);
  }
  std::unique_lock lock(mutex_);
  return published_.wait_until(lock, deadline, [&] { return synced() >= seq; });
}

bool RocksJournal::WaitForWriter(Seq seq, Deadline deadline) {
  constexpr std::chrono::milliseconds kLookEvery{5};
  while (synced() < seq) {
    if (!Refresh() || (synced() < seq && std::chrono::steady_clock::now() >= deadline)) {
      return false;
    }
    if (synced() < seq) {
      std::this_thread::sleep_for(kLookEvery);
    }
  }
  return true;
}

Status RocksJournal::CheckUsable() const {
  if (!owner_) {
    return MakeError(ErrorClass::kCorrupt, "CF1312", kJournalComponent, "a journal open for reading was to be written");
  }
  if (!broken_.load(std::memory_order_acquire)) {
    return {};
  }
  const std::lock_guard lock(mutex_);
  return Fail(*failure_);
}

void RocksJournal::Break(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (!failure_) {
    failure_ = error;
    broken_.store(true, std::memory_order_release);
  }
}

Status RocksJournal::WriteAndSync(Batch* batch) {
  CROSSFADE_TRY(CheckUsable());
  Status written = store_->Write(batch);
  if (written) {
    written = store_->Sync();
  }
  if (!written) {
    Break(written.error());
  }
  return written;
}

Status RocksJournal::Pin(const std::string& holder, Seq applied) {
  const std::lock_guard retention(retention_mutex_);
  {
    const std::lock_guard lock(mutex_);
    const auto pin = pins_.find(holder);
    if (pin != pins_.end() && applied <= pin->second) {
      return {};
    }
  }
  if (applied > synced()) {
    return MakeError(ErrorClass::kCorrupt, "CF1306", kJournalComponent,
                     "{} has applied seq {}, but the journal ends at seq {}: it has lost transactions", holder,
                     applied.value, synced().value);
  }
  if (applied < trimmed()) {
    return MakeError(ErrorClass::kCorrupt, "CF1305", kJournalComponent,
                     "{} needs all behind seq {}, but all up to seq {} has been trimmed", holder, applied.value,
                     trimmed().value);
  }
  std::string payload;
  ByteWriter(&payload).Varint(applied.value);
  const std::string key = KeyOf(kPinPrefix, holder);
  Batch batch = store_->NewBatch();
  batch.Put(Family::kMeta, key, Sealed(key, payload));
  CROSSFADE_FAILPOINT("journal.pin.before");
  CROSSFADE_TRY(WriteAndSync(&batch));
  CROSSFADE_FAILPOINT("journal.pin.after");
  const std::lock_guard lock(mutex_);
  pins_[holder] = applied;
  return {};
}

void RocksJournal::Keep(Seq seq) {
  const std::lock_guard lock(mutex_);
  wanted_ = seq;
}

// The record that says what has been trimmed is the trim: nobody reads below it. Whole files are then dropped. There
// are no range deletions, since one from the oldest to the newest transaction makes RocksDB write all between them
// again with its next compaction, and all that they would free besides is a file at each level.
Status RocksJournal::Trim() {
  const std::lock_guard retention(retention_mutex_);
  CROSSFADE_TRY(CheckUsable());
  Seq upto = synced();
  const bool roomy = stats().disk_bytes < options_.budget_bytes / 2;
  {
    const std::lock_guard lock(mutex_);
    if (pins_.empty()) {
      return {};
    }
    for (const auto& [holder, applied] : pins_) {
      upto = std::min(upto, applied);
    }
    if (wanted_ && roomy) {
      upto = std::min(upto, *wanted_);
    }
  }
  if (options_.keep_seconds > 0 && upto > trimmed() && !stats().over_budget) {
    CROSSFADE_ASSIGN(upto, OlderThan(upto, WallMicros() - static_cast<int64_t>(options_.keep_seconds) * 1'000'000));
  }
  if (upto <= trimmed()) {
    return {};
  }
  std::string payload;
  ByteWriter(&payload).Varint(upto.value);
  Batch batch = store_->NewBatch();
  batch.Put(Family::kMeta, kTrimmedKey, Sealed(kTrimmedKey, payload));
  CROSSFADE_FAILPOINT("journal.trim.before");
  CROSSFADE_TRY(WriteAndSync(&batch));
  CROSSFADE_FAILPOINT("journal.trim.after");
  trimmed_.store(upto.value, std::memory_order_release);
  if (store_->DiskBytes() > options_.budget_bytes) {
    // Only a file can be dropped: neither what is still in memory, nor RocksDB's own log, which holds it until then.
    for (const Family family : {Family::kMeta, Family::kLog, Family::kOpen, Family::kSchema}) {
      CROSSFADE_TRY(store_->Flush(family));
    }
  }
  CROSSFADE_FAILPOINT("journal.trim.drop.before");
  Status dropped = store_->DropFiles(Family::kLog, LogKey(Seq{0}, 0).view(), LogKey(upto, kCommitPart).view());
  CROSSFADE_FAILPOINT("journal.trim.drop.after");
  return dropped;
}

Result<std::string> RocksJournal::ReadCommitValue(Seq seq) const {
  CROSSFADE_ASSIGN(std::optional<std::string> value, store_->Get(Family::kLog, LogKey(seq, kCommitPart).view()));
  if (!value) {
    // The writer may have trimmed it since the last Refresh.
    return MakeError(owner_ ? ErrorClass::kCorrupt : ErrorClass::kTransient, "CF1304", kJournalComponent,
                     "seq {} is missing", seq.value);
  }
  return *std::move(value);
}

Result<Position> RocksJournal::CommitPosition(Seq seq) const {
  CROSSFADE_ASSIGN(const std::string value, ReadCommitValue(seq));
  const LogKey key(seq, kCommitPart);
  CROSSFADE_ASSIGN(CommitRecord record, DecodeCommitRecord(key.view(), value, DescribeLogKey(key.view())));
  return std::move(record.commit.position);
}

// The last transaction, `newest` at most, that arrived by then. Wall clocks may step back; that moves the answer by as
// much, and no further than what is applied.
Result<Seq> RocksJournal::OlderThan(Seq newest, int64_t arrival_us) const {
  uint64_t within = trimmed().value;
  uint64_t beyond = newest.value + 1;
  while (beyond - within > 1) {
    const Seq middle{within + (beyond - within) / 2};
    CROSSFADE_ASSIGN(const std::string value, ReadCommitValue(middle));
    const LogKey key(middle, kCommitPart);
    CROSSFADE_ASSIGN(const CommitRecord record, DecodeCommitRecord(key.view(), value, DescribeLogKey(key.view())));
    const int64_t arrival =
        record.commit.arrival_time_us != 0 ? record.commit.arrival_time_us : record.commit.commit_time_us;
    (arrival <= arrival_us ? within : beyond) = middle.value;
  }
  return Seq{within};
}

// The journal is one server's log in that log's order, and a position's set grows along it, so from some transaction
// on none is contained: that border is found by bisection. Transactions of one commit group may still be seen out of
// the log's order (binlog_order_commits = OFF), so those right below the border are looked at one by one as well.
Result<Seq> RocksJournal::PrefixWithin(const Position& position, const PositionOrder& order) {
  constexpr uint64_t kLookedAtOneByOne = 4096;
  const std::lock_guard retention(retention_mutex_);  // nothing is trimmed meanwhile
  const uint64_t lowest = trimmed().value;
  const auto contains = [&](uint64_t seq) -> Result<bool> {
    CROSSFADE_ASSIGN(const Position transaction, CommitPosition(Seq{seq}));
    return order.Contains(position, transaction);
  };
  if (!order.HasBorder(position)) {
    return PrefixOneByOne(position, order, lowest);
  }
  uint64_t within = lowest;
  uint64_t beyond = synced().value + 1;
  while (beyond - within > 1) {
    const uint64_t middle = within + (beyond - within) / 2;
    CROSSFADE_ASSIGN(const bool contained, contains(middle));
    (contained ? within : beyond) = middle;
  }
  const uint64_t last = within - std::min(within - lowest, kLookedAtOneByOne);
  for (uint64_t seq = within; seq > last; --seq) {
    CROSSFADE_ASSIGN(const bool contained, contains(seq));
    within = contained ? within : seq - 1;
  }
  return Seq{within};
}

// From the first on, or from where another position's prefix ended that this one contains as a whole: asked about
// positions of later and later times, the journal is walked through once.
Result<Seq> RocksJournal::PrefixOneByOne(const Position& position, const PositionOrder& order, uint64_t lowest) {
  uint64_t within = lowest;
  if (walked_ && walked_->second.value > lowest) {
    CROSSFADE_ASSIGN(const bool later, order.Contains(position, walked_->first));
    within = later ? walked_->second.value : lowest;
  }
  for (const uint64_t last = synced().value; within < last; ++within) {
    CROSSFADE_ASSIGN(const Position transaction, CommitPosition(Seq{within + 1}));
    CROSSFADE_ASSIGN(const bool contained, order.Contains(position, transaction));
    if (!contained) {
      break;
    }
  }
  walked_.emplace(position, Seq{within});
  return Seq{within};
}

JournalStats RocksJournal::stats() const {
  JournalStats stats;
  {
    const std::lock_guard lock(mutex_);
    stats.pins.assign(pins_.begin(), pins_.end());
    stats.synced = tail_.seq;
  }
  stats.first = trimmed().Next();
  const std::lock_guard lock(disk_mutex_);
  const Deadline now = std::chrono::steady_clock::now();
  if (now >= disk_bytes_until_) {
    disk_bytes_ = store_->DiskBytes();
    disk_bytes_until_ = now + std::chrono::milliseconds(200);
  }
  stats.disk_bytes = disk_bytes_;
  stats.over_budget = disk_bytes_ > options_.budget_bytes;
  return stats;
}

Status RocksJournal::PutRecord(const std::string& key, std::string_view value) {
  const std::string full_key = KeyOf(kRecordPrefix, key);
  Batch batch = store_->NewBatch();
  batch.Put(Family::kMeta, full_key, Sealed(full_key, value));
  CROSSFADE_FAILPOINT("journal.record.before");
  CROSSFADE_TRY(WriteAndSync(&batch));
  CROSSFADE_FAILPOINT("journal.record.after");
  return {};
}

Result<std::optional<std::string>> RocksJournal::GetRecord(const std::string& key) {
  bool found = false;
  CROSSFADE_ASSIGN(std::string value, GetSealed(KeyOf(kRecordPrefix, key), &found));
  return found ? std::optional<std::string>(std::move(value)) : std::nullopt;
}

Status RocksJournal::DeleteRecords(const std::string& prefix) {
  CROSSFADE_ASSIGN(const auto records, ListRecords(prefix));
  if (records.empty()) {
    return {};
  }
  Batch batch = store_->NewBatch();
  for (const auto& [key, value] : records) {
    batch.Delete(Family::kMeta, KeyOf(kRecordPrefix, key));
  }
  CROSSFADE_FAILPOINT("journal.record.before");
  CROSSFADE_TRY(WriteAndSync(&batch));
  CROSSFADE_FAILPOINT("journal.record.after");
  return {};
}

Result<std::vector<std::pair<std::string, std::string>>> RocksJournal::ListRecords(const std::string& prefix) {
  const std::string full_prefix = KeyOf(kRecordPrefix, prefix);
  std::vector<std::pair<std::string, std::string>> records;
  const std::unique_ptr<Cursor> cursor = store_->Iterate(Family::kMeta);
  for (bool more = cursor->Seek(full_prefix); more && cursor->key().starts_with(full_prefix); more = cursor->Next()) {
    const std::string_view key = cursor->key();
    CROSSFADE_ASSIGN(const std::string_view value, Unseal(key, cursor->value(), fmt::format("the record \"{}\"", key)));
    records.emplace_back(key.substr(kRecordPrefix.size()), value);
  }
  CROSSFADE_TRY(cursor->status());
  return records;
}

}  // namespace crossfade::state
