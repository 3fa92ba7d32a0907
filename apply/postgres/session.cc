#include "apply/postgres/session.h"

#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "apply/postgres/orphans.h"
#include "apply/postgres/pg_row_reader.h"
#include "apply/postgres/session_steps.h"
#include "core/bytes.h"
#include "core/failpoint.h"

namespace crossfade::apply {

namespace {

using postgres::Connection;
using postgres::Parameter;

constexpr std::string_view kComponent = "apply.postgres.session";
constexpr uint8_t kAboveVersion = 1;

constexpr uint32_t kByteaOid = 17;
constexpr uint32_t kInt8Oid = 20;
constexpr uint32_t kTextOid = 25;

// From here on a statement's memory is given back, at the price of some milliseconds for a new session.
constexpr size_t kLargeStatement = 32 << 20;

// With synchronous_commit off every commit that comes this long after the last durable one is made durable.
constexpr std::chrono::milliseconds kDurableEvery{500};

// Plans are made once and must not depend on how large a table was then: rows are found through an index wherever there
// is one. Sorting or hashing a whole table for the sake of a batch is never wanted.
constexpr const char* kSessionSetup =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off;"
    " SET enable_mergejoin = off; SET enable_bitmapscan = off; SET jit = off";

constexpr const char* kProgressSql =
    "UPDATE crossfade.progress AS p SET counter = p.counter + 1, epoch = $2, journal_id = $4, low = $5, position = $6,"
    " commit_time_us = $7, above = $8"
    " FROM (SELECT 1 FROM crossfade.migration WHERE name = $1 AND epoch = $2 FOR SHARE) AS m"
    " WHERE p.migration = $1 AND p.worker = $3 RETURNING pg_current_xact_id()::xid::text";

constexpr const char* kDivergenceSql =
    "INSERT INTO crossfade.divergence (migration, seq, position, table_name, kind, row_key, before_image, after_image,"
    " action, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

std::string BigEndian(uint64_t value) {
  std::string out;
  ByteWriter(&out).BigEndianU64(value);
  return out;
}

std::string_view TenantTypeName(TenantType type) {
  switch (type) {
    case TenantType::kText:
      return "text";
    case TenantType::kBigint:
      return "bigint";
    case TenantType::kUuid:
      return "uuid";
  }
  return "text";
}

// Whether the server refused a row, and not the whole undertaking.
bool RefusesRow(const Error& error) {
  if (error.error_class != ErrorClass::kData || error.server_code.empty()) {
    return error.error_class == ErrorClass::kData;  // ours: a value that the target cannot hold
  }
  const std::string_view state_class = std::string_view(error.server_code).substr(0, 2);
  return state_class == "23" || state_class == "22" || state_class == "21";
}

class PgSession final : public ApplySession {
 public:
  PgSession(std::unique_ptr<Connection> connection, const PgSessionOptions& options)
      : connection_(std::move(connection)),
        options_(options),
        writer_(
            connection_.get(), &options_,
            fmt::format("{}::{}", connection_->Literal(options.tenancy.value), TenantTypeName(options.tenancy.type))) {}

  Status Open();

  Result<CommitResult> Commit(const Batch& batch) override;
  Status Begin(const Progress& progress) override;
  Result<CommitResult> Write(const std::vector<Step>& steps) override;
  Result<CommitResult> Finish(const std::vector<Divergence>& divergences) override;
  Status LockRows(const Route& route, std::span<const std::string> keys, const RowSink& sink) override {
    PgTargetOptions reading;
    reading.migration = options_.migration;
    reading.tenancy = options_.tenancy;
    reading.types = options_.types;
    return LockPgRows(reading, connection_.get(), route, keys, sink);
  }
  Status FindOrphans(const Route& route, const OrphanSearch& search, const OrphanSink& sink) override {
    return FindPgOrphans(options_, connection_.get(), route, search, sink);
  }
  void Cancel() override {
    const std::lock_guard lock(connection_mutex_);
    connection_->Cancel();
  }

 private:
  void DefineStatements();
  Status MakeProgressRow();
  tl::unexpected<Error> Superseded() const;
  Result<CommitResult> Run(const Progress* progress, const std::vector<Step>& steps,
                           const std::vector<Divergence>& divergences);
  Status QueueAll(const Progress* progress, const std::vector<Step>& steps, const std::vector<Divergence>& divergences);
  Status QueueBegin(const Progress& progress);
  Status QueueDivergence(const Divergence& divergence);
  Result<CommitResult> Check(const std::vector<uint64_t>& affected, bool began, const std::vector<Step>& steps);
  Result<CommitResult> Failed(Error error, size_t statement);
  Result<CommitResult> CommitNow(size_t steps);
  Error NoRight(Error error) const;
  Status Rollback();
  void GiveBack();

