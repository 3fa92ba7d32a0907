#include "capture/postgres/stream_decoder.h"

#include <type_traits>
#include <variant>

#include "core/clock.h"
#include "db/postgres/position.h"

namespace crossfade::capture {

namespace {

constexpr std::string_view kComponent = "capture.postgres";
// Nobody begins 2^31 transactions in this time.
constexpr std::chrono::minutes kNearXidLasts{5};

}  // namespace

StreamDecoder::StreamDecoder(Position from, Relations* relations, NextXid next_xid)
    : relations_(relations), next_xid_(std::move(next_xid)), position_(std::move(from)) {
  position_.last.clear();
}

Status StreamDecoder::Feed(std::string_view message) {
  events_.clear();
  next_ = 0;
  CROSSFADE_ASSIGN(const pgoutput::Decoded decoded, decoder_.Decode(message));
  return std::visit(
      [this](const auto& part) -> Status {
        using Part = std::decay_t<decltype(part)>;
        constexpr bool kStreamed =
            std::is_same_v<Part, pgoutput::StreamStart> || std::is_same_v<Part, pgoutput::StreamStop> ||
            std::is_same_v<Part, pgoutput::StreamCommit> || std::is_same_v<Part, pgoutput::StreamAbort>;
        if constexpr (kStreamed) {
          return MakeError(ErrorClass::kCorrupt, "CF1921", kComponent,
                           "a transaction came in pieces, which nobody "
                           "wanted");
        } else if constexpr (std::is_same_v<Part, pgoutput::Origin> || std::is_same_v<Part, pgoutput::Type> ||
                             std::is_same_v<Part, pgoutput::Message>) {
          return {};  // relations name types by number
        } else {
          return Take(part);
        }
      },
      decoded.message);
}

std::optional<Event> StreamDecoder::Take() {
  if (!pending()) {
    return std::nullopt;
  }
  return std::move(events_[next_++]);
}

// At first the server walks through log that was read before, and says so.
void StreamDecoder::Advance(uint64_t lsn) {
  if (!in_transaction() && lsn > position_.offset) {
    position_.offset = lsn;
    position_.last.clear();
    moved_ = true;
  }
}

Status StreamDecoder::InTransaction(std::string_view what) const {
  return begin_ ? Status()
                : MakeError(ErrorClass::kCorrupt, "CF1921", kComponent, "{} stands outside of a transaction", what);
}

Status StreamDecoder::Take(const pgoutput::Begin& begin) {
  if (begin_) {
    return MakeError(ErrorClass::kCorrupt, "CF1921", kComponent, "a transaction begins within another");
  }
  begin_ = begin;
  begun_ = false;
  return {};
}

// Transactions that are not ours pass the stream unseen, for any time: the neighbour is asked for again.
Status StreamDecoder::WidenFrom(uint32_t xid) {
  const auto now = std::chrono::steady_clock::now();
  if (now >= near_xid_until_) {
    CROSSFADE_ASSIGN(near_xid_, next_xid_());
    near_xid_until_ = now + kNearXidLasts;
  }
  position_.last = std::to_string(postgres::WidenXid(xid, near_xid_));
  return {};
}

Status StreamDecoder::Take(const pgoutput::Commit& commit) {
  CROSSFADE_TRY(InTransaction("a commit"));
  if (commit.commit_lsn != begin_->commit_lsn || commit.end_lsn <= commit.commit_lsn ||
      commit.end_lsn <= position_.offset) {
    return MakeError(ErrorClass::kCorrupt, "CF1921", kComponent,
                     "a commit at {} to {} of a transaction that was to "
                     "commit at {}, behind {}",
                     postgres::FormatLsn(commit.commit_lsn), postgres::FormatLsn(commit.end_lsn),
                     postgres::FormatLsn(begin_->commit_lsn), position_.ToString());
  }
  const uint32_t xid = begin_->xid;
  begin_.reset();
  position_.offset = commit.end_lsn;
  position_.last.clear();
  if (!begun_) {
    moved_ = true;
    return {};
  }
  CROSSFADE_TRY(WidenFrom(xid));
  moved_ = false;
  TransactionEnd end;
  end.position = position_;
  end.commit_time_us = commit.commit_time_us;
  end.arrival_time_us = WallMicros();
  events_.emplace_back(std::move(end));
  return {};
}

Status StreamDecoder::Take(const pgoutput::Relation& relation) {
  CROSSFADE_ASSIGN(Relations::Taken taken, relations_->Take(relation));
  if (taken.changed != nullptr) {
    SchemaChange change;
    change.table = taken.changed->name;
    change.statement = fmt::format("ALTER TABLE {}: {}", taken.changed->name, taken.difference);
    change.position = position_;
    events_.emplace_back(std::move(change));
  }
  return {};
}

void StreamDecoder::Push(ChangeKind kind, const TableSchema* table) {
  if (!std::exchange(begun_, true)) {
    events_.emplace_back(TransactionBegin{});
  }
  Change change;
  change.table = table;
  change.kind = kind;
  change.flags = kNoForeignKeyChecks;
  if (kind == ChangeKind::kUpdate || kind == ChangeKind::kDelete) {
    change.before = images_.before();
  }
  if (kind == ChangeKind::kUpdate || kind == ChangeKind::kInsert) {
    change.after = images_.after();
  }
  events_.emplace_back(change);
}

template <typename Row>
Status StreamDecoder::TakeRow(const Row& row, ChangeKind kind) {
  CROSSFADE_TRY(InTransaction("a row"));
  CROSSFADE_ASSIGN(const CapturedRelation* const relation, relations_->Find(row.relation));
  if (relation != nullptr) {
    CROSSFADE_TRY(images_.Take(*relation, row));
    Push(kind, relation->table);
  }
  return {};
}

Status StreamDecoder::Take(const pgoutput::Insert& insert) { return TakeRow(insert, ChangeKind::kInsert); }
Status StreamDecoder::Take(const pgoutput::Update& update) { return TakeRow(update, ChangeKind::kUpdate); }
Status StreamDecoder::Take(const pgoutput::Delete& deleted) { return TakeRow(deleted, ChangeKind::kDelete); }

Status StreamDecoder::Take(const pgoutput::Truncate& truncate) {
  CROSSFADE_TRY(InTransaction("a TRUNCATE"));
  for (const uint32_t id : truncate.relations) {
    CROSSFADE_ASSIGN(const CapturedRelation* const relation, relations_->Find(id));
    if (relation != nullptr) {
      Push(ChangeKind::kTruncate, relation->table);
    }
  }
  return {};
}

}  // namespace crossfade::capture
