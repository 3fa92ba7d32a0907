#include "verify/range_compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/bytes.h"

namespace crossfade::verify {
namespace {

using Rows = std::map<int64_t, std::string>;

void AppendField(std::string_view bytes, std::string* out) {
  ByteWriter writer(out);
  writer.BigEndianU32(static_cast<uint32_t>(bytes.size()));
  writer.Bytes(bytes);
}

std::string FieldsOf(int64_t id, std::string_view text) {
  std::string fields;
  AppendField(std::to_string(id), &fields);
  AppendField(text, &fields);
  return fields;
}

class FakeForm : public apply::RowForm {
 public:
  Status FieldsOf(std::span<const Value> row, std::string* out) const override {
    *out = verify::FieldsOf(row[0].i, row[1].bytes);
    return {};
  }
  Status ValuesOf(std::span<const uint32_t>, std::span<const std::string_view>, std::vector<std::string>*,
                  std::vector<Value>*) const override {
    return {};
  }
};

class FakeSource : public snapshot::Reader {
 public:
  explicit FakeSource(const Rows* rows) : rows_(rows) {}
  Status EndSnapshot() override { return {}; }
  Result<Window> OpenSnapshot() override { return Window{}; }
  Result<Position> OpenExactSnapshot() override { return Position{}; }
  Status Read(const TableSchema&, const ChunkRange& range, const RowSink& sink) override {
    for (const auto& [id, text] : *rows_) {
      if (range.Holds(id)) {
        const Value row[] = {Value::Int(id), Value::OfBytes(ValueKind::kText, text)};
        CROSSFADE_TRY(sink(row));
      }
    }
    return {};
  }
  Status ReadKeys(const TableSchema&, std::span<const uint32_t>, std::span<const std::vector<Value>>,
                  const RowSink&) override {
    return {};
  }
  Status ReadPage(const TableSchema&, std::span<const uint32_t>, std::span<const Value>, uint64_t,
                  const RowSink&) override {
    return {};
  }
  void Interrupt() override {}

 private:
  const Rows* rows_;
};

class FakeTarget : public apply::RowReader {
 public:
  explicit FakeTarget(const Rows* rows) : rows_(rows) {}
  Result<std::unique_ptr<apply::RowForm>> FormOf(const apply::Route&) override { return std::make_unique<FakeForm>(); }
  Result<apply::TargetState> ReadState() override { return apply::TargetState{}; }
  Result<apply::Progress> BeginState() override { return apply::Progress{}; }
  void EndState() override {}
  Status ReadRange(const apply::Route&, const ChunkRange& range, const FieldsSink& sink) override {
    ++reads;
    if (fails) {
      return MakeError(ErrorClass::kReconnect, "CF1402", "fake", "gone");
    }
    for (const auto& [id, text] : *rows_) {
      if (range.Holds(id)) {
        CROSSFADE_TRY(sink(FieldsOf(id, text)));
      }
    }
    return {};
  }
  Status ReadKeys(const apply::Route&, std::span<const std::string>, const FieldsSink&) override { return {}; }
  Status ReadVersions(const apply::Route&, std::span<const std::string>, const VersionSink&) override { return {}; }
  Result<std::optional<uint32_t>> LastOwnTransaction() override { return std::nullopt; }
  Status ReadBy(const apply::Route&, std::span<const uint32_t>, std::span<const std::string>,
                const FieldsSink&) override {
    return {};
  }
  Status ReadPage(const apply::Route&, std::string_view, uint64_t, const FieldsSink&) override { return {}; }
  void Cancel() override {}

  int reads = 0;
  bool fails = false;

 private:
  const Rows* rows_;
};

class RangeCompareTest : public ::testing::Test {
 protected:
  RangeCompareTest() {
    route_.source.name = "t";
    route_.source.columns.resize(2);
    route_.columns = {0, 1};
    route_.key = {0};
    auto target = std::make_unique<FakeTarget>(&target_);
    fake_target_ = target.get();
    sides_.source = std::make_unique<FakeSource>(&source_);
    sides_.target = std::move(target);
    table_ = *ComparedTable::Make(route_, sides_.target.get());
    for (int64_t id = 0; id < 5000; ++id) {
      source_[id] = target_[id] = "row " + std::to_string(id);
    }
  }

