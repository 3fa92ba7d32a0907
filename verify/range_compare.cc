#include "verify/range_compare.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <unordered_map>

namespace crossfade::verify {

namespace {

constexpr uint32_t kFewestBuckets = 1024;

// Runs both reads at once. When one fails the other is ended as well; the first failure is the result.
Status ReadBoth(const ComparedTable& table, const ChunkRange& range, const Sides& sides, snapshot::CopyLimits* pressure,
                const std::stop_token& stop, const RowSink& of_source, const RowSink& of_target) {
  CROSSFADE_TRY(sides.source->OpenSnapshot());  // a new one for each read: none is held for long
  std::atomic<bool> failed{false};
  std::stop_source halt;
  const std::stop_callback forward(stop, [&halt] { halt.request_stop(); });
  const RowSink of_target_until_halt = [&](const Digest& key, const Digest& row, std::string_view key_fields,
                                           apply::Fields fields) -> Status {
    if (halt.stop_requested()) {
      return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
    }
    return of_target(key, row, key_fields, fields);
  };
  Status source;
  bool source_first = false;
  std::jthread reading([&] {
    source = ReadSource(table, range, sides.source.get(), pressure, halt.get_token(), of_source);
    if (!source && !failed.exchange(true)) {
      source_first = true;
      halt.request_stop();
      sides.target->Cancel();
    }
  });
  const Status target = ReadTarget(table, range, sides.target.get(), of_target_until_halt);
  if (!target && !failed.exchange(true)) {
    halt.request_stop();
    sides.source->Interrupt();
  }
  reading.join();
  return source_first || target ? source : target;
}

struct DigestHash {
  size_t operator()(const Digest& digest) const { return digest.low; }
};

// The rows of one side in the buckets that are looked at, by key. Rows that are equal in all columns count.
class NotedRows {
 public:
  void Add(const Digest& key, const Digest& row, std::string_view key_fields, uint64_t row_bytes) {
    const auto [found, added] = rows_.try_emplace(key);
    Noted& noted = found->second;
    noted.low += row.low;
    noted.high += row.high;
    ++noted.count;
    noted.row_bytes = std::max(noted.row_bytes, row_bytes);
    if (added) {
      noted.key = key_fields;
      bytes_ += BytesOf(key_fields.size());
    }
  }
  static uint64_t BytesOf(uint64_t key_bytes) { return key_bytes + sizeof(Noted) + sizeof(Digest) + 4 * sizeof(void*); }
  uint64_t bytes() const { return bytes_; }

  // Keys that are not the same in `other`.
  template <typename Sink>
  void ForUnequal(const NotedRows& other, bool also_if_there, const Sink& sink) const {
    for (const auto& [digest, noted] : rows_) {
      const auto found = other.rows_.find(digest);
      if (found == other.rows_.end()) {
        sink(Candidate{noted.key, noted.row_bytes});
      } else if (also_if_there && !Same(noted, found->second)) {
        sink(Candidate{noted.key, std::max(noted.row_bytes, found->second.row_bytes)});
      }
    }
  }

 private:
  struct Noted {
    uint64_t low = 0;
    uint64_t high = 0;
    uint64_t count = 0;
    uint64_t row_bytes = 0;
    std::string key;
  };
  static bool Same(const Noted& a, const Noted& b) { return a.low == b.low && a.high == b.high && a.count == b.count; }

  std::unordered_map<Digest, Noted, DigestHash> rows_;
  uint64_t bytes_ = 0;
};

// Which rows are still looked at: those that were in a bucket that differed, at each level.
class Sieve {
 public:
  bool Holds(const Digest& key) const {
    for (uint32_t level = 0; level < unequal_.size(); ++level) {
      if (!unequal_[level][BucketOf(key, level, static_cast<uint32_t>(unequal_[level].size()))]) {
        return false;
      }
    }
    return true;
  }
  uint32_t level() const { return static_cast<uint32_t>(unequal_.size()); }
  void Narrow(const std::vector<uint32_t>& unequal, uint32_t buckets) {
    std::vector<bool>& level = unequal_.emplace_back(buckets);
    for (const uint32_t bucket : unequal) {
      level[bucket] = true;
    }
  }

