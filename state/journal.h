// The durable, ordered log of committed transactions between capture and apply, in RocksDB.
// Format: docs/journal_format.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/change.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"

namespace crossfade::state {

struct JournalOptions {
  std::string directory;
  uint64_t part_bytes = 1 << 20;        // a larger transaction is written ahead in parts of this size
  uint64_t budget_bytes = 20ULL << 30;  // disk; see JournalStats::over_budget
  uint64_t keep_seconds = 0;            // applied transactions are kept this long, as far as the budget allows
  uint64_t memory_bytes = 64 << 20;     // RocksDB's memtables and block cache together
};

// What a source said about one committed transaction.
struct CommitInfo {
  Position position;
  int64_t commit_time_us = 0;
  int64_t arrival_time_us = 0;
};

struct Tail {
  Seq seq;            // of the last committed transaction
  Position position;  // capture goes on behind this; may be beyond the transaction `seq` (heartbeats, transactions of
                      // others)
};

struct TransactionHeader {
  Seq seq;
  CommitInfo commit;
  uint64_t changes = 0;
  uint64_t bytes = 0;  // encoded
};

// Encoded changes of one transaction, or a part of them. Owns its bytes; move-only.
struct ChangeBlock {
  std::string bytes;
};

struct JournalStats {
  uint64_t disk_bytes = 0;
  Seq first;   // oldest kept
  Seq synced;  // newest durable
  bool over_budget = false;
  std::vector<std::pair<std::string, Seq>> pins;
};

class JournalWriter;
class JournalReader;

// Opens or makes the journal. One process at a time (RocksDB's lock; Config CF1301 names the holder when it is known).
// Thread-safe but for the writer and the readers it hands out, which belong to one thread each and must not outlive it.
// Refuses (Corrupt, CF1302) a journal with an incompatible feature it does not know.
// At open, everything beyond the last commit record is deleted.
class Journal {
 public:
  static Result<std::unique_ptr<Journal>> Open(const JournalOptions& options);
  // Reads what another process writes, or nobody: takes no lock, and nothing may be written, pinned or trimmed.
  // It reaches as far as at the last Refresh, or the last wait for a transaction. `scratch` is a folder of its own.
  // Config CF1307 if there is no journal.
  static Result<std::unique_ptr<Journal>> OpenForReading(const JournalOptions& options, const std::string& scratch);
  virtual ~Journal() = default;

  virtual std::string id() const = 0;  // random, made once, 32 hex digits
  // Before the first transaction of a new journal: where capture starts, and the Seq before the first (rebuild).
  virtual Status Initialize(const Position& start, Seq before_first) = 0;
  virtual bool initialized() const = 0;
  virtual Tail tail() const = 0;  // synced
  // Of a journal opened for reading: looks how far it reaches by now.
  virtual Status Refresh() = 0;
  virtual JournalWriter& writer() = 0;
  // Transactions with a Seq above `after`, in order, synced ones only. Corrupt CF1305 if some of them have been
  // trimmed, CF1306 if the journal ends before `after`: it has lost what somebody has already seen.
  virtual Result<std::unique_ptr<JournalReader>> Read(Seq after) = 0;

  // Everything above `applied` must be kept for `holder`. Durable. Pins never move back: a lower `applied` changes
  // nothing. Corrupt CF1305 if a new holder's rows have been trimmed, CF1306 if the journal ends before `applied`.
  virtual Status Pin(const std::string& holder, Seq applied) = 0;
  // Drops what no pin holds and is older than keep_seconds, by range; over the budget whatever its age. Nothing as long
  // as there is no pin.
  virtual Status Trim() = 0;
  // What is above `seq` is wanted: it is kept, whatever its age, while the journal takes less than half of its budget.
  // Not durable; each call takes the place of the one before.
  virtual void Keep(Seq seq) = 0;
  virtual JournalStats stats() const = 0;
  // Reads every file; Corrupt CF1309 if one is damaged.
  virtual Status Verify() = 0;

