#include "apply/row_reader.h"

#include <algorithm>

#include "apply/postgres/pg_row_reader.h"
#include "tests/unit/apply_postgres/session_fixture.h"

namespace crossfade::apply {
namespace {

using Cell = crossfade::Value;

class RowReaderTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    Column amount = IntColumn("amount");
    amount.type = ColumnType::kDecimal;
    amount.precision = 10;
    amount.scale = 2;
    Column doc = TextColumn("doc");
    doc.type = ColumnType::kJson;
    MakeTables({MakeTable("t", {IntColumn("id", false), TextColumn("note"), amount, doc}, {"id"})});
    PgTargetOptions options;
    options.connection = options_;
    options.migration = "m";
    options.tenancy = routes_.rules().tenancy;
    reader_ = Get(OpenPgRowReader(options));
    form_ = Get(reader_->FormOf(route()));
  }

  const Route& route() { return *routes_.Find("t"); }
  std::vector<std::string> Range(const ChunkRange& range) {
    std::vector<std::string> rows;
    Check(reader_->ReadRange(route(), range, [&](Fields fields) -> Status {
      rows.emplace_back(fields);
      return {};
    }));
    std::sort(rows.begin(), rows.end());
    return rows;
  }
  std::string FieldsOf(int64_t id, const char* note, const char* amount, const char* doc) {
    const Cell row[] = {Cell::Int(id), note == nullptr ? Cell::Null() : Cell::OfBytes(ValueKind::kText, note),
                        Cell::OfBytes(ValueKind::kDecimal, amount), Cell::OfBytes(ValueKind::kJson, doc)};
    std::string fields;
    Check(form_->FieldsOf(row, &fields));
    return fields;
  }

  std::unique_ptr<RowReader> reader_;
  std::unique_ptr<RowForm> form_;
};

TEST_F(RowReaderTest, StoredRowsHaveTheFormOfTheRowsTheyCameFrom) {
  Sql("ALTER TABLE t ALTER COLUMN amount TYPE numeric(14,6)");  // more digits than the source has
  Sql("DELETE FROM t; INSERT INTO t VALUES ('acme', 1, 'a', 1.5, '{\"b\": 1, \"a\": [0.10]}'), ('acme', 2, NULL, 0, "
      "'null'),"
      " ('other', 1, 'not ours', 7, '1')");
  const std::vector<std::string> rows = Range({});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0], FieldsOf(1, "a", "1.50", R"({"a": [1e-1], "b": 1.0})"));
  EXPECT_EQ(rows[1], FieldsOf(2, nullptr, "0.00", "null"));
  EXPECT_NE(rows[0], FieldsOf(1, "a ", "1.50", R"({"a": [0.1], "b": 1})"));
  EXPECT_NE(rows[0], FieldsOf(1, "a", "1.51", R"({"a": [0.1], "b": 1})"));
  EXPECT_NE(rows[1], FieldsOf(2, "", "0.00", "null"));
}

TEST_F(RowReaderTest, RangesAndKeysFindThisTenantsRowsOnly) {
  Sql("DELETE FROM t; INSERT INTO t SELECT x, n, 'n' || n, n, '1' FROM generate_series(1, 20) n,"
      " unnest(ARRAY['acme', 'other']) x");
  EXPECT_EQ(Range({5, 9}).size(), 4u);
  EXPECT_EQ(Range({std::nullopt, 9}).size(), 8u);
  std::vector<std::string> keys(3);
  const uint32_t key_place[] = {0};
  SelectFields(FieldsOf(3, "", "0.00", "1"), key_place, &keys[0]);
  SelectFields(FieldsOf(12, "", "0.00", "1"), key_place, &keys[1]);
  SelectFields(FieldsOf(99, "", "0.00", "1"), key_place, &keys[2]);
  std::vector<std::string> found;
  Check(reader_->ReadKeys(route(), keys, [&](Fields fields) -> Status {
    found.emplace_back(fields);
    return {};
  }));
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector{FieldsOf(3, "n3", "3.00", "1"), FieldsOf(12, "n12", "12.00", "1")}));
  const std::string two_parts = keys[0] + keys[1];
  EXPECT_EQ(reader_->ReadKeys(route(), {&two_parts, 1}, [](Fields) { return Status{}; }).error().code, "CF1568");
}

// The server cuts a number to the scale that it comes with.
TEST_F(RowReaderTest, AKeyWithDigitsBehindThePointFindsItsRow) {
  Column amount = IntColumn("amount", false);
  amount.type = ColumnType::kDecimal;
  amount.precision = 10;
  amount.scale = 3;
  MakeTables({MakeTable("d", {amount, IntColumn("v")}, {"amount"})});
  const Route& decimal = *routes_.Find("d");
  Sql("DELETE FROM d; INSERT INTO d VALUES ('acme', 1.500, 7), ('acme', 1, 8), ('acme', 0.001, 9)");
  const std::unique_ptr<RowForm> form = Get(reader_->FormOf(decimal));
  for (const auto& [number, v] : {std::pair{"1.500", 7}, {"1.000", 8}, {"0.001", 9}}) {
    const Cell row[] = {Cell::OfBytes(ValueKind::kDecimal, number), Cell::Int(v)};
    std::string fields;
    Check(form->FieldsOf(row, &fields));
    std::string key;
    const uint32_t place[] = {0};
    SelectFields(fields, place, &key);
    std::vector<std::string> found;
    Check(reader_->ReadKeys(decimal, {&key, 1}, [&](Fields stored) -> Status {
      found.emplace_back(stored);
      return {};
    }));
    EXPECT_EQ(found, std::vector<std::string>{fields}) << number;
  }
}