 private:
  std::vector<std::vector<bool>> unequal_;
};

class RangeComparison {
 public:
  RangeComparison(const ComparedTable& table, const ChunkRange& range, const Sides& sides,
                  snapshot::CopyLimits* pressure, const RangeLimits& limits, const std::stop_token& stop,
                  std::atomic<uint64_t>* rows_read)
      : table_(table),
        range_(range),
        sides_(sides),
        pressure_(pressure),
        limits_(limits),
        stop_(stop),
        rows_read_(rows_read) {
    const uint64_t wanted = limits.expected_rows == 0 ? limits.max_buckets : limits.expected_rows * 2;
    buckets_ = static_cast<uint32_t>(
        std::clamp<uint64_t>(wanted, std::min(kFewestBuckets, limits.max_buckets), limits.max_buckets));
  }

  Result<RangeResult> Run() {
    for (uint64_t looked_at = 0;;) {
      CROSSFADE_ASSIGN(const Level level, ReadSums());
      if (sieve_.level() == 0) {
        result_.source_rows = level.source.rows();
        result_.target_rows = level.target.rows();
      }
      if (level.unequal.empty()) {
        return std::move(result_);
      }
      uint64_t rows = 0;
      for (const uint32_t bucket : level.unequal) {
        rows += RowsIn(level, bucket);
      }
      // Where nearly all buckets differ, other buckets would not tell more.
      const bool narrowed = looked_at == 0 || rows < looked_at / 10 * 8;
      const bool fits = rows * BytesOfARow() <= limits_.max_bytes;
      if (fits || !narrowed || sieve_.level() + 1 >= limits_.max_levels) {
        CROSSFADE_TRY(NoteRows(level));
        return std::move(result_);
      }
      sieve_.Narrow(level.unequal, buckets_);
      looked_at = rows;
    }
  }

 private:
  struct Level {
    BucketSums source;
    BucketSums target;
    std::vector<uint32_t> unequal;
  };
  static uint64_t RowsIn(const Level& level, uint32_t bucket) {
    return std::max(level.source.rows_in(bucket), level.target.rows_in(bucket));
  }
  uint64_t BytesOfARow() const {
    return NotedRows::BytesOf(keys_seen_ == 0 ? 0 : (key_bytes_ + keys_seen_ - 1) / keys_seen_);
  }

  Result<Level> ReadSums() {
    constexpr uint64_t kCountEvery = 256;
    Level level{BucketSums(buckets_), BucketSums(buckets_), {}};
    const bool first = sieve_.level() == 0;
    const auto of_source = [&](const Digest& key, const Digest& row, std::string_view key_fields,
                               apply::Fields) -> Status {
      if (!sieve_.Holds(key)) {
        return {};
      }
      level.source.Add(BucketOf(key, sieve_.level(), buckets_), row);
      if (first && rows_read_ != nullptr && level.source.rows() % kCountEvery == 0) {
        rows_read_->fetch_add(kCountEvery, std::memory_order_relaxed);
      }
      key_bytes_ += key_fields.size();
      ++keys_seen_;
      return {};
    };
    const auto of_target = [&](const Digest& key, const Digest& row, std::string_view, apply::Fields) -> Status {
      if (sieve_.Holds(key)) {
        level.target.Add(BucketOf(key, sieve_.level(), buckets_), row);
      }
      return {};
    };
    ++result_.reads;
    CROSSFADE_TRY(ReadBoth(table_, range_, sides_, pressure_, stop_, of_source, of_target));
    if (first && rows_read_ != nullptr) {
      rows_read_->fetch_add(level.source.rows() % kCountEvery, std::memory_order_relaxed);
    }
    level.unequal = BucketSums::Unequal(level.source, level.target);
    return level;
  }

