// The journal itself; for the files of this folder only.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "state/journal.h"
#include "state/owner.h"
#include "state/record.h"
#include "state/schema_book.h"
#include "state/store.h"

namespace crossfade::state {

inline constexpr std::string_view kJournalComponent = "state.journal";

// Keys of the family kMeta.
inline constexpr std::string_view kTailKey = "tail";
inline constexpr std::string_view kTrimmedKey = "trimmed";

class RocksJournal final : public Journal {
 public:
  // Without an owner: for reading.
  RocksJournal(JournalOptions options, std::optional<Owner> owner, std::unique_ptr<Store> store);
  ~RocksJournal() override;

  // Reads what is there, or makes it; deletes what was never committed. Once, before everything else.
  Status Load();

  std::string id() const override { return id_; }
  Status Initialize(const Position& start, Seq before_first) override;
  bool initialized() const override { return initialized_.load(std::memory_order_acquire); }
  Tail tail() const override;
  Status Refresh() override;
  JournalWriter& writer() override;
  Result<std::unique_ptr<JournalReader>> Read(Seq after) override;
  Status Pin(const std::string& holder, Seq applied) override;
  Status Trim() override;
  void Keep(Seq seq) override;
  JournalStats stats() const override;
  Status Verify() override { return store_->Verify(); }
  Result<Seq> PrefixWithin(const Position& position, const PositionOrder& order) override;
  Status PutRecord(const std::string& key, std::string_view value) override;
  Result<std::optional<std::string>> GetRecord(const std::string& key) override;
  Status DeleteRecords(const std::string& prefix) override;
  Result<std::vector<std::pair<std::string, std::string>>> ListRecords(const std::string& prefix) override;
  const TableSchema* FindTable(uint32_t number) const override { return schemas_.Find(number); }

  // For its writer and readers.
  const JournalOptions& options() const { return options_; }
  Store& store() { return *store_; }
  SchemaBook& schemas() { return schemas_; }
  Seq synced() const { return Seq{synced_.load(std::memory_order_acquire)}; }
  Seq trimmed() const { return Seq{trimmed_.load(std::memory_order_acquire)}; }
  void Publish(const Tail& tail);
  bool WaitForSynced(Seq seq, Deadline deadline);
  // The first error of a write; every later write returns it.
  Status CheckUsable() const;
  void Break(const Error& error);
  Result<std::string> ReadCommitValue(Seq seq) const;  // Corrupt CF1304 if it is not there

 private:
  bool WaitForWriter(Seq seq, Deadline deadline);
  Status LoadFormat();
  Status MakeFormat();
  Status LoadPlaces();
  Status LoadPins();
  Status DropUncommitted();
  Status DropUnprepared();
  Status DropLeftovers(Batch* batch);
  Status WriteAndSync(Batch* batch);
  Result<Position> CommitPosition(Seq seq) const;
  Result<Seq> PrefixOneByOne(const Position& position, const PositionOrder& order, uint64_t lowest);
  Result<Seq> OlderThan(Seq newest, int64_t arrival_us) const;
  Result<std::string> GetSealed(std::string_view key, bool* found) const;

  const JournalOptions options_;
  const std::optional<Owner> owner_;  // given up after the store is closed
  const std::unique_ptr<Store> store_;
  SchemaBook schemas_;
  std::string id_;
  std::atomic<bool> initialized_{false};
  std::atomic<uint64_t> synced_{0};
  std::atomic<uint64_t> trimmed_{0};
  std::atomic<bool> broken_{false};

  mutable std::mutex mutex_;
  std::condition_variable published_;
  Tail tail_;                        // guarded by mutex_
  std::map<std::string, Seq> pins_;  // guarded by mutex_
  std::optional<Seq> wanted_;        // guarded by mutex_; see Keep
  std::optional<Error> failure_;     // guarded by mutex_; set once, before broken_

  std::mutex refresh_mutex_;  // one Refresh at a time; taken before mutex_

  std::mutex retention_mutex_;                      // one Pin or Trim at a time; taken before mutex_
  std::optional<std::pair<Position, Seq>> walked_;  // guarded by retention_mutex_; see PrefixOneByOne

  mutable std::mutex disk_mutex_;
  mutable uint64_t disk_bytes_ = 0;    // guarded by disk_mutex_
  mutable Deadline disk_bytes_until_;  // guarded by disk_mutex_

  std::unique_ptr<JournalWriter> writer_;
};

std::unique_ptr<JournalWriter> MakeWriter(RocksJournal* journal);
std::unique_ptr<JournalReader> MakeReader(RocksJournal* journal, Seq after);

}  // namespace crossfade::state
