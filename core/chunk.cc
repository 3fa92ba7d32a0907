#include "core/chunk.h"

namespace crossfade {

std::optional<int64_t> KeyOrdinal(const Value& value) {
  switch (value.kind) {
    case ValueKind::kInt:
    case ValueKind::kDate:
      return value.i;
    case ValueKind::kUint:
      return static_cast<int64_t>(value.u ^ (uint64_t{1} << 63));
    default:
      return std::nullopt;
  }
}

}  // namespace crossfade
