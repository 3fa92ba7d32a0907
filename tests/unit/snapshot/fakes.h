// A source and a target in memory.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "apply/target.h"
#include "snapshot/reader.h"
#include "tests/unit/snapshot/tables.h"

namespace crossfade::snapshot {

using Rows = std::multimap<int64_t, int64_t>;  // id, v
using Database = std::map<std::string, Rows>;

// Tables of columns id and v; its log's offset is the number of changes made.
class FakeSource : public SnapshotSource {
 public:
  void Put(const std::string& table, int64_t id, int64_t v) {
    const std::lock_guard lock(mutex_);
    tables_[table].emplace(id, v);
    ++log_;
  }
  Database tables() const {
    const std::lock_guard lock(mutex_);
    return tables_;
  }

  Result<ConsistentReaders> OpenConsistent(uint32_t count) override {
    if (may_not_lock) {
      return MakeError(ErrorClass::kConfig, "CF1601", "fake", "no right to lock");
    }
    const std::lock_guard lock(mutex_);
    ConsistentReaders consistent;
    consistent.position = At(log_);
    for (uint32_t i = 0; i < count; ++i) {
      consistent.readers.push_back(std::make_unique<FakeReader>(this, std::make_shared<Database>(tables_)));
    }
    return consistent;
  }
  Result<std::unique_ptr<Reader>> OpenReader() override {
    return std::unique_ptr<Reader>(new FakeReader(this, nullptr));
  }
  Result<std::optional<KeySpan>> ReadKeySpan(const TableSchema& table) override {
    const std::lock_guard lock(mutex_);
    ++key_spans_read;
    const Rows& rows = tables_[table.name];
    return rows.empty() ? std::nullopt : std::optional(KeySpan{rows.begin()->first, rows.rbegin()->first});
  }

  // Called for each row about to be given: an error ends the read.
  std::function<Status(const std::string& table, int64_t id)> on_row;
  std::atomic<int> key_spans_read{0};
  std::atomic<int> snapshots{0};
  std::atomic<int> exact_snapshots{0};
  std::atomic<int> interrupts{0};
  std::atomic<bool> never_still{false};  // no exact snapshot without a lock
  std::atomic<bool> may_not_lock{false};

 private:
  class FakeReader : public Reader {
   public:
    FakeReader(FakeSource* source, std::shared_ptr<const Database> state) : source_(source), state_(std::move(state)) {}

    Status EndSnapshot() override { return {}; }
    Result<Window> OpenSnapshot() override {
      ++source_->snapshots;
      const Position low = Open();
      return Window{low, At(low.offset + 1)};
    }
    Result<Position> OpenExactSnapshot() override {
      ++source_->exact_snapshots;
      if (source_->never_still) {
        return MakeError(ErrorClass::kTransient, "CF1605", "fake", "the source committed around each snapshot");
      }
      return Open();
    }
    Status Read(const TableSchema& table, const ChunkRange& range, const RowSink& sink) override {
      const auto rows = state_->find(table.name);
      if (rows == state_->end()) {
        return {};
      }
      for (const auto& [id, v] : rows->second) {
        if (interrupted_) {
          return MakeError(ErrorClass::kReconnect, "CF1103", "fake", "interrupted");
        }
        if (!range.Holds(id)) {
          continue;
        }
        if (source_->on_row) {
          CROSSFADE_TRY(source_->on_row(table.name, id));
        }
        const Value row[] = {Value::Int(id), Value::Int(v)};
        CROSSFADE_TRY(sink(row));
      }
      return {};
    }
    Status ReadKeys(const TableSchema&, std::span<const uint32_t>, std::span<const std::vector<Value>>,
                    const RowSink&) override {
      return {};
    }
    Status ReadPage(const TableSchema&, std::span<const uint32_t>, std::span<const Value>, uint64_t,
                    const RowSink&) override {
      return {};
    }
    void Interrupt() override {
      interrupted_ = true;
      ++source_->interrupts;
    }

   private:
    Position Open() {
      const std::lock_guard lock(source_->mutex_);
      state_ = std::make_shared<Database>(source_->tables_);
      return At(source_->log_);
    }

