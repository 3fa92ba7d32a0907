#include "verify/repair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/bytes.h"

namespace crossfade::verify {
namespace {

void AppendPart(const std::string& text, std::string* out) {
  ByteWriter writer(out);
  writer.BigEndianU32(static_cast<uint32_t>(text.size()));
  writer.Bytes(text);
}

std::string Row(const std::string& id, const std::string& text) {
  std::string out;
  AppendPart(id, &out);
  AppendPart(text, &out);
  return out;
}

std::string KeyOf(const std::string& id) {
  std::string out;
  AppendPart(id, &out);
  return out;
}

// Both columns are text; `lossy`: is not given back as it was.
class TextForm : public apply::RowForm {
 public:
  Status FieldsOf(std::span<const Value> row, std::string* out) const override {
    *out = Row(std::string(row[0].bytes), row[1].bytes == "lossy" ? "lost" : std::string(row[1].bytes));
    return {};
  }
  Status ValuesOf(std::span<const uint32_t>, std::span<const std::string_view> parts, std::vector<std::string>*,
                  std::vector<Value>* values) const override {
    values->clear();
    for (const std::string_view part : parts) {
      values->push_back(Value::OfBytes(ValueKind::kText, part));
    }
    return {};
  }
};

class FormsOnly : public apply::RowReader {
 public:
  Result<std::unique_ptr<apply::RowForm>> FormOf(const apply::Route&) override { return std::make_unique<TextForm>(); }
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

// Holds what LockRows is to give, and notes what is written.
class FakeSession : public apply::ApplySession {
 public:
  Result<apply::CommitResult> Commit(const apply::Batch&) override { return apply::CommitResult{}; }
  Status Begin(const apply::Progress&) override { return {}; }
  Result<apply::CommitResult> Write(const std::vector<apply::Step>& steps) override {
    written.clear();
    for (const apply::Step& step : steps) {
      const apply::RowChange& row = step.rows.at(0);
      written.push_back((step.kind == apply::StepKind::kDelete   ? "-"
                         : step.kind == apply::StepKind::kInsert ? "+"
                                                                 : "=") +
                        step.route->source.name + std::string((row.before.empty() ? row.after : row.before)[0].bytes));
    }
    return apply::CommitResult{};
  }
  Result<apply::CommitResult> Finish(const std::vector<apply::Divergence>&) override {
    ++committed;
    return apply::CommitResult{};
  }
  Status LockRows(const apply::Route&, std::span<const std::string>, const RowSink& sink) override {
    for (const std::string& row : rows) {
      CROSSFADE_TRY(sink(row));
    }
    return {};
  }
  Status FindOrphans(const apply::Route& route, const apply::OrphanSearch& search, const OrphanSink& sink) override {
    for (size_t i = 0; i < search.rows.size(); ++i) {
      if (orphans.contains((search.referred ? ">" : "<") + route.source.name + std::string(search.rows[i]))) {
        CROSSFADE_TRY(sink(i, "an orphan"));
      }
    }
    return {};
  }
  void Cancel() override {}

  std::set<std::string> orphans;  // "<c" or ">p", and the row
  std::vector<std::string> rows;
  std::vector<std::string> written;
  int committed = 0;
};

class RepairTest : public ::testing::Test {
 protected:
  RepairTest() {
    Fill("p", 0, &parent_route_);
    Fill("c", 1, &child_route_);
    parent_ = *ComparedTable::Make(parent_route_, &forms_);
    child_ = *ComparedTable::Make(child_route_, &forms_);
  }
  static void Fill(const std::string& name, uint32_t rank, apply::Route* route) {
    route->source.name = name;
    route->source.columns.resize(2);
    route->source.columns[0].name = "id";
    route->source.columns[1].name = "u";
    route->source.keys = {{"u", true, {{1, 0, false}}, ""}};
    route->columns = {0, 1};
    route->key = {0};
    route->rank = rank;
  }
  // Empty: no row.
  void Add(const ComparedTable& table, const std::string& id, const std::string& target, const std::string& due) {
    Difference difference;
    difference.key = KeyOf(id);
    difference.due_known = true;
    if (!target.empty()) {
      difference.target = Row(id, target);
      difference.target_count = 1;
      session_.rows.push_back(difference.target);
    }
    if (!due.empty()) {
      difference.due = Row(id, due);
      difference.due_count = 1;
    }
    plan_.Add(table, difference);
  }
  using Written = std::vector<std::string>;

