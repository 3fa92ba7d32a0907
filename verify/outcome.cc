#include "verify/outcome.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace crossfade::verify {

namespace {

template <typename T>
void AddSome(std::vector<T> from, uint64_t max, std::vector<T>* to) {
  const uint64_t room = max - std::min<uint64_t>(max, to->size());
  const auto end = from.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(room, from.size()));
  to->insert(to->end(), std::make_move_iterator(from.begin()), std::make_move_iterator(end));
}

}  // namespace

void TableOutcome::Add(TableOutcome part, uint64_t max_shown) {
  chunks += part.chunks;
  source_rows += part.source_rows;
  target_rows += part.target_rows;
  rechecked += part.rechecked;
  missing += part.missing;
  extra += part.extra;
  different += part.different;
  undecided += part.undecided;
  if (!part.why_undecided.empty()) {
    why_undecided = std::move(part.why_undecided);
  }
  AddSome(std::move(part.shown), max_shown, &shown);
  AddSome(std::move(part.shown_undecided), max_shown, &shown_undecided);
}

uint64_t Outcome::differences() const {
  uint64_t sum = 0;
  for (const TableOutcome& table : tables) {
    sum += table.differences();
  }
  return sum;
}

uint64_t Outcome::undecided() const {
  uint64_t sum = 0;
  for (const TableOutcome& table : tables) {
    sum += table.undecided;
  }
  return sum;
}

}  // namespace crossfade::verify
