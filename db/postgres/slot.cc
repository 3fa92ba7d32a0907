#include "db/postgres/slot.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "db/postgres/position.h"

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";
constexpr std::string_view kPlugin = "pgoutput";
constexpr size_t kMaxName = 63;

using Cell = std::optional<std::string>;

int64_t Number(const Cell& cell, int64_t otherwise) {
  int64_t number = otherwise;
  if (cell) {
    std::from_chars(cell->data(), cell->data() + cell->size(), number);
  }
  return number;
}

tl::unexpected<Error> Refused(std::string_view code, std::string object, std::string message, std::string found,
                              std::string fix) {
  auto error = MakeError(ErrorClass::kConfig, code, kComponent, "{}", message);
  error.value().object = std::move(object);
  error.value().found = std::move(found);
  error.value().fix = std::move(fix);
  return error;
}

std::string Qualified(std::string_view schema, std::string_view table) {
  return Connection::Identifier(schema) + "." + Connection::Identifier(table);
}

// FNV-1a: short, and the same for ever.
uint32_t HashOf(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  }
  return static_cast<uint32_t>(hash ^ (hash >> 32));
}

}  // namespace

std::string ReplicationName(std::string_view migration) {
  std::string name = "crossfade_";
  for (const char c : migration) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool plain = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || lower == '_';
    name += plain ? lower : '_';
  }
  if (name.size() <= kMaxName && std::string_view(name).substr(name.size() - migration.size()) == migration) {
    return name;
  }
  const std::string hash = fmt::format("_{:08x}", HashOf(migration));
  return name.substr(0, kMaxName - hash.size()) + hash;
}

// Columns that later versions have are asked for by name in the row's JSON.
Result<std::optional<SlotState>> ReadSlot(Connection* connection, const std::string& name) {
  CROSSFADE_ASSIGN(
      const ResultSet found,
      connection->Query(
          "SELECT plugin, database, temporary, active_pid, confirmed_flush_lsn, wal_status, safe_wal_size,"
          " to_jsonb(s) ->> 'two_phase', to_jsonb(s) ->> 'invalidation_reason', to_jsonb(s) ->> 'conflicting',"
          " pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
          " ELSE pg_current_wal_insert_lsn() END, restart_lsn)::bigint, restart_lsn"
          " FROM pg_catalog.pg_replication_slots AS s WHERE slot_name = $1",
          {name}));
  if (found.rows.empty()) {
    return std::nullopt;
  }
  const auto& row = found.rows[0];
  SlotState slot;
  slot.plugin = row[0].value_or("");
  slot.database = row[1].value_or("");
  slot.temporary = row[2] == "t";
  slot.active_pid = Number(row[3], 0);
  if (row[4]) {
    CROSSFADE_ASSIGN(slot.confirmed, ParseLsn(*row[4]));
  }
  slot.wal_status = row[5].value_or("");
  slot.safe_bytes = Number(row[6], -1);
  slot.two_phase = row[7] == "true";
  slot.held_bytes = static_cast<uint64_t>(std::max<int64_t>(0, Number(row[10], 0)));
  if (row[8]) {
    slot.lost = "invalidated: " + *row[8];
  } else if (row[9] == "true") {
    slot.lost = "invalidated: it was in the way of recovery";
  } else if (slot.wal_status == "lost" || !row[11]) {
    slot.lost = "wal_status = lost";
  }
  return slot;
}

std::string SlotWarning(const std::string& name, const SlotState& slot) {
  constexpr uint64_t kMib = 1 << 20;
  if (!slot.lost.empty()) {
    return fmt::format("the source has given up slot {} ({}): what was not captured can never be read", name,
                       slot.lost);
  }
  if (slot.safe_bytes < 0) {
    return {};
  }
  const uint64_t held = slot.held_bytes;
  const auto left = static_cast<uint64_t>(slot.safe_bytes);
  const uint64_t wanted = 2 * (held + left) / kMib + 1;
  if (slot.wal_status == "unreserved" || left < (held + left) / 4) {
    return fmt::format(
        "capture is behind, and the source will give up slot {} when it has written {} MiB more ({} MiB are held for "
        "it);"
        " ALTER SYSTEM SET max_slot_wal_keep_size = '{}MB'; SELECT pg_reload_conf()",
        name, left / kMib, held / kMib, wanted);
  }
  return {};
}

namespace {

// Who a new slot waits for.
Result<std::string> Writers(Connection* connection) {
  CROSSFADE_ASSIGN(
      const ResultSet found,
      connection->Execute("SELECT format('pid %s of %s since %s', pid, usename, xact_start)"
                          " FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
                          " UNION ALL SELECT format('prepared %L since %s', gid, prepared)"
                          " FROM pg_catalog.pg_prepared_xacts ORDER BY 1 LIMIT 10"));
  std::string out;
  for (const auto& row : found.rows) {
    out += (out.empty() ? "" : "; ") + row[0].value_or("");
  }
  return out;
}

Result<uint64_t> MakeSlot(Connection* connection, const std::string& name, std::chrono::milliseconds limit) {
  CROSSFADE_TRY(connection->Execute(fmt::format("SET statement_timeout = {}", std::max<int64_t>(1, limit.count()))));
  const auto made = connection->Scalar("SELECT lsn FROM pg_catalog.pg_create_logical_replication_slot($1, $2)",
                                       {name, std::string(kPlugin)});
  CROSSFADE_TRY(connection->Execute("SET statement_timeout = 0"));
  if (made) {
    return ParseLsn(made->value_or(""));
  }
  if (made.error().server_code != "57014") {
    return Fail(made.error());
  }
  CROSSFADE_ASSIGN(std::string writers, Writers(connection));
  auto error = MakeError(ErrorClass::kTransient, "CF1911", kComponent,
                         "the slot waited {} ms for transactions that write to end, and they did not: {}",
                         limit.count(), writers);
  error.value().object = name;
  error.value().found = std::move(writers);
  error.value().fix = "have these transactions committed or rolled back, prepared ones too (ROLLBACK PREPARED '...')";
  error.value().server_code = made.error().server_code;
  return error;
}

}  // namespace

