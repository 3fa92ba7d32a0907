#include "verify/passage.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace crossfade::verify {

namespace {

// One transaction's or block's changes, looked through for the keys asked for.
class PassageReader {
 public:
  PassageReader(const ComparedTable& table, const apply::RouteSet& routes, Passages* passages)
      : table_(table), routes_(routes), passages_(passages) {}

  // Of the transaction whose changes come next.
  void set_seen(bool seen) { seen_ = seen; }
  // False: it cannot be told what happened.
  Result<bool> Take(const state::ChangeDecoder::Decoded& change, const std::vector<Value>& values) {
    if (MayActUnseen(change, values)) {
      return false;
    }
    if (change.table->name != table_.route().source.name) {
      return true;
    }
    if (change.kind == ChangeKind::kTruncate || change.table->columns.size() != table_.route().source.columns.size()) {
      return false;
    }
    if (change.before_count > 0) {
      CROSSFADE_TRY(Describe({values.data() + change.before, change.before_count}, &before_));
    }
    if (change.after_count > 0) {
      CROSSFADE_TRY(Describe({values.data() + change.after, change.after_count}, &after_));
    }
    if (change.before_count > 0 && change.after_count > 0 && before_.key == after_.key) {
      if (Passage* passage = Find(before_.key)) {
        if (!after_.complete) {
          return false;
        }
        if (before_.complete) {
          passage->KeepFirst(before_.fields);
        }
        passage->Replace(DigestOfImage(before_), after_.digest, seen_);
      }
      return true;
    }
    Passage* left = change.before_count > 0 ? Find(before_.key) : nullptr;
    if (left != nullptr) {
      if (before_.complete) {
        left->KeepFirst(before_.fields);
      }
      left->Leave(DigestOfImage(before_), seen_);
    }
    Passage* entered = change.after_count > 0 ? Find(after_.key) : nullptr;
    if (entered != nullptr) {
      if (!after_.complete) {
        return false;
      }
      entered->Add(after_.digest, true, seen_);
    }
    return true;
  }

 private:
  struct Image {
    std::string fields;
    std::string key;
    Digest digest;
    bool complete = true;  // the log held all of it
  };
  static std::optional<Digest> DigestOfImage(const Image& image) {
    return image.complete ? std::optional(image.digest) : std::nullopt;
  }

  Status Describe(std::span<const Value> row, Image* image) const {
    CROSSFADE_TRY(table_.form().FieldsOf(row, &image->fields));
    table_.KeyOf(image->fields, &image->key);
    image->digest = DigestOf(image->fields);
    const std::vector<uint32_t>& columns = table_.route().columns;
    image->complete =
        std::none_of(columns.begin(), columns.end(), [&](uint32_t column) { return row[column].is_absent(); });
    return {};
  }

  Passage* Find(const std::string& key) {
    const auto found = passages_->find(key);
    return found == passages_->end() ? nullptr : &found->second;
  }

  // Whether the source's engine may have changed rows of our table on account of it, without a word in the log.
  bool MayActUnseen(const state::ChangeDecoder::Decoded& change, const std::vector<Value>& values) const {
    const apply::Route* route = routes_.Find(change.table->name);
    const bool acts = change.kind == ChangeKind::kDelete || change.kind == ChangeKind::kUpdate;
    if (route == nullptr || !acts || (change.flags & kNoForeignKeyChecks) != 0 ||
        !route->cascade_reach.contains(table_.route().source.name)) {
      return false;
    }
    if (change.kind == ChangeKind::kDelete) {
      return route->delete_acts;
    }
    return std::any_of(route->referenced_columns.begin(), route->referenced_columns.end(), [&](uint32_t column) {
      return !Identical(values[change.before + column], values[change.after + column]);
    });
  }

  const ComparedTable& table_;
  const apply::RouteSet& routes_;
  Passages* passages_;
  bool seen_ = false;
  Image before_;
  Image after_;
};

}  // namespace

bool Passage::Explains(const State& source, const State& target, bool counted) const {
  State state = target;
  bool explained = state == source;
  for (const Event& event : events_) {
    if (counted) {
      if (!event.there && state.count == 0) {
        return false;  // the source removed what the target does not have
      }
      state = {event.row, event.there ? state.count + 1 : state.count - 1};
    } else {
      const bool there = state.count > 0;
      if (event.there == there || (there && event.known && event.row != state.row)) {
        return false;  // the source found another row there than the target has
      }
      state = {event.row, event.there ? 1U : 0U};
    }
    explained = (explained && !event.seen) || (event.visible && state == source);
  }
  return explained;
}

std::optional<Passage::State> Passage::Before(const State& source, bool counted) const {
  State before = source;
  if (counted && !events_.empty()) {
    int64_t net = 0;
    for (const Event& event : events_) {
      if (!event.seen) {
        return std::nullopt;
      }
      net += event.there ? 1 : -1;
    }
    if (net > static_cast<int64_t>(source.count)) {
      return std::nullopt;
    }
    before = {events_.front().row, static_cast<uint64_t>(static_cast<int64_t>(source.count) - net)};
  } else if (!events_.empty()) {
    if (!events_.front().there && !events_.front().known) {
      return std::nullopt;
    }
    before = events_.front().there ? State{} : State{events_.front().row, 1};
  }
  return Explains(source, before, counted) ? std::optional(before) : std::nullopt;
}

Result<bool> ReadPassages(const ComparedTable& table, const apply::RouteSet& routes, state::Journal* journal, Seq after,
                          Seq upto, Seq seen, Passages* passages) {
  constexpr std::string_view kTrimmed = "CF1305";
  if (upto <= after) {
    return true;
  }
  auto reader = journal->Read(after);
  if (!reader) {
    return reader.error().code == kTrimmed ? Result<bool>(false) : Fail(std::move(reader.error()));
  }
  PassageReader takes(table, routes, passages);
  std::vector<Value> values;
  for (;;) {
    auto transaction = (*reader)->NextTransaction(std::chrono::steady_clock::now());
    if (!transaction && transaction.error().code == kTrimmed) {
      return false;
    }
    CROSSFADE_TRY(transaction);
    if (!*transaction || (*transaction)->seq > upto) {
      return true;
    }
    takes.set_seen((*transaction)->seq <= seen);
    for (;;) {
      CROSSFADE_ASSIGN(const std::optional<state::ChangeBlock> block, (*reader)->NextBlock());
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
        CROSSFADE_ASSIGN(const bool told, takes.Take(change, values));
        if (!told) {
          return false;
        }
      }
    }
  }
}

}  // namespace crossfade::verify
