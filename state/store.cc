#include "state/store.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

namespace crossfade::state {

namespace {

constexpr std::string_view kComponent = "state.journal";
constexpr size_t kKeptBatchBytes = 8 << 20;
constexpr std::array<const char*, 4> kFamilyNames = {"default", "log", "open", "schema"};

using Handles = std::array<rocksdb::ColumnFamilyHandle*, kFamilyNames.size()>;

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view ToView(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

tl::unexpected<Error> Failed(const rocksdb::Status& status, std::string_view doing) {
  if (status.IsNoSpace()) {
    Error error = MakeError(ErrorClass::kConfig, "CF1308", kComponent, "{}: the disk is full", doing).value();
    error.fix = "free disk space for the state directory, then start again";
    return Fail(std::move(error));
  }
  return MakeError(ErrorClass::kCorrupt, "CF1309", kComponent, "{}: {}", doing, status.ToString());
}

rocksdb::DBOptions DatabaseOptions(uint64_t memory_bytes, const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  // Memtables are counted in the cache, so that its capacity bounds both together.
  options.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(memory_bytes / 4 * 3, cache);
  // The small families are written with every group and would keep old logs alive.
  options.max_total_wal_size = memory_bytes;
  options.bytes_per_sync = 1 << 20;
  // One writer: nothing to run in parallel, and inserts with a hint are only used without.
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;
  // A loss of power may leave the log's unsynced end in any shape: it is read up to the first record that is damaged.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.max_log_file_size = 1 << 20;
  options.keep_log_file_num = 2;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

rocksdb::ColumnFamilyOptions SmallFamilyOptions(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.write_buffer_size = 4 << 20;
  options.compression = rocksdb::kLZ4Compression;
  return options;
}

// Keys come in ascending order, are read once in that order, and leave by whole files from the low end. Files that do
// not overlap move down the levels without being written again.
rocksdb::ColumnFamilyOptions LogFamilyOptions(uint64_t memory_bytes, const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.block_size = 32 << 10;
  rocksdb::ColumnFamilyOptions options = SmallFamilyOptions(cache);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.write_buffer_size = std::clamp<uint64_t>(memory_bytes / 4, 1 << 20, 64 << 20);
  options.max_write_buffer_number = 3;
  options.target_file_size_base = 64 << 20;
  options.max_bytes_for_level_base = 1 << 30;
  options.level_compaction_dynamic_level_bytes = true;
  options.level0_file_num_compaction_trigger = 2;
  // Only as long as there are no range deletions in this family: RocksDB 7.8 would keep one hint for two lists.
  options.memtable_insert_with_hint_prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(2));
  return options;
}

std::vector<rocksdb::ColumnFamilyDescriptor> Families(uint64_t memory_bytes,
                                                      const std::shared_ptr<rocksdb::Cache>& cache) {
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const char* name : kFamilyNames) {
    const bool log = name == kFamilyNames[static_cast<size_t>(Family::kLog)];
    families.emplace_back(name, log ? LogFamilyOptions(memory_bytes, cache) : SmallFamilyOptions(cache));
  }
  return families;
}

Status CheckFamilies(const std::string& directory) {
  std::vector<std::string> names;
  if (!rocksdb::DB::ListColumnFamilies({}, directory, &names).ok()) {
    return {};  // a new one; or DB::Open says what is wrong
  }
  for (const std::string& name : names) {
    if (std::find(kFamilyNames.begin(), kFamilyNames.end(), name) == kFamilyNames.end()) {
      return MakeError(ErrorClass::kCorrupt, "CF1302", kComponent,
                       "the journal in {} was written by a later version: it has a column family \"{}\"", directory,
                       name);
    }
  }
  return {};
}

}  // namespace

struct Batch::Rep {
  rocksdb::WriteBatch batch;
  const Handles* handles;
};

struct Cursor::Rep {
  std::unique_ptr<rocksdb::Iterator> iterator;
};

struct Store::Rep {
  std::string directory;
  std::unique_ptr<rocksdb::DB> db;
  Handles handles{};

  rocksdb::ColumnFamilyHandle* handle(Family family) const { return handles[static_cast<size_t>(family)]; }

  static std::unique_ptr<Store> Make(const std::string& directory, rocksdb::DB* db,
                                     const std::vector<rocksdb::ColumnFamilyHandle*>& handles) {
    auto rep = std::make_unique<Rep>();
    rep->directory = directory;
    rep->db.reset(db);
    std::copy(handles.begin(), handles.end(), rep->handles.begin());
    return std::make_unique<Store>(std::move(rep));
  }

  ~Rep() {
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      if (handle != nullptr) {
        db->DestroyColumnFamilyHandle(handle);
      }
    }
  }
};

