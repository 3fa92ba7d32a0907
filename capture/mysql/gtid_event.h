// Events that name a transaction, or all that came before a log file. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capture/mysql/event.h"
#include "core/error.h"

namespace crossfade::capture {

// MariaDB: every group begins with one.
struct MariaDbGroup {
  uint32_t domain = 0;
  uint32_t server = 0;
  uint64_t sequence = 0;
  uint8_t flags = 0;
  uint8_t more_flags = 0;

  // One event alone: DDL, or the second half of XA. Otherwise the group ends with a commit, rollback or prepare.
  bool standalone() const { return (flags & 0x01) != 0; }
  bool ddl() const { return (flags & 0x20) != 0; }
  bool prepared_xa() const { return (flags & 0x40) != 0; }
  bool completed_xa() const { return (flags & 0x80) != 0; }
  // The beginning of a long ALTER TABLE, or the end of one that failed: nothing has changed by it. Its success is
  // another group with the same statement.
  bool alters_nothing() const { return (more_flags & 0x02) != 0 || (more_flags & 0x08) != 0; }
};
Result<MariaDbGroup> ParseMariaDbGtid(const EventHeader& header, std::string_view body);

// MySQL: GTID, tagged GTID and anonymous GTID.
struct MySqlGtid {
  std::string sid;  // "uuid" or "uuid:tag"; empty if anonymous
  uint64_t number = 0;
  int64_t commit_time_us = 0;      // immediate; 0 if the server did not say
  uint64_t transaction_bytes = 0;  // in the log, this event included; 0 if the server did not say
};
Result<MySqlGtid> ParseMySqlGtid(EventType type, std::string_view body);

// The set of all transactions before a file, as text. MySQL's PREVIOUS_GTIDS, in both encodings.
Result<std::string> ParsePreviousGtids(std::string_view body);
// MariaDB's GTID_LIST: the state by domain, as text: the last GTID of each domain.
Result<std::string> ParseGtidList(std::string_view body);

// 16 bytes to the usual text, lower case.
std::string FormatUuid(std::string_view bytes);

}  // namespace crossfade::capture
