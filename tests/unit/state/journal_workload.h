// A fixed piece of work on a journal that can be cut off anywhere and taken up again, and what it must leave behind.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/seq.h"
#include "state/journal.h"

namespace crossfade::state {

inline constexpr uint64_t kWorkloadSteps = 36;

// Does the steps behind the journal's tail; each ends at MakePosition(step). After every sync "synced <step>", and
// after a durable record "record <step>", is appended to the file `acknowledged`.
Status RunWorkload(Journal& journal, const std::string& acknowledged);
JournalOptions WorkloadOptions(const std::string& directory);

struct Expected {
  Seq tail;
  std::vector<std::string> transactions;  // [seq - 1]: its position and changes
};
Expected ExpectedAfter(uint64_t step);

}  // namespace crossfade::state
