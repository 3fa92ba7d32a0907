#include "verify/page_compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "core/bytes.h"

namespace crossfade::verify {
namespace {

void AppendField(std::string_view bytes, std::string* out) {
  ByteWriter writer(out);
  writer.BigEndianU32(static_cast<uint32_t>(bytes.size()));
  writer.Bytes(bytes);
}

std::string FieldsOf(std::string_view key, std::string_view text) {
  std::string fields;
  AppendField(key, &fields);
  AppendField(text, &fields);
  return fields;
}

std::string KeyIn(std::string_view fields) {
  std::vector<std::string_view> parts;
  apply::SplitFields(fields, &parts);
  return std::string(parts.at(0));
}

class FakeForm : public apply::RowForm {
 public:
  Status FieldsOf(std::span<const Value> row, std::string* out) const override {
    *out = verify::FieldsOf(row[0].bytes, row[1].bytes);
    return {};
  }
  Status ValuesOf(std::span<const uint32_t>, std::span<const std::string_view> parts, std::vector<std::string>*,
                  std::vector<Value>* values) const override {
    *values = {Value::OfBytes(ValueKind::kText, parts[0])};
    return {};
  }
};

using Rows = std::map<std::string, std::string>;

// Sorts its keys as they are.
class FakeSource : public snapshot::Reader {
 public:
  explicit FakeSource(Rows* rows) : rows_(rows) {}
  Status EndSnapshot() override { return {}; }
  Result<Window> OpenSnapshot() override { return Window{}; }
  Result<Position> OpenExactSnapshot() override { return Position{}; }
  Status Read(const TableSchema&, const ChunkRange&, const RowSink&) override { return {}; }
  Status ReadKeys(const TableSchema&, std::span<const uint32_t>, std::span<const std::vector<Value>> keys,
                  const RowSink& sink) override {
    asked += keys.size();
    for (const std::vector<Value>& key : keys) {
      if (const auto found = rows_->find(std::string(key[0].bytes)); found != rows_->end()) {
        CROSSFADE_TRY(Give(*found, sink));
      }
    }
    return {};
  }
  Status ReadPage(const TableSchema&, std::span<const uint32_t>, std::span<const Value> after, uint64_t max_rows,
                  const RowSink& sink) override {
    pages.push_back(max_rows);
    auto row = after.empty() ? rows_->begin() : rows_->upper_bound(std::string(after[0].bytes));
    for (; row != rows_->end() && max_rows > 0; ++row, --max_rows) {
      if (on_row) {
        CROSSFADE_TRY(on_row(row->first));
      }
      ++rows;
      CROSSFADE_TRY(Give(*row, sink));
    }
    return {};
  }
  void Interrupt() override {}

  std::vector<uint64_t> pages;  // rows that were asked for
  uint64_t rows = 0;            // of pages
  uint64_t asked = 0;           // keys
  std::function<Status(const std::string&)> on_row;

