#include "apply/postgres/orphans.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apply/postgres/chunk_loader.h"
#include "apply/postgres/pg_row_reader.h"
#include "core/bytes.h"
#include "db/postgres/type_map.h"

namespace crossfade::apply {

namespace {

using postgres::Connection;
using postgres::PgType;

// A session of the applier plans for a few rows that are found through an index: here a key may have none.
constexpr const char* kPlanForMany =
    "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_bitmapscan = on";

constexpr std::string_view kReferencesSql =
    "SELECT c.oid, CASE r.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || format('%I.%I', n.nspname, r.relname),"
    " r.relname, c.conname, has_table_privilege(r.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')"
    " AND NOT row_security_active(r.oid), mine.attname, theirs.attname"
    " FROM pg_catalog.pg_constraint c"
    " CROSS JOIN LATERAL (SELECT CASE WHEN $2::bool THEN c.conrelid ELSE c.confrelid END AS rel) o"
    " JOIN pg_catalog.pg_class r ON r.oid = o.rel JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace"
    " CROSS JOIN LATERAL unnest(CASE WHEN $2::bool THEN c.confkey ELSE c.conkey END,"
    " CASE WHEN $2::bool THEN c.conkey ELSE c.confkey END) WITH ORDINALITY AS k(mine, theirs, number)"
    " JOIN pg_catalog.pg_attribute mine ON mine.attrelid = $1::regclass AND mine.attnum = k.mine"
    " JOIN pg_catalog.pg_attribute theirs ON theirs.attrelid = r.oid AND theirs.attnum = k.theirs"
    " WHERE c.contype = 'f' AND CASE WHEN $2::bool THEN c.confrelid ELSE c.conrelid END = $1::regclass"
    " ORDER BY c.oid, k.number";

// One foreign key, seen from the rows that were written.
struct Reference {
  std::string other;       // the table at its other end, as SQL names it
  std::string other_name;  // for people
  std::string name;
  bool readable = false;
  std::vector<std::pair<std::string, std::string>> columns;  // of ours, of the other
};

class OrphanFinder {
 public:
  OrphanFinder(const PgSessionOptions& options, Connection* connection, const Route& route, const OrphanSearch& search,
               const ApplySession::OrphanSink& sink)
      : options_(options), connection_(connection), route_(route), search_(search), sink_(sink) {}

  Status Run() {
    CROSSFADE_ASSIGN(form_, MakePgRowForm(route_, options_.types));
    CROSSFADE_ASSIGN(const std::vector<Reference> references, References());
    if (references.empty()) {
      return {};
    }
    CROSSFADE_TRY(connection_->Execute(kPlanForMany));
    for (const Reference& reference : references) {
      CROSSFADE_TRY(Look(reference));
    }
    return {};
  }

 private:
  // A value of a key: a constant, or an array with one element for each row that has the whole key.
  struct Part {
    std::string sql;
    std::optional<uint32_t> place;
    PgType type;
    postgres::ArrayBuilder array;
  };

  Result<std::vector<Reference>> References() {
    const std::string table =
        fmt::format("{}.{}", Connection::Identifier(route_.schema), Connection::Identifier(route_.table));
    CROSSFADE_ASSIGN(const postgres::ResultSet set,
                     connection_->Query(std::string(kReferencesSql), {table, search_.referred ? "true" : "false"}));
    std::vector<Reference> references;
    std::string last;
    for (const auto& row : set.rows) {
      if (references.empty() || row[0] != last) {
        last = row[0].value_or("");
        references.push_back({row[1].value_or(""), row[2].value_or(""), row[3].value_or(""), row[4] == "t", {}});
      }
      references.back().columns.emplace_back(row[5].value_or(""), row[6].value_or(""));
    }
    return references;
  }

  Status Look(const Reference& reference) {
    std::vector<Part> parts;
    CROSSFADE_ASSIGN(const bool known, PartsOf(reference, &parts));
    if (!known || !reference.readable) {
      for (size_t i = 0; search_.unchecked && i < search_.rows.size(); ++i) {
        CROSSFADE_TRY(sink_(i, fmt::format("whether the foreign key {} of {} would let it be cannot be told",
                                           reference.name, reference.other_name)));
      }
      return {};
    }
    CROSSFADE_ASSIGN(const std::vector<size_t> rows, Fill(&parts));
    return rows.empty() ? Status() : Ask(reference, &parts, rows);
  }

