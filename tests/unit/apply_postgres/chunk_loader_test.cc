#include "apply/postgres/chunk_loader.h"

#include <gtest/gtest.h>

#include <thread>

#include "target_fixture.h"

namespace crossfade::apply {
namespace {

Value Text(std::string_view text) { return Value::OfBytes(ValueKind::kText, text); }

TEST(RangeConditionTest, SpeaksOfValuesNotOrdinals) {
  Column column = NumberColumn("id");
  EXPECT_EQ(*RangeCondition(column, {-5, 7}), " AND \"id\" >= (-5) AND \"id\" < (7)");
  EXPECT_EQ(*RangeCondition(column, {std::nullopt, 7}), " AND \"id\" < (7)");
  EXPECT_EQ(*RangeCondition(column, {}), "");
  column.is_unsigned = true;
  column.bits = 64;
  EXPECT_EQ(*RangeCondition(column, {*KeyOrdinal(Value::Uint(3)), *KeyOrdinal(Value::Uint(~uint64_t{0}))}),
            " AND \"id\" >= 3 AND \"id\" < 18446744073709551615");
  column.type = ColumnType::kDate;
  column.is_unsigned = false;
  EXPECT_EQ(*RangeCondition(column, {PackDate(2020, 2, 30), PackDate(2021, 0, 0)}),
            " AND \"id\" >= '2020-03-01' AND \"id\" < '2021-01-01'");
  EXPECT_EQ(*RangeCondition(column, {PackDate(2020, 12, 31) + 1, std::nullopt}), " AND \"id\" >= '2021-01-01'");
  EXPECT_EQ(*RangeCondition(column, {0, PackDate(0, 1, 5)}), " AND \"id\" < '0001-01-05 BC'");
  EXPECT_FALSE(RangeCondition(VarcharColumn("c", 9), {1, 2}));
}

TEST(TenantTest, ValueMustBeOfItsType) {
  std::string out;
  EXPECT_EQ(AppendTenant({.type = TenantType::kBigint, .value = "12x"}, &out).error().code, "CF1557");
  EXPECT_EQ(AppendTenant({.type = TenantType::kUuid, .value = "0011"}, &out).error().code, "CF1557");
  EXPECT_TRUE(AppendTenant({.type = TenantType::kBigint, .value = "-12"}, &out));
  EXPECT_EQ(out, std::string("\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xf4", 12));
  out.clear();
  EXPECT_TRUE(AppendTenant({.type = TenantType::kUuid, .value = "00112233-4455-6677-8899-AABBCCDDEEFF"}, &out));
  EXPECT_EQ(out.size(), 20u);
}

class ChunkLoaderTest : public TargetTest {
 protected:
  void SetUp() override {
    TargetTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    options_ = Options("m", "a");
    target_ = Own(options_);
    routes_ = Routes({TableWithId("t", {VarcharColumn("name", 20)})}, options_);
    Build(target_.get(), routes_);
  }
  const Route& route() const { return *routes_.Find("t"); }
  std::string Rows() const {
    return Ask("SELECT string_agg(tenant_id || id || coalesce(name, '-'), ' ' ORDER BY tenant_id, id) FROM t");
  }

