#include "apply/postgres/pg_row_reader.h"

#include <algorithm>
#include <map>
#include <utility>

#include "apply/postgres/chunk_loader.h"
#include "apply/postgres/control.h"
#include "apply/postgres/json_form.h"
#include "core/bytes.h"
#include "db/postgres/connection.h"
#include "db/postgres/type_map.h"

namespace crossfade::apply {

namespace {

using postgres::Connection;
using postgres::Encoding;
using postgres::PgType;

constexpr std::string_view kComponent = "apply.postgres";
constexpr uint32_t kNullLength = ~uint32_t{0};
constexpr const char* kVersionColumns =
    ", t.xmin, CASE WHEN current_setting('track_commit_timestamp')::bool"
    " THEN pg_xact_commit_timestamp(t.xmin)::text END";
constexpr size_t kScaleAt = 6;  // in a numeric: groups, weight, sign, display scale

struct FormColumn {
  uint32_t source = 0;
  PgType type;
  postgres::TypePolicy policy;
  // Whether equal values may have different bytes.
  bool Normalized() const { return IsNumeric() || type.encoding == Encoding::kJsonb; }
  bool IsNumeric() const {
    return type.encoding == Encoding::kNumeric || type.encoding == Encoding::kNumericFromInteger;
  }
};

void AppendField(std::string_view bytes, std::string* out) {
  ByteWriter writer(out);
  writer.BigEndianU32(static_cast<uint32_t>(bytes.size()));
  writer.Bytes(bytes);
}

// A standing column may have more digits behind the point than the source's; and jsonb prints in an order of its own.
void AppendNormalized(const FormColumn& column, std::string_view bytes, std::string* out) {
  if (column.IsNumeric() && bytes.size() >= kScaleAt + 2) {
    AppendField(bytes, out);
    std::fill_n(out->end() - static_cast<ptrdiff_t>(bytes.size() - kScaleAt), 2, '\0');
    return;
  }
  const size_t begin = out->size();
  out->append(sizeof(uint32_t), '\0');  // its length, when that is known
  if (column.type.encoding == Encoding::kJsonb && bytes.size() > 1 && AppendJsonForm(bytes.substr(1), out)) {
    std::string length;
    ByteWriter(&length).BigEndianU32(static_cast<uint32_t>(out->size() - begin - sizeof(uint32_t)));
    out->replace(begin, length.size(), length);
    return;
  }
  out->resize(begin);
  AppendField(bytes, out);
}

uint16_t WordAt(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1]));
}

// A normalized numeric with a display scale again: at least the source's, and as much as its digits need. The server
// would cut it otherwise.
std::string WithScale(std::string_view bytes, uint16_t wanted) {
  constexpr size_t kHead = kScaleAt + 2;
  const int groups = WordAt(bytes, 0);
  int needed = (groups - 1 - static_cast<int16_t>(WordAt(bytes, 2))) * 4;  // digits behind the point
  if (groups > 0 && bytes.size() == kHead + static_cast<size_t>(groups) * 2) {
    for (int last = WordAt(bytes, bytes.size() - 2); last > 0 && last % 10 == 0; last /= 10) {
      --needed;
    }
  }
  const auto scale = static_cast<uint16_t>(std::max<int>(wanted, needed));
  std::string out(bytes);
  out[kScaleAt] = static_cast<char>(scale >> 8);
  out[kScaleAt + 1] = static_cast<char>(scale);
  return out;
}

class PgRowForm final : public RowForm {
 public:
  static Result<std::unique_ptr<PgRowForm>> Make(const Route& route, const postgres::TypePolicy& policy) {
    auto form = std::unique_ptr<PgRowForm>(new PgRowForm(route));
    for (const uint32_t index : route.columns) {
      CROSSFADE_ASSIGN(PgType type, postgres::MapType(route.targets[index], policy));
      form->columns_.push_back({index, std::move(type), postgres::PolicyOf(policy, route.InKey(index))});
      form->normalized_ = form->normalized_ || form->columns_.back().Normalized();
    }
    return form;
  }

