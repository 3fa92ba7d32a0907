#include "db/postgres/readiness.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>
#include <utility>

namespace crossfade::postgres {

namespace {

constexpr uint32_t kOldestVersion = 130000;
constexpr std::string_view kRestart = ", then restart the server";

template <typename T>
T Number(const std::optional<std::string>& text) {
  T number = 0;
  if (text) {
    std::from_chars(text->data(), text->data() + text->size(), number);
  }
  return number;
}

// Read-only view of the facts, with the words that findings need.
class Judgement {
 public:
  Judgement(const SourceFacts& facts, const SourceNeeds& needs) : facts_(facts), needs_(needs) {}

  std::vector<Finding> Findings() {
    JudgeServer();
    JudgeRoom();
    JudgeRights();
    JudgeSlot();
    JudgeOthers();
    for (const TableFacts& table : facts_.tables) {
      if (!needs_.concerns || needs_.concerns(table.root)) {
        JudgeTable(table);
      }
    }
    std::stable_sort(findings_.begin(), findings_.end(),
                     [](const Finding& a, const Finding& b) { return a.code < b.code; });
    return std::move(findings_);
  }

 private:
  void JudgeServer();
  void JudgeRoom();
  void JudgeRights();
  void JudgeSlot();
  void JudgeOthers();
  void JudgeTable(const TableFacts& table);
  void JudgeIdentity(const TableFacts& table);

  void Add(bool blocks, std::string_view code, std::string object, std::string found, std::string meaning,
           std::string fix) {
    findings_.push_back(
        Finding{blocks, std::string(code), std::move(object), std::move(found), std::move(meaning), std::move(fix)});
  }
  std::string Setting(const std::string& name) const {
    const auto found = facts_.settings.find(name);
    return found == facts_.settings.end() ? "" : found->second;
  }
  std::string Role() const { return Connection::Identifier(facts_.role); }
  std::string Qualified(const std::string& table) const {
    return Connection::Identifier(needs_.schema) + "." + Connection::Identifier(table);
  }
  const TableFacts* RootOf(const TableFacts& table) const {
    const auto root = std::find_if(facts_.tables.begin(), facts_.tables.end(),
                                   [&](const TableFacts& other) { return other.name == table.root; });
    return root == facts_.tables.end() ? nullptr : &*root;
  }

