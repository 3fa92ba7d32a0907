// Figures that a report draws from the history.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/crossfade/report/report_data.h"

namespace crossfade::tools {

// What the phases were, one after another; a stretch ends with the next one, with the last sample of a process that
// ended without a word, or, for the last one of a living process, `now_us`.
std::vector<PhaseSpan> PhaseSpans(const History& history, bool alive, int64_t now_us);

// The value at `part` of 0 to 1; sorts. -1 of nothing.
int64_t Percentile(std::vector<int64_t>* values, double part);

// Of the looks while changes were applied; what is not known is left out.
LagFigures LagOf(const History& history, HistorySample::Lag HistorySample::*hop, bool only_following = false);

// Times by the phases, or, where there is no history of the copy, by the marks of its chunks on the target. Rows by the
// marks, or, where the target could not be read (`copied` is null), by the history.
CopyFigures CopyOf(const std::vector<PhaseSpan>& phases, const std::vector<apply::CopiedTable>* copied,
                   const History& history);

// Transactions applied after `since_us`; none when the history does not go back that far.
std::optional<uint64_t> AppliedSince(const History& history, int64_t since_us, uint64_t applied_seq);

}  // namespace crossfade::tools
