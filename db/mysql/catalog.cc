#include "db/mysql/catalog.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "db/mysql/account.h"
#include "db/mysql/column_text.h"

namespace crossfade::mysql {
namespace {

constexpr std::string_view kComponent = "db.mysql.catalog";

template <typename T>
T Number(const std::optional<std::string_view>& text) {
  T value = 0;
  if (text) {
    std::from_chars(text->data(), text->data() + text->size(), value);
  }
  return value;
}

std::string Text(const std::optional<std::string_view>& text) { return std::string(text.value_or("")); }

std::optional<std::string> Unhex(std::string_view digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    uint8_t byte = 0;
    const auto [end, error] = std::from_chars(digits.data() + i, digits.data() + i + 2, byte, 16);
    if (error != std::errc() || end != digits.data() + i + 2) {
      return std::nullopt;
    }
    bytes += static_cast<char>(byte);
  }
  return digits.size() % 2 == 0 ? std::optional(bytes) : std::nullopt;
}

ReferenceAction Action(std::string_view rule) {
  if (rule == "CASCADE") {
    return ReferenceAction::kCascade;
  }
  if (rule == "SET NULL") {
    return ReferenceAction::kSetNull;
  }
  if (rule == "SET DEFAULT") {
    return ReferenceAction::kSetDefault;
  }
  return ReferenceAction::kNoAction;  // NO ACTION and RESTRICT are the same to InnoDB
}

// Reads all base tables of a database, or one of them, in a handful of queries.
class Reader {
 public:
  Reader(Connection& connection, std::string database, std::optional<std::string> table)
      : connection_(connection),
        mysql_(connection.server().flavor == Flavor::kMySql),
        database_(std::move(database)),
        table_(std::move(table)) {}

  Status Read();
  std::map<std::string, CatalogTable>& tables() { return tables_; }
  std::vector<std::string>& views() { return views_; }
  std::vector<std::string>& sequences() { return sequences_; }
  const std::string& database() const { return database_; }

  // The first error that a row's callback meets ends the query; this gives it back.
  Status ForEach(const std::string& sql, const std::function<Status(TextRow)>& row);
  std::string Where(std::string_view schema_column, std::string_view table_column) const;

 private:
  Status NormalizeNames();
  Status ReadTables();
  Status TableFromRow(TextRow row);
  Status ReadColumns();
  Status ReadChecks();
  Status ReadKeys();
  Status ReadForeignKeys();
  std::string ForeignKeySql() const;
  Status ForeignKeyFromRow(TextRow row);
  Status AskDefaults(TableSchema* table);
  Status MakeLabelTable(const TableSchema& table, const Column& column, const std::string& temporary);
  Status AskLabels(const TableSchema& table, Column* column);
  void TurnIntoJson();

  TableSchema* Find(const std::string& name) {
    const auto found = tables_.find(name);
    return found == tables_.end() ? nullptr : &found->second.schema;
  }
  std::string Qualified(const TableSchema& table) const {
    return Connection::Identifier(table.database) + "." + Connection::Identifier(table.name);
  }

