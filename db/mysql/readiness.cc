#include "db/mysql/readiness.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace crossfade::mysql {
namespace {

constexpr std::string_view kRestart = ", then restart the server";
constexpr std::string_view kOpenSessions = "; sessions that are open keep the old value until they reconnect";

// Read-only view of the facts, with the words that findings need.
class Judgement {
 public:
  Judgement(const SourceFacts& facts, const std::string& database, const SourceNeeds& needs)
      : facts_(facts), database_(database), needs_(needs), mysql_(facts.flavor == Flavor::kMySql) {}

  std::vector<Finding> Findings() {
    JudgeLog();
    JudgeRowFormat();
    JudgePrivileges();
    JudgeTables();
    JudgeRetention();
    JudgeGtid();
    JudgeFilters();
    JudgePrepared();
    JudgeReplica();
    std::stable_sort(findings_.begin(), findings_.end(),
                     [](const Finding& a, const Finding& b) { return a.code < b.code; });
    return std::move(findings_);
  }

 private:
  void JudgeLog();
  void JudgeRowFormat();
  void JudgePrivileges();
  void JudgeTables();
  void JudgeRetention();
  void JudgeGtid();
  void JudgeFilters();
  void JudgePrepared();
  void JudgeReplica();

  void Add(bool blocks, std::string_view code, std::string object, std::string found, std::string meaning,
           std::string fix) {
    findings_.push_back(
        Finding{blocks, std::string(code), std::move(object), std::move(found), std::move(meaning), std::move(fix)});
  }
  std::string Variable(const std::string& name, const std::string& missing = "") const {
    const auto found = facts_.variables.find(name);
    return found == facts_.variables.end() ? missing : found->second;
  }
  // MySQL keeps what is set over a restart; MariaDB's configuration has to be changed as well.
  std::string Set(const std::string& name, const std::string& value) const {
    return fmt::format("SET {} {} = {}", mysql_ ? "PERSIST" : "GLOBAL", name, value);
  }
  std::string Grant(std::string_view privileges, std::string_view on) const {
    return fmt::format("GRANT {} ON {} TO {}", privileges, on, facts_.account);
  }
  std::string OnDatabase() const { return Connection::Identifier(database_) + ".*"; }
  void NeedGlobal(const std::vector<std::string>& any_of, std::string_view meaning);

