#include "capture/mysql/log_decoder.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>

namespace crossfade::capture {

namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;

// Log files are told apart by the number at their end.
uint64_t FileNumber(std::string_view file) {
  uint64_t number = 0;
  const size_t dot = file.rfind('.');
  if (dot != std::string_view::npos) {
    std::from_chars(file.data() + dot + 1, file.data() + file.size(), number);
  }
  return number;
}

std::string Shortened(std::string_view text) {
  constexpr size_t kLimit = 300;
  return text.size() <= kLimit ? std::string(text) : std::string(text.substr(0, kLimit)) + " ..";
}

}  // namespace

LogDecoder::LogDecoder(LogOptions options, std::vector<TableSchema> tables, ServerText text)
    : options_(std::move(options)),
      tracker_(options_.flavor, options_.database, options_.fold_case, std::move(tables), std::move(text)) {}

Status LogDecoder::Start(const Position& from, bool set_known, bool skip) {
  BreakGroup();
  checksum_ = ChecksumMode::kGuess;
  file_ = from.file;
  offset_ = from.offset;
  committed_ = from;
  committed_.server = options_.server;
  committed_.set.clear();
  set_.reset();
  if (set_known) {
    CROSSFADE_ASSIGN(set_, RunningSet::Parse(options_.flavor, from.set));
  }
  skipping_ = skip;
  skip_until_ = from.offset;
  if (skip) {
    offset_ = 0;
  }
  return {};
}

Position LogDecoder::position() {
  Position position = committed_;
  if (set_) {
    position.set = set_->text();
  }
  return position;
}

// A group without its end: the server that wrote it died, or the connection did.
void LogDecoder::BreakGroup() {
  if (begun_) {
    TransactionEnd end;
    end.outcome = Outcome::kRollback;
    end.position = position();
    end.arrival_time_us = arrival_us_;
    queue_.emplace_back(std::move(end));
  }
  DropGroup();
}

void LogDecoder::DropGroup() {
  in_group_ = standalone_ = opened_ = begun_ = false;
  mariadb_gtid_.reset();
  mysql_gtid_.reset();
  commit_time_us_ = 0;
  emitted_ = 0;
  checks_ = Checks::kUnknown;
  undecided_ = false;
  statement_tables_.clear();
  savepoints_.clear();
  holding_ = false;
  held_.Clear();
  play_ = reading_ = row_ready_ = in_payload_ = false;
}

Status LogDecoder::Feed(std::string_view bytes, int64_t arrival_us) {
  arrival_us_ = arrival_us;
  if (queue_at_ == queue_.size()) {
    queue_.clear();
    queue_at_ = 0;
  }
  // A format description says itself whether it has a checksum.
  const bool is_format = bytes.size() > 4 && static_cast<EventType>(bytes[4]) == EventType::kFormatDescription;
  CROSSFADE_ASSIGN(const RawEvent event, ParseEvent(bytes, is_format ? ChecksumMode::kNone : checksum_));
  if (event.header.type == EventType::kTransactionPayload && !skipping_) {
    CROSSFADE_TRY(payload_.Start(event.body));
    in_payload_ = true;
    MoveOffset(event.header);
    return {};
  }
  return HandleOutside(event, bytes);
}

// An event that is not inside a payload: it has a place in the log.
Status LogDecoder::HandleOutside(const RawEvent& event, std::string_view bytes) {
  switch (event.header.type) {
    case EventType::kFormatDescription:
      BreakGroup();
      CROSSFADE_TRY(OnFormat(event.header, bytes));
      break;
    case EventType::kRotate:
      BreakGroup();
      return OnRotate(event.body);
    case EventType::kHeartbeat:
    case EventType::kHeartbeatV2:
      return OnHeartbeat(event);
    case EventType::kPreviousGtids:
    case EventType::kGtidList:
      CROSSFADE_TRY(OnKnownSet(event));
      break;
    default:
      break;
  }
  MoveOffset(event.header);
  if (skipping_) {
    return HandleSkipped(event);
  }
  const bool was_in_group = in_group_;
  CROSSFADE_TRY(Handle(event));
  if (!was_in_group && !in_group_) {
    MoveCommitted();
  }
  return {};
}

