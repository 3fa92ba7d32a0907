// Who did what to a migration, and when: the audit log in its state directory, with its head kept on the target.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "state/audit_log.h"
#include "tools/crossfade/config.h"

namespace crossfade::tools {

// Before an operator's action is done, and with its result afterwards: who (user, sudo), where (host, pid, command
// line), by what (program version, hash of the configuration), and `details`, which hold no secret and no row. On the
// disk when it returns; an action that cannot be recorded must not be done. The head is told to the target as well; if
// that fails it is warned of, and caught up with by the next record. The state directory must be there. Errors as
// state::AppendAudit. Any thread.
Status RecordAction(const Config& config, std::string_view action, const nlohmann::json& details);

// The same without telling the target: for many records, with TellHead behind the last.
Result<state::AuditHead> AppendAction(const Config& config, std::string_view action, const nlohmann::json& details);

// Begins the log anew behind `known`, and keeps the one that was there beside it (audit.jsonl.kept.<time>).
Result<state::AuditHead> BeginTrailAnew(const Config& config, const state::AuditHead& known, const std::string& reason);

// Tells the target the head. Corrupt CF1791, and nothing is changed there, if the log does not hold the record that the
// target knows. False: the target has no helper schema yet.
Result<bool> KeepHead(const Config& config);

// The same as far as it goes: a failure is warned of. Opens a connection and reads the whole log.
void TellHead(const Config& config);

// Whether a reading of the log, for which `known.seq` was wanted, holds the record that the target knows: Corrupt
// CF1791.
Status HoldsKnown(const Config& config, const state::AuditReading& log, const state::AuditHead& known);

// The last record of the log in the state directory; seq 0 if there is none.
Result<state::AuditHead> ReadHead(const Config& config);
// The head that the target knows.
Result<std::optional<state::AuditHead>> ReadHeadOnTarget(const Config& config);

}  // namespace crossfade::tools
