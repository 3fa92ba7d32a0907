#include "db/postgres/catalog.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "db/postgres/catalog_type.h"

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";

using Row = std::vector<std::optional<std::string>>;

const std::string& TextOf(const Row& row, size_t field) {
  static const std::string kNone;
  return row[field] ? *row[field] : kNone;
}

bool IsTrue(const Row& row, size_t field) { return TextOf(row, field) == "t"; }

int64_t NumberOf(const Row& row, size_t field) {
  int64_t number = 0;
  const std::string& text = TextOf(row, field);
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// "1 2 3", as int2vector and array_to_string(.., ' ') have it.
std::vector<int64_t> NumbersOf(const Row& row, size_t field) {
  std::vector<int64_t> numbers;
  const std::string& text = TextOf(row, field);
  for (const char* at = text.data(); at < text.data() + text.size(); ++at) {
    int64_t number = 0;
    at = std::from_chars(at, text.data() + text.size(), number).ptr;
    numbers.push_back(number);
  }
  return numbers;
}

ReferenceAction ActionOf(const std::string& code) {
  switch (code.empty() ? 'a' : code.front()) {
    case 'c':
      return ReferenceAction::kCascade;
    case 'n':
      return ReferenceAction::kSetNull;
    case 'd':
      return ReferenceAction::kSetDefault;
    default:
      return ReferenceAction::kNoAction;
  }
}

// Relations that are tables of their own: no partitions.
constexpr const char* kTables =
    "SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.relreplident,"
    " obj_description(c.oid, 'pg_class'),"
    " (SELECT coalesce(sum(greatest(p.reltuples, 0)), 0)::bigint FROM pg_partition_tree(c.oid) t"
    "   JOIN pg_class p ON p.oid = t.relid WHERE t.isleaf) AS partition_rows,"
    " CASE c.relkind WHEN 'p' THEN (SELECT coalesce(sum(pg_total_relation_size(t.relid)), 0)::bigint"
    "   FROM pg_partition_tree(c.oid) t) ELSE pg_total_relation_size(c.oid) END AS bytes,"
    " greatest(c.reltuples, 0)::bigint,"
    " EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid) AS inherits"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
    "   AND d.deptype = 'e')"
    " ORDER BY c.relname COLLATE \"C\"";

// The base type of a domain is looked for through all domains above it.
constexpr const char* kColumns =
    "WITH RECURSIVE base AS ("
    " SELECT t.oid AS type, t.oid AS base, t.typtype, t.typbasetype, -1 AS typmod FROM pg_type t"
    " UNION ALL"
    " SELECT b.type, t.oid, t.typtype, t.typbasetype,"
    "   (SELECT d.typtypmod FROM pg_type d WHERE d.oid = b.base)"
    " FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd')"
    " SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), b.base,"
    " CASE WHEN b.base = a.atttypid THEN a.atttypmod ELSE b.typmod END,"
    " b.base <> a.atttypid AS of_domain, a.attnotnull, a.attidentity, a.attgenerated,"
    " pg_get_expr(ad.adbin, ad.adrelid),"
    " pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) AS sequence,"
    " coalesce((SELECT bool_or(d.refclassid = 'pg_proc'::regclass"
    "     OR (d.refclassid = 'pg_class'::regclass AND d.refobjid <> a.attrelid))"
    "   FROM pg_depend d WHERE d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid), false) AS needs_others,"
    " col_description(a.attrelid, a.attnum), co.collname, co.collisdeterministic,"
    " (SELECT string_agg(encode(convert_to(e.enumlabel, 'UTF8'), 'hex'), ' ' ORDER BY e.enumsortorder)"
    "   FROM pg_enum e WHERE e.enumtypid = a.atttypid) AS labels,"
    " format_type(b.base, CASE WHEN b.base = a.atttypid THEN a.atttypmod ELSE b.typmod END)"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN base b ON b.type = a.atttypid AND b.typtype <> 'd'"
    " LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum"
    " LEFT JOIN pg_collation co ON co.oid = a.attcollation"
    " WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0"
    " AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

constexpr const char* kIndexes =
    "SELECT i.indrelid, x.relname, i.indisprimary, i.indisunique, i.indisvalid, am.amname,"
    " i.indpred IS NOT NULL OR i.indexprs IS NOT NULL AS computed,"
    " (SELECT string_agg(k::text, ' ') FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k) AS key,"
    " (SELECT string_agg((o & 1)::text, ' ') FROM unnest(i.indoption) o) AS descending,"
    " i.indnatts > i.indnkeyatts AS includes, i.indisexclusion, i.indimmediate, i.indisreplident,"
    " EXISTS (SELECT FROM unnest(i.indclass) o JOIN pg_opclass oc ON oc.oid = o WHERE NOT oc.opcdefault) AS own_class,"
    " pg_get_indexdef(i.indexrelid),"
    " coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS nulls_equal"
    " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am am ON am.oid = x.relam"
    " WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    " ORDER BY i.indrelid, x.relname COLLATE \"C\"";

constexpr const char* kConstraints =
    "SELECT k.conrelid, k.conname, k.contype, array_to_string(k.conkey, ' '), p.relname, pn.nspname,"
    " (SELECT string_agg(encode(convert_to(a.attname::text, 'UTF8'), 'hex'), ' ' ORDER BY u.place)"
    "   FROM unnest(k.confkey) WITH ORDINALITY u(number, place)"
    "   JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number) AS parent_columns,"
    " k.confdeltype, k.confupdtype, k.convalidated, pg_get_constraintdef(k.oid),"
    " coalesce(jsonb_typeof(to_jsonb(k) -> 'confdelsetcols') = 'array', false) AS sets_some, k.condeferrable"
    " FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_class p ON p.oid = k.confrelid LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace"
    " WHERE n.nspname = $1 AND NOT c.relispartition AND k.conparentid = 0 AND k.contype IN ('c', 'f')"
    " ORDER BY k.conrelid, k.conname COLLATE \"C\"";

constexpr const char* kForAPerson =
    "SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'sequence ' END || c.relname"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND (c.relkind IN ('v', 'm')"
    "   OR (c.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass"
    "     AND d.objid = c.oid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))))"
    " UNION ALL SELECT 'trigger ' || t.tgname || ' on ' || c.relname FROM pg_trigger t"
    "   JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    "   WHERE n.nspname = $1 AND NOT t.tgisinternal AND NOT c.relispartition"
    " UNION ALL SELECT 'rule ' || r.rulename || ' on ' || c.relname FROM pg_rewrite r"
    "   JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace"
    "   WHERE n.nspname = $1 AND r.rulename <> '_RETURN'"
    " UNION ALL SELECT 'policy ' || p.polname || ' on ' || c.relname FROM pg_policy p"
    "   JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1"
    " UNION ALL SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END"
    "     || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1"
    "   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid"
    "     AND d.deptype = 'e')"
    " ORDER BY 1";

// Names come as hex: any character may stand in them.
std::vector<std::string> HexNames(const Row& row, size_t field) {
  std::vector<std::string> names;
  const std::string& text = TextOf(row, field);
  if (text.empty()) {
    return names;
  }
  names.emplace_back();
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      names.emplace_back();
      ++at;
      continue;
    }
    uint8_t byte = 0;
    std::from_chars(text.data() + at, text.data() + at + 2, byte, 16);
    names.back().push_back(static_cast<char>(byte));
    at += 2;
  }
  return names;
}

