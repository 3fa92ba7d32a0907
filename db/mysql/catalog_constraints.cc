#include <algorithm>

#include "db/mysql/account.h"
#include "db/mysql/catalog_reader.h"
#include "db/mysql/column_text.h"

namespace crossfade::mysql {
namespace {

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

// MariaDB shows what a foreign key does only to an account that may do more than SELECT.
tl::unexpected<Error> HiddenActions(const TableSchema& table, const std::string& key) {
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = "CF1116";
  error.component = "db.mysql.catalog";
  error.message = fmt::format("what foreign key {} of {} does cannot be seen", key, table.QualifiedName());
  error.object = table.QualifiedName();
  error.found = "only SELECT is granted";
  error.fix = fmt::format("GRANT REFERENCES ON {}.* TO ", Connection::Identifier(table.database));
  return Fail(std::move(error));
}

}  // namespace

Status CatalogReader::ReadChecks() {
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
    if (TableSchema* const table = Find(CatalogText(row[0]))) {
      table->checks.push_back(mysql_ ? UnescapeExpression(row[1].value_or("")) : CatalogText(row[1]));
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
void CatalogReader::TurnIntoJson() {
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

Status CatalogReader::ReadKeys() {
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
                RawKey& raw = keys[{CatalogText(row[0]), CatalogText(row[1])}];
                raw.key.name = CatalogText(row[1]);
                raw.key.unique = row[2] == "0";
                const std::string type = CatalogText(row[6]);
                const bool ordered = type == "BTREE" || type == "HASH" || type == "RTREE";
                raw.key.method = ordered ? "" : type;
                Part part{std::nullopt, type == "SPATIAL" ? 0 : CatalogNumber<uint32_t>(row[4]), row[5] == "D"};
                if (row[3]) {
                  part.column = CatalogText(row[3]);
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
        return CatalogMoving(*table, raw.key.name);
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

// Two queries: joined on the server they take time that grows with the square of the tables.
Status CatalogReader::ReadForeignKeys() {
  CROSSFADE_TRY(ForEach(
      "SELECT TABLE_NAME, CONSTRAINT_NAME, DELETE_RULE, UPDATE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS "
      "WHERE " +
          Where("CONSTRAINT_SCHEMA", "TABLE_NAME"),
      [this](TextRow row) -> Status {
        rules_[{CatalogText(row[0]), CatalogText(row[1])}] = {Action(row[2].value_or("")), Action(row[3].value_or(""))};
        return {};
      }));
  Status read = ForEach(
      "SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, "
      "REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL AND " +
          Where("TABLE_SCHEMA", "TABLE_NAME") +
          " ORDER BY TABLE_NAME, CAST(CONSTRAINT_NAME AS BINARY), ORDINAL_POSITION",
      [this](TextRow row) { return ForeignKeyFromRow(row); });
  if (!read && read.error().code == "CF1116") {
    CROSSFADE_ASSIGN(const std::string account, CurrentAccount(connection_));
    read.error().fix += account;
  }
  return read;
}

Status CatalogReader::ForeignKeyFromRow(TextRow row) {
  TableSchema* const table = Find(CatalogText(row[0]));
  if (table == nullptr) {
    return {};
  }
  const std::string name = CatalogText(row[1]);
  if (row[3] != database_) {
    return CatalogRefusal(
        "CF1111", table->QualifiedName() + ", foreign key " + name, CatalogText(row[3]) + "." + CatalogText(row[4]),
        fmt::format("foreign key {} of {} refers to a table of another database", name, table->QualifiedName()),
        fmt::format("ALTER TABLE {}.{} DROP FOREIGN KEY {}", Connection::Identifier(database_),
                    Connection::Identifier(table->name), Connection::Identifier(name)));
  }
  const auto rule = rules_.find({table->name, name});
  if (rule == rules_.end()) {
    return HiddenActions(*table, name);
  }
  const auto column = table->FindColumn(row[2].value_or(""));
  if (!column) {
    return CatalogMoving(*table, name);
  }
  if (table->foreign_keys.empty() || table->foreign_keys.back().name != name) {
    ForeignKey key;
    key.name = name;
    key.parent_table = CatalogText(row[4]);
    key.on_delete = rule->second.on_delete;
    key.on_update = rule->second.on_update;
    table->foreign_keys.push_back(std::move(key));
  }
  table->foreign_keys.back().columns.push_back(*column);
  table->foreign_keys.back().parent_columns.push_back(CatalogText(row[5]));
  return {};
}

}  // namespace crossfade::mysql
