#include "state/change_codec.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {
namespace {

TableSchema TableOfColumns(size_t columns) {
  TableSchema table;
  table.database = "d";
  table.name = "t";
  table.columns.resize(columns);
  return table;
}

struct Copy {
  ChangeDecoder::Decoded change;
  std::vector<Value> before;
  std::vector<Value> after;
};

Result<std::vector<Copy>> DecodeAll(const TableSchema* table, std::string_view block) {
  const auto decoder = DecodeChanges([table](uint32_t id) { return id == 7 ? table : nullptr; }, block);
  std::vector<Copy> all;
  std::vector<Value> values;
  ChangeDecoder::Decoded change;
  while (true) {
    CROSSFADE_ASSIGN(const bool more, decoder->Next(&values, &change));
    if (!more) {
      return all;
    }
    const auto part = [&values](size_t from, size_t count) {
      const auto start = values.begin() + static_cast<std::ptrdiff_t>(from);
      return std::vector<Value>(start, start + static_cast<std::ptrdiff_t>(count));
    };
    all.push_back({change, part(change.before, change.before_count), part(change.after, change.after_count)});
  }
}

void ExpectSame(std::span<const Value> a, std::span<const Value> b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(Identical(a[i], b[i])) << i << ": " << ToDisplay(a[i]) << " and " << ToDisplay(b[i]);
  }
}

std::vector<Value> EveryKindOfValue() {
  static const std::string kLong(300, 'L');
  static const std::string kHuge(200'000, 'H');
  std::vector<Value> values = {Value::Absent(), Value::Null()};
  for (const int64_t number :
       {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{127}, int64_t{-128}, int64_t{255}, int64_t{65536},
        std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    for (const ValueKind kind :
         {ValueKind::kInt, ValueKind::kDate, ValueKind::kTime, ValueKind::kDateTime, ValueKind::kTimestamp}) {
      values.push_back(Value::OfInt(kind, number));
    }
    values.push_back(Value::Uint(static_cast<uint64_t>(number)));
    values.push_back(Value::Bits(static_cast<uint64_t>(number)));
  }
  for (const double number : {0.0, -0.0, 1.5, std::numeric_limits<double>::infinity(),
                              std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::denorm_min()}) {
    values.push_back(Value::Double(number));
    values.push_back(Value::Float(static_cast<float>(number)));
  }
  for (const std::string_view text :
       {std::string_view(), std::string_view("a"), std::string_view("123456"), std::string_view("1234567"),
        std::string_view("\0\xff", 2), std::string_view(kLong), std::string_view(kHuge)}) {
    for (const ValueKind kind : {ValueKind::kDecimal, ValueKind::kText, ValueKind::kBytes, ValueKind::kJson,
                                 ValueKind::kUuid, ValueKind::kInet, ValueKind::kVector, ValueKind::kNative}) {
      values.push_back(Value::OfBytes(kind, text));
    }
  }
  return values;
}

TEST(ChangeCodec, EveryValueComesBack) {
  const std::vector<Value> row = EveryKindOfValue();
  const TableSchema table = TableOfColumns(row.size());
  std::vector<Value> other = row;
  std::rotate(other.begin(), other.begin() + 1, other.end());
  std::string block;
  Check(EncodeChange(7, {.table = &table, .kind = ChangeKind::kInsert, .flags = 31, .after = row}, &block));
  Check(EncodeChange(7, {.table = &table, .kind = ChangeKind::kDelete, .before = row}, &block));
  Check(EncodeChange(7, {.table = &table, .kind = ChangeKind::kTruncate, .flags = kCascaded}, &block));
  Check(EncodeChange(7, {.table = &table, .kind = ChangeKind::kUpdate, .before = row, .after = other}, &block));
  const std::vector<Copy> all = Get(DecodeAll(&table, block));
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].change.kind, ChangeKind::kInsert);
  EXPECT_EQ(all[0].change.flags, 31);
  EXPECT_EQ(all[0].change.table, &table);
  EXPECT_TRUE(all[0].before.empty());
  ExpectSame(all[0].after, row);
  EXPECT_EQ(all[1].change.kind, ChangeKind::kDelete);
  ExpectSame(all[1].before, row);
  EXPECT_TRUE(all[1].after.empty());
  EXPECT_EQ(all[2].change.kind, ChangeKind::kTruncate);
  EXPECT_EQ(all[2].change.flags, kCascaded);
  EXPECT_EQ(all[3].change.kind, ChangeKind::kUpdate);
  ExpectSame(all[3].before, row);
  ExpectSame(all[3].after, other);
}

