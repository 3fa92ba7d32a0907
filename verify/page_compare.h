// Compares a table whose key has no numbers to cut it by, page by page: a page is a number of rows that follow each
// other in the order in which one side sorts them. The sides do not sort alike, so each is gone through by itself.
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
  uint32_t max_buckets = 1 << 18;  // of 24 bytes, for each side
  // Of the table, by the server's estimate; 0: not known.
  uint64_t expected_rows = 0;
  uint64_t expected_bytes = 0;
};

// Up to where a table is compared; what is before it need not be read again.
struct PagePlace {
  enum class Step : uint8_t { kSums, kSource, kTarget };
  Step step = Step::kSums;
  std::string after;  // bytes of a key; empty: the step is at its beginning
  friend bool operator==(const PagePlace&, const PagePlace&) = default;
};

struct ComparedPage {
  RangeResult found;               // each row of each side is counted once
  std::optional<PagePlace> place;  // behind the page; none: the same as before
  bool sums = false;               // it was read for the sums, which have changed
  bool all_sums = false;           // ... and was the last of them
  bool last = false;
};

// First all rows of both sides are summed, in buckets by key. Where sums differ, the source's rows are read once more,
// with the target's of the same keys; and then the target's rows, of which those in such buckets are asked for on the
// source. A comparison that is gone on with without its sums asks for all. One thread.
class PagedComparison {
 public:
  // `sums`: what Sums gave; ignored if it is of something else. The table must outlive it.
  PagedComparison(const ComparedTable* table, const PageLimits& limits, PagePlace from, std::string_view sums = {});

  // The next page; the same again if Take was not called since. `rows_read` counts the source's rows that are summed.
  // Corrupt CF1803 if the place is none of this table. After an error the sides can do nothing more.
  Result<ComparedPage> Next(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop,
                            std::atomic<uint64_t>* rows_read = nullptr);
  // The page that came last is decided.
  void Take();

  // The sums of all pages so far, and their places, to go on with; a few MiB.
  std::string EncodeSums() const;
  // Rows of the source that are in them.
  uint64_t summed_rows() const { return sums_ ? sums_->source.rows() : 0; }

 private:
  // On one side.
  struct Place {
    std::string after;
    uint64_t page_rows = 0;
    bool ended = false;
  };
  struct Summed {
    uint32_t bucket = 0;
    Digest row;
  };
  struct Sums {
    BucketSums source;
    BucketSums target;
    Place source_place;
    Place target_place;
    std::vector<Summed> source_page;  // read, and not yet taken
    std::vector<Summed> target_page;
    Place next_source;
    Place next_target;
  };
  Sums NoSums() const;
  bool DecodeSums(std::string_view bytes, Sums* sums) const;
  // Reads a page behind `from`, and gives the place behind it.
  Result<Place> ReadSourcePage(const Place& from, snapshot::Reader* source, const std::stop_token& stop,
                               const RowSink& sink) const;
  Result<Place> ReadTargetPage(const Place& from, apply::RowReader* target, const std::stop_token& stop,
                               const RowSink& sink) const;
  Place Behind(const Place& before, std::string after, uint64_t rows, uint64_t bytes) const;

  Result<ComparedPage> SumsPage(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop,
                                std::atomic<uint64_t>* rows_read);
  ComparedPage EndSums();
  Result<ComparedPage> SourcePage(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop);
  Result<ComparedPage> TargetPage(const Sides& sides, snapshot::CopyLimits* pressure, const std::stop_token& stop);
  void FindUnequal();
  uint32_t Bucket(const Digest& key) const { return BucketOf(key, 0, buckets_); }
  bool MayDiffer(const Digest& key) const { return unequal_.empty() || unequal_[Bucket(key)]; }

  const ComparedTable& table_;
  const PageLimits limits_;
  const uint32_t buckets_;
  uint64_t first_rows_ = 0;
  PagePlace::Step step_;
  Place place_;  // of the steps behind the sums
  std::optional<Sums> sums_;
  std::vector<bool> unequal_;  // by bucket; empty: not known
  // Behind the page that came last.
  PagePlace::Step next_step_;
  Place next_place_;
};

}  // namespace crossfade::verify
