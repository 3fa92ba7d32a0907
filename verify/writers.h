// Who wrote rows that the target should not have.
//
// PostgreSQL keeps with each row the number of the transaction that wrote it, and numbers are handed out in order.
// Every transaction of ours also changes a row of progress. So a row whose number is later than that of our latest mark
// was written by somebody else, and so was one whose number lies between two that we have kept as ours
// (own_transactions.h). A mark of an earlier time serves as well for a row that, by the journal, we have not written
// since. Of any other row it cannot be told, nor of one that was deleted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "apply/route.h"
#include "core/error.h"
#include "core/seq.h"
#include "state/journal.h"
#include "verify/recheck.h"
#include "verify/sides.h"

namespace crossfade::verify {

// None of our transactions that applied something up to `seq` has a later number.
struct Landmark {
  Seq seq;
  uint32_t transaction = 0;
};

// Of this moment; none if we have written nothing yet. The target has no state open.
Result<std::optional<Landmark>> TakeLandmark(apply::RowReader* target);

// Fills Difference::writer of rows that are on the target. `landmarks`: of earlier times, oldest first. Tables without
// a key: left as not known.
Status FindWriters(const ComparedTable& table, const apply::RouteSet& routes, apply::RowReader* target,
                   state::Journal* journal, std::span<const Landmark> landmarks, std::span<Difference> differences);

}  // namespace crossfade::verify
