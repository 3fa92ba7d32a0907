// Random transactions on a few keys, applied with random batch cuts: the target ends as the source did.
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "apply/applier.h"
#include "session_fixture.h"
#include "session_model.h"

namespace crossfade::apply {

namespace {

constexpr size_t kTransactions = 250;

std::vector<TableSchema> AllTables() {
  using enum ReferenceAction;
  std::vector<TableSchema> tables;
  tables.push_back(MakeTable("parent", {IntColumn("id"), TextColumn("u"), IntColumn("x")}, {"id"}));
  AddUnique(&tables.back(), {"u"});
  tables.push_back(MakeTable("child", {IntColumn("id"), IntColumn("pid"), TextColumn("v")}, {"id"}));
  AddForeignKey(&tables.back(), "pid", "parent", "id", kCascade, kCascade);
  // Its key holds its parent's, and it is a parent itself.
  tables.push_back(MakeTable("line", {IntColumn("pid"), IntColumn("n"), TextColumn("v")}, {"pid", "n"}));
  AddForeignKey(&tables.back(), "pid", "parent", "id", kCascade, kCascade);
  tables.push_back(MakeTable("grandchild", {IntColumn("id"), IntColumn("cid"), IntColumn("rid")}, {"id"}));
  AddForeignKey(&tables.back(), "cid", "child", "id", kSetNull, kNoAction);
  AddForeignKey(&tables.back(), "rid", "parent", "id", kNoAction, kNoAction);
  tables.push_back(MakeTable("node", {IntColumn("id"), IntColumn("up"), TextColumn("v")}, {"id"}));
  AddForeignKey(&tables.back(), "up", "node", "id", kCascade, kNoAction);
  tables.push_back(MakeTable("pair", {IntColumn("a"), TextColumn("b"), IntColumn("u"), TextColumn("v")}, {"a", "b"}));
  AddUnique(&tables.back(), {"u"});
  AddUnique(&tables.back(), {"v", "a"});
  tables.push_back(MakeTable("code", {TextColumn("code", false), IntColumn("v")}, {}));
  AddUnique(&tables.back(), {"code"});
  tables.push_back(MakeTable("heap", {IntColumn("a"), TextColumn("b")}, {}));
  tables.push_back(MakeTable("leaf", {IntColumn("pid"), TextColumn("b")}, {}));
  AddForeignKey(&tables.back(), "pid", "parent", "id", kCascade, kCascade);
  return tables;
}

// Without foreign keys, so that a chunked copy with open windows is allowed.
std::vector<TableSchema> LooseTables() {
  std::vector<TableSchema> tables;
  tables.push_back(MakeTable("wide", {IntColumn("id"), TextColumn("u"), IntColumn("x")}, {"id"}));
  AddUnique(&tables.back(), {"u"});
  tables.push_back(MakeTable("pair", {IntColumn("a"), TextColumn("b"), IntColumn("u")}, {"a", "b"}));
  AddUnique(&tables.back(), {"u"});
  tables.push_back(MakeTable("code", {TextColumn("code", false), IntColumn("v")}, {}));
  AddUnique(&tables.back(), {"code"});
  return tables;
}

class RandomTest : public SessionTest {
 protected:
  static size_t Seeds(size_t usual) {
    const char* text = std::getenv("CROSSFADE_TEST_SEEDS");
    return text == nullptr ? usual : std::strtoul(text, nullptr, 10);
  }
  static uint64_t FirstSeed() {
    const char* text = std::getenv("CROSSFADE_TEST_FIRST_SEED");
    return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
  }

  void AppendLogged(const LoggedTransaction& transaction) {
    std::vector<std::vector<::crossfade::Value>> images;
    std::vector<Change> changes;
    for (const LoggedChange& logged : transaction) {
      const auto image = [&](const Row& row) {
        auto& values = images.emplace_back();
        for (const Cell& cell : row) {
          values.push_back(ValueOf(cell));
        }
        return std::span<const ::crossfade::Value>(values);
      };
      Change change;
      change.table = logged.table;
      change.kind = logged.kind;
      change.flags = logged.flags;
      change.before = image(logged.before);
      change.after = image(logged.after);
      changes.push_back(change);
    }
    if (std::getenv("CROSSFADE_TEST_VERBOSE") != nullptr) {
      for (const LoggedChange& logged : transaction) {
        std::cout << "Seq " << commits_ + 1 << " " << logged.table->name << " kind "
                  << int{static_cast<uint8_t>(logged.kind)} << " flags " << int{logged.flags} << ": "
                  << LineOf(logged.before) << " -> " << LineOf(logged.after) << "\n";
      }
    }
    Append(changes);
  }

  void ExpectEqual(const SourceModel& model) {
    for (size_t i = 0; i < tables_.size(); ++i) {
      std::string columns;
      for (const Column& column : tables_[i].columns) {
        columns += (columns.empty() ? "\"" : ", \"") + column.name + "\"";
      }
      auto lines = Lines("SELECT " + columns + " FROM \"" + tables_[i].name + "\" WHERE tenant_id = 'acme'");
      std::sort(lines.begin(), lines.end());
      EXPECT_EQ(model.Lines(i), lines) << tables_[i].name;
    }
  }

  ApplierOptions RandomOptions(std::mt19937_64* random) {
    ApplierOptions options;
    options.limits.max_rows = 1 + (*random)() % ((*random)() % 2 == 0 ? 20 : 500);
    options.limits.max_transactions = 1 + (*random)() % 100;
    options.limits.max_bytes = 1000 + (*random)() % 100'000;
    return options;
  }

