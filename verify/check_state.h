// What a continuous comparison knows, over restarts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/seq.h"

namespace crossfade::verify {

// A pass over all tables that has ended.
struct FullPass {
  int64_t began_us = 0;
  int64_t ended_us = 0;
  uint64_t rows = 0;
  uint64_t differences = 0;  // when it ended; which of them are left says CheckState::open
  uint64_t undecided = 0;

  friend bool operator==(const FullPass&, const FullPass&) = default;
};

// Plain data. All rows are equal where the target has applied all up to `checked` if `full` is there, and `open` and
// `waiting` are empty.
struct CheckState {
  uint64_t chain = 1;  // grows whenever what was touched can no longer be told, and all begins anew
  Seq checked;         // every row that was changed up to here, since the chain began, was compared behind its change
  std::optional<FullPass> full;  // the last one that began and ended in this chain
  // Rows that were not found equal when they were last looked at, by table and key fields: whether they are certainly
  // different, or could not be decided.
  std::map<std::pair<std::string, std::string>, bool> open;
  std::map<std::string, std::string> waiting;  // tables that must be compared as a whole, and why

  uint64_t different() const;

  // Durable, versioned bytes. Corrupt CF1821 for what Encode did not make.
  std::string Encode() const;
  static Result<CheckState> Decode(std::string_view bytes);
  friend bool operator==(const CheckState&, const CheckState&) = default;
};

}  // namespace crossfade::verify
