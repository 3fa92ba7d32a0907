// Time, in the two forms that are ever needed.
#pragma once

#include <chrono>
#include <cstdint>

namespace crossfade {

using Deadline = std::chrono::steady_clock::time_point;

inline Deadline After(std::chrono::milliseconds duration) { return std::chrono::steady_clock::now() + duration; }

// Microseconds since 1970-01-01 UTC. Only for what a person reads and for lag; never for ordering.
inline int64_t WallMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace crossfade