class CatalogReader {
 public:
  CatalogReader(Connection& connection, const std::string& schema) : connection_(connection), schema_(schema) {}

  Result<Catalog> Read() {
    CROSSFADE_TRY(ReadTables());
    CROSSFADE_TRY(ReadColumns());
    CROSSFADE_TRY(ReadIndexes());
    CROSSFADE_TRY(ReadConstraints());
    CROSSFADE_TRY(ReadLargeObjects());
    CROSSFADE_TRY(ReadTheRest());
    for (const auto& [oid, entry] : entries_) {
      CheckKeys(entry.table);
      catalog_.tables.push_back(entry.table);
    }
    std::sort(catalog_.tables.begin(), catalog_.tables.end(),
              [](const CatalogTable& a, const CatalogTable& b) { return a.schema.name < b.schema.name; });
    return std::move(catalog_);
  }

 private:
  struct Entry {
    CatalogTable table;
    std::map<int64_t, uint32_t> columns;  // by attribute number
  };

  Result<std::vector<Row>> Ask(const char* sql) {
    CROSSFADE_ASSIGN(ResultSet set, connection_.Query(sql, {schema_}));
    return std::move(set.rows);
  }

  Entry* Find(const Row& row) {
    const auto found = entries_.find(NumberOf(row, 0));
    return found == entries_.end() ? nullptr : &found->second;
  }

