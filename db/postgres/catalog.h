// Reads what the tables of one schema look like, from PostgreSQL's catalogs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/schema.h"
#include "db/postgres/connection.h"

namespace crossfade::postgres {

enum class ReplicaIdentity : uint8_t { kDefault, kNothing, kFull, kIndex };

struct CatalogTable {
  TableSchema schema;  // `database`: the schema's name
  TableSize size;
  bool partitioned = false;
  ReplicaIdentity identity = ReplicaIdentity::kDefault;
  std::vector<uint32_t> identity_columns;  // of kIndex
};

// Something that cannot be copied or followed as it is, or is not carried over exactly. Codes are stable:
//   CF1430 a table that is not in the log: unlogged, foreign   CF1434 a key whose equality is coarser than its text
//   CF1431 a table that inherits, or is inherited from         CF1435 a foreign key that cannot be made as it is
//   CF1432 large objects                                       CF1436 a domain, stored as its base type
//   CF1433 a generated column in a primary key                 CF1437 a text column with a collation of its own
struct CatalogFinding {
  bool blocks = false;
  std::string code;
  std::string table;   // empty: of the whole database
  std::string object;  // "table.column", "table.key"
  std::string found;
  std::string meaning;
  std::string fix;
};

struct Catalog {
  std::vector<CatalogTable> tables;  // by name; a partitioned table is one, its partitions are none
  std::vector<CatalogFinding> findings;
  std::vector<std::string> for_a_person;  // "view v", "trigger t on x": not moved by us
};

// All tables of `schema`, exactly: keys and foreign keys are sorted by name, so that two reads of the same tables are
// equal. In one transaction of the connection, which must have none; its search_path is empty afterwards.
//   Default values are SQL expressions of PostgreSQL; default_is_expression: it needs a function or a sequence of its
//   own. A column's `labels` are those of an enum.
//   Generated columns are marked; their values are in no image, since the log has none.
// Tables that findings CF1430 and CF1431 name are left out.
Result<Catalog> ReadCatalog(Connection& connection, const std::string& schema);

}  // namespace crossfade::postgres
