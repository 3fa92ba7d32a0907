// The versions of tables that the journal's changes use, by number.
#pragma once

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "core/schema.h"
#include "state/store.h"

namespace crossfade::state {

// Find is thread-safe; the rest belongs to the writer's thread.
class SchemaBook {
 public:
  // Reads those that were added since the last call.
  Status Load(const Store& store);

  // The number of this version, by value. A new one is put into `batch`.
  uint32_t Number(const TableSchema& table, Batch* batch);
  // To be called when a transaction begins: within one, a table's address stands for its value.
  void BeginTransaction() { ++transaction_; }

  // Null if there is none. Lives as long as the book.
  const TableSchema* Find(uint32_t number) const;

 private:
  struct Hint {
    uint32_t number = 0;
    uint64_t transaction = 0;  // in which it was last compared
  };

  void Add(uint32_t number, TableSchema table, std::string encoded);

  mutable std::shared_mutex mutex_;
  std::vector<std::unique_ptr<const TableSchema>>
      tables_;  // [number - 1]; guarded by mutex_, written by the writer only
  std::unordered_map<std::string, uint32_t> by_bytes_;
  std::unordered_map<const TableSchema*, Hint> by_address_;
  uint64_t transaction_ = 1;
};

}  // namespace crossfade::state
