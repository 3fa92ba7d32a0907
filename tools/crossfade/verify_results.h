// What comparisons have found, kept in the state directory for reports and for whoever asks later.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "verify/verifier.h"

namespace crossfade::tools {

// The folder of the state directory for what comparisons keep; mode 0700, as it holds rows.
inline constexpr const char* kVerifyFolder = "verify";

// Config CF1784.
tl::unexpected<Error> CannotKeep(const std::string& path, int reason);
// Replaces a file as a whole: a reader sees the old bytes or the new ones, also after a loss of power. Config CF1784.
Status ReplaceFile(const std::string& path, std::string_view bytes);
Status MakeVerifyFolder(const std::string& state_dir);

// The last pass's result as JSON (verify/last.json), and one line of JSON for each pass that came to its end
// (verify/passes.jsonl). One process at a time, as VerifyLock sees to it.
class VerifyResults {
 public:
  explicit VerifyResults(const std::string& state_dir) : state_dir_(state_dir) {}

  std::string LastPath() const;
  std::string PassesPath() const;
  // Durable when it returns; a pass that is kept twice has one line. Config CF1784 if it cannot be written.
  Status Keep(const verify::Outcome& outcome) const;

 private:
  Status AppendPass(const verify::Outcome& outcome) const;

  const std::string state_dir_;
};

}  // namespace crossfade::tools
