#include "snapshot/postgres/pg_reader.h"

#include <fmt/format.h>

#include <functional>

#include "db/postgres/head.h"
#include "db/postgres/position.h"
#include "snapshot/postgres/row_text.h"
#include "snapshot/postgres/select.h"

namespace crossfade::snapshot {

namespace {

using postgres::Connection;

constexpr std::string_view kComponent = "snapshot.postgres";

tl::unexpected<Error> Changed(const TableSchema& table, std::string found, std::string server_code) {
  auto failed = MakeError(ErrorClass::kData, "CF1610", kComponent, "{} changed its shape while it was being copied",
                          table.QualifiedName());
  Error& error = failed.value();
  error.object = table.QualifiedName();
  error.found = std::move(found);
  error.server_code = std::move(server_code);
  error.fix = "let the schema change finish, make no other one during the copy, and start the copy of this table again";
  return failed;
}

tl::unexpected<Error> Rewritten(const TableSchema& table) {
  auto failed = MakeError(ErrorClass::kTransient, "CF1640", kComponent,
                          "{} was rewritten after the snapshot was taken, which cannot read its rows any more",
                          table.QualifiedName());
  Error& error = failed.value();
  error.object = table.QualifiedName();
  error.found = "other files than the snapshot sees: TRUNCATE, VACUUM FULL, CLUSTER, or an ALTER TABLE that rewrites";
  error.fix = "make none of these during the copy; the table is read again from a later snapshot";
  return failed;
}

// Errors by which the server says that a table is not what we think it is.
bool SaysChanged(const std::string& server_code) {
  return server_code == "42P01"      // no such table
         || server_code == "42703"   // no such column
         || server_code == "42804"   // another type
         || server_code == "42883";  // no such operator
}

// The files of the table and of its partitions, as the snapshot sees them and as they are; and the columns that the
// snapshot sees.
constexpr const char* kLookAt =
    "WITH RECURSIVE seen AS ("
    " SELECT c.oid, c.relfilenode, c.relkind FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2"
    " UNION ALL SELECT k.oid, k.relfilenode, k.relkind FROM seen s JOIN pg_catalog.pg_inherits i ON i.inhparent = s.oid"
    " JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid WHERE s.relkind = 'p'),"
    " root AS (SELECT pg_catalog.to_regclass($3) AS now),"
    " there AS (SELECT root.now::oid AS oid FROM root UNION SELECT t.relid::oid FROM root,"
    "  pg_catalog.pg_partition_tree(root.now) t)"
    " SELECT root.now IS NOT NULL,"
    " EXISTS (SELECT FROM seen WHERE seen.oid = root.now)"
    "  AND NOT EXISTS (SELECT FROM seen WHERE seen.relkind <> 'p'"
    "   AND seen.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(seen.oid))"
    "  AND NOT EXISTS (SELECT there.oid FROM there EXCEPT SELECT seen.oid FROM seen)"
    "  AND NOT EXISTS (SELECT seen.oid FROM seen EXCEPT SELECT there.oid FROM there),"
    " (SELECT pg_catalog.string_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', '"
    "   ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = root.now AND a.attnum > 0"
    "   AND NOT a.attisdropped)"
    " FROM root";

std::string ShapeOf(const TableSchema& table) {
  std::string shape;
  for (const Column& column : table.columns) {
    shape += fmt::format("{}{} {}", shape.empty() ? "" : ", ", column.name, column.source_type);
  }
  return shape;
}

}  // namespace

Result<std::unique_ptr<PgReader>> PgReader::Open(const postgres::ConnectionOptions& options) {
  CROSSFADE_ASSIGN(auto connection, Connection::Open(options));
  // With row security on, rows that a policy hides from us would be missing; off, the server refuses to read them.
  CROSSFADE_TRY(connection->Execute("SET search_path = ''; SET row_security = off"));
  std::unique_ptr<PgReader> reader(new PgReader(std::move(connection)));
  CROSSFADE_ASSIGN(const postgres::ServerName server, postgres::ReadServerName(reader->connection_.get()));
  reader->server_ = server.ToString();
  return reader;
}

void PgReader::Interrupt() { connection_->Kill(); }

Status PgReader::Begin() {
  CROSSFADE_TRY(EndSnapshot());
  CROSSFADE_TRY(connection_->Execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"));
  return {};
}

Status PgReader::ImportSnapshot(const std::string& snapshot) {
  CROSSFADE_TRY(Begin());
  CROSSFADE_TRY(connection_->Execute("SET TRANSACTION SNAPSHOT " + connection_->Literal(snapshot)));
  return {};
}

// What the snapshot sees, not where the log ends, says which transactions are in it: a commit is in the log before it
// can be seen (hazard H4).
Result<Position> PgReader::OpenExactSnapshot() {
  CROSSFADE_TRY(Begin());
  CROSSFADE_ASSIGN(const postgres::ResultSet set,
                   connection_->Query("SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text", {}));
  Position position;
  position.server = server_;
  position.set = set.rows.at(0).at(0).value_or("");
  CROSSFADE_ASSIGN(position.offset, postgres::ParseLsn(set.rows[0].at(1).value_or("")));
  return position;
}

Result<Reader::Window> PgReader::OpenSnapshot() {
  CROSSFADE_ASSIGN(const Position position, OpenExactSnapshot());
  return Window{position, position};
}

Status PgReader::EndSnapshot() {
  if (connection_->in_transaction()) {
    CROSSFADE_TRY(connection_->Execute("ROLLBACK"));
  }
  return {};
}

Status PgReader::LockAndCheck(const TableSchema& table) {
  CROSSFADE_TRY(connection_->Execute("LOCK TABLE " + pg::QuotedName(table) + " IN ACCESS SHARE MODE"));
  CROSSFADE_ASSIGN(const postgres::ResultSet set,
                   connection_->Query(kLookAt, {table.database, table.name, pg::QuotedName(table)}));
  const auto& row = set.rows.at(0);
  if (row[0] != "t") {
    return Changed(table, "no such table", "");
  }
  if (row[1] != "t") {
    return Rewritten(table);
  }
  if (const std::string shape = ShapeOf(table); row[2] != shape) {
    return Changed(table, fmt::format("columns {}; {} expected", row[2].value_or("none"), shape), "");
  }
  return {};
}

// Going back to a savepoint gives the locks back that were taken behind it, and keeps the snapshot.
Status PgReader::Guarded(const TableSchema& table, const std::function<Status()>& read) {
  CROSSFADE_TRY(connection_->Execute("SAVEPOINT crossfade"));
  Status status = LockAndCheck(table);
  if (status) {
    status = read();
  }
  if (!status && SaysChanged(status.error().server_code) && status.error().code.starts_with("CF14")) {
    return Changed(table, status.error().message, status.error().server_code);
  }
  CROSSFADE_TRY(status);
  CROSSFADE_TRY(connection_->Execute("ROLLBACK TO SAVEPOINT crossfade"));
  return {};
}

Status PgReader::Read(const TableSchema& table, const ChunkRange& range, const RowSink& sink) {
  return Guarded(table, [&]() -> Status {
    RowText rows(table);
    return connection_->CopyOutText(pg::SelectRows(table, range), [&](std::string_view line) -> Status {
      CROSSFADE_ASSIGN(const std::span<const Value> row, rows.FromLine(line));
      return sink(row);
    });
  });
}

Status PgReader::ReadKeys(const TableSchema& table, std::span<const uint32_t> columns,
                          std::span<const std::vector<Value>> keys, const RowSink& sink) {
  if (keys.empty()) {
    return {};
  }
  CROSSFADE_ASSIGN(const pg::BoundQuery query, pg::SelectKeys(table, columns, keys));
  return Guarded(table, [&]() -> Status {
    RowText rows(table);
    return connection_->QueryText(query.sql, query.Parameters(), [&](auto fields) -> Status {
      CROSSFADE_ASSIGN(const std::span<const Value> row, rows.FromFields(fields));
      return sink(row);
    });
  });
}

Status PgReader::ReadPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                          uint64_t max_rows, const RowSink& sink) {
  CROSSFADE_ASSIGN(const pg::BoundQuery query, pg::SelectPage(table, key, after, max_rows));
  CROSSFADE_TRY(Begin());
  CROSSFADE_TRY(Guarded(table, [&]() -> Status {
    RowText rows(table);
    return connection_->QueryText(query.sql, query.Parameters(), [&](auto fields) -> Status {
      CROSSFADE_ASSIGN(const std::span<const Value> row, rows.FromFields(fields));
      return sink(row);
    });
  }));
  return EndSnapshot();
}

}  // namespace crossfade::snapshot
