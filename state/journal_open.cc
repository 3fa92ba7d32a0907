// Opening a journal: its format, where it ends, and what a crash has left behind.
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/bytes.h"
#include "core/failpoint.h"
#include "state/rocks_journal.h"

namespace crossfade::state {

namespace {

constexpr std::string_view kFormatKey = "format";
constexpr std::string_view kPinPrefix = "pin/";
constexpr uint64_t kFormatVersion = 1;

Result<std::string> RandomId() {
  std::array<unsigned char, 16> bytes{};
  for (size_t have = 0; have < bytes.size();) {
    const ssize_t n = ::getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (n < 0 && errno != EINTR) {
      return MakeError(ErrorClass::kConfig, "CF1308", kJournalComponent, "no random numbers from the system: {}",
                       std::strerror(errno));
    }
    have += n > 0 ? static_cast<size_t>(n) : 0;
  }
  std::string id;
  for (const unsigned char byte : bytes) {
    id += fmt::format("{:02x}", byte);
  }
  return id;
}

tl::unexpected<Error> Damaged(std::string_view what) {
  return MakeError(ErrorClass::kCorrupt, "CF1304", kJournalComponent, "{}", what);
}

Status RefuseFeature(std::string_view name) {
  return MakeError(ErrorClass::kCorrupt, "CF1302", kJournalComponent,
                   "the journal was written by a later version: it uses \"{}\", which this one does not know", name);
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options) {
  JournalOptions bounded = options;
  bounded.part_bytes = std::clamp<uint64_t>(options.part_bytes, 1, 256 << 20);
  bounded.memory_bytes = std::max<uint64_t>(options.memory_bytes, 4 << 20);
  CROSSFADE_ASSIGN(Owner owner, Owner::Take(options.directory));
  CROSSFADE_ASSIGN(std::unique_ptr<Store> store, Store::Open(options.directory, bounded.memory_bytes));
  auto journal = std::make_unique<RocksJournal>(std::move(bounded), std::move(owner), std::move(store));
  if (Status loaded = journal->Load(); !loaded) {
    return Fail(std::move(loaded.error()).WithContext(fmt::format("open {}", options.directory)));
  }
  return std::unique_ptr<Journal>(std::move(journal));
}

Result<std::unique_ptr<Journal>> Journal::OpenForReading(const JournalOptions& options, const std::string& scratch) {
  CROSSFADE_ASSIGN(
      std::unique_ptr<Store> store,
      Store::OpenForReading(options.directory, scratch, std::max<uint64_t>(options.memory_bytes, 4 << 20)));
  auto journal = std::make_unique<RocksJournal>(options, std::nullopt, std::move(store));
  if (Status loaded = journal->Load(); !loaded) {
    return Fail(std::move(loaded.error()).WithContext(fmt::format("open {}", options.directory)));
  }
  return std::unique_ptr<Journal>(std::move(journal));
}

RocksJournal::RocksJournal(JournalOptions options, std::optional<Owner> owner, std::unique_ptr<Store> store)
    : options_(std::move(options)), owner_(std::move(owner)), store_(std::move(store)) {}

RocksJournal::~RocksJournal() = default;

Status RocksJournal::Load() {
  CROSSFADE_TRY(LoadFormat());
  if (!owner_) {
    return Refresh();
  }
  CROSSFADE_TRY(schemas_.Load(*store_));
  CROSSFADE_TRY(LoadPlaces());
  CROSSFADE_TRY(LoadPins());
  CROSSFADE_TRY(DropUncommitted());
  CROSSFADE_TRY(DropUnprepared());
  writer_ = MakeWriter(this);
  return {};
}

Result<std::string> RocksJournal::GetSealed(std::string_view key, bool* found) const {
  CROSSFADE_ASSIGN(const std::optional<std::string> value, store_->Get(Family::kMeta, key));
  *found = value.has_value();
  if (!value) {
    return std::string();
  }
  CROSSFADE_ASSIGN(const std::string_view payload, Unseal(key, *value, fmt::format("the record \"{}\"", key)));
  return std::string(payload);
}

Status RocksJournal::LoadFormat() {
  bool found = false;
  CROSSFADE_ASSIGN(const std::string format, GetSealed(kFormatKey, &found));
  if (!found) {
    return owner_ ? MakeFormat() : Damaged("there is no record \"format\"");
  }
  ByteReader in(format);
  const uint64_t version = in.Varint();
  if (version != kFormatVersion) {
    return RefuseFeature(fmt::format("format {}", version));
  }
  id_ = in.String();
  const uint64_t features = in.Varint();
  if (in.ok() && features > 0) {
    return RefuseFeature(in.String());
  }
  return in.ok() && in.at_end() ? Status{} : Damaged("the record \"format\" cannot be read");
}

// The first write of all, so whatever is found without it is not a journal of ours.
Status RocksJournal::MakeFormat() {
  for (const Family family : {Family::kMeta, Family::kLog, Family::kOpen, Family::kSchema}) {
    if (store_->Iterate(family)->Seek("")) {
      return Damaged("there are rows, but no record \"format\"");
    }
  }
  CROSSFADE_ASSIGN(id_, RandomId());
  std::string format;
  ByteWriter out(&format);
  out.Varint(kFormatVersion);
  out.String(id_);
  out.Varint(0);  // incompatible features, by name
  Batch batch = store_->NewBatch();
  batch.Put(Family::kMeta, kFormatKey, Sealed(kFormatKey, format));
  CROSSFADE_FAILPOINT("journal.create.before");
  CROSSFADE_TRY(WriteAndSync(&batch));
  CROSSFADE_FAILPOINT("journal.create.after");
  return {};
}

Status RocksJournal::LoadPlaces() {
  bool found = false;
  CROSSFADE_ASSIGN(const std::string tail, GetSealed(kTailKey, &found));
  if (!found) {
    return {};
  }
  CROSSFADE_ASSIGN(Tail decoded, DecodeTail(tail));
  CROSSFADE_ASSIGN(const std::string trimmed, GetSealed(kTrimmedKey, &found));
  ByteReader in(trimmed);
  const uint64_t upto = in.Varint();
  if (!in.ok() || !in.at_end() || upto > decoded.seq.value) {
    return Damaged("the record \"trimmed\" cannot be read");
  }
  trimmed_ = upto;
  Publish(decoded);
  initialized_ = true;
  return {};
}

Status RocksJournal::LoadPins() {
  const std::unique_ptr<Cursor> cursor = store_->Iterate(Family::kMeta);
  for (bool more = cursor->Seek(kPinPrefix); more && cursor->key().starts_with(kPinPrefix); more = cursor->Next()) {
    const std::string holder(cursor->key().substr(kPinPrefix.size()));
    CROSSFADE_ASSIGN(const std::string_view payload,
                     Unseal(cursor->key(), cursor->value(), fmt::format("the pin of {}", holder)));
    ByteReader in(payload);
    const Seq applied{in.Varint()};
    if (!in.ok() || !in.at_end()) {
      return Damaged(fmt::format("the pin of {} cannot be read", holder));
    }
    if (applied > tail_.seq) {
      return MakeError(ErrorClass::kCorrupt, "CF1306", kJournalComponent,
                       "{} has applied seq {}, but the journal ends at seq {}: it has lost transactions", holder,
                       applied.value, tail_.seq.value);
    }
    pins_[holder] = applied;
  }
  return cursor->status();
}

// What lies behind the tail are parts of a transaction whose commit record was never written.
Status RocksJournal::DropUncommitted() {
  const std::unique_ptr<Cursor> cursor = store_->Iterate(Family::kLog);
  const Seq unfinished = tail_.seq.Next();
  Batch batch = store_->NewBatch();
  for (bool more = cursor->Seek(LogKey(unfinished, 0).view()); more; more = cursor->Next()) {
    const std::optional<LogPlace> place = DecodeLogKey(cursor->key());
    if (!place || place->seq != unfinished || place->part == kCommitPart || !initialized()) {
      return Damaged(fmt::format("{} is behind the tail, seq {}", DescribeLogKey(cursor->key()), tail_.seq.value));
    }
    batch.Delete(Family::kLog, cursor->key());
  }
  CROSSFADE_TRY(cursor->status());
  if (tail_.seq > trimmed()) {
    CROSSFADE_TRY(CommitPosition(tail_.seq));
  }
  return DropLeftovers(&batch);
}

// Parts in the open area without their prepare record, which sorts behind them.
Status RocksJournal::DropUnprepared() {
  const std::unique_ptr<Cursor> cursor = store_->Iterate(Family::kOpen);
  Batch batch = store_->NewBatch();
  std::vector<std::string> parts;  // of the xid at the cursor
  std::string xid;
  for (bool more = cursor->Seek(""); more; more = cursor->Next()) {
    const auto place = DecodeOpenKey(cursor->key());
    if (!place) {
      return Damaged("a row with a foreign key in the open area");
    }
    if (place->first != xid) {
      std::for_each(parts.begin(), parts.end(), [&](const std::string& key) { batch.Delete(Family::kOpen, key); });
      parts.clear();
      xid = place->first;
    }
    if (place->second == kCommitPart) {
      parts.clear();
    } else {
      parts.emplace_back(cursor->key());
    }
  }
  CROSSFADE_TRY(cursor->status());
  std::for_each(parts.begin(), parts.end(), [&](const std::string& key) { batch.Delete(Family::kOpen, key); });
  return DropLeftovers(&batch);
}

Status RocksJournal::DropLeftovers(Batch* batch) {
  if (batch->empty()) {
    return {};
  }
  CROSSFADE_FAILPOINT("journal.recover.before");
  CROSSFADE_TRY(WriteAndSync(batch));
  CROSSFADE_FAILPOINT("journal.recover.after");
  return {};
}

Status RocksJournal::Initialize(const Position& start, Seq before_first) {
  if (initialized()) {
    return MakeError(ErrorClass::kCorrupt, "CF1307", kJournalComponent, "the journal has been initialized before");
  }
  const Tail tail{before_first, start};
  std::string trimmed;
  ByteWriter(&trimmed).Varint(before_first.value);
  Batch batch = store_->NewBatch();
  batch.Put(Family::kMeta, kTailKey, Sealed(kTailKey, EncodeTail(tail)));
  batch.Put(Family::kMeta, kTrimmedKey, Sealed(kTrimmedKey, trimmed));
  CROSSFADE_FAILPOINT("journal.initialize.before");
  CROSSFADE_TRY(WriteAndSync(&batch));
  CROSSFADE_FAILPOINT("journal.initialize.after");
  trimmed_ = before_first.value;
  Publish(tail);
  initialized_.store(true, std::memory_order_release);
  return {};
}

}  // namespace crossfade::state