  const SourceFacts& facts_;
  const std::string& database_;
  const SourceNeeds& needs_;
  bool mysql_;
  std::vector<Finding> findings_;
};

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

void Judgement::JudgeLog() {
  if (Upper(Variable("log_bin")) != "ON") {
    Add(true, "CF1140", "log_bin", Variable("log_bin"), "there is no log to follow",
        "in the server's configuration: log_bin = binlog" + std::string(kRestart));
  }
  if (Variable("server_id") == "0") {
    Add(true, "CF1141", "server_id", "0", "the server gives its log to nobody", Set("server_id", "1"));
  }
}

void Judgement::JudgeRowFormat() {
  if (const std::string format = Upper(Variable("binlog_format", "ROW")); format != "ROW") {
    Add(true, "CF1142", "binlog_format", format,
        "the log may hold statements, whose rows cannot be known" + std::string(kOpenSessions),
        Set("binlog_format", "'ROW'"));
  }
  if (const std::string image = Upper(Variable("binlog_row_image", "FULL")); image != "FULL") {
    Add(true, "CF1143", "binlog_row_image", image,
        "the log leaves columns out of the rows" + std::string(kOpenSessions), Set("binlog_row_image", "'FULL'"));
  }
  // Servers that lack the setting cannot log it at all: nothing to mend.
  if (const std::string metadata = Upper(Variable("binlog_row_metadata", "FULL")); metadata != "FULL") {
    Add(false, "CF1144", "binlog_row_metadata", metadata,
        "the log does not name columns: a schema change is understood from its statement alone",
        Set("binlog_row_metadata", "'FULL'"));
  }
}

void Judgement::NeedGlobal(const std::vector<std::string>& any_of, std::string_view meaning) {
  const bool had = std::any_of(any_of.begin(), any_of.end(),
                               [this](const std::string& name) { return facts_.privileges.HasGlobal(name); });
  if (!had) {
    Add(true, "CF1145", any_of.front(), "not granted to " + facts_.account, std::string(meaning),
        Grant(any_of.front(), "*.*"));
  }
}

void Judgement::JudgePrivileges() {
  const Privileges& privileges = facts_.privileges;
  NeedGlobal({"REPLICATION SLAVE"}, "the server does not give its log to this account");
  if (!mysql_ && facts_.version_number >= 100500) {
    NeedGlobal({"BINLOG MONITOR", "SUPER"}, "where the log ends cannot be asked");
  } else {
    NeedGlobal({"REPLICATION CLIENT", "SUPER"}, "where the log ends cannot be asked");
  }
  if (!privileges.HasOn(database_, "SELECT")) {
    Add(true, "CF1145", "SELECT", "not granted to " + facts_.account, "the tables cannot be read, or not all of them",
        Grant("SELECT", OnDatabase()));
  }
  // Any right beyond SELECT makes MariaDB show what foreign keys do.
  const std::vector<std::string> beyond = {"REFERENCES", "INSERT", "UPDATE", "DELETE",
                                           "CREATE",     "DROP",   "INDEX",  "ALTER"};
  if (!mysql_ && facts_.has_foreign_keys && std::none_of(beyond.begin(), beyond.end(), [&](const std::string& name) {
        return privileges.HasOn(database_, name);
      })) {
    Add(true, "CF1145", "REFERENCES", "not granted to " + facts_.account,
        "what the foreign keys do on delete and update cannot be seen", Grant("REFERENCES", OnDatabase()));
  }
  if (!facts_.prepared_known) {
    Add(false, "CF1145", "XA_RECOVER_ADMIN", "not granted to " + facts_.account,
        "whether prepared XA transactions are open cannot be seen", Grant("XA_RECOVER_ADMIN", "*.*"));
  }
  const bool may_lock = privileges.HasGlobal("RELOAD") || privileges.HasGlobal("FLUSH_TABLES") ||
                        privileges.HasOn(database_, "LOCK TABLES");
  // Measured: MariaDB keeps a table's metadata locked behind ROLLBACK TO SAVEPOINT unless the session may leave the
  // log.
  if (!mysql_ && facts_.version_number >= 100500 && !privileges.HasGlobal("BINLOG ADMIN") &&
      !privileges.HasGlobal("SUPER")) {
    Add(false, "CF1156", "BINLOG ADMIN", "not granted to " + facts_.account,
        "a schema change on the source, and everybody behind it, waits until the copy has ended",
        Grant("BINLOG ADMIN", "*.*"));
  }
  if (mysql_ && facts_.version_number >= 80000 && !privileges.HasGlobal("BACKUP_ADMIN") &&
      (!needs_.consistent_copy || !may_lock)) {
    Add(false, "CF1155", "BACKUP_ADMIN", "not granted to " + facts_.account,
        "in a chunked copy, tables without a key and tables joined by foreign keys with an action can only be read in"
        " moments when the source does not commit",
        Grant("BACKUP_ADMIN", "*.*"));
  }
  if (needs_.consistent_copy && !may_lock) {
    Add(false, "CF1146", "RELOAD", "not granted to " + facts_.account,
        "the copy's readers cannot open their snapshots at one position: it will be chunked", Grant("RELOAD", "*.*"));
  }
}

void Judgement::JudgeTables() {
  for (const auto& [table, engine] : facts_.other_engines) {
    if (needs_.concerns && !needs_.concerns(table)) {
      continue;
    }
    Add(true, "CF1147", database_ + "." + table, engine, "a table without transactions has no state to copy exactly",
        fmt::format("ALTER TABLE {}.{} ENGINE = InnoDB", Connection::Identifier(database_),
                    Connection::Identifier(table)));
  }
}

void Judgement::JudgeRetention() {
  if (const std::string limit = Variable("max_binlog_total_size", "0"); limit != "0" && !limit.empty()) {
    Add(false, "CF1154", "max_binlog_total_size", limit,
        "log is purged when all of it is larger, read or not: a pause of the migration, and the copy, must write less",
        Set("max_binlog_total_size", "0"));
  }
  if (Upper(Variable("binlog_expire_logs_auto_purge", "ON")) == "OFF") {
    return;
  }
  const auto number = [](const std::string& text) {
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  // Where both exist they show the same, or one of them is in use.
  const double seconds = number(Variable("binlog_expire_logs_seconds", "0"));
  const double days = number(Variable("expire_logs_days", "0"));
  const double kept = seconds > 0 ? seconds : days * 86400;
  if (kept <= 0 || kept >= static_cast<double>(needs_.log_retention_s)) {
    return;
  }
  const bool by_seconds = facts_.variables.contains("binlog_expire_logs_seconds");
  const uint64_t wanted_days = (needs_.log_retention_s + 86399) / 86400;
  Add(false, "CF1148", by_seconds ? "binlog_expire_logs_seconds" : "expire_logs_days",
      by_seconds ? fmt::format("{:.0f}", kept) : fmt::format("{}", days),
      fmt::format("log is purged after {:.1f} hours, read or not: a pause of the migration must be shorter",
                  kept / 3600),
      by_seconds ? Set("binlog_expire_logs_seconds", std::to_string(needs_.log_retention_s))
                 : Set("expire_logs_days", std::to_string(wanted_days)));
}

void Judgement::JudgeGtid() {
  if (!mysql_) {
    if (const std::string strict = Upper(Variable("gtid_strict_mode", "ON")); strict != "ON") {
      Add(false, "CF1152", "gtid_strict_mode", strict,
          "GTIDs may be out of order: positions of this server are compared by file and offset, and a move to another "
          "server cannot be proven complete",
          Set("gtid_strict_mode", "ON"));
    }
    return;
  }
  const std::string mode = Upper(Variable("gtid_mode", "OFF"));
  if (mode == "ON") {
    return;
  }
  // One step at a time is all the server takes.
  std::string fix =
      Upper(Variable("enforce_gtid_consistency")) == "ON" ? "" : Set("enforce_gtid_consistency", "ON") + "; ";
  if (mode == "OFF") {
    fix += Set("gtid_mode", "OFF_PERMISSIVE") + "; ";
  }
  if (mode != "ON_PERMISSIVE") {
    fix += Set("gtid_mode", "ON_PERMISSIVE") + "; ";
  }
  fix += Set("gtid_mode", "ON");
  Add(false, "CF1149", "gtid_mode", mode,
      "transactions have no names: positions are file and offset, and the migration cannot follow a fail-over", fix);
}

void Judgement::JudgeFilters() {
  const auto holds = [this](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), database_) != names.end();
  };
  if (!facts_.logged_databases.empty() && !holds(facts_.logged_databases)) {
    Add(true, "CF1150", "binlog_do_db", fmt::format("{}", fmt::join(facts_.logged_databases, ",")),
        "changes of this database are not logged",
        fmt::format("in the server's configuration: binlog_do_db = {} as well{}", database_, kRestart));
  }
  if (holds(facts_.ignored_databases)) {
    Add(true, "CF1150", "binlog_ignore_db", fmt::format("{}", fmt::join(facts_.ignored_databases, ",")),
        "changes of this database are not logged",
        fmt::format("in the server's configuration: without binlog_ignore_db = {}{}", database_, kRestart));
  }
}

