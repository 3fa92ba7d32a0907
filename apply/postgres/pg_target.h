// A PostgreSQL database as the target of one migration.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "apply/route.h"
#include "apply/target.h"
#include "core/error.h"
#include "db/postgres/connection.h"
#include "db/postgres/type_map.h"

namespace crossfade::apply {

// What to do with a column that this source has and a standing target table (another tenant's) lacks.
enum class ExtraColumnPolicy : uint8_t {
  kAdd,   // ADD COLUMN, nullable
  kStop,  // a finding that blocks
};

struct PgTargetOptions {
  postgres::ConnectionOptions connection;
  std::string migration;  // names this migration's rows in the helper schema
  Tenancy tenancy;
  postgres::TypePolicy types;
  ExtraColumnPolicy extra_columns = ExtraColumnPolicy::kAdd;
  bool text_keys_exact =
      false;  // keys of text may be compared byte by byte although the source compares them otherwise
  bool synchronous_commit = true;   // of apply sessions; chunk loads and everything else always wait for the disk
  uint32_t grace_ms = 3000;         // how long a heartbeat is watched before its owner is called dead
  uint32_t lock_timeout_ms = 2000;  // of DDL; beyond it: Transient
};

// Connects, and checks the server: version 14 or later (Config CF1503), writable. Makes nothing yet: the helper schema
// is made by TakeOver. The account needs CREATE on the database (or the schema "crossfade" owned by it) and on the
// target schema; no more. PlanSchema may be called before TakeOver, everything else only after.
Result<std::unique_ptr<Target>> OpenPgTarget(const PgTargetOptions& options);

}  // namespace crossfade::apply