  const SourceFacts& facts_;
  const SourceNeeds& needs_;
  std::vector<Finding> findings_;
};

void Judgement::JudgeServer() {
  if (facts_.version < kOldestVersion) {
    Add(true, "CF1930", "the server's version", Setting("server_version"), "its log cannot be followed as we need it",
        "upgrade the server to PostgreSQL 13 or later");
  }
  if (facts_.standby) {
    Add(true, "CF1931", "the server", "a standby", "slots and publications are made on a primary only",
        "name the primary in [source]");
  }
  if (const std::string level = Setting("wal_level"); level != "logical") {
    Add(true, "CF1932", "wal_level", level, "the log does not hold rows",
        "ALTER SYSTEM SET wal_level = 'logical'" + std::string(kRestart));
  }
}

// One more of each while a consistent copy opens its snapshot.
void Judgement::JudgeRoom() {
  const uint32_t more = needs_.consistent_copy ? 2 : 1;
  const uint32_t slots = Number<uint32_t>(Setting("max_replication_slots"));
  const uint32_t wanted_slots = facts_.slots + more - (facts_.slot ? 1 : 0);
  if (slots < wanted_slots) {
    Add(true, "CF1933", "max_replication_slots", fmt::format("{} of {} in use", facts_.slots, slots),
        fmt::format("{} more are needed", wanted_slots - facts_.slots),
        fmt::format("ALTER SYSTEM SET max_replication_slots = {}{}", wanted_slots, kRestart));
  }
  const uint32_t senders = Number<uint32_t>(Setting("max_wal_senders"));
  const uint32_t wanted_senders = facts_.senders + more;
  if (senders < wanted_senders) {
    Add(true, "CF1934", "max_wal_senders", fmt::format("{} of {} in use", facts_.senders, senders),
        fmt::format("{} more are needed", more),
        fmt::format("ALTER SYSTEM SET max_wal_senders = {}{}", wanted_senders, kRestart));
  }
}

void Judgement::JudgeRights() {
  if (!facts_.may_replicate) {
    Add(true, "CF1935", "REPLICATION", "not granted to " + facts_.role, "the server does not give its log to this role",
        fmt::format("ALTER ROLE {} REPLICATION", Role()));
  }
  if (!facts_.schema_usable) {
    Add(true, "CF1936", "schema " + needs_.schema, "no USAGE for " + facts_.role, "its tables cannot be read",
        fmt::format("GRANT USAGE ON SCHEMA {} TO {}", Connection::Identifier(needs_.schema), Role()));
  }
  if (!facts_.published && !facts_.may_create) {
    Add(true, "CF1937", "database " + facts_.database, "no CREATE for " + facts_.role,
        "a publication cannot be made in it",
        fmt::format("GRANT CREATE ON DATABASE {} TO {}", Connection::Identifier(facts_.database), Role()));
  }
}

void Judgement::JudgeSlot() {
  if (facts_.slot && !facts_.slot->lost.empty()) {
    Add(true, "CF1943", "slot " + needs_.name, facts_.slot->lost, "what was not captured can never be read",
        fmt::format("'crossfade abort', or SELECT pg_drop_replication_slot('{}')", needs_.name));
  }
  const std::string limit = Setting("max_slot_wal_keep_size");
  if (!limit.empty() && limit != "-1") {
    Add(false, "CF1942", "max_slot_wal_keep_size", limit + " MB",
        "a pause of the migration must write less than that, or its slot is given up and all is copied anew",
        "ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf()");
  }
}

void Judgement::JudgeOthers() {
  for (const std::string& id : facts_.prepared) {
    Add(false, "CF1940", "prepared transaction " + id, "open", "the slot is made when it has ended, and not before",
        fmt::format("COMMIT PREPARED '{0}', or ROLLBACK PREPARED '{0}'", id));
  }
  std::string names = Setting("synchronous_standby_names");
  std::transform(names.begin(), names.end(), names.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool counts = names.find('*') != std::string::npos ||
                      (!needs_.application_name.empty() && names.find(needs_.application_name) != std::string::npos);
  if (counts) {
    Add(false, "CF1941", "synchronous_standby_names", Setting("synchronous_standby_names"),
        "the server's commits may wait until we have stored them",
        "ALTER SYSTEM SET synchronous_standby_names to the names of the standbys; SELECT pg_reload_conf()");
  }
}

void Judgement::JudgeTable(const TableFacts& table) {
  const std::string object = needs_.schema + "." + table.name;
  const bool is_root = table.root == table.name;
  if (is_root && !table.readable) {
    Add(true, "CF1936", object, "no SELECT for " + facts_.role, "it cannot be read",
        fmt::format("GRANT SELECT ON {} TO {}", Qualified(table.name), Role()));
  }
  if (is_root && !table.owned && !facts_.published) {
    Add(true, "CF1937", object, "owned by " + table.owner, "only its owner can publish it",
        fmt::format("GRANT {} TO {}", Connection::Identifier(table.owner), Role()));
  }
  if (table.row_security) {
    Add(true, "CF1945", object, "row security acts on " + facts_.role, "rows that it hides would not be copied",
        fmt::format("ALTER ROLE {} BYPASSRLS", Role()));
  }
  if (is_root && table.partitioned) {
    Add(false, "CF1944", object, "partitioned",
        "TRUNCATE, DETACH and DROP of a single partition are not in the log: do without them while the migration runs",
        "");
  }
  if (!table.partitioned) {
    JudgeIdentity(table);
  } else if (table.replica_identity == 'n') {
    Add(true, "CF1938", object, "REPLICA IDENTITY NOTHING", "updates and deletes do not say which row",
        fmt::format("ALTER TABLE {} REPLICA IDENTITY DEFAULT", Qualified(table.name)));
  }
}

// What the log says of an old row must tell it on the target: the primary key, or else the one key that it has.
void Judgement::JudgeIdentity(const TableFacts& table) {
  const std::string object = needs_.schema + "." + table.name;
  const std::string alter = "ALTER TABLE " + Qualified(table.name) + " REPLICA IDENTITY ";
  const char identity = table.replica_identity;
  const TableFacts* const root = RootOf(table);
  const bool root_full = root != nullptr && root != &table && root->replica_identity == 'f';
  if (root_full && identity != 'f') {
    Add(true, "CF1939", object, "not FULL, and that of its root is", "its old rows would be taken for whole ones",
        alter + "FULL");
    return;
  }
  if (identity == 'f' || (identity == 'd' && table.primary_key_usable)) {
    return;
  }
  if (identity == 'i') {
    const bool tells = table.has_primary_key ? table.identity_is_primary : table.unique_keys == 1;
    if (!tells) {
      Add(true, "CF1939", object, "an index that is not its primary key",
          "the target finds rows by another key than the log names",
          alter + (table.primary_key_usable ? "DEFAULT" : "FULL"));
    }
    return;
  }
  const std::string found = identity == 'n'         ? "REPLICA IDENTITY NOTHING"
                            : table.has_primary_key ? "a deferrable primary key"
                                                    : "no primary key";
  const std::string fix = table.primary_key_usable ? alter + "DEFAULT"
                          : !table.has_primary_key && table.unique_keys == 1
                              ? alter + "USING INDEX " + Connection::Identifier(table.first_unique_key)
                              : alter + "FULL";
  Add(true, "CF1938", object, found,
      "once it is published the server refuses the application's updates and deletes of it", fix);
}

// Row by row: name, root, kind, identity, primary key, usable, identity is it, keys, first key, owner, rights.
constexpr const char* kTables = R"(
WITH keys AS (
  SELECT i.indrelid, i.indexrelid, i.indisprimary, i.indisreplident, i.indimmediate, i.indkey::text AS columns,
         x.relname AS name,
         i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                         WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull) AS usable
  FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid)
SELECT c.relname, coalesce(r.relname, c.relname), c.relkind = 'p', c.relreplident,
       EXISTS (SELECT FROM keys WHERE indrelid = c.oid AND indisprimary),
       EXISTS (SELECT FROM keys WHERE indrelid = c.oid AND indisprimary AND usable),
       EXISTS (SELECT FROM keys AS k JOIN keys AS p USING (indrelid, columns)
               WHERE k.indrelid = c.oid AND k.indisreplident AND p.indisprimary),
       (SELECT count(*) FROM keys WHERE indrelid = c.oid AND usable),
       (SELECT min(name) FROM keys WHERE indrelid = c.oid AND usable),
       pg_get_userbyid(c.relowner), pg_has_role(c.relowner, 'USAGE'),
       has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS r ON c.relispartition AND r.oid = pg_partition_root(c.oid)
LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
WHERE coalesce(rn.nspname, n.nspname) = $1 AND c.relkind IN ('r', 'p') ORDER BY 1)";

Result<std::vector<TableFacts>> ReadTables(Connection* connection, const std::string& schema) {
  CROSSFADE_ASSIGN(const ResultSet found, connection->Query(kTables, {schema}));
  std::vector<TableFacts> tables;
  for (const auto& row : found.rows) {
    TableFacts& table = tables.emplace_back();
    table.name = row[0].value_or("");
    table.root = row[1].value_or("");
    table.partitioned = row[2] == "t";
    table.replica_identity = row[3].value_or("d").front();
    table.has_primary_key = row[4] == "t";
    table.primary_key_usable = row[5] == "t";
    table.identity_is_primary = row[6] == "t";
    table.unique_keys = Number<int>(row[7]);
    table.first_unique_key = row[8].value_or("");
    table.owner = row[9].value_or("");
    table.owned = row[10] == "t";
    table.readable = row[11] == "t";
    table.row_security = row[12] == "t";
  }
  return tables;
}

}  // namespace

