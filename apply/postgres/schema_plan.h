// What a migration wants to find on a PostgreSQL target: made from the source's schema alone, before looking there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apply/route.h"
#include "apply/target.h"
#include "core/error.h"
#include "db/postgres/type_map.h"

namespace crossfade::apply {

struct WantedColumn {
  std::string name;
  postgres::PgType type;
  bool not_null = false;
  std::string default_sql;  // empty: none
  bool numbered = false;    // auto_increment: an identity, or a sequence where the type cannot be one
  bool tenant = false;
  std::string type_fix;      // makes its type, where the target has none such
  std::string computed_sql;  // the target works it out from other columns; empty: it is stored
  std::string comment;

  bool has_identity() const { return numbered && type.encoding != postgres::Encoding::kNumericFromInteger; }
  bool has_sequence() const { return numbered && !has_identity(); }
};

struct WantedIndexPart {
  std::string column;
  std::string expression;  // empty: the whole column
  bool descending = false;
};

struct WantedIndex {
  std::string name;
  bool unique = false;
  std::vector<WantedIndexPart> parts;
};

struct WantedForeignKey {
  std::string name;
  std::vector<std::string> columns;
  std::string parent_schema;
  std::string parent_table;
  std::vector<std::string> parent_columns;
  ReferenceAction on_delete = ReferenceAction::kNoAction;
  ReferenceAction on_update = ReferenceAction::kNoAction;
  std::vector<std::string> set_null_columns;  // of ON DELETE SET NULL; empty: all

  bool has_action() const { return on_delete != ReferenceAction::kNoAction || on_update != ReferenceAction::kNoAction; }
};

struct WantedTable {
  const Route* route = nullptr;
  std::string schema;
  std::string table;
  std::vector<WantedColumn> columns;
  std::vector<std::string> primary_key;
  std::vector<WantedIndex> indexes;
  std::vector<WantedForeignKey> foreign_keys;
  std::string comment;

  std::string QualifiedName() const;  // quoted
};

struct SchemaPlan {
  std::vector<WantedTable> tables;
  std::vector<Finding> findings;
};

struct SchemaPlanOptions {
  Tenancy tenancy;
  postgres::TypePolicy types;
  bool text_keys_exact = false;
  int server_version = 150000;
};

// Findings: CF1530 keys of text that the source compares more coarsely than byte by byte, CF1535 default not carried
// over, CF1538 key too long for an index, CF1540 index that is none here, CF1541 to CF1545 foreign keys, checks and
// generated columns that cannot stand as they are, CF1575 types that the target must have first.
Result<SchemaPlan> PlanSchemaOf(const RouteSet& routes, const SchemaPlanOptions& options);

// The SQL of a column's default; nullopt if it has none that could be carried over exactly.
std::optional<std::string> TranslateDefault(const Column& column, const postgres::TypePolicy& policy);

// At most 63 bytes, cut between characters; a name that is cut ends in a hash of `identity`.
std::string ShortName(const std::string& name, const std::string& identity);
// The same, always with the hash: for a name that somebody else has.
std::string HashedName(const std::string& name, const std::string& identity);

std::string CreateTableSql(const WantedTable& table);
// Sequences and comments of a table just made.
std::vector<std::string> FinishTableSql(const WantedTable& table);
std::string CreateIndexSql(const WantedTable& table, const WantedIndex& index, const std::string& name,
                           bool concurrently);
std::string AddForeignKeySql(const WantedTable& table, const WantedForeignKey& key, const std::string& name);
// As the server's format_type shows it: "character varying(10)".
std::string FormatType(const postgres::PgType& type);

// SQL string literal under standard_conforming_strings.
std::string QuoteLiteral(std::string_view text);

}  // namespace crossfade::apply
