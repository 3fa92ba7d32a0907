#include "verify/look.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>

#include "core/clock.h"

namespace crossfade::verify {

namespace {

constexpr size_t kKeysAtOnce = 500;    // MariaDB makes a join of a list of 1000
constexpr size_t kTuplesAtOnce = 250;  // of several columns: a server takes longer to plan for them
constexpr std::chrono::milliseconds kPatience{2000};
constexpr std::chrono::milliseconds kLookEvery{3};

using Rows = std::unordered_map<std::string, Digest>;
using ByColumns = std::map<std::vector<uint32_t>, FieldSet>;
using ChildLooks = std::map<const ComparedTable*, ByColumns>;

// What one side has shown.
struct Side {
  std::map<const ComparedTable*, Rows> rows;      // asked for by key
  std::map<const ComparedTable*, Rows> children;  // found otherwise
  ChildLooks further;                             // what the children that were found lead to
  uint64_t found_children = 0;
};

// Reads the rows that have one of the tuples in `columns`.
using ReadRows = std::function<Status(const ComparedTable&, const std::vector<uint32_t>& columns,
                                      std::span<const std::string> tuples, const RowSink&)>;

class Looker {
 public:
  Looker(const ComparedTables& tables, const Touched& touched, const Sides& sides, snapshot::CopyLimits* pressure,
         const LookLimits& limits, const std::stop_token& stop)
      : tables_(tables), touched_(touched), sides_(sides), pressure_(pressure), limits_(limits), stop_(stop) {}

  Result<Looked> Run(const PositionOrder& order, const ShownUpto& upto) {
    CROSSFADE_TRY(Both([&] { return OpenSource(order, upto); }, [&] { return OpenTarget(upto.seq); }));
    Status read = Both([&] { return ReadKeys(&source_, Source()); }, [&] { return ReadKeys(&target_, Target()); });
    ChildLooks looks;
    for (const auto& [table, rows] : touched_.rows()) {
      if (!rows.by.empty()) {
        looks[table] = rows.by;
      }
    }
    while (read && !looks.empty()) {
      read = Both([&] { return ReadChildren(looks, &source_, Source()); },
                  [&] { return ReadChildren(looks, &target_, Target()); });
      Remember(looks);
      looks = NewLooks();
    }
    sides_.target->EndState();
    CROSSFADE_TRY(read);
    return Compared();
  }

 private:
  static Status Both(const std::function<Status()>& source, const std::function<Status()>& target) {
    Status of_source;
    Status of_target;
    {
      const std::jthread reading([&] { of_source = source(); });
      of_target = target();
    }
    return of_source ? of_target : of_source;
  }

  Status Behind(std::string_view side, Seq upto) const {
    if (stop_.stop_requested()) {
      return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
    }
    return MakeError(ErrorClass::kTransient, "CF1820", "verify", "the {} does not show seq {}, which was applied", side,
                     upto.value);
  }

  Status OpenTarget(Seq upto) {
    const Deadline give_up = After(kPatience);
    for (;;) {
      CROSSFADE_ASSIGN(const apply::Progress applied, sides_.target->BeginState());
      if (applied.low >= upto) {
        return {};
      }
      if (std::chrono::steady_clock::now() >= give_up || stop_.stop_requested()) {
        return Behind("target", upto);
      }
      std::this_thread::sleep_for(kLookEvery);
    }
  }

  // A commit is in the log, and with us, a little before others can see it on the source.
  Status OpenSource(const PositionOrder& order, const ShownUpto& upto) {
    const Deadline give_up = After(kPatience);
    Position all = upto.position;
    all.last.clear();  // not this transaction alone
    for (;;) {
      CROSSFADE_ASSIGN(const snapshot::Reader::Window window, sides_.source->OpenSnapshot());
      if (all.empty()) {
        return {};
      }
      CROSSFADE_ASSIGN(const bool seen, order.Contains(window.low, all));
      if (seen) {
        return {};
      }
      if (std::chrono::steady_clock::now() >= give_up || stop_.stop_requested()) {
        return Behind("source", upto.seq);
      }
      std::this_thread::sleep_for(kLookEvery);
    }
  }

  ReadRows Source() {
    return [this](const ComparedTable& table, const std::vector<uint32_t>& columns, std::span<const std::string> tuples,
                  const RowSink& sink) -> Status {
      if (!pressure_->Admit(tuples.size(), stop_)) {
        return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
      }
      return ReadSourceBy(table, columns, tuples, sides_.source.get(), sink);
    };
  }

  ReadRows Target() {
    return [this](const ComparedTable& table, const std::vector<uint32_t>& columns, std::span<const std::string> tuples,
                  const RowSink& sink) -> Status {
      if (stop_.stop_requested()) {
        return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
      }
      std::string key;
      return sides_.target->ReadBy(table.route(), columns, tuples, [&](apply::Fields row) {
        table.KeyOf(row, &key);
        return sink({}, DigestOf(row), key, row);
      });
    };
  }

