// What the journal says that happened to single rows between two states.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/seq.h"
#include "state/journal.h"
#include "verify/digest.h"
#include "verify/sides.h"

namespace crossfade::verify {

// The states of one key, in the order in which the source passed through them.
class Passage {
 public:
  // A row came to be, or ceased to be, under the key.
  // `seen`: the source's read certainly saw it, and so no state before it. A row that ceased to be may be any: the log
  // need not hold more of it than its key.
  void Add(const Digest& row, bool there, bool seen = false) { events_.push_back({row, there, true, seen, true}); }
  void Leave(const std::optional<Digest>& row, bool seen = false) {
    events_.push_back({row.value_or(Digest()), false, true, seen, row.has_value()});
  }
  void Replace(const std::optional<Digest>& before, const Digest& after, bool seen = false) {
    events_.push_back({before.value_or(Digest()), false, false, seen, before.has_value()});
    Add(after, true, seen);
  }

  // What a side holds under the key.
  struct State {
    Digest row;
    uint64_t count = 0;
    friend bool operator==(const State& a, const State& b) {
      return a.count == b.count && (a.count == 0 || a.row == b.row);
    }
  };
  // Whether the target's state before all of it and the source's state somewhere behind fit together. `counted`: the
  // key is the whole row, of which there may be many.
  bool Explains(const State& source, const State& target, bool counted) const;

  // The source's state before all of it, of what it showed somewhere behind. None if the two do not fit together, or,
  // of a counted key, if it cannot be told which changes the source had shown.
  std::optional<State> Before(const State& source, bool counted) const;
  bool empty() const { return events_.empty(); }
  // The fields of the row that the first of it removed or changed.
  void KeepFirst(std::string_view fields) {
    if (events_.empty()) {
      first_ = fields;
    }
  }
  const std::string& first() const { return first_; }

 private:
  struct Event {
    Digest row;
    bool there;
    bool visible;  // whether anybody can see the state behind it
    bool seen;
    bool known;  // which row it was
  };
  std::vector<Event> events_;
  std::string first_;
};

// Fills the passages of the keys asked for from the transactions behind `after`, up to and with `upto`; the source's
// read saw all up to `seen`. False if some of it cannot be told row by row: a TRUNCATE, the action of a foreign key
// that the log does not show, or transactions that are not in the journal any more.
using Passages = std::map<std::string, Passage, std::less<>>;
Result<bool> ReadPassages(const ComparedTable& table, const apply::RouteSet& routes, state::Journal* journal, Seq after,
                          Seq upto, Seq seen, Passages* passages);

}  // namespace crossfade::verify
