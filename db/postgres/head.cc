#include "db/postgres/head.h"

#include <charconv>

#include "db/postgres/error.h"

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";

tl::unexpected<Error> Garbled(std::string_view what, const std::string& text) {
  return MakeError(ErrorClass::kCorrupt, "CF1406", kComponent, "the server's {} cannot be read: '{}'", what, text);
}

// In a transaction of its own, whose commit takes all of the log before it to the disk.
Result<std::optional<std::string>> EmitMessage(Connection* connection) {
  CROSSFADE_TRY(connection->Execute("BEGIN READ WRITE; SET LOCAL synchronous_commit = local"));
  auto lsn = connection->Scalar("SELECT pg_catalog.pg_logical_emit_message(true, 'crossfade', 'head')");
  auto ended = connection->Execute(lsn ? "COMMIT" : "ROLLBACK");
  if (!ended && ended.error().error_class == ErrorClass::kInDoubt) {
    ended.error().error_class = ErrorClass::kReconnect;  // whether the message is there makes no difference
    ended.error().code = CodeOfClass(ErrorClass::kReconnect);
  }
  CROSSFADE_TRY(ended);
  return lsn;
}

}  // namespace

// The name of the log's file tells the timeline; the control file lags behind a promotion.
Result<ServerName> ReadServerName(Connection* connection) {
  CROSSFADE_ASSIGN(
      const ResultSet found,
      connection->Execute("SELECT system_identifier, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
                          " FROM pg_catalog.pg_control_system()"));
  const std::string timeline = found.rows.empty() ? "" : found.rows[0][1].value_or("");
  ServerName server;
  constexpr int kHex = 16;
  const auto [end, failed] = std::from_chars(timeline.data(), timeline.data() + timeline.size(), server.timeline, kHex);
  if (failed != std::errc()) {
    return Garbled("timeline", timeline);
  }
  server.system = found.rows[0][0].value_or("");
  return server;
}

Result<Position> ReadHead(Connection* connection) {
  CROSSFADE_ASSIGN(const ServerName server, ReadServerName(connection));
  CROSSFADE_ASSIGN(const auto lsn, EmitMessage(connection));
  Position head;
  head.server = server.ToString();
  CROSSFADE_ASSIGN(head.offset, ParseLsn(lsn.value_or("")));
  return head;
}

Result<uint64_t> ReadNextXid(Connection* connection) {
  CROSSFADE_ASSIGN(const auto text, connection->Scalar("SELECT pg_catalog.pg_current_snapshot()"));
  CROSSFADE_ASSIGN(const Snapshot snapshot, Snapshot::Parse(text.value_or("")));
  return snapshot.xmax();
}

}  // namespace crossfade::postgres
