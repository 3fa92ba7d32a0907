#include "verify/behind.h"

#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

namespace crossfade::verify {

namespace {

class KeyReader {
 public:
  KeyReader(std::span<const ComparedTable* const> tables, KeysByTable* keys) : keys_(keys) {
    for (const ComparedTable* table : tables) {
      by_name_[table->route().source.name] = table;
    }
  }

  Status Take(const state::ChangeDecoder::Decoded& change, std::span<const Value> values) {
    const auto found = by_name_.find(change.table->name);
    if (found == by_name_.end() || change.table->columns.size() != found->second->route().source.columns.size()) {
      return {};
    }
    CROSSFADE_TRY(TakeImage(*found->second, values.subspan(change.before, change.before_count)));
    return TakeImage(*found->second, values.subspan(change.after, change.after_count));
  }

  uint64_t count() const { return count_; }

 private:
  Status TakeImage(const ComparedTable& table, std::span<const Value> row) {
    if (row.empty()) {
      return {};
    }
    CROSSFADE_TRY(table.form().FieldsOf(row, &fields_));
    table.KeyOf(fields_, &key_);
    count_ += (*keys_)[&table].insert(key_).second ? 1 : 0;
    return {};
  }

  std::map<std::string, const ComparedTable*, std::less<>> by_name_;
  KeysByTable* keys_;
  uint64_t count_ = 0;
  std::string fields_;
  std::string key_;
};

}  // namespace

Result<bool> ReadKeysBehind(std::span<const ComparedTable* const> tables, state::Journal* journal, Seq after,
                            uint64_t max_keys, KeysByTable* keys) {
  CROSSFADE_TRY(journal->Refresh());
  const Seq upto = journal->tail().seq;
  if (upto <= after) {
    return true;
  }
  KeyReader takes(tables, keys);
  CROSSFADE_ASSIGN(const std::unique_ptr<state::JournalReader> reader, journal->Read(after));
  std::vector<Value> values;
  for (;;) {
    CROSSFADE_ASSIGN(const auto transaction, reader->NextTransaction(std::chrono::steady_clock::now()));
    if (!transaction || transaction->seq > upto) {
      return true;
    }
    for (;;) {
      CROSSFADE_ASSIGN(const std::optional<state::ChangeBlock> block, reader->NextBlock());
      if (!block) {
        break;
      }
      const std::unique_ptr<state::ChangeDecoder> decoder = state::DecodeBlock(*journal, *block);
      state::ChangeDecoder::Decoded change;
      for (;;) {
        values.clear();
        CROSSFADE_ASSIGN(const bool more, decoder->Next(&values, &change));
        if (!more) {
          break;
        }
        CROSSFADE_TRY(takes.Take(change, values));
      }
      if (takes.count() >= max_keys) {
        return false;
      }
    }
  }
}

}  // namespace crossfade::verify
