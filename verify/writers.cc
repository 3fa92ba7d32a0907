#include "verify/writers.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "verify/own_transactions.h"
#include "verify/passage.h"

namespace crossfade::verify {

namespace {

constexpr uint32_t kFirstNormal = 3;  // below it are numbers that mean "long ago"
constexpr size_t kKeysAtOnce = 256;

class WriterFinder {
 public:
  WriterFinder(const ComparedTable& table, const apply::RouteSet& routes, apply::RowReader* target,
               state::Journal* journal, std::span<const Landmark> landmarks)
      : table_(table), routes_(routes), target_(target), journal_(journal), landmarks_(landmarks) {}

  Status Find(std::span<Difference> differences) {
    std::map<std::string, Difference*, std::less<>> by_key;
    std::vector<std::string> keys;
    for (Difference& difference : differences) {
      if (difference.target_count > 0) {
        by_key[difference.key] = &difference;
        keys.push_back(difference.key);
      }
    }
    if (keys.empty()) {
      return {};
    }
    CROSSFADE_ASSIGN(const apply::Progress applied, target_->BeginState());
    const Status read = ReadState(keys, by_key);
    target_->EndState();
    CROSSFADE_TRY(read);
    if (!last_own_) {
      return {};
    }
    for (auto& [key, difference] : by_key) {
      const uint32_t transaction = difference->writer.transaction;
      difference->writer.foreign = transaction >= kFirstNormal && apply::IsLater(transaction, *last_own_);
    }
    CROSSFADE_TRY(FindByOwn(by_key));
    return FindByLandmarks(applied.low, by_key);
  }

 private:
  using ByKey = std::map<std::string, Difference*, std::less<>>;

  Status ReadState(const std::vector<std::string>& keys, const ByKey& by_key) {
    CROSSFADE_ASSIGN(last_own_, target_->LastOwnTransaction());
    std::string key;
    return target_->ReadVersions(table_.route(), keys, [&](apply::Fields row, const apply::RowVersion& version) {
      table_.KeyOf(row, &key);
      const auto found = by_key.find(key);
      // A row that is another by now says nothing of the one that was found.
      if (found != by_key.end() && found->second->target == row) {
        found->second->writer.transaction = version.transaction;
        found->second->writer.at = version.committed_at;
      }
      return Status();
    });
  }

  // Those between transactions that we have kept as ours.
  Status FindByOwn(const ByKey& by_key) {
    std::vector<uint32_t> transactions;
    for (const auto& [key, difference] : by_key) {
      if (!difference->writer.foreign && difference->writer.transaction >= kFirstNormal) {
        transactions.push_back(difference->writer.transaction);
      }
    }
    CROSSFADE_ASSIGN(const std::set<uint32_t> foreign, NotOurs(journal_, transactions));
    for (const auto& [key, difference] : by_key) {
      difference->writer.foreign = difference->writer.foreign || foreign.contains(difference->writer.transaction);
    }
    return {};
  }

  // The latest mark before each row was written: then the journal must not know of a change of ours behind the mark.
  Status FindByLandmarks(Seq applied, const ByKey& by_key) {
    for (const Landmark& landmark : landmarks_) {
      if (landmark.seq > applied || apply::IsLater(landmark.transaction, *last_own_)) {
        continue;
      }
      Passages passages;
      for (const auto& [key, difference] : by_key) {
        const Writer& writer = difference->writer;
        if (!writer.foreign && writer.transaction >= kFirstNormal &&
            apply::IsLater(writer.transaction, landmark.transaction)) {
          passages.emplace(key, Passage{});
        }
      }
      if (passages.empty()) {
        continue;
      }
      CROSSFADE_ASSIGN(const bool known,
                       ReadPassages(table_, routes_, journal_, landmark.seq, applied, applied, &passages));
      for (const auto& [key, passage] : passages) {
        if (known && passage.empty()) {
          by_key.find(key)->second->writer.foreign = true;
        }
      }
    }
    return {};
  }

  const ComparedTable& table_;
  const apply::RouteSet& routes_;
  apply::RowReader* target_;
  state::Journal* journal_;
  std::span<const Landmark> landmarks_;
  std::optional<uint32_t> last_own_;
};

}  // namespace

Result<std::optional<Landmark>> TakeLandmark(apply::RowReader* target) {
  CROSSFADE_ASSIGN(const apply::Progress applied, target->BeginState());
  auto last = target->LastOwnTransaction();
  target->EndState();
  CROSSFADE_TRY(last);
  return *last ? std::optional(Landmark{applied.low, **last}) : std::nullopt;
}

Status FindWriters(const ComparedTable& table, const apply::RouteSet& routes, apply::RowReader* target,
                   state::Journal* journal, std::span<const Landmark> landmarks, std::span<Difference> differences) {
  if (table.whole_row()) {
    return {};
  }
  WriterFinder finder(table, routes, target, journal, landmarks);
  for (size_t begin = 0; begin < differences.size(); begin += kKeysAtOnce) {
    CROSSFADE_TRY(finder.Find(differences.subspan(begin, std::min(kKeysAtOnce, differences.size() - begin))));
  }
  return {};
}

}  // namespace crossfade::verify
