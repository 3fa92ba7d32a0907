#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "apply/postgres/control.h"
#include "apply/postgres/schema_compare.h"
#include "apply/postgres/schema_plan.h"
#include "target_fixture.h"

namespace crossfade::apply {
namespace {

const Finding* FindCode(const std::vector<Finding>& findings, std::string_view code) {
  const auto found = std::find_if(findings.begin(), findings.end(), [&](const Finding& f) { return f.code == code; });
  return found == findings.end() ? nullptr : &*found;
}

Column WithDefault(Column column, const std::string& value, bool is_expression = false) {
  column.default_value = value;
  column.default_is_expression = is_expression;
  return column;
}

Column Typed(const std::string& name, ColumnType type, uint8_t fraction = 0) {
  Column column;
  column.name = name;
  column.type = type;
  column.fraction = fraction;
  return column;
}

TEST(TranslateDefaultTest, OnlyWhatIsExact) {
  using postgres::TypePolicy;
  using postgres::ZeroDatePolicy;
  const auto translated = [](const Column& column, TypePolicy policy = {}) {
    return TranslateDefault(column, policy).value_or("none");
  };
  EXPECT_EQ(translated(WithDefault(NumberColumn("a"), "-7")), "-7");
  EXPECT_EQ(translated(WithDefault(NumberColumn("a"), "1 + 1", true)), "none");
  EXPECT_EQ(translated(WithDefault(NumberColumn("a"), "1; DROP TABLE x", true)), "none");
  EXPECT_EQ(translated(WithDefault(VarcharColumn("a", 9), "it's \\")), "'it''s \\'");
  EXPECT_EQ(translated(WithDefault(VarcharColumn("a", 9), "uuid()", true)), "none");
  EXPECT_EQ(translated(WithDefault(Typed("a", ColumnType::kTimestamp, 6), "current_timestamp(6)", true)),
            "CURRENT_TIMESTAMP(6)");
  EXPECT_EQ(translated(WithDefault(Typed("a", ColumnType::kDateTime), "CURRENT_TIMESTAMP", true)),
            "date_trunc('second', LOCALTIMESTAMP)");
  EXPECT_EQ(translated(WithDefault(Typed("a", ColumnType::kTimestamp), "2020-01-01 00:00:00")), "none");
  EXPECT_EQ(translated(WithDefault(Typed("a", ColumnType::kDateTime), "2020-01-01 00:00:00")), "'2020-01-01 00:00:00'");
  EXPECT_EQ(translated(WithDefault(Typed("a", ColumnType::kDate), "2020-02-30")), "none");
  EXPECT_EQ(translated(WithDefault(Typed("a", ColumnType::kDate), "0000-00-00")), "none");
  EXPECT_EQ(
      translated(WithDefault(Typed("a", ColumnType::kDate), "0000-00-00"), {.zero_dates = ZeroDatePolicy::kInfinity}),
      "'-infinity'");
  Column bits = WithDefault(Typed("a", ColumnType::kBit), "b'101'", true);
  bits.length = 5;
  EXPECT_EQ(translated(bits), "B'00101'");
  EXPECT_EQ(translated(NumberColumn("a")), "none");
}

TEST(NamesTest, AreShortAndTellApart) {
  EXPECT_EQ(ShortName("orders_idx", "x"), "orders_idx");
  const std::string name(100, 'n');
  EXPECT_EQ(ShortName(name, "a").size(), 63u);
  EXPECT_NE(ShortName(name, "a"), ShortName(name, "b"));
  EXPECT_EQ(ShortName(name, "a"), ShortName(name, "a"));
  // Cut between characters: each of these has three bytes.
  std::string wide;
  for (int i = 0; i < 40; ++i) {
    wide += "漢";
  }
  EXPECT_EQ((ShortName(wide, "a").size() - 9) % 3, 0u);
}

TEST(HoldsTest, WiderIsFineNarrowerIsNot) {
  EXPECT_TRUE(Holds("character varying(20)", "character varying(10)"));
  EXPECT_TRUE(Holds("text", "character varying(10)"));
  EXPECT_TRUE(Holds("numeric(12,2)", "numeric(10,2)"));
  EXPECT_TRUE(Holds("numeric", "numeric(10,2)"));
  EXPECT_TRUE(Holds("timestamp(6) without time zone", "timestamp(3) without time zone"));
  EXPECT_FALSE(Holds("character varying(10)", "character varying(20)"));
  EXPECT_FALSE(Holds("numeric(11,4)", "numeric(10,2)"));
  EXPECT_FALSE(Holds("bigint", "integer"));
  EXPECT_FALSE(Holds("timestamp(6) with time zone", "timestamp(6) without time zone"));
  EXPECT_FALSE(Holds("bit(9)", "bit(8)"));
  EXPECT_FALSE(Holds("json", "jsonb"));
}

std::vector<Finding> FindingsOf(const std::vector<TableSchema>& tables, TenancyMode mode = TenancyMode::kColumn,
                                bool text_keys_exact = false) {
  Tenancy tenancy;
  tenancy.mode = mode;
  tenancy.value = "a";
  auto routes = RouteSet::Make(tables, {.tenancy = tenancy});
  EXPECT_TRUE(routes);
  auto plan = PlanSchemaOf(*routes, {.tenancy = tenancy, .text_keys_exact = text_keys_exact});
  EXPECT_TRUE(plan);
  return plan->findings;
}

TEST(PlanTest, TextKeysThatTheSourceComparesCoarsely) {
  for (const char* collation : {"utf8mb4_general_ci", "utf8mb4_uca1400_ai_ci", "utf8mb4_bin", "latin1_bin"}) {
    TableSchema table = TableWithId("t", {VarcharColumn("code", 20, collation)});
    AddIndex(&table, "code", true, {"code"});
    const auto findings = FindingsOf({table});
    const Finding* finding = FindCode(findings, "CF1530");
    ASSERT_NE(finding, nullptr) << collation;
    EXPECT_TRUE(finding->blocks);
    EXPECT_EQ(finding->object, "t.code");
    EXPECT_NE(finding->fix.find("ALTER TABLE `t` MODIFY `code` varchar(20)"), std::string::npos) << finding->fix;
    EXPECT_EQ(FindCode(FindingsOf({table}, TenancyMode::kColumn, true), "CF1530"), nullptr);
  }
  for (const char* collation : {"utf8mb4_0900_bin", "utf8mb4_nopad_bin", "binary"}) {
    TableSchema table = TableWithId("t", {VarcharColumn("code", 20, collation)});
    AddIndex(&table, "code", true, {"code"});
    EXPECT_EQ(FindCode(FindingsOf({table}), "CF1530"), nullptr) << collation;
  }
  // Not a key.
  TableSchema table = TableWithId("t", {VarcharColumn("code", 20, "utf8mb4_general_ci")});
  AddIndex(&table, "code", false, {"code"});
  EXPECT_EQ(FindCode(FindingsOf({table}), "CF1530"), nullptr);
}

TEST(PlanTest, ForeignKeysThatCannotStand) {
  TableSchema child = TableWithId("child", {NumberColumn("pid")});
  AddReference(&child, "pid", "parent", ReferenceAction::kNoAction, ReferenceAction::kSetNull);
  const TableSchema parent = TableWithId("parent", {NumberColumn("loose")});
  auto findings = FindingsOf({parent, child});
  ASSERT_NE(FindCode(findings, "CF1542"), nullptr);
  EXPECT_TRUE(FindCode(findings, "CF1542")->blocks);
  EXPECT_EQ(FindCode(FindingsOf({parent, child}, TenancyMode::kNone), "CF1542"), nullptr);
  child.foreign_keys[0].parent_columns = {"loose"};
  findings = FindingsOf({parent, child});
  ASSERT_NE(FindCode(findings, "CF1541"), nullptr);
  findings = FindingsOf({child});
  ASSERT_NE(FindCode(findings, "CF1545"), nullptr);
}

TEST(PlanTest, FullTextAndChecksAreForAPerson) {
  TableSchema table = TableWithId("t", {VarcharColumn("body", 100)});
  AddIndex(&table, "words", false, {"body"});
  table.keys[0].method = "FULLTEXT";
  table.checks = {"`id` > 0"};
  const auto findings = FindingsOf({table});
  ASSERT_NE(FindCode(findings, "CF1540"), nullptr);
  EXPECT_FALSE(FindCode(findings, "CF1540")->blocks);
  ASSERT_NE(FindCode(findings, "CF1543"), nullptr);
}

class SchemaTest : public TargetTest {
 protected:
  // A parent and a child, with all kinds of keys.
  static std::vector<TableSchema> Shop() {
    TableSchema customer = TableWithId(
        "customer", {VarcharColumn("email", 200), VarcharColumn("note", 500), WithDefault(NumberColumn("rank"), "5")});
    customer.comment = "who's who";
    AddIndex(&customer, "email", true, {"email"});
    AddIndex(&customer, "note", false, {"note"}, 10);
    TableSchema order = TableWithId("order", {NumberColumn("customer"), NumberColumn("previous")});
    AddReference(&order, "customer", "customer", ReferenceAction::kCascade, ReferenceAction::kCascade);
    AddReference(&order, "previous", "order", ReferenceAction::kSetNull);
    AddIndex(&order, "customer", false, {"customer"});
    return {customer, order};
  }

