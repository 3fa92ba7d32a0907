#include "db/mysql/catalog_reader.h"

#include "db/mysql/account.h"
#include "db/mysql/column_text.h"

namespace crossfade::mysql {
namespace {

constexpr std::string_view kComponent = "db.mysql.catalog";

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

}  // namespace

tl::unexpected<Error> CatalogRefusal(std::string_view code, std::string object, std::string found, std::string message,
                                     std::string fix) {
  Error error;
  error.error_class = ErrorClass::kData;
  error.code = code;
  error.component = kComponent;
  error.message = std::move(message);
  error.object = std::move(object);
  error.found = std::move(found);
  error.fix = std::move(fix);
  return Fail(std::move(error));
}

tl::unexpected<Error> CatalogMoving(const TableSchema& table, std::string_view what) {
  return MakeError(ErrorClass::kTransient, "CF1112", kComponent, "{} changed while its description was read: {}",
                   table.QualifiedName(), what);
}

Status CatalogReader::ForEach(const std::string& sql, const std::function<Status(TextRow)>& row) {
  Status outcome;
  CROSSFADE_TRY(connection_.Query(sql, [&](TextRow values) {
    outcome = row(values);
    return outcome.has_value();
  }));
  return outcome;
}

// Names are compared by the byte: some servers compare them in information_schema without regard to case.
std::string CatalogReader::Where(std::string_view schema_column, std::string_view table_column) const {
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
Status CatalogReader::NormalizeNames() {
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

Status CatalogReader::TableFromRow(TextRow row) {
  const std::string name = CatalogText(row[0]);
  const std::string type = CatalogText(row[1]);
  const std::string quoted = Connection::Identifier(database_) + "." + Connection::Identifier(name);
  if (type == "SYSTEM VERSIONED") {
    return CatalogRefusal("CF1113", database_ + "." + name, type,
                          "a system-versioned table logs columns and rows that its description does not show",
                          "ALTER TABLE " + quoted + " DROP SYSTEM VERSIONING");
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
    return CatalogRefusal("CF1115", database_ + "." + name, CatalogText(row[5]), "the server cannot open this table",
                          "restore its files from a backup, or DROP TABLE " + quoted);
  }
  CatalogTable table;
  table.schema.database = database_;
  table.schema.name = name;
  table.schema.engine = CatalogText(row[2]);
  table.schema.comment = CatalogText(row[5]);
  table.size.rows = CatalogNumber<uint64_t>(row[3]);
  table.size.bytes = CatalogNumber<uint64_t>(row[4]);
  tables_.emplace(name, std::move(table));
  return {};
}

Status CatalogReader::ReadTables() {
  return ForEach(
      "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_COMMENT FROM information_schema.TABLES "
      "WHERE " +
          Where("TABLE_SCHEMA", "TABLE_NAME"),
      [this](TextRow row) { return TableFromRow(row); });
}

Status CatalogReader::ReadColumns() {
  Status read = ForEach(
      "SELECT TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, DATA_TYPE, COLUMN_TYPE, "
      "CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_SET_NAME, "
      "COLLATION_NAME, EXTRA, GENERATION_EXPRESSION, COLUMN_COMMENT FROM information_schema.COLUMNS WHERE " +
          Where("TABLE_SCHEMA", "TABLE_NAME") + " ORDER BY TABLE_NAME, ORDINAL_POSITION",
      [this](TextRow row) -> Status {
        TableSchema* const table = Find(CatalogText(row[0]));
        if (table == nullptr) {
          return {};  // a view
        }
        ColumnText text;
        text.table = table->QualifiedName();
        text.name = CatalogText(row[1]);
        if (row[3]) {
          text.default_value = CatalogText(row[3]);
        }
        text.nullable = CatalogText(row[4]) == "YES";
        text.data_type = CatalogText(row[5]);
        text.column_type = CatalogText(row[6]);
        text.characters = CatalogNumber<uint64_t>(row[7]);
        text.precision = CatalogNumber<uint16_t>(row[8]);
        text.scale = CatalogNumber<uint16_t>(row[9]);
        text.fraction = CatalogNumber<uint8_t>(row[10]);
        text.charset = CatalogText(row[11]);
        text.collation = CatalogText(row[12]);
        text.extra = CatalogText(row[13]);
        text.generation_expression = CatalogText(row[14]);
        text.comment = CatalogText(row[15]);
        if (CatalogNumber<uint32_t>(row[2]) != table->columns.size() + 1) {
          return Fail(Error{ErrorClass::kConfig, "CF1116", std::string(kComponent),
                            "not all columns of a table can be seen", "", table->QualifiedName(),
                            "the right to read some columns only",
                            fmt::format("GRANT SELECT ON {} TO ", Qualified(*table))});
        }
        CROSSFADE_ASSIGN(Column column, ColumnFromText(text, connection_.server().flavor));
        table->columns.push_back(std::move(column));
        return {};
      });
  if (!read && read.error().code == "CF1116") {
    CROSSFADE_ASSIGN(const std::string account, CurrentAccount(connection_));
    read.error().fix += account;
  }
  CROSSFADE_TRY(read);
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
Status CatalogReader::AskDefaults(TableSchema* table) {
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
                       asked[i]->default_value = "0x" + CatalogText(row[i]);
                     } else {
                       asked[i]->default_value = Unhex(*row[i]);
                     }
                   }
                   return {};
                 });
}

Status CatalogReader::MakeLabelTable(const TableSchema& table, const Column& column, const std::string& temporary) {
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
Status CatalogReader::AskLabels(const TableSchema& table, Column* column) {
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
      return CatalogMoving(table, column->name);
    }
    column->labels[i] = std::move(*label);
  }
  return mysql_ ? connection_.Execute("DROP TEMPORARY TABLE " + temporary) : Status();
}

Status CatalogReader::Read() {
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
      return CatalogMoving(table.schema, "it has no columns");
    }
  }
  return {};
}

}  // namespace crossfade::mysql
