#include "snapshot/postgres/pg_snapshot.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <random>

#include "core/clock.h"
#include "db/postgres/replication.h"
#include "db/postgres/value_text.h"
#include "snapshot/postgres/pg_reader.h"
#include "snapshot/postgres/select.h"

namespace crossfade::snapshot {

namespace {

using postgres::Connection;

// Nobody else's: it ends with the session, whatever its name.
std::string TemporarySlotName() {
  std::random_device random;
  return fmt::format("crossfade_copy_{}_{:08x}", getpid(), random());
}

}  // namespace

PgSnapshotSource::PgSnapshotSource(PgSnapshotOptions options) : options_(std::move(options)) {}
PgSnapshotSource::~PgSnapshotSource() = default;

Result<ConsistentReaders> PgSnapshotSource::OpenConsistent(uint32_t count) {
  std::vector<std::unique_ptr<PgReader>> readers;
  for (uint32_t i = 0; i < count; ++i) {
    CROSSFADE_ASSIGN(auto reader, PgReader::Open(options_.connection));
    readers.push_back(std::move(reader));
  }
  CROSSFADE_ASSIGN(auto session, postgres::ReplicationConnection::Open(options_.connection));
  CROSSFADE_ASSIGN(const postgres::SystemIdentity system, session->IdentifySystem());
  CROSSFADE_ASSIGN(const postgres::CreatedSlot slot,
                   session->CreateSlot(TemporarySlotName(), true, true, After(options_.slot_wait)));
  ConsistentReaders consistent;
  consistent.position.server = system.server.ToString();
  consistent.position.offset = slot.consistent_point;
  for (auto& reader : readers) {
    CROSSFADE_TRY(reader->ImportSnapshot(slot.snapshot));
    consistent.readers.push_back(std::move(reader));
  }
  spdlog::info("snapshot: {} readers at {}", count, consistent.position.ToString());
  return consistent;  // the session's end drops the slot; the snapshot lives on in the readers
}

Result<std::unique_ptr<Reader>> PgSnapshotSource::OpenReader() {
  CROSSFADE_ASSIGN(auto reader, PgReader::Open(options_.connection));
  return std::unique_ptr<Reader>(std::move(reader));
}

Result<std::optional<KeySpan>> PgSnapshotSource::ReadKeySpan(const TableSchema& table) {
  const std::lock_guard lock(mutex_);
  if (connection_ == nullptr) {
    CROSSFADE_ASSIGN(connection_, Connection::Open(options_.connection));
    CROSSFADE_TRY(connection_->Execute("SET row_security = off"));
  }
  const Result<postgres::ResultSet> set = connection_->Query(pg::SelectKeySpan(table), {});
  if (!set) {
    connection_.reset();
    return Fail(set.error());
  }
  const auto& row = set->rows.at(0);
  if (!row[0] || !row[1]) {
    return std::optional<KeySpan>();
  }
  const Column& column = table.columns[table.primary_key.front().column];
  std::string storage;
  CROSSFADE_ASSIGN(const Value first, postgres::ValueFromText(column, *row[0], &storage));
  CROSSFADE_ASSIGN(const Value last, postgres::ValueFromText(column, *row[1], &storage));
  return std::optional(KeySpan{KeyOrdinal(first).value_or(0), KeyOrdinal(last).value_or(0)});
}

}  // namespace crossfade::snapshot