  void Note(bool blocks, std::string_view code, const std::string& table, std::string object, std::string found,
            std::string meaning, std::string fix) {
    catalog_.findings.push_back(
        {blocks, std::string(code), table, std::move(object), std::move(found), std::move(meaning), std::move(fix)});
  }

  std::string Quoted(const std::string& table) const {
    return Connection::Identifier(schema_) + "." + Connection::Identifier(table);
  }

  Status ReadTables();
  Status ReadColumns();
  void ReadColumn(const Row& row, Entry* entry);
  Status ReadIndexes();
  void ReadIndex(const Row& row, Entry* entry);
  Status ReadConstraints();
  void ReadForeignKey(const Row& row, Entry* entry);
  Status ReadLargeObjects();
  Status ReadTheRest();
  void CheckKeys(const CatalogTable& table);
  void CheckKeyColumn(const CatalogTable& table, uint32_t column);

  Connection& connection_;
  const std::string& schema_;
  std::map<int64_t, Entry> entries_;                                  // by oid
  std::map<std::string, std::map<std::string, std::string>> coarse_;  // collation by table and column
  Catalog catalog_;
};

Status CatalogReader::ReadTables() {
  CROSSFADE_ASSIGN(const std::vector<Row> rows, Ask(kTables));
  for (const Row& row : rows) {
    const std::string& name = TextOf(row, 1);
    const bool partitioned = TextOf(row, 2) == "p";
    if (TextOf(row, 2) == "f" || TextOf(row, 3) != "p") {
      Note(true, "CF1430", name, name, TextOf(row, 2) == "f" ? "a foreign table" : "an unlogged table",
           "what changes in it is not in the log",
           TextOf(row, 2) == "f" ? "exclude it: [tables] exclude"
                                 : fmt::format("ALTER TABLE {} SET LOGGED", Quoted(name)));
      continue;
    }
    if (IsTrue(row, 9) && !partitioned) {
      Note(true, "CF1431", name, name, "table inheritance",
           "a read of the parent gives the children's rows too, and the log names each table of its own",
           "make it a partitioned table, end the inheritance (ALTER TABLE .. NO INHERIT ..), or exclude it");
      continue;
    }
    Entry& entry = entries_[NumberOf(row, 0)];
    entry.table.schema.database = schema_;
    entry.table.schema.name = name;
    entry.table.schema.engine = "PostgreSQL";
    entry.table.schema.comment = TextOf(row, 5);
    entry.table.partitioned = partitioned;
    entry.table.size.rows = static_cast<uint64_t>(NumberOf(row, partitioned ? 6 : 8));
    entry.table.size.bytes = static_cast<uint64_t>(NumberOf(row, 7));
    const std::string& identity = TextOf(row, 4);
    entry.table.identity = identity == "n"   ? ReplicaIdentity::kNothing
                           : identity == "f" ? ReplicaIdentity::kFull
                           : identity == "i" ? ReplicaIdentity::kIndex
                                             : ReplicaIdentity::kDefault;
  }
  return {};
}

Status CatalogReader::ReadColumns() {
  CROSSFADE_ASSIGN(const std::vector<Row> rows, Ask(kColumns));
  for (const Row& row : rows) {
    if (Entry* entry = Find(row)) {
      ReadColumn(row, entry);
    }
  }
  return {};
}

void CatalogReader::ReadColumn(const Row& row, Entry* entry) {
  TableSchema& table = entry->table.schema;
  Column column;
  column.name = TextOf(row, 2);
  column.source_type = TextOf(row, 3);
  column.labels = HexNames(row, 16);
  SetColumnType(static_cast<uint32_t>(NumberOf(row, 4)), static_cast<int32_t>(NumberOf(row, 5)), &column);
  column.nullable = !IsTrue(row, 7);
  const bool is_default = TextOf(row, 9).empty() && row[10];
  column.auto_increment = !TextOf(row, 8).empty() || (row[11] && is_default && TextOf(row, 10).starts_with("nextval("));
  if (!TextOf(row, 9).empty()) {
    column.generated = TextOf(row, 9) == "v" ? GeneratedKind::kVirtual : GeneratedKind::kStored;
    column.generation_expression = TextOf(row, 10);
  } else if (is_default && !column.auto_increment) {
    column.default_value = row[10];
    column.default_is_expression = IsTrue(row, 12);
  }
  column.comment = TextOf(row, 13);
  const std::string object = table.name + "." + column.name;
  if (row[14]) {
    column.collation = *row[14];
    if (!IsTrue(row, 15)) {
      coarse_[table.name][column.name] = column.collation;
    }
    if (column.collation != "default") {
      Note(false, "CF1437", table.name, object, column.collation,
           "the target sorts this column by its database's collation", "give it one there, if its order matters");
    }
  }
  if (IsTrue(row, 6) && column.type != ColumnType::kNative) {
    Note(false, "CF1436", table.name, object, column.source_type,
         "a domain: the target has its base type, " + TextOf(row, 17) + ", without its checks",
         "make the domain there after the switch, if it is wanted");
  }
  entry->columns.emplace(NumberOf(row, 1), static_cast<uint32_t>(table.columns.size()));
  table.columns.push_back(std::move(column));
}

