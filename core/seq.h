// The journal's number of a committed transaction: downstream of the journal, the only order.
#pragma once

#include <compare>
#include <cstdint>

namespace crossfade {

// 0 is "before the first transaction". Never handed out twice for transactions that reached a target.
struct Seq {
  uint64_t value = 0;

  friend auto operator<=>(const Seq&, const Seq&) = default;
  Seq Next() const { return Seq{value + 1}; }
};

}  // namespace crossfade