void Judgement::JudgePrepared() {
  for (const PreparedTransaction& transaction : facts_.prepared) {
    Add(true, "CF1151", "XA transaction", transaction.xid,
        "its rows are in the log before the copy, and its commit will come after: it must be ended first, with COMMIT "
        "or "
        "with ROLLBACK as its coordinator says",
        "XA COMMIT " + transaction.xid);
  }
}

void Judgement::JudgeReplica() {
  const std::string name =
      facts_.variables.contains("log_replica_updates") ? "log_replica_updates" : "log_slave_updates";
  if (facts_.is_replica && Upper(Variable(name, "ON")) != "ON") {
    Add(true, "CF1153", name, Variable(name), "this server is a replica, and does not log what it gets from its source",
        fmt::format("in the server's configuration: {} = ON{}; or follow the replica's source itself", name, kRestart));
  }
}

std::vector<std::string> NamesOf(const std::string& list) {
  std::vector<std::string> names;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    if (end > begin) {
      names.push_back(list.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  return names;
}

std::string HexLiteral(std::string_view bytes) {
  std::string literal = "X'";
  for (const char c : bytes) {
    literal += fmt::format("{:02X}", static_cast<uint8_t>(c));
  }
  return literal + "'";
}

// What a right we lack hides is no error here; everything else is.
bool IsDenied(const Error& error) {
  return error.server_code == "1227" || error.server_code == "1142" || error.server_code == "1401";
}

Status ReadVariables(Connection& connection, SourceFacts* facts) {
  return connection.Query(
      "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'server_id', 'binlog_format', 'binlog_row_image', "
      "'binlog_row_metadata', 'expire_logs_days', 'max_binlog_total_size', 'binlog_expire_logs_seconds', "
      "'binlog_expire_logs_auto_purge', "
      "'gtid_mode', 'enforce_gtid_consistency', 'gtid_strict_mode', 'log_slave_updates', 'log_replica_updates')",
      [&](TextRow row) {
        facts->variables.emplace(row[0].value_or(""), row[1].value_or(""));
        return true;
      });
}

Status ReadTables(Connection& connection, const std::string& database, SourceFacts* facts) {
  const std::string name = connection.Literal(database);
  CROSSFADE_TRY(connection.Query(
      fmt::format("SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE = "
                  "'BASE TABLE' AND ENGINE <> 'InnoDB'",
                  name),
      [&](TextRow row) {
        facts->other_engines.emplace(row[0].value_or(""), row[1].value_or(""));
        return true;
      }));
  CROSSFADE_ASSIGN(const auto key, connection.Scalar(fmt::format(
                                       "SELECT 1 FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = "
                                       "{} AND REFERENCED_TABLE_NAME IS NOT NULL LIMIT 1",
                                       name)));
  facts->has_foreign_keys = key.has_value();
  return {};
}

Status ReadFilters(Connection& connection, SourceFacts* facts) {
  const bool newer = facts->flavor == Flavor::kMySql && facts->version_number >= 80200;
  const auto rows = connection.Rows(newer ? "SHOW BINARY LOG STATUS" : "SHOW MASTER STATUS");
  if (!rows) {
    return IsDenied(rows.error()) ? Status() : Fail(rows.error());
  }
  if (!rows->empty() && (*rows)[0].size() >= 4) {
    facts->logged_databases = NamesOf((*rows)[0][2].value_or(""));
    facts->ignored_databases = NamesOf((*rows)[0][3].value_or(""));
  }
  return {};
}

Status ReadPrepared(Connection& connection, SourceFacts* facts) {
  const auto rows = connection.Rows("XA RECOVER");
  if (!rows) {
    facts->prepared_known = false;
    return IsDenied(rows.error()) ? Status() : Fail(rows.error());
  }
  for (const auto& row : *rows) {
    facts->prepared.push_back(PreparedTransaction{XidLiteral(row)});
  }
  return {};
}

Status ReadReplica(Connection& connection, SourceFacts* facts) {
  const bool mysql = facts->flavor == Flavor::kMySql;
  const char* const sql = !mysql                           ? "SHOW ALL SLAVES STATUS"
                          : facts->version_number >= 80022 ? "SHOW REPLICA STATUS"
                                                           : "SHOW SLAVE STATUS";
  const auto rows = connection.Rows(sql);
  if (!rows) {
    return IsDenied(rows.error()) ? Status() : Fail(rows.error());
  }
  facts->is_replica = !rows->empty();
  return {};
}

}  // namespace

std::string XidLiteral(const std::vector<std::optional<std::string>>& row) {
  const std::string data = row[3].value_or("");
  const std::string length = row[1].value_or("");
  size_t first = 0;
  std::from_chars(length.data(), length.data() + length.size(), first);
  first = std::min(first, data.size());
  return fmt::format("{},{},{}", HexLiteral(data.substr(0, first)), HexLiteral(data.substr(first)),
                     row[0].value_or("1"));
}

Result<SourceFacts> ReadSourceFacts(Connection& connection, const std::string& database) {
  SourceFacts facts;
  facts.flavor = connection.server().flavor;
  facts.version_number = connection.server().version_number;
  CROSSFADE_ASSIGN(facts.account, CurrentAccount(connection));
  CROSSFADE_ASSIGN(facts.privileges, Privileges::Read(connection));
  CROSSFADE_TRY(ReadVariables(connection, &facts));
  CROSSFADE_TRY(ReadTables(connection, database, &facts));
  CROSSFADE_TRY(ReadFilters(connection, &facts));
  CROSSFADE_TRY(ReadPrepared(connection, &facts));
  CROSSFADE_TRY(ReadReplica(connection, &facts));
  return facts;
}

std::vector<Finding> Judge(const SourceFacts& facts, const std::string& database, const SourceNeeds& needs) {
  return Judgement(facts, database, needs).Findings();
}

Result<std::vector<Finding>> CheckSource(Connection& connection, const std::string& database,
                                         const SourceNeeds& needs) {
  CROSSFADE_ASSIGN(const SourceFacts facts, ReadSourceFacts(connection, database));
  return Judge(facts, database, needs);
}

}  // namespace crossfade::mysql
