#include "snapshot/mysql/mysql_snapshot.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <thread>

#include "db/mysql/charset.h"
#include "db/mysql/position.h"
#include "snapshot/mysql/binary_query.h"
#include "snapshot/mysql/mysql_reader.h"
#include "snapshot/mysql/select.h"
#include "snapshot/mysql/snapshot_lock.h"

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.mysql";

using Readers = std::vector<std::unique_ptr<MySqlReader>>;

// All at once: the lock is held meanwhile, and a round trip may be long.
Status StartAll(const Readers& readers) {
  std::vector<Status> statuses(readers.size());
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < readers.size(); ++i) {
      threads.emplace_back([&readers, &statuses, i] { statuses[i] = readers[i]->StartSnapshot(); });
    }
  }
  for (Status& status : statuses) {
    CROSSFADE_TRY(status);
  }
  return {};
}

// The servers cannot share a snapshot, but MariaDB tells where each one stands.
Status CheckPlaces(const Readers& readers, const Position& expected) {
  for (const auto& reader : readers) {
    CROSSFADE_ASSIGN(const Position place, reader->SnapshotPlace());
    if (place.file != expected.file || place.offset != expected.offset) {
      return MakeError(ErrorClass::kTransient, "CF1604", kComponent,
                       "a reader's snapshot stands at {}, the state at {}: something was committed under the lock",
                       place.ToString(), expected.ToString());
    }
  }
  return {};
}

}  // namespace

MySqlSnapshotSource::MySqlSnapshotSource(MySqlSnapshotOptions options) : options_(std::move(options)) {}
MySqlSnapshotSource::~MySqlSnapshotSource() = default;

Result<ConsistentReaders> MySqlSnapshotSource::OpenConsistent(uint32_t count) {
  Readers readers;
  for (uint32_t i = 0; i < count; ++i) {
    CROSSFADE_ASSIGN(auto reader, MySqlReader::Open(options_.connection));
    readers.push_back(std::move(reader));
  }
  CROSSFADE_ASSIGN(SnapshotLock lock, SnapshotLock::Take(options_));
  const bool mariadb = lock.connection().server().flavor == mysql::Flavor::kMariaDb;
  const bool whole_server = lock.whole_server();
  CROSSFADE_TRY(StartAll(readers));
  CROSSFADE_ASSIGN(Position position, mysql::ReadHead(lock.connection()));
  // Under the lock none is prepared or decided.
  const auto prepared = lock.connection().Rows("XA RECOVER");
  CROSSFADE_ASSIGN(const LockReport report, lock.Release());
  spdlog::info("snapshot: {} readers at {}, under {} held for {:.1f} ms", count, position.ToString(), report.statement,
               static_cast<double>(report.held.count()) / 1000);
  {
    const std::lock_guard guard(mutex_);
    last_lock_ = report;
  }
  if (mariadb && !whole_server && !readers.empty()) {
    // Others' transactions went on. Those on our tables stood still, so that every reader's place says the same about
    // them; the log's end does not, since a commit is in the log before it can be seen.
    CROSSFADE_ASSIGN(position, readers.front()->SnapshotPlace());
    CROSSFADE_TRY(readers.front()->FindGtidState(&position));
  } else if (mariadb) {
    CROSSFADE_TRY(CheckPlaces(readers, position));
  } else if (!whole_server && !position.set.empty()) {
    position.file.clear();  // as above; the set holds only what can be seen
    position.offset = 0;
  }
  ConsistentReaders consistent;
  consistent.position = std::move(position);
  consistent.prepared = prepared ? prepared->size() : 0;
  for (auto& reader : readers) {
    consistent.readers.push_back(std::move(reader));
  }
  return consistent;
}

Result<std::unique_ptr<Reader>> MySqlSnapshotSource::OpenReader() {
  CROSSFADE_ASSIGN(auto reader, MySqlReader::Open(options_.connection));
  return std::unique_ptr<Reader>(std::move(reader));
}

Result<std::optional<KeySpan>> MySqlSnapshotSource::ReadKeySpan(const TableSchema& table) {
  const std::lock_guard lock(mutex_);
  if (connection_ == nullptr) {
    CROSSFADE_ASSIGN(connection_, mysql::Connection::Open(options_.connection));
  }
  CROSSFADE_ASSIGN(const std::optional<int64_t> first, ReadKeyEnd(table, true));
  CROSSFADE_ASSIGN(const std::optional<int64_t> last, ReadKeyEnd(table, false));
  if (!first || !last || *first > *last) {
    return std::optional<KeySpan>();
  }
  return std::optional(KeySpan{*first, *last});
}

Result<std::optional<int64_t>> MySqlSnapshotSource::ReadKeyEnd(const TableSchema& table, bool smallest) {
  mysql::Charsets charsets(connection_.get());
  std::optional<int64_t> ordinal;
  const std::array<uint32_t, 1> column = {table.primary_key.front().column};
  const Status status =
      BinaryQuery(connection_.get(), &charsets, SelectKeyEnd(table, smallest ? KeyEnd::kSmallest : KeyEnd::kLargest),
                  table, column, [&](std::span<const Value> row) -> Status {
                    ordinal = KeyOrdinal(row[0]);
                    return {};
                  });
  if (!status) {
    connection_.reset();
    return Fail(status.error());
  }
  return ordinal;
}

LockReport MySqlSnapshotSource::last_lock() const {
  const std::lock_guard lock(mutex_);
  return last_lock_;
}

}  // namespace crossfade::snapshot
