#include "apply/postgres/schema_catalog.h"

#include <cctype>
#include <pqxx/pqxx>
#include <thread>
#include <utility>

#include "core/failpoint.h"
#include "db/postgres/error.h"

namespace crossfade::apply {

namespace {

constexpr std::string_view kComponent = "apply.postgres";

std::string Trimmed(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.pop_back();
  }
  return text;
}

Error FromServer(std::string_view sqlstate, const std::exception& e) {
  return postgres::ErrorFromServer(kComponent, sqlstate, Trimmed(e.what()));
}

// Runs `body`, which gives a Result, and turns libpqxx's exceptions into errors: the only place that does.
template <typename Body>
auto Guarded(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const pqxx::sql_error& e) {
    // For some errors libpqxx has a type, and forgets their code.
    const bool denied = dynamic_cast<const pqxx::insufficient_privilege*>(&e) != nullptr;
    Error error = FromServer(denied ? "42501" : e.sqlstate(), e);
    error.object = e.query().substr(0, 300);
    return Fail(std::move(error));
  } catch (const pqxx::deadlock_detected& e) {
    return Fail(FromServer("40P01", e));
  } catch (const pqxx::serialization_failure& e) {
    return Fail(FromServer("40001", e));
  } catch (const pqxx::too_many_connections& e) {
    return Fail(FromServer("53300", e));
  } catch (const pqxx::failure& e) {
    // A lost session, also during a commit: what has been done is found out from the catalog anyway.
    return Fail(FromServer("08006", e));
  } catch (const std::exception& e) {
    return MakeError(ErrorClass::kCorrupt, "CF1509", kComponent, "libpqxx: {}", e.what());
  }
}

SchemaConnection::Rows ToRows(const pqxx::result& result) {
  SchemaConnection::Rows rows;
  for (const auto& from : result) {
    auto& row = rows.emplace_back();
    for (const auto& field : from) {
      row.push_back(field.is_null() ? std::nullopt
                                    : std::optional<std::string>(std::string(field.c_str(), field.size())));
    }
  }
  return rows;
}

pqxx::result Exec(pqxx::transaction_base& transaction, const std::string& sql,
                  const SchemaConnection::Parameters& parameters) {
  return transaction.exec_params(sql, pqxx::prepare::make_dynamic_params(parameters));
}

std::string Text(const SchemaConnection::Rows& rows, size_t row, size_t column) {
  return rows[row][column].value_or("");
}

// Elements of a text[] that was joined by a byte no name holds.
std::vector<std::string> Split(const std::string& joined) {
  std::vector<std::string> out;
  if (joined.empty()) {
    return out;
  }
  size_t from = 0;
  for (size_t at = joined.find('\x01'); at != std::string::npos; at = joined.find('\x01', from)) {
    out.push_back(joined.substr(from, at - from));
    from = at + 1;
  }
  out.push_back(joined.substr(from));
  return out;
}

constexpr const char* kTableOid =
    "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')";

constexpr const char* kColumns =
    "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,"
    " a.atthasdef OR a.attidentity <> '' FROM pg_catalog.pg_attribute a"
    " WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

constexpr const char* kIndexes =
    "SELECT c.relname, i.indisunique, i.indisprimary, i.indisvalid, i.indpred IS NOT NULL,"
    " (SELECT string_agg(pg_catalog.pg_get_indexdef(i.indexrelid, n, true), E'\\x01' ORDER BY n)"
    "  FROM generate_series(1, i.indnkeyatts) n),"
    " (SELECT string_agg(CASE WHEN i.indoption[n - 1] & 1 = 1 THEN 'd' ELSE 'a' END, '' ORDER BY n)"
    "  FROM generate_series(1, i.indnkeyatts) n)"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
    " WHERE i.indrelid = $1::oid ORDER BY c.relname";