Result<uint64_t> EnsureSlot(Connection* connection, const std::string& name, std::chrono::milliseconds limit) {
  CROSSFADE_ASSIGN(const auto slot, ReadSlot(connection, name));
  if (!slot) {
    return MakeSlot(connection, name, limit);
  }
  CROSSFADE_ASSIGN(const auto database, connection->Scalar("SELECT current_database()"));
  std::string found;
  if (slot->plugin != kPlugin) {
    found = slot->plugin.empty() ? "a physical slot" : "a slot of plugin " + slot->plugin;
  } else if (slot->database != database) {
    found = "a slot of database " + slot->database;
  } else if (slot->temporary || slot->two_phase || !slot->lost.empty()) {
    found = !slot->lost.empty() ? slot->lost : slot->temporary ? "a temporary slot" : "a slot with two_phase";
  }
  if (!found.empty()) {
    return Refused(
        "CF1910", "slot " + name, fmt::format("there is a slot {} that cannot be ours to read", name), found,
        fmt::format("SELECT pg_drop_replication_slot({}), if nobody needs it; or name the migration otherwise",
                    connection->Literal(name)));
  }
  return slot->confirmed;
}

Status DropSlot(Connection* connection, const std::string& name) {
  CROSSFADE_TRY(
      connection->Query("SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots"
                        " WHERE slot_name = $1",
                        {name}));
  return {};
}

namespace {

// What a publication has beside its tables; none if it is not there.
Result<std::optional<std::string>> ReadSettings(Connection* connection, const std::string& name) {
  CROSSFADE_ASSIGN(const ResultSet found,
                   connection->Query("SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate,"
                                     " pubviaroot FROM pg_catalog.pg_publication WHERE pubname = $1",
                                     {name}));
  if (found.rows.empty()) {
    return std::nullopt;
  }
  const auto& row = found.rows[0];
  if (row[0] == "t") {
    return "FOR ALL TABLES";
  }
  return row[1] != "t"   ? "not all of insert, update, delete, truncate"
         : row[2] != "t" ? "publish_via_partition_root = false"
                         : "";
}

constexpr std::string_view kOptions = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

std::string TableList(const std::string& schema, const std::vector<std::string>& tables) {
  std::string list;
  for (const std::string& table : tables) {
    list += (list.empty() ? "" : ", ") + Qualified(schema, table);
  }
  return list;
}

}  // namespace

Result<std::optional<PublicationState>> ReadPublication(Connection* connection, const std::string& name,
                                                        const std::string& schema,
                                                        const std::vector<std::string>& tables) {
  CROSSFADE_ASSIGN(const auto settings, ReadSettings(connection, name));
  if (!settings) {
    return std::nullopt;
  }
  PublicationState state;
  state.wrong = *settings;
  CROSSFADE_ASSIGN(
      const ResultSet found,
      connection->Query(
          "SELECT n.nspname, c.relname, to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs'"
          " FROM pg_catalog.pg_publication_rel AS r JOIN pg_catalog.pg_publication AS p ON p.oid = r.prpubid"
          " JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid"
          " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE p.pubname = $1 ORDER BY 1, 2",
          {name}));
  std::set<std::string> missing(tables.begin(), tables.end());
  for (const auto& row : found.rows) {
    const bool whole = !row[2] && !row[3];
    const bool ours = row[0] == schema && std::find(tables.begin(), tables.end(), row[1]) != tables.end();
    if (ours && whole) {
      missing.erase(*row[1]);
    } else if (!ours) {
      state.additional.push_back(row[0].value_or("") + "." + row[1].value_or(""));
    }
  }
  state.missing.assign(missing.begin(), missing.end());
  return state;
}

Status EnsurePublication(Connection* connection, const std::string& name, const std::string& schema,
                         const std::vector<std::string>& tables) {
  CROSSFADE_ASSIGN(const auto state, ReadPublication(connection, name, schema, tables));
  const std::string quoted = Connection::Identifier(name);
  if (!state) {
    CROSSFADE_TRY(
        connection->Execute(fmt::format("CREATE PUBLICATION {}{} WITH ({})", quoted,
                                        tables.empty() ? "" : " FOR TABLE " + TableList(schema, tables), kOptions)));
    return {};
  }
  if (state->wrong == "FOR ALL TABLES") {
    return Refused("CF1912", "publication " + name, fmt::format("there is a publication {} that is not ours", name),
                   state->wrong,
                   fmt::format("DROP PUBLICATION {}, if nobody needs it; or name the migration otherwise", quoted));
  }
  if (!state->wrong.empty()) {
    CROSSFADE_TRY(connection->Execute(fmt::format("ALTER PUBLICATION {} SET ({})", quoted, kOptions)));
  }
  if ((!state->missing.empty() || !state->additional.empty()) && !tables.empty()) {
    CROSSFADE_TRY(
        connection->Execute(fmt::format("ALTER PUBLICATION {} SET TABLE {}", quoted, TableList(schema, tables))));
  }
  return {};
}

Status DropPublication(Connection* connection, const std::string& name) {
  CROSSFADE_TRY(connection->Execute("DROP PUBLICATION IF EXISTS " + Connection::Identifier(name)));
  return {};
}

}  // namespace crossfade::postgres
