#include "verify/touched.h"

#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is of POSIX

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/bytes.h"
#include "verify/check_state.h"
#include "verify/look.h"
#include "verify/moved.h"

namespace crossfade::verify {
namespace {

// Every column is a number; its field is the number as text.
class NumbersForm : public apply::RowForm {
 public:
  Status FieldsOf(std::span<const Value> row, std::string* out) const override {
    out->clear();
    ByteWriter writer(out);
    for (const Value& value : row) {
      if (value.is_null()) {
        writer.BigEndianU32(~uint32_t{0});
        continue;
      }
      const std::string text = std::to_string(value.i);
      writer.BigEndianU32(static_cast<uint32_t>(text.size()));
      writer.Bytes(text);
    }
    return {};
  }
  Status ValuesOf(std::span<const uint32_t>, std::span<const std::string_view>, std::vector<std::string>*,
                  std::vector<Value>*) const override {
    return {};
  }
};

class NumbersTarget : public apply::RowReader {
 public:
  Result<std::unique_ptr<apply::RowForm>> FormOf(const apply::Route&) override {
    return std::make_unique<NumbersForm>();
  }
  Result<apply::TargetState> ReadState() override { return apply::TargetState{}; }
  Result<apply::Progress> BeginState() override { return apply::Progress{}; }
  void EndState() override {}
  Status ReadRange(const apply::Route&, const ChunkRange&, const FieldsSink&) override { return {}; }
  Status ReadKeys(const apply::Route&, std::span<const std::string>, const FieldsSink&) override { return {}; }
  Status ReadVersions(const apply::Route&, std::span<const std::string>, const VersionSink&) override { return {}; }
  Result<std::optional<uint32_t>> LastOwnTransaction() override { return std::nullopt; }
  Status ReadBy(const apply::Route&, std::span<const uint32_t>, std::span<const std::string>,
                const FieldsSink&) override {
    return {};
  }
  Status ReadPage(const apply::Route&, std::string_view, uint64_t, const FieldsSink&) override { return {}; }
  void Cancel() override {}
};

TableSchema Table(const std::string& name, const std::vector<std::string>& columns, bool key = true) {
  TableSchema table;
  table.database = "shop";
  table.name = name;
  table.engine = "InnoDB";
  for (const std::string& column : columns) {
    table.columns.push_back({.name = column, .bits = 32});
  }
  if (key) {
    table.primary_key = {{.column = 0}};
    table.columns[0].nullable = false;
  }
  return table;
}

ForeignKey Reference(const std::string& parent, const std::string& column, ReferenceAction on_delete,
                     ReferenceAction on_update) {
  return {"fk", {1}, parent, {column}, on_delete, on_update};
}

std::string Key(int64_t number) {
  std::string key;
  (void)NumbersForm().FieldsOf(std::vector<Value>{Value::Int(number)}, &key);
  return key;
}

class TouchedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "crossfade-touched-XXXXXX").string();
    directory_ = ::mkdtemp(path.data());
    journal_ = *state::Journal::Open({.directory = directory_ + "/journal"});
    ASSERT_TRUE(journal_->Initialize(At(0), Seq{0}));
    parent_ = Table("parent", {"id", "code"});
    moved_ = Table("moved", {"id", "parent", "v"});
    moved_.foreign_keys = {Reference("parent", "code", ReferenceAction::kNoAction, ReferenceAction::kCascade)};
    deleted_ = Table("deleted", {"id", "parent", "v"});
    deleted_.foreign_keys = {Reference("parent", "id", ReferenceAction::kCascade, ReferenceAction::kNoAction)};
    below_ = Table("below", {"id", "deleted"});
    below_.foreign_keys = {Reference("deleted", "id", ReferenceAction::kCascade, ReferenceAction::kNoAction)};
    loose_ = Table("loose", {"id", "parent"});
    loose_.foreign_keys = {Reference("parent", "id", ReferenceAction::kSetNull, ReferenceAction::kNoAction)};
    keyless_ = Table("keyless", {"a", "b"}, false);
    Route({parent_, moved_, deleted_, below_, loose_, keyless_});
  }
  void Route(const std::vector<TableSchema>& tables) {
    tables_.reset();
    routes_ = *apply::RouteSet::Make(tables, {});
    tables_ = *ComparedTables::Make(routes_, &target_);
  }
  void TearDown() override {
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }

  static Position At(uint64_t number) {
    Position position;
    position.file = "binlog.000001";
    position.offset = number;
    return position;
  }
  using Image = std::vector<Value>;
  static Image Row(std::initializer_list<int64_t> numbers) {
    Image row;
    for (const int64_t number : numbers) {
      row.push_back(Value::Int(number));
    }
    return row;
  }
  struct Written {
    const TableSchema* table;
    Image before;
    Image after;
    uint8_t flags = 0;
  };
  void Commit(const std::vector<Written>& changes) {
    state::JournalWriter& writer = journal_->writer();
    ASSERT_TRUE(writer.Begin());
    for (const Written& one : changes) {
      Change change{one.table, ChangeKind::kUpdate, one.flags, one.before, one.after};
      change.kind = one.before.empty() && one.after.empty() ? ChangeKind::kTruncate
                    : one.before.empty()                    ? ChangeKind::kInsert
                    : one.after.empty()                     ? ChangeKind::kDelete
                                                            : ChangeKind::kUpdate;
      ASSERT_TRUE(writer.Add(change));
    }
    ASSERT_TRUE(writer.Commit({.position = At(++commits_)}));
    ASSERT_TRUE(writer.Sync());
  }
  Touched Collect(Seq after = {}) {
    Touched touched;
    TouchedReader reader(tables_.get(), journal_.get());
    EXPECT_TRUE(reader.Open(after));
    EXPECT_TRUE(*reader.Collect(Seq{commits_}, {}, &touched));
    EXPECT_EQ(reader.collected(), Seq{commits_});
    return touched;
  }
  const TouchedRows& Of(const Touched& touched, const std::string& table) const {
    static const TouchedRows none;
    const auto found = touched.rows().find(tables_->Find(table));
    return found == touched.rows().end() ? none : found->second;
  }
  static std::set<std::string> Whole(const Touched& touched) {
    std::set<std::string> names;
    for (const auto& [table, why] : touched.whole()) {
      names.insert(table->route().source.name);
    }
    return names;
  }

  std::string directory_;
  std::unique_ptr<state::Journal> journal_;
  TableSchema parent_, moved_, deleted_, below_, loose_, keyless_;
  apply::RouteSet routes_;
  NumbersTarget target_;
  std::unique_ptr<ComparedTables> tables_;
  uint64_t commits_ = 0;
};