Batch::Batch(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;
Batch::~Batch() = default;

// RocksDB refuses only what cannot happen here (batches with a size limit), and then again at the write.
void Batch::Put(Family family, std::string_view key, std::string_view value) {
  rep_->batch.Put((*rep_->handles)[static_cast<size_t>(family)], ToSlice(key), ToSlice(value)).PermitUncheckedError();
}

void Batch::Put(Family family, std::string_view key, const std::array<std::string_view, 3>& value) {
  const rocksdb::Slice keys[] = {ToSlice(key)};
  const rocksdb::Slice values[] = {ToSlice(value[0]), ToSlice(value[1]), ToSlice(value[2])};
  rep_->batch.Put((*rep_->handles)[static_cast<size_t>(family)], {keys, 1}, {values, 3}).PermitUncheckedError();
}

void Batch::Delete(Family family, std::string_view key) {
  rep_->batch.Delete((*rep_->handles)[static_cast<size_t>(family)], ToSlice(key)).PermitUncheckedError();
}

void Batch::Clear() {
  if (bytes() > kKeptBatchBytes) {
    rep_->batch = rocksdb::WriteBatch();
  } else {
    rep_->batch.Clear();
  }
}

bool Batch::empty() const { return rep_->batch.Count() == 0; }
size_t Batch::bytes() const { return rep_->batch.GetDataSize(); }

Cursor::Cursor(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Cursor::~Cursor() = default;

bool Cursor::Seek(std::string_view key) {
  rep_->iterator->Seek(ToSlice(key));
  return rep_->iterator->Valid();
}

bool Cursor::SeekBackward(std::string_view key) {
  rep_->iterator->SeekForPrev(ToSlice(key));
  return rep_->iterator->Valid();
}

bool Cursor::Next() {
  rep_->iterator->Next();
  return rep_->iterator->Valid();
}

bool Cursor::valid() const { return rep_->iterator->Valid(); }
std::string_view Cursor::key() const { return ToView(rep_->iterator->key()); }
std::string_view Cursor::value() const { return ToView(rep_->iterator->value()); }

Status Cursor::status() const {
  const rocksdb::Status status = rep_->iterator->status();
  return status.ok() ? Status{} : Failed(status, "read");
}

Store::Store(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(const std::string& directory, uint64_t memory_bytes) {
  CROSSFADE_TRY(CheckFamilies(directory));
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(memory_bytes);
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(DatabaseOptions(memory_bytes, cache), directory, Families(memory_bytes, cache), &handles, &db);
  if (!status.ok()) {
    // RocksDB has no status of its own for a lock that is taken; the lock file's name is in the message.
    if (status.IsIOError() && status.ToString().find("lock") != std::string::npos) {
      return MakeError(ErrorClass::kConfig, "CF1301", kComponent, "the journal in {} is in use: {}", directory,
                       status.ToString());
    }
    return Failed(status, fmt::format("open {}", directory));
  }
  return Rep::Make(directory, db, handles);
}

Result<std::unique_ptr<Store>> Store::OpenForReading(const std::string& directory, const std::string& scratch,
                                                     uint64_t memory_bytes) {
  std::vector<std::string> names;
  if (!rocksdb::DB::ListColumnFamilies({}, directory, &names).ok() || names.size() < kFamilyNames.size()) {
    Error error = MakeError(ErrorClass::kConfig, "CF1307", kComponent, "there is no journal in {}", directory).value();
    error.object = directory;
    error.found = "no journal";
    error.fix = "name the state directory of a migration that was begun, or begin it with 'crossfade run'";
    return Fail(std::move(error));
  }
  CROSSFADE_TRY(CheckFamilies(directory));
  std::error_code ignored;  // RocksDB says what is wrong
  std::filesystem::create_directories(scratch, ignored);
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(memory_bytes);
  rocksdb::DBOptions options = DatabaseOptions(memory_bytes, cache);
  options.max_open_files = -1;  // the writer deletes files while we read them
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::OpenAsSecondary(options, directory, scratch, Families(memory_bytes, cache), &handles, &db);
  if (!status.ok()) {
    return Failed(status, fmt::format("open {} for reading", directory));
  }
  return Rep::Make(directory, db, handles);
}

Status Store::CatchUp() {
  const rocksdb::Status status = rep_->db->TryCatchUpWithPrimary();
  return status.ok() ? Status{} : Failed(status, "catch up");
}

Batch Store::NewBatch() const {
  auto rep = std::make_unique<Batch::Rep>();
  rep->handles = &rep_->handles;
  return Batch(std::move(rep));
}

Status Store::Write(Batch* batch) {
  const rocksdb::Status status = rep_->db->Write({}, &batch->rep_->batch);
  return status.ok() ? Status{} : Failed(status, "write");
}

Status Store::Sync() {
  const rocksdb::Status status = rep_->db->SyncWAL();
  return status.ok() ? Status{} : Failed(status, "sync");
}

Status Store::Flush(Family family) {
  const rocksdb::Status status = rep_->db->Flush({}, rep_->handle(family));
  return status.ok() ? Status{} : Failed(status, "flush");
}

Result<std::optional<std::string>> Store::Get(Family family, std::string_view key) const {
  std::string value;
  const rocksdb::Status status = rep_->db->Get({}, rep_->handle(family), ToSlice(key), &value);
  if (status.IsNotFound()) {
    return std::optional<std::string>();
  }
  if (!status.ok()) {
    return Failed(status, "read");
  }
  return std::optional<std::string>(std::move(value));
}

std::unique_ptr<Cursor> Store::Iterate(Family family) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  auto rep = std::make_unique<Cursor::Rep>();
  rep->iterator.reset(rep_->db->NewIterator(options, rep_->handle(family)));
  return std::make_unique<Cursor>(std::move(rep));
}

Status Store::DropFiles(Family family, std::string_view from, std::string_view to) {
  const rocksdb::Slice begin = ToSlice(from);
  const rocksdb::Slice end = ToSlice(to);
  const rocksdb::Status status = rocksdb::DeleteFilesInRange(rep_->db.get(), rep_->handle(family), &begin, &end, true);
  return status.ok() ? Status{} : Failed(status, "trim");
}

Status Store::Verify() const {
  const rocksdb::Status status = rep_->db->VerifyChecksum();
  return status.ok() ? Status{} : Failed(status, "verify");
}

uint64_t Store::DiskBytes() const {
  // The directory itself, since RocksDB's own figures leave out logs and files that are only kept for a reader.
  uint64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator file(rep_->directory, error), end; !error && file != end;
       file.increment(error)) {
    std::error_code gone;  // RocksDB deletes files while we look
    const uint64_t size = file->file_size(gone);
    bytes += gone ? 0 : size;
  }
  return bytes;
}

}  // namespace crossfade::state
