#include "apply/batch_builder.h"

#include <algorithm>
#include <utility>

namespace crossfade::apply {

namespace {

constexpr std::string_view kComponent = "apply.batch";
// What a decoded change takes in memory for each byte of its encoded form, at a guess between long texts (1) and small
// numbers (16): for judging whether one fits.
constexpr uint64_t kDecodedPerEncoded = 4;

// Whether rows of one shape can be read as rows of the other. Widths may differ: the target says whether a value fits.
bool SameShape(const TableSchema& a, const TableSchema& b) {
  return std::equal(a.columns.begin(), a.columns.end(), b.columns.begin(), b.columns.end(),
                    [](const Column& x, const Column& y) {
                      return x.name == y.name && x.type == y.type && x.is_unsigned == y.is_unsigned;
                    });
}

// The most source time from one transaction to a later one. A log with whole seconds does not say when in its second
// the later one was; two of the same second are the same time, for all that it tells.
int64_t LongestSpan(int64_t from_us, int64_t to_us) {
  constexpr int64_t kSecond = 1'000'000;
  const int64_t span = to_us - from_us;
  return span > 0 && to_us % kSecond == 0 ? span + kSecond - 1 : span;
}

}  // namespace

BatchBuilder::BatchBuilder(const RouteSet* routes, const Windows* windows, const BatchLimits& limits, Decode decode)
    : routes_(routes), windows_(windows), limits_(limits), decode_(std::move(decode)) {}

bool BatchBuilder::Fits(const state::TransactionHeader& transaction) const {
  if (transactions_.empty()) {
    return true;
  }
  const int64_t span = LongestSpan(transactions_.front().commit.commit_time_us, transaction.commit.commit_time_us);
  return transactions_.size() < limits_.max_transactions && span <= limits_.max_span_us &&
         bytes_ + transaction.bytes * kDecodedPerEncoded <= limits_.max_bytes &&
         changes_.size() + transaction.changes <= limits_.max_rows;
}

void BatchBuilder::BeginTransaction(const state::TransactionHeader& transaction) {
  transactions_.push_back(transaction);
  bytes_ += sizeof transaction + transaction.commit.position.set.size() + transaction.commit.position.last.size();
}

Status BatchBuilder::Add(state::ChangeBlock block) {
  bytes_ += block.bytes.size();
  const state::ChangeBlock& kept = blocks_.emplace_back(std::move(block));
  const auto decoder = decode_(kept);
  for (;;) {
    const size_t values_before = values_.size();
    state::ChangeDecoder::Decoded decoded;
    CROSSFADE_ASSIGN(const bool more, decoder->Next(&values_, &decoded));
    if (!more) {
      return {};
    }
    const size_t changes_before = changes_.size();
    CROSSFADE_TRY(Collect(decoded));
    if (changes_.size() == changes_before) {
      values_.resize(values_before);
    }
    bytes_ += (values_.size() - values_before) * sizeof(Value) +
              (changes_.size() - changes_before) * (sizeof(PendingChange) + sizeof(RowChange));
  }
}

Result<const AppliedTable*> BatchBuilder::TableOf(const TableSchema* table) {
  if (const auto found = tables_.find(table); found != tables_.end()) {
    return found->second;
  }
  CROSSFADE_ASSIGN(const AppliedTable* made, MakeTable(table));
  tables_[table] = made;
  return made;
}

Result<AppliedTable*> BatchBuilder::MakeTable(const TableSchema* table) {
  const Route* route = routes_->Find(table->name);
  if (route == nullptr) {
    return nullptr;
  }
  if (!SameShape(*table, route->source)) {
    auto error =
        MakeError(ErrorClass::kData, "CF1514", kComponent,
                  "table {} in the log has other columns than the table that was copied", table->QualifiedName());
    error.value().object = table->QualifiedName();
    error.value().fix = "copy the table again";
    return error;
  }
  std::unique_ptr<AppliedTable>& made = by_route_[route];
  if (made) {
    return made.get();
  }
  made = std::make_unique<AppliedTable>();
  made->route = route;
  made->windows = windows_->Find(table->name);
  made->columns = static_cast<uint32_t>(route->source.columns.size());
  made->index = static_cast<uint32_t>(by_route_.size() - 1);
  for (const Key& key : route->source.keys) {
    std::vector<uint32_t> columns;
    for (const KeyPart& part : key.parts) {
      columns.push_back(part.column);
    }
    if (key.unique && columns != route->key) {
      made->unique_keys.push_back(std::move(columns));
    }
  }
  return made.get();
}

Status BatchBuilder::Collect(const state::ChangeDecoder::Decoded& decoded) {
  CROSSFADE_ASSIGN(const AppliedTable* table, TableOf(decoded.table));
  if (table == nullptr) {
    if ((decoded.flags & kEndOfStatement) != 0) {
      EndStatement();
    }
    return {};
  }
  PendingChange change;
  change.table = table;
  change.kind = decoded.kind;
  change.flags = decoded.flags;
  change.transaction = static_cast<uint32_t>(transactions_.size() - 1);
  change.seq = transactions_.back().seq;
  CROSSFADE_TRY(CheckImages(*table, decoded, &change));
  const size_t had = changes_.size();
  CROSSFADE_TRY(CollectJudged(change));
  if (changes_.size() == had && (decoded.flags & kEndOfStatement) != 0) {
    EndStatement();
  }
  return {};
}

// The statement's last row is not ours to write, but ends the statement all the same.
void BatchBuilder::EndStatement() {
  if (!changes_.empty() && changes_.back().transaction + 1 == transactions_.size()) {
    changes_.back().flags |= kEndOfStatement;
  }
}

Status BatchBuilder::CheckImages(const AppliedTable& table, const state::ChangeDecoder::Decoded& decoded,
                                 PendingChange* change) const {
  const Route& route = *table.route;
  const bool may_lack = route.identity != RowIdentity::kWholeRow && route.source.columns[route.key.front()].of_postgres;
  if (decoded.kind == ChangeKind::kUpdate || decoded.kind == ChangeKind::kDelete) {
    CROSSFADE_TRY(CheckImage(table, may_lack ? route.key : route.columns, decoded.before, decoded.before_count));
    change->before = static_cast<uint32_t>(decoded.before);
  }
  if (decoded.kind == ChangeKind::kUpdate || decoded.kind == ChangeKind::kInsert) {
    const bool update = decoded.kind == ChangeKind::kUpdate;
    CROSSFADE_TRY(
        CheckImage(table, may_lack && update ? route.key : route.columns, decoded.after, decoded.after_count));
    change->after = static_cast<uint32_t>(decoded.after);
    change->partial = update && !HasAll(table, decoded.after);
  }
  return {};
}

bool BatchBuilder::HasAll(const AppliedTable& table, size_t at) const {
  const std::vector<uint32_t>& columns = table.route->columns;
  return std::none_of(columns.begin(), columns.end(),
                      [&](uint32_t column) { return values_[at + column].is_absent(); });
}

Status BatchBuilder::CheckImage(const AppliedTable& table, const std::vector<uint32_t>& columns, size_t at,
                                size_t count) const {
  const TableSchema& source = table.route->source;
  const bool complete = count == table.columns && at + count <= values_.size();
  for (const uint32_t column : columns) {
    if (complete && !values_[at + column].is_absent()) {
      continue;
    }
    auto error = MakeError(ErrorClass::kData, "CF1513", kComponent, "Seq {}: a row image of {} lacks column {}",
                           transactions_.back().seq.value, source.QualifiedName(), source.columns[column].name);
    error.value().object = source.QualifiedName();
    error.value().fix =
        source.columns[column].of_postgres
            ? fmt::format("ALTER TABLE {} REPLICA IDENTITY FULL on the source, and copy again", source.name)
            : "SET GLOBAL binlog_row_image = FULL on the source, reconnect its clients, and copy again";
    return error;
  }
  return {};
}

Result<Verdict> BatchBuilder::Judge(const AppliedTable& table, uint32_t image, Seq seq) const {
  if (table.windows == nullptr || table.windows->AllStrict(seq)) {
    return Verdict::kStrict;
  }
  const TableSchema& source = table.route->source;
  const Value key = source.primary_key.empty() ? Value::Absent() : values_[image + source.primary_key.front().column];
  CROSSFADE_ASSIGN(const Verdict verdict, table.windows->Decide(key, seq));
  if (verdict == Verdict::kFuzzy && table.route->identity == RowIdentity::kWholeRow) {
    return MakeError(ErrorClass::kCorrupt, "CF1522", kComponent,
                     "Seq {} lies within the window of a chunk of {}, which has no key", seq.value,
                     source.QualifiedName());
  }
  return verdict;
}

// A row whose key moves from one chunk to another is deleted in the one and inserted in the other, each in its own
// window.
Status BatchBuilder::CollectJudged(const PendingChange& change) {
  if (change.kind == ChangeKind::kTruncate) {
    const TableWindows* windows = change.table->windows;
    if (windows == nullptr || windows->Truncated(change.seq)) {
      changes_.push_back(change);
    }
    return {};
  }
  if (change.kind != ChangeKind::kUpdate) {
    const uint32_t image = change.kind == ChangeKind::kInsert ? change.after : change.before;
    CROSSFADE_ASSIGN(const Verdict verdict, Judge(*change.table, image, change.seq));
    return CollectPart(change, verdict);
  }
  CROSSFADE_ASSIGN(const Verdict old_verdict, Judge(*change.table, change.before, change.seq));
  CROSSFADE_ASSIGN(const Verdict new_verdict, Judge(*change.table, change.after, change.seq));
  if (old_verdict == new_verdict && (old_verdict == Verdict::kStrict || SameKey(change, values_))) {
    return CollectPart(change, old_verdict);
  }
  if (change.partial && new_verdict != Verdict::kSkip) {
    const std::string& table = change.table->route->source.name;
    auto error =
        MakeError(ErrorClass::kData, "CF1524", kComponent,
                  "Seq {}: a row of {} moves into another chunk's window, and the log does not hold all of its "
                  "values",
                  change.seq.value, table);
    error.value().object = table;
    error.value().fix = fmt::format(
        "'crossfade abort', then ALTER TABLE {} REPLICA IDENTITY FULL on the source, or snapshot.mode = \"consistent\"",
        table);
    return error;
  }
  PendingChange part = change;
  part.kind = ChangeKind::kDelete;
  part.after = kNoImage;
  part.flags &= static_cast<uint8_t>(~kEndOfStatement);
  CROSSFADE_TRY(CollectPart(part, old_verdict));
  part = change;
  part.kind = ChangeKind::kInsert;
  part.before = kNoImage;
  return CollectPart(part, new_verdict);
}

Status BatchBuilder::CollectPart(const PendingChange& change, Verdict verdict) {
  if (verdict != Verdict::kSkip) {
    changes_.push_back(change);
    changes_.back().lenient = verdict == Verdict::kFuzzy;
  }
  return {};
}

std::vector<Step> BatchBuilder::Folded() {
  fold_.Begin(values_);
  uint32_t transaction = 0;
  for (const PendingChange& change : changes_) {
    if (change.transaction != transaction) {
      fold_.EndTransaction();
      transaction = change.transaction;
    }
    fold_.Add(change);
  }
  return fold_.Finish();
}

std::vector<Step> BatchBuilder::Exact(size_t first, size_t end, const Exceptions& exceptions,
                                      std::vector<size_t>* changes) {
  std::vector<Step> steps;
  std::vector<size_t> held;
  for (size_t i = 0; i < changes_.size(); ++i) {
    const PendingChange& change = changes_[i];
    if (change.transaction < first || change.transaction >= end) {
      continue;
    }
    if ((change.flags & kCascaded) != 0) {
      held.push_back(i);
    } else {
      PushExact(change, i, exceptions, &steps, changes);
    }
    const bool last = i + 1 == changes_.size() || changes_[i + 1].transaction != change.transaction;
    if (last || (change.flags & kEndOfStatement) != 0) {
      for (const size_t index : held) {
        PushExact(changes_[index], index, exceptions, &steps, changes);
      }
      held.clear();
    }
  }
  return steps;
}

void BatchBuilder::PushExact(const PendingChange& change, size_t index, const Exceptions& exceptions,
                             std::vector<Step>* steps, std::vector<size_t>* changes) const {
  Step step;
  step.route = change.table->route;
  step.kind = KindOf(change);
  step.without_actions = WithoutActions(change) || (exceptions.spare_checks && UnseenByForeignKeys(change, values_));
  const auto found = exceptions.tolerated.find(dropped_ + index);
  if (found != exceptions.tolerated.end()) {
    if (found->second == Tolerance::kSkip) {
      return;
    }
    if (change.kind == ChangeKind::kUpdate && !SameKey(change, values_)) {
      Step old_row = step;
      old_row.kind = StepKind::kDeleteIfThere;
      old_row.rows.push_back(ImagesOf(change, values_));
      steps->push_back(std::move(old_row));
      changes->push_back(index);
    }
    step.kind = change.kind == ChangeKind::kDelete ? StepKind::kDeleteIfThere : StepKind::kUpsert;
  }
  if (change.kind == ChangeKind::kTruncate) {
    if (change.table->windows != nullptr) {
      step.ranges = change.table->windows->Truncated(change.seq).value_or(std::vector<ChunkRange>());
    }
  } else {
    step.rows.push_back(ImagesOf(change, values_));
  }
  steps->push_back(std::move(step));
  changes->push_back(index);
}

void BatchBuilder::Clear() {
  ClearRows();
  transactions_.clear();
  dropped_ = 0;
}

void BatchBuilder::ClearRows() {
  dropped_ += changes_.size();
  changes_.clear();
  values_.clear();
  blocks_.clear();
  bytes_ = 0;
}

}  // namespace crossfade::apply