// To here, where no transaction is open. Never back: a dump by GTID begins at the head of a file, long before the
// first transaction that it gives.
void LogDecoder::MoveCommitted() {
  if (committed_.file.empty() || FileNumber(file_) > FileNumber(committed_.file) ||
      (file_ == committed_.file && offset_ > committed_.offset)) {
    committed_.file = file_;
    committed_.offset = offset_;
  }
}

void LogDecoder::MoveOffset(const EventHeader& header) {
  if (header.next_position == 0 || (header.flags & kArtificialEvent) != 0) {
    return;
  }
  // The header has 32 bits of it, while one large transaction can make a file longer.
  constexpr uint64_t kWrap = uint64_t{1} << 32;
  uint64_t next = (offset_ & ~(kWrap - 1)) | header.next_position;
  if (next < offset_) {
    next += kWrap;
  }
  offset_ = next;
}

Status LogDecoder::HandleSkipped(const RawEvent& event) {
  switch (event.header.type) {
    case EventType::kMariaDbGtid:
    case EventType::kGtid:
    case EventType::kGtidTagged:
      CROSSFADE_TRY(OnGtid(event));
      AdvanceSet();
      DropGroup();
      break;
    default:
      break;
  }
  if (offset_ >= skip_until_) {
    skipping_ = false;
    committed_.file = file_;
    committed_.offset = offset_;
  }
  return {};
}

Status LogDecoder::Handle(const RawEvent& event) {
  const EventType type = event.header.type;
  if (IsRowsEvent(type)) {
    return OnRows(event);
  }
  switch (type) {
    case EventType::kTableMap:
      return OnTableMap(event.body);
    case EventType::kMariaDbGtid:
    case EventType::kGtid:
    case EventType::kGtidTagged:
    case EventType::kAnonymousGtid:
      return OnGtid(event);
    case EventType::kQuery:
    case EventType::kQueryCompressed:
      return OnQuery(event);
    case EventType::kXid:
      NoteCommitTime(event.header);
      EndGroup(Outcome::kCommit, {});
      return {};
    case EventType::kXaPrepare:
      return OnXaPrepare(event);
    case EventType::kExecuteLoadQuery:
      return OnLoad(event);
    case EventType::kIncident:
      return MakeError(ErrorClass::kCorrupt, "CF1208", "capture.mysql",
                       "the server reports an incident: its log lacks events before {}:{}", file_, offset_);
    case EventType::kFormatDescription:
    case EventType::kPreviousGtids:
    case EventType::kGtidList:
    case EventType::kStop:
    case EventType::kIntvar:
    case EventType::kRand:
    case EventType::kUserVar:
    case EventType::kBeginLoadQuery:
    case EventType::kIgnorable:
    case EventType::kRowsQuery:
    case EventType::kTransactionContext:
    case EventType::kViewChange:
    case EventType::kAnnotateRows:
    case EventType::kBinlogCheckpoint:
    case EventType::kStartEncryption:
      return {};
    default:
      if ((event.header.flags & kIgnorableEvent) != 0) {
        return {};
      }
      return MakeError(ErrorClass::kCorrupt, "CF1208", "capture.mysql", "event of {} before {}:{} is not known",
                       EventName(type), file_, offset_);
  }
}

Status LogDecoder::OnFormat(const EventHeader& header, std::string_view bytes) {
  CROSSFADE_ASSIGN(const FormatDescription format, ParseFormatDescription(bytes.substr(kEventHeaderBytes)));
  checksum_ = format.checksum ? ChecksumMode::kCrc32 : ChecksumMode::kNone;
  if (format.checksum) {
    // The flag "in use" is set and cleared in place, without a new checksum.
    std::string unused(bytes);
    unused[kEventHeaderBytes - 2] = static_cast<char>(unused[kEventHeaderBytes - 2] & ~1);
    CROSSFADE_TRY(ParseEvent(unused, ChecksumMode::kCrc32));
  }
  if (!file_.empty() && header.timestamp != 0) {
    log_ = LogMark{options_.server, file_, header.timestamp};
  }
  return {};
}