 private:
  static Status Give(const Rows::value_type& row, const RowSink& sink) {
    const Value values[] = {Value::OfBytes(ValueKind::kText, row.first), Value::OfBytes(ValueKind::kText, row.second)};
    return sink(values);
  }
  Rows* rows_;
};

// Sorts its keys backwards.
class FakeTarget : public apply::RowReader {
 public:
  explicit FakeTarget(Rows* rows) : rows_(rows) {}
  Result<std::unique_ptr<apply::RowForm>> FormOf(const apply::Route&) override { return std::make_unique<FakeForm>(); }
  Result<apply::TargetState> ReadState() override { return apply::TargetState{}; }
  Result<apply::Progress> BeginState() override { return apply::Progress{}; }
  void EndState() override {}
  Status ReadRange(const apply::Route&, const ChunkRange&, const FieldsSink&) override { return {}; }
  Status ReadKeys(const apply::Route&, std::span<const std::string> keys, const FieldsSink& sink) override {
    most_keys = std::max(most_keys, keys.size());
    for (const std::string& key : keys) {
      if (const auto found = rows_->find(KeyIn(key)); found != rows_->end()) {
        CROSSFADE_TRY(sink(FieldsOf(found->first, found->second)));
      }
    }
    return {};
  }
  Status ReadVersions(const apply::Route&, std::span<const std::string>, const VersionSink&) override { return {}; }
  Result<std::optional<uint32_t>> LastOwnTransaction() override { return std::nullopt; }
  Status ReadBy(const apply::Route&, std::span<const uint32_t>, std::span<const std::string>,
                const FieldsSink&) override {
    return {};
  }
  Status ReadPage(const apply::Route&, std::string_view after, uint64_t max_rows, const FieldsSink& sink) override {
    ++pages;
    if (fails_at == pages) {
      return MakeError(ErrorClass::kReconnect, "CF1402", "fake", "gone");
    }
    auto row = after.empty() ? rows_->rbegin() : std::make_reverse_iterator(rows_->lower_bound(KeyIn(after)));
    for (; row != rows_->rend() && max_rows > 0; ++row, --max_rows) {
      CROSSFADE_TRY(sink(FieldsOf(row->first, row->second)));
    }
    return {};
  }
  void Cancel() override {}

  size_t most_keys = 0;
  int pages = 0;
  int fails_at = 0;

 private:
  Rows* rows_;
};

std::string Name(int number) { return fmt::format("key {:04}", number); }

class PageCompareTest : public ::testing::Test {
 protected:
  static constexpr int kRows = 1000;

  PageCompareTest() {
    route_.source.name = "t";
    route_.source.columns.resize(2);
    route_.source.columns[0].type = ColumnType::kVarchar;
    route_.columns = {0, 1};
    route_.key = {0};
    auto source = std::make_unique<FakeSource>(&source_);
    auto target = std::make_unique<FakeTarget>(&target_);
    fake_source_ = source.get();
    fake_target_ = target.get();
    sides_.source = std::move(source);
    sides_.target = std::move(target);
    table_ = *ComparedTable::Make(route_, sides_.target.get());
    for (int i = 0; i < kRows; ++i) {
      source_[Name(i)] = target_[Name(i)] = "row " + std::to_string(i);
    }
    limits_.max_rows = 64;
    limits_.first_rows = 10;
    limits_.max_buckets = 4096;
  }

  struct State {
    PagePlace place;
    std::string sums;
  };
  struct All {
    uint64_t source_rows = 0;
    uint64_t target_rows = 0;
    std::vector<std::string> keys;  // of candidates
    std::vector<uint64_t> row_bytes;
    std::vector<State> states;  // behind each page but the last
  };
  // From a state to the end, or until there are so many states.
  All Compare(State from = {}, size_t pages_at_most = SIZE_MAX) {
    PagedComparison pages(table_.get(), limits_, from.place, from.sums);
    All all;
    while (all.states.size() < pages_at_most) {
      auto page = pages.Next(sides_, &pressure_, {});
      if (!page) {  // once more, as after a lost connection
        page = pages.Next(sides_, &pressure_, {});
      }
      EXPECT_TRUE(page) << page.error().ToString();
      all.source_rows += page->found.source_rows;
      all.target_rows += page->found.target_rows;
      for (const Candidate& candidate : page->found.candidates) {
        all.keys.push_back(KeyIn(candidate.key));
        all.row_bytes.push_back(candidate.row_bytes);
      }
      if (page->last) {
        break;
      }
      pages.Take();
      from.place = page->place.value_or(from.place);
      all.states.push_back({from.place, pages.EncodeSums()});
    }
    std::sort(all.keys.begin(), all.keys.end());
    return all;
  }