  std::string Catalog() const {
    return Ask(
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM ("
        " SELECT pg_get_indexdef(i.indexrelid) AS line FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        "  WHERE c.relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) || convalidated FROM pg_constraint"
        "  WHERE connamespace = 'public'::regnamespace"
        " UNION ALL SELECT attrelid::regclass || ' ' || attname || format_type(atttypid, atttypmod) || attnotnull"
        "  || attidentity::text FROM pg_attribute WHERE attnum > 0 AND attrelid IN"
        "  (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace)) x");
  }
};

TEST_F(SchemaTest, IsMadeOnceHoweverOftenItIsAsked) {
  auto target = Own(Options("m", "a"));
  const auto routes = Routes(Shop(), Options("m", "a"));
  auto findings = target->PlanSchema(routes);
  ASSERT_TRUE(findings) << findings.error().ToString();
  EXPECT_TRUE(findings->empty()) << (*findings)[0].code;
  Build(target.get(), routes);
  const std::string once = Catalog();
  EXPECT_NE(once.find("UNIQUE INDEX customer_email ON public.customer USING btree (tenant_id, email)"),
            std::string::npos)
      << once;
  EXPECT_NE(once.find("(tenant_id, \"left\"((note)::text, 10))"), std::string::npos) << once;
  EXPECT_NE(once.find("FOREIGN KEY (tenant_id, customer) REFERENCES customer(tenant_id, id) ON UPDATE CASCADE ON "
                      "DELETE CASCADE DEFERRABLEtrue"),
            std::string::npos)
      << once;
  EXPECT_NE(once.find("ON DELETE SET NULL (previous) DEFERRABLEtrue"), std::string::npos) << once;
  EXPECT_NE(once.find("PRIMARY KEY (tenant_id, id)"), std::string::npos) << once;
  EXPECT_EQ(Ask("SELECT obj_description('customer'::regclass)"), "who's who");
  Build(target.get(), routes);
  EXPECT_EQ(Catalog(), once);
}

TEST_F(SchemaTest, WithoutTenants) {
  auto options = Options("m", "a");
  options.tenancy.mode = TenancyMode::kNone;
  auto target = Own(options);
  const auto routes = Routes(Shop(), options);
  Build(target.get(), routes);
  Build(target.get(), routes);
  const std::string catalog = Catalog();
  EXPECT_EQ(catalog.find("tenant"), std::string::npos);
  EXPECT_NE(catalog.find("ON DELETE SET NULL DEFERRABLEtrue"), std::string::npos) << catalog;
}

TEST_F(SchemaTest, ActionKeysStandBeforeTheOthers) {
  auto target = Own(Options("m", "a"));
  auto tables = Shop();
  TableSchema item = TableWithId("item", {NumberColumn("order_id")});
  AddReference(&item, "order_id", "order");
  tables.push_back(item);
  const auto routes = Routes(tables, Options("m", "a"));
  Build(target.get(), routes, {SchemaStage::kTables, SchemaStage::kActionForeignKeys});
  EXPECT_EQ(Ask("SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE contype = 'f'"),
            "order_ibfk_1,order_ibfk_2");
  EXPECT_EQ(Ask("SELECT to_regclass('order_customer') IS NOT NULL AND to_regclass('customer_note') IS NULL"), "t");
  Build(target.get(), routes);
  EXPECT_EQ(Ask("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"), "3");
}

// The second tenant brings a column, lacks another, and has other keys; the first goes on writing meanwhile.
TEST_F(SchemaTest, ASecondTenantFitsIn) {
  auto first = Own(Options("m1", "a"));
  const auto routes1 = Routes(Shop(), Options("m1", "a"));
  Build(first.get(), routes1);
  ASSERT_TRUE(Load(first.get(), *routes1.Find("customer"), {}, 0, false,
                   {{Value::Int(1), Value::OfBytes(ValueKind::kText, "x"), Value::Null(), Value::Int(1)}}));

  auto tables = Shop();
  tables[0].columns.erase(tables[0].columns.begin() + 2);
  tables[0].columns.push_back(VarcharColumn("phone", 30));
  tables[0].keys.erase(tables[0].keys.begin() + 1);
  AddIndex(&tables[0], "note", false, {"phone"});  // the name of another index of the first tenant
  AddIndex(&tables[0], "phone", true, {"phone"});
  auto second = Own(Options("m2", "b"));
  const auto routes2 = Routes(tables, Options("m2", "b"));
  // Not while the first is being copied.
  auto findings = second->PlanSchema(routes2);
  ASSERT_TRUE(findings);
  ASSERT_NE(FindCode(*findings, "CF1555"), nullptr);
  ASSERT_TRUE(first->SetFact("analyzed"));
  findings = second->PlanSchema(routes2);
  ASSERT_TRUE(findings);
  for (const Finding& finding : *findings) {
    EXPECT_FALSE(finding.blocks) << finding.code << " " << finding.object << ": " << finding.found;
  }

  std::atomic<bool> stop = false;
  std::atomic<int> written = 0;
  std::thread application([&] {
    auto connection = postgres::Connection::Open(connection_options_);
    ASSERT_TRUE(connection);
    while (!stop) {
      auto done = (*connection)->Execute("UPDATE customer SET rank = rank + 1 WHERE tenant_id = 'a'");
      EXPECT_TRUE(done) << done.error().ToString();
      ++written;
    }
  });
  Build(second.get(), routes2);
  stop = true;
  application.join();
  EXPECT_GT(written, 0);
  const std::string catalog = Catalog();
  EXPECT_NE(catalog.find("customer phonecharacter varying(30)false"), std::string::npos) << catalog;
  EXPECT_EQ(Ask("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname = 'customer'"),
            "5");
  Build(second.get(), routes2);
  EXPECT_EQ(Catalog(), catalog);
  ASSERT_TRUE(Load(second.get(), *routes2.Find("customer"), {}, 0, false,
                   {{Value::Int(1), Value::OfBytes(ValueKind::kText, "x"), Value::Int(1), Value::Null()}}));
  EXPECT_EQ(Ask("SELECT count(*) FROM customer"), "2");

  // The first is aborted: the second's rows and tables stay; then the second goes, and the tables with it.
  Status aborted = first->Abort(routes1);
  ASSERT_TRUE(aborted) << aborted.error().ToString();
  EXPECT_EQ(Ask("SELECT string_agg(tenant_id, '') FROM customer"), "b");
  aborted = second->Abort(routes2);
  ASSERT_TRUE(aborted) << aborted.error().ToString();
  EXPECT_EQ(Ask("SELECT to_regclass('customer') IS NULL AND to_regclass('\"order\"') IS NULL"), "t");
  EXPECT_EQ(Ask("SELECT (SELECT count(*) FROM crossfade.migration) + (SELECT count(*) FROM crossfade.object)"
                " + (SELECT count(*) FROM crossfade.chunk) + (SELECT count(*) FROM crossfade.progress)"),
            "0");
}

TEST_F(SchemaTest, WhatBlocksASecondTenantIsSaid) {
  auto first = Own(Options("m1", "a"));
  Build(first.get(), Routes(Shop(), Options("m1", "a")));
  Run("ALTER TABLE customer ADD COLUMN must int NOT NULL");
  auto tables = Shop();
  tables[0].columns[1].length = 300;  // narrower on the target
  tables[0].columns[3].bits = 64;     // another type
  tables[1].primary_key = {{0, 0, false}, {1, 0, false}};
  tables[1].columns[1].nullable = false;
  auto options = Options("m2", "b");
  auto second = Own(options);
  const auto routes = Routes(tables, options);
  auto findings = second->PlanSchema(routes);
  ASSERT_TRUE(findings);
  for (const char* code : {"CF1531", "CF1532", "CF1534"}) {
    const Finding* finding = FindCode(*findings, code);
    ASSERT_NE(finding, nullptr) << code;
    EXPECT_TRUE(finding->blocks) << code;
  }
  const Status refused = second->BuildSchema(routes, SchemaStage::kTables, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error_class, ErrorClass::kConfig);
}

TEST_F(SchemaTest, RowsOfSomebodyElseBlock) {
  auto first = Own(Options("m1", "a"));
  const auto routes = Routes(Shop(), Options("m1", "a"));
  Build(first.get(), routes);
  Run("INSERT INTO customer (tenant_id, id) VALUES ('b', 1)");
  auto target = Open(Options("m2", "b"));
  auto findings = target->PlanSchema(routes);
  ASSERT_TRUE(findings);
  ASSERT_NE(FindCode(*findings, "CF1537"), nullptr);
  EXPECT_TRUE(FindCode(*findings, "CF1537")->blocks);
  // Its own rows do not.
  Run("INSERT INTO customer (tenant_id, id) VALUES ('a', 1)");
  findings = first->PlanSchema(routes);
  EXPECT_EQ(FindCode(*findings, "CF1537"), nullptr);
}

TEST_F(SchemaTest, ATableWithoutTenantsIsNotTaken) {
  Run("CREATE TABLE customer (id int PRIMARY KEY); INSERT INTO customer VALUES (1)");
  auto target = Own(Options("m", "a"));
  const auto routes = Routes(Shop(), Options("m", "a"));
  auto findings = target->PlanSchema(routes);
  ASSERT_TRUE(findings) << findings.error().ToString();
  ASSERT_NE(FindCode(*findings, "CF1536"), nullptr);
  EXPECT_FALSE(target->BuildSchema(routes, SchemaStage::kTables, {}));
  ASSERT_TRUE(target->Abort(routes));
  EXPECT_EQ(Ask("SELECT count(*) FROM customer"), "1");
}

// A concurrent index build that died leaves an index that is none.
TEST_F(SchemaTest, AnInvalidIndexIsMadeAnew) {
  auto first = Own(Options("m1", "a"));
  auto tables = Shop();
  tables[0].keys.clear();
  Build(first.get(), Routes(tables, Options("m1", "a")));
  Run("INSERT INTO customer (tenant_id, id, email) VALUES ('a', 1, 'x'), ('a', 2, 'x')");
  auto second = Own(Options("m2", "b"));
  const auto routes = Routes(Shop(), Options("m2", "b"));
  Build(second.get(), routes, {SchemaStage::kTables});
  // The other tenant's rows break the key: refused, and nothing is left behind.
  const Status refused = second->BuildSchema(routes, SchemaStage::kKeys, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().server_code, "23505") << refused.error().ToString();
  EXPECT_EQ(Ask("SELECT to_regclass('customer_email') IS NULL"), "t");
  EXPECT_FALSE(connection_->Execute("CREATE UNIQUE INDEX CONCURRENTLY customer_email ON customer (tenant_id, email)"));
  EXPECT_EQ(Ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'customer_email'::regclass"), "f");
  Run("DELETE FROM customer WHERE id = 2");
  Build(second.get(), routes);
  EXPECT_EQ(Ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'customer_email'::regclass"), "t");
}

TEST_F(SchemaTest, AnOrphanStopsAndIsNamed) {
  auto target = Own(Options("m", "a"));
  const auto routes = Routes(Shop(), Options("m", "a"));
  Build(target.get(), routes, {SchemaStage::kTables});
  Run("INSERT INTO \"order\" (tenant_id, id, customer) VALUES ('a', 1, 99)");
  const Status refused = target->BuildSchema(routes, SchemaStage::kForeignKeys, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error_class, ErrorClass::kData);
  EXPECT_NE(refused.error().message.find("99"), std::string::npos) << refused.error().ToString();
  // Left half-way, not validated; mended, and gone on from there.
  EXPECT_EQ(Ask("SELECT convalidated FROM pg_constraint WHERE conname = 'order_ibfk_1'"), "f");
  Run("DELETE FROM \"order\"");
  Build(target.get(), routes);
  EXPECT_EQ(Ask("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"), "2");
}

TEST_F(SchemaTest, ALockedTableIsTriedAgainLater) {
  auto first = Own(Options("m1", "a"));
  Build(first.get(), Routes(Shop(), Options("m1", "a")));
  auto tables = Shop();
  tables[0].columns.push_back(NumberColumn("more"));
  auto second = Own(Options("m2", "b"));
  const auto routes = Routes(tables, Options("m2", "b"));
  Run("BEGIN; SELECT count(*) FROM customer");
  Status locked = second->BuildSchema(routes, SchemaStage::kTables, {});
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().error_class, ErrorClass::kTransient) << locked.error().ToString();
  Run("ROLLBACK");
  Run(fmt::format("SELECT pg_advisory_lock({})", kDdlLock));
  locked = second->BuildSchema(routes, SchemaStage::kTables, {});
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().code, "CF1505");
  Run(fmt::format("SELECT pg_advisory_unlock({})", kDdlLock));
  Build(second.get(), routes);
}

TEST_F(SchemaTest, StoppingEndsAStatementThatRuns) {
  auto first = Own(Options("m1", "a"));
  auto options = Options("m2", "b");
  auto second = Own(options);
  Build(first.get(), Routes(Shop(), Options("m1", "a")), {SchemaStage::kTables});
  const auto routes = Routes(Shop(), options);
  Build(second.get(), routes, {SchemaStage::kTables});
  Run("BEGIN; UPDATE customer SET rank = 1");  // a concurrent build waits for it
  std::stop_source stop;
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    stop.request_stop();
  });
  const Status stopped = second->BuildSchema(routes, SchemaStage::kKeys, stop.get_token());
  stopper.join();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().error_class, ErrorClass::kTransient) << stopped.error().ToString();
  Run("ROLLBACK");
  Build(second.get(), routes);
}

