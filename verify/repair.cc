#include "verify/repair.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace crossfade::verify {

namespace {

constexpr std::string_view kComponent = "verify.repair";
constexpr std::string_view kUniqueViolation = "23505";
constexpr size_t kKeysAtOnce = 256;
constexpr const char* kChanged =
    "the target's row is not the one that was compared any more: somebody else writes to it";

// What a row's statements borrow from.
struct Images {
  std::vector<std::string> before_storage;
  std::vector<std::string> after_storage;
  std::vector<Value> before;  // empty for an insert; else the key, or of a table without one all of it
  std::vector<Value> after;   // empty for a delete
};

class Repairer {
 public:
  Repairer(RepairPlan* plan, const apply::Progress& applied, apply::ApplySession* session)
      : plan_(plan), applied_(applied), session_(session) {}

  Result<uint64_t> Run() {
    for (RowRepair& row : plan_->rows()) {
      Images& images = images_.emplace_back();
      if (const Status made = MakeImages(row, &images); !made) {
        if (made.error().error_class != ErrorClass::kData) {
          return Fail(made.error());
        }
        row.left = made.error().message;
      }
    }
    PartHandedOver();
    // Each turn leaves at least one row out, or parts rows that were not.
    for (;;) {
      CROSSFADE_ASSIGN(const bool done, Attempt());
      if (done) {
        return static_cast<uint64_t>(std::count_if(plan_->rows().begin(), plan_->rows().end(),
                                                   [](const RowRepair& row) { return row.left.empty(); }));
      }
    }
  }

 private:
  static Status MakeImages(const RowRepair& row, Images* images) {
    const ComparedTable& table = *row.table;
    const apply::Route& route = table.route();
    const size_t columns = route.source.columns.size();
    std::vector<std::string_view> parts;
    std::vector<Value> values;
    std::vector<uint32_t> places(route.columns.size());
    for (uint32_t i = 0; i < places.size(); ++i) {
      places[i] = i;
    }
    if (row.kind != RepairKind::kDelete) {
      apply::SplitFields(row.difference.due, &parts);
      CROSSFADE_TRY(table.stored_form().ValuesOf(places, parts, &images->after_storage, &values));
      images->after.assign(columns, Value::Null());
      for (const uint32_t place : places) {
        images->after[route.columns[place]] = values[place];
      }
      std::string again;
      CROSSFADE_TRY(table.stored_form().FieldsOf(images->after, &again));
      if (again != row.difference.due) {
        return MakeError(ErrorClass::kData, "CF1830", kComponent, "a value of the row cannot be given back exactly");
      }
    }
    if (row.kind == RepairKind::kInsert) {
      return {};
    }
    images->before = images->after;
    images->before.resize(columns, Value::Null());
    for (const uint32_t place : row.places) {
      Value& before = images->before[route.columns[place]];
      before = before.is_null() ? Value::Uint(0) : Value::Null();  // any other: this column is to be set
    }
    apply::SplitFields(row.difference.key, &parts);
    const std::vector<uint32_t>& key = table.whole_row() ? places : table.key_places();
    CROSSFADE_TRY(table.stored_form().ValuesOf(key, parts, &images->before_storage, &values));
    for (size_t i = 0; i < key.size(); ++i) {
      images->before[route.columns[key[i]]] = values[i];
    }
    return {};
  }

  // Finds rows that hold a unique value which the plan gives to another.
  void PartHandedOver() {
    std::map<std::pair<const ComparedTable*, std::string>, std::vector<size_t>> holders;
    std::string value;
    for (size_t i = 0; i < plan_->rows().size(); ++i) {
      const RowRepair& row = plan_->rows()[i];
      for (size_t k = 0; row.kind == RepairKind::kUpdate && k < row.table->route().source.keys.size(); ++k) {
        if (UniqueValue(row, k, row.difference.target, &value)) {
          holders[{row.table, value}].push_back(i);
        }
      }
    }
    for (size_t i = 0; i < plan_->rows().size(); ++i) {
      const RowRepair& row = plan_->rows()[i];
      for (size_t k = 0; row.kind != RepairKind::kDelete && k < row.table->route().source.keys.size(); ++k) {
        if (!UniqueValue(row, k, row.difference.due, &value)) {
          continue;
        }
        for (const size_t holder : holders[{row.table, value}]) {
          if (holder != i) {
            Part(&plan_->rows()[holder]);
          }
        }
      }
    }
  }

