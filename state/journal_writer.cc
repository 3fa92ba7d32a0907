#include <algorithm>
#include <utility>

#include "core/failpoint.h"
#include "state/change_codec.h"
#include "state/rocks_journal.h"

namespace crossfade::state {

namespace {

// What a row of the store holds at most. The store makes several copies of a row on its way into a file.
constexpr uint64_t kPieceBytes = 4 << 20;

class RocksWriter final : public JournalWriter {
 public:
  explicit RocksWriter(RocksJournal* journal)
      : journal_(journal), store_(&journal->store()), batch_(store_->NewBatch()) {}

  Status Begin() override { return Run(&RocksWriter::DoBegin); }
  Status Add(const Change& change) override {
    if (!open_) {
      return Run(&RocksWriter::Misused);
    }
    if (Status added = DoAdd(change); !added) {
      return Break(std::move(added));
    }
    return {};
  }
  Status Commit(const CommitInfo& commit) override { return Run(&RocksWriter::DoCommit, commit); }
  Status Rollback(const Position& position) override { return Run(&RocksWriter::DoRollback, position); }
  Status Prepare(const std::string& xid, const Position& position) override {
    return Run(&RocksWriter::DoPrepare, xid, position);
  }
  Status CommitPrepared(const std::string& xid, const CommitInfo& commit) override {
    return Run(&RocksWriter::DoCommitPrepared, xid, commit);
  }
  Status RollbackPrepared(const std::string& xid, const Position& position) override {
    return Run(&RocksWriter::DoRollbackPrepared, xid, position);
  }
  Status Advance(const Position& position) override { return Run(&RocksWriter::DoAdvance, position); }
  uint64_t unsynced_bytes() const override {
    const uint64_t bytes = written_bytes_ + batch_.bytes() - empty_batch_bytes_;
    return std::max<uint64_t>(bytes, tail_is_new_ ? 1 : 0);
  }
  Status Sync() override { return Run(&RocksWriter::DoSync); }

 private:
  // Every call but Add: refused after the first error, and keeps its own.
  template <typename... Parameters, typename... Arguments>
  Status Run(Status (RocksWriter::*step)(Parameters...), const Arguments&... arguments) {
    CROSSFADE_TRY(journal_->CheckUsable());
    if (!started_) {
      CROSSFADE_TRY(Start());
    }
    if (Status done = (this->*step)(arguments...); !done) {
      return Break(std::move(done));
    }
    return {};
  }

  Status Break(Status failed) {
    open_ = false;
    journal_->Break(failed.error());
    return failed;
  }

  Status Start() {
    if (!journal_->initialized()) {
      return Misused();
    }
    tail_ = journal_->tail();
    started_ = true;
    return {};
  }

  Status Misused() {
    return MakeError(ErrorClass::kCorrupt, "CF1307", kJournalComponent,
                     "the writer was called out of order at seq {} ({}initialized, {} a transaction)", next().value,
                     journal_->initialized() ? "" : "not ", open_ ? "in" : "outside");
  }

  Status DoBegin();
  Status DoAdd(const Change& change);
  Status DoCommit(const CommitInfo& commit);
  Status DoRollback(const Position& position);
  Status DoPrepare(const std::string& xid, const Position& position);
  Status DoCommitPrepared(const std::string& xid, const CommitInfo& commit);
  Status DoRollbackPrepared(const std::string& xid, const Position& position);
  Status DoAdvance(const Position& position);
  Status DoSync();

  Seq next() const { return tail_.seq.Next(); }
  void PutPart(Family family, std::string_view key, std::string_view prefix, std::string_view bytes);
  Status WriteAhead();
  Status MovePartsToOpen(const std::string& xid);
  Status MovePartsToLog(const std::string& xid, uint32_t parts);
  Result<std::string> ReadPart(Family family, std::string_view key, std::string_view what);
  Result<std::optional<std::string>> ReadPrepared(const std::string& xid);
  void DropLogParts();
  void DropOpenParts(const std::string& xid, uint32_t parts);
  void MoveTail(const Position& position);
  Status Write();
  Status WriteFullGroup();
  void Close();

  RocksJournal* const journal_;
  Store* const store_;
  bool started_ = false;
  Tail tail_;  // with all that is committed here, synced or not
  bool tail_is_new_ = false;
  Batch batch_;
  const size_t empty_batch_bytes_ = batch_.bytes();
  uint64_t written_bytes_ = 0;  // since the last sync