    FakeSource* source_;
    std::shared_ptr<const Database> state_;
    std::atomic<bool> interrupted_{false};
  };

  mutable std::mutex mutex_;
  Database tables_;
  uint64_t log_ = 0;
};

// Rows and marks become visible at Commit, together.
class FakeTarget : public apply::Target {
 public:
  Database tables() const {
    const std::lock_guard lock(mutex_);
    return tables_;
  }
  std::vector<ChunkMark> marks() const {
    const std::lock_guard lock(mutex_);
    return marks_;
  }
  std::vector<std::string> log() const {
    const std::lock_guard lock(mutex_);
    return log_;
  }

  Result<std::unique_ptr<apply::ChunkLoader>> OpenLoader() override {
    return std::unique_ptr<apply::ChunkLoader>(new Loader(this));
  }
  Status ClearTable(const apply::Route& route) override {
    const std::lock_guard lock(mutex_);
    log_.push_back("clear " + route.source.name);
    tables_.erase(route.source.name);
    std::erase_if(marks_, [&](const ChunkMark& mark) { return mark.table == route.source.name; });
    return {};
  }

  // Called at each Commit of a chunk: an error is handed back, and nothing is kept.
  std::function<Status(const ChunkMark&)> on_commit;
  std::atomic<int> cancels{0};
  std::atomic<int> rollbacks{0};

  Result<apply::TargetState> TakeOver(const apply::Owner&, bool, std::stop_token) override { return ReadState(); }
  Status Heartbeat() override { return {}; }
  void Release() override {}
  Result<apply::TargetState> ReadState() override {
    apply::TargetState state;
    state.chunks = marks();
    return state;
  }
  Status BindJournal(const std::string&, const std::string&) override { return {}; }
  Status SetFact(const std::string&) override { return {}; }
  Result<std::vector<apply::Finding>> FindTriggers(const apply::RouteSet&) override {
    return std::vector<apply::Finding>();
  }
  std::string StagingSchema() const override { return "staging"; }
  Status MoveStaged(const apply::RouteSet&, const apply::RouteSet&, std::stop_token) override { return {}; }
  Status DropStaging() override { return {}; }
  Result<bool> KeysStand(const apply::RouteSet&) override { return false; }
  Result<std::vector<apply::Finding>> PlanSchema(const apply::RouteSet&) override {
    return std::vector<apply::Finding>();
  }
  Status BuildSchema(const apply::RouteSet&, apply::SchemaStage, std::stop_token) override { return {}; }
  Result<std::unique_ptr<apply::ApplySession>> OpenSession(uint32_t) override {
    return std::unique_ptr<apply::ApplySession>();
  }
  Status Abort(const apply::RouteSet&) override { return {}; }

 private:
  class Loader : public apply::ChunkLoader {
   public:
    explicit Loader(FakeTarget* target) : target_(target) {}
    Status Begin(const apply::Route& route, const ChunkMark& mark, bool /*replace*/) override {
      const std::lock_guard lock(target_->mutex_);
      target_->log_.push_back("begin " + route.source.name);
      table_ = mark.table;
      rows_.clear();
      return {};
    }
    Status Add(std::span<const Value> row) override {
      rows_.emplace(row[0].i, row[1].i);
      return {};
    }
    Status Commit(const ChunkMark& mark) override {
      if (target_->on_commit) {
        CROSSFADE_TRY(target_->on_commit(mark));
      }
      const std::lock_guard lock(target_->mutex_);
      target_->tables_[table_].insert(rows_.begin(), rows_.end());
      target_->marks_.push_back(mark);
      target_->log_.push_back("commit " + table_);
      return {};
    }
    void Rollback() override {
      rows_.clear();
      ++target_->rollbacks;
    }
    void Cancel() override { ++target_->cancels; }

   private:
    FakeTarget* target_;
    std::string table_;
    Rows rows_;
  };

  mutable std::mutex mutex_;
  Database tables_;
  std::vector<ChunkMark> marks_;
  std::vector<std::string> log_;
};

}  // namespace crossfade::snapshot
