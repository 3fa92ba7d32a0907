#include "verify/range_compare.h"

#include <algorithm>
#include <map>
#include <optional>
#include <thread>
#include <unordered_map>

namespace crossfade::verify {

namespace {

constexpr uint32_t kBuckets = 1024;

// Runs both reads at once. When one fails the other is ended as well; the first failure is the result.
Status ReadBoth(const ComparedTable& table, const ChunkRange& range, const Sides& sides, snapshot::CopyLimits* pressure,
                const std::stop_token& stop, const RowSink& of_source, const RowSink& of_target) {
  Status source;
  std::stop_source failed;
  const std::stop_callback forward(stop, [&] { failed.request_stop(); });
  std::jthread reading([&] {
    source = ReadSource(table, range, sides.source.get(), pressure, failed.get_token(), of_source);
    if (!source) {
      sides.target->Cancel();
    }
  });
  const Status target = ReadTarget(table, range, sides.target.get(), of_target);
  if (!target) {
    failed.request_stop();
    sides.source->Interrupt();
  }
  reading.join();
  const bool target_was_cancelled = !source && source.error().code != "CF1801";
  CROSSFADE_TRY(target_was_cancelled ? source : target);
  return source;
}

struct DigestHash {
  size_t operator()(const Digest& digest) const { return digest.low; }
};

// The rows of one side in the buckets that are looked at, by key. Rows that are equal in all columns count.
class NotedRows {
 public:
  void Add(const Digest& key, const Digest& row, std::string_view key_fields) {
    Noted& noted = rows_[key];
    noted.low += row.low;
    noted.high += row.high;
    ++noted.count;
    if (noted.key.empty()) {
      noted.key = key_fields;
      bytes_ += key_fields.size() + sizeof(Noted) + sizeof(Digest) + 4 * sizeof(void*);
    }
  }
  uint64_t bytes() const { return bytes_; }

  // Keys that are not the same in `other`.
  template <typename Sink>
  void ForUnequal(const NotedRows& other, bool also_if_there, const Sink& sink) const {
    for (const auto& [digest, noted] : rows_) {
      const auto found = other.rows_.find(digest);
      if (found == other.rows_.end() || (also_if_there && !Same(noted, found->second))) {
        sink(noted.key);
      }
    }
  }

 private:
  struct Noted {
    uint64_t low = 0;
    uint64_t high = 0;
    uint64_t count = 0;
    std::string key;
  };
  static bool Same(const Noted& a, const Noted& b) { return a.low == b.low && a.high == b.high && a.count == b.count; }

  std::unordered_map<Digest, Noted, DigestHash> rows_;
  uint64_t bytes_ = 0;
};

tl::unexpected<Error> TooMany() { return MakeError(ErrorClass::kTransient, "CF1802", "verify", "too many rows"); }

// The rows in `buckets`, one by one. False if they do not fit.
Result<bool> CompareBuckets(const ComparedTable& table, const ChunkRange& range, const Sides& sides,
                            snapshot::CopyLimits* pressure, const RangeLimits& limits, const std::stop_token& stop,
                            const std::vector<bool>& buckets, RangeResult* result) {
  NotedRows source;
  NotedRows target;
  const auto note = [&](NotedRows* side) {
    return [&, side](const Digest& key, const Digest& row, std::string_view key_fields, apply::Fields) -> Status {
      if (buckets[key.low % kBuckets]) {
        side->Add(key, row, key_fields);
      }
      return side->bytes() > limits.max_bytes ? Status(TooMany()) : Status{};
    };
  };
  const Status read = ReadBoth(table, range, sides, pressure, stop, note(&source), note(&target));
  if (!read && read.error().code == "CF1802") {
    return false;
  }
  CROSSFADE_TRY(read);
  const auto take = [&](const std::string& key) {
    if (result->candidates.size() < limits.max_candidates) {
      result->candidates.push_back(key);
    } else {
      ++result->more;
    }
  };
  source.ForUnequal(target, true, take);
  target.ForUnequal(source, false, take);
  return true;
}

// As many of the buckets at once as should fit.
std::vector<std::vector<uint32_t>> Shares(const std::vector<uint32_t>& unequal, const BucketSums& source,
                                          const BucketSums& target, uint64_t max_bytes) {
  constexpr uint64_t kBytesOfARow = 160;
  std::vector<std::vector<uint32_t>> shares(1);
  uint64_t bytes = 0;
  for (const uint32_t bucket : unequal) {
    const uint64_t more = std::max(source.rows_in(bucket), target.rows_in(bucket)) * kBytesOfARow;
    if (!shares.back().empty() && bytes + more > max_bytes) {
      shares.emplace_back();
      bytes = 0;
    }
    shares.back().push_back(bucket);
    bytes += more;
  }
  return shares;
}

}  // namespace

Result<RangeResult> CompareRange(const ComparedTable& table, const ChunkRange& range, const Sides& sides,
                                 snapshot::CopyLimits* pressure, const RangeLimits& limits,
                                 const std::stop_token& stop) {
  BucketSums source(kBuckets);
  BucketSums target(kBuckets);
  const auto sum = [](BucketSums* sums) {
    return [sums](const Digest& key, const Digest& row, std::string_view, apply::Fields) -> Status {
      sums->Add(key, row);
      return {};
    };
  };
  CROSSFADE_TRY(ReadBoth(table, range, sides, pressure, stop, sum(&source), sum(&target)));
  RangeResult result;
  result.source_rows = source.rows();
  result.target_rows = target.rows();
  const std::vector<uint32_t> unequal = BucketSums::Unequal(source, target);
  if (unequal.empty()) {
    return result;
  }
  for (const std::vector<uint32_t>& share : Shares(unequal, source, target, limits.max_bytes / 2)) {
    std::vector<bool> buckets(kBuckets);
    for (const uint32_t bucket : share) {
      buckets[bucket] = true;
    }
    CROSSFADE_ASSIGN(const bool fitted, CompareBuckets(table, range, sides, pressure, limits, stop, buckets, &result));
    if (!fitted) {
      return MakeError(ErrorClass::kConfig, "CF1803", "verify",
                       "table {}: keys too large for the memory that comparing may take", table.route().source.name);
    }
  }
  return result;
}

}  // namespace crossfade::verify