// The keys of a table whose rows are read in pages of `max_rows`.
std::vector<std::string> KeysByPages(RowReader* reader, const Route& route, const std::vector<uint32_t>& key_places,
                                     uint64_t max_rows) {
  std::vector<std::string> keys;
  for (uint64_t rows = max_rows; rows == max_rows && keys.size() < 1000;) {
    rows = 0;
    const std::string after = keys.empty() ? "" : keys.back();
    Check(reader->ReadPage(route, after, max_rows, [&](Fields row) -> Status {
      ++rows;
      SelectFields(row, key_places, &keys.emplace_back());
      return {};
    }));
  }
  return keys;
}

TEST_F(RowReaderTest, KeysComeInPagesAndEachOnce) {
  Column amount = IntColumn("amount", false);
  amount.type = ColumnType::kDecimal;
  amount.precision = 10;
  amount.scale = 3;
  MakeTables({MakeTable("d", {IntColumn("v"), amount, TextColumn("k", false)}, {"k", "amount"})});
  const Route& route = *routes_.Find("d");
  Sql("CREATE COLLATION alike (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
  for (const char* collation : {"\"C\"", "\"und-x-icu\"", "alike"}) {
    Sql(std::string("DELETE FROM d; ALTER TABLE d ALTER COLUMN k TYPE text COLLATE ") + collation);
    Sql("INSERT INTO d (tenant_id, v, amount, k) SELECT x, n, n / 7.0, t FROM generate_series(1, 3) n,"
        " unnest(ARRAY['acme', 'other', 'zeta']) x, unnest(ARRAY['', 'a', 'B', 'ä', 'z', 'Z ', '''', '中']) t");
    const std::vector<std::string> all = KeysByPages(reader_.get(), route, {2, 1}, 100);
    EXPECT_EQ(all.size(), 24u);
    EXPECT_EQ(KeysByPages(reader_.get(), route, {2, 1}, 1), all) << collation;
    EXPECT_EQ(KeysByPages(reader_.get(), route, {2, 1}, 5), all) << collation;
    size_t found = 0;
    Check(reader_->ReadKeys(route, all, [&](Fields) -> Status {
      ++found;
      return {};
    }));
    EXPECT_EQ(found, 24u) << "the keys are not those by which rows are asked for";
  }
}

// Although the rows lie in another order.
TEST_F(RowReaderTest, APageIsARangeOfTheIndex) {
  MakeTables({MakeTable("d", {TextColumn("k", false), IntColumn("n", false), IntColumn("v")}, {"k", "n"})});
  Sql("INSERT INTO d SELECT x, md5(n::text), n, 0 FROM generate_series(1, 20000) n, unnest(ARRAY['acme', 'other']) x"
      " ORDER BY n");
  Sql("ANALYZE d");
  Sql("SET enable_sort = off");  // as the reader does
  std::string plan;
  for (const std::string& line :
       Lines("EXPLAIN SELECT t.\"k\", t.\"n\", t.\"v\" FROM d t WHERE t.\"tenant_id\" = 'acme'::text AND"
             " (t.\"k\", t.\"n\") > ('80', '5') ORDER BY t.\"k\", t.\"n\" LIMIT 5000")) {
    plan += line + "\n";
  }
  EXPECT_NE(plan.find("Index Cond: ((tenant_id = 'acme'::text) AND (ROW("), std::string::npos) << plan;
  EXPECT_EQ(plan.find("Sort"), std::string::npos) << plan;
}

TEST_F(RowReaderTest, FieldsBecomeValuesAgain) {
  const std::string fields = FieldsOf(7, "x", "-12.30", "[1]");
  std::vector<std::string_view> parts;
  SplitFields(fields, &parts);
  const uint32_t places[] = {0, 1, 2};
  std::vector<std::string> storage;
  std::vector<Cell> values;
  Check(form_->ValuesOf(places, std::span(parts).first(3), &storage, &values));
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(ToDisplay(values[0]), "7");
  EXPECT_EQ(ToDisplay(values[1]), "'x'");
  EXPECT_EQ(ToDisplay(values[2]), "-12.30");
}

TEST_F(RowReaderTest, NothingCanBeWrittenAndNothingOfTheMigrationIsNoError) {
  const TargetState state = Get(reader_->ReadState());
  EXPECT_TRUE(state.progress.empty());
  EXPECT_EQ(Get(reader_->BeginState()).low, Seq{0});
  reader_->EndState();
}

}  // namespace
}  // namespace crossfade::apply