TEST_F(TouchedTest, EveryKeyOnceAndBothOfAKeyChange) {
  Commit({{&moved_, {}, Row({1, 0, 0})}, {&moved_, Row({1, 0, 0}), Row({1, 0, 1})}});
  Commit({{&moved_, Row({1, 0, 1}), Row({2, 0, 1})}});
  Commit({{&moved_, Row({3, 0, 1}), {}}});
  EXPECT_EQ(Of(Collect(), "moved").keys, (FieldSet{Key(1), Key(2), Key(3)}));
  EXPECT_EQ(Of(Collect(Seq{2}), "moved").keys, FieldSet{Key(3)});
  EXPECT_TRUE(Collect().whole().empty());
}

TEST_F(TouchedTest, WhatHasNoKeyOrWasTruncatedIsForAWholePass) {
  Commit({{&keyless_, {}, Row({1, 1})}, {&moved_, {}, {}}});
  EXPECT_EQ(Whole(Collect()), (std::set<std::string>{"keyless", "moved"}));
}

TEST_F(TouchedTest, ChildrenAreLookedForByTheOldAndTheNewKey) {
  Commit({{&parent_, Row({1, 10}), Row({1, 11})}});
  const Touched touched = Collect();
  EXPECT_EQ(Of(touched, "moved").by.at({1}), (FieldSet{Key(10), Key(11)}));
  EXPECT_TRUE(Of(touched, "deleted").by.empty());
  EXPECT_TRUE(touched.whole().empty());
}

TEST_F(TouchedTest, WhatAnActionDidToRowsThatCannotBeFoundIsForAWholePass) {
  Commit({{&parent_, Row({1, 10}), {}}});
  const Touched touched = Collect();
  EXPECT_EQ(Of(touched, "deleted").by.at({1}), FieldSet{Key(1)});
  EXPECT_EQ(Whole(touched), (std::set<std::string>{"below", "loose"}));
}

