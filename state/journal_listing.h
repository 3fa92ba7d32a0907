// Prints a journal for people and for scripts.
#pragma once

#include <cstddef>
#include <ostream>

#include "core/error.h"
#include "state/journal.h"

namespace crossfade::state {

// Synced transactions from `from` on (or from the oldest kept, if that is later), at most `limit` of them: a line for
// each with seq, commit time, position, changes and bytes; with `decode` a line for each change below it.
Result<void> ListJournal(Journal& journal, Seq from, size_t limit, bool decode, std::ostream& out);

// The same as JSON, one object to a line: {"seq":..,"commit_time":..,"position":{..},"changes":..,"bytes":..}, and with
// `decode` for each change {"seq":..,"kind":..,"table":..,"before":{..},"after":{..}}. Values are texts as people see
// them (long ones cut), null, or left out where the image lacks them.
Result<void> ListJournalJson(Journal& journal, Seq from, size_t limit, bool decode, std::ostream& out);

}  // namespace crossfade::state
