// Reads PostgreSQL as of one state.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/error.h"
#include "db/postgres/connection.h"
#include "snapshot/reader.h"

namespace crossfade::snapshot {

struct PgSnapshotOptions {
  postgres::ConnectionOptions connection;
  // How long a consistent opening waits for the transactions that write on the source, prepared ones included, to end.
  std::chrono::milliseconds slot_wait = std::chrono::seconds(60);
};

// All readers of a consistent opening share the snapshot of a temporary slot, whose place in the log is exact; it ends
// when they have it. A reader of its own knows its snapshot by the transactions that it sees.
// Error codes of this folder:
//   CF1610 a table changed its shape (Data)              CF1640 a table was rewritten (Transient)
//   CF1641 a row that is none of its table (Corrupt)
// and those of ReplicationConnection: CF1911 when the slot could not be had in time (Transient).
class PgSnapshotSource : public SnapshotSource {
 public:
  explicit PgSnapshotSource(PgSnapshotOptions options);
  ~PgSnapshotSource() override;

  Result<ConsistentReaders> OpenConsistent(uint32_t count) override;
  Result<std::unique_ptr<Reader>> OpenReader() override;
  Result<std::optional<KeySpan>> ReadKeySpan(const TableSchema& table) override;

 private:
  const PgSnapshotOptions options_;
  std::mutex mutex_;
  std::unique_ptr<postgres::Connection> connection_;  // mutex_; for key spans
};

}  // namespace crossfade::snapshot
