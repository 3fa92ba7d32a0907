#include "verify/digest.h"

#include <xxhash.h>

#include "core/bytes.h"

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

void BucketSums::Encode(std::string* out) const {
  ByteWriter writer(out);
  for (const Bucket& bucket : buckets_) {
    writer.FixedU64(bucket.low);
    writer.FixedU64(bucket.high);
    writer.FixedU64(bucket.rows);
  }
}

bool BucketSums::Decode(std::string_view bytes) {
  ByteReader reader(bytes);
  rows_ = 0;
  for (Bucket& bucket : buckets_) {
    bucket.low = reader.FixedU64();
    bucket.high = reader.FixedU64();
    bucket.rows = reader.FixedU64();
    rows_ += bucket.rows;
  }
  return reader.ok() && reader.at_end();
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
