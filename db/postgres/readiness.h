// Whether a PostgreSQL server can be copied and followed as it is set up, and what mends what is in the way.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "db/postgres/connection.h"
#include "db/postgres/slot.h"

namespace crossfade::postgres {

// One thing found. Codes are stable:
//   CF1930 the server is older than 13       CF1938 a table has no replica identity
//   CF1931 the server is a standby           CF1939 a replica identity that does not tell our rows
//   CF1932 wal_level is not logical          CF1940 a prepared transaction is open
//   CF1933 no slot is free                   CF1941 commits would wait for us as a synchronous standby
//   CF1934 no WAL sender is free             CF1942 the server gives up slots that keep too much log
//   CF1935 the role lacks REPLICATION        CF1943 the slot is there, and cannot be read any more
//   CF1936 a table or schema cannot be read  CF1944 changes of single partitions are not in the log
//   CF1937 the publication cannot be made    CF1945 row security hides rows
struct Finding {
  bool blocks = false;  // false: to be known, and the migration can go on
  std::string code;
  std::string object;   // the setting, right, table or transaction
  std::string found;    // the value found there
  std::string meaning;  // what it leads to
  // The very statements that mend it, joined by "; ". Where a restart is needed, followed by ", then restart the
  // server".
  std::string fix;
};

struct SourceNeeds {
  std::string schema = "public";
  std::string name;  // of slot and publication
  std::string application_name = "crossfade";
  bool consistent_copy = true;                       // takes a second slot for a while
  std::function<bool(const std::string&)> concerns;  // which tables are copied; empty: all
};

// What a verdict is based on.
struct TableFacts {
  std::string name;
  std::string root;             // the partitioned table that it is a partition of; else its own name
  bool partitioned = false;     // holds no rows itself
  char replica_identity = 'd';  // pg_class.relreplident
  bool has_primary_key = false;
  bool primary_key_usable = false;   // not deferrable
  bool identity_is_primary = false;  // the index of USING INDEX has the primary key's columns
  int unique_keys = 0;               // that can tell rows: whole, of NOT NULL columns, not deferrable
  std::string first_unique_key;      // the index's name
  std::string owner;
  bool owned = false;  // by us, or a role that we are in
  bool readable = false;
  bool row_security = false;  // acts on us
};

struct SourceFacts {
  uint32_t version = 0;  // 150004
  bool standby = false;
  std::string role;
  std::string database;
  std::map<std::string, std::string> settings;  // by name, in the server's unit
  uint32_t slots = 0;                           // in use
  uint32_t senders = 0;                         // in use
  bool may_replicate = false;
  bool may_create = false;  // in the database
  bool schema_usable = false;
  std::vector<TableFacts> tables;     // of the schema, by name
  std::vector<std::string> prepared;  // ids, of all databases
  std::optional<SlotState> slot;
  bool published = false;  // the publication is there: somebody with the rights has made it
};

Result<SourceFacts> ReadSourceFacts(Connection* connection, const SourceNeeds& needs);

// Pure. By code, then in the order of the tables.
std::vector<Finding> Judge(const SourceFacts& facts, const SourceNeeds& needs);

// Both.
Result<std::vector<Finding>> CheckSource(Connection* connection, const SourceNeeds& needs);

}  // namespace crossfade::postgres
