#include "apply/window.h"

#include <algorithm>
#include <utility>

namespace crossfade::apply {

namespace {

constexpr std::string_view kComponent = "apply.window";

Verdict Judge(const ChunkWindow& chunk, Seq seq) {
  if (seq <= chunk.low) {
    return Verdict::kSkip;
  }
  return seq <= chunk.high ? Verdict::kFuzzy : Verdict::kStrict;
}

bool StartsBefore(const ChunkRange& a, const ChunkRange& b) {
  if (!a.from || !b.from) {
    return !a.from && b.from;
  }
  return *a.from < *b.from;
}

// A chunked copy of many chunks in one state has one Position many times; each look-up may walk the journal.
class SeqOfPosition {
 public:
  SeqOfPosition(state::Journal* journal, const PositionOrder& order) : journal_(journal), order_(order) {}

  Result<Seq> Find(const Position& position) {
    std::string key = position.Encode();
    if (const auto found = known_.find(key); found != known_.end()) {
      return found->second;
    }
    CROSSFADE_ASSIGN(const Seq seq, journal_->PrefixWithin(position, order_));
    known_.emplace(std::move(key), seq);
    return seq;
  }

 private:
  state::Journal* journal_;
  const PositionOrder& order_;
  std::map<std::string, Seq> known_;
};

}  // namespace

Result<Verdict> TableWindows::Decide(const Value& key, Seq seq) const {
  if (AllStrict(seq)) {
    return Verdict::kStrict;
  }
  if (uniform_) {
    return Judge(chunks_.front(), seq);
  }
  const std::optional<int64_t> ordinal = KeyOrdinal(key);
  if (ordinal) {
    // The last chunk that starts at or before the key.
    auto chunk = std::upper_bound(chunks_.begin(), chunks_.end(), *ordinal, [](int64_t value, const ChunkWindow& c) {
      return c.range.from && value < *c.range.from;
    });
    if (chunk != chunks_.begin() && (--chunk)->range.Holds(*ordinal)) {
      return Judge(*chunk, seq);
    }
  }
  return MakeError(ErrorClass::kCorrupt, "CF1521", kComponent, "no chunk of table {} holds the key {}",
                   chunks_.front().table, ToDisplay(key));
}

std::optional<std::vector<ChunkRange>> TableWindows::Truncated(Seq seq) const {
  std::vector<ChunkRange> ranges;
  for (const ChunkWindow& chunk : chunks_) {
    if (chunk.low < seq) {
      ranges.push_back(chunk.range);
    }
  }
  if (ranges.empty()) {
    return std::nullopt;
  }
  if (ranges.size() == chunks_.size()) {
    ranges.clear();
  }
  return ranges;
}

Windows::Windows(std::vector<ChunkWindow> chunks) {
  for (ChunkWindow& chunk : chunks) {
    TableWindows& table = tables_[chunk.table];
    table.max_high_ = std::max(table.max_high_, chunk.high);
    max_high_ = std::max(max_high_, chunk.high);
    table.chunks_.push_back(std::move(chunk));
  }
  for (auto& [name, table] : tables_) {
    std::sort(table.chunks_.begin(), table.chunks_.end(),
              [](const ChunkWindow& a, const ChunkWindow& b) { return StartsBefore(a.range, b.range); });
    const ChunkWindow& first = table.chunks_.front();
    table.uniform_ = std::all_of(table.chunks_.begin(), table.chunks_.end(),
                                 [&](const ChunkWindow& c) { return c.low == first.low && c.high == first.high; });
  }
}

Result<Windows> Windows::FromMarks(const std::vector<ChunkMark>& marks, state::Journal* journal,
                                   const PositionOrder& order) {
  SeqOfPosition seq_of(journal, order);
  const state::Tail tail = journal->tail();
  std::vector<ChunkWindow> chunks;
  std::string reached;  // the last `high` known to be within the journal
  std::vector<const ChunkMark*> by_time;
  for (const ChunkMark& mark : marks) {
    by_time.push_back(&mark);
  }
  std::stable_sort(by_time.begin(), by_time.end(),
                   [](const ChunkMark* a, const ChunkMark* b) { return a->low.offset < b->low.offset; });
  for (const ChunkMark* const next : by_time) {
    const ChunkMark& mark = *next;
    if (std::string high = mark.high.Encode(); high != reached) {
      CROSSFADE_ASSIGN(const bool within, order.Contains(tail.position, mark.high));
      if (!within) {
        return MakeError(ErrorClass::kTransient, "CF1520", kComponent,
                         "the journal ends at {}, before {}, up to which chunk {} of {} was read",
                         tail.position.ToString(), mark.high.ToString(), mark.chunk, mark.table);
      }
      reached = std::move(high);
    }
    ChunkWindow chunk;
    chunk.table = mark.table;
    chunk.range = mark.range;
    CROSSFADE_ASSIGN(chunk.low, seq_of.Find(mark.low));
    Position high = mark.high;
    if (!order.HasBorder(high)) {
      high.set.clear();  // it may see a transaction behind one that it does not: the end of the log then is the border
    }
    CROSSFADE_ASSIGN(chunk.high, seq_of.Find(high));
    chunk.high = std::max(chunk.low, chunk.high);
    chunks.push_back(std::move(chunk));
  }
  return Windows(std::move(chunks));
}

const TableWindows* Windows::Find(std::string_view table) const {
  const auto found = tables_.find(table);
  return found == tables_.end() ? nullptr : &found->second;
}

}  // namespace crossfade::apply