  Result<RangeResult> Compare(const RangeLimits& limits = {}, const ChunkRange& range = {}) {
    return CompareRange(*table_, range, sides_, &pressure_, limits, {});
  }
  static std::vector<std::string> Keys(std::vector<int64_t> ids) {
    std::vector<std::string> keys;
    for (const int64_t id : ids) {
      AppendField(std::to_string(id), &keys.emplace_back());
    }
    std::sort(keys.begin(), keys.end());
    return keys;
  }
  static std::vector<std::string> Sorted(const std::vector<Candidate>& candidates) {
    std::vector<std::string> keys;
    for (const Candidate& candidate : candidates) {
      keys.push_back(candidate.key);
    }
    std::sort(keys.begin(), keys.end());
    return keys;
  }

  Rows source_;
  Rows target_;
  apply::Route route_;
  FakeTarget* fake_target_ = nullptr;
  Sides sides_;
  std::unique_ptr<ComparedTable> table_;
  snapshot::CopyLimits pressure_;
};

TEST_F(RangeCompareTest, EqualRowsAreReadOnce) {
  const auto result = Compare();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->source_rows, 5000u);
  EXPECT_EQ(result->target_rows, 5000u);
  EXPECT_TRUE(result->candidates.empty());
  EXPECT_EQ(fake_target_->reads, 1);
}

TEST_F(RangeCompareTest, EachUnequalKeyIsNamedOnce) {
  target_.erase(7);
  target_[8] = "changed";
  target_[9000] = "extra";
  const auto result = Compare();
  ASSERT_TRUE(result);
  EXPECT_EQ(Sorted(result->candidates), Keys({7, 8, 9000}));
  EXPECT_EQ(Sorted(Compare({}, {8, 100})->candidates), Keys({8}));
}

TEST_F(RangeCompareTest, SwappedRowsDoNotCancelOut) {
  std::swap(target_[1], target_[2]);
  EXPECT_EQ(Sorted(Compare()->candidates), Keys({1, 2}));
}

TEST_F(RangeCompareTest, CandidatesAreBoundedAndTheRestIsCounted) {
  for (int64_t id = 0; id < 5000; id += 2) {
    target_[id] = "changed";
  }
  const auto all = Compare();
  ASSERT_TRUE(all) << all.error().ToString();
  EXPECT_EQ(all->candidates.size(), 2500u);
  EXPECT_EQ(all->more, 0u);
  const auto few = Compare({.max_candidates = 100});
  EXPECT_EQ(few->candidates.size(), 100u);
  EXPECT_EQ(few->more, 2400u);
  EXPECT_FALSE(few->why_more.empty());
}

// Rows that change all over a large range make most buckets differ; other buckets tell most of the rows apart.
TEST_F(RangeCompareTest, FewChangedRowsOfManyAreFoundInLittleMemoryAndFewReads) {
  std::vector<int64_t> changed;
  for (int64_t id = 0; id < 5000; id += 100) {
    target_[id] = "changed";
    changed.push_back(id);
  }
  // 50 rows in 64 buckets: more than half of the buckets differ.
  const auto result = Compare({.max_bytes = 20'000, .max_buckets = 64});
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(Sorted(result->candidates), Keys(changed));
  EXPECT_EQ(result->more, 0u);
  EXPECT_EQ(static_cast<int>(result->reads), fake_target_->reads);
  EXPECT_LE(fake_target_->reads, 12);
}

TEST_F(RangeCompareTest, ReadsAreBoundedHoweverManyRowsDiffer) {
  for (int64_t id = 0; id < 5000; ++id) {
    target_[id] = "changed";
  }
  const auto result = Compare({.max_bytes = 4096, .max_buckets = 64, .max_levels = 4, .max_note_reads = 3});
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_LE(fake_target_->reads, 7);
  EXPECT_EQ(result->candidates.size() + result->more, 5000u);
  EXPECT_GT(result->more, 0u);
}

TEST_F(RangeCompareTest, KeysTooLargeForTheMemoryAreCountedAndNotRefused) {
  target_[0] = "changed";
  const auto result = Compare({.max_bytes = 8});
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(result->candidates.size(), 0u);
  EXPECT_GE(result->more, 1u);
  EXPECT_LE(result->more, 5u);
  EXPECT_TRUE(result->why_more.starts_with("CF1802")) << result->why_more;
}

TEST_F(RangeCompareTest, TheLargerRowOfACandidateIsMeasured) {
  target_[7] = std::string(10'000, 'x');
  const auto result = Compare();
  ASSERT_EQ(result->candidates.size(), 1u);
  EXPECT_GT(result->candidates[0].row_bytes, 10'000u);
  EXPECT_LT(result->candidates[0].row_bytes, 10'100u);
}

TEST_F(RangeCompareTest, TheFirstFailureIsTheResult) {
  fake_target_->fails = true;
  const auto result = Compare();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, "CF1402");
}

}  // namespace
}  // namespace crossfade::verify
