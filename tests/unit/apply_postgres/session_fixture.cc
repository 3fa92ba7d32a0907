#include "session_fixture.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "apply/postgres/control.h"

namespace crossfade::apply {

namespace {

// One for each process: tests may run side by side.
std::string DatabaseName() { return fmt::format("crossfade_session_test_{}", getpid()); }

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

std::string SqlType(const Column& column) {
  return column.type == ColumnType::kInt       ? "bigint"
         : column.type == ColumnType::kDecimal ? fmt::format("numeric({},{})", column.precision, column.scale)
         : column.type == ColumnType::kJson    ? "jsonb"
                                               : "text";
}

std::string Names(const TableSchema& table, const std::vector<uint32_t>& columns) {
  std::string out = "tenant_id";
  for (const uint32_t column : columns) {
    out += ", \"" + table.columns[column].name + "\"";
  }
  return out;
}

std::string ActionSql(ReferenceAction action, const TableSchema& table, const ForeignKey& key, bool is_delete) {
  switch (action) {
    case ReferenceAction::kCascade:
      return "CASCADE";
    case ReferenceAction::kSetNull:
      return is_delete ? "SET NULL (\"" + table.columns[key.columns[0]].name + "\")" : "NO ACTION";
    default:
      return "NO ACTION";
  }
}

}  // namespace

Column IntColumn(const std::string& name, bool nullable) {
  Column column;
  column.name = name;
  column.type = ColumnType::kInt;
  column.bits = 64;
  column.source_type = "bigint";
  column.nullable = nullable;
  return column;
}

Column TextColumn(const std::string& name, bool nullable) {
  Column column;
  column.name = name;
  column.type = ColumnType::kText;
  column.source_type = "text";
  column.charset = "utf8mb4";
  column.nullable = nullable;
  return column;
}

TableSchema MakeTable(const std::string& name, std::vector<Column> columns,
                      const std::vector<std::string>& primary_key) {
  TableSchema table;
  table.database = "shop";
  table.name = name;
  table.engine = "InnoDB";
  table.columns = std::move(columns);
  for (const std::string& key : primary_key) {
    KeyPart part;
    part.column = *table.FindColumn(key);
    table.columns[part.column].nullable = false;
    table.primary_key.push_back(part);
  }
  return table;
}

void AddUnique(TableSchema* table, const std::vector<std::string>& columns) {
  Key key;
  key.name = "u" + std::to_string(table->keys.size());
  key.unique = true;
  for (const std::string& name : columns) {
    KeyPart part;
    part.column = *table->FindColumn(name);
    key.parts.push_back(part);
  }
  table->keys.push_back(std::move(key));
}

void AddForeignKey(TableSchema* child, const std::string& column, const std::string& parent,
                   const std::string& parent_column, ReferenceAction on_delete, ReferenceAction on_update) {
  ForeignKey key;
  key.name = "f" + std::to_string(child->foreign_keys.size());
  key.columns = {*child->FindColumn(column)};
  key.parent_table = parent;
  key.parent_columns = {parent_column};
  key.on_delete = on_delete;
  key.on_update = on_update;
  child->foreign_keys.push_back(std::move(key));
}

void SessionTest::SetUp() {
  const auto server = Server();
  if (!server) {
    GTEST_SKIP() << "CROSSFADE_TEST_POSTGRES is not set";
  }
  options_ = *server;
  {
    server_ = options_;
    auto admin = Get(postgres::Connection::Open(server_));
    Get(admin->Execute(fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", DatabaseName())));
    Get(admin->Execute(fmt::format("CREATE DATABASE {}", DatabaseName())));
  }
  options_.database = DatabaseName();
  sql_ = Get(postgres::Connection::Open(options_));
  Check(MakeControl(sql_.get(), 2000));
  Sql("INSERT INTO crossfade.migration (name, tenant, epoch) VALUES ('m', 'acme', 1)");
}

void SessionTest::TearDown() {
  if (sql_) {
    sql_.reset();
    auto admin = Get(postgres::Connection::Open(server_));
    Get(admin->Execute(fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", DatabaseName())));
  }
  journal_.reset();
  if (!directory_.empty()) {
    std::filesystem::remove_all(directory_);
  }
}

void SessionTest::Sql(const std::string& sql) {
  const auto result = sql_->Execute(sql);
  ASSERT_TRUE(result) << result.error().ToString() << "\n" << sql;
}

std::vector<std::string> SessionTest::Lines(const std::string& sql) {
  const postgres::ResultSet set = Get(sql_->Execute(sql));
  std::vector<std::string> lines;
  for (const auto& row : set.rows) {
    std::string& line = lines.emplace_back();
    for (size_t i = 0; i < row.size(); ++i) {
      line += (i == 0 ? "" : "|") + row[i].value_or("NULL");
    }
  }
  return lines;
}

std::string SessionTest::Value(const std::string& sql) {
  const auto lines = Lines(sql);
  return lines.empty() ? "" : lines[0];
}

void SessionTest::MakeTables(const std::vector<TableSchema>& tables, bool with_keys) {
  tables_ = tables;
  RouteRules rules;
  rules.tenancy.value = "acme";
  routes_ = Get(RouteSet::Make(tables_, rules));
  for (const TableSchema& table : tables_) {
    std::string sql = "CREATE TABLE \"" + table.name + "\" (tenant_id text NOT NULL";
    for (const Column& column : table.columns) {
      sql += ", \"" + column.name + "\" " + SqlType(column) + (column.nullable ? "" : " NOT NULL");
    }
    if (!table.primary_key.empty()) {
      std::vector<uint32_t> key;
      for (const KeyPart& part : table.primary_key) {
        key.push_back(part.column);
      }
      sql += ", PRIMARY KEY (" + Names(table, key) + ")";
    }
    Sql(sql + ")");
  }
  if (with_keys) {
    MakeKeys();
  }
}

void SessionTest::MakeKeys() {
  for (const TableSchema& table : tables_) {
    for (const Key& key : table.keys) {
      std::vector<uint32_t> columns;
      for (const KeyPart& part : key.parts) {
        columns.push_back(part.column);
      }
      Sql("CREATE UNIQUE INDEX ON \"" + table.name + "\" (" + Names(table, columns) + ")");
    }
  }
  for (const TableSchema& table : tables_) {
    for (const ForeignKey& key : table.foreign_keys) {
      Sql("ALTER TABLE \"" + table.name + "\" ADD FOREIGN KEY (" + Names(table, key.columns) + ") REFERENCES \"" +
          key.parent_table + "\" (tenant_id, \"" + key.parent_columns[0] + "\") ON DELETE " +
          ActionSql(key.on_delete, table, key, true) + " ON UPDATE " + ActionSql(key.on_update, table, key, false) +
          " DEFERRABLE");
    }
  }
}

std::unique_ptr<ApplySession> SessionTest::Open(uint64_t epoch, bool synchronous_commit) {
  PgSessionOptions options;
  options.connection = options_;
  options.migration = "m";
  options.journal_id = "j";
  options.epoch = epoch;
  options.tenancy = routes_.rules().tenancy;
  options.synchronous_commit = synchronous_commit;
  return Get(OpenPgSession(options));
}

void SessionTest::OpenJournal() {
  std::string name = (std::filesystem::temp_directory_path() / "crossfade_session_XXXXXX").string();
  directory_ = mkdtemp(name.data());
  state::JournalOptions options;
  options.directory = directory_.string();
  options.part_bytes = 1024;
  journal_ = Get(state::Journal::Open(options));
  Check(journal_->Initialize(PositionOf(0), Seq{0}));
}

void SessionTest::Append(const std::vector<Change>& changes) {
  state::JournalWriter& writer = journal_->writer();
  Check(writer.Begin());
  for (const Change& change : changes) {
    Check(writer.Add(change));
  }
  state::CommitInfo commit;
  commit.position = PositionOf(++commits_);
  commit.commit_time_us = static_cast<int64_t>(commits_);
  Check(writer.Commit(commit));
}

Position PositionOf(uint64_t number) {
  Position position;
  position.server = "test";
  position.file = "binlog.000001";
  position.offset = number;
  return position;
}

}  // namespace crossfade::apply
