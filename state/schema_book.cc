#include "state/schema_book.h"

#include <mutex>

#include "core/bytes.h"
#include "state/record.h"

namespace crossfade::state {

namespace {

std::string SchemaKey(uint32_t number) {
  std::string key;
  ByteWriter(&key).BigEndianU32(number);
  return key;
}

}  // namespace

Status SchemaBook::Load(const Store& store) {
  const std::unique_ptr<Cursor> cursor = store.Iterate(Family::kSchema);
  auto number = static_cast<uint32_t>(tables_.size());
  for (bool more = cursor->Seek(number == 0 ? "" : SchemaKey(number + 1)); more; more = cursor->Next()) {
    ++number;
    if (cursor->key() != SchemaKey(number)) {
      return MakeError(ErrorClass::kCorrupt, "CF1304", "state.journal", "table version {} is missing", number);
    }
    const std::string what = fmt::format("table version {}", number);
    CROSSFADE_ASSIGN(const std::string_view payload, Unseal(cursor->key(), cursor->value(), what));
    CROSSFADE_ASSIGN(TableSchema table, TableSchema::Decode(payload));
    Add(number, std::move(table), std::string(payload));
  }
  return cursor->status();
}

void SchemaBook::Add(uint32_t number, TableSchema table, std::string encoded) {
  by_bytes_.emplace(std::move(encoded), number);
  const std::unique_lock lock(mutex_);
  tables_.push_back(std::make_unique<const TableSchema>(std::move(table)));
}

uint32_t SchemaBook::Number(const TableSchema& table, Batch* batch) {
  constexpr size_t kMostHints = 100'000;
  if (by_address_.size() >= kMostHints) {
    by_address_.clear();
  }
  Hint& hint = by_address_[&table];
  if (hint.transaction == transaction_) {
    return hint.number;
  }
  // Since the last transaction the address may have come to stand for another table, or another version of this one.
  // To compare costs some hundred nanoseconds, to encode some microseconds.
  hint.transaction = transaction_;
  if (hint.number != 0 && *tables_[hint.number - 1] == table) {
    return hint.number;
  }
  std::string encoded = table.Encode();
  const auto known = by_bytes_.find(encoded);
  if (known != by_bytes_.end()) {
    return hint.number = known->second;
  }
  hint.number = static_cast<uint32_t>(tables_.size() + 1);
  const std::string key = SchemaKey(hint.number);
  batch->Put(Family::kSchema, key, Sealed(key, encoded));
  Add(hint.number, table, std::move(encoded));
  return hint.number;
}

const TableSchema* SchemaBook::Find(uint32_t number) const {
  const std::shared_lock lock(mutex_);
  return number == 0 || number > tables_.size() ? nullptr : tables_[number - 1].get();
}

}  // namespace crossfade::state
