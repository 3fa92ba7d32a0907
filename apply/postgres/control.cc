#include "apply/postgres/control.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "apply/postgres/schema_plan.h"
#include "apply/postgres/session.h"
#include "core/failpoint.h"

namespace crossfade::apply {

namespace {

using postgres::Connection;
using postgres::ResultSet;

constexpr std::string_view kComponent = "apply.postgres";
constexpr const char* kFormat = "1";

constexpr const char* kMakeControl = R"(
CREATE TABLE crossfade.format (version int NOT NULL);
INSERT INTO crossfade.format VALUES (1);
CREATE SEQUENCE crossfade.epoch;
CREATE TABLE crossfade.migration (
  name text PRIMARY KEY,
  tenant text,
  epoch bigint NOT NULL,
  journal_id text NOT NULL DEFAULT '',
  facts text[] NOT NULL DEFAULT '{}');
CREATE TABLE crossfade.heartbeat (
  migration text PRIMARY KEY,
  epoch bigint NOT NULL,
  owner_host text,
  owner_pid bigint,
  owner_program text,
  since timestamptz,
  heartbeat_at timestamptz,
  counter bigint NOT NULL DEFAULT 0) WITH (fillfactor = 10);
CREATE TABLE crossfade.progress (
  migration text NOT NULL,
  worker int NOT NULL,
  journal_id text NOT NULL DEFAULT '',
  epoch bigint NOT NULL DEFAULT 0,
  low bigint NOT NULL DEFAULT 0,
  position bytea NOT NULL DEFAULT '',
  commit_time_us bigint NOT NULL DEFAULT 0,
  above bytea NOT NULL DEFAULT '',
  counter bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (migration, worker)) WITH (fillfactor = 10);
CREATE TABLE crossfade.chunk (
  migration text NOT NULL,
  table_name text NOT NULL,
  chunk int NOT NULL,
  range_from bigint,
  range_to bigint,
  low bytea NOT NULL,
  high bytea NOT NULL,
  rows bigint NOT NULL,
  loaded_at timestamptz,
  PRIMARY KEY (migration, table_name, chunk));
CREATE TABLE crossfade.object (
  migration text NOT NULL,
  kind text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  name text NOT NULL,
  created boolean NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (migration, kind, schema_name, table_name, name));
CREATE TABLE crossfade.divergence (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  seq bigint,
  position bytea,
  table_name text,
  kind text,
  row_key text,
  before_image text,
  after_image text,
  action text,
  reason text,
  found_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX divergence_migration_idx ON crossfade.divergence (migration, id);
)";

// These came later than the others; a helper schema that lacks one is given it. Its owner is the others' owner: the
// roles of all migrations are members of that one.
constexpr const char* kMakeAuditHead = R"(
CREATE TABLE crossfade.audit_head (
  migration text PRIMARY KEY,
  seq bigint NOT NULL,
  hash text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp());
DO $$ BEGIN EXECUTE format('ALTER TABLE crossfade.audit_head OWNER TO %I',
  (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'crossfade.migration'::regclass)); END $$;
)";
constexpr const char* kMakeAuditBeginning = R"(
CREATE TABLE crossfade.audit_beginning (
  migration text NOT NULL,
  seq bigint NOT NULL,
  hash text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, seq, hash));
DO $$ BEGIN EXECUTE format('ALTER TABLE crossfade.audit_beginning OWNER TO %I',
  (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'crossfade.migration'::regclass)); END $$;
)";

