// The part of LogDecoder that deals with rows: which are given out at once, and which must wait.
#include <algorithm>
#include <cctype>

#include "capture/mysql/log_decoder.h"

namespace crossfade::capture {

namespace {

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

void LogDecoder::OnSavepoint(const std::string& name) {
  const auto same = [&name](const Savepoint& savepoint) { return SameName(savepoint.name, name); };
  savepoints_.erase(std::remove_if(savepoints_.begin(), savepoints_.end(), same), savepoints_.end());
  savepoints_.push_back({name, held_.size(), emitted_});
  holding_ = true;
}

// Servers log it only when the transaction also did something that cannot be rolled back; the rows that it takes back
// are in the log then.
Status LogDecoder::OnRollbackTo(const std::string& name) {
  const auto found = std::find_if(savepoints_.begin(), savepoints_.end(),
                                  [&name](const Savepoint& savepoint) { return SameName(savepoint.name, name); });
  const bool known = found != savepoints_.end();
  if (emitted_ > (known ? found->emitted : 0)) {
    Error error;
    error.error_class = ErrorClass::kData;
    error.code = "CF1214";
    error.component = "capture.mysql";
    error.message = fmt::format("a transaction rolls back to savepoint {} over more rows than {} bytes can hold", name,
                                options_.hold_bytes);
    error.fix = "copy anew";
    return Fail(std::move(error));
  }
  held_.Truncate(known ? found->held : 0);
  if (known) {
    savepoints_.erase(found + 1, savepoints_.end());
  }
  return {};
}

Status LogDecoder::OnTableMap(std::string_view body) {
  CROSSFADE_ASSIGN(const TableTracker::Mapped* const mapped, tracker_.Map(body));
  if (mapped->plan != nullptr) {
    statement_tables_.push_back(mapped->plan->schema);
  }
  return {};
}

// Whether a table of this statement refers to another one of it, with an action: asked only when too many rows wait.
bool LogDecoder::LooksCascaded() const {
  for (const TableSchema* child : statement_tables_) {
    for (const ForeignKey& key : child->foreign_keys) {
      const bool parent_here =
          std::any_of(statement_tables_.begin(), statement_tables_.end(),
                      [&key](const TableSchema* table) { return table->name == key.parent_table; });
      if (key.has_action() && parent_here) {
        return true;
      }
    }
  }
  return false;
}

void LogDecoder::DecideHeld(uint8_t flags) {
  for (size_t i = undecided_from_; undecided_ && i < held_.size(); ++i) {
    held_.entry(i).change_flags |= flags;
  }
  undecided_ = false;
}

// MySQL 9.6+ logs what foreign keys' actions did, children first, as rows whose foreign keys were not checked, in a
// statement whose other rows were checked; where the session checks nothing, no rows event of the statement is checked.
// So such rows wait for the first event that tells, at the latest the statement's last.
Status LogDecoder::OnRows(const RawEvent& event) {
  CROSSFADE_ASSIGN(const RowsHeader header, ParseRowsHeader(event.header.type, event.body));
  const bool ends_statement = (header.flags & kStatementEnd) != 0;
  const bool unchecked = (header.flags & kNoChecks) != 0;
  const bool may_cascade = (header.flags & kSqlForeignKeys) != 0;
  std::shared_ptr<const TablePlan> plan;
  if (header.table_id != kDummyTableId) {
    const TableTracker::Mapped* const mapped = tracker_.Find(header.table_id);
    if (mapped == nullptr) {
      return Malformed(event.header.type, fmt::format("table {} has no table map", header.table_id));
    }
    plan = mapped->plan;
  }
  if (!in_group_) {
    return Malformed(event.header.type, "rows outside of a transaction");
  }
  uint8_t flags = 0;
  bool open = false;
  if (!unchecked) {
    checks_ = Checks::kOn;
    DecideHeld(kCascaded);
  } else if (may_cascade && checks_ == Checks::kOn) {
    flags = kCascaded;
  } else if (may_cascade && !ends_statement) {
    open = true;
  } else {
    DecideHeld(kNoForeignKeyChecks);
    flags = kNoForeignKeyChecks;
  }
  if (ends_statement) {
    checks_ = Checks::kUnknown;
    flags |= kEndOfStatement;
  }
  if (plan != nullptr) {
    if (open && !undecided_) {
      undecided_ = true;
      undecided_from_ = held_.size();
    }
    if (open || holding_ || !held_.empty()) {
      held_.Add(event.header.type, flags, plan, event.body);
    } else {
      change_flags_ = flags;
      CROSSFADE_TRY(reader_.Start(event.header.type, event.body, *plan));
      reading_ = true;
    }
  }
  if (plan == nullptr && ends_statement && !held_.empty()) {
    held_.entry(held_.size() - 1).change_flags |= kEndOfStatement;
  }
  if (held_.bytes() > options_.hold_bytes) {
    DecideHeld(LooksCascaded() ? kCascaded : kNoForeignKeyChecks);
    holding_ = false;
  }
  if (ends_statement) {
    statement_tables_.clear();
  }
  if (!held_.empty() && !undecided_ && !holding_) {
    play_ = true;
    playing_ = 0;
  }
  return {};
}

// The next held event, if there is one to give out.
Result<bool> LogDecoder::StartHeld() {
  if (!play_) {
    return false;
  }
  if (playing_ == held_.size()) {
    play_ = false;
    held_.Clear();
    if (!in_group_) {
      DropGroup();
    }
    return false;
  }
  const HeldRows::Entry& entry = held_.entry(playing_);
  change_flags_ = entry.change_flags;
  CROSSFADE_TRY(reader_.Start(entry.type, held_.body(playing_), *entry.plan));
  ++playing_;
  reading_ = true;
  return true;
}

// Reads on to the next row; false if there is none until more is fed.
Result<bool> LogDecoder::NextRow() {
  for (;;) {
    if (reading_) {
      CROSSFADE_ASSIGN(const bool row, reader_.Next());
      if (row) {
        return true;
      }
      reading_ = false;
    }
    CROSSFADE_ASSIGN(const bool more, StartHeld());
    if (!more) {
      return false;
    }
  }
}

}  // namespace crossfade::capture
