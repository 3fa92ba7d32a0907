#include "state/journal_listing.h"

#include <gtest/gtest.h>

#include <sstream>

#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {
namespace {

class JournalListingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    JournalWriter& writer = journal_->writer();
    Check(AppendOne(writer, table_, 1, "first"));
    const Value before[] = {Value::Int(1), Value::OfBytes(ValueKind::kText, "first"), Value::Null()};
    const Value after[] = {Value::Int(1), Value::OfBytes(ValueKind::kText, "a\"b\n\xff"), Value::Null()};
    const Value absent[] = {Value::Int(1), Value::Absent(), Value::Null()};
    Check(writer.Begin());
    Check(writer.Add({.table = &table_, .kind = ChangeKind::kUpdate, .before = before, .after = after}));
    Check(writer.Add(
        {.table = &table_, .kind = ChangeKind::kDelete, .flags = kCascaded | kNoForeignKeyChecks, .before = absent}));
    Check(writer.Add({.table = &table_, .kind = ChangeKind::kTruncate}));
    Check(writer.Commit(MakeCommit(2)));
    Check(writer.Sync());
  }

  std::string Text(uint64_t from, size_t limit, bool decode) {
    std::ostringstream out;
    Check(ListJournal(*journal_, Seq{from}, limit, decode, out));
    return out.str();
  }

  std::string Json(bool decode) {
    std::ostringstream out;
    Check(ListJournalJson(*journal_, Seq{2}, 10, decode, out));
    return out.str();
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Journal> journal_ = OpenJournal(OptionsFor(directory_.path()));
  const TableSchema table_ = MakeTable("t");
};

TEST_F(JournalListingTest, OneLinePerTransaction) {
  const std::string text = Text(0, 100, false);
  EXPECT_TRUE(text.starts_with("1  1970-01-01 00:00:01.000000Z  0-1-1 (binlog.000001:1)  1 change, ")) << text;
  EXPECT_NE(text.find("\n2  1970-01-01 00:00:02.000000Z  0-1-2 (binlog.000001:2)  3 changes, "), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST_F(JournalListingTest, FromAndLimit) {
  EXPECT_TRUE(Text(2, 100, false).starts_with("2  "));
  EXPECT_EQ(Text(0, 1, false).find("\n2 "), std::string::npos);
  EXPECT_EQ(Text(3, 100, false), "");
  EXPECT_EQ(Text(0, 0, false), "");
}

TEST_F(JournalListingTest, ChangesAreDecoded) {
  const std::string text = Text(0, 100, true);
  EXPECT_NE(text.find("\n    insert shop.t id=1 name='first' note=NULL\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n    update shop.t id=1: name 'first' -> 'a\"b \xff'\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n    delete shop.t id=1 note=NULL (no foreign key checks) (cascaded)\n"), std::string::npos);
  EXPECT_NE(text.find("\n    truncate shop.t\n"), std::string::npos);
}

TEST_F(JournalListingTest, JsonIsOneObjectPerLine) {
  const std::string head = Json(false);
  EXPECT_TRUE(head.starts_with(R"({"seq":2,"commit_time":"1970-01-01 00:00:02.000000Z","arrival_time":)")) << head;
  EXPECT_NE(head.find(R"("position":{"server":"1@localhost:3306","set":"0-1-2","last":"0-1-2","file":"binlog.000001",)"
                      R"("offset":2},"changes":3,"bytes":)"),
            std::string::npos);
  const std::string all = Json(true);
  EXPECT_NE(all.find(R"({"seq":2,"kind":"update","table":"shop.t","flags":[],)"
                     R"("before":{"id":"1","name":"first","note":null},)"
                     R"("after":{"id":"1","name":"a\"b\u000a\ufffd","note":null}})"),
            std::string::npos)
      << all;
  EXPECT_NE(all.find(R"("flags":["no foreign key checks","cascaded"],"before":{"id":"1","note":null}})"),
            std::string::npos);
}

TEST_F(JournalListingTest, BeginsWithTheOldestKept) {
  Check(journal_->Pin("apply", Seq{1}));
  Check(journal_->Trim());
  EXPECT_TRUE(Text(0, 100, false).starts_with("2  "));
}

}  // namespace
}  // namespace crossfade::state
