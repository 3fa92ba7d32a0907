#include "apply/postgres/chunk_loader.h"

#include <charconv>
#include <utility>
#include <vector>

#include "apply/postgres/standing_keys.h"
#include "core/failpoint.h"

namespace crossfade::apply {

namespace {

using postgres::Connection;
using postgres::PgType;

constexpr std::string_view kComponent = "apply.postgres";
constexpr std::string_view kCopyHeader("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
constexpr std::string_view kCopyTrailer("\377\377", 2);
constexpr size_t kUuidBytes = 16;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Empty if the text is no UUID.
std::string ParseUuid(std::string_view text) {
  std::string bytes;
  int high = -1;
  for (const char c : text) {
    if (c == '-' || c == '{' || c == '}') {
      continue;
    }
    const int digit = HexDigit(c);
    if (digit < 0) {
      return {};
    }
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<char>(high * 16 + digit));
      high = -1;
    }
  }
  return high < 0 && bytes.size() == kUuidBytes ? bytes : std::string();
}

tl::unexpected<Error> BadTenant(const Tenancy& tenancy) {
  auto error = MakeError(ErrorClass::kConfig, "CF1557", kComponent, "tenant.value '{}' is no {}", tenancy.value,
                         TenantPgType(tenancy).sql);
  error.value().object = "tenant.value";
  error.value().found = tenancy.value;
  error.value().fix = fmt::format("write a {} there, or set tenant.type to what it is", TenantPgType(tenancy).sql);
  return error;
}

// The first real date at or behind an ordinal. Ordinals of chunk limits are arithmetic, and fall between dates too.
CivilDate RealDateFrom(int64_t ordinal) {
  CivilDate date = UnpackDate(ordinal);
  if (date.month == 0) {
    date = {date.year, 1, 1};
  }
  date.day = std::max(date.day, 1);
  if (date.month > 12) {
    return {date.year + 1, 1, 1};
  }
  if (!IsRealDate(date)) {
    return date.month == 12 ? CivilDate{date.year + 1, 1, 1} : CivilDate{date.year, date.month + 1, 1};
  }
  return date;
}

std::string DateLiteral(int64_t ordinal) {
  const CivilDate date = RealDateFrom(ordinal);
  if (date.year == 0) {
    return fmt::format("'0001-{:02}-{:02} BC'", date.month, date.day);
  }
  return fmt::format("'{:04}-{:02}-{:02}'", date.year, date.month, date.day);
}

std::string OrdinalLiteral(const Column& column, int64_t ordinal) {
  if (column.type == ColumnType::kDate) {
    return DateLiteral(ordinal);
  }
  if (column.is_unsigned) {
    return fmt::format("{}", static_cast<uint64_t>(ordinal) ^ (uint64_t{1} << 63));
  }
  return fmt::format("({})", ordinal);
}

class PgChunkLoader final : public ChunkLoader {
 public:
  PgChunkLoader(ChunkLoaderOptions options, std::unique_ptr<Connection> connection, std::string tenant_field)
      : options_(std::move(options)), connection_(std::move(connection)), tenant_field_(std::move(tenant_field)) {
    buffer_.reserve(options_.buffer_bytes + (options_.buffer_bytes >> 2));
  }
  ~PgChunkLoader() override { Rollback(); }

  Status Begin(const Route& route, const ChunkMark& mark, bool replace) override;
  Status Add(std::span<const Value> row) override;
  Status Commit(const ChunkMark& mark) override;
  void Rollback() override;
  void Cancel() override { connection_->Cancel(); }

 private:
  struct LoadedColumn {
    uint32_t source = 0;
    PgType type;
    postgres::TypePolicy policy;
  };

  Status Prepare(const Route& route);
  Status Start(const ChunkMark& mark, bool replace);
  Result<bool> WriteMark(const ChunkMark& mark);
  Status DeleteRange(const ChunkRange& range);
  Status FinishMark(const ChunkMark& mark, uint64_t rows);
  tl::unexpected<Error> Named(Error error) const {
    return Fail(std::move(error).WithContext(fmt::format("table {}", route_->source.name)));
  }

