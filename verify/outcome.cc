#include "verify/outcome.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace crossfade::verify {

namespace {

// What all tables show, and what one table shows at most.
constexpr uint64_t kBytesOfAll = 16 << 20;
constexpr uint64_t kBytesOfOne = 2 << 20;

uint64_t SizeOf(const std::string& text) { return sizeof text + text.size(); }

uint64_t SizeOf(const ShownDifference& difference) {
  uint64_t bytes = sizeof difference + difference.key.size() + difference.writer.at.size();
  for (const ShownDifference::Cell& cell : difference.cells) {
    bytes += SizeOf(cell.column) + SizeOf(cell.source) + SizeOf(cell.target);
  }
  return bytes;
}

template <typename T>
bool AddOne(T one, const ShownLimits& limits, std::vector<T>* to, uint64_t* bytes) {
  const uint64_t more = SizeOf(one);
  if (to->size() >= limits.rows || (!to->empty() && *bytes + more > limits.bytes)) {
    return false;
  }
  *bytes += more;
  to->push_back(std::move(one));
  return true;
}

}  // namespace

ShownLimits ShownLimits::ForEachOf(size_t tables, uint64_t rows) {
  return {rows, std::min(kBytesOfOne, kBytesOfAll / std::max<uint64_t>(tables, 1))};
}

bool TableOutcome::ShowDifference(ShownDifference difference, const ShownLimits& limits) {
  return AddOne(std::move(difference), limits, &shown, &shown_bytes);
}

bool TableOutcome::ShowUndecided(std::string key, const ShownLimits& limits) {
  return AddOne(std::move(key), limits, &shown_undecided, &shown_bytes);
}

void TableOutcome::Add(TableOutcome part, const ShownLimits& limits) {
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
  for (ShownDifference& difference : part.shown) {
    ShowDifference(std::move(difference), limits);
  }
  for (std::string& key : part.shown_undecided) {
    ShowUndecided(std::move(key), limits);
  }
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