Status LogDecoder::OnRotate(std::string_view body) {
  CROSSFADE_ASSIGN(const Rotate rotate, ParseRotate(body));
  if (skipping_ && !file_.empty() && rotate.file != file_) {
    return MakeError(ErrorClass::kCorrupt, "CF1204", "capture.mysql", "{} ends before {}", file_, skip_until_);
  }
  file_ = rotate.file;
  offset_ = rotate.position;
  // A rotation made up by the server, with or without a checksum as the next file has it.
  checksum_ = ChecksumMode::kGuess;
  if (!skipping_) {
    MoveCommitted();
  }
  return {};
}

Status LogDecoder::OnHeartbeat(const RawEvent& event) {
  CROSSFADE_ASSIGN(const Rotate at, ParseHeartbeat(event.header.type, event.body));
  if (in_group_ || skipping_) {
    return {};
  }
  if (at.file == file_) {
    if (at.position != 0) {
      offset_ = std::max(offset_, at.position);
    } else {
      MoveOffset(event.header);
    }
    MoveCommitted();
  }
  Heartbeat heartbeat;
  heartbeat.position = position();
  heartbeat.arrival_time_us = arrival_us_;
  queue_.emplace_back(std::move(heartbeat));
  return {};
}

// At the beginning of a file: all that came before it. Only needed when nothing is known yet.
Status LogDecoder::OnKnownSet(const RawEvent& event) {
  if (set_) {
    return {};
  }
  const bool mysql = event.header.type == EventType::kPreviousGtids;
  CROSSFADE_ASSIGN(const std::string text, mysql ? ParsePreviousGtids(event.body) : ParseGtidList(event.body));
  CROSSFADE_ASSIGN(set_, RunningSet::Parse(options_.flavor, text));
  return {};
}

Status LogDecoder::OnGtid(const RawEvent& event) {
  BreakGroup();
  tracker_.Forget();
  in_group_ = true;
  if (event.header.type == EventType::kMariaDbGtid) {
    CROSSFADE_ASSIGN(mariadb_gtid_, ParseMariaDbGtid(event.header, event.body));
    standalone_ = mariadb_gtid_->standalone();
    opened_ = !standalone_;
    return {};
  }
  CROSSFADE_ASSIGN(mysql_gtid_, ParseMySqlGtid(event.header.type, event.body));
  return {};
}

// The last event of a group tells, where its GTID does not.
void LogDecoder::NoteCommitTime(const EventHeader& header) {
  const bool told = mysql_gtid_ && mysql_gtid_->commit_time_us != 0;
  commit_time_us_ = told ? mysql_gtid_->commit_time_us : header.timestamp * kMicrosPerSecond;
}

void LogDecoder::AdvanceSet() {
  if (mariadb_gtid_) {
    committed_.last = fmt::format("{}-{}-{}", mariadb_gtid_->domain, mariadb_gtid_->server, mariadb_gtid_->sequence);
    if (set_) {
      set_->Add(*mariadb_gtid_);
    }
  } else if (mysql_gtid_ && !mysql_gtid_->sid.empty()) {
    committed_.last = fmt::format("{}:{}", mysql_gtid_->sid, mysql_gtid_->number);
    if (set_) {
      set_->Add(*mysql_gtid_);
    }
  } else {
    committed_.last.clear();
  }
}

// The group is whole. Held rows come out first, then its end.
void LogDecoder::EndGroup(Outcome outcome, std::string xid) {
  AdvanceSet();
  committed_.file = file_;
  committed_.offset = offset_;
  DecideHeld(0);
  play_ = !held_.empty();
  playing_ = 0;
  const bool xa = outcome != Outcome::kCommit && outcome != Outcome::kRollback;
  if (begun_ || play_ || xa) {
    if (!begun_ && !play_) {
      queue_.emplace_back(TransactionBegin{});
    }
    TransactionEnd end;
    end.outcome = outcome;
    end.xid = std::move(xid);
    end.position = position();
    end.commit_time_us = commit_time_us_;
    end.arrival_time_us = arrival_us_;
    queue_.emplace_back(std::move(end));
  }
  in_group_ = false;
  if (!play_) {
    DropGroup();
  }
}

