#include "verify/own_transactions.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "apply/row_reader.h"
#include "core/bytes.h"

namespace crossfade::verify {

namespace {

constexpr const char* kHead = "own.head";
constexpr std::string_view kPrefix = "own.";
constexpr uint64_t kVersion = 1;
constexpr std::string_view kUnreadable = "CF1822";
constexpr std::chrono::milliseconds kKeepEvery{1000};

struct Head {
  uint64_t blocks = 0;  // of the ring
  uint64_t first = 0;
  uint64_t current = 0;
  bool ended = false;  // in order, behind `last`
  uint32_t last = 0;
};

std::string BlockKey(uint64_t number, uint64_t blocks) { return fmt::format("own.{}", number % blocks); }

tl::unexpected<Error> BadRecord(const std::string& key) {
  return MakeError(ErrorClass::kCorrupt, kUnreadable, "verify", "the journal's record {} cannot be read", key);
}

Result<Head> ReadHead(std::string_view bytes) {
  ByteReader in(bytes);
  Head head;
  const uint64_t version = in.Varint();
  head.blocks = in.Varint();
  head.first = in.Varint();
  head.current = in.Varint();
  head.ended = in.U8() != 0;
  head.last = static_cast<uint32_t>(in.Varint());
  if (!in.ok() || !in.at_end() || version != kVersion || head.blocks == 0 || head.first > head.current ||
      head.current - head.first >= head.blocks) {
    return BadRecord(kHead);
  }
  return head;
}

Result<std::optional<Head>> LoadHead(state::Journal* journal) {
  CROSSFADE_ASSIGN(const std::optional<std::string> bytes, journal->GetRecord(kHead));
  if (!bytes) {
    return std::optional<Head>();
  }
  CROSSFADE_ASSIGN(const Head head, ReadHead(*bytes));
  return std::optional(head);
}

// The records as they are at one moment: whoever notes goes on meanwhile.
using Records = std::map<std::string, std::string, std::less<>>;

Result<Records> LoadAll(state::Journal* journal) {
  CROSSFADE_ASSIGN(auto listed, journal->ListRecords(std::string(kPrefix)));
  return Records(std::make_move_iterator(listed.begin()), std::make_move_iterator(listed.end()));
}

// All that is kept, in order: each number, and whether those between it and the one before are not known.
using OnOwn = std::function<void(uint32_t transaction, bool gap)>;

Status ForEachOwn(const Records& records, const Head& head, const OnOwn& on_own) {
  bool missing = false;
  for (uint64_t number = head.first; number <= head.current; ++number) {
    const std::string key = BlockKey(number, head.blocks);
    const auto record = records.find(key);
    ByteReader in(record != records.end() ? std::string_view(record->second) : std::string_view());
    if (record == records.end() || in.Varint() != number) {
      missing = true;  // not kept before its process died; or not yet
      continue;
    }
    bool gap = in.U8() != 0 || std::exchange(missing, false);
    auto transaction = static_cast<uint32_t>(in.Varint());
    while (in.ok()) {
      on_own(transaction, gap);
      if (in.at_end()) {
        break;
      }
      const uint64_t step = in.Varint();
      gap = (step & 1) != 0;
      transaction += static_cast<uint32_t>(step >> 1);
    }
    if (!in.ok()) {
      return BadRecord(key);
    }
  }
  return {};
}

// Numbers on a line: each as far behind the first as it was handed out later.
class Line {
 public:
  // The place of the next number, and of the one before; nothing if the line begins with it.
  std::optional<std::pair<uint64_t, uint64_t>> Add(uint32_t transaction) {
    if (!some_ || (transaction != last_ && !apply::IsLater(transaction, last_))) {
      some_ = true;
      length_ = 0;
      last_ = transaction;
      return std::nullopt;
    }
    const uint64_t before = length_;
    length_ += transaction - last_;
    last_ = transaction;
    return std::pair(before, length_);
  }
  // Of any number: none if it is not on the line.
  std::optional<uint64_t> PlaceOf(uint32_t transaction) const {
    const uint32_t back = last_ - transaction;
    const bool there = some_ && !apply::IsLater(transaction, last_) && back <= length_;
    return there ? std::optional(length_ - back) : std::nullopt;
  }

