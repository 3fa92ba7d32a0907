// Gathers what a report says: from the state directory, the journal, the target and the source, as far as each is
// there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "tools/crossfade/config.h"
#include "tools/crossfade/report/report_data.h"

namespace crossfade::tools {

// Changes nothing anywhere. What cannot be read is named in `unread`. Config CF1811 when neither the state directory
// nor the target knows the migration.
Result<ReportData> GatherReport(const Config& config, bool alive);

// The files that `crossfade verify` leaves. Nothing when there is none; a Transient error CF1814 for one that is
// damaged.
Result<std::optional<ReportVerification>> ReadVerification(const std::string& state_dir);
Result<std::vector<ReportPass>> ReadPasses(const std::string& state_dir, size_t most);

// All actions, as far as memory allows, and what does not fit: among the records, and with what the target knows, if
// that is to be asked.
Result<ReportAudit> ReadAuditOf(const Config& config, bool target_read);

}  // namespace crossfade::tools