  Connection& connection_;
  bool mysql_;
  std::string database_;
  std::optional<std::string> table_;
  std::map<std::string, CatalogTable> tables_;
  std::vector<std::string> views_;
  std::vector<std::string> sequences_;
};

tl::unexpected<Error> Refusal(std::string_view code, std::string object, std::string found, std::string message) {
  Error error;
  error.error_class = ErrorClass::kData;
  error.code = code;
  error.component = kComponent;
  error.message = std::move(message);
  error.object = std::move(object);
  error.found = std::move(found);
  return Fail(std::move(error));
}

// What the queries say does not fit together: a column that a key names is not there.
tl::unexpected<Error> Moving(const TableSchema& table, std::string_view what) {
  return MakeError(ErrorClass::kTransient, "CF1112", kComponent, "{} changed while its description was read: {}",
                   table.QualifiedName(), what);
}

Status Reader::ForEach(const std::string& sql, const std::function<Status(TextRow)>& row) {
  Status outcome;
  CROSSFADE_TRY(connection_.Query(sql, [&](TextRow values) {
    outcome = row(values);
    return outcome.has_value();
  }));
  return outcome;
}

// Names are compared by the byte: some servers compare them in information_schema without regard to case.
std::string Reader::Where(std::string_view schema_column, std::string_view table_column) const {
  const auto equal = [&](std::string_view column, const std::string& value) {
    const std::string literal = connection_.Literal(value);
    return fmt::format("{0} = {1} AND CAST({0} AS BINARY) = CAST({1} AS BINARY)", column, literal);
  };
  std::string where = equal(schema_column, database_);
  if (table_) {
    where += " AND " + equal(table_column, *table_);
  }
  return where;
}

// With lower_case_table_names = 1 the server keeps all names in lower case, and takes any.
Status Reader::NormalizeNames() {
  CROSSFADE_ASSIGN(const auto mode, connection_.Scalar("SELECT @@global.lower_case_table_names"));
  if (mode.value_or("0") == "0") {
    return {};
  }
  const auto lower = [this](std::string* name) -> Status {
    CROSSFADE_ASSIGN(const auto text, connection_.Scalar("SELECT LOWER(" + connection_.Literal(*name) + ")"));
    *name = text.value_or("");
    return {};
  };
  if (mode.value_or("0") == "1") {
    CROSSFADE_TRY(lower(&database_));
    if (table_) {
      CROSSFADE_TRY(lower(&*table_));
    }
  }
  return {};
}

Status Reader::TableFromRow(TextRow row) {
  const std::string name = Text(row[0]);
  const std::string type = Text(row[1]);
  if (type == "SYSTEM VERSIONED") {
    return Refusal("CF1113", database_ + "." + name, type,
                   "a system-versioned table logs columns and rows that its description does not show");
  }
  if (type == "SEQUENCE") {
    sequences_.push_back("sequence " + name);
    return {};
  }
  if (type == "TEMPORARY" || type == "SYSTEM VIEW") {
    return {};
  }
  if (type != "BASE TABLE") {
    views_.push_back(name);
    return {};
  }
  if (!row[2]) {
    return Refusal("CF1115", database_ + "." + name, Text(row[5]), "the server cannot open this table");
  }
  CatalogTable table;
  table.schema.database = database_;
  table.schema.name = name;
  table.schema.engine = Text(row[2]);
  table.schema.comment = Text(row[5]);
  table.size.rows = Number<uint64_t>(row[3]);
  table.size.bytes = Number<uint64_t>(row[4]);
  tables_.emplace(name, std::move(table));
  return {};
}

Status Reader::ReadTables() {
  return ForEach(
      "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_COMMENT FROM information_schema.TABLES "
      "WHERE " +
          Where("TABLE_SCHEMA", "TABLE_NAME"),
      [this](TextRow row) { return TableFromRow(row); });
}

Status Reader::ReadColumns() {
  CROSSFADE_TRY(
      ForEach("SELECT TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, DATA_TYPE, COLUMN_TYPE, "
              "CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_SET_NAME, "
              "COLLATION_NAME, EXTRA, GENERATION_EXPRESSION, COLUMN_COMMENT FROM information_schema.COLUMNS WHERE " +
                  Where("TABLE_SCHEMA", "TABLE_NAME") + " ORDER BY TABLE_NAME, ORDINAL_POSITION",
              [this](TextRow row) -> Status {
                TableSchema* const table = Find(Text(row[0]));
                if (table == nullptr) {
                  return {};  // a view
                }
                ColumnText text;
                text.table = table->QualifiedName();
                text.name = Text(row[1]);
                if (row[3]) {
                  text.default_value = Text(row[3]);
                }
                text.nullable = Text(row[4]) == "YES";
                text.data_type = Text(row[5]);
                text.column_type = Text(row[6]);
                text.characters = Number<uint64_t>(row[7]);
                text.precision = Number<uint16_t>(row[8]);
                text.scale = Number<uint16_t>(row[9]);
                text.fraction = Number<uint8_t>(row[10]);
                text.charset = Text(row[11]);
                text.collation = Text(row[12]);
                text.extra = Text(row[13]);
                text.generation_expression = Text(row[14]);
                text.comment = Text(row[15]);
                if (Number<uint32_t>(row[2]) != table->columns.size() + 1) {
                  return MakeError(ErrorClass::kConfig, "CF1116", kComponent,
                                   "not all columns of {} can be seen: SELECT is needed on the whole table",
                                   table->QualifiedName());
                }
                CROSSFADE_ASSIGN(Column column, ColumnFromText(text, connection_.server().flavor));
                table->columns.push_back(std::move(column));
                return {};
              }));
  for (auto& [name, table] : tables_) {
    CROSSFADE_TRY(AskDefaults(&table.schema));
    for (Column& column : table.schema.columns) {
      if (HasDoubtfulLabels(column)) {
        CROSSFADE_TRY(AskLabels(table.schema, &column));
      }
    }
  }
  return {};
}

// The defaults as values, in one row, without reading a row of the table.
Status Reader::AskDefaults(TableSchema* table) {
  std::vector<Column*> asked;
  std::string list;
  for (Column& column : table->columns) {
    if (HasDoubtfulDefault(column)) {
      const std::string value = "DEFAULT(t." + Connection::Identifier(column.name) + ")";
      list += list.empty() ? "" : ", ";
      list += column.charset.empty() ? "HEX(" + value + ")" : "HEX(CONVERT(" + value + " USING utf8mb4))";
      asked.push_back(&column);
    }
  }
  if (asked.empty()) {
    return {};
  }
  return ForEach("SELECT " + list + " FROM (SELECT 1) AS one LEFT JOIN " + Qualified(*table) + " AS t ON FALSE",
                 [&](TextRow row) -> Status {
                   for (size_t i = 0; i < asked.size(); ++i) {
                     if (!row[i]) {
                       asked[i]->default_value.reset();
                     } else if (asked[i]->charset.empty()) {
                       asked[i]->default_value = "0x" + Text(row[i]);
                     } else {
                       asked[i]->default_value = Unhex(*row[i]);
                     }
                   }
                   return {};
                 });
}

Status Reader::MakeLabelTable(const TableSchema& table, const Column& column, const std::string& temporary) {
  CROSSFADE_TRY(connection_.Execute("DROP TEMPORARY TABLE IF EXISTS " + temporary));
  const Status made = connection_.Execute(
      fmt::format("CREATE TEMPORARY TABLE {} ENGINE = InnoDB SELECT {} AS label FROM {} WHERE FALSE", temporary,
                  Connection::Identifier(column.name), Qualified(table)));
  if (made) {
    return {};
  }
  Error error = made.error();
  CROSSFADE_ASSIGN(const std::string account, CurrentAccount(connection_));
  error.object = fmt::format("{}.{}", table.QualifiedName(), column.name);
  error.fix =
      fmt::format("GRANT CREATE TEMPORARY TABLES ON {}.* TO {}", Connection::Identifier(table.database), account);
  return Fail(std::move(error).WithContext("reading labels that information_schema does not hold exactly"));
}

// Each label as the column itself would give it: MariaDB has variables of a column's type; for MySQL, which has none, a
// temporary table of this session stands in.
Status Reader::AskLabels(const TableSchema& table, Column* column) {
  const bool is_set = column->type == ColumnType::kSet;
  const auto number = [&](size_t i) { return is_set ? uint64_t{1} << i : i + 1; };
  const std::string temporary =
      Connection::Identifier(table.database) + "." + Connection::Identifier("crossfade_labels");
  if (mysql_) {
    CROSSFADE_TRY(MakeLabelTable(table, *column, temporary));
  }
  for (size_t i = 0; i < column->labels.size(); ++i) {
    std::string read;
    if (mysql_) {
      CROSSFADE_TRY(connection_.Execute("DELETE FROM " + temporary));
      CROSSFADE_TRY(connection_.Execute(fmt::format("INSERT INTO {} VALUES ({})", temporary, number(i))));
      read = "SELECT HEX(CONVERT(label USING utf8mb4)) FROM " + temporary;
    } else {
      CROSSFADE_TRY(connection_.Execute(
          fmt::format("BEGIN NOT ATOMIC DECLARE v TYPE OF {}.{}; SET v = {}; SET @crossfade_label = v; END",
                      Qualified(table), Connection::Identifier(column->name), number(i))));
      read = "SELECT HEX(CONVERT(@crossfade_label USING utf8mb4))";
    }
    CROSSFADE_ASSIGN(const auto digits, connection_.Scalar(read));
    auto label = Unhex(digits.value_or("?"));
    if (!label) {
      return Moving(table, column->name);
    }
    column->labels[i] = std::move(*label);
  }
  return mysql_ ? connection_.Execute("DROP TEMPORARY TABLE " + temporary) : Status();
}

Status Reader::ReadChecks() {
  const uint32_t version = connection_.server().version_number;
  std::string sql;
  if (mysql_) {
    if (version < 80016) {
      return {};
    }
    sql =
        "SELECT t.TABLE_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c JOIN "
        "information_schema.TABLE_CONSTRAINTS t ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND "
        "t.CONSTRAINT_NAME = c.CONSTRAINT_NAME AND t.CONSTRAINT_TYPE = 'CHECK' AND t.ENFORCED = 'YES' WHERE " +
        Where("t.TABLE_SCHEMA", "t.TABLE_NAME");
  } else {
    sql = "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE " +
          Where("CONSTRAINT_SCHEMA", "TABLE_NAME");
  }
  CROSSFADE_TRY(ForEach(sql, [this](TextRow row) -> Status {
    if (TableSchema* const table = Find(Text(row[0]))) {
      table->checks.push_back(mysql_ ? UnescapeExpression(row[1].value_or("")) : Text(row[1]));
    }
    return {};
  }));
  if (!mysql_) {
    TurnIntoJson();
  }
  for (auto& [name, table] : tables_) {
    std::sort(table.schema.checks.begin(), table.schema.checks.end());
  }
  return {};
}

// MariaDB's JSON is an alias for LONGTEXT with a check.
void Reader::TurnIntoJson() {
  for (auto& [name, table] : tables_) {
    for (Column& column : table.schema.columns) {
      const std::string check = "json_valid(" + Connection::Identifier(column.name) + ")";
      std::vector<std::string>& checks = table.schema.checks;
      const auto found = std::find(checks.begin(), checks.end(), check);
      if (column.source_type == "longtext" && column.collation == "utf8mb4_bin" && found != checks.end()) {
        column.type = ColumnType::kJsonText;
        checks.erase(found);
      }
    }
  }
}

Status Reader::ReadKeys() {
  struct Part {
    std::optional<std::string> column;
    uint32_t prefix;
    bool descending;
  };
  struct RawKey {
    Key key;
    std::vector<Part> parts;
  };
  std::map<std::pair<std::string, std::string>, RawKey> keys;  // by table and name
  const bool expressions = mysql_ && connection_.server().version_number >= 80013;
  CROSSFADE_TRY(
      ForEach("SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, COLLATION, INDEX_TYPE FROM "
              "information_schema.STATISTICS WHERE " +
                  Where("TABLE_SCHEMA", "TABLE_NAME") + " ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
              [&](TextRow row) -> Status {
                RawKey& raw = keys[{Text(row[0]), Text(row[1])}];
                raw.key.name = Text(row[1]);
                raw.key.unique = row[2] == "0";
                const std::string type = Text(row[6]);
                const bool ordered = type == "BTREE" || type == "HASH" || type == "RTREE";
                raw.key.method = ordered ? "" : type;
                Part part{std::nullopt, type == "SPATIAL" ? 0 : Number<uint32_t>(row[4]), row[5] == "D"};
                if (row[3]) {
                  part.column = Text(row[3]);
                }
                raw.parts.push_back(std::move(part));
                return {};
              }));
  for (auto& [place, raw] : keys) {
    TableSchema* const table = Find(place.first);
    if (table == nullptr) {
      continue;
    }
    const bool has_expression =
        std::any_of(raw.parts.begin(), raw.parts.end(), [](const Part& part) { return !part.column; });
    if (has_expression && expressions) {
      raw.key.method = "EXPRESSION";  // of no columns: what it keeps unique cannot be told from column values
      table->keys.push_back(std::move(raw.key));
      continue;
    }
    for (const Part& part : raw.parts) {
      const auto column = table->FindColumn(part.column.value_or(""));
      if (!column) {
        return Moving(*table, raw.key.name);
      }
      raw.key.parts.push_back(KeyPart{*column, part.prefix, part.descending});
    }
    if (raw.key.name == "PRIMARY") {
      table->primary_key = std::move(raw.key.parts);
    } else {
      table->keys.push_back(std::move(raw.key));
    }
  }
  return {};
}

// MariaDB shows what a foreign key does only to an account that may do more than SELECT.
tl::unexpected<Error> HiddenActions(const TableSchema& table, const std::string& key) {
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = "CF1116";
  error.component = kComponent;
  error.message = fmt::format("what foreign key {} of {} does cannot be seen", key, table.QualifiedName());
  error.object = table.QualifiedName();
  error.found = "only SELECT is granted";
  error.fix = fmt::format("GRANT REFERENCES ON {}.* TO ", Connection::Identifier(table.database));
  return Fail(std::move(error));
}

Status Reader::ReadForeignKeys() {
  const std::string sql = ForeignKeySql();
  Status read = ForEach(sql, [this](TextRow row) { return ForeignKeyFromRow(row); });
  if (!read && read.error().code == "CF1116") {
    CROSSFADE_ASSIGN(const std::string account, CurrentAccount(connection_));
    read.error().fix += account;
  }
  return read;
}

std::string Reader::ForeignKeySql() const {
  const std::string where = Where("k.TABLE_SCHEMA", "k.TABLE_NAME");
  return "SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, "
         "k.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE FROM information_schema.KEY_COLUMN_USAGE k LEFT JOIN "
         "information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND "
         "r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME WHERE "
         "k.REFERENCED_TABLE_NAME IS NOT NULL AND " +
         where + " ORDER BY k.TABLE_NAME, CAST(k.CONSTRAINT_NAME AS BINARY), k.ORDINAL_POSITION";
}

Status Reader::ForeignKeyFromRow(TextRow row) {
  TableSchema* const table = Find(Text(row[0]));
  if (table == nullptr) {
    return {};
  }
  const std::string name = Text(row[1]);
  if (row[3] != database_) {
    return Refusal(
        "CF1111", table->QualifiedName() + ", foreign key " + name, Text(row[3]) + "." + Text(row[4]),
        fmt::format("foreign key {} of {} refers to a table of another database", name, table->QualifiedName()));
  }
  if (!row[6]) {
    return HiddenActions(*table, name);
  }
  const auto column = table->FindColumn(row[2].value_or(""));
  if (!column) {
    return Moving(*table, name);
  }
  if (table->foreign_keys.empty() || table->foreign_keys.back().name != name) {
    ForeignKey key;
    key.name = name;
    key.parent_table = Text(row[4]);
    key.on_delete = Action(row[6].value_or(""));
    key.on_update = Action(row[7].value_or(""));
    table->foreign_keys.push_back(std::move(key));
  }
  table->foreign_keys.back().columns.push_back(*column);
  table->foreign_keys.back().parent_columns.push_back(Text(row[5]));
  return {};
}

Status Reader::Read() {
  CROSSFADE_TRY(NormalizeNames());
  CROSSFADE_TRY(ReadTables());
  if (tables_.empty()) {
    return {};
  }
  CROSSFADE_TRY(ReadColumns());
  CROSSFADE_TRY(ReadChecks());
  CROSSFADE_TRY(ReadKeys());
  CROSSFADE_TRY(ReadForeignKeys());
  for (const auto& [name, table] : tables_) {
    if (table.schema.columns.empty()) {
      return Moving(table.schema, "it has no columns");
    }
  }
  return {};
}

// The names that `sql` gives, in order.
Status ReadNames(Reader& reader, const std::string& sql, std::vector<std::string>* names) {
  CROSSFADE_TRY(reader.ForEach(sql, [&](TextRow row) -> Status {
    names->push_back(Text(row[0]));
    return {};
  }));
  std::sort(names->begin(), names->end());
  return {};
}

}  // namespace