constexpr const char* kForeignKeys =
    "SELECT k.conname, pn.nspname, p.relname, k.confdeltype, k.confupdtype, k.condeferrable, k.convalidated,"
    " (SELECT string_agg(a.attname, E'\\x01' ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n)"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num),"
    " (SELECT string_agg(a.attname, E'\\x01' ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u(num, n)"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num),"
    " (SELECT string_agg(a.attname, E'\\x01' ORDER BY u.n)"
    "  FROM unnest(translate(to_jsonb(k) ->> 'confdelsetcols', '[]', '{}')::int2[]) WITH ORDINALITY u(num, n)"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num)"
    " FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class p ON p.oid = k.confrelid"
    " JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace"
    " WHERE k.conrelid = $1::oid AND k.contype = 'f' ORDER BY k.conname";

void FillColumns(const SchemaConnection::Rows& rows, CatalogTable* table) {
  for (size_t i = 0; i < rows.size(); ++i) {
    table->columns.push_back({Text(rows, i, 0), Text(rows, i, 1), Text(rows, i, 2) == "t", Text(rows, i, 3) == "t"});
  }
}

void FillIndexes(const SchemaConnection::Rows& rows, CatalogTable* table) {
  for (size_t i = 0; i < rows.size(); ++i) {
    CatalogIndex index;
    index.name = Text(rows, i, 0);
    index.unique = Text(rows, i, 1) == "t";
    index.primary = Text(rows, i, 2) == "t";
    index.valid = Text(rows, i, 3) == "t";
    index.partial = Text(rows, i, 4) == "t";
    for (const std::string& part : Split(Text(rows, i, 5))) {
      index.parts.push_back(NormalPart(part));
    }
    for (const char c : Text(rows, i, 6)) {
      index.descending.push_back(c == 'd');
    }
    table->indexes.push_back(std::move(index));
  }
}

void FillForeignKeys(const SchemaConnection::Rows& rows, CatalogTable* table) {
  for (size_t i = 0; i < rows.size(); ++i) {
    CatalogForeignKey key;
    key.name = Text(rows, i, 0);
    key.parent_schema = Text(rows, i, 1);
    key.parent_table = Text(rows, i, 2);
    key.on_delete = Text(rows, i, 3).empty() ? 'a' : Text(rows, i, 3)[0];
    key.on_update = Text(rows, i, 4).empty() ? 'a' : Text(rows, i, 4)[0];
    key.deferrable = Text(rows, i, 5) == "t";
    key.validated = Text(rows, i, 6) == "t";
    key.columns = Split(Text(rows, i, 7));
    key.parent_columns = Split(Text(rows, i, 8));
    key.set_null_columns = Split(Text(rows, i, 9));
    table->foreign_keys.push_back(std::move(key));
  }
}

}  // namespace

const CatalogColumn* CatalogTable::FindColumn(const std::string& column) const {
  for (const CatalogColumn& candidate : columns) {
    if (candidate.name == column) {
      return &candidate;
    }
  }
  return nullptr;
}

std::string NormalPart(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != '"' && c != '(' && c != ')' && c != ' ') {
      out.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
  }
  for (size_t at = out.find("::text"); at != std::string::npos; at = out.find("::text", at)) {
    out.erase(at, 6);
  }
  return out;
}

struct SchemaConnection::State {
  explicit State(const std::string& options) : connection(options) {}
  // libpqxx would open a lost connection again by itself: without the DDL lock, and without our settings.
  pqxx::connection& Open() {
    if (!connection.is_open()) {
      throw pqxx::broken_connection("the session is lost");
    }
    return connection;
  }
  pqxx::connection connection;
  uint32_t lock_timeout_ms = 0;
};

SchemaConnection::SchemaConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}
SchemaConnection::~SchemaConnection() = default;

