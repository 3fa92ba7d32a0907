#include "target_fixture.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>

namespace crossfade::apply {

namespace {

std::optional<postgres::ConnectionOptions> Server() {
  const char* text = std::getenv("CROSSFADE_TEST_POSTGRES");
  if (text == nullptr) {
    return std::nullopt;
  }
  postgres::ConnectionOptions options;
  options.tls = postgres::TlsMode::kOff;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (key == "host") {
      options.host = value;
    } else if (key == "port") {
      options.port = static_cast<uint16_t>(std::stoi(value));
    } else if (key == "user") {
      options.user = value;
    } else if (key == "password") {
      options.password = value;
    } else if (key == "dbname") {
      options.database = value;
    }
  }
  return options;
}

}  // namespace

Column IdColumn() {
  Column column = NumberColumn("id", false);
  column.auto_increment = true;
  return column;
}

Column NumberColumn(const std::string& name, bool nullable) {
  Column column;
  column.name = name;
  column.type = ColumnType::kInt;
  column.bits = 32;
  column.source_type = "int(11)";
  column.nullable = nullable;
  return column;
}

Column VarcharColumn(const std::string& name, uint64_t length, const std::string& collation) {
  Column column;
  column.name = name;
  column.type = ColumnType::kVarchar;
  column.length = length;
  column.source_type = "varchar(" + std::to_string(length) + ")";
  column.charset = "utf8mb4";
  column.collation = collation;
  return column;
}

TableSchema TableWithId(const std::string& name, const std::vector<Column>& more) {
  TableSchema table;
  table.database = "shop";
  table.name = name;
  table.engine = "InnoDB";
  table.columns.push_back(IdColumn());
  table.columns.insert(table.columns.end(), more.begin(), more.end());
  table.primary_key = {{0, 0, false}};
  return table;
}

void AddReference(TableSchema* child, const std::string& column, const std::string& parent, ReferenceAction on_delete,
                  ReferenceAction on_update) {
  ForeignKey key;
  key.name = child->name + "_ibfk_" + std::to_string(child->foreign_keys.size() + 1);
  key.columns = {*child->FindColumn(column)};
  key.parent_table = parent;
  key.parent_columns = {"id"};
  key.on_delete = on_delete;
  key.on_update = on_update;
  child->foreign_keys.push_back(key);
}

void AddIndex(TableSchema* table, const std::string& name, bool unique, const std::vector<std::string>& columns,
              uint32_t prefix) {
  Key key;
  key.name = name;
  key.unique = unique;
  for (const std::string& column : columns) {
    key.parts.push_back({*table->FindColumn(column), prefix, false});
  }
  table->keys.push_back(key);
}

void TargetTest::SetUp() {
  const auto server = Server();
  if (!server) {
    GTEST_SKIP() << "CROSSFADE_TEST_POSTGRES is not set";
  }
  connection_options_ = *server;
  auto admin = postgres::Connection::Open(*server);
  ASSERT_TRUE(admin) << admin.error().ToString();
  admin_ = std::move(*admin);
  database_ = "target_test_" + std::to_string(getpid());
  ASSERT_TRUE(admin_->Execute("DROP DATABASE IF EXISTS " + database_));
  ASSERT_TRUE(admin_->Execute("CREATE DATABASE " + database_));
  connection_options_.database = database_;
  auto connection = postgres::Connection::Open(connection_options_);
  ASSERT_TRUE(connection) << connection.error().ToString();
  connection_ = std::move(*connection);
}

void TargetTest::TearDown() {
  connection_.reset();
  if (admin_) {
    (void)admin_->Execute("DROP DATABASE IF EXISTS " + database_ + " WITH (FORCE)");
  }
}

PgTargetOptions TargetTest::Options(const std::string& migration, const std::string& tenant) const {
  PgTargetOptions options;
  options.connection = connection_options_;
  options.migration = migration;
  options.tenancy.value = tenant;
  options.grace_ms = 300;
  options.lock_timeout_ms = 300;
  return options;
}

std::unique_ptr<Target> TargetTest::Open(const PgTargetOptions& options) const {
  auto target = OpenPgTarget(options);
  EXPECT_TRUE(target) << target.error().ToString();
  return target ? std::move(*target) : nullptr;
}

std::unique_ptr<Target> TargetTest::Own(const PgTargetOptions& options) const {
  auto target = Open(options);
  auto state = target->TakeOver({"host", getpid(), "test"}, false, {});
  EXPECT_TRUE(state) << state.error().ToString();
  return target;
}

RouteSet TargetTest::Routes(const std::vector<TableSchema>& tables, const PgTargetOptions& options) const {
  auto routes = RouteSet::Make(tables, {.tenancy = options.tenancy});
  EXPECT_TRUE(routes) << routes.error().ToString();
  return std::move(*routes);
}

void TargetTest::Build(Target* target, const RouteSet& routes, std::vector<SchemaStage> stages) const {
  if (stages.empty()) {
    stages = {SchemaStage::kTables,      SchemaStage::kActionForeignKeys, SchemaStage::kKeys,
              SchemaStage::kForeignKeys, SchemaStage::kIdentity,          SchemaStage::kAnalyze};
  }
  for (const SchemaStage stage : stages) {
    const Status status = target->BuildSchema(routes, stage, {});
    EXPECT_TRUE(status) << status.error().ToString();
  }
}

Status TargetTest::Load(Target* target, const Route& route, const ChunkRange& range, uint32_t chunk, bool replace,
                        const std::vector<std::vector<Value>>& rows) const {
  CROSSFADE_ASSIGN(auto loader, target->OpenLoader());
  ChunkMark mark;
  mark.table = route.source.name;
  mark.chunk = chunk;
  mark.range = range;
  mark.low.set = "0-1-10";
  CROSSFADE_TRY(loader->Begin(route, mark, replace));
  for (const auto& row : rows) {
    CROSSFADE_TRY(loader->Add(row));
  }
  mark.high.set = "0-1-11";
  mark.rows = rows.size();
  return loader->Commit(mark);
}

std::string TargetTest::Ask(const std::string& sql) const {
  auto value = connection_->Scalar(sql);
  EXPECT_TRUE(value) << value.error().ToString();
  return value ? value->value_or("NULL") : "";
}

void TargetTest::Run(const std::string& sql) const {
  auto done = connection_->Execute(sql);
  EXPECT_TRUE(done) << done.error().ToString();
}

}  // namespace crossfade::apply