TEST(ChangeCodec, UnchangedColumnsOfAnUpdateCostNextToNothing) {
  const std::string text(1000, 'x');
  for (const size_t columns : {1, 7, 8, 100, 1000}) {
    const TableSchema table = TableOfColumns(columns);
    const std::vector<Value> row(columns, Value::OfBytes(ValueKind::kText, text));
    std::string deleted;
    std::string updated;
    Check(EncodeChange(7, {.table = &table, .kind = ChangeKind::kDelete, .before = row}, &deleted));
    Check(EncodeChange(7, {.table = &table, .kind = ChangeKind::kUpdate, .before = row, .after = row}, &updated));
    EXPECT_LE(updated.size(), deleted.size() + 3) << columns;
    const std::vector<Copy> all = Get(DecodeAll(&table, updated));
    ASSERT_EQ(all.size(), 1u);
    ExpectSame(all[0].after, row);
  }
}

TEST(ChangeCodec, FormatIsTheDocumentedOne) {
  const TableSchema table = TableOfColumns(4);
  const Value before[] = {Value::Int(-3), Value::OfBytes(ValueKind::kText, "ab"), Value::Null(), Value::Uint(300)};
  const Value after[] = {Value::Int(-3), Value::OfBytes(ValueKind::kText, "abcdefgh"), Value::Null(), Value::Uint(300)};
  std::string block;
  Check(EncodeChange(
      300, {.table = &table, .kind = ChangeKind::kUpdate, .flags = kEndOfStatement, .before = before, .after = after},
      &block));
  const std::string_view expected(
      "\x01"          // version
      "\xac\x02"      // table 300
      "\x22"          // update, end of statement
      "\x04"          // columns
      "\x02\x05"      // int, one byte: zigzag of -3
      "\x47"          // text of two bytes
      "ab"            //
      "\x01"          // null
      "\x23\x2c\x01"  // uint, two bytes: 300
      "\x1f"          // as before, one column
      "\xe7\x08"      // text, length follows
      "abcdefgh"      //
      "\x3f");        // as before, two columns
  EXPECT_EQ(block, expected);
}

TEST(ChangeCodec, RefusesImagesThatDoNotFit) {
  const TableSchema table = TableOfColumns(2);
  const Value two[] = {Value::Int(1), Value::Int(2)};
  const Value one[] = {Value::Int(1)};
  Value wrong_kind[] = {Value::Int(1), Value::Int(2)};
  wrong_kind[1].kind = static_cast<ValueKind>(30);
  std::string block = "\x01";
  const Change changes[] = {
      {.table = &table, .kind = ChangeKind::kInsert, .after = one},
      {.table = &table, .kind = ChangeKind::kInsert, .before = two, .after = two},
      {.table = &table, .kind = ChangeKind::kInsert},
      {.table = &table, .kind = ChangeKind::kDelete, .after = two},
      {.table = &table, .kind = ChangeKind::kUpdate, .before = two},
      {.table = &table, .kind = ChangeKind::kUpdate, .before = two, .after = one},
      {.table = &table, .kind = ChangeKind::kTruncate, .before = two},
      {.table = &table, .kind = static_cast<ChangeKind>(0)},
      {.table = &table, .kind = static_cast<ChangeKind>(5)},
      {.table = &table, .kind = ChangeKind::kInsert, .flags = 32, .after = two},
      {.table = &table, .kind = ChangeKind::kInsert, .after = wrong_kind},
      {.table = &table, .kind = ChangeKind::kUpdate, .before = two, .after = wrong_kind},
      {.table = nullptr, .kind = ChangeKind::kTruncate},
  };
  for (const Change& change : changes) {
    EXPECT_EQ(CodeOf(EncodeChange(1, change, &block)), "CF1310");
    EXPECT_EQ(block, "\x01");
  }
}

