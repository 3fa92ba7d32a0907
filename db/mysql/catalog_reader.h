// Reads the base tables of one database from information_schema: the work behind catalog.h.
#pragma once

#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "db/mysql/catalog.h"
#include "db/mysql/connection.h"

namespace crossfade::mysql {

inline std::string CatalogText(const std::optional<std::string_view>& text) { return std::string(text.value_or("")); }

template <typename T>
T CatalogNumber(const std::optional<std::string_view>& text) {
  T value = 0;
  if (text) {
    std::from_chars(text->data(), text->data() + text->size(), value);
  }
  return value;
}

// Data error about one object of the catalog.
tl::unexpected<Error> CatalogRefusal(std::string_view code, std::string object, std::string found, std::string message,
                                     std::string fix);

// What the queries say does not fit together: a column that a key names is not there.
tl::unexpected<Error> CatalogMoving(const TableSchema& table, std::string_view what);

// Reads all base tables of a database, or one of them, in a handful of queries.
class CatalogReader {
 public:
  CatalogReader(Connection& connection, std::string database, std::optional<std::string> table)
      : connection_(connection),
        mysql_(connection.server().flavor == Flavor::kMySql),
        database_(std::move(database)),
        table_(std::move(table)) {}

  Status Read();
  std::map<std::string, CatalogTable>& tables() { return tables_; }
  std::vector<std::string>& views() { return views_; }
  std::vector<std::string>& sequences() { return sequences_; }

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
  struct Rule {
    ReferenceAction on_delete;
    ReferenceAction on_update;
  };

  std::map<std::string, CatalogTable> tables_;
  std::map<std::pair<std::string, std::string>, Rule> rules_;  // of foreign keys, by table and name
  std::vector<std::string> views_;
  std::vector<std::string> sequences_;
};

}  // namespace crossfade::mysql
