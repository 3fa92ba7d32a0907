// Whether a MariaDB or MySQL server can be copied and followed as it is set up, and what mends what is in the way.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "db/mysql/account.h"
#include "db/mysql/connection.h"

namespace crossfade::mysql {

// One thing found. Codes are stable:
//   CF1140 no binary log                    CF1148 the log is purged too soon
//   CF1141 server_id is 0                   CF1149 gtid_mode is not ON (MySQL)
//   CF1142 binlog_format is not ROW         CF1150 a log filter leaves the database out
//   CF1143 binlog_row_image is not FULL     CF1151 a prepared XA transaction is open
//   CF1144 binlog_row_metadata is not FULL  CF1152 gtid_strict_mode is OFF (MariaDB)
//   CF1145 a privilege is missing           CF1153 a replica that does not log what it applies
//   CF1146 no right to lock tables          CF1154 the log is purged by size
//   CF1147 a table is not InnoDB            CF1155 no right to see log and data at one time (MySQL)
//                                           CF1156 no right to leave the log (MariaDB)
struct Finding {
  bool blocks = false;  // false: to be known, and the migration can go on
  std::string code;
  std::string object;   // the setting, privilege, table or transaction
  std::string found;    // the value found there
  std::string meaning;  // what it leads to
  // The very statements that mend it, joined by "; ". Where no statement can, the setting to put in the server's
  // configuration, followed by ", then restart the server".
  std::string fix;
};

struct SourceNeeds {
  bool consistent_copy = true;                       // one state for all readers: needs a lock of milliseconds
  uint64_t log_retention_s = 3ULL * 24 * 3600;       // how long the log must hold what we have not read
  std::function<bool(const std::string&)> concerns;  // which tables are copied; empty: all
};

// What a verdict is based on.
struct PreparedTransaction {
  std::string xid;  // as XA COMMIT takes it: X'6162',X'',1
};

// The xid in a row of XA RECOVER.
std::string XidLiteral(const std::vector<std::optional<std::string>>& row);

struct SourceFacts {
  Flavor flavor = Flavor::kMariaDb;
  uint32_t version_number = 0;
  std::string account;  // quoted, as GRANT takes it
  std::map<std::string, std::string>
      variables;  // global, by lower-case name; what the server does not have is not there
  Privileges privileges;
  std::map<std::string, std::string> other_engines;  // of the database's tables that are not InnoDB
  bool has_foreign_keys = false;
  std::vector<std::string> logged_databases;   // binlog_do_db
  std::vector<std::string> ignored_databases;  // binlog_ignore_db
  std::vector<PreparedTransaction> prepared;
  bool prepared_known = true;  // false: we may not ask
  bool is_replica = false;
};

// What the server says. Errors are those of Connection; a right we lack is a fact, not an error.
Result<SourceFacts> ReadSourceFacts(Connection& connection, const std::string& database);

// Pure. By code, then by object.
std::vector<Finding> Judge(const SourceFacts& facts, const std::string& database, const SourceNeeds& needs);

// Both.
Result<std::vector<Finding>> CheckSource(Connection& connection, const std::string& database, const SourceNeeds& needs);

}  // namespace crossfade::mysql
