#include "tools/crossfade/capture_loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <variant>

#include "core/bytes.h"
#include "core/clock.h"
#include "tools/crossfade/backoff.h"

namespace crossfade::tools {

namespace {

constexpr std::string_view kComponent = "capture";
// Nothing waits longer than this for its sync while more is read.
constexpr std::chrono::milliseconds kGroupWait{5};
constexpr uint64_t kGroupBytes = 4 << 20;
constexpr std::chrono::milliseconds kIdleWait{200};
constexpr std::chrono::milliseconds kBudgetEvery{200};
// Which files of the source's log were read last. A start by GTID may begin some files before the tail's.
constexpr const char* kLogsRecord = "capture.logs";
constexpr size_t kLogsKept = 64;

}  // namespace

CaptureLoop::CaptureLoop(state::Journal* journal, OpenSource open_source, ConcernsUs concerns_us,
                         std::function<bool()> fail_over_budget, std::function<bool()> applies, StatusBoard* board)
    : journal_(journal),
      open_source_(std::move(open_source)),
      concerns_us_(std::move(concerns_us)),
      fail_over_budget_(std::move(fail_over_budget)),
      applies_(std::move(applies)),
      board_(board) {}

Status CaptureLoop::Run(std::stop_token stop) {
  Backoff backoff;
  while (!stop.stop_requested()) {
    const Position before = journal_->tail().position;
    Status session = Session(stop);
    if (session || stop.stop_requested()) {
      return {};
    }
    if (!IsRetriable(session.error())) {
      return session;
    }
    if (journal_->tail().position != before) {
      backoff.Reset();
    }
    ++reconnects_;
    board_->SetError(session.error());
    board_->Update([&](StatusReport* report) { report->capture_reconnects = reconnects_; });
    spdlog::warn("capture: {}; trying again in {} ms", session.error().ToString(), backoff.next().count());
    backoff.Wait(stop);
  }
  return {};
}

Status CaptureLoop::Session(std::stop_token stop) {
  CROSSFADE_TRY(LoadLogs());
  CROSSFADE_ASSIGN(const std::unique_ptr<capture::Source> source, open_source_(logs_));
  const std::stop_callback interrupt(stop, [&] { source->Interrupt(); });
  last_ = journal_->tail().position;
  in_transaction_ = false;
  CROSSFADE_TRY(source->Open(last_));
  spdlog::info("capture: following {}", last_.ToString());
  Status pumped = Pump(source.get(), stop);
  source->Close();
  if (std::exchange(writing_, false)) {
    // The rest of it will be read again from its beginning.
    CROSSFADE_TRY(journal_->writer().Rollback(last_));
  }
  in_transaction_ = false;
  if (has_unsynced_) {
    CROSSFADE_TRY(SyncGroup(nullptr));
  }
  return pumped;
}

Status CaptureLoop::Pump(capture::Source* source, std::stop_token stop) {
  while (!stop.stop_requested()) {
    if (!in_transaction_ && std::chrono::steady_clock::now() >= check_budget_at_) {
      CROSSFADE_TRY(HoldWhileOverBudget(stop));
      check_budget_at_ = After(kBudgetEvery);
    }
    const Deadline deadline = has_unsynced_ ? sync_by_ : After(kIdleWait);
    CROSSFADE_ASSIGN(const std::optional<capture::Event> event, source->Next(deadline));
    CROSSFADE_TRY(KeepLog(*source));
    if (event) {
      CROSSFADE_TRY(Take(*event));
    }
    const auto group_is_due = [&] {
      return !event || std::chrono::steady_clock::now() >= sync_by_ ||
             journal_->writer().unsynced_bytes() >= kGroupBytes || !source->HasBuffered();
    };
    if (has_unsynced_ && !in_transaction_ && group_is_due()) {
      CROSSFADE_TRY(SyncGroup(source));
    }
  }
  return {};
}

Status CaptureLoop::LoadLogs() {
  CROSSFADE_ASSIGN(const std::optional<std::string> bytes, journal_->GetRecord(kLogsRecord));
  logs_.clear();
  ByteReader in(bytes ? std::string_view(*bytes) : std::string_view());
  while (bytes && in.ok() && !in.at_end()) {
    capture::LogMark mark;
    mark.server = in.String();
    mark.file = in.String();
    mark.begun_s = static_cast<int64_t>(in.Varint());
    logs_.push_back(std::move(mark));
  }
  return {};
}

// Before any position in a new file is durable.
Status CaptureLoop::KeepLog(const capture::Source& source) {
  const capture::LogMark* const log = source.Log();
  if (log == nullptr || (!logs_.empty() && logs_.back() == *log)) {
    return {};
  }
  std::erase_if(logs_, [&](const auto& mark) { return mark.server == log->server && mark.file == log->file; });
  logs_.push_back(*log);
  if (logs_.size() > kLogsKept) {
    // The last one of each server stays: it tells whether the server is still the one it was.
    const auto goes = std::find_if(logs_.begin(), logs_.end(), [&](const capture::LogMark& old) {
      return std::any_of(logs_.begin(), logs_.end(),
                         [&](const capture::LogMark& later) { return &later > &old && later.server == old.server; });
    });
    if (goes != logs_.end()) {
      logs_.erase(goes);
    }
  }
  std::string bytes;
  ByteWriter out(&bytes);
  for (const capture::LogMark& mark : logs_) {
    out.String(mark.server);
    out.String(mark.file);
    out.Varint(static_cast<uint64_t>(mark.begun_s));
  }
  return journal_->PutRecord(kLogsRecord, bytes);
}

Status CaptureLoop::Take(const capture::Event& event) {
  state::JournalWriter& writer = journal_->writer();
  if (const auto* change = std::get_if<Change>(&event)) {
    CROSSFADE_TRY(BeginWriting());
    return writer.Add(*change);
  }
  if (std::holds_alternative<capture::TransactionBegin>(event)) {
    in_transaction_ = true;
    return {};
  }
  if (const auto* end = std::get_if<capture::TransactionEnd>(&event)) {
    return End(*end);
  }
  if (const auto* heartbeat = std::get_if<capture::Heartbeat>(&event)) {
    last_commit_us_ = heartbeat->arrival_time_us;
    if (heartbeat->position == last_) {
      board_->Update([&](StatusReport* report) { report->lag_capture_ms = 0; });
      return {};
    }
    last_ = heartbeat->position;
    MarkUnsynced();
    return writer.Advance(heartbeat->position);
  }
  const auto& ddl = std::get<capture::SchemaChange>(event);
  const auto other = std::find_if(ddl.also.begin(), ddl.also.end(), concerns_us_);
  if (!concerns_us_(ddl.table) && other == ddl.also.end()) {
    MarkUnsynced();
    last_ = ddl.position;
    return writer.Advance(ddl.position);
  }
  const std::string& table = concerns_us_(ddl.table) ? ddl.table : *other;
  Error error{
      ErrorClass::kData,
      "CF1742",
      std::string(kComponent),
      fmt::format("the source changed table {} at {}", table, ddl.position.ToString()),
      "",
      table,
      ddl.statement,
      "schema changes are not followed: undo the change before more rows are written, or run 'crossfade abort' and "
      "start again"};
  return Fail(std::move(error));
}

Status CaptureLoop::End(const capture::TransactionEnd& end) {
  state::JournalWriter& writer = journal_->writer();
  in_transaction_ = false;
  last_ = end.position;
  // A log with whole seconds says nothing about milliseconds: what just arrived was just committed.
  const bool whole_seconds = end.commit_time_us % 1'000'000 == 0;
  const bool fresh = end.arrival_time_us - end.commit_time_us < 2'000'000;
  last_commit_us_ = whole_seconds && fresh ? end.arrival_time_us : end.commit_time_us;
  ++transactions_;
  MarkUnsynced();
  const state::CommitInfo commit{end.position, last_commit_us_, end.arrival_time_us};
  switch (end.outcome) {
    case capture::Outcome::kCommit:
      CROSSFADE_TRY(BeginWriting());
      writing_ = false;
      return writer.Commit(commit);
    case capture::Outcome::kRollback:
      return std::exchange(writing_, false) ? writer.Rollback(end.position) : writer.Advance(end.position);
    case capture::Outcome::kPrepare:
      CROSSFADE_TRY(BeginWriting());
      writing_ = false;
      return writer.Prepare(end.xid, end.position);
    case capture::Outcome::kCommitPrepared:
      return writer.CommitPrepared(end.xid, commit);
    case capture::Outcome::kRollbackPrepared:
      return writer.RollbackPrepared(end.xid, end.position);
  }
  return {};
}

// The journal's transaction begins with its first row: XA COMMIT and XA ROLLBACK have none of their own.
Status CaptureLoop::BeginWriting() {
  if (writing_) {
    return {};
  }
  writing_ = true;
  return journal_->writer().Begin();
}

void CaptureLoop::MarkUnsynced() {
  if (!has_unsynced_) {
    has_unsynced_ = true;
    sync_by_ = After(kGroupWait);
  }
}

Status CaptureLoop::SyncGroup(capture::Source* source) {
  CROSSFADE_TRY(journal_->writer().Sync());
  has_unsynced_ = false;
  const state::Tail tail = journal_->tail();
  const int64_t now = WallMicros();
  board_->Update([&](StatusReport* report) {
    report->captured = tail.position;
    report->captured_seq = tail.seq;
    report->captured_transactions = transactions_;
    report->lag_capture_ms = std::max<int64_t>(0, (now - last_commit_us_) / 1000);
  });
  return source == nullptr ? Status{} : source->Confirm(tail.position);
}

// Only for what apply will make room of. Where all is applied, what is over the budget is rows that were taken back, an
// XA transaction that is not decided, or what the target has not made durable: each goes by what is read next.
bool CaptureLoop::MustHold() const {
  const state::JournalStats stats = journal_->stats();
  return stats.over_budget && (fail_over_budget_() || (applies_() && board_->Read().applied_seq < stats.synced));
}

Status CaptureLoop::HoldWhileOverBudget(std::stop_token stop) {
  bool said = false;
  while (!stop.stop_requested() && MustHold()) {
    if (has_unsynced_) {
      CROSSFADE_TRY(SyncGroup(nullptr));
    }
    if (fail_over_budget_()) {
      return Fail(Error{ErrorClass::kConfig, "CF1741", std::string(kComponent),
                        "the journal is full during the copy, when nothing drains it", "", "journal.budget_mib",
                        fmt::format("{} bytes in the journal", journal_->stats().disk_bytes),
                        "raise journal.budget_mib and run again; nothing is lost while the source keeps its log"});
    }
    if (!said) {
      spdlog::warn("capture: the journal is over its budget; reading waits until the target has caught up");
      said = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return {};
}

}  // namespace crossfade::tools
