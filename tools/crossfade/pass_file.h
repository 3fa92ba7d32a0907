// Notes of the pass that is under way, in the state directory: verify/pass.jsonl, and verify/pass-sums-TABLE-CHUNK for
// each piece that is compared page by page; of a continuous comparison's pass "background" instead of "pass".
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "apply/route.h"
#include "core/error.h"
#include "snapshot/plan.h"
#include "tools/crossfade/config.h"
#include "verify/pass_notes.h"

namespace crossfade::tools {

// The command's pass, or that of a continuous comparison.
enum class PassKind : uint8_t { kCommand, kBackground };

// What must be the same for a pass to go on: both sides, what is compared, and how it is read.
std::string PassIdentity(const Config& config, const std::string& journal_id, const apply::RouteSet& routes);

// A pass that is older says too little about today.
inline constexpr std::chrono::hours kMaxAgeOfInterrupted{24};

// A pass that was interrupted, and can be gone on with.
struct InterruptedPass {
  snapshot::CopyPlan plan;
  verify::PassSoFar so_far;
};

// One process at a time, as VerifyLock sees to it. One thread at a time.
class PassFile final : public verify::PassNotes {
 public:
  // What has a pass of the same `identity` left, if it began not longer than kMaxAgeOfInterrupted ago? A last line that
  // was torn is as good as none.
  static std::optional<InterruptedPass> Load(const std::string& state_dir, PassKind kind, const std::string& identity);
  // For the pass that Load has found, or for a new one, of which nothing is kept before Begin. Config CF1784 if the
  // file cannot be written.
  static Result<std::unique_ptr<PassFile>> GoOn(const std::string& state_dir, PassKind kind);
  static Result<std::unique_ptr<PassFile>> BeginNew(const std::string& state_dir, PassKind kind,
                                                    const std::string& identity, const snapshot::CopyPlan& plan);
  // The pass has come to its end.
  static Status Remove(const std::string& state_dir, PassKind kind);

  PassFile(const PassFile&) = delete;
  ~PassFile() override;
  Status Begin(const Position& from, int64_t began_us, Seq followed) override;
  Status PageDone(const verify::PieceId& piece, const verify::PagePlace& place,
                  const verify::TableOutcome& part) override;
  Status KeepSums(const verify::PieceId& piece, std::string_view sums) override;
  Status PieceDone(const verify::PieceId& piece, const verify::TableOutcome& part) override;
  Status Followed(Seq followed, std::string_view moved, const std::set<uint32_t>& settled) override;
  Status Anew(uint32_t table) override;

 private:
  PassFile(const std::string& state_dir, PassKind kind, std::string path, int fd)
      : state_dir_(state_dir), kind_(kind), path_(std::move(path)), fd_(fd) {}
  Status Append(const std::string& line);

  const std::string state_dir_;
  const PassKind kind_;
  const std::string path_;
  const int fd_;
  std::string identity_;
  std::string plan_;
  std::chrono::steady_clock::time_point synced_{};
};

}  // namespace crossfade::tools