Status CatalogReader::ReadIndexes() {
  CROSSFADE_ASSIGN(const std::vector<Row> rows, Ask(kIndexes));
  for (const Row& row : rows) {
    if (Entry* entry = Find(row)) {
      ReadIndex(row, entry);
    }
  }
  return {};
}

void CatalogReader::ReadIndex(const Row& row, Entry* entry) {
  TableSchema& table = entry->table.schema;
  const bool usable = IsTrue(row, 4) && TextOf(row, 5) == "btree" && !IsTrue(row, 6) && !IsTrue(row, 10) &&
                      IsTrue(row, 11) && !IsTrue(row, 13) && !IsTrue(row, 15);
  if (!IsTrue(row, 2) && (!usable || IsTrue(row, 9))) {
    catalog_.for_a_person.push_back(fmt::format("{}{}", IsTrue(row, 4) ? "index " : "invalid index ", TextOf(row, 14)));
  }
  Key key;
  key.name = TextOf(row, 1);
  key.unique = IsTrue(row, 3);
  const std::vector<int64_t> descending = NumbersOf(row, 8);
  for (size_t i = 0; const int64_t number : NumbersOf(row, 7)) {
    const auto column = entry->columns.find(number);
    if (column != entry->columns.end()) {
      key.parts.push_back({column->second, 0, i < descending.size() && descending[i] != 0});
    }
    ++i;
  }
  if (IsTrue(row, 12) && entry->table.identity == ReplicaIdentity::kIndex) {
    for (const KeyPart& part : key.parts) {
      entry->table.identity_columns.push_back(part.column);
    }
  }
  if (IsTrue(row, 2)) {
    table.primary_key = key.parts;
  } else if (usable) {
    table.keys.push_back(std::move(key));
  }
}

Status CatalogReader::ReadConstraints() {
  CROSSFADE_ASSIGN(const std::vector<Row> rows, Ask(kConstraints));
  for (const Row& row : rows) {
    Entry* entry = Find(row);
    if (entry == nullptr) {
      continue;
    }
    if (TextOf(row, 2) == "c") {
      entry->table.schema.checks.push_back(TextOf(row, 10));
    } else {
      ReadForeignKey(row, entry);
    }
  }
  return {};
}

void CatalogReader::ReadForeignKey(const Row& row, Entry* entry) {
  TableSchema& table = entry->table.schema;
  ForeignKey key;
  key.name = TextOf(row, 1);
  for (const int64_t number : NumbersOf(row, 3)) {
    key.columns.push_back(entry->columns.at(number));
  }
  key.parent_table = TextOf(row, 4);
  key.parent_columns = HexNames(row, 6);
  key.on_delete = ActionOf(TextOf(row, 7));
  key.on_update = ActionOf(TextOf(row, 8));
  const std::string object = table.name + "." + key.name;
  const std::string& definition = TextOf(row, 10);
  const bool elsewhere = TextOf(row, 5) != schema_;
  if (elsewhere || !IsTrue(row, 9)) {
    Note(elsewhere && key.has_action(), "CF1435", table.name, object, definition,
         elsewhere ? "its parent is in another schema: the foreign key is left out"
                   : "a foreign key that was never validated: it is left out",
         elsewhere ? "make it without action on the source, or move both tables into one schema"
                   : fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {}", Quoted(table.name),
                                 Connection::Identifier(key.name)));
    return;
  }
  if (IsTrue(row, 11)) {
    Note(true, "CF1435", table.name, object, definition,
         "it sets some of its columns only; on the target it would set all of them",
         "make it with ON DELETE SET NULL of all its columns, or without action, on the source");
  }
  table.foreign_keys.push_back(std::move(key));
}