  // False where the key is no unique one, or has a NULL.
  static bool UniqueValue(const RowRepair& row, size_t key, const std::string& fields, std::string* value) {
    const apply::Route& route = row.table->route();
    const Key& unique = route.source.keys[key];
    if (!unique.unique) {
      return false;
    }
    std::vector<std::string_view> parts;
    apply::SplitFields(fields, &parts);
    std::vector<uint32_t> places;
    for (const KeyPart& part : unique.parts) {
      const auto place = std::find(route.columns.begin(), route.columns.end(), part.column) - route.columns.begin();
      if (static_cast<size_t>(place) >= parts.size() || parts[static_cast<size_t>(place)].data() == nullptr) {
        return false;
      }
      places.push_back(static_cast<uint32_t>(place));
    }
    apply::SelectFields(fields, places, value);
    value->append(std::to_string(key));
    return true;
  }

  // What else stands in the row on the target, in columns that are not ours, is lost then: only where it must be.
  static bool Part(RowRepair* row) {
    return row->kind == RepairKind::kUpdate && !std::exchange(row->in_two_parts, true);
  }

  // True when committed; false when rows were left out, and it is to be tried without them.
  Result<bool> Attempt() {
    MakeSteps();
    if (steps_.empty()) {
      return true;
    }
    CROSSFADE_TRY(session_->Begin(applied_));
    CROSSFADE_ASSIGN(const bool as_it_was, LockAndCompare());
    if (!as_it_was) {
      return false;
    }
    CROSSFADE_ASSIGN(const apply::CommitResult written, session_->Write(steps_));
    if (written.outcome == apply::CommitResult::Outcome::kRejected) {
      CROSSFADE_TRY(LeaveOut(written));
      return false;
    }
    CROSSFADE_ASSIGN(const bool no_orphans, LeaveOrphans());
    if (!no_orphans) {
      return false;
    }
    CROSSFADE_ASSIGN(const apply::CommitResult committed, session_->Finish({}));
    if (committed.outcome == apply::CommitResult::Outcome::kRejected) {
      auto refused = MakeError(ErrorClass::kData, "CF1831", kComponent, "the target refused to commit the repair: {}",
                               committed.error ? committed.error->message : "a constraint");
      refused.value().object = "the repair's transaction";
      refused.value().found = committed.error ? committed.error->server_code : "";
      refused.value().fix = "mend the row that the message names, or drop the constraint on the target; then repeat";
      return refused;
    }
    return true;
  }

