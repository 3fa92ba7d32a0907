// One connection that reads tables of PostgreSQL from its snapshot.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/position.h"
#include "db/postgres/connection.h"
#include "snapshot/reader.h"

namespace crossfade::snapshot {

// A snapshot reads a table that was rewritten after it as if it had no rows, and no error says so (hazard H19). So each
// read first locks the table against that (ACCESS SHARE), and compares the files that its snapshot sees with those that
// are there: CF1640 (Transient) if they are others. The lock is given back when the rows are read: a schema change that
// waits for it would hold up everybody behind it.
class PgReader : public Reader {
 public:
  static Result<std::unique_ptr<PgReader>> Open(const postgres::ConnectionOptions& options);

  Result<Window> OpenSnapshot() override;
  Status EndSnapshot() override;
  Result<Position> OpenExactSnapshot() override;
  Status Read(const TableSchema& table, const ChunkRange& range, const RowSink& sink) override;
  Status ReadKeys(const TableSchema& table, std::span<const uint32_t> columns, std::span<const std::vector<Value>> keys,
                  const RowSink& sink) override;
  Status ReadPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                  uint64_t max_rows, const RowSink& sink) override;
  void Interrupt() override;

  // Takes over the snapshot that another session has exported, and still holds.
  Status ImportSnapshot(const std::string& snapshot);

 private:
  explicit PgReader(std::unique_ptr<postgres::Connection> connection) : connection_(std::move(connection)) {}
  Status Begin();
  // Reads with the table locked and looked at.
  Status Guarded(const TableSchema& table, const std::function<Status()>& read);
  Status LockAndCheck(const TableSchema& table);

  std::unique_ptr<postgres::Connection> connection_;
  std::string server_;  // as in Position
};

}  // namespace crossfade::snapshot