std::string SmallBlock(const TableSchema& table) {
  const Value before[] = {Value::Int(-3), Value::OfBytes(ValueKind::kText, "some longer text"), Value::Double(2.5)};
  const Value after[] = {Value::Int(-3), Value::OfBytes(ValueKind::kText, "other"), Value::Float(1)};
  std::string block;
  Check(EncodeChange(7, {.table = &table, .kind = ChangeKind::kUpdate, .before = before, .after = after}, &block));
  Check(EncodeChange(7, {.table = &table, .kind = ChangeKind::kInsert, .after = after}, &block));
  return block;
}

TEST(ChangeCodec, EveryTruncationIsAnErrorOrABorder) {
  const TableSchema table = TableOfColumns(3);
  const std::string block = SmallBlock(table);
  const size_t changes = Get(DecodeAll(&table, block)).size();
  size_t readable = 0;
  for (size_t size = 0; size < block.size(); ++size) {
    // A copy of its own of exactly this size, so that a sanitizer sees a read behind its end.
    const std::vector<char> cut(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(size));
    const auto all = DecodeAll(&table, {cut.data(), cut.size()});
    if (all) {
      ++readable;
      EXPECT_LT(all->size(), changes);
    } else {
      EXPECT_EQ(all.error().code, "CF1304");
      EXPECT_EQ(all.error().error_class, ErrorClass::kCorrupt);
    }
  }
  EXPECT_EQ(readable, 3u);  // nothing, the version alone, the first change
}

TEST(ChangeCodec, AnyBytesAreSafe) {
  const TableSchema table = TableOfColumns(3);
  const std::string block = SmallBlock(table);
  std::mt19937 random(20240229);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<char> bytes(block.begin(), block.end());
    for (int flips = 0; flips < 3; ++flips) {
      bytes[1 + random() % (bytes.size() - 1)] = static_cast<char>(random());
    }
    (void)DecodeAll(&table, {bytes.data(), bytes.size()});
  }
}

TEST(ChangeCodec, AnErrorStays) {
  const TableSchema table = TableOfColumns(3);
  const std::string block = SmallBlock(table).substr(0, 10);
  const auto decoder = DecodeChanges([&table](uint32_t) { return &table; }, block);
  std::vector<Value> values;
  ChangeDecoder::Decoded change;
  EXPECT_FALSE(decoder->Next(&values, &change));
  EXPECT_FALSE(decoder->Next(&values, &change));
}

TEST(ChangeCodec, UnknownVersionTableAndColumnCountAreErrors) {
  const TableSchema table = TableOfColumns(3);
  const TableSchema wider = TableOfColumns(4);
  std::string block = SmallBlock(table);
  EXPECT_EQ(CodeOf(DecodeAll(nullptr, block)), "CF1304");
  EXPECT_EQ(CodeOf(DecodeAll(&wider, block)), "CF1304");
  block[0] = 2;
  EXPECT_EQ(CodeOf(DecodeAll(&table, block)), "CF1304");
  // Unchanged columns in an insert, and more of them than there are.
  EXPECT_EQ(CodeOf(DecodeAll(&table, std::string_view("\x01\x07\x01\x03\x5f", 5))), "CF1304");
  EXPECT_EQ(CodeOf(DecodeAll(&table, std::string_view("\x01\x07\x02\x03\x01\x01\x01\x7f", 8))), "CF1304");
  EXPECT_EQ(CodeOf(DecodeAll(&table, std::string_view("\x01\x07\x02\x03\x01\x01\x01\xff\x00", 9))), "CF1304");
}

}  // namespace
}  // namespace crossfade::state
