#include "capture/mysql/log_mark.h"

#include <algorithm>

#include "capture/mysql/dump_request.h"
#include "capture/mysql/event.h"

namespace crossfade::capture {

namespace {

constexpr std::string_view kComponent = "capture.mysql";
constexpr std::chrono::seconds kAnswersWithin{30};
// A made-up rotation comes before the file's first event, perhaps a heartbeat.
constexpr int kPacketsBefore = 8;

}  // namespace

Result<std::optional<int64_t>> ReadLogBegin(mysql::Connection& connection, const std::string& file) {
  CROSSFADE_TRY(connection.Execute("SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'"));
  CROSSFADE_TRY(connection.SendCommand(kBinlogDump, DumpByFile(file, kFirstOffset, RandomServerId())));
  const Deadline deadline = After(kAnswersWithin);
  for (int i = 0; i < kPacketsBefore; ++i) {
    CROSSFADE_ASSIGN(const bool readable, connection.WaitReadable(deadline));
    if (!readable) {
      return MakeError(ErrorClass::kReconnect, "CF1206", kComponent, "the server does not say when {} was begun", file);
    }
    CROSSFADE_ASSIGN(const std::string_view packet, connection.ReadPacket());
    if (packet.empty() || packet[0] != 0) {
      return std::optional<int64_t>();
    }
    CROSSFADE_ASSIGN(const RawEvent event, ParseEvent(packet.substr(1), ChecksumMode::kNone));
    if (event.header.type == EventType::kFormatDescription) {
      return std::optional<int64_t>(event.header.timestamp);
    }
  }
  return std::optional<int64_t>();
}

Status CheckLogMark(mysql::Connection& connection, const Position& from, const std::vector<LogMark>& known) {
  const auto mark = std::find_if(known.begin(), known.end(), [&](const LogMark& one) {
    return one.server == from.server && one.file == from.file && one.server == connection.server().identity;
  });
  if (mark == known.end()) {
    return {};
  }
  const auto begun = ReadLogBegin(connection, from.file);
  if (!begun) {
    // A server that has no such file says so as an error: what is purged can no longer be asked.
    return begun.error().error_class == ErrorClass::kReconnect ? Fail(begun.error()) : Status();
  }
  if (!*begun || **begun == mark->begun_s) {
    return {};
  }
  Error error;
  error.error_class = ErrorClass::kCorrupt;
  error.code = "CF1204";
  error.component = kComponent;
  error.message = fmt::format(
      "the server has lost transactions that were read from it before: its log {} is another one of that name, begun "
      "{} s {}",
      from.file, std::abs(**begun - mark->begun_s), **begun < mark->begun_s ? "earlier" : "later");
  error.object = from.ToString();
  error.found = fmt::format("begun at {}, not at {}", **begun, mark->begun_s);
  error.fix =
      "an older copy of the server was put back: some transactions are on the target and no longer on the source: "
      "verify and repair, or copy anew";
  return Fail(std::move(error));
}

Status CheckSameServer(mysql::Connection& connection, const Position& from, const std::vector<LogMark>& known) {
  const std::string identity = connection.server().identity;
  const auto mark =
      std::find_if(known.rbegin(), known.rend(), [&](const LogMark& one) { return one.server == identity; });
  if (from.server == identity || mark == known.rend()) {
    return {};
  }
  const auto begun = ReadLogBegin(connection, mark->file);
  if (!begun && begun.error().message.find("Could not find first log file") == std::string::npos) {
    return Fail(begun.error());
  }
  if (begun && !*begun) {
    return MakeError(ErrorClass::kReconnect, "CF1206", kComponent, "the server does not say when {} was begun",
                     mark->file);
  }
  const std::optional<int64_t> now = begun ? *begun : std::nullopt;
  if (now == mark->begun_s) {
    return {};
  }
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = "CF1216";
  error.component = kComponent;
  error.message = fmt::format(
      "the copy remembers places in the log of {}, and this is another server of that name, or one whose log was "
      "purged or reset since: its places would be taken for the old ones",
      identity);
  error.object = mark->file;
  error.found = now ? fmt::format("begun at {}, not at {}", *now, mark->begun_s) : "not there";
  error.fix = fmt::format(
      "connect to {} until 'crossfade status' says following, then to this server; or 'crossfade abort', and copy anew",
      from.server);
  return Fail(std::move(error));
}

}  // namespace crossfade::capture
