// What stands on a PostgreSQL target, read with libpqxx; and the connection on which its schema is changed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apply/postgres/control.h"
#include "core/error.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

struct CatalogColumn {
  std::string name;
  std::string type;  // format_type: "character varying(10)"
  bool not_null = false;
  bool filled = false;  // by a default, an identity or an expression
};

struct CatalogIndex {
  std::string name;
  bool unique = false;
  bool primary = false;
  bool valid = true;
  bool partial = false;
  // Columns and expressions, brought to a common form by NormalPart.
  std::vector<std::string> parts;
  std::vector<bool> descending;
};

struct CatalogForeignKey {
  std::string name;
  std::vector<std::string> columns;
  std::string parent_schema;
  std::string parent_table;
  std::vector<std::string> parent_columns;
  char on_delete = 'a';  // pg_constraint's letters
  char on_update = 'a';
  std::vector<std::string> set_null_columns;
  bool deferrable = false;
  bool validated = false;
};

struct CatalogTable {
  std::string schema;
  std::string name;
  std::vector<CatalogColumn> columns;
  std::vector<CatalogIndex> indexes;
  std::vector<CatalogForeignKey> foreign_keys;

  const CatalogColumn* FindColumn(const std::string& column) const;
};

// The text of an index column or expression without what the server adds to it or leaves out: quotes, blanks,
// parentheses, casts to text.
std::string NormalPart(std::string_view text);

// One libpqxx connection. One thread, but for Cancel. Statements may be met again after a crash: callers work them out
// from the catalog. Errors are classed as postgres::Connection's are; a commit in doubt is Reconnect here.
class SchemaConnection {
 public:
  using Parameters = std::vector<std::string>;
  using Rows = std::vector<std::vector<std::optional<std::string>>>;

  static Result<std::unique_ptr<SchemaConnection>> Open(const postgres::ConnectionOptions& options,
                                                        uint32_t lock_timeout_ms);
  ~SchemaConnection();

  int server_version() const;
  // The DDL lock, held until the connection ends. Transient CF1505.
  Status LockDdl(uint32_t timeout_ms);
  Result<Rows> Select(const std::string& sql, const Parameters& parameters = {});
  Result<std::optional<CatalogTable>> ReadTable(const std::string& schema, const std::string& table);

  // One transaction, fenced, under a short lock_timeout (55P03: Transient): all of it or nothing.
  Status Transact(const Fence& fence, const std::vector<std::string>& statements);
  // One statement outside of a transaction, without a lock_timeout. The fence is looked at before.
  Status RunAlone(const Fence& fence, const std::string& statement);

  // From any thread: the running statement fails with Transient.
  void Cancel();

 private:
  struct State;
  explicit SchemaConnection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace crossfade::apply
