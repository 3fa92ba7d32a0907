#include "db/mysql/catalog.h"

#include <algorithm>

#include "db/mysql/catalog_reader.h"

namespace crossfade::mysql {
namespace {

// The names that `sql` gives, in order.
Status ReadNames(CatalogReader& reader, const std::string& sql, std::vector<std::string>* names) {
  CROSSFADE_TRY(reader.ForEach(sql, [&](TextRow row) -> Status {
    names->push_back(CatalogText(row[0]));
    return {};
  }));
  std::sort(names->begin(), names->end());
  return {};
}

}  // namespace

Result<Catalog> ReadCatalog(Connection& connection, const std::string& database) {
  CatalogReader reader(connection, database, std::nullopt);
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
  CatalogReader reader(connection, database, table);
  CROSSFADE_TRY(reader.Read());
  if (reader.tables().empty()) {
    return std::optional<TableSchema>();
  }
  return std::optional(std::move(reader.tables().begin()->second.schema));
}

}  // namespace crossfade::mysql