Result<Catalog> ReadCatalog(Connection& connection, const std::string& database) {
  Reader reader(connection, database, std::nullopt);
  CROSSFADE_TRY(reader.Read());
  Catalog catalog;
  for (auto& [name, table] : reader.tables()) {
    catalog.tables.push_back(std::move(table));
  }
  catalog.views = std::move(reader.views());
  std::sort(catalog.views.begin(), catalog.views.end());
  catalog.routines = std::move(reader.sequences());
  CROSSFADE_TRY(ReadNames(reader,
                          "SELECT CONCAT(TRIGGER_NAME, ' on ', EVENT_OBJECT_TABLE) FROM information_schema.TRIGGERS "
                          "WHERE " +
                              reader.Where("TRIGGER_SCHEMA", ""),
                          &catalog.triggers));
  CROSSFADE_TRY(ReadNames(reader,
                          "SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_NAME) FROM information_schema.ROUTINES "
                          "WHERE " +
                              reader.Where("ROUTINE_SCHEMA", ""),
                          &catalog.routines));
  CROSSFADE_TRY(ReadNames(reader,
                          "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE " + reader.Where("EVENT_SCHEMA", ""),
                          &catalog.events));
  return catalog;
}

Result<std::optional<TableSchema>> ReadTable(Connection& connection, const std::string& database,
                                             const std::string& table) {
  Reader reader(connection, database, table);
  CROSSFADE_TRY(reader.Read());
  if (reader.tables().empty()) {
    return std::optional<TableSchema>();
  }
  return std::optional(std::move(reader.tables().begin()->second.schema));
}

}  // namespace crossfade::mysql