// parent <- moved (ON UPDATE CASCADE), whose new value goes on to tables of which no row can be found by it, and below.
TEST_F(TouchedTest, WhatAHandedOnKeyDidToRowsThatCannotBeFoundIsForAWholePass) {
  const auto cascade = [](const std::string& parent, const std::string& column) {
    return Reference(parent, column, ReferenceAction::kNoAction, ReferenceAction::kCascade);
  };
  TableSchema none = Table("none", {"v", "parent"}, false);
  none.foreign_keys = {cascade("moved", "parent")};
  TableSchema under_none = Table("under_none", {"id", "parent"});
  under_none.foreign_keys = {cascade("none", "parent")};
  TableSchema unset = Table("unset", {"id", "parent"});
  unset.foreign_keys = {Reference("moved", "parent", ReferenceAction::kNoAction, ReferenceAction::kSetNull)};
  TableSchema under_unset = Table("under_unset", {"id", "parent"});
  under_unset.foreign_keys = {cascade("unset", "parent")};
  TableSchema kept = Table("kept", {"id", "parent"});
  kept.foreign_keys = {cascade("moved", "parent")};
  TableSchema under_kept = Table("under_kept", {"v", "parent"}, false);
  under_kept.foreign_keys = {cascade("kept", "parent")};
  TableSchema elsewhere = Table("elsewhere", {"v", "moved"}, false);
  elsewhere.foreign_keys = {cascade("moved", "id")};
  Route({parent_, moved_, none, under_none, unset, under_unset, kept, under_kept, elsewhere});
  Commit({{&parent_, Row({1, 10}), Row({1, 11})}});
  const Touched touched = Collect();
  EXPECT_EQ(Whole(touched), (std::set<std::string>{"none", "under_none", "unset", "under_unset", "under_kept"}));
  EXPECT_EQ(Of(touched, "moved").by.at({1}), (FieldSet{Key(10), Key(11)}));
}

TEST_F(TouchedTest, BelowAChildWithoutAKeyNoRowCanBeFound) {
  TableSchema none = Table("none", {"v", "parent"}, false);
  none.foreign_keys = {Reference("parent", "code", ReferenceAction::kCascade, ReferenceAction::kCascade)};
  TableSchema under = Table("under", {"id", "parent"});
  under.foreign_keys = {Reference("none", "parent", ReferenceAction::kNoAction, ReferenceAction::kCascade)};
  Route({parent_, none, under});
  Commit({{&parent_, Row({1, 10}), Row({1, 11})}});
  EXPECT_EQ(Whole(Collect()), (std::set<std::string>{"none", "under"}));
}

TEST_F(TouchedTest, AKeyThatIsHandedRoundInACircleEnds) {
  TableSchema moved = moved_;
  moved.foreign_keys.push_back(
      {"round", {1}, "moved", {"parent"}, ReferenceAction::kNoAction, ReferenceAction::kCascade});
  Route({parent_, moved});
  Commit({{&parent_, Row({1, 10}), Row({1, 11})}});
  EXPECT_TRUE(Collect().whole().empty());
}

TEST_F(TouchedTest, NothingIsLookedForWhereNoActionWasFired) {
  Commit({{&parent_, Row({1, 10}), {}, kNoForeignKeyChecks}});
  Commit({{&parent_, Row({2, 10}), Row({2, 10})}});
  EXPECT_EQ(Collect().rows().size(), 1u);
  EXPECT_TRUE(Collect().whole().empty());
}

