// What stands on a PostgreSQL target about one migration, for people: reports. Reads only, and takes no lock of ours.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apply/postgres/pg_target.h"
#include "apply/target.h"
#include "core/error.h"

namespace crossfade::apply {

// Of one table, by the marks of its chunks.
struct CopiedTable {
  std::string table;  // source name
  uint64_t chunks = 0;
  uint64_t rows = 0;
  int64_t first_us = 0;  // when its first and its last chunk was in
  int64_t last_us = 0;
};

struct StandingObject {
  // "table", "column" (added for this migration), "primary key", "unique key", "index", "foreign key", "check",
  // "identity"
  std::string kind;
  std::string schema;
  std::string table;
  std::string name;
  std::string definition;
  bool ours = true;   // made by this migration, as far as that is known: tables, columns and indexes
  bool valid = true;  // false: an index or constraint that the server does not hold to yet
};

struct RecordedDivergence {
  Divergence divergence;
  int64_t found_us = 0;
};

struct MigrationRecord {
  std::string server_version;
  bool known = false;  // false: the target knows nothing of the migration, and the rest is empty
  TargetState state;
  Owner owner;
  int64_t owner_since_us = 0;
  std::vector<CopiedTable> copied;
  uint64_t windows = 0;    // of the chunks, different ones
  bool one_state = false;  // the whole copy is of one Position, `copied_at`
  Position copied_at;
  std::vector<StandingObject> objects;  // by schema, table and kind
  uint64_t divergence_count = 0;
  std::vector<RecordedDivergence> divergences;  // the first ones
};

Result<MigrationRecord> ReadMigrationRecord(const PgTargetOptions& options, uint64_t max_divergences);

}  // namespace crossfade::apply