Status LogDecoder::OnXaPrepare(const RawEvent& event) {
  CROSSFADE_ASSIGN(XaPrepare prepare, ParseXaPrepare(event.body));
  NoteCommitTime(event.header);
  if (prepare.one_phase) {
    EndGroup(Outcome::kCommit, {});
  } else {
    EndGroup(Outcome::kPrepare, std::move(prepare.xid));
  }
  return {};
}

Status LogDecoder::OnQuery(const RawEvent& event) {
  CROSSFADE_ASSIGN(Query query, ParseQuery(event.header.type, event.body, &unpacked_));
  query.statement = tracker_.ToUtf8(query.statement, query.client_charset, &converted_);
  Statement statement = Classify(query.statement, query.database, query.sql_mode);
  if (!in_group_) {
    in_group_ = true;  // MySQL or MariaDB without any GTID event
  }
  NoteCommitTime(event.header);
  return OnStatement(std::move(statement), query);
}

Status LogDecoder::OnStatement(Statement statement, const Query& query) {
  switch (statement.kind) {
    case StatementKind::kBegin:
    case StatementKind::kXaStart:
      opened_ = true;
      return {};
    case StatementKind::kXaEnd:
      return {};
    case StatementKind::kCommit:
      EndGroup(Outcome::kCommit, {});
      return {};
    case StatementKind::kRollback:
      EndGroup(Outcome::kRollback, {});
      return {};
    case StatementKind::kSavepoint:
      OnSavepoint(statement.name);
      return {};
    case StatementKind::kRollbackTo:
      return OnRollbackTo(statement.name);
    case StatementKind::kXaCommit:
      EndGroup(Outcome::kCommitPrepared, std::move(statement.name));
      return {};
    case StatementKind::kXaRollback:
      EndGroup(Outcome::kRollbackPrepared, std::move(statement.name));
      return {};
    case StatementKind::kTruncate:
      return OnTruncate(statement);
    case StatementKind::kTableDdl:
    case StatementKind::kDatabaseDdl:
      return OnDdl(statement, query);
    case StatementKind::kDml:
      CROSSFADE_TRY(OnDml(statement, query));
      break;
    case StatementKind::kTemporaryTable:
      CROSSFADE_TRY(OnTemporaryTable(statement, query));
      break;
    case StatementKind::kOther:
      break;
  }
  if (!opened_) {
    EndGroup(Outcome::kCommit, {});
  }
  return {};
}

Status LogDecoder::OnTruncate(const Statement& statement) {
  const TableSchema* const table =
      statement.tables.empty() ? nullptr : tracker_.FindTable(statement.tables[0].database, statement.tables[0].table);
  if (table != nullptr) {
    queue_.emplace_back(TransactionBegin{});
    Change change;
    change.table = table;
    change.kind = ChangeKind::kTruncate;
    change.flags = kEndOfStatement;
    queue_.emplace_back(change);
    begun_ = true;
  }
  EndGroup(Outcome::kCommit, {});
  return {};
}

