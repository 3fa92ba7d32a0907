#include "apply/route.h"

#include "changes.h"

namespace crossfade::apply {
namespace {

using enum ReferenceAction;
using Names = std::set<std::string>;

TEST(Routes, IncludeAndExcludeByWildcard) {
  const std::vector<TableSchema> tables = {MakeTable("orders", {"id"}, {"id"}),
                                           MakeTable("order_lines", {"id"}, {"id"}),
                                           MakeTable("log_2020", {"id"}, {"id"}), MakeTable("a", {"id"}, {"id"})};
  const auto chosen = [&](std::vector<std::string> include, std::vector<std::string> exclude) {
    RouteRules rules;
    rules.include = std::move(include);
    rules.exclude = std::move(exclude);
    std::vector<std::string> names;
    const RouteSet routes = Get(RouteSet::Make(tables, rules));
    for (const auto& route : routes.routes()) {
      names.push_back(route->source.name);
    }
    return names;
  };
  using List = std::vector<std::string>;
  EXPECT_EQ(chosen({"*"}, {}), (List{"a", "log_2020", "order_lines", "orders"}));
  EXPECT_EQ(chosen({"order*"}, {}), (List{"order_lines", "orders"}));
  EXPECT_EQ(chosen({"*"}, {"log_????", "*_lines"}), (List{"a", "orders"}));
  EXPECT_EQ(chosen({"?"}, {}), (List{"a"}));
  RouteRules none;
  none.include = {"Orders"};
  EXPECT_EQ(CodeOf(RouteSet::Make(tables, none)), "CF1512");
}

TEST(Routes, ChooseWhatTellsRowsApart) {
  TableSchema unique = MakeTable("unique", {"a", "b", "c"}, {});
  AddUnique(&unique, "a");  // may be NULL
  AddUnique(&unique, "c");
  unique.columns[2].nullable = false;
  TableSchema prefix = MakeTable("prefix", {"a"}, {"a"});
  prefix.primary_key[0].prefix = 10;
  const RouteSet routes = Get(RouteSet::Make(
      {MakeTable("keyed", {"x", "id"}, {"id"}), unique, prefix, MakeTable("heap", {"a", "b"}, {})}, RouteRules{}));
  EXPECT_EQ(routes.Find("keyed")->identity, RowIdentity::kPrimaryKey);
  EXPECT_EQ(routes.Find("keyed")->key, std::vector<uint32_t>{1});
  EXPECT_EQ(routes.Find("unique")->identity, RowIdentity::kUniqueKey);
  EXPECT_EQ(routes.Find("unique")->key, std::vector<uint32_t>{2});
  EXPECT_EQ(routes.Find("prefix")->identity, RowIdentity::kWholeRow);
  EXPECT_EQ(routes.Find("heap")->identity, RowIdentity::kWholeRow);
  EXPECT_EQ(routes.Find("heap")->key, (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(routes.Find("nobody"), nullptr);
}

TEST(Routes, KnowWhatADeleteOrKeyChangeReaches) {
  std::vector<TableSchema> tables = {MakeTable("a", {"id"}, {"id"}), MakeTable("b", {"id", "aid"}, {"id"}),
                                     MakeTable("c", {"id", "bid"}, {"id"}), MakeTable("d", {"id", "cid"}, {"id"}),
                                     MakeTable("self", {"id", "up"}, {"id"})};
  AddForeignKey(&tables[1], "aid", "a", kNoAction, kCascade);
  AddForeignKey(&tables[2], "bid", "b", kSetNull, kNoAction);
  AddForeignKey(&tables[3], "cid", "c", kNoAction, kNoAction);
  AddForeignKey(&tables[4], "up", "self", kCascade, kNoAction);
  AddForeignKey(&tables[4], "up", "not_captured", kCascade, kNoAction);
  const RouteSet routes = Get(RouteSet::Make(tables, RouteRules{}));
  EXPECT_EQ(routes.Find("a")->cascade_reach, (Names{"b", "c"}));
  EXPECT_EQ(routes.Find("b")->cascade_reach, (Names{"c"}));
  EXPECT_EQ(routes.Find("c")->cascade_reach, Names{});
  EXPECT_EQ(routes.Find("self")->cascade_reach, (Names{"self"}));
  EXPECT_EQ(routes.Find("a")->referenced_columns, (std::set<uint32_t>{0}));
  EXPECT_TRUE(routes.Find("b")->referenced_columns.empty());
  EXPECT_FALSE(routes.Find("a")->delete_acts);
  EXPECT_TRUE(routes.Find("b")->delete_acts);
  EXPECT_TRUE(routes.Find("c")->referenced);
  EXPECT_FALSE(routes.Find("d")->referenced);
  EXPECT_LT(routes.Find("a")->rank, routes.Find("b")->rank);
  EXPECT_LT(routes.Find("c")->rank, routes.Find("d")->rank);
}

TEST(Routes, CyclesHaveRanksToo) {
  std::vector<TableSchema> tables = {MakeTable("a", {"id", "x"}, {"id"}), MakeTable("b", {"id", "x"}, {"id"})};
  AddForeignKey(&tables[0], "x", "b", kCascade, kNoAction);
  AddForeignKey(&tables[1], "x", "a", kCascade, kNoAction);
  const RouteSet routes = Get(RouteSet::Make(tables, RouteRules{}));
  EXPECT_NE(routes.Find("a")->rank, routes.Find("b")->rank);
  EXPECT_EQ(routes.Find("a")->cascade_reach, (Names{"a", "b"}));
}

TEST(Routes, RefuseNamesThatCannotBe) {
  EXPECT_EQ(CodeOf(RouteSet::Make({MakeTable("t", {"id", "tenant_id"}, {"id"})}, RouteRules{})), "CF1510");
  RouteRules none;
  none.tenancy.mode = TenancyMode::kNone;
  EXPECT_TRUE(RouteSet::Make({MakeTable("t", {"id", "tenant_id"}, {"id"})}, none));
  EXPECT_EQ(CodeOf(RouteSet::Make({MakeTable(std::string(64, 'x'), {"id"}, {"id"})}, none)), "CF1511");
  EXPECT_EQ(CodeOf(RouteSet::Make({MakeTable("t", {std::string(64, 'x')}, {})}, none)), "CF1511");
}

}  // namespace
}  // namespace crossfade::apply