  // The rows in the unequal buckets, as many buckets at once as should fit.
  Status NoteRows(const Level& level) {
    std::vector<std::vector<uint32_t>> shares = Shares(level);
    for (uint32_t reads = 0; !shares.empty();) {
      const std::vector<uint32_t> share = std::move(shares.back());
      shares.pop_back();
      if (reads == limits_.max_note_reads || Full()) {
        LeaveOut(level, share, "too many rows differ to look at each again; mend those that are shown first");
        continue;
      }
      ++reads;
      CROSSFADE_ASSIGN(const bool fitted, NoteShare(share));
      if (fitted) {
        continue;
      }
      if (share.size() == 1) {
        LeaveOut(
            level, share,
            fmt::format("CF1802: the keys of the rows that differ take more than the {} MiB that comparing may use; "
                        "compare when less is written to the table, or leave it out (tables.exclude)",
                        limits_.max_bytes >> 20));
        continue;
      }
      const auto middle = share.begin() + static_cast<ptrdiff_t>(share.size() / 2);
      shares.emplace_back(share.begin(), middle);
      shares.emplace_back(middle, share.end());
    }
    return {};
  }

  std::vector<std::vector<uint32_t>> Shares(const Level& level) const {
    std::vector<std::vector<uint32_t>> shares(1);
    uint64_t bytes = 0;
    for (const uint32_t bucket : level.unequal) {
      const uint64_t more = RowsIn(level, bucket) * BytesOfARow();
      if (!shares.back().empty() && bytes + more > limits_.max_bytes) {
        shares.emplace_back();
        bytes = 0;
      }
      shares.back().push_back(bucket);
      bytes += more;
    }
    return shares;
  }

  // False if they take too much memory; nothing is said of them then.
  Result<bool> NoteShare(const std::vector<uint32_t>& share) {
    std::vector<bool> wanted(buckets_);
    for (const uint32_t bucket : share) {
      wanted[bucket] = true;
    }
    NotedRows source;
    NotedRows target;
    const auto note = [&](NotedRows* side) {
      return
          [&, side](const Digest& key, const Digest& row, std::string_view key_fields, apply::Fields fields) -> Status {
            if (side->bytes() <= limits_.max_bytes && wanted[BucketOf(key, sieve_.level(), buckets_)] &&
                sieve_.Holds(key)) {
              side->Add(key, row, key_fields, fields.size());
            }
            return {};
          };
    };
    ++result_.reads;
    CROSSFADE_TRY(ReadBoth(table_, range_, sides_, pressure_, stop_, note(&source), note(&target)));
    if (std::max(source.bytes(), target.bytes()) > limits_.max_bytes) {
      return false;
    }
    const auto take = [&](Candidate candidate) {
      if (Full()) {
        ++result_.more;
        result_.why_more = "too many rows differ to look at each again; mend those that are shown first";
        return;
      }
      candidate_bytes_ += candidate.key.size() + sizeof(Candidate);
      result_.candidates.push_back(std::move(candidate));
    };
    source.ForUnequal(target, true, take);
    target.ForUnequal(source, false, take);
    return true;
  }

  bool Full() const {
    return result_.candidates.size() >= limits_.max_candidates || candidate_bytes_ >= limits_.max_candidate_bytes;
  }
  void LeaveOut(const Level& level, const std::vector<uint32_t>& share, std::string why) {
    for (const uint32_t bucket : share) {
      result_.more += RowsIn(level, bucket);
    }
    result_.why_more = std::move(why);
  }

  const ComparedTable& table_;
  const ChunkRange& range_;
  const Sides& sides_;
  snapshot::CopyLimits* pressure_;
  const RangeLimits& limits_;
  const std::stop_token& stop_;
  std::atomic<uint64_t>* rows_read_;
  uint32_t buckets_ = 0;
  Sieve sieve_;
  RangeResult result_;
  uint64_t candidate_bytes_ = 0;
  uint64_t key_bytes_ = 0;  // of the source's rows that were looked at
  uint64_t keys_seen_ = 0;
};

}  // namespace

Result<RangeResult> CompareRange(const ComparedTable& table, const ChunkRange& range, const Sides& sides,
                                 snapshot::CopyLimits* pressure, const RangeLimits& limits, const std::stop_token& stop,
                                 std::atomic<uint64_t>* rows_read) {
  return RangeComparison(table, range, sides, pressure, limits, stop, rows_read).Run();
}

}  // namespace crossfade::verify
