#include "verify/digest.h"

#include <xxhash.h>

namespace crossfade::verify {

Digest DigestOf(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

void BucketSums::Add(uint32_t at, const Digest& row) {
  Bucket& bucket = buckets_[at];
  bucket.low += row.low;
  bucket.high += row.high;
  ++bucket.rows;
  ++rows_;
}

std::vector<uint32_t> BucketSums::Unequal(const BucketSums& a, const BucketSums& b) {
  std::vector<uint32_t> unequal;
  for (uint32_t i = 0; i < a.buckets_.size(); ++i) {
    if (a.buckets_[i] != b.buckets_[i]) {
      unequal.push_back(i);
    }
  }
  return unequal;
}

}  // namespace crossfade::verify