  const ChunkLoaderOptions options_;
  std::unique_ptr<Connection> connection_;
  const std::string tenant_field_;
  const Route* route_ = nullptr;
  std::vector<LoadedColumn> columns_;
  std::string copy_sql_;
  std::string buffer_;
  std::string transformed_;  // the value that a transform made last
  bool in_transaction_ = false;
  bool copying_ = false;
};

Status PgChunkLoader::Prepare(const Route& route) {
  if (route_ == &route) {
    return {};
  }
  columns_.clear();
  std::string names;
  if (route.tenant_column) {
    names = Connection::Identifier(options_.tenancy.column);
  }
  for (const uint32_t index : route.columns) {
    const Column& column = route.targets[index];
    CROSSFADE_ASSIGN(PgType type, postgres::MapType(column, options_.types));
    columns_.push_back({index, std::move(type), postgres::PolicyOf(options_.types, route.InKey(index))});
    names += (names.empty() ? "" : ", ") + Connection::Identifier(column.name);
  }
  copy_sql_ = fmt::format("COPY {}.{} ({}) FROM STDIN (FORMAT binary)", Connection::Identifier(route.schema),
                          Connection::Identifier(route.table), names);
  route_ = &route;
  return {};
}

// First statement of the transaction: the fence and the mark in one. Whether a mark of this chunk was there before.
Result<bool> PgChunkLoader::WriteMark(const ChunkMark& mark) {
  const auto number = [](std::optional<int64_t> n) {
    return n ? std::optional<std::string>(std::to_string(*n)) : std::nullopt;
  };
  CROSSFADE_ASSIGN(
      const postgres::ResultSet set,
      connection_->Query(
          "WITH fence AS (SELECT 1 FROM crossfade.migration WHERE name = $1 AND epoch = $2::bigint FOR SHARE)"
          " INSERT INTO crossfade.chunk AS c (migration, table_name, chunk, range_from, range_to, low, high, rows)"
          " SELECT $1, $3, $4::int, $5::bigint, $6::bigint, $7::bytea, $8::bytea, 0 FROM fence"
          " ON CONFLICT (migration, table_name, chunk) DO UPDATE SET range_from = excluded.range_from,"
          " range_to = excluded.range_to, low = excluded.low, high = excluded.high, rows = 0, loaded_at = NULL"
          " RETURNING xmax <> 0",
          {options_.fence.migration, std::to_string(options_.fence.epoch), mark.table, std::to_string(mark.chunk),
           number(mark.range.from), number(mark.range.to), ToByteaText(mark.low.Encode()),
           ToByteaText(mark.high.Encode())}));
  if (set.rows.empty()) {
    return Superseded(options_.fence);
  }
  return set.rows[0][0] == "t";
}

Status PgChunkLoader::DeleteRange(const ChunkRange& range) {
  std::string sql = fmt::format("DELETE FROM {}.{} WHERE true", Connection::Identifier(route_->schema),
                                Connection::Identifier(route_->table));
  if (route_->tenant_column) {
    sql += fmt::format(" AND {} = {}::{}", Connection::Identifier(options_.tenancy.column),
                       connection_->Literal(options_.tenancy.value), TenantPgType(options_.tenancy).sql);
  }
  if (!range.whole()) {
    if (route_->source.primary_key.empty()) {
      return MakeError(ErrorClass::kCorrupt, "CF1551", kComponent, "table {} has no key, but a chunk with a range",
                       route_->source.name);
    }
    CROSSFADE_ASSIGN(const std::string condition,
                     RangeCondition(route_->targets[route_->source.primary_key[0].column], range));
    sql += condition;
  }
  CROSSFADE_TRY(connection_->Execute(sql));
  return {};
}

Status PgChunkLoader::Start(const ChunkMark& mark, bool replace) {
  CROSSFADE_TRY(connection_->Execute("BEGIN"));
  in_transaction_ = true;
  CROSSFADE_ASSIGN(const bool was_there, WriteMark(mark));
  CROSSFADE_TRY(SwitchOffForeignKeys(connection_.get(), route_->schema, route_->table));
  if (replace || was_there) {
    CROSSFADE_TRY(DeleteRange(mark.range));
  }
  CROSSFADE_TRY(connection_->CopyBegin(copy_sql_));
  copying_ = true;
  buffer_.assign(kCopyHeader);
  return {};
}

Status PgChunkLoader::Begin(const Route& route, const ChunkMark& mark, bool replace) {
  if (in_transaction_) {
    return MakeError(ErrorClass::kCorrupt, "CF1551", kComponent, "a chunk was begun inside a chunk");
  }
  CROSSFADE_TRY(Prepare(route));
  Status status = Start(mark, replace);
  if (!status) {
    Rollback();
    return Named(std::move(status).error());
  }
  return {};
}

Status PgChunkLoader::Add(std::span<const Value> row) {
  if (!copying_ || row.size() != route_->source.columns.size()) {
    return MakeError(ErrorClass::kCorrupt, "CF1551", kComponent, "a row of {} values came {}", row.size(),
                     copying_ ? "for another table" : "outside of a chunk");
  }
  const size_t fields = columns_.size() + (tenant_field_.empty() || !route_->tenant_column ? 0 : 1);
  buffer_.push_back(static_cast<char>(fields >> 8));
  buffer_.push_back(static_cast<char>(fields));
  if (route_->tenant_column) {
    buffer_ += tenant_field_;
  }
  for (const LoadedColumn& column : columns_) {
    const Result<Value> value = route_->Stored(column.source, row[column.source], &transformed_);
    if (!value) {
      return Named(value.error());
    }
    Status status = postgres::AppendField(column.type, route_->targets[column.source], column.policy, *value, &buffer_);
    if (!status) {
      return Named(std::move(status).error());
    }
  }
  if (buffer_.size() >= options_.buffer_bytes) {
    Status status = connection_->CopyData(buffer_);
    buffer_.clear();
    if (!status) {
      return Named(std::move(status).error());
    }
  }
  return {};
}

Status PgChunkLoader::FinishMark(const ChunkMark& mark, uint64_t rows) {
  if (rows != mark.rows) {
    return MakeError(ErrorClass::kCorrupt, "CF1551", kComponent, "chunk {} loaded {} rows, its reader counted {}",
                     mark.chunk, rows, mark.rows);
  }
  CROSSFADE_TRY(
      connection_->Query("UPDATE crossfade.chunk SET low = $4::bytea, high = $5::bytea, rows = $6::bigint,"
                         " loaded_at = clock_timestamp()"
                         " WHERE migration = $1 AND table_name = $2 AND chunk = $3::int",
                         {options_.fence.migration, mark.table, std::to_string(mark.chunk),
                          ToByteaText(mark.low.Encode()), ToByteaText(mark.high.Encode()), std::to_string(rows)}));
  return {};
}

Status PgChunkLoader::Commit(const ChunkMark& mark) {
  if (!copying_) {
    return MakeError(ErrorClass::kCorrupt, "CF1551", kComponent, "a chunk was committed that was not begun");
  }
  const auto load = [&]() -> Status {
    buffer_ += kCopyTrailer;
    CROSSFADE_FAILPOINT("chunk.copy_end.before");
    CROSSFADE_TRY(connection_->CopyData(buffer_));
    CROSSFADE_ASSIGN(const uint64_t rows, connection_->CopyEnd());
    CROSSFADE_FAILPOINT("chunk.copy_end.after");
    copying_ = false;
    CROSSFADE_TRY(FinishMark(mark, rows));
    CROSSFADE_FAILPOINT("chunk.commit.before");
    CROSSFADE_TRY(connection_->Execute("COMMIT"));
    CROSSFADE_FAILPOINT("chunk.commit.after");
    in_transaction_ = false;
    return {};
  };
  Status status = load();
  buffer_.clear();
  if (!status) {
    copying_ = false;
    Rollback();
    return Named(std::move(status).error());
  }
  return {};
}

void PgChunkLoader::Rollback() {
  if (copying_) {
    connection_->CopyAbort("the chunk is given up");
    copying_ = false;
  }
  if (in_transaction_) {
    (void)connection_->Execute("ROLLBACK");
    in_transaction_ = false;
  }
}

}  // namespace

