#include "verify/range_compare.h"

#include <algorithm>
#include <atomic>
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

tl::unexpected<Error> TooLarge(const ComparedTable& table, uint64_t max_bytes) {
  auto failed = MakeError(ErrorClass::kConfig, "CF1802", "verify",
                          "table {}: the keys of a 1024th of its rows take more than the {} MiB that comparing may use",
                          table.route().source.name, max_bytes >> 20);
  failed.value().object = table.route().source.name;
  failed.value().found = "too many rows in one range";
  failed.value().fix = "compare when less is written to the table, or leave it out (tables.exclude)";
  return failed;
}

// The rows in `buckets`, one by one. False if they take too much memory; nothing is said of them then.
Result<bool> CompareBuckets(const ComparedTable& table, const ChunkRange& range, const Sides& sides,
                            snapshot::CopyLimits* pressure, const RangeLimits& limits, const std::stop_token& stop,
                            const std::vector<uint32_t>& buckets, RangeResult* result) {
  std::vector<bool> wanted(kBuckets);
  for (const uint32_t bucket : buckets) {
    wanted[bucket] = true;
  }
  NotedRows source;
  NotedRows target;
  const auto note = [&](NotedRows* side) {
    return [&, side](const Digest& key, const Digest& row, std::string_view key_fields, apply::Fields) -> Status {
      if (wanted[key.low % kBuckets] && side->bytes() <= limits.max_bytes) {
        side->Add(key, row, key_fields);
      }
      return {};
    };
  };
  CROSSFADE_TRY(ReadBoth(table, range, sides, pressure, stop, note(&source), note(&target)));
  if (std::max(source.bytes(), target.bytes()) > limits.max_bytes) {
    return false;
  }
  const auto take = [&](const std::string& key) {
    if (result->candidates.size() < limits.max_candidates && result->candidate_bytes < limits.max_candidate_bytes) {
      result->candidate_bytes += key.size();
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
                                 snapshot::CopyLimits* pressure, const RangeLimits& limits, const std::stop_token& stop,
                                 std::atomic<uint64_t>* rows_read) {
  BucketSums source(kBuckets);
  BucketSums target(kBuckets);
  constexpr uint64_t kCountEvery = 256;
  const auto sum = [](BucketSums* sums, std::atomic<uint64_t>* count) {
    return [sums, count](const Digest& key, const Digest& row, std::string_view, apply::Fields) -> Status {
      sums->Add(key, row);
      if (count != nullptr && sums->rows() % kCountEvery == 0) {
        count->fetch_add(kCountEvery, std::memory_order_relaxed);
      }
      return {};
    };
  };
  CROSSFADE_TRY(ReadBoth(table, range, sides, pressure, stop, sum(&source, rows_read), sum(&target, nullptr)));
  if (rows_read != nullptr) {
    rows_read->fetch_add(source.rows() % kCountEvery, std::memory_order_relaxed);
  }
  RangeResult result;
  result.source_rows = source.rows();
  result.target_rows = target.rows();
  const std::vector<uint32_t> unequal = BucketSums::Unequal(source, target);
  if (unequal.empty()) {
    return result;
  }
  std::vector<std::vector<uint32_t>> shares = Shares(unequal, source, target, limits.max_bytes);
  while (!shares.empty()) {
    const std::vector<uint32_t> share = std::move(shares.back());
    shares.pop_back();
    CROSSFADE_ASSIGN(const bool fitted, CompareBuckets(table, range, sides, pressure, limits, stop, share, &result));
    if (fitted) {
      continue;
    }
    if (share.size() == 1) {
      return TooLarge(table, limits.max_bytes);
    }
    const auto middle = share.begin() + static_cast<ptrdiff_t>(share.size() / 2);
    shares.emplace_back(share.begin(), middle);
    shares.emplace_back(middle, share.end());
  }
  return result;
}

}  // namespace crossfade::verify