TEST_F(TouchedTest, ALargeTransactionIsCutAndCountsWhenAllOfItWasSeen) {
  std::vector<Written> changes;
  for (int64_t id = 0; id < 1000; ++id) {
    changes.push_back({&moved_, {}, Row({id, 0, 0})});
  }
  Commit(changes);
  Commit({{&moved_, {}, Row({5000, 0, 0})}});
  TouchedReader reader(tables_.get(), journal_.get());
  ASSERT_TRUE(reader.Open(Seq{0}));
  FieldSet all;
  for (int piece = 0; piece < 10; ++piece) {
    Touched touched;
    ASSERT_FALSE(*reader.Collect(Seq{2}, {.max_keys = 100}, &touched));
    EXPECT_EQ(reader.collected(), Seq{0});
    EXPECT_EQ(reader.last(), Seq{1});
    EXPECT_EQ(touched.keys(), 100u);
    all.insert(Of(touched, "moved").keys.begin(), Of(touched, "moved").keys.end());
  }
  Touched touched;
  ASSERT_TRUE(*reader.Collect(Seq{2}, {.max_keys = 100}, &touched));
  EXPECT_EQ(reader.collected(), Seq{2});
  all.insert(Of(touched, "moved").keys.begin(), Of(touched, "moved").keys.end());
  EXPECT_EQ(all.size(), 1001u);
}

TEST_F(TouchedTest, ATrimmedJournalIsSaidToBe) {
  for (int i = 0; i < 3; ++i) {
    Commit({{&moved_, {}, Row({i, 0, 0})}});
  }
  ASSERT_TRUE(journal_->Pin("apply", Seq{2}));
  ASSERT_TRUE(journal_->Trim());
  TouchedReader reader(tables_.get(), journal_.get());
  EXPECT_EQ(reader.Open(Seq{1}).error().code, "CF1305");
  EXPECT_TRUE(reader.Open(Seq{2}));
}

TEST_F(TouchedTest, OnlyKeysThatRowsMovedToAreTaken) {
  MovedRows moved(tables_.get(), journal_.get(), {});
  moved.Begin(Seq{0});
  Commit({{&moved_, {}, Row({1, 0, 0})}, {&moved_, Row({1, 0, 0}), Row({1, 0, 1})}, {&moved_, Row({3, 0, 0}), {}}});
  Commit({{&keyless_, Row({1, 1}), Row({2, 1})}, {&moved_, {}, {}}, {&parent_, Row({7, 10}), {}}});
  EXPECT_TRUE(moved.Follow({})->empty());
  Commit({{&moved_, Row({1, 0, 1}), Row({2, 0, 1})}});
  const std::string noted = *moved.Follow({});
  EXPECT_EQ(moved.followed(), Seq{3});
  EXPECT_EQ(Of(moved.rows(), "moved").keys, FieldSet{Key(2)});
  EXPECT_EQ(Whole(moved.rows()), std::set<std::string>{});
  EXPECT_TRUE(moved.Follow({})->empty());
  MovedRows again(tables_.get(), journal_.get(), {});
  EXPECT_TRUE(again.Add(noted));
  EXPECT_EQ(Of(again.rows(), "moved").keys, FieldSet{Key(2)});
  EXPECT_TRUE(again.Add(again.AddWhole(tables_->Find("below"), "why")));
  EXPECT_EQ(Whole(again.rows()), std::set<std::string>{"below"});
  EXPECT_FALSE(again.Add(noted + "x"));
  EXPECT_FALSE(again.Add(noted.substr(0, noted.size() - 1)));
}

TEST_F(TouchedTest, RowsThatAnActionMovedAreFoundByTheirParentOrAllOfTheTableMoved) {
  TableSchema line = Table("line", {"parent", "line"});
  line.foreign_keys = {{"fk", {0}, "parent", {"code"}, ReferenceAction::kNoAction, ReferenceAction::kCascade}};
  TableSchema deep = Table("deep", {"parent", "v"});
  deep.foreign_keys = {{"fk", {0}, "moved", {"parent"}, ReferenceAction::kNoAction, ReferenceAction::kCascade}};
  TableSchema none = Table("none", {"v", "parent"}, false);
  none.foreign_keys = {Reference("deep", "parent", ReferenceAction::kNoAction, ReferenceAction::kCascade)};
  TableSchema value = Table("value", {"id", "parent"});
  value.foreign_keys = {Reference("parent", "code", ReferenceAction::kNoAction, ReferenceAction::kCascade)};
  Route({parent_, moved_, line, deep, none, value});
  Commit({{&parent_, Row({1, 10}), Row({1, 11})}});
  MovedRows moved(tables_.get(), journal_.get(), {});
  ASSERT_TRUE(moved.Follow({}));
  EXPECT_EQ(Of(moved.rows(), "line").by.at({0}), FieldSet{Key(11)});
  EXPECT_EQ(Of(moved.rows(), "moved").by.at({1}), FieldSet{Key(11)});
  EXPECT_TRUE(Of(moved.rows(), "value").by.empty());
  EXPECT_TRUE(Of(moved.rows(), "parent").keys.empty());
  EXPECT_EQ(Whole(moved.rows()), std::set<std::string>{"none"});
}

