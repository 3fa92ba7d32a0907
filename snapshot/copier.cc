#include "snapshot/copier.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "snapshot/ledger.h"

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.copier";

tl::unexpected<Error> Stopped() {
  return MakeError(ErrorClass::kTransient, "CF1600", kComponent, "the copy was stopped");
}

// What a row takes, about: for progress only.
int64_t BytesOf(std::span<const Value> row) {
  size_t bytes = 0;
  for (const Value& value : row) {
    bytes += value.bytes.size() + (value.bytes.data() == nullptr ? 8 : 0);
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace

bool CopyResult::one_state() const {
  return std::all_of(marks.begin(), marks.end(),
                     [&](const ChunkMark& mark) { return mark.low == mark.high && mark.low == marks.front().low; });
}

// One thread's connections.
struct Worker {
  std::unique_ptr<Reader> reader;
  std::unique_ptr<apply::ChunkLoader> loader;
  uint64_t unadmitted = 0;  // rows read since the limits were asked
};

struct Copier::Run {
  const CopyPlan& plan;
  const apply::RouteSet& routes;
  SnapshotSource* source;
  apply::Target* target;
  CopyLimits* limits;
  CopyProgress* progress;
  CopyOptions options;

  std::optional<Position> state;  // of a consistent copy
  std::vector<Worker> workers;
  std::mutex swap;            // a worker's reader is replaced, or interrupted from another thread
  std::stop_source stopping;  // by the caller, or by the first error
  std::mutex mutex;
  std::optional<Error> first_error;  // mutex
  std::vector<ChunkMark> marks;      // mutex

  Result<CopyResult> Copy(const std::vector<ChunkMark>& done, const std::stop_token& stop);
  Result<std::vector<Unit>> Prepare(const std::vector<ChunkMark>& done);
  Status OpenWorkers(uint32_t count);
  void Work(Worker* worker, WorkQueue* queue);
  Status CopyUnit(Worker* worker, const Unit& unit);
  Result<Position> OpenExact(Worker* worker);
  Status CopyPiece(Worker* worker, const Piece& piece, const Reader::Window& window);
  Status Load(Worker* worker, const Piece& piece, ChunkMark* mark);
  void Fail(Error error);
};

Copier::Copier(const CopyPlan* plan, const apply::RouteSet* routes, SnapshotSource* source, apply::Target* target,
               CopyLimits* limits, CopyProgress* progress, const CopyOptions& options)
    : run_(new Run{*plan, *routes, source, target, limits, progress, options, {}, {}, {}, {}, {}, {}, {}}) {}
Copier::~Copier() = default;

Result<CopyResult> Copier::CopyConsistent(ConsistentReaders readers, const std::vector<ChunkMark>& done,
                                          const std::stop_token& stop) {
  run_->state = std::move(readers.position);
  for (auto& reader : readers.readers) {
    run_->workers.push_back({std::move(reader), nullptr, 0});
  }
  return run_->Copy(done, stop);
}

Result<CopyResult> Copier::CopyChunked(const std::vector<ChunkMark>& done, const std::stop_token& stop) {
  return run_->Copy(done, stop);
}

Result<CopyResult> Copier::Run::Copy(const std::vector<ChunkMark>& done, const std::stop_token& stop) {
  progress->Begin(plan);
  CROSSFADE_ASSIGN(std::vector<Unit> units, Prepare(done));
  const size_t wanted = state ? workers.size() : std::min<size_t>(options.readers, units.size());
  if (wanted == 0 && !units.empty()) {
    return MakeError(ErrorClass::kConfig, "CF1622", kComponent, "a copy needs at least one reader");
  }
  CROSSFADE_TRY(OpenWorkers(static_cast<uint32_t>(wanted)));

  WorkQueue queue(plan, std::move(units), options.parent_order);
  {
    const std::stop_callback interrupt(stopping.get_token(), [this] {
      const std::lock_guard lock(swap);
      for (const Worker& worker : workers) {
        worker.reader->Interrupt();
        worker.loader->Cancel();
      }
    });
    const std::stop_callback forward(stop, [this] { stopping.request_stop(); });
    std::vector<std::jthread> threads;
    for (Worker& worker : workers) {
      threads.emplace_back([this, &worker, &queue] { Work(&worker, &queue); });
    }
  }
  workers.clear();
  const std::lock_guard lock(mutex);
  if (first_error) {
    return crossfade::Fail(std::move(*first_error));
  }
  if (stop.stop_requested()) {
    return Stopped();
  }
  return CopyResult{std::move(marks), progress->totals()};
}

Result<std::vector<Unit>> Copier::Run::Prepare(const std::vector<ChunkMark>& done) {
  CROSSFADE_ASSIGN(Ledger ledger, Ledger::Make(plan, done, state));
  // Children first, so that no foreign key stands in the way.
  for (auto table = ledger.to_clear.rbegin(); table != ledger.to_clear.rend(); ++table) {
    const apply::Route* const route = routes.Find(plan.tables[*table].table);
    if (route == nullptr) {
      return MakeError(ErrorClass::kCorrupt, "CF1621", kComponent, "no route for the planned table {}",
                       plan.tables[*table].table);
    }
    spdlog::info("copy: {} is read again as a whole", plan.tables[*table].table);
    CROSSFADE_TRY(target->ClearTable(*route));
  }
  progress->ChunksReread(ledger.reread);
  for (const auto& [piece, mark] : ledger.kept) {
    progress->ChunkKept(piece.table, mark.rows);
    marks.push_back(mark);
  }
  return state ? UnitsByChunk(ledger) : UnitsBySnapshot(plan, ledger);
}

Status Copier::Run::OpenWorkers(uint32_t count) {
  workers.resize(count);
  for (Worker& worker : workers) {
    if (worker.reader == nullptr) {
      CROSSFADE_ASSIGN(worker.reader, source->OpenReader());
    }
    CROSSFADE_ASSIGN(worker.loader, target->OpenLoader());
  }
  return {};
}

void Copier::Run::Work(Worker* worker, WorkQueue* queue) {
  const std::stop_token stop = stopping.get_token();
  while (const std::optional<Unit> unit = queue->Take(stop)) {
    if (Status status = CopyUnit(worker, *unit); !status) {
      Fail(std::move(status).error());
      return;
    }
    queue->Done(*unit);
  }
}

// What fails after that fails because it was interrupted.
void Copier::Run::Fail(Error error) {
  {
    const std::lock_guard lock(mutex);
    if (stopping.stop_requested()) {
      return;
    }
    first_error = std::move(error);
  }
  stopping.request_stop();
}

Status Copier::Run::CopyUnit(Worker* worker, const Unit& unit) {
  // Before the snapshot is opened: a copy that is held back must not hold the source's undo log back.
  if (!limits->Admit(std::exchange(worker->unadmitted, 0), stopping.get_token())) {
    return Stopped();
  }
  Reader::Window window;
  if (state) {
    window = {*state, *state};
  } else if (unit.exact_state) {
    CROSSFADE_ASSIGN(window.low, OpenExact(worker));
    window.high = window.low;
  } else {
    CROSSFADE_ASSIGN(window, worker->reader->OpenSnapshot());
  }
  for (const Piece& piece : unit.pieces) {
    const PlannedTable& planned = plan.tables[piece.table];
    if (Status status = CopyPiece(worker, piece, window); !status) {
      return crossfade::Fail(std::move(status).error().WithContext(
          planned.chunks.size() == 1
              ? fmt::format("copying {}", planned.table)
              : fmt::format("copying {}, chunk {} of {}", planned.table, piece.chunk + 1, planned.chunks.size())));
    }
  }
  return {};
}

// A source that commits without pause does not tell a snapshot's position: a lock of milliseconds does, where the
// account has the right to it.
Result<Position> Copier::Run::OpenExact(Worker* worker) {
  Result<Position> position = worker->reader->OpenExactSnapshot();
  if (position || position.error().code != "CF1605") {
    return position;
  }
  auto locked = source->OpenConsistent(1);
  if (!locked) {
    return position;
  }
  spdlog::info("copy: the source commits without pause, so its position is read under a short lock");
  const std::lock_guard lock(swap);
  worker->reader = std::move(locked->readers.front());
  if (stopping.stop_requested()) {
    worker->reader->Interrupt();
  }
  return locked->position;
}

Status Copier::Run::CopyPiece(Worker* worker, const Piece& piece, const Reader::Window& window) {
  const PlannedTable& planned = plan.tables[piece.table];
  ChunkMark mark{planned.table, piece.chunk, planned.chunks[piece.chunk], window.low, window.high, 0};
  progress->Start(piece.table);
  CROSSFADE_TRY(Load(worker, piece, &mark));
  progress->ChunkDone(piece.table);
  const std::lock_guard lock(mutex);
  marks.push_back(std::move(mark));
  return {};
}

Status Copier::Run::Load(Worker* worker, const Piece& piece, ChunkMark* mark) {
  const apply::Route* const route = routes.Find(mark->table);
  if (route == nullptr) {
    return MakeError(ErrorClass::kCorrupt, "CF1621", kComponent, "no route for the planned table {}", mark->table);
  }
  spdlog::debug("copy: reading {} {}", mark->table, piece.chunk);
  // Nothing of a chunk without a mark is on the target: its rows come in one transaction with the mark.
  CROSSFADE_TRY(worker->loader->Begin(*route, *mark, /*replace=*/false));
  const std::stop_token stop = stopping.get_token();
  int64_t counted_bytes = 0;
  int64_t new_bytes = 0;
  uint64_t new_rows = 0;
  const auto count = [&] {
    progress->Add(piece.table, static_cast<int64_t>(new_rows), new_bytes);
    mark->rows += new_rows;
    worker->unadmitted += new_rows;
    counted_bytes += new_bytes;
    new_rows = 0;
    new_bytes = 0;
  };
  uint32_t step = limits->step();
  Status status = worker->reader->Read(route->source, mark->range, [&](std::span<const Value> row) -> Status {
    CROSSFADE_TRY(worker->loader->Add(row));
    new_bytes += BytesOf(row);
    if (++new_rows < step) {
      return {};
    }
    count();
    const bool admitted = limits->Admit(std::exchange(worker->unadmitted, 0), stop);
    step = limits->step();
    return admitted ? Status() : Stopped();
  });
  count();
  if (status) {
    status = worker->loader->Commit(*mark);
  } else {
    worker->loader->Rollback();
  }
  if (!status) {
    progress->Add(piece.table, -static_cast<int64_t>(mark->rows), -counted_bytes);
  }
  return status;
}

}  // namespace crossfade::snapshot