  static Status InPieces(const ComparedTable& table, const std::vector<uint32_t>& columns, const FieldSet& tuples,
                         const ReadRows& read, const RowSink& sink) {
    const std::vector<std::string> all(tuples.begin(), tuples.end());
    const size_t at_once = columns.size() == 1 ? kKeysAtOnce : kTuplesAtOnce;
    for (size_t begin = 0; begin < all.size(); begin += at_once) {
      const std::span piece(all.data() + begin, std::min(at_once, all.size() - begin));
      CROSSFADE_TRY(read(table, columns, piece, sink));
    }
    return {};
  }

  Status ReadKeys(Side* side, const ReadRows& read) const {
    for (const auto& [table, touched] : touched_.rows()) {
      Rows& rows = side->rows[table];
      rows.reserve(touched.keys.size());
      std::string wanted;
      const FieldSet& keys = touched.keys;
      const RowSink keep = [&](const Digest&, const Digest& digest, std::string_view key, apply::Fields) -> Status {
        wanted = key;
        if (keys.contains(wanted)) {
          rows[wanted] = digest;
        }
        return {};
      };
      CROSSFADE_TRY(InPieces(*table, table->route().key, keys, read, keep));
    }
    return {};
  }

  Status ReadChildren(const ChildLooks& looks, Side* side, const ReadRows& read) const {
    for (const auto& [table, by] : looks) {
      for (const auto& [columns, tuples] : by) {
        const RowSink keep = [&](const Digest&, const Digest& digest, std::string_view key, apply::Fields row) {
          if (++side->found_children <= limits_.max_children) {
            side->children[table].insert_or_assign(std::string(key), digest);
            NoteFurther(*table, columns, row, side);
          }
          return Status{};
        };
        CROSSFADE_TRY(InPieces(*table, columns, tuples, read, keep));
      }
    }
    return {};
  }

  // A child's new value in the columns of its foreign key may have been handed on. Where it led to rows that cannot be
  // found by it, TouchedReader has put their table on the list.
  void NoteFurther(const ComparedTable& table, const std::vector<uint32_t>& columns, apply::Fields row,
                   Side* side) const {
    std::string values;
    for (const ChildKey& key : tables_.children_of(table)) {
      const bool handed_on = key.on_update != ReferenceAction::kNoAction &&
                             std::any_of(key.parent_columns.begin(), key.parent_columns.end(), [&](uint32_t column) {
                               return std::find(columns.begin(), columns.end(), column) != columns.end();
                             });
      if (handed_on && !key.child->whole_row() && ReferredFields(row, key.parent_places, &values)) {
        side->further[key.child][key.columns].insert(values);
      }
    }
  }

  void Remember(const ChildLooks& looks) {
    for (const auto& [table, by] : looks) {
      for (const auto& [columns, tuples] : by) {
        looked_for_[table][columns].insert(tuples.begin(), tuples.end());
      }
    }
  }

  ChildLooks NewLooks() {
    ChildLooks looks;
    for (Side* side : {&source_, &target_}) {
      for (const auto& [table, by] : std::exchange(side->further, {})) {
        for (const auto& [columns, tuples] : by) {
          for (const std::string& tuple : tuples) {
            if (!looked_for_[table][columns].contains(tuple)) {
              looks[table][columns].insert(tuple);
            }
          }
        }
      }
    }
    return looks;
  }

  // Keys under which the two sides do not hold the same row, each once.
  static void Unequal(const Rows& source, const Rows& target, FieldSet* keys) {
    for (const auto& [key, digest] : source) {
      const auto there = target.find(key);
      if (there == target.end() || there->second != digest) {
        keys->insert(key);
      }
    }
    for (const auto& [key, digest] : target) {
      if (!source.contains(key)) {
        keys->insert(key);
      }
    }
  }

  Looked Compared() {
    Looked looked;
    const bool too_many = std::max(source_.found_children, target_.found_children) > limits_.max_children;
    for (const auto& [table, touched] : touched_.rows()) {
      looked.rows += touched.keys.size();
      FieldSet keys;
      Unequal(source_.rows[table], target_.rows[table], &keys);
      looked.unequal[table].assign(keys.begin(), keys.end());
    }
    for (const auto& [table, by] : looked_for_) {
      if (too_many) {
        looked.whole[table] = "very many of its rows refer to rows that were changed";
        continue;
      }
      FieldSet keys;
      Unequal(source_.children[table], target_.children[table], &keys);
      looked.rows += source_.children[table].size();
      std::vector<std::string>& unequal = looked.unequal[table];
      const FieldSet known(unequal.begin(), unequal.end());
      std::copy_if(keys.begin(), keys.end(), std::back_inserter(unequal),
                   [&](const std::string& key) { return !known.contains(key); });
    }
    std::erase_if(looked.unequal, [](const auto& table) { return table.second.empty(); });
    return looked;
  }

  const ComparedTables& tables_;
  const Touched& touched_;
  const Sides& sides_;
  snapshot::CopyLimits* pressure_;
  const LookLimits limits_;
  const std::stop_token stop_;
  Side source_;
  Side target_;
  ChildLooks looked_for_;
};

}  // namespace

Result<Looked> Look(const ComparedTables& tables, const Touched& touched, const ShownUpto& upto, const Sides& sides,
                    const PositionOrder& order, snapshot::CopyLimits* pressure, const LookLimits& limits,
                    const std::stop_token& stop) {
  return Looker(tables, touched, sides, pressure, limits, stop).Run(order, upto);
}

}  // namespace crossfade::verify