  bool open_ = false;
  std::string block_;   // changes of the open transaction that are in no part yet
  uint32_t parts_ = 0;  // written ahead
  uint64_t changes_ = 0;
  uint64_t part_bytes_ = 0;  // of all parts
  std::string value_;        // room for one record
};

Status RocksWriter::DoBegin() {
  if (open_) {
    return Misused();
  }
  journal_->schemas().BeginTransaction();
  open_ = true;
  return {};
}

Status RocksWriter::DoAdd(const Change& change) {
  if (change.table == nullptr) {
    return EncodeChange(0, change, &block_);
  }
  CROSSFADE_TRY(EncodeChange(journal_->schemas().Number(*change.table, &batch_), change, &block_));
  ++changes_;
  return block_.size() >= journal_->options().part_bytes ? WriteAhead() : Status{};
}

void RocksWriter::PutPart(Family family, std::string_view key, std::string_view prefix, std::string_view bytes) {
  batch_.Put(family, key, {prefix, bytes, SealOf(key, prefix, bytes)});
}

// Takes the open transaction's changes so far out of memory. They have no reader before their commit record.
Status RocksWriter::WriteAhead() {
  for (std::string_view rest = block_; !rest.empty();) {
    const std::string_view piece = rest.substr(0, kPieceBytes);
    rest.remove_prefix(piece.size());
    const bool whole = piece.size() == block_.size();
    PutPart(Family::kLog, LogKey(next(), parts_).view(), whole ? "" : PiecePrefix(rest.size()), piece);
    ++parts_;
    CROSSFADE_FAILPOINT("journal.part.before");
    CROSSFADE_TRY(Write());
    CROSSFADE_FAILPOINT("journal.part.after");
  }
  part_bytes_ += block_.size();
  block_.clear();
  block_.shrink_to_fit();
  return {};
}

Status RocksWriter::DoCommit(const CommitInfo& commit) {
  if (!open_) {
    return Misused();
  }
  if (changes_ == 0) {
    Close();
    MoveTail(commit.position);
    return {};
  }
  if (parts_ > 0 && !block_.empty()) {
    CROSSFADE_TRY(WriteAhead());
  }
  const LogKey key(next(), kCommitPart);
  const CommitRecord record{
      .parts = parts_, .changes = changes_, .bytes = part_bytes_ + block_.size(), .block = block_};
  EncodeCommitRecord(key.view(), commit, record, &value_);
  batch_.Put(Family::kLog, key.view(), value_);
  Close();
  tail_.seq = next();
  MoveTail(commit.position);
  return WriteFullGroup();
}

Status RocksWriter::DoRollback(const Position& position) {
  if (!open_) {
    return Misused();
  }
  DropLogParts();
  Close();
  MoveTail(position);
  return {};
}

void RocksWriter::DropLogParts() {
  for (uint32_t part = 0; part < parts_; ++part) {
    batch_.Delete(Family::kLog, LogKey(next(), part).view());
  }
}

void RocksWriter::Close() {
  open_ = false;
  block_.clear();
  parts_ = 0;
  changes_ = 0;
  part_bytes_ = 0;
}

Status RocksWriter::DoPrepare(const std::string& xid, const Position& position) {
  if (!open_) {
    return Misused();
  }
  CROSSFADE_ASSIGN(const std::optional<std::string> known, ReadPrepared(xid));
  if (known) {
    return MakeError(ErrorClass::kCorrupt, "CF1303", kJournalComponent, "XA transaction {} is prepared already", xid);
  }
  if (parts_ > 0) {
    if (!block_.empty()) {
      CROSSFADE_TRY(WriteAhead());
    }
    CROSSFADE_TRY(MovePartsToOpen(xid));
    DropLogParts();
  }
  const std::string key = OpenKey(xid, kCommitPart);
  const CommitRecord record{
      .parts = parts_, .changes = changes_, .bytes = part_bytes_ + block_.size(), .block = block_};
  EncodeCommitRecord(key, {.position = position}, record, &value_);
  batch_.Put(Family::kOpen, key, value_);
  Close();
  MoveTail(position);
  CROSSFADE_FAILPOINT("journal.prepare.before");
  CROSSFADE_TRY(Write());
  CROSSFADE_FAILPOINT("journal.prepare.after");
  return {};
}

// Until the prepare record is written, both copies are leftovers that the next open deletes.
Status RocksWriter::MovePartsToOpen(const std::string& xid) {
  for (uint32_t part = 0; part < parts_; ++part) {
    const LogKey from(next(), part);
    CROSSFADE_ASSIGN(const std::string block, ReadPart(Family::kLog, from.view(), DescribeLogKey(from.view())));
    PutPart(Family::kOpen, OpenKey(xid, part), "", block);
    CROSSFADE_FAILPOINT("journal.prepare.part.before");
    CROSSFADE_TRY(Write());
    CROSSFADE_FAILPOINT("journal.prepare.part.after");
  }
  return {};
}

Result<std::string> RocksWriter::ReadPart(Family family, std::string_view key, std::string_view what) {
  CROSSFADE_ASSIGN(std::optional<std::string> value, store_->Get(family, key));
  if (!value) {
    return MakeError(ErrorClass::kCorrupt, "CF1304", kJournalComponent, "{} is missing", what);
  }
  CROSSFADE_ASSIGN(const std::string_view payload, Unseal(key, *value, what));
  value->resize(payload.size());
  return *std::move(value);
}

Result<std::optional<std::string>> RocksWriter::ReadPrepared(const std::string& xid) {
  // It may still be in the group.
  if (!batch_.empty()) {
    CROSSFADE_FAILPOINT("journal.append.before");
    CROSSFADE_TRY(Write());
    CROSSFADE_FAILPOINT("journal.append.after");
  }
  return store_->Get(Family::kOpen, OpenKey(xid, kCommitPart));
}

// The parts go behind the tail first, where a crash makes them leftovers; then the commit record, the tail and the end
// of the prepared rows are one write.
Status RocksWriter::DoCommitPrepared(const std::string& xid, const CommitInfo& commit) {
  if (open_) {
    return Misused();
  }
  CROSSFADE_ASSIGN(const std::optional<std::string> value, ReadPrepared(xid));
  if (!value) {
    return MakeError(ErrorClass::kCorrupt, "CF1303", kJournalComponent,
                     "XA transaction {} is committed, but its prepare was never seen", xid);
  }
  CROSSFADE_ASSIGN(const CommitRecord prepared,
                   DecodeCommitRecord(OpenKey(xid, kCommitPart), *value, fmt::format("XA transaction {}", xid)));
  CROSSFADE_TRY(MovePartsToLog(xid, prepared.parts));
  if (prepared.changes > 0) {
    const LogKey key(next(), kCommitPart);
    EncodeCommitRecord(key.view(), commit, prepared, &value_);
    batch_.Put(Family::kLog, key.view(), value_);
    tail_.seq = next();
  }
  DropOpenParts(xid, prepared.parts);
  MoveTail(commit.position);
  CROSSFADE_FAILPOINT("journal.commit_prepared.before");
  CROSSFADE_TRY(Write());
  CROSSFADE_FAILPOINT("journal.commit_prepared.after");
  return {};
}

Status RocksWriter::MovePartsToLog(const std::string& xid, uint32_t parts) {
  for (uint32_t part = 0; part < parts; ++part) {
    const std::string what = fmt::format("XA transaction {} part {}", xid, part);
    CROSSFADE_ASSIGN(const std::string block, ReadPart(Family::kOpen, OpenKey(xid, part), what));
    PutPart(Family::kLog, LogKey(next(), part).view(), "", block);
    CROSSFADE_FAILPOINT("journal.commit_prepared.part.before");
    CROSSFADE_TRY(Write());
    CROSSFADE_FAILPOINT("journal.commit_prepared.part.after");
  }
  return {};
}

void RocksWriter::DropOpenParts(const std::string& xid, uint32_t parts) {
  batch_.Delete(Family::kOpen, OpenKey(xid, kCommitPart));
  for (uint32_t part = 0; part < parts; ++part) {
    batch_.Delete(Family::kOpen, OpenKey(xid, part));
  }
}

Status RocksWriter::DoRollbackPrepared(const std::string& xid, const Position& position) {
  if (open_) {
    return Misused();
  }
  CROSSFADE_ASSIGN(const std::optional<std::string> value, ReadPrepared(xid));
  if (value) {
    CROSSFADE_ASSIGN(const CommitRecord prepared,
                     DecodeCommitRecord(OpenKey(xid, kCommitPart), *value, fmt::format("XA transaction {}", xid)));
    DropOpenParts(xid, prepared.parts);
  }
  MoveTail(position);
  return WriteFullGroup();
}

Status RocksWriter::DoAdvance(const Position& position) {
  if (open_) {
    return Misused();
  }
  MoveTail(position);
  return {};
}

void RocksWriter::MoveTail(const Position& position) {
  tail_.position = position;
  tail_is_new_ = true;
}

// The tail's record goes with every write, so that it never differs from the last commit record.
Status RocksWriter::Write() {
  if (tail_is_new_) {
    batch_.Put(Family::kMeta, kTailKey, Sealed(kTailKey, EncodeTail(tail_)));
  }
  written_bytes_ += batch_.bytes() - empty_batch_bytes_;
  CROSSFADE_TRY(store_->Write(&batch_));
  batch_.Clear();
  return {};
}

// Bounds the memory of a group; readers still see nothing before Sync.
Status RocksWriter::WriteFullGroup() {
  if (batch_.bytes() < journal_->options().part_bytes) {
    return {};
  }
  CROSSFADE_FAILPOINT("journal.append.before");
  CROSSFADE_TRY(Write());
  CROSSFADE_FAILPOINT("journal.append.after");
  return {};
}

Status RocksWriter::DoSync() {
  if (unsynced_bytes() == 0) {
    return {};
  }
  CROSSFADE_FAILPOINT("journal.append.before");
  CROSSFADE_TRY(Write());
  CROSSFADE_FAILPOINT("journal.append.after");
  CROSSFADE_FAILPOINT("journal.sync.before");
  CROSSFADE_TRY(store_->Sync());
  CROSSFADE_FAILPOINT("journal.sync.after");
  written_bytes_ = 0;
  tail_is_new_ = false;
  journal_->Publish(tail_);
  return {};
}

}  // namespace

std::unique_ptr<JournalWriter> MakeWriter(RocksJournal* journal) { return std::make_unique<RocksWriter>(journal); }

}  // namespace crossfade::state