  PgTargetOptions options_;
  std::unique_ptr<Target> target_;
  RouteSet routes_;
};

TEST_F(ChunkLoaderTest, RowsAndTheirMarkComeTogether) {
  ASSERT_TRUE(Load(target_.get(), route(), {std::nullopt, 10}, 3, false,
                   {{Value::Int(1), Text("x")}, {Value::Int(2), Value::Null()}}));
  EXPECT_EQ(Rows(), "a1x a2-");
  auto state = target_->ReadState();
  ASSERT_TRUE(state);
  ASSERT_EQ(state->chunks.size(), 1u);
  const ChunkMark& mark = state->chunks[0];
  EXPECT_EQ(mark.table, "t");
  EXPECT_EQ(mark.chunk, 3u);
  EXPECT_EQ(mark.range, (ChunkRange{std::nullopt, 10}));
  EXPECT_EQ(mark.low.set, "0-1-10");
  EXPECT_EQ(mark.high.set, "0-1-11");
  EXPECT_EQ(mark.rows, 2u);
}

// Hazard H15: a chunk that is read again replaces its range, this tenant's only.
TEST_F(ChunkLoaderTest, AgainReplacesItsRangeOnly) {
  Run("INSERT INTO t (tenant_id, id) VALUES ('b', 5)");
  ASSERT_TRUE(Load(target_.get(), route(), {std::nullopt, 10}, 0, false,
                   {{Value::Int(1), Text("x")}, {Value::Int(9), Text("gone")}}));
  ASSERT_TRUE(Load(target_.get(), route(), {10, std::nullopt}, 1, false, {{Value::Int(10), Text("z")}}));
  ASSERT_TRUE(Load(target_.get(), route(), {std::nullopt, 10}, 0, true, {{Value::Int(1), Text("y")}}));
  EXPECT_EQ(Rows(), "a1y a10z b5-");
  // Not told to, but the mark is there: a commit that was in doubt came through after all.
  ASSERT_TRUE(Load(target_.get(), route(), {std::nullopt, 10}, 0, false, {{Value::Int(2), Text("w")}}));
  EXPECT_EQ(Rows(), "a2w a10z b5-");
  ASSERT_TRUE(Load(target_.get(), route(), {}, 0, true, {{Value::Int(3), Text("v")}}));
  EXPECT_EQ(Rows(), "a3v b5-");
}

TEST_F(ChunkLoaderTest, NothingIsLeftOfAChunkThatFails) {
  auto loader = target_->OpenLoader();
  ASSERT_TRUE(loader);
  ChunkMark mark;
  mark.table = "t";
  const Value good[] = {Value::Int(1), Text("x")};
  // A value that PostgreSQL cannot hold.
  ASSERT_TRUE((*loader)->Begin(route(), mark, false));
  ASSERT_TRUE((*loader)->Add(good));
  const Value nul[] = {Value::Int(2), Text(std::string_view("\0", 1))};
  auto refused = (*loader)->Add(nul);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "CF1411");
  EXPECT_NE(refused.error().message.find("table t"), std::string::npos);
  (*loader)->Rollback();
  // A key twice.
  ASSERT_TRUE((*loader)->Begin(route(), mark, false));
  ASSERT_TRUE((*loader)->Add(good));
  ASSERT_TRUE((*loader)->Add(good));
  mark.rows = 2;
  refused = (*loader)->Commit(mark);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().server_code, "23505");
  // A reader that counted otherwise.
  ASSERT_TRUE((*loader)->Begin(route(), mark, false));
  ASSERT_TRUE((*loader)->Add(good));
  refused = (*loader)->Commit(mark);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "CF1551");
  EXPECT_EQ(Rows(), "NULL");
  EXPECT_TRUE(target_->ReadState()->chunks.empty());
  // And the loader still works.
  mark.rows = 1;
  ASSERT_TRUE((*loader)->Begin(route(), mark, false));
  ASSERT_TRUE((*loader)->Add(good));
  ASSERT_TRUE((*loader)->Commit(mark));
  EXPECT_EQ(Rows(), "a1x");
}

TEST_F(ChunkLoaderTest, ManyRowsInPieces) {
  auto loader = target_->OpenLoader();
  ASSERT_TRUE(loader);
  ChunkMark mark;
  mark.table = "t";
  ASSERT_TRUE((*loader)->Begin(route(), mark, false));
  constexpr int kRows = 100000;
  for (int i = 0; i < kRows; ++i) {
    const Value row[] = {Value::Int(i), Text("twenty letters long!")};
    ASSERT_TRUE((*loader)->Add(row));
  }
  mark.rows = kRows;
  ASSERT_TRUE((*loader)->Commit(mark));
  EXPECT_EQ(Ask("SELECT count(*) || ' ' || sum(id) FROM t"), "100000 4999950000");
}

