#include "tools/crossfade/settings.h"

namespace crossfade::tools {

namespace {

using Settings = std::vector<Setting>;

void AddTop(Settings* list, Config* c) {
  list->push_back({.key = "name",
                   .field = &c->name,
                   .meaning = "Name of the migration, unique on its target: letters, digits, '-' and '_'.",
                   .required = true,
                   .example = "acme"});
  list->push_back({.key = "state_dir",
                   .field = &c->state_dir,
                   .meaning = "Directory of the journal and the run record. Holds customer data: made with mode 0700.",
                   .required = true,
                   .example = "/var/lib/crossfade/acme"});
}

void AddSource(Settings* list, Config* c) {
  const std::string s = "source";
  list->push_back({.section = s,
                   .key = "engine",
                   .field = &c->source.engine,
                   .meaning = "The source's kind of server.",
                   .choices = {"mariadb", "mysql"}});
  list->push_back({.section = s,
                   .key = "host",
                   .field = &c->source.host,
                   .meaning = "Host name or address; always reached over TCP ('localhost' too)."});
  list->push_back(
      {.section = s, .key = "port", .field = &c->source.port, .meaning = "TCP port.", .min = 1, .max = 65535});
  list->push_back({.section = s,
                   .key = "socket",
                   .field = &c->source.socket,
                   .meaning = "Path of a unix socket, used instead of host and port."});
  list->push_back({.section = s,
                   .key = "user",
                   .field = &c->source.user,
                   .meaning = "Account; docs/privileges.md lists what it needs.",
                   .required = true,
                   .example = "crossfade"});
  list->push_back({.section = s,
                   .key = "password_env",
                   .field = &c->source.password_env,
                   .meaning = "Environment variable that holds the password.",
                   .example = "ACME_SOURCE_PASSWORD"});
  list->push_back({.section = s,
                   .key = "password_file",
                   .field = &c->source.password_file,
                   .meaning = "File whose first line is the password; used if password_env is not set."});
  list->push_back({.section = s,
                   .key = "database",
                   .field = &c->source.database,
                   .meaning = "The database to move.",
                   .required = true,
                   .example = "shop"});
  list->push_back({.section = s,
                   .key = "tls",
                   .field = &c->source.tls,
                   .meaning =
                       "'required' encrypts; 'verify' also checks the server's certificate and name; 'off' sends "
                       "everything in clear.",
                   .choices = {"off", "required", "verify"}});
  list->push_back({.section = s,
                   .key = "tls_ca",
                   .field = &c->source.tls_ca,
                   .meaning = "File with the certificate authority for tls = \"verify\"."});
  list->push_back({.section = s,
                   .key = "server_id",
                   .field = &c->source.server_id,
                   .meaning = "Replica server id of our log connection; must be unique among the source's replicas. 0: "
                              "chosen at random at each start.",
                   .max = 0xFFFFFFFF});
}

void AddTarget(Settings* list, Config* c) {
  const std::string s = "target";
  list->push_back({.section = s,
                   .key = "engine",
                   .field = &c->target.engine,
                   .meaning = "The target's kind of server.",
                   .choices = {"postgres"}});
  list->push_back({.section = s,
                   .key = "host",
                   .field = &c->target.host,
                   .meaning = "Host name or address, or the directory of a unix socket."});
  list->push_back(
      {.section = s, .key = "port", .field = &c->target.port, .meaning = "TCP port.", .min = 1, .max = 65535});
  list->push_back({.section = s,
                   .key = "user",
                   .field = &c->target.user,
                   .meaning = "Account; docs/privileges.md lists what it needs.",
                   .required = true,
                   .example = "crossfade"});
  list->push_back({.section = s,
                   .key = "password_env",
                   .field = &c->target.password_env,
                   .meaning = "Environment variable that holds the password.",
                   .example = "TARGET_PASSWORD"});
  list->push_back({.section = s,
                   .key = "password_file",
                   .field = &c->target.password_file,
                   .meaning = "File whose first line is the password; used if password_env is not set."});
  list->push_back({.section = s,
                   .key = "database",
                   .field = &c->target.database,
                   .meaning = "Target database.",
                   .required = true,
                   .example = "cloud"});
  list->push_back({.section = s,
                   .key = "schema",
                   .field = &c->target.schema,
                   .meaning = "Schema of the shared tables; must exist."});
  list->push_back({.section = s,
                   .key = "tls",
                   .field = &c->target.tls,
                   .meaning = "As for the source.",
                   .choices = {"off", "required", "verify"}});
  list->push_back({.section = s,
                   .key = "tls_ca",
                   .field = &c->target.tls_ca,
                   .meaning = "File with the certificate authority for tls = \"verify\"."});
  list->push_back({.section = s,
                   .key = "synchronous_commit",
                   .field = &c->target.synchronous_commit,
                   .meaning = "Wait until each target commit is on disk. With false, "
                              "a target that crashes may forget transactions that the journal no longer has, "
                              "unless journal.keep_s covers them."});
  list->push_back({.section = s,
                   .key = "extra_columns",
                   .field = &c->target.extra_columns,
                   .meaning = "A column that this source has and a table already on the target lacks: 'add' it there, "
                              "nullable, or 'stop' before anything is copied.",
                   .choices = {"add", "stop"}});
  list->push_back({.section = s,
                   .key = "takeover_grace_ms",
                   .field = &c->target.takeover_grace_ms,
                   .meaning = "How long (milliseconds) another owner of this migration must show no life before it is "
                              "taken over.",
                   .min = 1000,
                   .max = 600'000});
}

void AddTenantAndTables(Settings* list, Config* c) {
  list->push_back({.section = "tenant",
                   .key = "mode",
                   .field = &c->tenant.mode,
                   .meaning =
                       "'column': a tenant column leads every primary, unique and foreign key. 'none': the target's "
                       "tables are this migration's alone.",
                   .choices = {"column", "none"}});
  list->push_back(
      {.section = "tenant", .key = "column", .field = &c->tenant.column, .meaning = "Name of that column."});
  list->push_back({.section = "tenant",
                   .key = "type",
                   .field = &c->tenant.type,
                   .meaning = "Its type.",
                   .choices = {"text", "bigint", "uuid"}});
  list->push_back({.section = "tenant",
                   .key = "value",
                   .field = &c->tenant.value,
                   .meaning = "This tenant's value; required with mode = \"column\".",
                   .example = "acme"});
  list->push_back({.section = "tables",
                   .key = "include",
                   .field = &c->tables.include,
                   .meaning = "Tables to move; '*' and '?' are wildcards."});
  list->push_back({.section = "tables",
                   .key = "exclude",
                   .field = &c->tables.exclude,
                   .meaning = "Tables to leave out; wins over include."});
}

void AddTransforms(Settings* list, Config* c) {
  list->push_back({.section = "transform",
                   .key = "hash_key_env",
                   .field = &c->transform.hash_key_env,
                   .meaning = "Environment variable that holds the key of hashed columns. Keep it: with another key "
                              "the same values become other ones.",
                   .example = "ACME_HASH_KEY"});
  list->push_back({.section = "transform",
                   .key = "hash_key_file",
                   .field = &c->transform.hash_key_file,
                   .meaning = "File whose first line is the key; used if hash_key_env is not set.",
                   .example = "/etc/crossfade/acme.key"});
}

void AddSnapshotAndJournal(Settings* list, Config* c) {
  const std::string s = "snapshot";
  list->push_back({.section = s,
                   .key = "mode",
                   .field = &c->snapshot.mode,
                   .meaning =
                       "'consistent': all readers see one state, opened under a lock of milliseconds. 'chunked': "
                       "short transactions, no lock; chosen by itself where the account may not lock.",
                   .choices = {"consistent", "chunked"}});
  list->push_back({.section = s,
                   .key = "readers",
                   .field = &c->snapshot.readers,
                   .meaning = "Connections that read in parallel; as many write to the target.",
                   .min = 1,
                   .max = 64});
  list->push_back({.section = s,
                   .key = "chunk_rows",
                   .field = &c->snapshot.chunk_rows,
                   .meaning = "Rows of a chunk, about. A chunk is what a crash makes us read again.",
                   .min = 100,
                   .max = 100'000'000});
  list->push_back({.section = s,
                   .key = "max_rows_per_second",
                   .field = &c->snapshot.max_rows_per_second,
                   .meaning = "Limit of the copy's speed, rows a second over all readers; 0: none."});
  list->push_back(
      {.section = s,
       .key = "source_max_threads_running",
       .field = &c->snapshot.source_max_threads_running,
       .meaning = "The copy, and a comparison, wait while the source's Threads_running is above this; 0: never."});
  list->push_back(
      {.section = s,
       .key = "source_max_history",
       .field = &c->snapshot.source_max_history,
       .meaning =
           "The copy, and the next chunk of a comparison, wait while InnoDB's history list is longer than this; 0: "
           "never."});
  list->push_back({.section = "journal",
                   .key = "budget_mib",
                   .field = &c->journal.budget_mib,
                   .meaning = "Disk for the journal, MiB. At the limit capture waits; during the copy it is an error.",
                   .min = 64});
  list->push_back({.section = "journal",
                   .key = "keep_s",
                   .field = &c->journal.keep_s,
                   .meaning =
                       "Applied transactions are kept this long, seconds, as far as the budget allows: 'verify' looks "
                       "there for what happened while it compared."});
  list->push_back({.section = "journal",
                   .key = "memory_mib",
                   .field = &c->journal.memory_mib,
                   .meaning = "Memory of the journal's store, MiB.",
                   .min = 16,
                   .max = 16'384});
}

void AddApplyAndTypes(Settings* list, Config* c) {
  const std::string v = "verify";
  list->push_back({.section = v,
                   .key = "readers",
                   .field = &c->verify.readers,
                   .meaning = "Chunks compared at the same time; each has a connection to both sides.",
                   .min = 1,
                   .max = 64});
  list->push_back({.section = v,
                   .key = "chunk_rows",
                   .field = &c->verify.chunk_rows,
                   .meaning = "Rows read by one query, about.",
                   .min = 100,
                   .max = 100'000'000});
  list->push_back({.section = v,
                   .key = "max_rows_per_second",
                   .field = &c->verify.max_rows_per_second,
                   .meaning = "Limit of the comparison's speed, rows a second over all readers; 0: none."});
  list->push_back({.section = v,
                   .key = "max_shown",
                   .field = &c->verify.max_shown,
                   .meaning = "Differences of one table that are shown with both images; all are counted.",
                   .min = 1,
                   .max = 100'000});
  list->push_back({.section = v,
                   .key = "continuous",
                   .field = &c->verify.continuous,
                   .meaning =
                       "While 'run' follows, compare all tables once and then every row that is changed, so that "
                       "'verify --final' takes milliseconds. It reads both sides all the time, within "
                       "max_rows_per_second and with one reader."});
  list->push_back({.section = v,
                   .key = "full_interval_s",
                   .field = &c->verify.full_interval_s,
                   .meaning = "With continuous: seconds from the beginning of one pass over all tables to the next.",
                   .min = 60,
                   .max = 31'536'000});
  list->push_back(
      {.section = "apply",
       .key = "on_divergence",
       .field = &c->apply.on_divergence,
       .meaning =
           "What to do when a row to change is not there, or a row to insert is: 'stop' (exit code 5), "
           "'repair' (make it as the source says; it stops where rows that refer to it would follow a changed key) or "
           "'skip'. Each one is recorded.",
       .choices = {"stop", "repair", "skip"}});
  list->push_back({.section = "apply",
                   .key = "max_batch_kib",
                   .field = &c->apply.max_batch_kib,
                   .meaning = "Changes of one target transaction, KiB; a larger source transaction streams.",
                   .min = 64,
                   .max = 1'048'576});
  list->push_back({.section = "apply",
                   .key = "max_batch_rows",
                   .field = &c->apply.max_batch_rows,
                   .meaning = "Changes of one target transaction, rows.",
                   .min = 1,
                   .max = 10'000'000});
  list->push_back({.section = "apply",
                   .key = "max_source_span_ms",
                   .field = &c->apply.max_source_span_ms,
                   .meaning = "Source time that one target transaction may span, milliseconds.",
                   .min = 1,
                   .max = 3'600'000});
  list->push_back({.section = "types",
                   .key = "zero_dates",
                   .field = &c->types.zero_dates,
                   .meaning = "Dates like 0000-00-00: 'stop', 'null', or 'infinity' (-infinity; a partial date such as "
                              "2020-02-00 still stops).",
                   .choices = {"stop", "null", "infinity"}});
  list->push_back({.section = "types",
                   .key = "nul_bytes",
                   .field = &c->types.nul_bytes,
                   .meaning = "U+0000 in text, which PostgreSQL cannot hold: 'stop', or 'remove' (in a column of a key "
                              "it stops all the same).",
                   .choices = {"stop", "remove"}});
  list->push_back(
      {.section = "types",
       .key = "time",
       .field = &c->types.time,
       .meaning = "TIME becomes 'interval' (exact), or 'time' (negative values and those beyond 24 h stop).",
       .choices = {"interval", "time"}});
  list->push_back({.section = "types",
                   .key = "text_keys",
                   .field = &c->types.text_keys,
                   .meaning =
                       "Keys over text whose collation ignores case or trailing spaces: 'refuse', or 'exact' (the "
                       "target tells apart what the source does not).",
                   .choices = {"refuse", "exact"}});
}

void AddSurface(Settings* list, Config* c) {
  list->push_back({.section = "http",
                   .key = "listen",
                   .field = &c->http.listen,
                   .meaning = "Address and port of /status and /metrics; empty: none. Port 0: any free one, shown by "
                              "'crossfade status'.",
                   .example = "127.0.0.1:9410"});
  list->push_back({.section = "log",
                   .key = "level",
                   .field = &c->log.level,
                   .meaning = "Least level that is logged.",
                   .choices = {"debug", "info", "warn", "error"}});
  list->push_back({.section = "log",
                   .key = "file",
                   .field = &c->log.file,
                   .meaning = "Log file; empty: standard error.",
                   .example = "/var/log/crossfade/acme.log"});
}

}  // namespace

std::vector<Setting> AllSettings(Config* config) {
  Settings list;
  AddTop(&list, config);
  AddSource(&list, config);
  AddTarget(&list, config);
  AddTenantAndTables(&list, config);
  AddTransforms(&list, config);
  AddSnapshotAndJournal(&list, config);
  AddApplyAndTypes(&list, config);
  AddSurface(&list, config);
  return list;
}

std::string SectionMeaning(const std::string& section) {
  if (section == "source") return "The database to move.";
  if (section == "target") return "The database it moves into.";
  if (section == "tenant") return "What tells this migration's rows from all others on the target.";
  if (section == "tables") return "Which tables.";
  if (section == "transform") return "Names and values that are changed on their way.";
  if (section == "snapshot") return "The first copy.";
  if (section == "journal") return "The durable log between source and target.";
  if (section == "apply") return "How changes reach the target.";
  if (section == "verify") return "Comparing both sides.";
  if (section == "types") return "Values that PostgreSQL cannot hold as they are.";
  if (section == "http") return "Status and metrics over HTTP.";
  if (section == "log") return "The log.";
  return "";
}

}  // namespace crossfade::tools