  // Children before their parents where rows go, parents before their children where they come.
  void MakeSteps() {
    steps_.clear();
    owners_.clear();
    std::vector<size_t> order;
    for (size_t i = 0; i < plan_->rows().size(); ++i) {
      if (plan_->rows()[i].left.empty()) {
        order.push_back(i);
      }
    }
    const auto rank = [this](size_t i) { return plan_->rows()[i].table->route().rank; };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rank(a) > rank(b); });
    for (const size_t i : order) {
      const RowRepair& row = plan_->rows()[i];
      if (row.kind == RepairKind::kDelete || row.in_two_parts) {
        AddStep(i, apply::StepKind::kDelete);
      }
    }
    const auto inserts = [this](size_t i) {
      return plan_->rows()[i].kind == RepairKind::kInsert || plan_->rows()[i].in_two_parts;
    };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return std::pair(rank(a), inserts(a)) < std::pair(rank(b), inserts(b));
    });
    for (const size_t i : order) {
      if (plan_->rows()[i].kind != RepairKind::kDelete) {
        AddStep(i, inserts(i) ? apply::StepKind::kInsert : apply::StepKind::kUpdate);
      }
    }
  }

  void AddStep(size_t index, apply::StepKind kind) {
    const RowRepair& row = plan_->rows()[index];
    const apply::Route& route = row.table->route();
    const Images& images = images_[index];
    apply::Step step;
    step.route = &row.table->stored_route();
    step.kind = kind;
    // The rows that a foreign key of the target would change are in the plan themselves, or are right: LeaveOrphans.
    step.without_actions = (kind == apply::StepKind::kDelete && route.delete_acts) ||
                           (kind == apply::StepKind::kUpdate && Sets(row, route.referenced_columns));
    apply::RowChange change;
    if (kind != apply::StepKind::kInsert) {
      change.before = images.before;
    }
    if (kind != apply::StepKind::kDelete) {
      change.after = images.after;
    }
    change.seq = applied_.low;
    step.rows.assign(row.copies, change);
    steps_.push_back(std::move(step));
    owners_.push_back(index);
  }

  static bool Sets(const RowRepair& row, const std::set<uint32_t>& columns) {
    return std::any_of(row.places.begin(), row.places.end(),
                       [&](uint32_t place) { return columns.contains(row.table->route().columns[place]); });
  }

  // What is written is there by now, and nobody else can refer to a row that has gone. False if rows are left.
  Result<bool> LeaveOrphans() {
    struct Question {
      const ComparedTable* table;
      bool referred;
      bool unchecked;
      auto operator<=>(const Question&) const = default;
    };
    std::map<Question, std::vector<size_t>> questions;
    for (size_t step = 0; step < steps_.size(); ++step) {
      const size_t i = owners_[step];
      const RowRepair& row = plan_->rows()[i];
      const bool unchecked = steps_[step].without_actions;
      if (steps_[step].kind != apply::StepKind::kInsert) {
        questions[{row.table, true, unchecked}].push_back(i);
      }
      if (steps_[step].kind == apply::StepKind::kInsert || Sets(row, ReferringColumns(row.table->route()))) {
        questions[{row.table, false, unchecked}].push_back(i);
      }
    }
    bool none = true;
    std::vector<std::string_view> rows;
    for (const auto& [question, owners] : questions) {
      rows.clear();
      for (const size_t i : owners) {
        const Difference& difference = plan_->rows()[i].difference;
        rows.emplace_back(question.referred ? difference.target : difference.due);
      }
      const apply::OrphanSearch search{question.referred, question.unchecked, rows};
      CROSSFADE_TRY(session_->FindOrphans(question.table->stored_route(), search,
                                          [&, &of = owners](size_t place, const std::string& reason) -> Status {
                                            plan_->rows()[of[place]].left = reason;
                                            none = false;
                                            return {};
                                          }));
    }
    return none;
  }

  static std::set<uint32_t> ReferringColumns(const apply::Route& route) {
    std::set<uint32_t> columns;
    for (const ForeignKey& key : route.source.foreign_keys) {
      columns.insert(key.columns.begin(), key.columns.end());
    }
    return columns;
  }

  // Nobody can change the rows from here on. False if a row is not as it was.
  Result<bool> LockAndCompare() {
    bool as_it_was = true;
    std::map<const ComparedTable*, std::vector<size_t>> by_table;
    for (size_t i = 0; i < plan_->rows().size(); ++i) {
      const RowRepair& row = plan_->rows()[i];
      if (row.left.empty() && !row.table->whole_row()) {
        by_table[row.table].push_back(i);
      }
    }
    for (const auto& [table, rows] : by_table) {
      for (size_t begin = 0; begin < rows.size(); begin += kKeysAtOnce) {
        const std::span<const size_t> some(rows.data() + begin, std::min(kKeysAtOnce, rows.size() - begin));
        CROSSFADE_ASSIGN(const bool same, LockAndCompare(*table, some));
        as_it_was = as_it_was && same;
      }
    }
    return as_it_was;
  }

  Result<bool> LockAndCompare(const ComparedTable& table, std::span<const size_t> rows) {
    std::vector<std::string> keys;
    for (const size_t i : rows) {
      keys.push_back(plan_->rows()[i].difference.key);
    }
    std::map<std::string, std::string, std::less<>> found;
    std::string key;
    CROSSFADE_TRY(session_->LockRows(table.route(), keys, [&](apply::Fields fields) {
      table.KeyOf(fields, &key);
      found[key] = fields;
      return Status();
    }));
    bool as_it_was = true;
    for (const size_t i : rows) {
      RowRepair& row = plan_->rows()[i];
      const auto there = found.find(row.difference.key);
      const std::string_view now = there == found.end() ? std::string_view() : std::string_view(there->second);
      if (now != row.difference.target) {
        row.left = kChanged;
        as_it_was = false;
      }
    }
    return as_it_was;
  }

  Status LeaveOut(const apply::CommitResult& written) {
    const std::string_view code = written.error ? std::string_view(written.error->server_code) : "";
    if (written.step >= owners_.size()) {
      return Fail(written.error ? *written.error : Error{});
    }
    RowRepair& row = plan_->rows()[owners_[written.step]];
    // The source may call other values equal than we do: once more, with nothing in the way.
    if (code == kUniqueViolation) {
      bool parted = false;
      for (RowRepair& other : plan_->rows()) {
        parted = (other.table == row.table && !other.places.empty() && SetsUnique(other) && Part(&other)) || parted;
      }
      if (parted) {
        return {};
      }
    }
    row.left = written.error ? written.error->message : kChanged;
    return {};
  }

  static bool SetsUnique(const RowRepair& row) {
    const apply::Route& route = row.table->route();
    return std::any_of(route.source.keys.begin(), route.source.keys.end(), [&](const Key& key) {
      return key.unique && std::any_of(key.parts.begin(), key.parts.end(), [&](const KeyPart& part) {
               return std::any_of(row.places.begin(), row.places.end(),
                                  [&](uint32_t place) { return route.columns[place] == part.column; });
             });
    });
  }

  RepairPlan* plan_;
  const apply::Progress& applied_;
  apply::ApplySession* session_;
  std::deque<Images> images_;
  std::vector<apply::Step> steps_;
  std::vector<size_t> owners_;  // the row of each step
};

}  // namespace

Result<uint64_t> Repair(RepairPlan* plan, const apply::Progress& applied, apply::ApplySession* session) {
  return Repairer(plan, applied, session).Run();
}

}  // namespace crossfade::verify