// They are no rows of any table, and not in the log.
Status CatalogReader::ReadLargeObjects() {
  CROSSFADE_ASSIGN(const std::vector<Row> rows,
                   Ask("SELECT EXISTS (SELECT FROM pg_largeobject_metadata) WHERE $1::text IS NOT NULL"));
  if (!IsTrue(rows.at(0), 0)) {
    return {};
  }
  bool named = false;
  for (const auto& [oid, entry] : entries_) {
    for (const Column& column : entry.table.schema.columns) {
      if (column.source_type == "oid" || column.source_type.ends_with(".lo")) {
        named = true;
        Note(true, "CF1432", entry.table.schema.name, entry.table.schema.name + "." + column.name, "large objects",
             "large objects are not in the log: what this column names would be missing on the target",
             "keep the bytes in a bytea column, or exclude the table");
      }
    }
  }
  if (!named) {
    Note(false, "CF1432", "", "pg_largeobject", "large objects",
         "the database has large objects, which are not copied; no column of these tables seems to name any",
         "copy them after the switch, if they are wanted");
  }
  return {};
}

Status CatalogReader::ReadTheRest() {
  CROSSFADE_ASSIGN(const std::vector<Row> rows, Ask(kForAPerson));
  for (const Row& row : rows) {
    catalog_.for_a_person.push_back(TextOf(row, 0));
  }
  return {};
}

void CatalogReader::CheckKeys(const CatalogTable& table) {
  std::vector<uint32_t> columns;
  const auto add = [&columns](const std::vector<KeyPart>& parts) {
    std::transform(parts.begin(), parts.end(), std::back_inserter(columns), [](const KeyPart& p) { return p.column; });
  };
  for (const KeyPart& part : table.schema.primary_key) {
    const Column& column = table.schema.columns[part.column];
    if (column.generated != GeneratedKind::kNone) {
      Note(true, "CF1433", table.schema.name, table.schema.name + "." + column.name, column.generation_expression,
           "a generated column in the primary key: the log does not hold its values",
           "make another primary key, of columns that are stored");
    }
  }
  add(table.schema.primary_key);
  for (const Key& key : table.schema.keys) {
    if (key.unique) {
      add(key.parts);
    }
  }
  for (const ForeignKey& key : table.schema.foreign_keys) {
    columns.insert(columns.end(), key.columns.begin(), key.columns.end());
  }
  columns.insert(columns.end(), table.identity_columns.begin(), table.identity_columns.end());
  std::sort(columns.begin(), columns.end());
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  for (const uint32_t column : columns) {
    CheckKeyColumn(table, column);
  }
}

void CatalogReader::CheckKeyColumn(const CatalogTable& table, uint32_t index) {
  const Column& column = table.schema.columns[index];
  const auto of_table = coarse_.find(table.schema.name);
  const bool coarse_text = of_table != coarse_.end() && of_table->second.contains(column.name);
  if (!coarse_text && EqualsByText(column)) {
    return;
  }
  const std::string name = Connection::Identifier(column.name);
  Note(true, "CF1434", table.schema.name, table.schema.name + "." + column.name,
       coarse_text ? of_table->second.at(column.name) : column.source_type,
       "a key whose values may be equal though their texts differ: which row a change means cannot be told",
       coarse_text ? fmt::format("ALTER TABLE {} ALTER COLUMN {} TYPE {} COLLATE \"C\"", Quoted(table.schema.name),
                                 name, column.source_type)
       : column.type == ColumnType::kDecimal
           ? fmt::format("ALTER TABLE {} ALTER COLUMN {} TYPE numeric(38,0), or what its values need",
                         Quoted(table.schema.name), name)
           : "make the key over a column of another type (text, integer, uuid), or exclude the table");
}

}  // namespace

Result<Catalog> ReadCatalog(Connection& connection, const std::string& schema) {
  if (connection.in_transaction()) {
    return MakeError(ErrorClass::kCorrupt, "CF1438", kComponent, "the catalog was asked for inside a transaction");
  }
  // With an empty search_path, all names that are not the system's are shown with their schema.
  CROSSFADE_TRY(connection.Execute("SET search_path = ''; BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"));
  Result<Catalog> catalog = CatalogReader(connection, schema).Read();
  const auto ended = connection.Execute("ROLLBACK");
  if (catalog && !ended) {
    return Fail(ended.error());
  }
  return catalog;
}

}  // namespace crossfade::postgres
