#include "verify/page_compare.h"

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>

#include "core/bytes.h"

namespace crossfade::verify {

namespace {

using Step = PagePlace::Step;

constexpr uint8_t kSumsVersion = 1;
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
  // A unique key may be one that the source cannot walk: hashed (MariaDB), invisible (MySQL) or ignored.
  return route.identity == apply::RowIdentity::kPrimaryKey &&
         std::all_of(route.key.begin(), route.key.end(),
                     [&](uint32_t column) { return IsOrdered(route.source.columns[column].type); });
}

PagedComparison::PagedComparison(const ComparedTable* table, const PageLimits& limits, PagePlace from,
                                 std::string_view sums)
    : table_(*table),
      limits_(limits),
      buckets_(static_cast<uint32_t>(
          std::clamp<uint64_t>(limits.expected_rows == 0 ? limits.max_buckets : limits.expected_rows * 2,
                               std::min(kFewestBuckets, limits.max_buckets), limits.max_buckets))),
      step_(from.step),
      next_step_(from.step) {
  const uint64_t row_bytes = limits.expected_rows == 0 ? 0 : limits.expected_bytes / limits.expected_rows;
  first_rows_ = std::clamp<uint64_t>(limits.max_bytes / std::max<uint64_t>(row_bytes, 1), 1, limits.first_rows);
  place_ = {std::move(from.after), first_rows_, false};
  Sums known = NoSums();
  if (DecodeSums(sums, &known)) {
    sums_ = std::move(known);
    if (step_ != Step::kSums && sums_->source_place.ended && sums_->target_place.ended) {
      FindUnequal();
    }
  }
}

PagedComparison::Sums PagedComparison::NoSums() const {
  const Place beginning{"", first_rows_, false};
  return {BucketSums(buckets_), BucketSums(buckets_), beginning, beginning, {}, {}, beginning, beginning};
}

std::string PagedComparison::EncodeSums() const {
  std::string out;
  if (!sums_) {
    return out;
  }
  ByteWriter writer(&out);
  writer.U8(kSumsVersion);
  for (const Place* place : {&sums_->source_place, &sums_->target_place}) {
    writer.U8(place->ended ? 1 : 0);
    writer.String(place->after);
  }
  std::string sums;
  for (const BucketSums* side : {&sums_->source, &sums_->target}) {
    sums.clear();
    side->Encode(&sums);
    writer.String(sums);
  }
  return out;
}

bool PagedComparison::DecodeSums(std::string_view bytes, Sums* sums) const {
  ByteReader reader(bytes);
  if (reader.U8() != kSumsVersion) {
    return false;
  }
  for (Place* place : {&sums->source_place, &sums->target_place}) {
    place->ended = reader.U8() != 0;
    place->after = reader.String();
  }
  const std::string_view source = reader.String();
  const std::string_view target = reader.String();
  return reader.ok() && reader.at_end() && sums->source.Decode(source) && sums->target.Decode(target);
}

Result<ComparedPage> PagedComparison::Next(const Sides& sides, snapshot::CopyLimits* pressure,
                                           const std::stop_token& stop, std::atomic<uint64_t>* rows_read) {
  if (stop.stop_requested()) {
    return Stopped();
  }
  next_step_ = step_;
  next_place_ = place_;
  switch (step_) {
    case Step::kSums:
      if (!sums_) {
        sums_ = NoSums();
      }
      if (sums_->source_place.ended && sums_->target_place.ended) {
        return EndSums();
      }
      return SumsPage(sides, pressure, stop, rows_read);
    case Step::kSource:
      return SourcePage(sides, pressure, stop);
    default:
      return TargetPage(sides, pressure, stop);
  }
}

void PagedComparison::Take() {
  if (step_ == Step::kSums) {
    for (const Summed& row : sums_->source_page) {
      sums_->source.Add(row.bucket, row.row);
    }
    for (const Summed& row : sums_->target_page) {
      sums_->target.Add(row.bucket, row.row);
    }
    sums_->source_page.clear();
    sums_->target_page.clear();
    sums_->source_place = sums_->next_source;
    sums_->target_place = sums_->next_target;
  }
  step_ = next_step_;
  place_ = next_place_;
}

PagedComparison::Place PagedComparison::Behind(const Place& before, std::string after, uint64_t rows,
                                               uint64_t bytes) const {
  const uint64_t row_bytes = std::max<uint64_t>(bytes / std::max<uint64_t>(rows, 1), 1);
  const uint64_t grown = std::min(limits_.max_rows, before.page_rows * kGrowth);
  return {std::move(after), std::clamp<uint64_t>(limits_.max_bytes / row_bytes, 1, grown), rows < before.page_rows};
}

Result<PagedComparison::Place> PagedComparison::ReadSourcePage(const Place& from, snapshot::Reader* source,
                                                               const std::stop_token& stop, const RowSink& sink) const {
  const apply::Route& route = table_.route();
  std::vector<Value> after;
  if (!DecodeKey(from.after, route.key.size(), &after)) {
    auto error = MakeError(ErrorClass::kCorrupt, "CF1803", "verify",
                           "the place in {} up to which it is compared is unreadable", route.source.QualifiedName());
    error.value().object = route.source.QualifiedName();
    error.value().fix = "crossfade verify --restart";
    return error;
  }
  std::string last = from.after;
  std::string fields;
  std::string key;
  uint64_t rows = 0;
  uint64_t bytes = 0;
  CROSSFADE_TRY(
      source->ReadPage(route.source, route.key, after, from.page_rows, [&](std::span<const Value> row) -> Status {
        if (stop.stop_requested()) {
          return Stopped();
        }
        CROSSFADE_TRY(table_.form().FieldsOf(row, &fields));
        table_.KeyOf(fields, &key);
        EncodeKey(row, route.key, &last);
        ++rows;
        for (const Value& value : row) {  // not `fields`: what is excluded or hashed is read all the same
          bytes += sizeof(value.u) + value.bytes.size();
        }
        return sink(DigestOf(key), DigestOf(fields), key, fields);
      }));
  return Behind(from, std::move(last), rows, bytes);
}

Result<PagedComparison::Place> PagedComparison::ReadTargetPage(const Place& from, apply::RowReader* target,
                                                               const std::stop_token& stop, const RowSink& sink) const {
  std::string key;
  uint64_t rows = 0;
  uint64_t bytes = 0;
  CROSSFADE_TRY(target->ReadPage(table_.route(), from.after, from.page_rows, [&](apply::Fields fields) -> Status {
    if (stop.stop_requested()) {
      return Stopped();
    }
    table_.KeyOf(fields, &key);
    ++rows;
    bytes += fields.size();
    return sink(DigestOf(key), DigestOf(fields), key, fields);
  }));
  return Behind(from, rows == 0 ? from.after : std::move(key), rows, bytes);
}

// Both sides at the same time.
Result<ComparedPage> PagedComparison::SumsPage(const Sides& sides, snapshot::CopyLimits* pressure,
                                               const std::stop_token& stop, std::atomic<uint64_t>* rows_read) {
  Sums& sums = *sums_;
  const auto into = [this](std::vector<Summed>* page) {
    page->clear();
    return [this, page](const Digest& key, const Digest& row, std::string_view, apply::Fields) -> Status {
      page->push_back({Bucket(key), row});
      return {};
    };
  };
  const RowSink of_source = into(&sums.source_page);
  const RowSink of_target = into(&sums.target_page);
  Result<Place> source = sums.source_place;
  Result<Place> target = sums.target_place;
  {
    std::jthread reading;
    if (!source->ended) {
      reading = std::jthread([&] { source = ReadSourcePage(sums.source_place, sides.source.get(), stop, of_source); });
    }
    if (!target->ended) {
      target = ReadTargetPage(sums.target_place, sides.target.get(), stop, of_target);
    }
  }
  CROSSFADE_ASSIGN(sums.next_source, std::move(source));
  CROSSFADE_ASSIGN(sums.next_target, std::move(target));
  if (rows_read != nullptr) {
    rows_read->fetch_add(sums.source_page.size(), std::memory_order_relaxed);
  }
  // While this waits, no snapshot is held.
  if (!pressure->Admit(sums.source_page.size(), stop)) {
    return Stopped();
  }
  ComparedPage page;
  page.sums = true;
  page.all_sums = sums.next_source.ended && sums.next_target.ended;
  return page;
}

void PagedComparison::FindUnequal() {
  unequal_.assign(buckets_, false);
  for (const uint32_t bucket : BucketSums::Unequal(sums_->source, sums_->target)) {
    unequal_[bucket] = true;
  }
}

ComparedPage PagedComparison::EndSums() {
  FindUnequal();
  ComparedPage page;
  page.found.source_rows = sums_->source.rows();
  page.found.target_rows = sums_->target.rows();
  page.last = std::none_of(unequal_.begin(), unequal_.end(), [](bool unequal) { return unequal; });
  page.place = PagePlace{Step::kSource, ""};
  next_step_ = Step::kSource;
  next_place_ = {"", first_rows_, false};
  return page;
}

Result<ComparedPage> PagedComparison::SourcePage(const Sides& sides, snapshot::CopyLimits* pressure,
                                                 const std::stop_token& stop) {
  UnmatchedRows rows;
  uint64_t read = 0;
  CROSSFADE_ASSIGN(next_place_, ReadSourcePage(place_, sides.source.get(), stop,
                                               [&](const Digest& key, const Digest& row, std::string_view key_fields,
                                                   apply::Fields fields) -> Status {
                                                 ++read;
                                                 if (MayDiffer(key)) {
                                                   rows.Add(key, row, key_fields, fields.size());
                                                 }
                                                 return {};
                                               }));
  if (!pressure->Admit(read, stop)) {
    return Stopped();
  }
  std::string key;
  CROSSFADE_TRY(InShares(rows.Keys(), kKeysAtOnce, stop, [&](std::span<const std::string> share) {
    return sides.target->ReadKeys(table_.route(), share, [&](apply::Fields found) -> Status {
      table_.KeyOf(found, &key);
      rows.Match(DigestOf(key), DigestOf(found), found.size());
      return {};
    });
  }));
  ComparedPage page;
  page.found.candidates = rows.Candidates();
  if (next_place_.ended) {
    next_step_ = Step::kTarget;
    next_place_ = {"", first_rows_, false};
  }
  page.place = PagePlace{next_step_, next_place_.after};
  return page;
}

Result<ComparedPage> PagedComparison::TargetPage(const Sides& sides, snapshot::CopyLimits* pressure,
                                                 const std::stop_token& stop) {
  std::unordered_map<Digest, Candidate, DigestHash> missing;
  std::vector<std::string> asked;
  CROSSFADE_ASSIGN(next_place_, ReadTargetPage(place_, sides.target.get(), stop,
                                               [&](const Digest& key, const Digest&, std::string_view key_fields,
                                                   apply::Fields fields) -> Status {
                                                 if (MayDiffer(key)) {
                                                   asked.emplace_back(key_fields);
                                                   missing[key] = {std::string(key_fields), fields.size()};
                                                 }
                                                 return {};
                                               }));
  ComparedPage page;
  page.last = next_place_.ended;
  page.place = PagePlace{Step::kTarget, next_place_.after};
  if (asked.empty()) {
    return page;
  }
  // While this waits, no snapshot is held.
  if (!pressure->Admit(asked.size(), stop)) {
    return Stopped();
  }
  CROSSFADE_TRY(sides.source->OpenSnapshot());
  const std::vector<uint32_t>& columns = table_.route().key;
  CROSSFADE_TRY(InShares(
      asked, columns.size() > 1 ? kTuplesAtOnce : kKeysAtOnce, stop, [&](std::span<const std::string> share) -> Status {
        return ReadSourceBy(table_, columns, share, sides.source.get(),
                            [&](const Digest&, const Digest&, std::string_view key, apply::Fields) -> Status {
                              missing.erase(DigestOf(key));
                              return {};
                            });
      }));
  for (auto& [digest, candidate] : missing) {
    page.found.candidates.push_back(std::move(candidate));
  }
  return page;
}

}  // namespace crossfade::verify
