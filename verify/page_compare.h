// Compares a table whose key has no numbers to cut it by, page by page: a page is a number of rows that follow each
// other in the order in which one side sorts them. The sides do not sort alike, so each is gone through by itself, and
// asked for the other's keys.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "apply/route.h"
#include "core/error.h"
#include "snapshot/limits.h"
#include "verify/digest.h"
#include "verify/range_compare.h"
#include "verify/sides.h"

namespace crossfade::verify {

// Whether both sides can go through the table in the order of its key.
bool CanPage(const apply::Route& route);

struct PageLimits {
  uint64_t max_rows = 10'000;
  uint64_t first_rows = 500;       // at most, of the first page
  uint64_t max_bytes = 8 << 20;    // of rows, by the rows of the page before
  uint32_t max_buckets = 1 << 17;  // for the sums of keys
  // Of the table, by the server's estimate; 0: not known.
  uint64_t expected_rows = 0;
  uint64_t expected_bytes = 0;
};

// Up to where a table is compared; what is before it need not be read again.
struct PagePlace {
  enum class Side : uint8_t { kSource, kTarget };
  Side side = Side::kSource;
  std::string after;  // bytes of a key; empty: the side is at its beginning
  friend bool operator==(const PagePlace&, const PagePlace&) = default;
};

struct ComparedPage {
  RangeResult found;               // each row of each side is counted once
  std::optional<PagePlace> place;  // behind the page; none: the same as before
  bool last = false;
};

// First the source's rows, with the target's of the same keys. Then the target's keys, of which only those are asked
// for on the source that may not be there: sums of all keys of both sides, in buckets, tell which. A comparison that
// was gone on with has no sums, and asks for all. One thread.
class PagedComparison {
 public:
  // The table must outlive it.
  PagedComparison(const ComparedTable* table, const PageLimits& limits, PagePlace from);

  // The next page; the same again if Take was not called since. `rows_read` counts the source's rows as they come.
  // Corrupt CF1803 if the place is none of this table. After an error the sides can do nothing more.
  Result<ComparedPage> Next(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop,
                            std::atomic<uint64_t>* rows_read = nullptr);
  // The page that came last is decided.
  void Take();

 private:
  enum class Step : uint8_t { kSource, kSums, kTarget };
  struct Place {
    Step step = Step::kSource;
    std::string after;
    uint64_t page_rows = 0;  // of the source
  };
  struct KeySums {
    BucketSums source;
    BucketSums target;
  };
  Result<ComparedPage> SourcePage(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop,
                                  std::atomic<uint64_t>* rows_read);
  Result<ComparedPage> SumsPage(const Sides& sides, const std::stop_token& stop);
  Result<ComparedPage> TargetPage(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop);
  // The next keys of the target, with their digests.
  using Keys = std::vector<std::pair<Digest, std::string>>;
  Result<Keys> ReadTargetKeys(const Sides& sides, const std::stop_token& stop) const;
  uint64_t RowsOfNextPage(uint64_t rows, uint64_t bytes) const;
  uint32_t Bucket(const Digest& key) const { return BucketOf(key, 0, buckets_); }

  const ComparedTable& table_;
  const PageLimits limits_;
  const uint32_t buckets_;
  Place place_;
  std::optional<KeySums> sums_;  // of all keys up to here
  std::vector<bool> unequal_;    // by bucket; empty: not known
  // Of the page that came last.
  Place next_;
  std::vector<Digest> read_keys_;
};

}  // namespace crossfade::verify