  // Applies everything up to `last`.
  void Apply(const Windows& windows, Seq from, Seq last, std::mt19937_64* random) {
    auto session = Open();
    ApplierOptions options = RandomOptions(random);
    options.last = last;
    Applier applier(journal_.get(), &routes_, &windows, session.get(), options);
    const auto ended = applier.Run(from, {});
    ASSERT_TRUE(ended) << ended.error().ToString();
    EXPECT_EQ(applier.progress().divergences, 0U);
    unfolded_ += applier.progress().unfolded_batches;
    batches_ += applier.progress().batches;
  }

  void StartOver() {
    journal_.reset();
    if (!directory_.empty()) {
      std::filesystem::remove_all(directory_);
    }
    OpenJournal();
    commits_ = 0;
    Sql("DELETE FROM crossfade.progress");
    std::string names;
    for (const TableSchema& table : tables_) {
      names += (names.empty() ? "\"" : ", \"") + table.name + "\"";
    }
    Sql("TRUNCATE " + names);
  }

  void RunStrict(bool logs_cascades, RandomWorkload::Mix mix) {
    MakeTables(AllTables());
    for (size_t i = 0; i < Seeds(2); ++i) {
      const uint64_t seed = FirstSeed() + i;
      SCOPED_TRACE("seed " + std::to_string(seed));
      StartOver();
      SourceModel model(&tables_, logs_cascades);
      RandomWorkload workload(&model, &tables_, seed, mix);
      for (size_t t = 0; t < kTransactions; ++t) {
        AppendLogged(workload.Next());
      }
      Check(journal_->writer().Sync());
      std::mt19937_64 random(seed);
      const Seq middle{1 + random() % kTransactions};
      Apply({}, Seq{0}, middle, &random);
      if (!HasFatalFailure()) {
        Apply({}, middle, journal_->tail().seq, &random);
      }
      ExpectEqual(model);
      if (HasFailure()) {
        return;
      }
    }
    std::cout << batches_ << " batches, " << unfolded_ << " of them written again in the source's order\n";
  }

  uint64_t unfolded_ = 0;
  uint64_t batches_ = 0;
};

}  // namespace

TEST_F(RandomTest, CascadesByTheTarget) { RunStrict(false, {}); }

TEST_F(RandomTest, CascadesInTheLog) { RunStrict(true, {}); }

TEST_F(RandomTest, UncheckedStatementsAndTruncate) { RunStrict(false, {.unchecked = true, .truncate = true}); }

// Chunks read at different times, each with a window around its own; unique keys are made when all are closed.
TEST_F(RandomTest, ChunkWindows) {
  MakeTables(LooseTables(), false);
  for (size_t i = 0; i < Seeds(4); ++i) {
    const uint64_t seed = FirstSeed() + i;
    SCOPED_TRACE("seed " + std::to_string(seed));
    StartOver();
    for (const std::string& index : Lines("SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_class c ON"
                                          " c.oid = i.indrelid WHERE NOT indisprimary AND"
                                          " relnamespace = 'public'::regnamespace")) {
      Sql("DROP INDEX " + index);
    }
    std::mt19937_64 random(seed);
    SourceModel model(&tables_, false);
    RandomWorkload workload(&model, &tables_, seed, {.truncate = true, .keys = 12});
    struct Plan {
      ChunkWindow window;
      Seq read;
      size_t table;
    };
    std::vector<Plan> plans;
    const auto plan = [&](size_t table, ChunkRange range) {
      const Seq low{random() % 150};
      const Seq high{low.value + random() % 60};
      const Seq read{low.value + random() % (high.value - low.value + 1)};
      plans.push_back({{tables_[table].name, range, low, high}, read, table});
    };
    plan(0, {std::nullopt, 3});
    plan(0, {3, 7});
    plan(0, {7, std::nullopt});
    plan(1, {std::nullopt, 6});
    plan(1, {6, std::nullopt});
    plan(2, {});
    for (uint64_t seq = 0; seq <= kTransactions; ++seq) {
      if (seq > 0) {
        AppendLogged(workload.Next());
      }
      for (const Plan& chunk : plans) {
        for (const Row& row : model.rows(chunk.table)) {
          const auto ordinal = KeyOrdinal(ValueOf(row[0]));
          if (chunk.read.value == seq && (chunk.window.range.whole() || chunk.window.range.Holds(*ordinal))) {
            std::string values = "'acme'";
            for (const Cell& cell : row) {
              const auto* text = std::get_if<std::string>(&cell);
              values += ", " + (text != nullptr ? sql_->Literal(*text) : LineOf({cell}));
            }
            Sql("INSERT INTO \"" + tables_[chunk.table].name + "\" VALUES (" + values + ")");
          }
        }
      }
    }
    Check(journal_->writer().Sync());
    std::vector<ChunkWindow> chunks;
    for (const Plan& chunk : plans) {
      chunks.push_back(chunk.window);
    }
    const Windows windows(chunks);
    const Seq closed = windows.MaxHigh();
    if (closed.value > 0) {
      Apply(windows, Seq{0}, closed, &random);
    }
    MakeKeys();
    if (!HasFailure()) {
      Apply(windows, closed, journal_->tail().seq, &random);
    }
    ExpectEqual(model);
    if (HasFailure()) {
      return;
    }
  }
}

}  // namespace crossfade::apply
