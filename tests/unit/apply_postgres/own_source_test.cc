// A PostgreSQL source's tables on the target: types of its own, generated columns, and keys of native types.
#include <algorithm>

#include "apply/postgres/pg_row_reader.h"
#include "target_fixture.h"

namespace crossfade::apply {
namespace {

Column Own(const std::string& name, ColumnType type, const std::string& source_type) {
  Column column;
  column.name = name;
  column.type = type;
  column.source_type = source_type;
  column.of_postgres = true;
  return column;
}

TableSchema MoodTable() {
  TableSchema table;
  table.database = "public";
  table.name = "m";
  table.engine = "PostgreSQL";
  Column feels = Own("feels", ColumnType::kNative, "public.mood");
  feels.nullable = false;
  feels.labels = {"sad", "it's fine"};
  Column flag = Own("flag", ColumnType::kBool, "boolean");
  flag.default_value = "true";
  Column code = Own("code", ColumnType::kChar, "character(3)");
  code.length = 3;
  Column id = Own("id", ColumnType::kInt, "integer");
  id.bits = 32;
  id.nullable = false;
  Column twice = Own("twice", ColumnType::kInt, "integer");
  twice.bits = 32;
  twice.generated = GeneratedKind::kStored;
  twice.generation_expression = "(id * 2)";
  table.columns = {id,
                   feels,
                   flag,
                   code,
                   Own("tags", ColumnType::kNative, "text[]"),
                   twice,
                   Own("exact", ColumnType::kDecimal, "numeric")};
  table.primary_key = {{.column = 1}, {.column = 0}};
  table.keys = {{.name = "by_twice", .unique = true, .parts = {{.column = 5}}, .method = ""}};
  return table;
}

Value Native(std::string_view text) { return Value::OfBytes(ValueKind::kNative, text); }

class OwnSourceTest : public TargetTest {};

TEST_F(OwnSourceTest, TypesAreMadeByTheFixAndRowsComeBack) {
  PgTargetOptions options = Options("own", "acme");
  const RouteSet routes = Routes({MoodTable()}, options);
  auto target = this->Own(options);
  ASSERT_TRUE(target);
  const auto find = [&]() -> std::vector<Finding> {
    auto findings = target->PlanSchema(routes);
    EXPECT_TRUE(findings) << findings.error().ToString();
    std::erase_if(*findings, [](const Finding& f) { return f.code != "CF1575"; });
    return *findings;
  };
  const std::vector<Finding> missing = find();
  ASSERT_EQ(missing.size(), 1U);
  EXPECT_TRUE(missing[0].blocks);
  EXPECT_EQ(missing[0].fix, "CREATE TYPE public.mood AS ENUM ('sad', 'it''s fine')");
  Run(missing[0].fix);
  EXPECT_TRUE(find().empty());
  Build(target.get(), routes);

  const std::vector<std::vector<Value>> rows = {
      {Value::Int(1), Native("it's fine"), Value::Int(1), Value::OfBytes(ValueKind::kText, "a  "),
       Native("{a,NULL,\"b c\"}"), Value::Absent(), Value::OfBytes(ValueKind::kDecimal, "1.50")},
      {Value::Int(2), Native("sad"), Value::Null(), Value::Null(), Value::Null(), Value::Absent(),
       Value::OfBytes(ValueKind::kDecimal, "NaN")}};
  const Route& route = *routes.Find("m");
  for (const bool replace : {false, true}) {
    const Status loaded = Load(target.get(), route, {}, 0, replace, rows);
    ASSERT_TRUE(loaded) << loaded.error().ToString();
  }
  EXPECT_EQ(
      Ask("SELECT string_agg(concat_ws('|', id, feels, flag, '<' || code || '>', tags, twice, exact), ';' ORDER BY id)"
          " FROM m"),
      "1|it's fine|t|<a>|{a,NULL,\"b c\"}|2|1.50;2|sad|4|NaN");
  EXPECT_EQ(
      Ask("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'm'::regclass AND attname = "
          "'code'"),
      "character(3)");
  EXPECT_EQ(Ask("SELECT count(*) FROM pg_attribute WHERE attrelid = 'm'::regclass AND attname = 'twice' AND "
                "attgenerated = 's'"),
            "1");

  auto reader = OpenPgRowReader(options);
  ASSERT_TRUE(reader) << reader.error().ToString();
  auto form = (*reader)->FormOf(route);
  ASSERT_TRUE(form);
  std::vector<std::string> wanted(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_TRUE((*form)->FieldsOf(rows[i], &wanted[i]));
  }
  std::vector<std::string> found;
  const auto take = [&](Fields fields) -> Status {
    found.emplace_back(fields);
    return {};
  };
  ASSERT_TRUE((*reader)->ReadRange(route, {}, take));
  std::sort(wanted.begin(), wanted.end());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, wanted);
  found.clear();
  // By the key, in the order of the route: feels, id.
  std::string key;
  std::string fields;
  ASSERT_TRUE((*form)->FieldsOf(rows[0], &fields));
  const uint32_t places[] = {1, 0};
  SelectFields(fields, places, &key);
  const Status read = (*reader)->ReadKeys(route, {&key, 1}, take);
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(found, (std::vector<std::string>{fields}));
}

}  // namespace
}  // namespace crossfade::apply