 private:
  bool some_ = false;
  uint32_t last_ = 0;
  uint64_t length_ = 0;
};

}  // namespace

Status OwnTransactions::Open(std::optional<uint32_t> last_on_target) {
  const Result<std::optional<Head>> found = LoadHead(journal_);
  if (!found && found.error().code != kUnreadable) {
    return Fail(found.error());
  }
  if (!found || !*found || (*found)->blocks != blocks_) {
    return BeginAnew();
  }
  const Head& head = **found;
  first_ = head.first;
  current_ = head.current;
  some_ = head.ended;
  last_ = head.last;
  gap_ = !head.ended || last_on_target != head.last;
  return NextBlock();
}

Status OwnTransactions::BeginAnew() {
  first_ = current_ + 1;
  some_ = false;
  gap_ = true;
  return NextBlock();
}

Status OwnTransactions::NextBlock() {
  ++current_;
  first_ = std::max(first_, current_ - std::min(current_, blocks_ - 1));
  block_.clear();
  changed_ = false;
  return KeepHead(false);
}

Status OwnTransactions::Note(uint32_t transaction) {
  if (some_ && !apply::IsLater(transaction, last_)) {
    CROSSFADE_TRY(BeginAnew());
  }
  if (block_.size() >= block_bytes_) {
    CROSSFADE_TRY(Keep(true));
    CROSSFADE_TRY(NextBlock());
  }
  ByteWriter out(&block_);
  if (block_.empty()) {
    out.Varint(current_);
    out.U8(gap_ ? 1 : 0);
    out.Varint(transaction);
  } else {
    out.Varint(uint64_t{transaction - last_} << 1 | (gap_ ? 1 : 0));
  }
  some_ = true;
  last_ = transaction;
  gap_ = false;
  changed_ = true;
  return {};
}

Status OwnTransactions::Keep(bool now) {
  if (!changed_ || (!now && std::chrono::steady_clock::now() < keep_at_)) {
    return {};
  }
  CROSSFADE_TRY(journal_->PutRecord(BlockKey(current_, blocks_), block_));
  changed_ = false;
  keep_at_ = After(kKeepEvery);
  return {};
}

Status OwnTransactions::Close() {
  CROSSFADE_TRY(Keep(true));
  return KeepHead(some_ && !gap_);
}

Status OwnTransactions::KeepHead(bool ended) const {
  std::string bytes;
  ByteWriter out(&bytes);
  out.Varint(kVersion);
  out.Varint(blocks_);
  out.Varint(first_);
  out.Varint(current_);
  out.U8(ended ? 1 : 0);
  out.Varint(last_);
  return journal_->PutRecord(kHead, bytes);
}

Result<std::set<uint32_t>> NotOurs(state::Journal* journal, const std::vector<uint32_t>& transactions) {
  std::set<uint32_t> foreign;
  if (transactions.empty()) {
    return foreign;
  }
  CROSSFADE_ASSIGN(const Records records, LoadAll(journal));
  const auto stored = records.find(std::string_view(kHead));
  if (stored == records.end()) {
    return foreign;
  }
  CROSSFADE_ASSIGN(const Head head, ReadHead(stored->second));
  // The line's length first: numbers go round, so that only its end tells where on it one is.
  Line line;
  CROSSFADE_TRY(ForEachOwn(records, head, [&](uint32_t own, bool) { line.Add(own); }));
  std::vector<std::pair<uint64_t, uint32_t>> wanted;
  for (const uint32_t transaction : transactions) {
    if (const auto place = line.PlaceOf(transaction)) {
      wanted.emplace_back(*place, transaction);
    }
  }
  std::sort(wanted.begin(), wanted.end());
  auto next = wanted.begin();
  Line again;
  const Status read = ForEachOwn(records, head, [&](uint32_t own, bool gap) {
    const auto stretch = again.Add(own);
    if (!stretch) {  // another line: the one before was of other numbers
      foreign.clear();
      next = wanted.begin();
      return;
    }
    for (; next != wanted.end() && next->first < stretch->second; ++next) {
      if (!gap && next->first > stretch->first) {
        foreign.insert(next->second);
      }
    }
  });
  CROSSFADE_TRY(read);
  return foreign;
}

}  // namespace crossfade::verify
