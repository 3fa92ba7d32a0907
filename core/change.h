// One row's change, as the source's log tells it.
#pragma once

#include <cstdint>
#include <span>

#include "core/schema.h"
#include "core/value.h"

namespace crossfade {

// Part of the journal's format: never reuse a number.
enum class ChangeKind : uint8_t { kInsert = 1, kUpdate = 2, kDelete = 3, kTruncate = 4 };

// Bits of Change::flags; part of the journal's format.
enum ChangeFlag : uint8_t {
  // The target's foreign keys must not act on it: the source's did not (foreign_key_checks = 0), or what they did is in
  // the log as changes of its own (all of PostgreSQL's).
  kNoForeignKeyChecks = 1,
  // The source's engine did it itself, as the action of a foreign key, on behalf of a parent's change in the same
  // statement (MySQL 9.6+ logs such rows, before the parent's).
  kCascaded = 2,
  // Last change of its statement on the source.
  kEndOfStatement = 4,
};

// Borrowed, valid until its giver's next call. Images have one Value per column of `table`, in its order.
// Insert: `after` only. Delete: `before` only. Update: both. Truncate: neither.
struct Change {
  const TableSchema* table = nullptr;
  ChangeKind kind = ChangeKind::kInsert;
  uint8_t flags = 0;
  std::span<const Value> before;
  std::span<const Value> after;
};

}  // namespace crossfade