TEST_F(SchemaTest, IdentitiesGoForwardOnly) {
  auto target = Own(Options("m", "a"));
  TableSchema big = TableWithId("big", {});
  big.columns[0].bits = 64;
  big.columns[0].is_unsigned = true;  // numeric: a sequence instead of an identity
  const auto routes = Routes({TableWithId("t", {}), big}, Options("m", "a"));
  Build(target.get(), routes);
  Run("INSERT INTO t (tenant_id, id) VALUES ('a', 41), ('z', 900); INSERT INTO big (tenant_id, id) VALUES ('a', 7)");
  Build(target.get(), routes, {SchemaStage::kIdentity});
  EXPECT_EQ(Ask("INSERT INTO t (tenant_id) VALUES ('a') RETURNING id"), "42");
  EXPECT_EQ(Ask("INSERT INTO big (tenant_id) VALUES ('a') RETURNING id"), "8");
  Run("SELECT setval('t_id_seq', 5000)");
  Build(target.get(), routes, {SchemaStage::kIdentity});
  EXPECT_EQ(Ask("INSERT INTO t (tenant_id) VALUES ('a') RETURNING id"), "5001");
}

TEST_F(SchemaTest, LongAndHostileNames) {
  auto target = Own(Options("it's \"m\"", "a'b"));
  auto options = Options("it's \"m\"", "a'b");
  TableSchema table = TableWithId(std::string(60, 't'), {VarcharColumn("na\"me; DROP", 20), VarcharColumn("Up", 20)});
  AddIndex(&table, std::string(60, 'k') + "1", true, {"na\"me; DROP"});
  AddIndex(&table, std::string(60, 'k') + "2", false, {"na\"me; DROP", "Up"}, 5);
  const auto routes = Routes({table}, options);
  Build(target.get(), routes);
  const std::string once = Catalog();
  Build(target.get(), routes);
  EXPECT_EQ(Catalog(), once);
  ASSERT_TRUE(Load(target.get(), *routes.Find(table.name), {}, 0, true,
                   {{Value::Int(1), Value::OfBytes(ValueKind::kText, "'"), Value::Null()}}));
  ASSERT_TRUE(target->ClearTable(*routes.Find(table.name)));
  ASSERT_TRUE(target->Abort(routes));
}

}  // namespace
}  // namespace crossfade::apply