  Status FieldsOf(std::span<const Value> row, std::string* out) const override {
    out->clear();
    std::string single;
    std::string transformed;
    for (const FormColumn& column : columns_) {
      CROSSFADE_ASSIGN(const Value value, route_.Stored(column.source, row[column.source], &transformed));
      if (!column.Normalized()) {
        CROSSFADE_TRY(postgres::AppendField(column.type, target(column), column.policy, value, out));
        continue;
      }
      single.clear();
      CROSSFADE_TRY(postgres::AppendField(column.type, target(column), column.policy, value, &single));
      AppendStored(column, single, out);
    }
    return {};
  }

  // Fields as the server sent them.
  Fields Normalize(Fields fields, std::string* scratch) const {
    if (!normalized_) {
      return fields;
    }
    scratch->clear();
    for (const FormColumn& column : columns_) {
      const uint32_t length = ByteReader(fields).BigEndianU32();
      const size_t size = sizeof length + (length == kNullLength ? 0 : length);
      const Fields field = fields.substr(0, size);
      fields.remove_prefix(std::min(size, fields.size()));
      if (column.Normalized()) {
        AppendStored(column, field, scratch);
      } else {
        scratch->append(field);
      }
    }
    return *scratch;
  }

  Status ValuesOf(std::span<const uint32_t> places, std::span<const std::string_view> parts,
                  std::vector<std::string>* storage, std::vector<Value>* values) const override {
    storage->resize(places.size());
    values->clear();
    for (size_t i = 0; i < places.size(); ++i) {
      const FormColumn& column = columns_[places[i]];
      if (parts[i].data() == nullptr) {
        values->push_back(Value::Null());
        continue;
      }
      if (column.type.encoding == Encoding::kJsonb) {
        std::string& json = (*storage)[i];
        json.clear();
        values->push_back(
            Value::OfBytes(ValueKind::kJson, AppendJsonOfForm(parts[i], &json) ? std::string_view(json) : parts[i]));
        continue;
      }
      std::string_view bytes = parts[i];
      std::string scaled;
      if (column.IsNumeric() && bytes.size() >= kScaleAt + 2) {
        scaled = WithScale(bytes, target(column).scale);
        bytes = scaled;
      }
      CROSSFADE_ASSIGN(const Value value, postgres::DecodeField(column.type, target(column), bytes, &(*storage)[i]));
      values->push_back(value);
    }
    return {};
  }

  const std::vector<FormColumn>& columns() const { return columns_; }

 private:
  explicit PgRowForm(const Route& route) : route_(route) {}

  const Column& target(const FormColumn& column) const { return route_.targets[column.source]; }

  static void AppendStored(const FormColumn& column, Fields field, std::string* out) {
    if (ByteReader(field).BigEndianU32() == kNullLength) {
      out->append(field);
    } else {
      AppendNormalized(column, field.substr(4), out);
    }
  }

  const Route& route_;
  std::vector<FormColumn> columns_;
  bool normalized_ = false;
};

// One array parameter for each key column, whose elements are fields as they are.
std::string ArrayOf(const PgType& type, const std::vector<std::string>& elements) {
  std::string out;
  ByteWriter writer(&out);
  writer.BigEndianU32(elements.empty() ? 0 : 1);
  writer.BigEndianU32(0);  // a key has no NULLs
  writer.BigEndianU32(type.oid);
  if (elements.empty()) {
    return out;
  }
  writer.BigEndianU32(static_cast<uint32_t>(elements.size()));
  writer.BigEndianU32(1);
  for (const std::string& element : elements) {
    AppendField(element, &out);
  }
  return out;
}

class PgRowReader final : public RowReader {
 public:
  PgRowReader(PgTargetOptions options, std::unique_ptr<Connection> connection)
      : options_(std::move(options)), owned_(std::move(connection)), connection_(owned_.get()) {}
  PgRowReader(PgTargetOptions options, Connection* lent) : options_(std::move(options)), connection_(lent) {}

