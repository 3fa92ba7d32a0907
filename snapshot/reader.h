// Reads the rows of a source as of one state.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/chunk.h"
#include "core/error.h"
#include "core/position.h"
#include "core/schema.h"
#include "core/value.h"

namespace crossfade::snapshot {

// One connection with (or without yet) an open snapshot. One thread, but for Interrupt.
class Reader {
 public:
  using RowSink = std::function<Status(std::span<const Value>)>;
  virtual ~Reader() = default;

  // Opens a snapshot of its own for one chunk (chunked mode); ends the one before. What can be said about it:
  // low: everything up to it is visible; high: nothing beyond it is visible. A position may name the place in the log
  // only, or the GTID set only.
  struct Window {
    Position low;
    Position high;
  };
  virtual Result<Window> OpenSnapshot() = 0;

  // Ends it: while a reader waits, the source need not keep what others change and delete.
  virtual Status EndSnapshot() = 0;

  // The same with low = high, for what cannot have a window. Transient CF1605 if the source did not hold still long
  // enough (only servers that do not tell a snapshot's position).
  virtual Result<Position> OpenExactSnapshot() = 0;

  // Streams the rows of a range, one Value per column of `table`, in no promised order. The rows are borrowed during
  // the call. Data error CF1610 if the table no longer looks like `table`. An error of the sink ends it and is handed
  // back. After any error the reader can do nothing more.
  virtual Status Read(const TableSchema& table, const ChunkRange& range, const RowSink& sink) = 0;

  // The rows whose `columns` have one of these tuples of values, none of them NULL; compared as the source's collations
  // have it, so that others may come with them. Streams like Read, and fails like it.
  virtual Status ReadKeys(const TableSchema& table, std::span<const uint32_t> columns,
                          std::span<const std::vector<Value>> keys, const RowSink& sink) = 0;

  // Up to `max_rows` rows behind `after`, in the order in which the source sorts `key`, the columns of its primary key
  // or of a unique one. `after`: one Value for each of them; empty: from the beginning. None of them is a prefix, NULL,
  // ENUM or SET. In the newest state, which is not kept: ends the snapshot. Streams like Read, and fails like it.
  virtual Status ReadPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                          uint64_t max_rows, const RowSink& sink) = 0;

  // From any thread: what runs, or is called later, fails soon (Reconnect). For good.
  virtual void Interrupt() = 0;
};

struct ConsistentReaders {
  std::vector<std::unique_ptr<Reader>> readers;  // all see the state at `position`
  Position position;
  // XA transactions that were prepared and not decided at `position`. 0 too where the account may not list them.
  size_t prepared = 0;
};

// Range of the first key column's ordinals, for cutting a table into chunks; none for an empty table.
struct KeySpan {
  int64_t first = 0;
  int64_t last = 0;
  friend bool operator==(const KeySpan&, const KeySpan&) = default;
};

// Makes readers. Thread-safe.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  // `count` readers that see one state, opened under a lock of milliseconds. Config CF1601 if the account may not lock;
  // Transient CF1602 if the lock could not be had within its short time limit.
  virtual Result<ConsistentReaders> OpenConsistent(uint32_t count) = 0;
  virtual Result<std::unique_ptr<Reader>> OpenReader() = 0;
  // The table's first key column must have ordinals (integer or date).
  virtual Result<std::optional<KeySpan>> ReadKeySpan(const TableSchema& table) = 0;
};

}  // namespace crossfade::snapshot
