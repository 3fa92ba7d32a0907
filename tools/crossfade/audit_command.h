// crossfade audit: what was done to a migration, and whether the log of it is whole. Each returns the exit code.
#pragma once

#include <cstdint>
#include <string>

namespace crossfade::tools {

struct AuditCommandOptions {
  std::string config;
  bool json = false;
  bool offline = false;
  uint64_t last = 0;  // records to list; 0: all
  std::string reason;
};

int AuditListCommand(const AuditCommandOptions& options);
// 0: whole; 6: not as it was written; 2: the target could not be asked.
int AuditVerifyCommand(const AuditCommandOptions& options);
int AuditExportCommand(const AuditCommandOptions& options);
int AuditBeginCommand(const AuditCommandOptions& options);

}  // namespace crossfade::tools