  FormsOnly forms_;
  apply::Route parent_route_;
  apply::Route child_route_;
  std::unique_ptr<ComparedTable> parent_;
  std::unique_ptr<ComparedTable> child_;
  RepairPlan plan_{10, 1 << 20};
  FakeSession session_;
};

TEST_F(RepairTest, ChildrenGoFirstAndParentsComeFirst) {
  Add(*parent_, "1", "x", "");
  Add(*child_, "2", "x", "");
  Add(*child_, "3", "", "z");
  Add(*child_, "4", "a", "b");
  Add(*parent_, "5", "", "y");
  EXPECT_EQ(*Repair(&plan_, {}, &session_), 5U);
  EXPECT_EQ(session_.written, (Written{"-c2", "-p1", "+p5", "=c4", "+c3"}));
  EXPECT_EQ(session_.committed, 1);
}

TEST_F(RepairTest, RowsThatExchangeUniqueValuesAreWrittenAnew) {
  Add(*parent_, "1", "a", "b");
  Add(*parent_, "2", "b", "a");
  Add(*parent_, "3", "e", "f");
  EXPECT_EQ(*Repair(&plan_, {}, &session_), 3U);
  EXPECT_EQ(session_.written, (Written{"-p1", "-p2", "=p3", "+p1", "+p2"}));
}

TEST_F(RepairTest, WhatCannotBeGivenBackExactlyIsLeft) {  // CF1830
  Add(*parent_, "1", "a", "lossy");
  EXPECT_EQ(*Repair(&plan_, {}, &session_), 0U);
  EXPECT_NE(plan_.rows()[0].left, "");
  EXPECT_EQ(session_.committed, 0);
}

TEST_F(RepairTest, ARowThatIsAnotherByNowIsLeft) {
  Add(*parent_, "1", "a", "b");
  Add(*parent_, "2", "", "c");
  session_.rows = {Row("1", "a"), Row("2", "by somebody")};
  EXPECT_EQ(*Repair(&plan_, {}, &session_), 1U);
  EXPECT_EQ(session_.written, (Written{"=p1"}));
  EXPECT_NE(plan_.rows()[1].left, "");
}

TEST_F(RepairTest, RowsThatWouldBeOrphansOrLeaveSomeAreLeft) {
  Add(*parent_, "1", "x", "");
  Add(*parent_, "2", "y", "");
  Add(*child_, "3", "", "z");
  Add(*child_, "4", "", "w");
  session_.orphans = {">p" + Row("1", "x"), "<c" + Row("3", "z")};
  EXPECT_EQ(*Repair(&plan_, {}, &session_), 2U);
  EXPECT_EQ(session_.written, (Written{"-p2", "+c4"}));
  EXPECT_EQ(plan_.rows()[0].left, "an orphan");
  EXPECT_EQ(plan_.rows()[2].left, "an orphan");
  EXPECT_EQ(session_.committed, 1);
}

TEST_F(RepairTest, ThePlansCutFollowsTheForeignKeys) {
  parent_route_.referenced = true;
  for (int i = 0; i < 8; ++i) {
    Add(*parent_, std::to_string(i), "x", "");  // can go when their children have
  }
  for (int i = 0; i < 4; ++i) {
    Add(*child_, std::to_string(10 + i), "", "x");
  }
  for (int i = 0; i < 3; ++i) {
    Add(*parent_, std::to_string(20 + i), "", "x");
    Add(*child_, std::to_string(30 + i), "x", "");
  }
  EXPECT_EQ(plan_.rows().size(), 10U);
  EXPECT_EQ(plan_.beyond(), 8U);
  EXPECT_FALSE(plan_.Holds(*parent_, KeyOf("0")));
  EXPECT_TRUE(plan_.Holds(*child_, KeyOf("13")));
  EXPECT_EQ(*Repair(&plan_, {}, &session_), 10U);
  std::sort(session_.written.begin(), session_.written.end());
  EXPECT_EQ(session_.written,
            (Written{"+c10", "+c11", "+c12", "+c13", "+p20", "+p21", "+p22", "-c30", "-c31", "-c32"}));
  for (int i = 0; i < 5; ++i) {
    Add(*parent_, std::to_string(40 + i), "", "x");
  }
  EXPECT_EQ(plan_.rows().size(), 10U);
  EXPECT_FALSE(plan_.Holds(*child_, KeyOf("13")));
  EXPECT_TRUE(plan_.Holds(*parent_, KeyOf("43")));
  EXPECT_FALSE(plan_.Holds(*parent_, KeyOf("44")));
}

TEST_F(RepairTest, APlanIsBoundedAndHoldsOnlyWhatIsKnown) {
  for (int i = 0; i < 12; ++i) {
    Add(*parent_, std::to_string(i), "a", "b");
  }
  Difference unknown;
  unknown.key = KeyOf("99");
  plan_.Add(*parent_, unknown);
  EXPECT_EQ(plan_.rows().size(), 10U);
  EXPECT_EQ(plan_.beyond(), 2U);
  EXPECT_EQ(plan_.untold(), 1U);
}

}  // namespace
}  // namespace crossfade::verify
