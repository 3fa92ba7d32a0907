#include "apply/window.h"

#include <filesystem>

#include "changes.h"

namespace crossfade::apply {
namespace {

Verdict At(const Windows& windows, const Value& key, uint64_t seq) {
  return Get(windows.Find("t")->Decide(key, Seq{seq}));
}

TEST(Windows, WithoutChunksAllIsStrict) {
  const Windows windows;
  EXPECT_EQ(windows.Find("t"), nullptr);
  EXPECT_EQ(windows.MaxHigh(), Seq{0});
}

TEST(Windows, EachChunkHasItsOwn) {
  const Windows windows({{"t", {100, std::nullopt}, Seq{5}, Seq{9}},
                         {"t", {std::nullopt, 0}, Seq{1}, Seq{2}},
                         {"t", {0, 100}, Seq{3}, Seq{3}}});
  EXPECT_EQ(windows.MaxHigh(), Seq{9});
  EXPECT_EQ(At(windows, Value::Int(-1), 1), Verdict::kSkip);
  EXPECT_EQ(At(windows, Value::Int(-1), 2), Verdict::kFuzzy);
  EXPECT_EQ(At(windows, Value::Int(-1), 3), Verdict::kStrict);
  EXPECT_EQ(At(windows, Value::Int(0), 3), Verdict::kSkip);
  EXPECT_EQ(At(windows, Value::Int(99), 4), Verdict::kStrict);
  EXPECT_EQ(At(windows, Value::Int(100), 6), Verdict::kFuzzy);
  EXPECT_EQ(At(windows, Value::Int(100), 10), Verdict::kStrict);
  EXPECT_FALSE(windows.Find("t")->AllStrict(Seq{9}));
  EXPECT_TRUE(windows.Find("t")->AllStrict(Seq{10}));
}

TEST(Windows, OneWindowNeedsNoKeyThatCanBeNumbered) {
  const Windows windows({{"t", {}, Seq{5}, Seq{5}}});
  EXPECT_EQ(At(windows, Value::OfBytes(ValueKind::kText, "x"), 5), Verdict::kSkip);
  EXPECT_EQ(At(windows, Value::Absent(), 6), Verdict::kStrict);
  const Windows two({{"t", {std::nullopt, 0}, Seq{1}, Seq{2}}, {"t", {0, std::nullopt}, Seq{3}, Seq{3}}});
  EXPECT_EQ(CodeOf(two.Find("t")->Decide(Value::OfBytes(ValueKind::kText, "x"), Seq{1})), "CF1521");
}

TEST(Windows, UnsignedKeysAreInOrder) {
  const auto ordinal = [](uint64_t value) { return *KeyOrdinal(Value::Uint(value)); };
  const Windows windows({{"t", {std::nullopt, ordinal(uint64_t{1} << 63)}, Seq{1}, Seq{1}},
                         {"t", {ordinal(uint64_t{1} << 63), std::nullopt}, Seq{2}, Seq{2}}});
  EXPECT_EQ(At(windows, Value::Uint(5), 2), Verdict::kStrict);
  EXPECT_EQ(At(windows, Value::Uint(~uint64_t{0}), 2), Verdict::kSkip);
}

Position PositionOf(uint64_t number) {
  Position position;
  position.server = "test";
  position.file = "binlog.000001";
  position.offset = number;
  return position;
}

class OffsetOrder final : public PositionOrder {
 public:
  Result<bool> Contains(const Position& upto, const Position& transaction) const override {
    return upto.offset >= transaction.offset;
  }
};

TEST(Windows, MarksBecomeSeqsOnceTheJournalHasReachedThem) {
  std::string directory = (std::filesystem::temp_directory_path() / "crossfade_window_XXXXXX").string();
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  {
    state::JournalOptions options;
    options.directory = directory;
    const auto journal = Get(state::Journal::Open(options));
    ASSERT_TRUE(journal->Initialize(PositionOf(100), Seq{0}));
    const TableSchema table = MakeTable("t", {"id"}, {"id"});
    for (uint64_t i = 1; i <= 5; ++i) {
      const std::vector<Value> row = Image({static_cast<int64_t>(i)});
      Change change;
      change.table = &table;
      change.after = row;
      state::CommitInfo commit;
      commit.position = PositionOf(100 + 10 * i);
      ASSERT_TRUE(journal->writer().Begin());
      ASSERT_TRUE(journal->writer().Add(change));
      ASSERT_TRUE(journal->writer().Commit(commit));
    }
    ASSERT_TRUE(journal->writer().Sync());
    ChunkMark mark;
    mark.table = "t";
    mark.low = PositionOf(125);
    mark.high = PositionOf(140);
    const Windows windows = Get(Windows::FromMarks({mark}, journal.get(), OffsetOrder()));
    EXPECT_EQ(At(windows, Value::Int(1), 2), Verdict::kSkip);
    EXPECT_EQ(At(windows, Value::Int(1), 3), Verdict::kFuzzy);
    EXPECT_EQ(At(windows, Value::Int(1), 4), Verdict::kFuzzy);
    EXPECT_EQ(At(windows, Value::Int(1), 5), Verdict::kStrict);
    mark.high = PositionOf(151);
    EXPECT_EQ(CodeOf(Windows::FromMarks({mark}, journal.get(), OffsetOrder())), "CF1520");
    ASSERT_TRUE(journal->writer().Advance(PositionOf(160)));
    ASSERT_TRUE(journal->writer().Sync());
    EXPECT_EQ(Get(Windows::FromMarks({mark}, journal.get(), OffsetOrder())).MaxHigh(), Seq{5});
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace crossfade::apply