TEST_F(TouchedTest, MoreMovedRowsThanAreKeptAreSaidToBe) {
  for (int64_t id = 0; id < 10; ++id) {
    Commit({{&moved_, Row({id, 0, 0}), Row({id + 100, 0, 0})}});
  }
  MovedRows moved(tables_.get(), journal_.get(), {.max_keys = 4});
  ASSERT_TRUE(moved.Follow({}));
  EXPECT_EQ(moved.followed(), Seq{10});
  EXPECT_EQ(moved.rows().keys(), 4u);
  EXPECT_EQ(Whole(moved.rows()), std::set<std::string>{"moved"});
  ASSERT_TRUE(journal_->Pin("apply", Seq{8}));
  ASSERT_TRUE(journal_->Trim());
  moved.Begin(Seq{3});
  EXPECT_EQ(moved.Follow({}).error().code, "CF1305");
}

class EmptySource : public snapshot::Reader {
 public:
  Status EndSnapshot() override { return {}; }
  Result<Window> OpenSnapshot() override { return Window{}; }
  Result<Position> OpenExactSnapshot() override { return Position{}; }
  Status Read(const TableSchema&, const ChunkRange&, const RowSink&) override { return {}; }
  Status ReadKeys(const TableSchema&, std::span<const uint32_t>, std::span<const std::vector<Value>>,
                  const RowSink&) override {
    return {};
  }
  Status ReadPage(const TableSchema&, std::span<const uint32_t>, std::span<const Value>, uint64_t,
                  const RowSink&) override {
    return {};
  }
  void Interrupt() override {}
};

class NoOrder : public PositionOrder {
 public:
  Result<bool> Contains(const Position&, const Position&) const override { return false; }
};

TEST_F(TouchedTest, ASideThatDoesNotShowWhatIsToBeComparedIsNotCompared) {
  Sides sides;
  sides.source = std::make_unique<EmptySource>();
  sides.target = std::make_unique<NumbersTarget>();
  Touched touched;
  touched.AddKey(tables_->Find("moved"), Key(1));
  snapshot::CopyLimits pressure;
  const auto behind = Look(*tables_, touched, {Seq{5}, {}}, sides, NoOrder(), &pressure, {}, {});
  EXPECT_EQ(behind.error().code, "CF1820");
  EXPECT_NE(behind.error().message.find("target"), std::string::npos);
  const auto hidden = Look(*tables_, touched, {Seq{0}, At(7)}, sides, NoOrder(), &pressure, {}, {});
  EXPECT_EQ(hidden.error().code, "CF1820");
  EXPECT_NE(hidden.error().message.find("source"), std::string::npos);
  const auto looked = Look(*tables_, touched, {Seq{0}, {}}, sides, NoOrder(), &pressure, {}, {});
  EXPECT_TRUE(looked->unequal.empty());
  EXPECT_EQ(looked->rows, 1u);
}

TEST(CheckStateTest, ComesBackAsItWas) {
  CheckState state;
  state.chain = 3;
  state.checked = Seq{812};
  state.open[{"t", std::string("\0\0\0\1x", 5)}] = true;
  state.open[{"t", "y"}] = false;
  state.waiting["u"] = "TRUNCATE";
  EXPECT_EQ(*CheckState::Decode(state.Encode()), state);
  state.full = FullPass{1, 2, 3, 4, 5};
  EXPECT_EQ(*CheckState::Decode(state.Encode()), state);
  EXPECT_EQ(state.different(), 1u);
  const std::string bytes = state.Encode();
  EXPECT_EQ(CheckState::Decode(bytes + "x").error().code, "CF1821");
  EXPECT_EQ(CheckState::Decode(bytes.substr(0, bytes.size() - 1)).error().code, "CF1821");
  EXPECT_EQ(CheckState::Decode("").error().code, "CF1821");
}

}  // namespace
}  // namespace crossfade::verify
