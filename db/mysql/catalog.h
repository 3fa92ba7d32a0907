// Reads what tables look like from information_schema, for MariaDB and MySQL.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/schema.h"
#include "db/mysql/connection.h"

namespace crossfade::mysql {

struct CatalogTable {
  TableSchema schema;
  TableSize size;
};

struct Catalog {
  std::vector<CatalogTable> tables;   // base tables of the database, by name
  std::vector<std::string> views;     // work for a person
  std::vector<std::string> triggers;  // "name on table"
  std::vector<std::string> routines;  // "procedure name", "function name", "sequence name"
  std::vector<std::string> events;
};

// All base tables of `database`, exactly: keys, foreign keys and checks are sorted by name, so that two reads of the
// same tables are equal. One consistent answer is not promised while DDL runs.
//   Default values: binary columns "0x" and hex digits; bit columns the binary digits; else the text, unquoted.
//   A key over an expression (MySQL) has the method "EXPRESSION" and no parts, though it may be unique.
// Data errors: CF1110 a column's type is not known; CF1111 a foreign key's parent is in another database; CF1113 a
// system-versioned table; CF1115 a table that the server cannot open. Config error CF1116: not all columns can be seen.
// Transient error CF1112: DDL was met in between.
Result<Catalog> ReadCatalog(Connection& connection, const std::string& database);

// One table, or nullopt if it does not exist.
Result<std::optional<TableSchema>> ReadTable(Connection& connection, const std::string& database,
                                             const std::string& table);

}  // namespace crossfade::mysql
