#include <chrono>
#include <utility>

#include "state/rocks_journal.h"

namespace crossfade::state {

namespace {

// A cursor keeps the files and memtables it sees, also those that were trimmed or flushed since. So it is made anew
// after this much; that costs some ten microseconds.
constexpr uint64_t kCursorBytes = 8 << 20;
constexpr std::chrono::seconds kCursorAge{1};
constexpr uint32_t kRowsBetweenClocks = 256;

class RocksReader final : public JournalReader {
 public:
  RocksReader(RocksJournal* journal, Seq after) : journal_(journal), seq_(after) {}

  Result<std::optional<TransactionHeader>> NextTransaction(Deadline deadline) override {
    const Seq next = seq_.Next();
    blocks_ = next_part_ = 0;
    if (journal_->synced() < next) {
      cursor_.reset();
      if (!journal_->WaitForSynced(next, deadline)) {
        return std::optional<TransactionHeader>();
      }
    }
    if (next <= journal_->trimmed()) {  // also where its rows still happen to be there
      return Missing(LogKey(next, kCommitPart));
    }
    return Enter(next);
  }

  Result<std::optional<ChangeBlock>> NextBlock() override {
    if (next_part_ == blocks_) {
      return std::optional<ChangeBlock>();
    }
    if (parts_ == 0) {
      ++next_part_;
      return std::optional<ChangeBlock>(ChangeBlock{std::string(inline_block_)});
    }
    CROSSFADE_ASSIGN(const std::string_view part, NextPart());
    const std::optional<Piece> first = DecodePiece(part);
    if (!first) {
      return std::optional<ChangeBlock>(ChangeBlock{std::string(part)});
    }
    ChangeBlock joined;
    CROSSFADE_TRY(Join(*first, &joined.bytes));
    return std::optional<ChangeBlock>(std::move(joined));
  }

 private:
  // Borrowed until the next call.
  Result<std::string_view> NextPart() {
    const LogKey key(seq_, next_part_);
    CROSSFADE_TRY(MoveTo(seq_, key));
    if (cursor_->key() != key.view()) {
      return Missing(key);
    }
    ++next_part_;
    return Unseal(key.view(), cursor_->value(), DescribeLogKey(key.view()));
  }

  // No piece is larger than the first: a length that does not fit is found out before memory is taken for it.
  Status Join(const Piece& first, std::string* block) {
    std::optional<Piece> piece = first;
    const uint64_t size = first.bytes.size() + first.left;
    if (first.left > first.bytes.size() * (blocks_ - next_part_)) {
      return Torn();
    }
    block->reserve(size);
    for (;;) {
      block->append(piece->bytes);
      if (piece->left != size - block->size()) {
        return Torn();
      }
      if (piece->left == 0) {
        return {};
      }
      if (next_part_ == blocks_) {
        return Torn();
      }
      CROSSFADE_ASSIGN(const std::string_view part, NextPart());
      piece = DecodePiece(part);
      if (!piece || piece->bytes.empty() || piece->bytes.size() > size - block->size()) {
        return Torn();
      }
    }
  }

  tl::unexpected<Error> Torn() const {
    return MakeError(ErrorClass::kCorrupt, "CF1304", kJournalComponent, "{}: the pieces of a block do not fit together",
                     DescribeLogKey(LogKey(seq_, next_part_ - 1).view()));
  }

  Result<std::optional<TransactionHeader>> Enter(Seq seq) {
    const LogKey commit_key(seq, kCommitPart);
    CROSSFADE_TRY(MoveTo(seq, LogKey(seq, 0)));
    // A small transaction is its commit record and nothing else; a large one's comes behind its parts.
    const bool small = cursor_->key() == commit_key.view();
    if (!small && cursor_->key() != LogKey(seq, 0).view()) {
      return Missing(commit_key);
    }
    std::string value_of_large;
    if (!small) {
      CROSSFADE_ASSIGN(value_of_large, journal_->ReadCommitValue(seq));
    }
    CROSSFADE_ASSIGN(CommitRecord record, Decode(commit_key, small ? cursor_->value() : value_of_large));
    seq_ = seq;
    parts_ = record.parts;
    blocks_ = small ? 1 : parts_;
    next_part_ = 0;
    inline_block_ = small ? record.block : std::string_view();
    TransactionHeader header;
    header.seq = seq;
    header.commit = std::move(record.commit);
    header.changes = record.changes;
    header.bytes = record.bytes;
    return std::optional<TransactionHeader>(std::move(header));
  }

  static Result<CommitRecord> Decode(const LogKey& key, std::string_view value) {
    Result<CommitRecord> record = DecodeCommitRecord(key.view(), value, "commit record");
    if (!record) {
      std::move(record.error()).WithContext(DescribeLogKey(key.view()));  // in place; not named on the hot path
    }
    return record;
  }

  // To the first row at or behind `key`, of a synced transaction; so there must be one.
  Status MoveTo(Seq seq, const LogKey& key) {
    if (cursor_ == nullptr || CursorIsOld(seq)) {
      cursor_synced_ = journal_->synced();  // before the cursor is made: it sees at least all up to here
      cursor_ = journal_->store().Iterate(Family::kLog);
      cursor_until_ = After(kCursorAge);
      cursor_bytes_ = 0;
      cursor_->Seek(key.view());
    } else if (cursor_->key() < key.view()) {
      cursor_->Next();
      if (cursor_->valid() && cursor_->key() < key.view()) {
        cursor_->Seek(key.view());
      }
    }
    if (!cursor_->valid()) {
      const Status failed = cursor_->status();
      cursor_.reset();
      return failed ? Missing(key) : failed;
    }
    cursor_bytes_ += cursor_->value().size();
    return {};
  }

  bool CursorIsOld(Seq needed) {
    if (cursor_synced_ < needed || cursor_bytes_ >= kCursorBytes) {
      return true;
    }
    if (++rows_ % kRowsBetweenClocks != 0) {
      return false;
    }
    return std::chrono::steady_clock::now() >= cursor_until_;
  }

  tl::unexpected<Error> Missing(const LogKey& key) {
    cursor_.reset();
    if (DecodeLogKey(key.view())->seq <= journal_->trimmed()) {
      return MakeError(ErrorClass::kCorrupt, "CF1305", kJournalComponent, "{} has been trimmed before it was read",
                       DescribeLogKey(key.view()));
    }
    return MakeError(ErrorClass::kCorrupt, "CF1304", kJournalComponent, "{} is missing", DescribeLogKey(key.view()));
  }

  RocksJournal* const journal_;
  Seq seq_;  // of the current transaction
  uint32_t parts_ = 0;
  uint32_t blocks_ = 0;
  uint32_t next_part_ = 0;
  std::string_view inline_block_;  // in the cursor's row

  std::unique_ptr<Cursor> cursor_;
  Seq cursor_synced_;
  Deadline cursor_until_;
  uint64_t cursor_bytes_ = 0;
  uint32_t rows_ = 0;
};

}  // namespace

std::unique_ptr<JournalReader> MakeReader(RocksJournal* journal, Seq after) {
  return std::make_unique<RocksReader>(journal, after);
}

}  // namespace crossfade::state
