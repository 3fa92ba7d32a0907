// Rows events that wait until it is known what they mean: whether a savepoint is rolled back, or whether foreign keys
// were off or these rows are what an action of a foreign key did.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capture/mysql/event.h"
#include "capture/mysql/table_plan.h"

namespace crossfade::capture {

class HeldRows {
 public:
  struct Entry {
    EventType type{};
    uint8_t change_flags = 0;
    std::shared_ptr<const TablePlan> plan;
    size_t offset = 0;
    size_t size = 0;
  };

  void Add(EventType type, uint8_t change_flags, std::shared_ptr<const TablePlan> plan, std::string_view body) {
    entries_.push_back({type, change_flags, std::move(plan), bytes_.size(), body.size()});
    bytes_ += body;
  }
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_.size(); }
  Entry& entry(size_t i) { return entries_[i]; }
  // Valid until the next change.
  std::string_view body(size_t i) const {
    return std::string_view(bytes_).substr(entries_[i].offset, entries_[i].size);
  }

  // Drops all behind the first `keep`.
  void Truncate(size_t keep) {
    if (keep < entries_.size()) {
      bytes_.resize(entries_[keep].offset);
      entries_.resize(keep);
    }
  }
  void Clear() {
    entries_.clear();
    bytes_.clear();
    if (bytes_.capacity() > kKeepBytes) {
      bytes_.shrink_to_fit();
    }
  }

 private:
  static constexpr size_t kKeepBytes = 1 << 20;

  std::vector<Entry> entries_;
  std::string bytes_;
};

}  // namespace crossfade::capture
