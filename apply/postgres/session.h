// Writes batches of changes into PostgreSQL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "apply/target.h"
#include "core/error.h"
#include "db/postgres/connection.h"
#include "db/postgres/type_map.h"

namespace crossfade::apply {

// What the session reads and writes beside the data, in the schema `crossfade` of the target; made by PgTarget:
//   migration(name text primary key, epoch bigint, ...)
//   progress(migration text, worker int, journal_id text, epoch bigint, low bigint, position bytea, commit_time_us
//   bigint,
//            above bytea, counter bigint, primary key (migration, worker))
//   divergence(migration text, seq bigint, position bytea, table_name text, kind text, row_key text, before_image text,
//              after_image text, action text, reason text, found_at timestamptz default now())
// `position` holds Position::Encode. `above` holds pairs of a Seq and a Position, see EncodeAbove.
struct PgSessionOptions {
  postgres::ConnectionOptions connection;
  std::string migration;
  std::string journal_id;
  uint64_t epoch = 0;
  uint32_t worker = 0;
  Tenancy tenancy;
  postgres::TypePolicy types;
  bool synchronous_commit = true;
  uint64_t statement_bytes = 1 << 20;  // parameters of one statement; larger steps are split
  uint32_t prepared_statements = 1000;
};

// Connects, and makes the worker's row of progress if there is none. Corrupt CF1502 if a higher epoch has taken over.
Result<std::unique_ptr<ApplySession>> OpenPgSession(const PgSessionOptions& options);

// The durable form of Progress::above: a version byte, a count, then for each a Seq and an encoded Position.
std::string EncodeAbove(const std::vector<Progress::Applied>& above);
Result<std::vector<Progress::Applied>> DecodeAbove(std::string_view bytes);

}  // namespace crossfade::apply