  Result<std::unique_ptr<RowForm>> FormOf(const Route& route) override {
    CROSSFADE_ASSIGN(std::unique_ptr<PgRowForm> form, PgRowForm::Make(route, options_.types));
    return std::unique_ptr<RowForm>(std::move(form));
  }

  Result<TargetState> ReadState() override { return LookAtMigration(connection_, options_.migration); }

  Result<Progress> BeginState() override {
    EndState();
    CROSSFADE_TRY(connection_->Execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"));
    CROSSFADE_ASSIGN(const std::vector<Progress> workers, LookAtProgress(connection_, options_.migration));
    Progress lowest;
    for (const Progress& progress : workers) {
      lowest = lowest.journal_id.empty() || progress.low < lowest.low ? progress : lowest;
    }
    return lowest;
  }

  void EndState() override {
    if (connection_->in_transaction()) {
      (void)connection_->Execute("ROLLBACK");
    }
  }

  Status ReadRange(const Route& route, const ChunkRange& range, const FieldsSink& sink) override {
    CROSSFADE_ASSIGN(const PgRowForm* form, KnownForm(route));
    std::string sql = SelectOf(route) + " WHERE " + TenantCondition(route);
    if (!range.whole()) {
      CROSSFADE_ASSIGN(const std::string condition,
                       RangeCondition(route.targets[route.source.primary_key.at(0).column], range));
      sql += condition;
    }
    std::string scratch;
    return connection_->CopyOut(sql, [&](Fields fields) { return sink(form->Normalize(fields, &scratch)); });
  }

  Status ReadKeys(const Route& route, std::span<const std::string> keys, const FieldsSink& sink) override {
    return ReadBy(route, route.key, keys, sink);
  }

  Status ReadBy(const Route& route, std::span<const uint32_t> by, std::span<const std::string> tuples,
                const FieldsSink& sink) override {
    CROSSFADE_ASSIGN(const PgRowForm* form, KnownForm(route));
    std::string scratch;
    return ReadRows(route, by, tuples, {}, [&](Fields fields) { return sink(form->Normalize(fields, &scratch)); });
  }

  Status ReadVersions(const Route& route, std::span<const std::string> keys, const VersionSink& sink) override {
    CROSSFADE_ASSIGN(const PgRowForm* form, KnownForm(route));
    std::string scratch;
    std::vector<std::string_view> parts;
    return ReadRows(route, route.key, keys, {kVersionColumns, ""}, [&](Fields fields) -> Status {
      SplitFields(fields, &parts);
      const std::string_view at = parts.back();
      const std::string_view transaction = parts[parts.size() - 2];
      constexpr size_t kLength = 4;
      fields.remove_suffix(2 * kLength + at.size() + transaction.size());
      RowVersion version;
      version.transaction = ByteReader(transaction).BigEndianU32();
      version.committed_at = at;
      return sink(form->Normalize(fields, &scratch), version);
    });
  }

  Result<std::optional<uint32_t>> LastOwnTransaction() override {
    // Whatever writes rows, changes one of these in the same transaction.
    CROSSFADE_ASSIGN(
        const std::optional<std::string> number,
        connection_->Scalar("SELECT x::text FROM (SELECT xmin AS x FROM crossfade.progress WHERE migration = $1"
                            " UNION ALL SELECT xmin FROM crossfade.chunk WHERE migration = $1) AS marks"
                            " ORDER BY age(x) LIMIT 1",
                            {options_.migration}));
    return number ? std::optional(static_cast<uint32_t>(std::stoul(*number))) : std::nullopt;
  }

  Status ReadPage(const Route& route, std::string_view after, uint64_t max_rows, const FieldsSink& sink) override {
    CROSSFADE_ASSIGN(const PgRowForm* form, KnownForm(route));
    std::string names;
    for (const uint32_t column : route.key) {
      names += (names.empty() ? "t." : ", t.") + Connection::Identifier(route.targets[column].name);
    }
    std::string condition = TenantCondition(route);
    if (!after.empty()) {
      CROSSFADE_ASSIGN(const std::string values, LiteralsOf(route, after));
      condition += fmt::format(" AND ({}) > ({})", names, values);
    }
    const std::string sql =
        fmt::format("{} WHERE {} ORDER BY {} LIMIT {}", SelectOf(route), condition, names, max_rows);
    std::string scratch;
    return connection_->CopyOut(sql, [&](Fields fields) { return sink(form->Normalize(fields, &scratch)); });
  }

  Status LockKeys(const Route& route, std::span<const std::string> keys, const FieldsSink& sink) {
    CROSSFADE_ASSIGN(const PgRowForm* form, KnownForm(route));
    std::string scratch;
    return ReadRows(route, route.key, keys, {"", " FOR UPDATE OF t"},
                    [&](Fields fields) { return sink(form->Normalize(fields, &scratch)); });
  }

  void Cancel() override { connection_->Cancel(); }

 private:
  struct Reading {
    std::string_view more_columns;
    std::string_view lock;
  };
  // Fields as the server sends them.
  Status ReadRows(const Route& route, std::span<const uint32_t> by, std::span<const std::string> tuples,
                  const Reading& reading, const FieldsSink& sink) {
    CROSSFADE_ASSIGN(const PgRowForm* form, KnownForm(route));
    std::vector<FormColumn> columns;
    std::string arrays;
    std::string names;
    std::string condition = TenantCondition(route);
    for (const uint32_t column : by) {
      for (const FormColumn& known : form->columns()) {
        if (known.source == column) {
          columns.push_back(known);
        }
      }
      const size_t n = columns.size();
      arrays += fmt::format("{}${}::{}", n > 1 ? ", " : "", n, columns.back().type.array_sql);
      names += fmt::format("{}k{}", n > 1 ? ", " : "", n);
      condition += fmt::format(" AND t.{} = k.k{}", Connection::Identifier(route.targets[column].name), n);
    }
    std::vector<std::string> parameters;
    CROSSFADE_TRY(ArraysOf(route, columns, tuples, &parameters));
    std::vector<postgres::Parameter> bound;
    for (size_t i = 0; i < columns.size(); ++i) {
      bound.push_back({columns[i].type.array_oid, parameters[i]});
    }
    const std::string sql = fmt::format("{} JOIN unnest({}) AS k({}) ON {}{}", SelectOf(route, reading.more_columns),
                                        arrays, names, condition, reading.lock);
    return connection_->QueryBinary(sql, bound, sink);
  }

  Result<const PgRowForm*> KnownForm(const Route& route) {
    auto& form = forms_[&route];
    if (!form) {
      CROSSFADE_ASSIGN(form, PgRowForm::Make(route, options_.types));
    }
    return form.get();
  }

  std::string SelectOf(const Route& route, std::string_view more_columns = "") const {
    std::string names;
    for (const uint32_t column : route.columns) {
      names += (names.empty() ? "t." : ", t.") + Connection::Identifier(route.targets[column].name);
    }
    return fmt::format("SELECT {}{} FROM {}", names, more_columns, TableOf(route));
  }

  static std::string TableOf(const Route& route) {
    return fmt::format("{}.{} t", Connection::Identifier(route.schema), Connection::Identifier(route.table));
  }

  // A key's values, for a COPY, which takes no parameters. Untyped: a cast to a column's type could cut them.
  Result<std::string> LiteralsOf(const Route& route, std::string_view key) {
    CROSSFADE_ASSIGN(const PgRowForm* form, KnownForm(route));
    std::vector<FormColumn> columns;
    std::string wanted;
    for (const uint32_t column : route.key) {
      std::copy_if(form->columns().begin(), form->columns().end(), std::back_inserter(columns),
                   [&](const FormColumn& known) { return known.source == column; });
      wanted += fmt::format("{}${}::text", columns.size() > 1 ? ", " : "", columns.size());
    }
    std::vector<std::string> elements;
    CROSSFADE_TRY(ElementsOf(route, columns, key, &elements));
    std::vector<postgres::Parameter> bound;
    for (size_t i = 0; i < columns.size(); ++i) {
      bound.push_back({columns[i].type.oid, elements[i]});
    }
    std::string literals;
    CROSSFADE_TRY(connection_->QueryBinary("SELECT " + wanted, bound, [&](Fields fields) -> Status {
      std::vector<std::string_view> texts;
      SplitFields(fields, &texts);
      for (const std::string_view text : texts) {
        literals += (literals.empty() ? "" : ", ") + connection_->Literal(text);
      }
      return {};
    }));
    return literals;
  }

  std::string TenantCondition(const Route& route) const {
    if (!route.tenant_column) {
      return "true";
    }
    return fmt::format("t.{} = {}::{}", Connection::Identifier(options_.tenancy.column),
                       connection_->Literal(options_.tenancy.value), TenantPgType(options_.tenancy).sql);
  }

  static Status ArraysOf(const Route& route, const std::vector<FormColumn>& columns, std::span<const std::string> keys,
                         std::vector<std::string>* parameters) {
    std::vector<std::vector<std::string>> elements(columns.size());
    std::vector<std::string> key_elements;
    for (const std::string& key : keys) {
      CROSSFADE_TRY(ElementsOf(route, columns, key, &key_elements));
      for (size_t i = 0; i < columns.size(); ++i) {
        elements[i].push_back(std::move(key_elements[i]));
      }
    }
    for (size_t i = 0; i < columns.size(); ++i) {
      parameters->push_back(ArrayOf(columns[i].type, elements[i]));
    }
    return {};
  }

  // A key's parts as the server takes them.
  static Status ElementsOf(const Route& route, const std::vector<FormColumn>& columns, std::string_view key,
                           std::vector<std::string>* elements) {
    std::vector<std::string_view> parts;
    SplitFields(key, &parts);
    if (parts.size() != columns.size()) {
      return MakeError(ErrorClass::kCorrupt, "CF1568", kComponent, "a key of {} parts, {} expected", parts.size(),
                       columns.size());
    }
    elements->clear();
    for (size_t i = 0; i < parts.size(); ++i) {
      const bool scaled = columns[i].IsNumeric() && parts[i].size() >= kScaleAt + 2;
      elements->push_back(scaled ? WithScale(parts[i], route.targets[columns[i].source].scale) : std::string(parts[i]));
    }
    return {};
  }

  const PgTargetOptions options_;
  const std::unique_ptr<Connection> owned_;
  Connection* const connection_;
  std::map<const Route*, std::unique_ptr<PgRowForm>> forms_;
};

}  // namespace

Result<std::unique_ptr<RowForm>> MakePgRowForm(const Route& route, const postgres::TypePolicy& types) {
  CROSSFADE_ASSIGN(std::unique_ptr<PgRowForm> form, PgRowForm::Make(route, types));
  return std::unique_ptr<RowForm>(std::move(form));
}

Status LockPgRows(const PgTargetOptions& options, Connection* connection, const Route& route,
                  std::span<const std::string> keys, const RowReader::FieldsSink& sink) {
  return PgRowReader(options, connection).LockKeys(route, keys, sink);
}

Result<std::unique_ptr<RowReader>> OpenPgRowReader(const PgTargetOptions& options) {
  CROSSFADE_ASSIGN(std::unique_ptr<Connection> connection, Connection::Open(options.connection));
  // Pages come in the order of a key: where rows lie in another order, reading all of them and sorting would seem cheap
  // for each page.
  CROSSFADE_TRY(connection->Execute("SET default_transaction_read_only = on; SET enable_sort = off"));
  return std::make_unique<PgRowReader>(options, std::move(connection));
}

}  // namespace crossfade::apply
