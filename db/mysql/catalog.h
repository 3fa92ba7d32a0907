// Reads what tables look like from information_schema, for MariaDB and MySQL.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
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
  std::vector<CatalogTable> tables;        // base tables of the database, by name
  std::vector<std::string> views;          // work for a person
  std::vector<std::string> triggers;       // "name on table"
  std::vector<std::string> routines;       // "procedure name"
  std::vector<std::string> events;
};

// All base tables of the connection's database, exactly. One consistent answer is not promised while DDL runs.
// Data error CF1110 names a column whose type is not known.
Result<Catalog> ReadCatalog(Connection& connection, const std::string& database);

// One table, or nullopt if it does not exist.
Result<std::optional<TableSchema>> ReadTable(Connection& connection, const std::string& database,
                                             const std::string& table);

}  // namespace crossfade::mysql
