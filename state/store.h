// The journal's RocksDB, in the few words the journal needs; the only place that knows RocksDB's types.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace crossfade::state {

// Column families. kMeta is RocksDB's "default".
enum class Family : uint8_t { kMeta = 0, kLog = 1, kOpen = 2, kSchema = 3 };

// Writes that happen together or not at all. One thread; must not outlive its Store.
class Batch {
 public:
  struct Rep;
  explicit Batch(std::unique_ptr<Rep> rep);
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;
  ~Batch();

  void Put(Family family, std::string_view key, std::string_view value);
  // A value that lies in several places.
  void Put(Family family, std::string_view key, const std::array<std::string_view, 3>& value);
  void Delete(Family family, std::string_view key);
  void Clear();  // gives the memory of large values back
  bool empty() const;
  size_t bytes() const;

 private:
  friend class Store;
  std::unique_ptr<Rep> rep_;
};

// A place in one family, in key order, over the state at its making: later writes are not seen. While it lives the
// files that it sees stay on disk. One thread; must not outlive its Store. key() and value() until the next move.
class Cursor {
 public:
  struct Rep;
  explicit Cursor(std::unique_ptr<Rep> rep);
  ~Cursor();

  // Each says whether there is a row; false also on an error, which status() then has.
  bool Seek(std::string_view key);          // the first at or behind `key`
  bool SeekBackward(std::string_view key);  // the last at or before `key`
  bool Next();
  bool valid() const;
  std::string_view key() const;
  std::string_view value() const;
  Status status() const;

 private:
  std::unique_ptr<Rep> rep_;
};

// Thread-safe.
class Store {
 public:
  struct Rep;

  // Makes what is not there. Config CF1301 if another process holds RocksDB's lock, Corrupt CF1302 if there are
  // families of a later version.
  static Result<std::unique_ptr<Store>> Open(const std::string& directory, uint64_t memory_bytes);
  // Reads what another process writes, or nobody: takes no lock and changes nothing in `directory`. `scratch` is a
  // folder of its own for RocksDB's notes. Config CF1307 if there is no journal.
  static Result<std::unique_ptr<Store>> OpenForReading(const std::string& directory, const std::string& scratch,
                                                       uint64_t memory_bytes);
  explicit Store(std::unique_ptr<Rep> rep);
  ~Store();

  // Of one that is open for reading: sees from now on what was written until now.
  Status CatchUp();

  Batch NewBatch() const;
  // In RocksDB's log, but not yet safe from a loss of power: that takes Sync, which covers all writes before it.
  Status Write(Batch* batch);
  Status Sync();
  // Moves what was written to `family` out of memory, and waits for it. Says nothing about the log being synced.
  Status Flush(Family family);
  Result<std::optional<std::string>> Get(Family family, std::string_view key) const;
  // For a read of everything in order, once: leaves the cache alone.
  std::unique_ptr<Cursor> Iterate(Family family) const;
  // Deletes the files that hold nothing but keys from `from` to `to`, both included. Frees disk space at once and
  // writes nothing; rows in other files stay.
  Status DropFiles(Family family, std::string_view from, std::string_view to);
  // Compares every block of every file with its checksum.
  Status Verify() const;
  // On disk, its own log included.
  uint64_t DiskBytes() const;

 private:
  std::unique_ptr<Rep> rep_;
};

}  // namespace crossfade::state