Result<SourceFacts> ReadSourceFacts(Connection* connection, const SourceNeeds& needs) {
  SourceFacts facts;
  CROSSFADE_ASSIGN(
      const ResultSet server,
      connection->Query(
          "SELECT current_setting('server_version_num'), pg_is_in_recovery(), current_user, current_database(),"
          " (SELECT count(*) FROM pg_catalog.pg_replication_slots), (SELECT count(*) FROM "
          "pg_catalog.pg_stat_replication),"
          " (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),"
          " has_database_privilege(current_database(), 'CREATE'),"
          " coalesce(has_schema_privilege(to_regnamespace(quote_ident($1)), 'USAGE'), false)",
          {needs.schema}));
  const auto& row = server.rows.at(0);
  facts.version = Number<uint32_t>(row[0]);
  facts.standby = row[1] == "t";
  facts.role = row[2].value_or("");
  facts.database = row[3].value_or("");
  facts.slots = Number<uint32_t>(row[4]);
  facts.senders = Number<uint32_t>(row[5]);
  facts.may_replicate = row[6] == "t";
  facts.may_create = row[7] == "t";
  facts.schema_usable = row[8] == "t";
  CROSSFADE_ASSIGN(const ResultSet settings,
                   connection->Execute(
                       "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('server_version', 'wal_level',"
                       " 'max_replication_slots', 'max_wal_senders', 'max_slot_wal_keep_size',"
                       " 'synchronous_standby_names')"));
  for (const auto& setting : settings.rows) {
    facts.settings[setting[0].value_or("")] = setting[1].value_or("");
  }
  CROSSFADE_ASSIGN(facts.tables, ReadTables(connection, needs.schema));
  CROSSFADE_ASSIGN(const ResultSet prepared,
                   connection->Execute("SELECT gid FROM pg_catalog.pg_prepared_xacts ORDER BY 1"));
  for (const auto& one : prepared.rows) {
    facts.prepared.push_back(one[0].value_or(""));
  }
  CROSSFADE_ASSIGN(facts.slot, ReadSlot(connection, needs.name));
  CROSSFADE_ASSIGN(const auto published,
                   connection->Scalar("SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1", {needs.name}));
  facts.published = published.has_value();
  return facts;
}

std::vector<Finding> Judge(const SourceFacts& facts, const SourceNeeds& needs) {
  return Judgement(facts, needs).Findings();
}

Result<std::vector<Finding>> CheckSource(Connection* connection, const SourceNeeds& needs) {
  CROSSFADE_ASSIGN(const SourceFacts facts, ReadSourceFacts(connection, needs));
  return Judge(facts, needs);
}

}  // namespace crossfade::postgres