  // False if a column of the key is none that we know the value of.
  Result<bool> PartsOf(const Reference& reference, std::vector<Part>* parts) const {
    size_t arrays = 0;
    for (const auto& [mine, theirs] : reference.columns) {
      Part& part = parts->emplace_back();
      if (route_.tenant_column && mine == options_.tenancy.column) {
        part.sql =
            fmt::format("{}::{}", connection_->Literal(options_.tenancy.value), TenantPgType(options_.tenancy).sql);
        continue;
      }
      for (uint32_t place = 0; place < route_.columns.size(); ++place) {
        if (target(place).name == mine) {
          part.place = place;
        }
      }
      if (!part.place) {
        return false;
      }
      CROSSFADE_ASSIGN(part.type, postgres::MapType(target(*part.place), options_.types));
      part.sql = fmt::format("v.k{}", ++arrays);
    }
    return arrays > 0;
  }

  // Which rows the elements are of: a key with a NULL in it refers to nothing.
  Result<std::vector<size_t>> Fill(std::vector<Part>* parts) const {
    std::vector<uint32_t> places;
    for (Part& part : *parts) {
      if (part.place) {
        part.array.Begin(part.type);  // which stays where it is from here on
        places.push_back(*part.place);
      }
    }
    std::vector<size_t> rows;
    std::vector<std::string> storage;
    std::vector<Value> values;
    std::vector<std::string_view> fields;
    std::vector<std::string_view> key;
    for (size_t i = 0; i < search_.rows.size(); ++i) {
      SplitFields(search_.rows[i], &fields);
      key.clear();
      for (const uint32_t place : places) {
        key.push_back(fields.at(place));
      }
      if (std::any_of(key.begin(), key.end(), [](std::string_view field) { return field.data() == nullptr; })) {
        continue;
      }
      CROSSFADE_TRY(form_->ValuesOf(places, key, &storage, &values));
      size_t next = 0;
      for (Part& part : *parts) {
        if (part.place) {
          CROSSFADE_TRY(part.array.Append(target(*part.place), options_.types, values[next++]));
        }
      }
      rows.push_back(i);
    }
    return rows;
  }

  Status Ask(const Reference& reference, std::vector<Part>* parts, const std::vector<size_t>& rows) const {
    std::string arrays;
    std::string names;
    std::string of_other = "true";
    std::string of_own = "true";
    std::vector<postgres::Parameter> bound;
    for (size_t i = 0; i < parts->size(); ++i) {
      Part& part = (*parts)[i];
      const std::string value = part.type.array_cast.empty() ? part.sql : part.sql + "::" + part.type.array_cast;
      of_other += fmt::format(" AND o.{} = {}", Connection::Identifier(reference.columns[i].second), value);
      of_own += fmt::format(" AND p.{} = {}", Connection::Identifier(reference.columns[i].first), value);
      if (part.place) {
        bound.push_back({part.type.array_oid, part.array.Finish()});
        arrays += fmt::format("${}::{}, ", bound.size(), part.type.array_sql);
        names += fmt::format("k{}, ", bound.size());
      }
    }
    arrays.resize(arrays.size() - 2);
    const std::string own =
        fmt::format("{}.{}", Connection::Identifier(route_.schema), Connection::Identifier(route_.table));
    const std::string there = fmt::format("EXISTS (SELECT FROM {} o WHERE {})", reference.other, of_other);
    const std::string wrong = search_.referred
                                  ? fmt::format("{} AND NOT EXISTS (SELECT FROM {} p WHERE {})", there, own, of_own)
                                  : "NOT " + there;
    return connection_->QueryBinary(
        fmt::format("SELECT v.number FROM unnest({}) WITH ORDINALITY AS v({}number) WHERE {}", arrays, names, wrong),
        bound, [&](Fields fields) -> Status {
          std::vector<std::string_view> found;
          SplitFields(fields, &found);
          const uint64_t number = ByteReader(found.at(0)).BigEndianU64();
          return sink_(rows.at(number - 1), Reason(reference));
        });
  }

  std::string Reason(const Reference& reference) const {
    return search_.referred
               ? fmt::format("rows of {} refer to it (foreign key {})", reference.other_name, reference.name)
               : fmt::format("it refers to a row of {} that is not there (foreign key {})", reference.other_name,
                             reference.name);
  }

  const Column& target(uint32_t place) const { return route_.targets[route_.columns[place]]; }

  const PgSessionOptions& options_;
  Connection* const connection_;
  const Route& route_;
  const OrphanSearch& search_;
  const ApplySession::OrphanSink& sink_;
  std::unique_ptr<RowForm> form_;
};

}  // namespace

Status FindPgOrphans(const PgSessionOptions& options, Connection* connection, const Route& route,
                     const OrphanSearch& search, const ApplySession::OrphanSink& sink) {
  return OrphanFinder(options, connection, route, search, sink).Run();
}

}  // namespace crossfade::apply