Result<std::unique_ptr<SchemaConnection>> SchemaConnection::Open(const postgres::ConnectionOptions& options,
                                                                 uint32_t lock_timeout_ms) {
  return Guarded([&]() -> Result<std::unique_ptr<SchemaConnection>> {
    auto state = std::make_unique<State>(postgres::ConnectionString(options));
    state->lock_timeout_ms = lock_timeout_ms;
    pqxx::nontransaction setup(state->connection);
    // Expressions are shown without schemas only for what pg_catalog holds. The last makes the server notice, inside a
    // long statement, that we have died: it would hold the fence and the DDL lock until its end.
    setup.exec(
        "SET client_min_messages = error; SET search_path = pg_catalog; SET statement_timeout = 0;"
        " SET lock_timeout = 0; SET standard_conforming_strings = on; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY';"
        " SET crossfade.applying = 'on';"
        " SELECT set_config('client_connection_check_interval', '10s', false)");
    return std::unique_ptr<SchemaConnection>(new SchemaConnection(std::move(state)));
  });
}

int SchemaConnection::server_version() const { return state_->connection.server_version(); }

Status SchemaConnection::LockDdl(uint32_t timeout_ms) {
  const Deadline deadline = After(std::chrono::milliseconds(timeout_ms));
  for (;;) {
    CROSSFADE_ASSIGN(const Rows rows, Select(fmt::format("SELECT pg_try_advisory_lock({})", kDdlLock)));
    if (Text(rows, 0, 0) == "t") {
      return {};
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return MakeError(ErrorClass::kTransient, "CF1505", kComponent,
                       "another migration is changing the target's schema (advisory lock {})", kDdlLock);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

Result<SchemaConnection::Rows> SchemaConnection::Select(const std::string& sql, const Parameters& parameters) {
  return Guarded([&]() -> Result<Rows> {
    pqxx::nontransaction transaction(state_->Open());
    return ToRows(Exec(transaction, sql, parameters));
  });
}

Result<std::optional<CatalogTable>> SchemaConnection::ReadTable(const std::string& schema, const std::string& table) {
  CROSSFADE_ASSIGN(const Rows oid, Select(kTableOid, {schema, table}));
  if (oid.empty()) {
    return std::optional<CatalogTable>();
  }
  CatalogTable out;
  out.schema = schema;
  out.name = table;
  const Parameters parameters = {Text(oid, 0, 0)};
  CROSSFADE_ASSIGN(const Rows columns, Select(kColumns, parameters));
  FillColumns(columns, &out);
  CROSSFADE_ASSIGN(const Rows indexes, Select(kIndexes, parameters));
  FillIndexes(indexes, &out);
  CROSSFADE_ASSIGN(const Rows foreign_keys, Select(kForeignKeys, parameters));
  FillForeignKeys(foreign_keys, &out);
  return std::optional<CatalogTable>(std::move(out));
}

Status SchemaConnection::Transact(const Fence& fence, const std::vector<std::string>& statements) {
  return Guarded([&]() -> Status {
    pqxx::work work(state_->Open());
    if (Exec(work, kFenceSql, {fence.migration, std::to_string(fence.epoch)}).empty()) {
      return Superseded(fence);
    }
    work.exec(fmt::format("SET LOCAL lock_timeout = {}", state_->lock_timeout_ms));
    for (const std::string& statement : statements) {
      work.exec(statement);
    }
    CROSSFADE_FAILPOINT("schema.commit.before");
    work.commit();
    CROSSFADE_FAILPOINT("schema.commit.after");
    return {};
  });
}

Status SchemaConnection::RunAlone(const Fence& fence, const std::string& statement) {
  return Guarded([&]() -> Status {
    pqxx::nontransaction alone(state_->Open());
    if (Exec(alone, kFenceSql, {fence.migration, std::to_string(fence.epoch)}).empty()) {
      return Superseded(fence);
    }
    CROSSFADE_FAILPOINT("schema.alone.before");
    alone.exec(statement);
    CROSSFADE_FAILPOINT("schema.alone.after");
    return {};
  });
}

// PQcancel is made for another thread, and libpqxx keeps nothing of its own while it calls it.
void SchemaConnection::Cancel() {
  (void)Guarded([&]() -> Status {
    state_->connection.cancel_query();
    return {};
  });
}

}  // namespace crossfade::apply