TEST_F(ChunkLoaderTest, ALostSessionIsNotADoubtBeforeCommit) {
  auto loader = target_->OpenLoader();
  ASSERT_TRUE(loader);
  ChunkMark mark;
  mark.table = "t";
  ASSERT_TRUE((*loader)->Begin(route(), mark, false));
  Run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND datname = "
      "current_database()");
  const Value row[] = {Value::Int(1), Text("x")};
  Status status = (*loader)->Add(row);
  if (status) {
    mark.rows = 1;
    status = (*loader)->Commit(mark);
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().error_class, ErrorClass::kReconnect) << status.error().ToString();
  EXPECT_EQ(Rows(), "NULL");
}

TEST_F(ChunkLoaderTest, ClearTableTakesRowsAndMarks) {
  Run("INSERT INTO t (tenant_id, id) VALUES ('b', 5)");
  ASSERT_TRUE(Load(target_.get(), route(), {}, 0, false, {{Value::Int(1), Text("x")}}));
  ASSERT_TRUE(target_->ClearTable(route()));
  EXPECT_EQ(Rows(), "b5-");
  EXPECT_TRUE(target_->ReadState()->chunks.empty());
}

// A tenant that comes to tables with standing keys: rows may come in pieces, children before parents, and a parent that
// is read again takes no child with it; orphans are found by the stage that would build the key.
TEST_F(ChunkLoaderTest, StandingKeysAreCheckedAfterTheCopy) {
  TableSchema node = TableWithId("node", {NumberColumn("parent")});
  AddReference(&node, "parent", "node", ReferenceAction::kCascade);
  const auto routes = Routes({node}, options_);
  Build(target_.get(), routes);
  const Route& nodes = *routes.Find("node");
  ASSERT_TRUE(Load(target_.get(), nodes, {std::nullopt, 2}, 0, false, {{Value::Int(1), Value::Int(2)}}));
  ASSERT_TRUE(Load(target_.get(), nodes, {2, std::nullopt}, 1, false, {{Value::Int(2), Value::Null()}}));
  ASSERT_TRUE(Load(target_.get(), nodes, {2, std::nullopt}, 1, true, {{Value::Int(2), Value::Null()}}));
  EXPECT_EQ(Ask("SELECT count(*) FROM node"), "2");
  EXPECT_TRUE(target_->BuildSchema(routes, SchemaStage::kForeignKeys, {}));
  ASSERT_TRUE(Load(target_.get(), nodes, {2, std::nullopt}, 1, true, {{Value::Int(3), Value::Null()}}));
  const Status orphan = target_->BuildSchema(routes, SchemaStage::kForeignKeys, {});
  ASSERT_FALSE(orphan);
  EXPECT_EQ(orphan.error().code, "CF1556") << orphan.error().ToString();
  EXPECT_EQ(orphan.error().error_class, ErrorClass::kData);
}

TEST_F(ChunkLoaderTest, EveryTenantType) {
  const std::pair<TenantType, const char*> types[] = {{TenantType::kBigint, "-42"},
                                                      {TenantType::kUuid, "00112233-4455-6677-8899-aabbccddeeff"}};
  for (const auto& [type, value] : types) {
    auto options = Options("other", value);
    options.tenancy.type = type;
    options.tenancy.column = "owner";
    auto target = Own(options);
    const auto routes = Routes({TableWithId("u", {})}, options);
    Build(target.get(), routes);
    ASSERT_TRUE(Load(target.get(), *routes.Find("u"), {}, 0, true, {{Value::Int(1)}}));
    ASSERT_TRUE(Load(target.get(), *routes.Find("u"), {}, 0, true, {{Value::Int(1)}}));
    EXPECT_EQ(Ask("SELECT owner FROM u"), value);
    ASSERT_TRUE(target->Abort(routes));
  }
}

}  // namespace
}  // namespace crossfade::apply
