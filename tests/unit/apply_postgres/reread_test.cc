// A large transaction is read a second time when its rows were refused; by then the journal may have lost it.
#include <gtest/gtest.h>

#include <deque>

#include "apply/applier.h"
#include "session_fixture.h"

namespace crossfade::apply {
namespace {

using Cell = ::crossfade::Value;

// A journal whose second read finds nothing any more.
class ForgetfulJournal final : public state::Journal {
 public:
  explicit ForgetfulJournal(state::Journal* journal) : journal_(journal) {}

  std::string id() const override { return journal_->id(); }
  Status Initialize(const Position& start, Seq before_first) override {
    return journal_->Initialize(start, before_first);
  }
  bool initialized() const override { return journal_->initialized(); }
  state::Tail tail() const override { return journal_->tail(); }
  Status Refresh() override { return journal_->Refresh(); }
  state::JournalWriter& writer() override { return journal_->writer(); }
  Result<std::unique_ptr<state::JournalReader>> Read(Seq after) override {
    return journal_->Read(reads_++ == 0 ? after : journal_->tail().seq);
  }
  Status Pin(const std::string& holder, Seq applied) override { return journal_->Pin(holder, applied); }
  void Keep(Seq) override {}
  Status Trim() override { return journal_->Trim(); }
  state::JournalStats stats() const override { return journal_->stats(); }
  Status Verify() override { return journal_->Verify(); }
  Result<Seq> PrefixWithin(const Position& position, const PositionOrder& order) override {
    return journal_->PrefixWithin(position, order);
  }
  Status PutRecord(const std::string& key, std::string_view value) override { return journal_->PutRecord(key, value); }
  Result<std::optional<std::string>> GetRecord(const std::string& key) override { return journal_->GetRecord(key); }
  Status DeleteRecords(const std::string& prefix) override { return journal_->DeleteRecords(prefix); }
  Result<std::vector<std::pair<std::string, std::string>>> ListRecords(const std::string& prefix) override {
    return journal_->ListRecords(prefix);
  }
  const TableSchema* FindTable(uint32_t number) const override { return journal_->FindTable(number); }

 private:
  state::Journal* journal_;
  int reads_ = 0;
};

class RereadTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (!IsSkipped()) {
      MakeTables({MakeTable("t", {IntColumn("id", false), TextColumn("note")}, {"id"})});
    }
  }
};

TEST_F(RereadTest, ATransactionThatTheJournalLostIsNotHalfApplied) {
  OpenJournal();
  Sql("INSERT INTO t VALUES ('acme', 150, 'stranger')");
  std::deque<std::vector<Cell>> images;
  std::vector<Change> changes;
  for (int64_t id = 0; id < 300; ++id) {
    const auto& after = images.emplace_back(
        std::vector<Cell>{Cell::Int(id), Cell::OfBytes(ValueKind::kText, "some text to fill a part")});
    changes.push_back({.table = &tables_[0], .kind = ChangeKind::kInsert, .flags = kEndOfStatement, .after = after});
  }
  Append(changes);
  Check(journal_->writer().Sync());
  ForgetfulJournal forgetful(journal_.get());
  ApplierOptions options;
  options.limits.max_bytes = 4000;
  options.on_divergence = OnDivergence::kRepair;
  options.last = journal_->tail().seq;
  const Windows windows;
  auto session = Open();
  const auto lost = Applier(&forgetful, &routes_, &windows, session.get(), options).Run(Seq{0}, {});
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, "CF1523");
  EXPECT_EQ(lost.error().error_class, ErrorClass::kCorrupt);
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE tenant_id = 'acme'"), "1");
  EXPECT_EQ(Value("SELECT count(*) FROM crossfade.progress WHERE low > 0"), "0");

  auto again = Open();
  ASSERT_TRUE(Applier(journal_.get(), &routes_, &windows, again.get(), options).Run(Seq{0}, {}));
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE tenant_id = 'acme'"), "300");
}

}  // namespace
}  // namespace crossfade::apply
