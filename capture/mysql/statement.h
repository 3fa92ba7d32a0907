// What a statement in the log means to us. Not an SQL parser: it knows the beginnings of statements and names. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace crossfade::capture {

enum class StatementKind : uint8_t {
  kOther,  // nothing that changes a table
  kBegin,
  kCommit,
  kRollback,
  kSavepoint,
  kRollbackTo,
  kXaStart,
  kXaEnd,
  kXaCommit,
  kXaRollback,
  kTruncate,
  kTableDdl,        // CREATE, ALTER, DROP, RENAME of tables and indexes: `tables` names all
  kDatabaseDdl,     // DROP DATABASE: `tables` has one entry with an empty name
  kDml,             // rows changed by the statement itself
  kTemporaryTable,  // CREATE TEMPORARY TABLE: its session's statements may name it instead of a table that stays
};

struct TableReference {
  std::string database;  // the session's default if the statement named none
  std::string table;
  friend bool operator==(const TableReference&, const TableReference&) = default;
};

struct Statement {
  StatementKind kind = StatementKind::kOther;
  // DDL: the tables it makes, changes or drops. DML: every "name.name" in it and, if `uses_default`, more.
  std::vector<TableReference> tables;
  bool creates_if_absent = false;  // CREATE TABLE IF NOT EXISTS
  std::string name;                // of a savepoint; or the xid, as FormatXid has it
};

Statement Classify(std::string_view statement, std::string_view default_database, uint64_t sql_mode);

}  // namespace crossfade::capture
