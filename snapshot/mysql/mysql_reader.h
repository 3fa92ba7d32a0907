// One connection that reads tables from its snapshot.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "core/error.h"
#include "core/position.h"
#include "db/mysql/charset.h"
#include "db/mysql/connection.h"
#include "snapshot/reader.h"

namespace crossfade::snapshot {

class MySqlReader : public Reader {
 public:
  static Result<std::unique_ptr<MySqlReader>> Open(const mysql::ConnectionOptions& options);

  Result<Window> OpenSnapshot() override;
  Status EndSnapshot() override;
  Result<Position> OpenExactSnapshot() override;
  Status Read(const TableSchema& table, const ChunkRange& range, const RowSink& sink) override;
  Status ReadKeys(const TableSchema& table, std::span<const uint32_t> columns, std::span<const std::vector<Value>> keys,
                  const RowSink& sink) override;
  Status ReadPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                  uint64_t max_rows, const RowSink& sink) override;
  void Interrupt() override;

  // Opens a snapshot whose position somebody else knows. One round trip.
  Status StartSnapshot();
  // MariaDB: the exact position of the open snapshot, as file and offset.
  Result<Position> SnapshotPlace();
  // MariaDB: fills in the GTID state at a place.
  Status FindGtidState(Position* position);

 private:
  struct LogState {
    std::string gtid_executed;
    std::string file;  // empty if the account may not read both in one step; see there
    uint64_t offset = 0;
    bool operator==(const LogState&) const = default;
  };

  explicit MySqlReader(std::unique_ptr<mysql::Connection> connection)
      : connection_(std::move(connection)), charsets_(connection_.get()) {}
  // The GTID state is looked up where the log file is to be read for no more than `search_bytes`.
  Result<Position> OpenMariaDb(uint64_t search_bytes);
  Result<std::string> GtidExecuted();
  Result<LogState> ReadLogState();
  Result<bool> HeldStill(const LogState& before, LogState* after);
  Position PositionOf(const LogState& state) const;
  Status CheckShape(const TableSchema& table);
  Result<std::string> ShapeText(const TableSchema& table);
  Status ReadRows(const TableSchema& table, const std::string& sql, const RowSink& sink);
  Status Select(const TableSchema& table, const std::string& sql, const RowSink& sink);

  std::unique_ptr<mysql::Connection> connection_;
  mysql::Charsets charsets_;
  std::set<std::string> checked_;              // tables whose shape was looked at under this snapshot
  std::map<std::string, std::string> shapes_;  // by table: the ShapeText that went with the right shape
  Position last_place_;                        // MariaDB: of the last GTID state that was looked up
  bool log_status_allowed_ = true;
};

}  // namespace crossfade::snapshot