Column TenantColumn(const Tenancy& tenancy) {
  Column column;
  column.name = tenancy.column;
  column.nullable = false;
  switch (tenancy.type) {
    case TenantType::kText:
      column.type = ColumnType::kText;
      break;
    case TenantType::kBigint:
      column.type = ColumnType::kInt;
      column.bits = 64;
      break;
    case TenantType::kUuid:
      column.type = ColumnType::kUuid;
      break;
  }
  return column;
}

PgType TenantPgType(const Tenancy& tenancy) { return *postgres::MapType(TenantColumn(tenancy), {}); }

Status AppendTenant(const Tenancy& tenancy, std::string* out) {
  Value value = Value::OfBytes(ValueKind::kText, tenancy.value);
  std::string uuid;
  if (tenancy.type == TenantType::kBigint) {
    int64_t number = 0;
    const char* end = tenancy.value.data() + tenancy.value.size();
    const auto parsed = std::from_chars(tenancy.value.data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      return BadTenant(tenancy);
    }
    value = Value::Int(number);
  } else if (tenancy.type == TenantType::kUuid) {
    uuid = ParseUuid(tenancy.value);
    if (uuid.empty()) {
      return BadTenant(tenancy);
    }
    value = Value::OfBytes(ValueKind::kUuid, uuid);
  }
  return postgres::AppendField(TenantPgType(tenancy), TenantColumn(tenancy), {}, value, out);
}

Result<std::string> RangeCondition(const Column& column, const ChunkRange& range) {
  if (column.type != ColumnType::kInt && column.type != ColumnType::kYear && column.type != ColumnType::kDate) {
    return MakeError(ErrorClass::kCorrupt, "CF1551", kComponent, "a chunk's range over column {} of type {}",
                     column.name, ColumnTypeName(column.type));
  }
  const std::string name = Connection::Identifier(column.name);
  std::string condition;
  // 0000-00-00, kept as -infinity, has the smallest ordinal of all dates: 0.
  if (range.from && !(column.type == ColumnType::kDate && *range.from <= 0)) {
    condition += fmt::format(" AND {} >= {}", name, OrdinalLiteral(column, *range.from));
  }
  if (range.to) {
    condition += column.type == ColumnType::kDate && *range.to <= 0
                     ? " AND false"
                     : fmt::format(" AND {} < {}", name, OrdinalLiteral(column, *range.to));
  }
  return condition;
}

Result<std::unique_ptr<ChunkLoader>> OpenChunkLoader(const ChunkLoaderOptions& options) {
  std::string tenant_field;
  if (options.tenancy.mode == TenancyMode::kColumn) {
    CROSSFADE_TRY(AppendTenant(options.tenancy, &tenant_field));
  }
  CROSSFADE_ASSIGN(auto connection, Connection::Open(options.connection));
  // A mark that is durable on the target is what lets the journal and the source forget.
  CROSSFADE_TRY(connection->CommitDurably());
  return std::make_unique<PgChunkLoader>(options, std::move(connection), std::move(tenant_field));
}

}  // namespace crossfade::apply
