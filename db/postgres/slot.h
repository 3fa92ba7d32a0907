// The slot and the publication that a migration has on its PostgreSQL source. Found by name; each call can be repeated.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "db/postgres/connection.h"

namespace crossfade::postgres {

// The name of both: "crossfade_<migration>" in [a-z0-9_]. Where that changed or cut the migration's name, a hash of it
// stands at the end, so that two migrations never share one.
std::string ReplicationName(std::string_view migration);

struct SlotState {
  std::string plugin;  // empty: not a logical one
  std::string database;
  bool temporary = false;
  bool two_phase = false;
  int64_t active_pid = 0;   // of the process that reads it; 0: nobody does
  uint64_t confirmed = 0;   // its stream begins here; nothing before can be had
  uint64_t held_bytes = 0;  // of the log, kept for it
  int64_t safe_bytes = -1;  // that can still be written before it is lost; -1: no limit
  std::string wal_status;   // "reserved", "extended", "unreserved", "lost"
  std::string lost;         // why it can never be read again; empty: it can
};

// What an operator must know about the log that the server keeps for the slot: that it is lost, that the next
// checkpoint may lose it, or that three quarters of what max_slot_wal_keep_size allows are held. Empty: nothing.
std::string SlotWarning(const std::string& name, const SlotState& slot);

// None: there is no such slot.
Result<std::optional<SlotState>> ReadSlot(Connection* connection, const std::string& name);

// The slot, made if it is not there, and where its stream begins. A publication must be there before: changes that were
// made without one can never be read. Config CF1910 if the name is another one's: of another database or plugin.
// Transient CF1911 when transactions that write, or prepared ones, have not ended within `limit` (hazard M13).
Result<uint64_t> EnsureSlot(Connection* connection, const std::string& name, std::chrono::milliseconds limit);
// Transient CF1403 (55006) while somebody reads it.
Status DropSlot(Connection* connection, const std::string& name);

struct PublicationState {
  std::vector<std::string> missing;     // tables of ours that it does not publish, or not all rows and columns of
  std::vector<std::string> additional;  // "schema.table" that it publishes as well
  std::string wrong;                    // another setting that is not as EnsurePublication makes it; empty: none
  bool complete() const { return missing.empty() && additional.empty() && wrong.empty(); }
};

// None: there is no such publication.
Result<std::optional<PublicationState>> ReadPublication(Connection* connection, const std::string& name,
                                                        const std::string& schema,
                                                        const std::vector<std::string>& tables);
// Publishes exactly these tables, all changes of them, partitions as their root. Never ALL TABLES, which takes a table
// without a key away from its application (hazard M12). Config CF1912 if the name is one of ALL TABLES.
// Whoever publishes more than before begins to see rows of it from here on only.
Status EnsurePublication(Connection* connection, const std::string& name, const std::string& schema,
                         const std::vector<std::string>& tables);
Status DropPublication(Connection* connection, const std::string& name);

}  // namespace crossfade::postgres
