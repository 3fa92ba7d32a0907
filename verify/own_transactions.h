// Which of the target's transactions are ours: kept by the process that applies, asked by the one that compares.
//
// Numbers of the target's transactions go round at 32 bits and are kept as distances, in blocks of the journal's
// records (own.head, own.0 and so on; 16 MiB at most, the oldest go first). Where one of ours may be missing, a gap is
// kept: of numbers within it nothing is said.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "state/journal.h"

namespace crossfade::verify {

// One thread. Between Note and Keep what was noted is in memory only; a process that ends without Close leaves a gap.
class OwnTransactions {
 public:
  // `block_bytes` and `blocks` are for tests. The journal must outlive it.
  explicit OwnTransactions(state::Journal* journal, size_t block_bytes = 4096, uint64_t blocks = 4096)
      : journal_(journal), block_bytes_(block_bytes), blocks_(blocks) {}

  // Goes on behind what an earlier process has kept. From here to Close the head says that the end is not known.
  // `last_on_target`: our last transaction there; without a gap only if it is the one that was kept last. A state
  // directory that was put back does not know of later ones.
  Status Open(std::optional<uint32_t> last_on_target);
  // A transaction that has committed. All of ours since the last one were noted, or Gap was called.
  Status Note(uint32_t transaction);
  // Some that may be ours are not known.
  void Gap() { gap_ = true; }
  // Makes durable what was noted, at most once a second unless `now`.
  Status Keep(bool now);
  // As Keep; and who opens it next goes on without a gap.
  Status Close();

 private:
  // What was kept is of no use: of a target that was put back, whose numbers are lower.
  Status BeginAnew();
  Status NextBlock();
  Status KeepHead(bool ended) const;

  state::Journal* journal_;
  const size_t block_bytes_;
  const uint64_t blocks_;
  uint64_t first_ = 0;    // blocks that are kept: [first_, current_]
  uint64_t current_ = 0;  // the one that is being filled
  std::string block_;
  bool some_ = false;  // last_ says something
  uint32_t last_ = 0;
  bool gap_ = true;
  bool changed_ = false;
  Deadline keep_at_{};
};

// Those that are certainly not ours: among transactions of ours before and behind them nothing is missing.
Result<std::set<uint32_t>> NotOurs(state::Journal* journal, const std::vector<uint32_t>& transactions);

}  // namespace crossfade::verify
