#include "apply/transform.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "apply/route.h"
#include "tests/unit/apply/changes.h"

namespace crossfade::apply {
namespace {

const std::string kKey = "0123456789abcdef";

Column Of(ColumnType type) {
  Column column;
  column.name = "c";
  column.type = type;
  column.source_type = ColumnTypeName(type);
  column.bits = 32;
  column.length = 10;
  column.precision = 10;
  column.scale = 2;
  return column;
}

Result<std::shared_ptr<const Transform>> Make(ColumnRule rule, const Column& column, const std::string& key = kKey) {
  return Transform::Make(rule, column, "shop.t.c", key);
}

// What is stored, as text; the code of the error if there is one.
std::string Stored(const ColumnRule& rule, const Column& column, const Value& value) {
  const auto transform = Make(rule, column);
  if (!transform) {
    return transform.error().code;
  }
  std::string storage;
  const Result<Value> out = (*transform)->Apply(value, &storage);
  if (!out) {
    return out.error().code;
  }
  return out->kind == ValueKind::kText || out->kind == ValueKind::kDecimal ? std::string(out->bytes) : ToDisplay(*out);
}

ColumnRule Cast(std::string to) { return {.kind = TransformKind::kCast, .argument = std::move(to)}; }
ColumnRule Mask(std::string with) { return {.kind = TransformKind::kMask, .argument = std::move(with)}; }
const ColumnRule kHash{.kind = TransformKind::kHash};

Value Text(std::string_view text) { return Value::OfBytes(ValueKind::kText, text); }
Value Decimal(std::string_view text) { return Value::OfBytes(ValueKind::kDecimal, text); }

// The value was made with: printf %s jo@example.org | openssl dgst -sha256 -hmac 0123456789abcdef
TEST(TransformTest, HashesWithTheKeyAsAnybodyCanCompute) {
  EXPECT_EQ(Stored(kHash, Of(ColumnType::kVarchar), Text("jo@example.org")),
            "a2d80bcc8c186b92b94055716d98370aad31740e6e1622b7f4876f1e6999d80c");
  EXPECT_EQ(Stored(kHash, Of(ColumnType::kInt), Value::Int(-5)), Stored(kHash, Of(ColumnType::kVarchar), Text("-5")));
  EXPECT_EQ(Stored(kHash, Of(ColumnType::kVarchar), Value::Null()), "NULL");
  EXPECT_EQ(CodeOf(Make(kHash, Of(ColumnType::kVarchar), "")), "CF1515");
  EXPECT_EQ(CodeOf(Make(kHash, Of(ColumnType::kVarchar), "fifteen letters")), "CF1515");
  EXPECT_EQ(CodeOf(Make(kHash, Of(ColumnType::kJson))), "CF1515");
  const auto transform = *Make(kHash, Of(ColumnType::kInt));
  EXPECT_EQ(transform->target().type, ColumnType::kVarchar);
  EXPECT_EQ(transform->target().length, 64U);
}

TEST(TransformTest, MasksEveryValueButNull) {
  EXPECT_EQ(Stored(Mask("***"), Of(ColumnType::kVarchar), Text("secret")), "***");
  EXPECT_EQ(Stored(Mask("***"), Of(ColumnType::kVarchar), Text("")), "***");
  EXPECT_EQ(Stored(Mask("***"), Of(ColumnType::kVarchar), Value::Null()), "NULL");
  EXPECT_EQ(Stored(Mask("-1"), Of(ColumnType::kInt), Value::Int(7)), "-1");
  EXPECT_EQ(Stored(Mask("01234567890"), Of(ColumnType::kVarchar), Text("x")), "CF1515");  // ten characters
  EXPECT_EQ(Stored(Mask("\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"), Of(ColumnType::kVarchar), Text("x")),
            "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4");
  EXPECT_EQ(Stored(Mask("3000000000"), Of(ColumnType::kInt), Value::Int(7)), "CF1515");
  Column small = Of(ColumnType::kInt);
  small.is_unsigned = true;
  small.bits = 8;
  EXPECT_EQ(Stored(Mask("255"), small, Value::Uint(7)), "255");
  EXPECT_EQ(Stored(Mask("256"), small, Value::Uint(7)), "CF1515");
  EXPECT_EQ(Stored(Mask("-1"), small, Value::Uint(7)), "CF1515");
  EXPECT_EQ(Stored(Mask("***"), Of(ColumnType::kInt), Value::Int(7)), "CF1515");
  EXPECT_EQ(Stored(Mask("***"), Of(ColumnType::kDate), Value::OfInt(ValueKind::kDate, PackDate(2020, 1, 1))), "CF1515");
}

TEST(TransformTest, CastsToTextLoseNothing) {
  EXPECT_EQ(Stored(Cast("text"), Of(ColumnType::kInt), Value::Int(-12)), "-12");
  EXPECT_EQ(Stored(Cast("text"), Of(ColumnType::kDecimal), Decimal("-0.10")), "-0.10");
  EXPECT_EQ(Stored(Cast("text"), Of(ColumnType::kDouble), Value::Double(0.1)), "0.1");
  EXPECT_EQ(Stored(Cast("text"), Of(ColumnType::kDouble), Value::Double(0.1 + 0.2)), "0.30000000000000004");
  Column time = Of(ColumnType::kDateTime);
  const Value at = Value::OfInt(ValueKind::kDateTime, PackDateTime(PackDate(2020, 2, 29), 3'723'120'000));
  EXPECT_EQ(Stored(Cast("text"), time, at), "2020-02-29 01:02:03");
  time.fraction = 3;
  EXPECT_EQ(Stored(Cast("text"), time, at), "2020-02-29 01:02:03.120");
  time.fraction = 6;
  EXPECT_EQ(Stored(Cast("text"), time, at), "2020-02-29 01:02:03.120000");
  Column stamp = Of(ColumnType::kTimestamp);
  stamp.fraction = 1;
  EXPECT_EQ(Stored(Cast("text"), stamp, Value::OfInt(ValueKind::kTimestamp, 500'000)), "1970-01-01 00:00:00.5Z");
  stamp.fraction = 0;
  EXPECT_EQ(Stored(Cast("text"), stamp, Value::OfInt(ValueKind::kTimestamp, 1'000'000)), "1970-01-01 00:00:01Z");
  for (const ColumnType type : {ColumnType::kJson, ColumnType::kBlob, ColumnType::kUuid, ColumnType::kGeometry}) {
    EXPECT_EQ(CodeOf(Make(Cast("text"), Of(type))), "CF1515") << ColumnTypeName(type);
  }
}

TEST(TransformTest, CastsToNumbersAreExactOrStop) {
  EXPECT_EQ(Stored(Cast("bigint"), Of(ColumnType::kVarchar), Text("-0042")), "-42");
  EXPECT_EQ(Stored(Cast("bigint"), Of(ColumnType::kDecimal), Decimal("12.00")), "12");
  for (const char* bad : {"", " 1", "1 ", "0x10", "1e3", "12.5", "9223372036854775808", "--1", "1.", ".5", "nan"}) {
    EXPECT_EQ(Stored(Cast("bigint"), Of(ColumnType::kVarchar), Text(bad)), "CF1516") << bad;
  }
  Column large = Of(ColumnType::kInt);
  large.is_unsigned = true;
  large.bits = 64;
  EXPECT_EQ(Stored(Cast("bigint"), large, Value::Uint(9223372036854775807ULL)), "9223372036854775807");
  EXPECT_EQ(Stored(Cast("bigint"), large, Value::Uint(9223372036854775808ULL)), "CF1516");
  EXPECT_EQ(Stored(Cast("numeric(5,2)"), Of(ColumnType::kVarchar), Text("-00123.4")), "-123.40");
  EXPECT_EQ(Stored(Cast("numeric(5,2)"), Of(ColumnType::kVarchar), Text("1234")), "CF1516");
  EXPECT_EQ(Stored(Cast("numeric(5,2)"), Of(ColumnType::kVarchar), Text("1.005")), "CF1516");
  EXPECT_EQ(Stored(Cast("numeric(5,2)"), Of(ColumnType::kVarchar), Text("1.500")), "1.50");
  EXPECT_EQ(Stored(Cast("numeric(2,2)"), Of(ColumnType::kVarchar), Text("-0.00")), "0.00");
  EXPECT_EQ(Stored(Cast("numeric(3,0)"), Of(ColumnType::kDecimal), Decimal("999.00")), "999");
  for (const char* bad : {"numeric(0,0)", "numeric(3,4)", "numeric(3)", "numeric(3,2)x", "double", ""}) {
    EXPECT_EQ(CodeOf(Make(Cast(bad), Of(ColumnType::kVarchar))), "CF1515") << bad;
  }
  EXPECT_EQ(CodeOf(Make(Cast("bigint"), Of(ColumnType::kDouble))), "CF1515");
}

RouteRules With(std::map<std::string, std::map<std::string, ColumnRule>> columns,
                std::map<std::string, std::string> tables = {}) {
  RouteRules rules;
  rules.transforms = {std::move(tables), std::move(columns), kKey};
  return rules;
}

std::vector<TableSchema> Family() {
  TableSchema parent = MakeTable("parent", {"id", "code", "note"}, {"id"});
  parent.keys.push_back({"by_code", true, {{1, 0, false}}, ""});
  TableSchema child = MakeTable("child", {"id", "parent_code", "note"}, {"id"});
  child.foreign_keys.push_back({"to_parent", {1}, "parent", {"code"}});
  return {parent, child, MakeTable("heap", {"a", "b"}, {})};
}

TEST(TransformRouteTest, KeysMayBeRenamedOnly) {
  for (const auto& [table, column] : {std::pair{"parent", "id"}, {"parent", "code"}, {"child", "parent_code"}}) {
    const ColumnRule out{.exclude = true};
    EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({{table, {{column, out}}}}))), "CF1515") << table << column;
    EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({{table, {{column, Cast("text")}}}}))), "CF1515") << table << column;
    const auto renamed = RouteSet::Make(Family(), With({{table, {{column, ColumnRule{.name = "other"}}}}}));
    ASSERT_TRUE(renamed) << renamed.error().message;
  }
}

TEST(TransformRouteTest, SaysWhatIsOnTheTarget) {
  const RouteSet routes = Get(RouteSet::Make(
      Family(), With({{"parent", {{"note", {.exclude = true}}, {"code", {.name = "c2"}}}}, {"heap", {{"a", kHash}}}},
                     {{"parent", "elders"}})));
  const Route& parent = *routes.Find("parent");
  EXPECT_EQ(parent.table, "elders");
  EXPECT_EQ(parent.columns, (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(parent.targets[1].name, "c2");
  EXPECT_EQ(parent.ExcludedColumns(), std::vector<std::string>{"note"});
  const Route stored = routes.Find("heap")->WithoutTransforms();
  std::string storage;
  EXPECT_EQ(Get(stored.Stored(0, Text("x"), &storage)).bytes, "x");
  EXPECT_EQ(stored.source.columns[0].type, ColumnType::kVarchar);
  EXPECT_EQ(Get(routes.Find("heap")->Stored(0, Text("x"), &storage)).bytes.size(), 64U);
}

TEST(TransformRouteTest, RefusesNamesThatAreNotThereOrTaken) {
  EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({{"nothing", {{"a", kHash}}}}))), "CF1517");
  EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({{"heap", {{"z", kHash}}}}))), "CF1517");
  EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({}, {{"nothing", "x"}}))), "CF1517");
  EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({}, {{"heap", "child"}}))), "CF1518");
  EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({{"heap", {{"a", {.name = "b"}}}}}))), "CF1518");
  EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({{"heap", {{"a", {.name = "tenant_id"}}}}}))), "CF1510");
  EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({{"heap", {{"a", {.name = std::string(64, 'x')}}}}}))), "CF1511");
}

TEST(TransformRouteTest, ATableKeepsAColumn) {
  const ColumnRule out{.exclude = true};
  EXPECT_EQ(CodeOf(RouteSet::Make(Family(), With({{"heap", {{"a", out}, {"b", out}}}}))), "CF1515");
  EXPECT_TRUE(RouteSet::Make(Family(), With({{"heap", {{"a", out}}}})));
}

TEST(TransformRouteTest, FingerprintTellsRulesAndKeyApart) {
  TransformRules rules;
  EXPECT_EQ(rules.Fingerprint(), "");
  rules.columns["t"]["c"] = Mask("x");
  const std::string masked = rules.Fingerprint();
  rules.hash_key = "unused";
  EXPECT_EQ(rules.Fingerprint(), masked);
  rules.columns["t"]["c"] = kHash;
  const std::string hashed = rules.Fingerprint();
  EXPECT_NE(hashed, masked);
  rules.hash_key = "other";
  EXPECT_NE(rules.Fingerprint(), hashed);
  EXPECT_EQ(rules.Fingerprint().find("other"), std::string::npos);
}

}  // namespace
}  // namespace crossfade::apply
