// Notes of the pass that is under way, in the state directory: verify/pass.jsonl, and verify/sums-TABLE-CHUNK for each
// piece that is compared page by page.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "core/error.h"
#include "snapshot/plan.h"
#include "verify/pass_notes.h"

namespace crossfade::tools {

// A pass that was interrupted, and can be gone on with.
struct InterruptedPass {
  snapshot::CopyPlan plan;
  verify::PassSoFar so_far;
};

// One process at a time, as VerifyLock sees to it. One thread at a time.
class PassFile final : public verify::PassNotes {
 public:
  // What has a pass of the same `identity` left, if it began not longer than `max_age` ago? A last line that was torn
  // is as good as none.
  static std::optional<InterruptedPass> Load(const std::string& state_dir, const std::string& identity,
                                             std::chrono::seconds max_age);
  // For the pass that Load has found, or for a new one, of which nothing is kept before Begin. Config CF1784 if the
  // file cannot be written.
  static Result<std::unique_ptr<PassFile>> GoOn(const std::string& state_dir);
  static Result<std::unique_ptr<PassFile>> BeginNew(const std::string& state_dir, const std::string& identity,
                                                    const snapshot::CopyPlan& plan);
  // The pass has come to its end.
  static Status Remove(const std::string& state_dir);

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
  PassFile(const std::string& state_dir, std::string path, int fd)
      : state_dir_(state_dir), path_(std::move(path)), fd_(fd) {}
  Status Append(const std::string& line);

  const std::string state_dir_;
  const std::string path_;
  const int fd_;
  std::string identity_;
  std::string plan_;
  std::chrono::steady_clock::time_point synced_{};
};

}  // namespace crossfade::tools
