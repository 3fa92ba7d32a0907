// Sums over rows by which two sides are compared without keeping the rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace crossfade::verify {

// 128 bits of XXH3: not against somebody who wants two rows to collide, but far beyond chance.
struct Digest {
  uint64_t low = 0;
  uint64_t high = 0;
  friend auto operator<=>(const Digest&, const Digest&) = default;
};
Digest DigestOf(std::string_view bytes);

// One of `buckets` for a key; each `level` spreads the keys in another way.
inline uint32_t BucketOf(const Digest& key, uint32_t level, uint32_t buckets) {
  uint64_t mixed = key.low + level * (key.high | 1);
  mixed ^= mixed >> 29;
  return static_cast<uint32_t>(mixed % buckets);
}

// Sums and counts of digests, in buckets; the order of rows does not matter, and equal rows count each.
class BucketSums {
 public:
  explicit BucketSums(uint32_t buckets) : buckets_(buckets) {}
  void Add(uint32_t bucket, const Digest& row);
  uint64_t rows() const { return rows_; }
  uint64_t rows_in(uint32_t bucket) const { return buckets_[bucket].rows; }
  void Encode(std::string* out) const;
  // False if it is not what Encode made, of as many buckets.
  bool Decode(std::string_view bytes);
  // Buckets in which the two sides have other rows.
  static std::vector<uint32_t> Unequal(const BucketSums& a, const BucketSums& b);

 private:
  struct Bucket {
    uint64_t low = 0;
    uint64_t high = 0;
    uint64_t rows = 0;
    friend bool operator==(const Bucket&, const Bucket&) = default;
  };
  std::vector<Bucket> buckets_;
  uint64_t rows_ = 0;
};

}  // namespace crossfade::verify