Status LogDecoder::OnDdl(const Statement& statement, const Query& query) {
  // Each of them: one that does not belong to the migration may get the name of one that would (RENAME).
  std::vector<std::string> tables;
  const bool alters_nothing = mariadb_gtid_ && mariadb_gtid_->alters_nothing();
  for (const TableReference& reference : statement.tables) {
    // A table that is there is not made again.
    const bool stays =
        statement.creates_if_absent && tracker_.FindTable(reference.database, reference.table) != nullptr;
    if (tracker_.IsOurDatabase(reference.database) && !stays && !alters_nothing &&
        std::find(tables.begin(), tables.end(), reference.table) == tables.end()) {
      tables.push_back(reference.table);
    }
  }
  // A captured one first: that is what stops.
  std::stable_partition(tables.begin(), tables.end(), [&](const std::string& table) {
    return std::any_of(statement.tables.begin(), statement.tables.end(), [&](const TableReference& reference) {
      return reference.table == table && tracker_.FindTable(reference.database, table) != nullptr;
    });
  });
  // CREATE TABLE .. SELECT is followed by the rows, in the same group.
  const bool in_transaction = opened_;
  if (!in_transaction) {
    EndGroup(Outcome::kCommit, {});
  }
  if (!tables.empty()) {
    SchemaChange change;
    change.statement = query.statement;
    change.table = std::move(tables.front());
    change.also.assign(std::make_move_iterator(tables.begin() + 1), std::make_move_iterator(tables.end()));
    change.position = position();
    queue_.emplace_back(std::move(change));
  }
  return {};
}

namespace {

tl::unexpected<Error> LoggedAsStatement(const Query& query) {
  Error error;
  error.error_class = ErrorClass::kData;
  error.code = "CF1212";
  error.component = "capture.mysql";
  error.message = "the log has a change of rows as a statement, without the rows";
  error.object = query.database;
  error.found = Shortened(query.statement);
  error.fix = "SET GLOBAL binlog_format = ROW, end the sessions that have another, then copy anew";
  return Fail(std::move(error));
}

}  // namespace

Status LogDecoder::OnDml(const Statement& statement, const Query& query) {
  for (const TableReference& reference : statement.tables) {
    if (tracker_.IsOurDatabase(reference.database)) {
      return LoggedAsStatement(query);
    }
  }
  return {};
}

// Logged only by a session without binlog_format = ROW. A TRUNCATE of a table of that name may then be of this one, and
// nothing in the log tells.
Status LogDecoder::OnTemporaryTable(const Statement& statement, const Query& query) {
  for (const TableReference& reference : statement.tables) {
    if (tracker_.FindTable(reference.database, reference.table) != nullptr) {
      return LoggedAsStatement(query);
    }
  }
  return {};
}

Status LogDecoder::OnLoad(const RawEvent& event) {
  // A QUERY with 13 more bytes behind its fixed part, of which only the statement matters.
  constexpr size_t kFixed = 13;
  constexpr size_t kMore = 13;
  if (event.body.size() < kFixed + kMore) {
    return Malformed(event.header.type, "too short");
  }
  std::string body(event.body.substr(0, kFixed));
  body += event.body.substr(kFixed + kMore);
  CROSSFADE_ASSIGN(const Query query, ParseQuery(EventType::kQuery, body, &unpacked_));
  return OnDml(Classify(query.statement, query.database, query.sql_mode), query);
}

Result<std::optional<Event>> LogDecoder::Next() {
  for (;;) {
    if (!row_ready_ && (reading_ || play_)) {
      CROSSFADE_ASSIGN(row_ready_, NextRow());
    }
    if (row_ready_) {
      if (!begun_) {
        begun_ = true;
        return Event(TransactionBegin{});
      }
      row_ready_ = false;
      ++emitted_;
      Change change;
      change.table = reader_.plan().schema;
      change.kind = reader_.kind();
      // The end of a statement is its last row, not all of the event.
      change.flags = reader_.at_end() ? change_flags_ : static_cast<uint8_t>(change_flags_ & ~kEndOfStatement);
      change.before = reader_.before();
      change.after = reader_.after();
      return Event(change);
    }
    if (queue_at_ < queue_.size()) {
      return std::move(queue_[queue_at_++]);
    }
    queue_.clear();
    queue_at_ = 0;
    if (!in_payload_) {
      return std::nullopt;
    }
    CROSSFADE_ASSIGN(const auto inner, payload_.Next());
    if (!inner) {
      in_payload_ = false;
      continue;
    }
    CROSSFADE_ASSIGN(const RawEvent event, ParseEvent(*inner, ChecksumMode::kNone));
    CROSSFADE_TRY(Handle(event));
  }
}

}  // namespace crossfade::capture
