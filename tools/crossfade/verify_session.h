// What every comparison of a migration begins with: its lock, the journal beside a running process, routes, both sides.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apply/route.h"
#include "core/error.h"
#include "core/position.h"
#include "core/schema.h"
#include "snapshot/plan.h"
#include "snapshot/reader.h"
#include "state/journal.h"
#include "tools/crossfade/config.h"
#include "tools/crossfade/scratch.h"
#include "tools/crossfade/source_engine.h"
#include "verify/sides.h"

namespace crossfade::tools {

// One comparison of a migration at a time: they would share RocksDB's notes, and the load. Config CF1780 if there is
// another, CF1781 if the file cannot be opened.
class VerifyLock {
 public:
  static Result<VerifyLock> Take(const std::string& state_dir);
  VerifyLock(VerifyLock&& other) noexcept;
  VerifyLock(const VerifyLock&) = delete;
  VerifyLock& operator=(const VerifyLock&) = delete;
  ~VerifyLock();

 private:
  explicit VerifyLock(int fd) : fd_(fd) {}
  int fd_;
};

// For one thread, but for OpenSides.
class VerifySession {
 public:
  // Config CF1782 while the copy is not complete, CF1783 if the target follows another journal. `config` must outlive
  // it.
  static Result<std::unique_ptr<VerifySession>> Open(const Config& config);
  // The same without the lock, for what reads little: another comparison may be under way.
  static Result<std::unique_ptr<VerifySession>> OpenBeside(const Config& config);

  const Config& config() const { return config_; }
  state::Journal* journal() { return journal_.get(); }
  const apply::RouteSet& routes() const { return routes_; }
  SourceEngine* source() { return source_.get(); }
  const PositionOrder& order() const { return *order_; }

  // How the tables are cut for a pass over all of them.
  Result<snapshot::CopyPlan> Plan();
  // Connects to both sides. Thread-safe.
  Result<verify::Sides> OpenSides() const;

 private:
  VerifySession(const Config& config, std::optional<VerifyLock> lock)
      : config_(config), lock_(std::move(lock)), scratch_(config.state_dir) {}
  Status Load();

  const Config& config_;
  std::optional<VerifyLock> lock_;
  Scratch scratch_;
  std::unique_ptr<state::Journal> journal_;
  apply::RouteSet routes_;
  std::unique_ptr<SourceEngine> source_;
  std::unique_ptr<PositionOrder> order_;
  std::unique_ptr<snapshot::SnapshotSource> snapshots_;
};

}  // namespace crossfade::tools
