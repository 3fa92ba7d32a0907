// The bytes of one server's binlog into Events. Pure: no connection, no clock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capture/mysql/event.h"
#include "capture/mysql/gtid_event.h"
#include "capture/mysql/held_rows.h"
#include "capture/mysql/payload.h"
#include "capture/mysql/rows.h"
#include "capture/mysql/running_set.h"
#include "capture/mysql/statement.h"
#include "capture/mysql/table_tracker.h"
#include "capture/source.h"
#include "core/error.h"
#include "core/position.h"
#include "db/mysql/connection.h"

namespace crossfade::capture {

struct LogOptions {
  mysql::Flavor flavor = mysql::Flavor::kMariaDb;
  std::string server;    // identity, for positions
  std::string database;  // the captured one
  bool fold_case = false;
  // Rows kept in memory while it is open what they mean (HeldRows). Beyond it they are given out, and a rollback to a
  // savepoint that would take them back is Data error CF1214.
  uint64_t hold_bytes = 64 << 20;
};

// Feed an event, take what Next gives until it gives none, feed the next. Errors are for good.
// What it says of a transaction comes as the bytes do: Begin with the first captured row; a transaction without one
// leaves no event and only moves position().
//   CF1205 malformed, CF1207 checksum, CF1208 incident or unknown event (Corrupt)
//   CF1210 shape of a table, CF1212 rows changed by statement, CF1213 text, CF1214 savepoint, CF1215 partial JSON
//   (Data)
class LogDecoder {
 public:
  LogDecoder(LogOptions options, std::vector<TableSchema> tables, ServerText text);

  // Where reading begins. If `set_known`, from.set is the set there, even if empty. With `skip`, the bytes come from
  // the beginning of from.file, and what lies before from.offset only tells the set.
  Status Start(const Position& from, bool set_known, bool skip);

  // One event as the server sends it; must stay until Next has given none. `arrival_us`: our clock.
  Status Feed(std::string_view bytes, int64_t arrival_us);
  // A Change borrows until the next call.
  Result<std::optional<Event>> Next();

  // Behind the last whole transaction, or what follows it and does not concern us.
  Position position();
  bool in_transaction() const { return in_group_; }
  // The file that is read; null before its first event.
  const LogMark* log() const { return log_ ? &*log_ : nullptr; }
  // Next has something to give.
  bool pending() const { return row_ready_ || reading_ || play_ || in_payload_ || queue_at_ < queue_.size(); }

 private:
  // What the rows events of a statement have told so far about its foreign key checks.
  enum class Checks : uint8_t { kUnknown, kOn };
  struct Savepoint {
    std::string name;
    size_t held = 0;
    uint64_t emitted = 0;
  };

  Status Handle(const RawEvent& event);
  Status HandleOutside(const RawEvent& event, std::string_view bytes);
  Status HandleSkipped(const RawEvent& event);
  void MoveOffset(const EventHeader& header);
  void MoveCommitted();
  Status OnFormat(const EventHeader& header, std::string_view bytes);
  Status OnRotate(std::string_view body);
  Status OnHeartbeat(const RawEvent& event);
  Status OnGtid(const RawEvent& event);
  Status OnKnownSet(const RawEvent& event);
  Status OnQuery(const RawEvent& event);
  Status OnLoad(const RawEvent& event);
  Status OnTableMap(std::string_view body);
  Status OnRows(const RawEvent& event);
  Status OnXaPrepare(const RawEvent& event);
  Status OnStatement(Statement statement, const Query& query);
  Status OnDdl(const Statement& statement, const Query& query);
  Status OnDml(const Statement& statement, const Query& query);
  Status OnTemporaryTable(const Statement& statement, const Query& query);
  Status OnTruncate(const Statement& statement);
  Status OnRollbackTo(const std::string& name);
  void OnSavepoint(const std::string& name);
  void DecideHeld(uint8_t flags);
  bool LooksCascaded() const;
  void EndGroup(Outcome outcome, std::string xid);
  void AdvanceSet();
  void NoteCommitTime(const EventHeader& header);
  void DropGroup();
  void BreakGroup();
  Result<bool> NextRow();
  Result<bool> StartHeld();

  LogOptions options_;
  TableTracker tracker_;
  ChecksumMode checksum_ = ChecksumMode::kGuess;

  // Place.
  std::string file_;
  uint64_t offset_ = 0;
  Position committed_;  // without set
  std::optional<RunningSet> set_;
  std::optional<LogMark> log_;
  bool skipping_ = false;
  uint64_t skip_until_ = 0;

  // The open group.
  bool in_group_ = false;
  bool standalone_ = false;  // MariaDB: one event alone
  bool opened_ = false;      // by BEGIN, XA START, or its GTID alone (MariaDB)
  bool begun_ = false;       // Begin was given out
  std::optional<MariaDbGroup> mariadb_gtid_;
  std::optional<MySqlGtid> mysql_gtid_;
  int64_t commit_time_us_ = 0;
  int64_t arrival_us_ = 0;
  uint64_t emitted_ = 0;  // rows of the group given out

  // The statement under way.
  Checks checks_ = Checks::kUnknown;
  size_t undecided_from_ = 0;  // first held entry whose flags are open
  bool undecided_ = false;
  std::vector<const TableSchema*> statement_tables_;

  std::vector<Savepoint> savepoints_;
  bool holding_ = false;  // behind a savepoint
  HeldRows held_;
  size_t playing_ = 0;
  bool play_ = false;

  RowsReader reader_;
  bool reading_ = false;
  uint8_t change_flags_ = 0;
  bool row_ready_ = false;  // read already, waiting for Begin to be taken

  Payload payload_;
  bool in_payload_ = false;
  std::string unpacked_;
  std::string converted_;

  std::vector<Event> queue_;
  size_t queue_at_ = 0;
};

}  // namespace crossfade::capture
