// All that a report says about one migration, gathered once. Plain data: what is written is made of this alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apply/postgres/migration_record.h"
#include "apply/target.h"
#include "tools/crossfade/history.h"
#include "tools/crossfade/status.h"

namespace crossfade::tools {

struct ReportColumn {
  std::string name;
  std::string source_type;
  std::string target_type;  // empty: not known, or excluded
  std::string target_name;  // empty: excluded
  std::string transform;    // "hashed"; empty: as it is
  bool nullable = true;
};

struct ReportTable {
  std::string source;
  std::string target;    // schema.table
  std::string identity;  // "id"; "rowid, line (unique key)"; "all columns"
  std::vector<ReportColumn> columns;
  std::optional<uint64_t> copied_rows;
  std::optional<uint64_t> copied_chunks;
};

// One difference, one line of a report.
struct ReportDifference {
  std::string table;
  std::string key;
  std::string kind;  // "missing", "extra", "different"
  struct Cell {
    std::string column;
    std::string source;
    std::string target;
  };
  std::vector<Cell> cells;
};

struct ReportTableResult {
  std::string table;
  std::string result;  // "equal", "different", "undecided"
  uint64_t source_rows = 0;
  uint64_t target_rows = 0;
  uint64_t rechecked = 0;
  uint64_t differences = 0;
  uint64_t undecided = 0;
  std::string why_undecided;
};

// What `crossfade verify` left in the state directory.
struct ReportVerification {
  std::string result;
  std::string from;
  std::string upto;
  int64_t began_us = 0;
  int64_t ended_us = 0;
  uint64_t differences = 0;
  uint64_t undecided = 0;
  uint64_t rows = 0;  // of the source
  std::vector<ReportTableResult> tables;
  std::vector<ReportDifference> shown;
};

struct ReportPass {
  int64_t began_us = 0;
  int64_t ended_us = 0;
  std::string result;
  uint64_t differences = 0;
  uint64_t undecided = 0;
  uint64_t rows = 0;
  uint64_t tables = 0;
  std::string upto;
};

// A stretch of time in one phase.
struct PhaseSpan {
  int64_t from_us = 0;
  int64_t to_us = 0;
  Phase phase = Phase::kStarting;
  int64_t pid = 0;
  std::string version;
  std::string code;      // of the error that ended a run
  bool cut = false;      // the process ended without a word: killed, or the machine went down
  bool lasting = false;  // it is so now
};

struct LagFigures {
  int64_t now_ms = -1;
  int64_t p50_ms = -1;
  int64_t p99_ms = -1;
  int64_t max_ms = -1;
};

struct CopyFigures {
  int64_t began_us = 0;
  int64_t ended_us = 0;    // 0: not ended
  int64_t seconds_us = 0;  // in which it was at work
  std::optional<uint64_t> rows;
  double rows_per_second = 0;  // 0: not known
};

// An operator's action, of the audit log.
struct ReportAction {
  uint64_t seq = 0;
  std::string at;
  std::string who;  // user@host
  std::string action;
  std::string details;
  int64_t pid = 0;
  uint64_t rows = 0;  // that the details name one by one; 0: they name none
};

struct ReportAudit {
  bool kept = false;
  std::vector<ReportAction> actions;  // and the latest phases, in order
  uint64_t left_out = 0;              // older actions
  uint64_t phases_left_out = 0;
  std::string head;  // hash of the last entry
  uint64_t head_seq = 0;
  bool on_target = false;             // the target knows a record of it, and was asked
  std::vector<std::string> problems;  // where it is not as it was written
  std::vector<std::string> remarks;   // where it was begun anew
};

enum class Verdict : uint8_t {
  kEqual,
  kEqualWithRemarks,
  kNotVerified,
  kIncomplete,  // the copy
  kUndecided,
  kFailed,
  kDifferent,
};

struct ReportVerdict {
  Verdict verdict = Verdict::kNotVerified;
  std::string sentence;
  std::vector<std::string> remarks;  // what a person who signs must know
};

struct ReportData {
  int64_t made_us = 0;
  std::string made_by;  // user@host
  std::string program;
  std::string name;
  std::string config_path;
  std::string config_hash;                                    // SHA-256 of the file
  std::vector<std::pair<std::string, std::string>> settings;  // all but the defaults

  std::string source;  // "mariadb 127.0.0.1:3306, database shop"
  std::string target;
  std::string tenant;  // "tenant_id = 'acme'", or empty: none
  std::string tenant_type;

  std::optional<StatusReport> status;
  bool alive = false;
  std::optional<apply::MigrationRecord> record;
  std::optional<std::string> source_head;

  std::vector<ReportTable> tables;
  std::vector<std::string> excluded;                          // tables of the source that are not moved
  std::vector<std::string> for_a_person;                      // views, triggers, ...
  std::vector<apply::Finding> findings;                       // what `check` says of the plan, now
  std::vector<std::pair<std::string, std::string>> changing;  // policy: what it does to values

  History history;
  std::vector<PhaseSpan> phases;
  CopyFigures copy;
  LagFigures lag_total;
  LagFigures lag_following;  // the same, without what was caught up with after the copy and after restarts
  LagFigures lag_capture;
  LagFigures lag_apply;
  uint64_t lag_looks = 0;
  int64_t lag_from_us = 0;
  int64_t lag_to_us = 0;

  std::optional<ReportVerification> verification;
  std::vector<ReportPass> passes;                      // the latest last
  std::optional<uint64_t> applied_since_verification;  // transactions

  ReportAudit audit;
  std::vector<std::string> unread;  // what could not be read, and why
  ReportVerdict verdict;
};

}  // namespace crossfade::tools