  Rows source_;
  Rows target_;
  apply::Route route_;
  FakeSource* fake_source_ = nullptr;
  FakeTarget* fake_target_ = nullptr;
  Sides sides_;
  std::unique_ptr<ComparedTable> table_;
  snapshot::CopyLimits pressure_;
  PageLimits limits_;
};

using Keys = std::vector<std::string>;

TEST_F(PageCompareTest, EqualSidesAreReadOnceAndNothingIsAskedByKey) {
  const All all = Compare();
  EXPECT_EQ(all.source_rows, 1000u);
  EXPECT_EQ(all.target_rows, 1000u);
  EXPECT_EQ(all.keys, Keys());
  EXPECT_EQ(fake_source_->asked, 0u);
  EXPECT_EQ(fake_target_->most_keys, 0u);
  EXPECT_EQ(fake_source_->rows, 1000u);
  EXPECT_EQ(fake_target_->pages, 17);
}

TEST_F(PageCompareTest, EachUnequalKeyIsNamedOnce) {
  target_.erase(Name(7));
  target_[Name(500)] = "changed";
  target_["extra"] = "x";
  target_["zz extra"] = std::string(5000, 'x');
  source_["\x01 first"] = "x";
  const All all = Compare();
  EXPECT_EQ(all.keys, (Keys{"\x01 first", "extra", Name(7), Name(500), "zz extra"}));
  EXPECT_EQ(all.source_rows, 1001u);
  EXPECT_EQ(all.target_rows, 1001u);
  EXPECT_LT(fake_source_->asked, 20u);
  EXPECT_GT(*std::max_element(all.row_bytes.begin(), all.row_bytes.end()), 5000u) << "the recheck is to know of it";
}

TEST_F(PageCompareTest, SwappedRowsDoNotCancelOut) {
  std::swap(target_[Name(1)], target_[Name(2)]);
  EXPECT_EQ(Compare().keys, (Keys{Name(1), Name(2)}));
}

TEST_F(PageCompareTest, AnEmptySide) {
  target_.clear();
  EXPECT_EQ(Compare().keys.size(), 1000u);
  std::swap(source_, target_);
  const All extra = Compare();
  EXPECT_EQ(extra.keys.size(), 1000u);
  EXPECT_EQ(extra.target_rows, 1000u);
}

TEST_F(PageCompareTest, ItGoesOnFromEachPlaceAndReadsNothingTwice) {
  target_.erase(Name(7));
  target_[Name(993)] = "changed";
  target_["a extra"] = target_["zz extra"] = "x";
  const All whole = Compare();
  ASSERT_EQ(whole.keys.size(), 4u);
  EXPECT_EQ(fake_source_->rows, 2000u);
  for (size_t done = 1; done <= whole.states.size(); ++done) {
    fake_source_->rows = fake_source_->asked = 0;
    const All before = Compare({}, done);
    const All after = Compare(before.states.back());
    Keys keys = before.keys;
    keys.insert(keys.end(), after.keys.begin(), after.keys.end());
    std::sort(keys.begin(), keys.end());
    EXPECT_EQ(keys, whole.keys) << done;
    EXPECT_EQ(before.source_rows + after.source_rows, 1000u) << done;
    EXPECT_EQ(before.target_rows + after.target_rows, 1001u) << done;
    EXPECT_EQ(fake_source_->rows, 2000u) << done;
    EXPECT_LT(fake_source_->asked, 20u) << done;
  }
}

TEST_F(PageCompareTest, WithoutItsSumsItAsksForAllThatIsLeft) {
  target_.erase(Name(7));
  target_[Name(993)] = "changed";
  target_["a extra"] = target_["zz extra"] = "x";
  const All whole = Compare();
  for (const char* sums : {"", "\x01 of something else"}) {
    for (size_t done = 1; done <= whole.states.size(); ++done) {
      const All before = Compare({}, done);
      if (before.states.back().place.step == PagePlace::Step::kSums) {
        continue;  // begins anew
      }
      const All after = Compare({before.states.back().place, sums});
      Keys keys = before.keys;
      keys.insert(keys.end(), after.keys.begin(), after.keys.end());
      std::sort(keys.begin(), keys.end());
      EXPECT_EQ(keys, whole.keys) << done;
      EXPECT_EQ(before.source_rows + after.source_rows, 1000u) << done;
      EXPECT_EQ(before.target_rows + after.target_rows, 1001u) << done;
    }
  }
}

TEST_F(PageCompareTest, RowsThatChangeMeanwhileAreCandidatesAtMost) {
  target_["extra"] = "x";
  fake_source_->on_row = [&](const std::string& key) -> Status {
    if (key == Name(300)) {
      source_["a behind the page"] = target_["a behind the page"] = "new";
      source_.erase(Name(20));
      target_.erase(Name(20));
      target_[Name(301)] = "already changed";
    }
    return {};
  };
  EXPECT_EQ(Compare().keys, (Keys{"extra", Name(301)})) << "what is the same on both sides now is none";
}

TEST_F(PageCompareTest, PagesGrowAndAreBoundedInBytes) {
  limits_.max_bytes = 20'000;
  (void)Compare();
  EXPECT_EQ(fake_source_->pages.at(0), 10u);
  EXPECT_EQ(fake_source_->pages.at(1), 40u);
  EXPECT_EQ(fake_source_->pages.at(2), 64u);
  for (int i = 200; i < kRows; ++i) {
    source_[Name(i)] = target_[Name(i)] = std::string(10'000, 'x');
  }
  fake_source_->pages.clear();
  EXPECT_EQ(Compare().source_rows, 1000u);
  EXPECT_EQ(fake_source_->pages.back(), 1u);
  EXPECT_LT(std::count(fake_source_->pages.begin(), fake_source_->pages.end(), 64), 5);
  limits_.expected_rows = kRows;
  limits_.expected_bytes = uint64_t{kRows} * 5'000;
  fake_source_->pages.clear();
  (void)Compare();
  EXPECT_EQ(fake_source_->pages.at(0), 4u) << "what is known of the rows beforehand";
}

TEST_F(PageCompareTest, APageWhoseReadFailedIsReadAgainAndCountsOnce) {
  target_["extra"] = "x";
  for (const int page : {1, 5, 17, 18, 20, 30}) {
    fake_target_->pages = 0;
    fake_target_->fails_at = page;
    const All all = Compare();
    EXPECT_EQ(all.keys, Keys{"extra"}) << page;
    EXPECT_EQ(all.target_rows, 1001u) << page;
  }
}

TEST_F(PageCompareTest, StopsInTheMiddleOfAPage) {
  std::stop_source stop;
  fake_source_->on_row = [&](const std::string& key) -> Status {
    if (key == Name(5)) {
      stop.request_stop();
    }
    return {};
  };
  PagedComparison pages(table_.get(), limits_, {});
  const auto page = pages.Next(sides_, &pressure_, stop.get_token());
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, "CF1801");
}

TEST_F(PageCompareTest, APlaceThatIsNoneIsRefused) {
  for (const char* place : {"x", "some bytes that are no key of one column"}) {
    PagedComparison pages(table_.get(), limits_, {PagePlace::Step::kSource, place});
    const auto page = pages.Next(sides_, &pressure_, {});
    ASSERT_FALSE(page);
    EXPECT_EQ(page.error().code, "CF1803");
  }
}

TEST_F(PageCompareTest, WhatIsNotSortedAsItIsComparedHasNoPages) {
  EXPECT_TRUE(CanPage(route_));
  route_.source.columns[0].type = ColumnType::kEnum;
  EXPECT_FALSE(CanPage(route_));
  route_.source.columns[0].type = ColumnType::kVarchar;
  route_.identity = apply::RowIdentity::kWholeRow;
  EXPECT_FALSE(CanPage(route_));
}

}  // namespace
}  // namespace crossfade::verify