  std::mutex connection_mutex_;
  std::unique_ptr<Connection> connection_;  // exchanged under connection_mutex_
  PgSessionOptions options_;
  StepWriter writer_;
  size_t progress_statement_ = 0;  // its number in the pipeline
  bool open_ = false;              // a transaction
  bool durable_ = true;            // the open transaction's commit
  uint32_t transaction_ = 0;       // its number
  std::optional<Error> broken_;    // a new session that could not be used
  std::chrono::steady_clock::time_point durable_at_;
};

// A new session in place of one that holds much memory. If there is none to be had, the old one goes on.
void PgSession::GiveBack() {
  if (connection_->largest_statement() < kLargeStatement) {
    return;
  }
  Result<std::unique_ptr<Connection>> fresh = Connection::Open(options_.connection);
  if (!fresh) {
    return;
  }
  {
    const std::lock_guard lock(connection_mutex_);
    connection_.swap(*fresh);
  }
  writer_.Use(connection_.get());
  if (Status opened = Open(); !opened) {
    broken_ = std::move(opened).error();
  }
}

Status PgSession::Open() {
  CROSSFADE_TRY(connection_->Execute(kSessionSetup));
  if (options_.synchronous_commit) {
    CROSSFADE_TRY(connection_->CommitDurably());
  } else {
    CROSSFADE_TRY(connection_->Execute("SET synchronous_commit = off"));
  }
  DefineStatements();
  return MakeProgressRow();
}

void PgSession::DefineStatements() {
  writer_.Define("begin", "BEGIN", {});
  writer_.Define("durable", "SET LOCAL synchronous_commit = on", {});
  writer_.Define("deferred", "SET CONSTRAINTS ALL DEFERRED", {});
  writer_.Define("immediate", "SET CONSTRAINTS ALL IMMEDIATE", {});
  writer_.Define("progress", kProgressSql,
                 {kTextOid, kInt8Oid, kInt8Oid, kTextOid, kInt8Oid, kByteaOid, kInt8Oid, kByteaOid});
  writer_.Define("divergence", kDivergenceSql,
                 {kTextOid, kInt8Oid, kByteaOid, kTextOid, kTextOid, kTextOid, kTextOid, kTextOid, kTextOid, kTextOid});
  writer_.Define("hash_on", "SET LOCAL enable_hashjoin = on", {});
  writer_.Define("hash_off", "SET LOCAL enable_hashjoin = off", {});
  writer_.Define("replica", "SET LOCAL session_replication_role = replica", {});
  writer_.Define("origin", "SET LOCAL session_replication_role = origin", {});
}

tl::unexpected<Error> PgSession::Superseded() const {
  auto error = MakeError(ErrorClass::kCorrupt, "CF1502", kComponent,
                         "another process has taken over migration {} (this one had epoch {})", options_.migration,
                         options_.epoch);
  error.value().object = options_.migration;
  return error;
}

Status PgSession::MakeProgressRow() {
  const std::string epoch = std::to_string(options_.epoch);
  const std::string worker = std::to_string(options_.worker);
  CROSSFADE_TRY(connection_->Execute("BEGIN"));
  CROSSFADE_ASSIGN(const auto fenced,
                   connection_->Scalar("SELECT 1 FROM crossfade.migration WHERE name = $1 AND epoch = $2::bigint"
                                       " FOR SHARE",
                                       {options_.migration, epoch}));
  if (!fenced) {
    CROSSFADE_TRY(connection_->Execute("ROLLBACK"));
    return Superseded();
  }
  CROSSFADE_TRY(connection_->Query(
      "INSERT INTO crossfade.progress (migration, worker, journal_id, epoch, low, position, commit_time_us, above,"
      " counter) VALUES ($1, $2::int, $3, $4::bigint, 0, '', 0, '', 0) ON CONFLICT (migration, worker) DO NOTHING",
      {options_.migration, worker, options_.journal_id, epoch}));
  CROSSFADE_ASSIGN(
      const auto journal,
      connection_->Scalar("SELECT journal_id FROM crossfade.progress WHERE migration = $1 AND worker = $2::int",
                          {options_.migration, worker}));
  CROSSFADE_FAILPOINT("apply.progress_row.before");
  CROSSFADE_TRY(connection_->Execute("COMMIT"));
  CROSSFADE_FAILPOINT("apply.progress_row.after");
  if (journal && !journal->empty() && *journal != options_.journal_id) {
    auto error =
        MakeError(ErrorClass::kCorrupt, "CF1571", kComponent,
                  "the target's progress belongs to journal {}, this is journal {}", *journal, options_.journal_id);
    error.value().object = options_.migration;
    return error;
  }
  return {};
}

Result<CommitResult> PgSession::Commit(const Batch& batch) {
  CROSSFADE_ASSIGN(CommitResult result, Run(&batch.progress, batch.steps, batch.divergences));
  if (result.outcome == CommitResult::Outcome::kRejected) {
    return result;
  }
  return CommitNow(batch.steps.size());
}

Status PgSession::Begin(const Progress& progress) {
  CROSSFADE_TRY(Run(&progress, {}, {}));
  return {};
}

Result<CommitResult> PgSession::Write(const std::vector<Step>& steps) {
  if (!open_) {
    return MakeError(ErrorClass::kCorrupt, "CF1572", kComponent, "a piece was written outside of a transaction");
  }
  return Run(nullptr, steps, {});
}

Result<CommitResult> PgSession::Finish(const std::vector<Divergence>& divergences) {
  if (!open_) {
    return MakeError(ErrorClass::kCorrupt, "CF1572", kComponent, "no transaction is open to be finished");
  }
  if (!divergences.empty()) {
    CROSSFADE_ASSIGN(CommitResult result, Run(nullptr, {}, divergences));
    if (result.outcome == CommitResult::Outcome::kRejected) {
      return result;
    }
  }
  return CommitNow(0);
}

// Everything in one round trip; then the numbers of rows are looked at. On any error the transaction is over.
Result<CommitResult> PgSession::Run(const Progress* progress, const std::vector<Step>& steps,
                                    const std::vector<Divergence>& divergences) {
  if (progress != nullptr) {
    if (broken_) {
      return Fail(*broken_);
    }
    CROSSFADE_TRY(Rollback());  // what a caller left behind
  }
  if (Status planned = writer_.Plan(steps); !planned) {
    return Failed(std::move(planned).error(), SIZE_MAX);
  }
  CROSSFADE_TRY(connection_->PipelineBegin());
  writer_.PipelineStarted();
  open_ = true;
  const Status queued = QueueAll(progress, steps, divergences);
  size_t failed = SIZE_MAX;
  Result<std::vector<uint64_t>> affected = connection_->PipelineCollect(&failed);
  if (!queued) {
    return Failed(queued.error(), SIZE_MAX);
  }
  if (!affected) {
    return Failed(std::move(affected).error(), failed);
  }
  return Check(*affected, progress != nullptr, steps);
}

Status PgSession::QueueAll(const Progress* progress, const std::vector<Step>& steps,
                           const std::vector<Divergence>& divergences) {
  if (progress != nullptr) {
    CROSSFADE_TRY(QueueBegin(*progress));
  }
  CROSSFADE_TRY(writer_.Queue(steps));
  for (const Divergence& divergence : divergences) {
    CROSSFADE_TRY(QueueDivergence(divergence));
  }
  return {};
}

Status PgSession::QueueBegin(const Progress& progress) {
  CROSSFADE_TRY(writer_.QueueDefined("begin", {}));
  const auto now = std::chrono::steady_clock::now();
  durable_ = options_.synchronous_commit;
  if (!durable_ && now - durable_at_ >= kDurableEvery) {
    CROSSFADE_TRY(writer_.QueueDefined("durable", {}));
    durable_ = true;
  }
  progress_statement_ = writer_.owners().size();
  const std::string epoch = BigEndian(options_.epoch);
  const std::string worker = BigEndian(options_.worker);
  const std::string low = BigEndian(progress.low.value);
  const std::string position = progress.position.Encode();
  const std::string commit_time = BigEndian(static_cast<uint64_t>(progress.commit_time_us));
  const std::string above = EncodeAbove(progress.above);
  const Parameter parameters[] = {{kTextOid, options_.migration},  {kInt8Oid, epoch}, {kInt8Oid, worker},
                                  {kTextOid, options_.journal_id}, {kInt8Oid, low},   {kByteaOid, position},
                                  {kInt8Oid, commit_time},         {kByteaOid, above}};
  CROSSFADE_TRY(writer_.QueueDefined("progress", parameters));
  return writer_.QueueDefined("deferred", {});
}

Status PgSession::QueueDivergence(const Divergence& divergence) {
  const std::string seq = BigEndian(divergence.seq.value);
  const std::string position = divergence.position.Encode();
  const Parameter parameters[] = {{kTextOid, options_.migration}, {kInt8Oid, seq},
                                  {kByteaOid, position},          {kTextOid, divergence.table},
                                  {kTextOid, divergence.kind},    {kTextOid, divergence.key},
                                  {kTextOid, divergence.before},  {kTextOid, divergence.after},
                                  {kTextOid, divergence.action},  {kTextOid, divergence.reason}};
  return writer_.QueueDefined("divergence", parameters);
}

Result<CommitResult> PgSession::Check(const std::vector<uint64_t>& affected, bool began,
                                      const std::vector<Step>& steps) {
  if (began && (affected.size() <= progress_statement_ || affected[progress_statement_] != 1)) {
    CROSSFADE_TRY(Rollback());
    return Superseded();
  }
  if (began) {
    transaction_ = static_cast<uint32_t>(std::strtoul(connection_->PipelineReturned().c_str(), nullptr, 10));
  }
  std::vector<uint64_t> touched(steps.size(), 0);
  const std::vector<size_t>& owners = writer_.owners();
  for (size_t i = 0; i < owners.size() && i < affected.size(); ++i) {
    if (owners[i] < steps.size()) {
      touched[owners[i]] += affected[i];
    }
  }
  CommitResult result;
  for (size_t i = 0; i < steps.size(); ++i) {
    const StepKind kind = steps[i].kind;
    const bool strict = kind == StepKind::kInsert || kind == StepKind::kUpdate || kind == StepKind::kDelete;
    if (strict && touched[i] != steps[i].rows.size()) {
      result.wrong_steps.push_back(i);
    }
  }
  if (!result.wrong_steps.empty()) {
    CROSSFADE_TRY(Rollback());
    result.outcome = CommitResult::Outcome::kRejected;
    result.step = result.wrong_steps.front();
    result.affected = touched[result.step];
  }
  return result;
}

Result<CommitResult> PgSession::Failed(Error error, size_t statement) {
  if (error.error_class != ErrorClass::kReconnect && error.error_class != ErrorClass::kInDoubt) {
    CROSSFADE_TRY(Rollback());
  }
  open_ = false;
  const std::vector<size_t>& owners = writer_.owners();
  const size_t step = statement < owners.size() ? owners[statement] : writer_.refused_step();
  if (error.server_code == "42501" && step == StepWriter::kRoleSwitch) {
    return Fail(NoRight(std::move(error)));
  }
  if (step >= StepWriter::kRoleSwitch || !RefusesRow(error)) {
    return Fail(std::move(error));
  }
  CommitResult result;
  result.outcome = CommitResult::Outcome::kRejected;
  result.step = step;
  result.error = std::move(error);
  return result;
}

Error PgSession::NoRight(Error error) const {
  error.error_class = ErrorClass::kConfig;
  error.code = "CF1570";
  error.component = kComponent;
  error.message =
      "changes made with foreign_key_checks = 0, or a TRUNCATE, must be applied without the target's "
      "foreign key actions: " +
      error.message;
  error.object = options_.connection.user;
  error.found = "no right to set session_replication_role";
  error.fix = fmt::format("GRANT SET ON PARAMETER session_replication_role TO {}",
                          Connection::Identifier(options_.connection.user));
  return error;
}

Result<CommitResult> PgSession::CommitNow(size_t steps) {
  CROSSFADE_FAILPOINT("apply.commit.before");
  auto committed = connection_->Execute("COMMIT");
  CommitResult result;
  if (committed) {
    CROSSFADE_FAILPOINT("apply.commit.after");
    open_ = false;
    result.durable = durable_;
    result.transaction = transaction_;
    if (durable_) {
      durable_at_ = std::chrono::steady_clock::now();
    }
    GiveBack();
    return result;
  }
  open_ = false;
  if (!RefusesRow(committed.error())) {
    return Fail(std::move(committed).error());
  }
  result.outcome = CommitResult::Outcome::kRejected;
  result.step = steps;
  result.error = std::move(committed).error();
  return result;
}

Status PgSession::Rollback() {
  if (open_) {
    open_ = false;
    CROSSFADE_TRY(connection_->Execute("ROLLBACK"));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ApplySession>> OpenPgSession(const PgSessionOptions& options) {
  CROSSFADE_ASSIGN(auto connection, Connection::Open(options.connection));
  auto session = std::make_unique<PgSession>(std::move(connection), options);
  CROSSFADE_TRY(session->Open());
  return session;
}

std::string EncodeAbove(const std::vector<Progress::Applied>& above) {
  std::string out;
  ByteWriter writer(&out);
  writer.U8(kAboveVersion);
  writer.Varint(above.size());
  for (const Progress::Applied& applied : above) {
    writer.Varint(applied.seq.value);
    writer.String(applied.position.Encode());
  }
  return out;
}

Result<std::vector<Progress::Applied>> DecodeAbove(std::string_view bytes) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  const uint64_t count = reader.Varint();
  std::vector<Progress::Applied> above;
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    Progress::Applied applied;
    applied.seq.value = reader.Varint();
    CROSSFADE_ASSIGN(applied.position, Position::Decode(reader.String()));
    above.push_back(std::move(applied));
  }
  if (!reader.ok() || !reader.at_end() || version != kAboveVersion) {
    return Fail(Error{ErrorClass::kCorrupt, "CF1573", std::string(kComponent),
                      "the target's list of applied transactions cannot be read", "", "crossfade.progress",
                      fmt::format("version {}, {} bytes", version, bytes.size()), ""});
  }
  return above;
}

}  // namespace crossfade::apply
