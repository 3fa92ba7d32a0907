#include "capture/postgres/slot_check.h"

#include <algorithm>
#include <utility>

#include "db/postgres/position.h"
#include "db/postgres/slot.h"

namespace crossfade::capture {

namespace {

using postgres::FormatLsn;

constexpr std::string_view kComponent = "capture.postgres";
constexpr std::string_view kCopyAnew = "'crossfade abort', then copy anew";

tl::unexpected<Error> Refused(ErrorClass error_class, std::string_view code, std::string object, std::string message,
                              std::string found, std::string fix) {
  auto error = MakeError(error_class, code, kComponent, "{}", message);
  error.value().object = std::move(object);
  error.value().found = std::move(found);
  error.value().fix = std::move(fix);
  return error;
}

tl::unexpected<Error> Lost(const Position& from, std::string found) {
  return Refused(ErrorClass::kCorrupt, "CF1204", from.ToString(),
                 fmt::format("the server has lost what was read from it before: {}", found), found,
                 "these transactions are on the target and no longer on the source: verify and repair, or copy anew");
}

tl::unexpected<Error> Gone(std::string object, std::string message, std::string found) {
  return Refused(ErrorClass::kConfig, "CF1203", std::move(object), std::move(message), std::move(found),
                 std::string(kCopyAnew));
}

}  // namespace

Status CheckServer(postgres::ReplicationConnection* log, const postgres::SystemIdentity& identity,
                   const Position& from) {
  if (from.offset == 0 || !from.set.empty()) {
    return Refused(ErrorClass::kConfig, "CF1201", "the position", "the log can only be read from a place in it",
                   from.ToString(), std::string(kCopyAnew));
  }
  CROSSFADE_ASSIGN(const postgres::ServerName before, postgres::ServerName::Parse(from.server));
  const postgres::ServerName& now = identity.server;
  if (before.system != now.system) {
    return Refused(ErrorClass::kConfig, "CF1201", "the position", "a log can only be followed on its own cluster",
                   fmt::format("this is {}, the position is of {}", now.ToString(), before.ToString()),
                   "connect to that cluster, or copy anew");
  }
  if (now.timeline < before.timeline) {
    return Lost(from, fmt::format("it is on timeline {}, the position is on {}", now.timeline, before.timeline));
  }
  if (now.timeline > before.timeline) {
    CROSSFADE_ASSIGN(const auto left, log->LeftTimelineAt(before.timeline, now.timeline));
    if (!left || *left < from.offset) {
      return Lost(from, left ? fmt::format("timeline {} was left at {}", before.timeline, FormatLsn(*left))
                             : fmt::format("timeline {} never was its own", before.timeline));
    }
  }
  return identity.flushed < from.offset ? Lost(from, fmt::format("its log ends at {}", FormatLsn(identity.flushed)))
                                        : Status();
}

Result<uint64_t> CheckSlot(postgres::Connection* connection, const std::string& slot, const Position& from) {
  CROSSFADE_ASSIGN(const auto found, postgres::ReadSlot(connection, slot));
  const std::string object = "slot " + slot;
  if (!found) {
    return Gone(object, "the slot that kept the log for us is not there any more", "no such slot");
  }
  CROSSFADE_ASSIGN(const auto database, connection->Scalar("SELECT current_database()"));
  if (found->plugin != "pgoutput" || found->database != database || found->two_phase) {
    return Refused(ErrorClass::kConfig, "CF1201", object, "this slot was not made for this migration",
                   fmt::format("plugin '{}', database '{}'{}", found->plugin, found->database,
                               found->two_phase ? ", two_phase" : ""),
                   std::string(kCopyAnew));
  }
  if (!found->lost.empty()) {
    return Gone(object, "the server has given up the slot that kept the log for us (max_slot_wal_keep_size)",
                found->lost);
  }
  if (found->confirmed > from.offset) {
    return Gone(object, fmt::format("the slot does not go back to {}", from.ToString()),
                fmt::format("confirmed up to {}", FormatLsn(found->confirmed)));
  }
  return found->confirmed;
}

Status CheckPublication(postgres::Connection* connection, const std::string& publication, const std::string& schema,
                        const std::vector<std::string>& tables) {
  CROSSFADE_ASSIGN(const auto found, postgres::ReadPublication(connection, publication, schema, tables));
  const std::string object = "publication " + publication;
  if (!found) {
    return Gone(object, "the publication is not there any more: changes made without it are not in the stream",
                "no such publication");
  }
  if (!found->missing.empty() || !found->wrong.empty()) {
    const std::string what =
        found->missing.empty() ? found->wrong : fmt::format("it lacks {}.{}", schema, found->missing.front());
    return Gone(object,
                "the publication leaves out what is captured: such changes are not in the stream; a table that "
                "was renamed can be given its name back",
                what);
  }
  return {};
}

}  // namespace crossfade::capture