  // The longest prefix of the journal's transactions contained in `position`: the largest Seq s such that all
  // transactions up to s are contained, given the order of positions of this source. Looks at synced transactions. What
  // has been trimmed counts as contained.
  virtual Result<Seq> PrefixWithin(const Position& position, const PositionOrder& order) = 0;

  // Small durable facts beside the log: the run record, the chunk ledger's copy. Put syncs.
  virtual Status PutRecord(const std::string& key, std::string_view value) = 0;
  virtual Result<std::optional<std::string>> GetRecord(const std::string& key) = 0;
  virtual Status DeleteRecords(const std::string& prefix) = 0;
  virtual Result<std::vector<std::pair<std::string, std::string>>> ListRecords(const std::string& prefix) = 0;

  // The version of a table that changes in its blocks name by this number; null if there is none. Lives as long as
  // the journal.
  virtual const TableSchema* FindTable(uint32_t number) const = 0;
};

// The one writer. Begin, Add*, then one of Commit, Rollback, Prepare; or CommitPrepared, RollbackPrepared alone.
// Nothing is durable or visible to readers before Sync returns. An error sticks: reopen the journal.
// A change's table must stay as it is, where it is, until its transaction ends.
class JournalWriter {
 public:
  virtual ~JournalWriter() = default;

  virtual Status Begin() = 0;
  virtual Status Add(const Change& change) = 0;
  // A transaction without changes takes no Seq; its position becomes the tail's.
  virtual Status Commit(const CommitInfo& commit) = 0;
  virtual Status Rollback(const Position& position) = 0;
  // XA. The rows since Begin wait in the open area under `xid`, over restarts.
  // Corrupt CF1303 if there is such a one already.
  virtual Status Prepare(const std::string& xid, const Position& position) = 0;
  virtual Status CommitPrepared(const std::string& xid, const CommitInfo& commit) = 0;  // Corrupt CF1303 if unknown
  // One that is unknown is none of ours.
  virtual Status RollbackPrepared(const std::string& xid, const Position& position) = 0;
  // Nothing of interest up to here.
  virtual Status Advance(const Position& position) = 0;
  // Bytes and age of what is not synced yet; 0 if nothing is.
  virtual uint64_t unsynced_bytes() const = 0;
  virtual Status Sync() = 0;
};

// One reader's place. Not thread-safe.
class JournalReader {
 public:
  virtual ~JournalReader() = default;

  // The next synced transaction; none if there is none before the deadline. What is left of the current one is skipped.
  virtual Result<std::optional<TransactionHeader>> NextTransaction(Deadline deadline) = 0;
  // The next block of the current transaction's changes; none behind the last.
  virtual Result<std::optional<ChangeBlock>> NextBlock() = 0;
};

// Walks the changes in a block. The tables are those the journal keeps beside the changes.
// Change::table lives as long as the journal; values borrow from the block and from `values`.
class ChangeDecoder {
 public:
  using TableOf = std::function<const TableSchema*(uint32_t)>;
  virtual ~ChangeDecoder() = default;
  // Appends the images' values to `values`; the Change's spans are given as offsets, since `values` may grow.
  struct Decoded {
    const TableSchema* table = nullptr;
    ChangeKind kind = ChangeKind::kInsert;
    uint8_t flags = 0;
    size_t before = 0;  // index into values; before_count is 0 or the table's column count
    size_t before_count = 0;
    size_t after = 0;
    size_t after_count = 0;
  };
  virtual Result<bool> Next(std::vector<Value>* values, Decoded* change) = 0;
};

// The decoder keeps a view of block.bytes: the block must outlive the decoder and the values, and must not move.
std::unique_ptr<ChangeDecoder> DecodeBlock(const Journal& journal, const ChangeBlock& block);

}  // namespace crossfade::state
