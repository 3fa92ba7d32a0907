// A pass over all tables of a migration: every row of both sides is compared, while data moves.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "apply/route.h"
#include "core/error.h"
#include "core/position.h"
#include "snapshot/limits.h"
#include "snapshot/plan.h"
#include "state/journal.h"
#include "verify/moved.h"
#include "verify/outcome.h"
#include "verify/page_compare.h"
#include "verify/pass_notes.h"
#include "verify/range_compare.h"
#include "verify/recheck.h"
#include "verify/shown.h"
#include "verify/sides.h"
#include "verify/writers.h"

namespace crossfade::verify {

struct VerifyOptions {
  uint32_t readers = 2;              // chunks compared at the same time: as many connections on each side
  uint64_t max_shown = 1000;         // differences of a table that are kept with both images, as far as memory allows
  std::chrono::seconds outage{120};  // a side that is away for longer ends the pass
  // Asked before each chunk too: what waits there holds no snapshot. None: not asked.
  snapshot::CopyLimits* between = nullptr;
  RangeLimits range;
  // Tables that cannot be cut are compared page by page if they have more rows than this, by the server's estimate.
  uint64_t paged_from_rows = 100'000;
  PageLimits page;
  RecheckOptions recheck;
  TouchedLimits moved{200'000, 32 << 20};  // rows whose key changed meanwhile, to look at again in the end
  std::vector<Landmark> landmarks;         // older than the pass, oldest first; another is taken when it begins
  // Told of each difference, by one thread at a time. The table lives as long as the Verifier.
  std::function<Status(const ComparedTable&, const Difference&)> on_difference;
  // Told what was decided, some keys at a time, by the threads that compare, and before it is noted; `more`:
  // RangeResult's.
  std::function<Status(const ComparedTable&, const Decision&, uint64_t more)> decided;
};

// How far a pass is.
struct PassProgress {
  uint64_t rows = 0;       // read of the source; with those of earlier processes
  uint64_t estimated = 0;  // never less than what was read
  size_t chunks_done = 0;
  size_t chunks = 0;
  size_t tables_done = 0;
  size_t tables = 0;
  uint64_t differences = 0;
  uint64_t undecided = 0;
};

// One use. Everything given must outlive it.
class Verifier {
 public:
  using OpenSides = std::function<Result<Sides>()>;  // thread-safe

  Verifier(const snapshot::CopyPlan* plan, const apply::RouteSet* routes, state::Journal* journal,
           const PositionOrder* order, snapshot::CopyLimits* pressure, OpenSides open, const VerifyOptions& options);
  ~Verifier();

  // Before Run: what is done is noted there.
  void NoteIn(PassNotes* notes) { notes_ = notes; }
  // Before Run: goes on with a pass that has the same plan.
  void GoOnWith(PassSoFar so_far) { so_far_ = std::move(so_far); }
  // Transient CF1801 when stopped; else the first error that a new connection does not mend.
  Result<Outcome> Run(const std::stop_token& stop);

  // In the plan's order; after Run, and as long as it lives.
  std::vector<const ComparedTable*> tables() const;

  // From any thread, meanwhile.
  PassProgress progress() const;

 private:
  struct Piece {
    PieceId id;
    ChunkRange range;
    std::unique_ptr<PagedComparison> pages;  // none: in one read
  };
  Piece MakePiece(const PieceId& id);
  Status Begin(const Sides& first);
  // Looks through the journal for rows that moved since the pass began, or since it was interrupted.
  Status BeginFollowing(Seq applied);
  void Follow(const std::stop_token& stop);
  Status FollowOnce(const std::stop_token& stop);
  void BeginTableAnew(uint32_t table);
  // Looks again at the rows that moved: those are known when all pieces are done.
  Status CheckMoved(const Sides& sides, const std::stop_token& stop);
  std::vector<Candidate> NotNamedYet(uint32_t table, std::vector<std::string> keys) const;
  Status CompareAll(const std::stop_token& stop);
  std::optional<Piece> Next();
  void Work(const std::stop_token& stop);
  Status WithRetry(const std::function<Status(const Sides&)>& compare, Sides* sides, const std::stop_token& stop);
  Status Compare(const Piece& piece, const Sides& sides, const std::stop_token& stop);
  // All that is left of its pages.
  Status ComparePages(const Piece& piece, const Sides& sides, const std::stop_token& stop);
  // Decides what a read has found, and notes it. `last`: the piece is done; else it is up to `place`.
  Status Decide(const Piece& piece, RangeResult range, bool last, const std::optional<PagePlace>& place,
                const Sides& sides, const std::stop_token& stop);
  // `told`: to be filled, if somebody wants to be told.
  Status RecheckAll(const ComparedTable& table, std::vector<Candidate> candidates, const Sides& sides,
                    const std::stop_token& stop, TableOutcome* part, std::vector<Difference>* told);
  Status RecheckSome(const ComparedTable& table, std::vector<std::string> keys, const Sides& sides,
                     const std::stop_token& stop, TableOutcome* part, std::vector<Difference>* told);
  ShownLimits ShownOfOne() const;
  void Count(const ComparedTable& table, const Difference& difference, TableOutcome* outcome) const;
  Result<Position> Applied(const Sides& sides, Seq* seq = nullptr);
  void Stick(const Error& error);

  const snapshot::CopyPlan* plan_;
  const apply::RouteSet* routes_;
  state::Journal* journal_;
  const PositionOrder* order_;
  snapshot::CopyLimits* pressure_;
  const OpenSides open_;
  const VerifyOptions options_;
  std::vector<Landmark> landmarks_;
  std::vector<std::unique_ptr<ComparedTable>> tables_;
  // Once the journal was waited for in vain it is not waited for that long again.
  std::atomic<bool> journal_stands_{false};
  std::atomic<uint64_t> rows_read_{0};
  std::mutex large_rows_;  // held by the one reader that looks at rows of many MiB
  PassNotes* notes_ = nullptr;
  std::optional<PassSoFar> so_far_;
  std::unique_ptr<ComparedTables> all_tables_;
  Deadline note_followed_{};
  std::unique_ptr<MovedRows> moved_;  // of the thread that follows; then of the one that runs

  mutable std::mutex mutex_;
  std::vector<Piece> pieces_;                       // mutex_; those that are left
  size_t next_ = 0;                                 // mutex_
  std::set<uint32_t> begun_;                        // mutex_; tables of which something was read
  std::set<uint32_t> settled_;                      // mutex_; what moves now is nothing to them
  std::map<const ComparedTable*, FieldSet> named_;  // mutex_; keys of rows that are counted already, the first ones
  Outcome outcome_;                                 // mutex_
  std::optional<Error> failed_;                     // mutex_
};

}  // namespace crossfade::verify