// Ends the transaction under way when it goes, unless Commit was called.
class Transaction {
 public:
  explicit Transaction(Connection* connection) : connection_(connection) {}
  ~Transaction() {
    if (open_) {
      (void)connection_->Execute("ROLLBACK");
    }
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  Status Begin(const char* sql = "BEGIN") {
    CROSSFADE_TRY(connection_->Execute(sql));
    open_ = true;
    return {};
  }
  Status Commit() {
    open_ = false;
    CROSSFADE_FAILPOINT("control.commit.before");
    CROSSFADE_TRY(connection_->Execute("COMMIT"));
    CROSSFADE_FAILPOINT("control.commit.after");
    return {};
  }

 private:
  Connection* connection_;
  bool open_ = false;
};

// False when stopped.
bool Pause(std::stop_token stop, std::chrono::milliseconds duration) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

tl::unexpected<Error> Interrupted() {
  return MakeError(ErrorClass::kTransient, "CF1504", kComponent, "interrupted while taking over");
}

std::string Text(const ResultSet& set, size_t row, size_t column) { return set.rows[row][column].value_or(""); }

int64_t Number(const ResultSet& set, size_t row, size_t column) {
  return std::strtoll(Text(set, row, column).c_str(), nullptr, 10);
}

std::optional<int64_t> MaybeNumber(const ResultSet& set, size_t row, size_t column) {
  return set.rows[row][column] ? std::optional<int64_t>(Number(set, row, column)) : std::nullopt;
}

Result<Position> ReadPosition(const ResultSet& set, size_t row, size_t column) {
  CROSSFADE_ASSIGN(const std::string bytes, FromByteaText(Text(set, row, column)));
  return bytes.empty() ? Result<Position>(Position{}) : Position::Decode(bytes);
}

Result<std::vector<Progress>> ReadProgress(Connection* connection, const std::string& migration, const char* lock) {
  CROSSFADE_ASSIGN(
      const ResultSet set,
      connection->Query(fmt::format("SELECT worker, journal_id, low, position, commit_time_us, above"
                                    " FROM crossfade.progress WHERE migration = $1 AND worker >= 0 ORDER BY worker {}",
                                    lock),
                        {migration}));
  std::vector<Progress> all;
  for (size_t i = 0; i < set.rows.size(); ++i) {
    Progress progress;
    progress.worker = static_cast<uint32_t>(Number(set, i, 0));
    progress.journal_id = Text(set, i, 1);
    progress.low = Seq{static_cast<uint64_t>(Number(set, i, 2))};
    CROSSFADE_ASSIGN(progress.position, ReadPosition(set, i, 3));
    progress.commit_time_us = Number(set, i, 4);
    CROSSFADE_ASSIGN(const std::string above, FromByteaText(Text(set, i, 5)));
    if (!above.empty()) {
      auto decoded = DecodeAbove(above);
      if (!decoded) {
        decoded.error().fix = fmt::format(
            "DELETE FROM crossfade.progress WHERE migration = {} AND worker >= 0; then 'crossfade abort', and "
            "'crossfade "
            "run' copies anew",
            QuoteLiteral(migration));
        return Fail(std::move(decoded).error());
      }
      progress.above = std::move(*decoded);
    }
    all.push_back(std::move(progress));
  }
  return all;
}

Result<std::vector<ChunkMark>> ReadChunks(Connection* connection, const std::string& migration) {
  CROSSFADE_ASSIGN(const ResultSet set,
                   connection->Query("SELECT table_name, chunk, range_from, range_to, low, high, rows"
                                     " FROM crossfade.chunk WHERE migration = $1 ORDER BY table_name, chunk",
                                     {migration}));
  std::vector<ChunkMark> all;
  for (size_t i = 0; i < set.rows.size(); ++i) {
    ChunkMark mark;
    mark.table = Text(set, i, 0);
    mark.chunk = static_cast<uint32_t>(Number(set, i, 1));
    mark.range = {MaybeNumber(set, i, 2), MaybeNumber(set, i, 3)};
    CROSSFADE_ASSIGN(mark.low, ReadPosition(set, i, 4));
    CROSSFADE_ASSIGN(mark.high, ReadPosition(set, i, 5));
    mark.rows = static_cast<uint64_t>(Number(set, i, 6));
    all.push_back(std::move(mark));
  }
  return all;
}

// The rest of the state, when the caller holds the migration's row.
Result<TargetState> ReadHeld(Connection* connection, const Fence& fence, const char* lock) {
  TargetState state;
  state.epoch = fence.epoch;
  CROSSFADE_ASSIGN(const auto journal,
                   connection->Scalar("SELECT journal_id FROM crossfade.migration WHERE name = $1", {fence.migration}));
  state.journal_id = journal.value_or("");
  CROSSFADE_ASSIGN(
      const ResultSet facts,
      connection->Query("SELECT unnest(facts) FROM crossfade.migration WHERE name = $1", {fence.migration}));
  for (size_t i = 0; i < facts.rows.size(); ++i) {
    state.facts.push_back(Text(facts, i, 0));
  }
  CROSSFADE_ASSIGN(state.progress, ReadProgress(connection, fence.migration, lock));
  CROSSFADE_ASSIGN(state.chunks, ReadChunks(connection, fence.migration));
  return state;
}

struct Heartbeat {
  int64_t epoch = 0;
  int64_t counter = 0;
  bool held = false;   // somebody has not given it back
  int64_t age_ms = 0;  // by the target's clock
  std::string who;
};

Result<Heartbeat> ReadHeartbeat(Connection* connection, const std::string& migration) {
  CROSSFADE_ASSIGN(
      const ResultSet set,
      connection->Query("SELECT epoch, counter, heartbeat_at IS NOT NULL,"
                        " coalesce((extract(epoch FROM clock_timestamp() - heartbeat_at) * 1000)::bigint, 0),"
                        " format('process %s on %s (%s), since %s', owner_pid, owner_host, owner_program, since)"
                        " FROM crossfade.heartbeat WHERE migration = $1",
                        {migration}));
  if (set.rows.empty()) {
    return Heartbeat{};
  }
  return Heartbeat{Number(set, 0, 0), Number(set, 0, 1), Text(set, 0, 2) == "t", Number(set, 0, 3), Text(set, 0, 4)};
}

tl::unexpected<Error> OwnerLives(const TakeOverRequest& request, const Heartbeat& heartbeat) {
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = "CF1501";
  error.component = kComponent;
  error.message = fmt::format("migration {} is being run by {}", request.migration, heartbeat.who);
  error.object = request.migration;
  error.found = heartbeat.who;
  error.fix = "stop that process first";
  return Fail(std::move(error));
}

// Returns when nobody lives, or the owner's heart stood still for the grace period: the heart as it was seen last.
Result<Heartbeat> WatchOwner(Connection* connection, const TakeOverRequest& request, std::stop_token stop) {
  CROSSFADE_ASSIGN(const Heartbeat first, ReadHeartbeat(connection, request.migration));
  // A heart that has not beaten for ten beats, and for longer than we would watch, is not watched any more.
  const int64_t stale_ms = std::max<int64_t>(10'000, 3 * int64_t{request.grace_ms});
  if (!first.held || request.force || first.age_ms > stale_ms) {
    return first;
  }
  const Deadline end = After(std::chrono::milliseconds(request.grace_ms));
  while (std::chrono::steady_clock::now() < end) {
    if (!Pause(stop, std::chrono::milliseconds(std::min<uint32_t>(100, request.grace_ms)))) {
      return Interrupted();
    }
    CROSSFADE_ASSIGN(const Heartbeat now, ReadHeartbeat(connection, request.migration));
    if (now.held && (now.counter != first.counter || now.epoch != first.epoch)) {
      return OwnerLives(request, now);
    }
    if (!now.held) {
      return now;
    }
  }
  return first;
}

Status MakeRows(Connection* connection, const TakeOverRequest& request) {
  CROSSFADE_TRY(
      connection->Query("INSERT INTO crossfade.migration (name, tenant, epoch)"
                        " VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
                        {request.migration, request.tenant}));
  CROSSFADE_TRY(connection->Query(
      "INSERT INTO crossfade.heartbeat (migration, epoch) VALUES ($1, 0) ON CONFLICT DO NOTHING", {request.migration}));
  CROSSFADE_TRY(
      connection->Query("INSERT INTO crossfade.progress (migration, worker) VALUES ($1, -1) ON CONFLICT DO NOTHING",
                        {request.migration}));
  return {};
}

// Takes the heart away from its owner, who then stops by itself: if it still is as it was seen. The announcement is a
// number below zero that nobody else has. Nothing: somebody was faster, or the owner lives after all.
Result<std::optional<int64_t>> Announce(Connection* connection, const TakeOverRequest& request, const Heartbeat& seen) {
  CROSSFADE_ASSIGN(const ResultSet set,
                   connection->Query("UPDATE crossfade.heartbeat SET epoch = -nextval('crossfade.epoch')"
                                     " WHERE migration = $1 AND epoch = $2::bigint AND (counter = $3::bigint OR $4)"
                                     " RETURNING epoch",
                                     {request.migration, std::to_string(seen.epoch), std::to_string(seen.counter),
                                      request.force ? "t" : "f"}));
  return set.rows.empty() ? std::nullopt : std::optional<int64_t>(Number(set, 0, 0));
}

// Under the row's lock: the rows that were made carry the tenant of then. With another one new rows would go to that
// tenant, and an abort would take its rows away.
Status HasSameTenant(Connection* connection, const TakeOverRequest& request) {
  CROSSFADE_ASSIGN(const auto other,
                   connection->Scalar("SELECT tenant FROM crossfade.migration WHERE name = $1 AND journal_id <> ''"
                                      " AND tenant IS DISTINCT FROM $2",
                                      {request.migration, request.tenant}));
  if (!other) {
    return {};
  }
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = "CF1559";
  error.component = kComponent;
  error.message =
      fmt::format("migration {} was begun for tenant '{}', not for '{}'", request.migration, *other, request.tenant);
  error.object = "tenant.value";
  error.found = request.tenant;
  error.fix = fmt::format("set tenant.value = \"{}\"; another tenant needs a migration of another name", *other);
  return Fail(std::move(error));
}

// Nothing: somebody else announced in between.
Result<std::optional<TargetState>> TakeEpoch(Connection* connection, const TakeOverRequest& request, int64_t token) {
  Transaction transaction(connection);
  CROSSFADE_TRY(transaction.Begin("BEGIN; SET LOCAL lock_timeout = '1s'"));
  // Waits for every transaction of an older epoch: they all hold this row.
  CROSSFADE_TRY(connection->Query("SELECT 1 FROM crossfade.migration WHERE name = $1 FOR UPDATE", {request.migration}));
  CROSSFADE_ASSIGN(
      const auto announced,
      connection->Scalar("SELECT epoch FROM crossfade.heartbeat WHERE migration = $1 FOR UPDATE", {request.migration}));
  if (announced != std::to_string(token)) {
    return std::optional<TargetState>();
  }
  CROSSFADE_TRY(HasSameTenant(connection, request));
  CROSSFADE_ASSIGN(const auto epoch, connection->Scalar("UPDATE crossfade.migration SET tenant = $2,"
                                                        " epoch = nextval('crossfade.epoch')"
                                                        " WHERE name = $1 RETURNING epoch",
                                                        {request.migration, request.tenant}));
  const Fence fence{request.migration, std::strtoull(epoch.value_or("0").c_str(), nullptr, 10)};
  CROSSFADE_TRY(connection->Query(
      "UPDATE crossfade.heartbeat SET epoch = $2::bigint, owner_host = $3,"
      " owner_pid = $4::bigint, owner_program = $5, since = clock_timestamp(),"
      " heartbeat_at = clock_timestamp(), counter = counter + 1 WHERE migration = $1",
      {request.migration, epoch, request.owner.host, std::to_string(request.owner.pid), request.owner.program}));
  CROSSFADE_ASSIGN(TargetState state, ReadHeld(connection, fence, "FOR UPDATE"));
  CROSSFADE_TRY(transaction.Commit());
  return std::optional<TargetState>(std::move(state));
}

}  // namespace

tl::unexpected<Error> Superseded(const Fence& fence) {
  auto error =
      MakeError(ErrorClass::kCorrupt, "CF1502", kComponent,
                "another process has taken over migration {} (this one had epoch {})", fence.migration, fence.epoch);
  error.value().object = fence.migration;
  return error;
}

std::string ToByteaText(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "\\x";
  for (const char c : bytes) {
    text.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    text.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return text;
}

Result<std::string> FromByteaText(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') {
      return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string bytes;
  bool valid = text.size() % 2 == 0 && (text.empty() || text.substr(0, 2) == "\\x");
  for (size_t i = 2; valid && i < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = digit(text[i + 1]);
    valid = high >= 0 && low >= 0;
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  if (!valid) {
    return MakeError(ErrorClass::kCorrupt, "CF1509", kComponent, "the target gave bytes that are not in hex form");
  }
  return bytes;
}

Status LockDdl(Connection* connection, uint32_t timeout_ms) {
  const Deadline deadline = After(std::chrono::milliseconds(timeout_ms));
  for (;;) {
    CROSSFADE_ASSIGN(const auto locked, connection->Scalar(fmt::format("SELECT pg_try_advisory_lock({})", kDdlLock)));
    if (locked == "t") {
      return {};
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return MakeError(ErrorClass::kTransient, "CF1505", kComponent,
                       "another migration is changing the target's schema (advisory lock {})", kDdlLock);
    }
    Pause({}, std::chrono::milliseconds(50));
  }
}

void UnlockDdl(Connection* connection) {
  (void)connection->Scalar(fmt::format("SELECT pg_advisory_unlock({})", kDdlLock));
}

namespace {

Status MakeIfMissing(Connection* connection, const std::string& table, const char* statements) {
  CROSSFADE_ASSIGN(const auto found, connection->Scalar(fmt::format("SELECT to_regclass('{}')::text", table)));
  if (found) {
    return {};
  }
  Transaction transaction(connection);
  CROSSFADE_TRY(transaction.Begin());
  CROSSFADE_TRY(connection->Execute(statements));
  return transaction.Commit();
}

Status MakeControlLocked(Connection* connection) {
  CROSSFADE_ASSIGN(const auto format, connection->Scalar("SELECT to_regclass('crossfade.format')::text"));
  if (!format) {
    CROSSFADE_ASSIGN(const auto schema, connection->Scalar("SELECT to_regnamespace('crossfade')::text"));
    Transaction transaction(connection);
    CROSSFADE_TRY(transaction.Begin());
    // IF NOT EXISTS would ask for CREATE on the database even where the schema stands.
    if (!schema) {
      CROSSFADE_TRY(connection->Execute("CREATE SCHEMA crossfade"));
    }
    CROSSFADE_TRY(connection->Execute(kMakeControl));
    CROSSFADE_TRY(transaction.Commit());
  }
  CROSSFADE_ASSIGN(const auto version, connection->Scalar("SELECT max(version) FROM crossfade.format"));
  if (version != kFormat) {
    return Fail(Error{
        ErrorClass::kConfig, "CF1506", std::string(kComponent),
        fmt::format("schema crossfade of the target was made by another version; this one knows format {}", kFormat),
        "", "schema crossfade", "format " + version.value_or("none"), "run the version that made it, or a later one"});
  }
  CROSSFADE_TRY(MakeIfMissing(connection, "crossfade.audit_head", kMakeAuditHead));
  return MakeIfMissing(connection, "crossfade.audit_beginning", kMakeAuditBeginning);
}

}  // namespace

Status MakeControl(Connection* connection, uint32_t timeout_ms) {
  CROSSFADE_TRY(LockDdl(connection, timeout_ms));
  Status status = MakeControlLocked(connection);
  UnlockDdl(connection);
  return status;
}

Result<TargetState> TakeOverMigration(Connection* connection, const TakeOverRequest& request, std::stop_token stop) {
  CROSSFADE_TRY(MakeRows(connection, request));
  for (;;) {
    CROSSFADE_ASSIGN(const Heartbeat seen, WatchOwner(connection, request, stop));
    CROSSFADE_ASSIGN(const std::optional<int64_t> token, Announce(connection, request, seen));
    while (token) {
      auto taken = TakeEpoch(connection, request, *token);
      if (taken && *taken) {
        return std::move(**taken);
      }
      if (taken) {
        break;  // somebody else: look whether it lives
      }
      if (taken.error().server_code != "55P03") {
        return Fail(std::move(taken).error());
      }
      if (stop.stop_requested()) {
        return Interrupted();
      }
    }
  }
}

Status BeatHeart(Connection* connection, const Fence& fence) {
  CROSSFADE_ASSIGN(const ResultSet set,
                   connection->Query("UPDATE crossfade.heartbeat SET heartbeat_at = clock_timestamp(),"
                                     " counter = counter + 1 WHERE migration = $1 AND epoch = $2::bigint",
                                     {fence.migration, std::to_string(fence.epoch)}));
  if (set.affected == 0) {
    return Superseded(fence);
  }
  return {};
}

Status ReleaseMigration(Connection* connection, const Fence& fence) {
  CROSSFADE_TRY(
      connection->Query("UPDATE crossfade.heartbeat SET heartbeat_at = NULL, counter = counter + 1"
                        " WHERE migration = $1 AND epoch = $2::bigint",
                        {fence.migration, std::to_string(fence.epoch)}));
  return {};
}

namespace {

Status HoldFence(Connection* connection, const Fence& fence, const char* strength) {
  CROSSFADE_ASSIGN(
      const auto held,
      connection->Scalar(
          fmt::format("SELECT 1 FROM crossfade.migration WHERE name = $1 AND epoch = $2::bigint {}", strength),
          {fence.migration, std::to_string(fence.epoch)}));
  if (!held) {
    return Superseded(fence);
  }
  return {};
}

}  // namespace

Result<TargetState> ReadMigration(Connection* connection, const Fence& fence) {
  Transaction transaction(connection);
  CROSSFADE_TRY(transaction.Begin());
  CROSSFADE_TRY(HoldFence(connection, fence, "FOR SHARE"));
  CROSSFADE_ASSIGN(TargetState state, ReadHeld(connection, fence, "FOR UPDATE"));
  CROSSFADE_TRY(transaction.Commit());
  return state;
}

Status BindMigration(Connection* connection, const Fence& fence, const std::string& journal_id,
                     const std::string& instead_of) {
  Transaction transaction(connection);
  CROSSFADE_TRY(transaction.Begin());
  CROSSFADE_TRY(HoldFence(connection, fence, "FOR UPDATE"));
  CROSSFADE_ASSIGN(const ResultSet bound,
                   connection->Query("UPDATE crossfade.migration SET journal_id = $2 WHERE name = $1"
                                     " AND journal_id IN ($2, $3)",
                                     {fence.migration, journal_id, instead_of}));
  if (bound.affected == 0) {
    return MakeError(ErrorClass::kCorrupt, "CF1558", kComponent,
                     "migration {} does not follow journal '{}' any more: it is not given journal {}", fence.migration,
                     instead_of, journal_id);
  }
  CROSSFADE_TRY(connection->Query("UPDATE crossfade.progress SET journal_id = $2 WHERE migration = $1 AND worker >= 0",
                                  {fence.migration, journal_id}));
  return transaction.Commit();
}

Result<TargetState> LookAtMigration(Connection* connection, const std::string& migration) {
  CROSSFADE_ASSIGN(const auto known, connection->Scalar("SELECT to_regclass('crossfade.migration')::text"));
  if (!known) {
    return TargetState{};
  }
  CROSSFADE_ASSIGN(const auto epoch,
                   connection->Scalar("SELECT epoch FROM crossfade.migration WHERE name = $1", {migration}));
  if (!epoch) {
    return TargetState{};
  }
  return ReadHeld(connection, Fence{migration, std::strtoull(epoch->c_str(), nullptr, 10)}, "");
}

Result<std::vector<Progress>> LookAtProgress(Connection* connection, const std::string& migration) {
  return ReadProgress(connection, migration, "");
}

Status AddFact(Connection* connection, const Fence& fence, const std::string& fact) {
  Transaction transaction(connection);
  CROSSFADE_TRY(transaction.Begin());
  CROSSFADE_TRY(HoldFence(connection, fence, "FOR UPDATE"));
  CROSSFADE_TRY(
      connection->Query("UPDATE crossfade.migration SET facts = facts || $2::text"
                        " WHERE name = $1 AND NOT $2::text = ANY (facts)",
                        {fence.migration, fact}));
  return transaction.Commit();
}

}  // namespace crossfade::apply
