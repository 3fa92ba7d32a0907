// What a table looks like on its source, in words that belong to no engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace crossfade {

// Part of the journal's format: never reuse a number.
enum class ColumnType : uint8_t {
  kInt = 1,  // `bits` 8, 16, 24, 32 or 64; `is_unsigned`
  kFloat = 2,
  kDouble = 3,
  kDecimal = 4,     // `precision`, `scale`; precision 0: without limits (PostgreSQL)
  kBit = 5,         // `length` in bits, 1 to 64
  kChar = 6,        // `length` in characters; fixed
  kVarchar = 7,     // `length` in characters
  kText = 8,        // unbounded
  kBinary = 9,      // `length` in bytes; fixed, padded with NUL bytes
  kVarbinary = 10,  // `length` in bytes
  kBlob = 11,       // unbounded
  kDate = 12,
  kTime = 13,       // `fraction` digits
  kDateTime = 14,   // `fraction` digits; no time zone
  kTimestamp = 15,  // `fraction` digits; UTC
  kYear = 16,
  kEnum = 17,      // `labels`
  kSet = 18,       // `labels`
  kJson = 19,      // MySQL's JSON (a binary document)
  kJsonText = 20,  // MariaDB's JSON (text that is valid JSON, kept to the letter)
  kUuid = 21,
  kInet4 = 22,
  kInet6 = 23,
  kGeometry = 24,
  kVector = 25,  // `length` dimensions, 0 if unknown
  kBool = 26,
  kNative = 27,  // a type that only its own engine knows: `source_type`, schema-qualified unless built in
};

std::string_view ColumnTypeName(ColumnType type);

enum class GeneratedKind : uint8_t { kNone = 0, kVirtual = 1, kStored = 2 };

struct Column {
  std::string name;
  ColumnType type = ColumnType::kInt;
  std::string source_type;  // as the source says it: "int(11) unsigned"
  bool nullable = true;
  bool is_unsigned = false;
  bool auto_increment = false;
  bool invisible = false;
  bool of_postgres = false;  // the source is PostgreSQL: its types, its calendar, its text
  uint8_t bits = 0;
  uint64_t length = 0;
  uint16_t precision = 0;
  uint16_t scale = 0;
  uint8_t fraction = 0;
  std::string charset;                       // "utf8mb4"; empty for what is not text
  std::string collation;                     // "utf8mb4_uca1400_ai_ci"
  std::vector<std::string> labels;           // UTF-8
  std::optional<std::string> default_value;  // literal as text, unquoted; none if there is no default or NULL
  bool default_is_expression = false;        // default_value is an SQL expression of the source
  GeneratedKind generated = GeneratedKind::kNone;
  std::string generation_expression;
  std::string comment;

  // Not in the log, and so never moved: the target works it out itself.
  bool computed() const { return of_postgres && generated != GeneratedKind::kNone; }
  friend bool operator==(const Column&, const Column&) = default;
};

struct KeyPart {
  uint32_t column = 0;  // index into TableSchema::columns
  uint32_t prefix = 0;  // characters or bytes; 0: the whole column
  bool descending = false;
  friend bool operator==(const KeyPart&, const KeyPart&) = default;
};

struct Key {
  std::string name;
  bool unique = false;
  std::vector<KeyPart> parts;
  std::string method;  // empty: ordered; "FULLTEXT", "SPATIAL"
  friend bool operator==(const Key&, const Key&) = default;
};

// What a foreign key does to its child rows.
enum class ReferenceAction : uint8_t { kNoAction = 0, kCascade = 1, kSetNull = 2, kSetDefault = 3 };

struct ForeignKey {
  std::string name;
  std::vector<uint32_t> columns;
  std::string parent_table;  // of the same database
  std::vector<std::string> parent_columns;
  ReferenceAction on_delete = ReferenceAction::kNoAction;
  ReferenceAction on_update = ReferenceAction::kNoAction;

  bool has_action() const { return on_delete != ReferenceAction::kNoAction || on_update != ReferenceAction::kNoAction; }
  friend bool operator==(const ForeignKey&, const ForeignKey&) = default;
};

// One version of one table. Immutable once made; compared by value.
struct TableSchema {
  std::string database;
  std::string name;
  std::vector<Column> columns;
  std::vector<KeyPart> primary_key;  // empty: none
  std::vector<Key> keys;             // without the primary key
  std::vector<ForeignKey> foreign_keys;
  std::string engine;  // "InnoDB"
  std::string comment;
  std::vector<std::string> checks;  // expressions as the source writes them: listed as work for a person

  std::optional<uint32_t> FindColumn(std::string_view name) const;
  std::string QualifiedName() const;  // database.name, for people

  // Durable, versioned bytes. Equal schemas encode equally.
  std::string Encode() const;
  static Result<TableSchema> Decode(std::string_view bytes);
  friend bool operator==(const TableSchema&, const TableSchema&) = default;
};

// Facts about a table that change from minute to minute; never part of its schema.
struct TableSize {
  uint64_t rows = 0;  // the server's estimate
  uint64_t bytes = 0;
};

}  // namespace crossfade
