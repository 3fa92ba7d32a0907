// Which rows the journal changes behind a state of the target.
//
// A row that the target lacks, and that the source removes behind that state, is missing on both sides when they are
// read: no comparison of rows finds it, and the change would not fit when it is applied.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>

#include "core/error.h"
#include "core/seq.h"
#include "state/journal.h"
#include "verify/sides.h"

namespace crossfade::verify {

using KeysByTable = std::map<const ComparedTable*, std::set<std::string>>;

// Keys of the rows that the transactions behind `after` change, up to what the journal holds now. False when there are
// more than `max_keys`: those of the first changes then.
Result<bool> ReadKeysBehind(std::span<const ComparedTable* const> tables, state::Journal* journal, Seq after,
                            uint64_t max_keys, KeysByTable* keys);

}  // namespace crossfade::verify
