#include "verify/page_compare.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/bytes.h"

namespace crossfade::verify {

namespace {

constexpr uint32_t kFewestBuckets = 1024;
constexpr size_t kKeysAtOnce = 500;    // MariaDB makes a join of a list of 1000
constexpr size_t kTuplesAtOnce = 250;  // of several columns: a server takes longer to plan for them
constexpr uint64_t kGrowth = 4;        // of a page, compared with the one before

tl::unexpected<Error> Stopped() { return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped"); }

// As the source has it, so that no policy of types stands between a row and its place.
void EncodeKey(std::span<const Value> row, const std::vector<uint32_t>& key, std::string* out) {
  out->clear();
  ByteWriter writer(out);
  for (const uint32_t column : key) {
    const Value& value = row[column];
    writer.U8(static_cast<uint8_t>(value.kind));
    writer.FixedU64(value.u);
    writer.String(value.bytes);
  }
}

// Borrowed from `bytes`; false if it is no key of so many columns.
bool DecodeKey(std::string_view bytes, size_t columns, std::vector<Value>* key) {
  ByteReader reader(bytes);
  while (!bytes.empty() && reader.ok() && !reader.at_end()) {
    Value& value = key->emplace_back();
    value.kind = static_cast<ValueKind>(reader.U8());
    value.u = reader.FixedU64();
    value.bytes = reader.String();
  }
  return reader.ok() && (key->empty() || key->size() == columns);
}

struct DigestHash {
  size_t operator()(const Digest& digest) const { return digest.low; }
};

// The source's rows of a page, by key, that the target has not shown to be the same.
class UnmatchedRows {
 public:
  void Add(const Digest& key, const Digest& row, std::string_view key_fields, uint64_t bytes) {
    rows_.try_emplace(key, Row{row, bytes, std::string(key_fields)});
  }
  void Match(const Digest& key, const Digest& row, uint64_t bytes) {
    const auto found = rows_.find(key);
    if (found == rows_.end()) {
      return;
    }
    if (found->second.digest == row) {
      rows_.erase(found);
    } else {
      found->second.bytes = std::max(found->second.bytes, bytes);
    }
  }
  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    keys.reserve(rows_.size());
    for (const auto& [digest, row] : rows_) {
      keys.push_back(row.key);
    }
    return keys;
  }
  std::vector<Candidate> Candidates() {
    std::vector<Candidate> candidates;
    for (auto& [digest, row] : rows_) {
      candidates.push_back({std::move(row.key), row.bytes});
    }
    return candidates;
  }

 private:
  struct Row {
    Digest digest;
    uint64_t bytes = 0;
    std::string key;
  };
  std::unordered_map<Digest, Row, DigestHash> rows_;
};

// Calls `read` with so many of the keys at a time.
template <typename Read>
Status InShares(std::span<const std::string> keys, size_t at_once, const std::stop_token& stop, const Read& read) {
  for (size_t next = 0; next < keys.size(); next += at_once) {
    if (stop.stop_requested()) {
      return Stopped();
    }
    CROSSFADE_TRY(read(keys.subspan(next, std::min(at_once, keys.size() - next))));
  }
  return {};
}

bool IsOrdered(ColumnType type) {
  switch (type) {
    case ColumnType::kInt:
    case ColumnType::kDecimal:
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kBinary:
    case ColumnType::kVarbinary:
    case ColumnType::kDate:
    case ColumnType::kTime:
    case ColumnType::kDateTime:
    case ColumnType::kTimestamp:
    case ColumnType::kUuid:
    case ColumnType::kInet4:
    case ColumnType::kInet6:
      return true;
    default:  // an ENUM is sorted by its number and compared by its label
      return false;
  }
}

}  // namespace

bool CanPage(const apply::Route& route) {
  return route.identity != apply::RowIdentity::kWholeRow &&
         std::all_of(route.key.begin(), route.key.end(),
                     [&](uint32_t column) { return IsOrdered(route.source.columns[column].type); });
}

PagedComparison::PagedComparison(const ComparedTable* table, const PageLimits& limits, PagePlace from)
    : table_(*table),
      limits_(limits),
      buckets_(static_cast<uint32_t>(
          std::clamp<uint64_t>(limits.expected_rows == 0 ? limits.max_buckets : limits.expected_rows * 2,
                               std::min(kFewestBuckets, limits.max_buckets), limits.max_buckets))) {
  place_.step = from.side == PagePlace::Side::kSource ? Step::kSource : Step::kTarget;
  place_.after = std::move(from.after);
  const uint64_t row_bytes = limits.expected_rows == 0 ? 0 : limits.expected_bytes / limits.expected_rows;
  place_.page_rows = std::clamp<uint64_t>(limits.max_bytes / std::max<uint64_t>(row_bytes, 1), 1, limits.first_rows);
}

Result<ComparedPage> PagedComparison::Next(const Sides& sides, snapshot::CopyLimits* pressure,
                                           const std::stop_token& stop, std::atomic<uint64_t>* rows_read) {
  if (stop.stop_requested()) {
    return Stopped();
  }
  next_ = place_;
  read_keys_.clear();
  switch (place_.step) {
    case Step::kSource:
      return SourcePage(sides, pressure, stop, rows_read);
    case Step::kSums:
      return SumsPage(sides, stop);
    default:
      return TargetPage(sides, pressure, stop);
  }
}

void PagedComparison::Take() {
  if (sums_) {
    for (const Digest& key : read_keys_) {
      (place_.step == Step::kSource ? sums_->source : sums_->target).Add(Bucket(key), key);
    }
  }
  read_keys_.clear();
  place_ = next_;
}

uint64_t PagedComparison::RowsOfNextPage(uint64_t rows, uint64_t bytes) const {
  const uint64_t row_bytes = std::max<uint64_t>(bytes / std::max<uint64_t>(rows, 1), 1);
  return std::clamp<uint64_t>(limits_.max_bytes / row_bytes, 1, std::min(limits_.max_rows, place_.page_rows * kGrowth));
}

Result<ComparedPage> PagedComparison::SourcePage(const Sides& sides, snapshot::CopyLimits* pressure,
                                                 const std::stop_token& stop, std::atomic<uint64_t>* rows_read) {
  const apply::Route& route = table_.route();
  std::vector<Value> after;
  if (!DecodeKey(place_.after, route.key.size(), &after)) {
    return MakeError(ErrorClass::kCorrupt, "CF1803", "verify",
                     "the place in {} up to which it is compared is unreadable", route.source.QualifiedName());
  }
  if (after.empty()) {
    sums_ = KeySums{BucketSums(buckets_), BucketSums(buckets_)};
  }
  ComparedPage page;
  UnmatchedRows rows;
  uint64_t bytes = 0;
  std::string fields;
  std::string key;
  CROSSFADE_TRY(sides.source->ReadPage(route.source, route.key, after, place_.page_rows,
                                       [&](std::span<const Value> row) -> Status {
                                         if (stop.stop_requested()) {
                                           return Stopped();
                                         }
                                         CROSSFADE_TRY(table_.form().FieldsOf(row, &fields));
                                         table_.KeyOf(fields, &key);
                                         const Digest key_digest = DigestOf(key);
                                         rows.Add(key_digest, DigestOf(fields), key, fields.size());
                                         read_keys_.push_back(key_digest);
                                         EncodeKey(row, route.key, &next_.after);
                                         bytes += fields.size();
                                         ++page.found.source_rows;
                                         return {};
                                       }));
  if (rows_read != nullptr) {
    rows_read->fetch_add(page.found.source_rows, std::memory_order_relaxed);
  }
  // While this waits, no snapshot is held.
  if (!pressure->Admit(page.found.source_rows, stop)) {
    return Stopped();
  }
  CROSSFADE_TRY(InShares(rows.Keys(), kKeysAtOnce, stop, [&](std::span<const std::string> share) {
    return sides.target->ReadKeys(route, share, [&](apply::Fields found) -> Status {
      table_.KeyOf(found, &key);
      rows.Match(DigestOf(key), DigestOf(found), found.size());
      return {};
    });
  }));
  page.found.candidates = rows.Candidates();
  next_.page_rows = RowsOfNextPage(page.found.source_rows, bytes);
  if (page.found.source_rows < place_.page_rows) {
    next_.step = sums_ ? Step::kSums : Step::kTarget;
    next_.after.clear();
  }
  page.place = next_.step == Step::kSource ? PagePlace{PagePlace::Side::kSource, next_.after}
                                           : PagePlace{PagePlace::Side::kTarget, ""};
  return page;
}

Result<PagedComparison::Keys> PagedComparison::ReadTargetKeys(const Sides& sides, const std::stop_token& stop) const {
  Keys keys;
  CROSSFADE_TRY(
      sides.target->ReadKeyPage(table_.route(), place_.after, limits_.max_rows, [&](apply::Fields key) -> Status {
        if (stop.stop_requested()) {
          return Stopped();
        }
        keys.emplace_back(DigestOf(key), key);
        return {};
      }));
  return keys;
}

Result<ComparedPage> PagedComparison::SumsPage(const Sides& sides, const std::stop_token& stop) {
  CROSSFADE_ASSIGN(const Keys keys, ReadTargetKeys(sides, stop));
  ComparedPage page;
  for (const auto& [digest, key] : keys) {
    read_keys_.push_back(digest);
  }
  if (keys.size() == limits_.max_rows) {
    next_.after = keys.back().second;
    return page;
  }
  KeySums all = *sums_;
  for (const Digest& digest : read_keys_) {
    all.target.Add(Bucket(digest), digest);
  }
  const std::vector<uint32_t> unequal = BucketSums::Unequal(all.source, all.target);
  page.last = unequal.empty();
  page.found.target_rows = page.last ? all.target.rows() : 0;
  unequal_.assign(buckets_, false);
  for (const uint32_t bucket : unequal) {
    unequal_[bucket] = true;
  }
  next_.step = Step::kTarget;
  next_.after.clear();
  return page;
}

Result<ComparedPage> PagedComparison::TargetPage(const Sides& sides, snapshot::CopyLimits* pressure,
                                                 const std::stop_token& stop) {
  CROSSFADE_ASSIGN(Keys keys, ReadTargetKeys(sides, stop));
  ComparedPage page;
  page.found.target_rows = keys.size();
  page.last = keys.size() < limits_.max_rows;
  if (!keys.empty()) {
    next_.after = keys.back().second;
  }
  page.place = PagePlace{PagePlace::Side::kTarget, next_.after};
  std::unordered_map<Digest, std::string, DigestHash> missing;
  std::vector<std::string> asked;
  for (auto& [digest, key] : keys) {
    if (unequal_.empty() || unequal_[Bucket(digest)]) {
      asked.push_back(key);
      missing.emplace(digest, std::move(key));
    }
  }
  if (asked.empty()) {
    return page;
  }
  CROSSFADE_TRY(sides.source->OpenSnapshot());
  const std::vector<uint32_t>& columns = table_.route().key;
  CROSSFADE_TRY(InShares(
      asked, columns.size() > 1 ? kTuplesAtOnce : kKeysAtOnce, stop, [&](std::span<const std::string> share) -> Status {
        if (!pressure->Admit(share.size(), stop)) {
          return Stopped();
        }
        return ReadSourceBy(table_, columns, share, sides.source.get(),
                            [&](const Digest&, const Digest&, std::string_view key, apply::Fields) -> Status {
                              missing.erase(DigestOf(key));
                              return {};
                            });
      }));
  asked.clear();
  for (const auto& [digest, key] : missing) {
    asked.push_back(key);
  }
  // How large they are, for the recheck.
  std::unordered_map<Digest, uint64_t, DigestHash> bytes;
  std::string found_key;
  CROSSFADE_TRY(InShares(asked, kKeysAtOnce, stop, [&](std::span<const std::string> share) {
    return sides.target->ReadKeys(table_.route(), share, [&](apply::Fields row) -> Status {
      table_.KeyOf(row, &found_key);
      bytes[DigestOf(found_key)] = row.size();
      return {};
    });
  }));
  for (auto& [digest, key] : missing) {
    page.found.candidates.push_back({std::move(key), bytes[digest]});
  }
  return page;
}

}  // namespace crossfade::verify
