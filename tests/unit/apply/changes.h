// Tables, and changes to them, as tests write them down.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apply/batch_builder.h"
#include "core/schema.h"
#include "core/value.h"

namespace crossfade::apply {

template <typename T>
T Get(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().ToString();
    std::abort();
  }
  return *std::move(result);
}

template <typename T>
std::string CodeOf(const Result<T>& result) {
  return result ? "" : result.error().code;
}

inline Column IntColumn(const std::string& name, bool nullable = true) {
  Column column;
  column.name = name;
  column.bits = 64;
  column.nullable = nullable;
  return column;
}

inline TableSchema MakeTable(const std::string& name, const std::vector<std::string>& columns,
                             const std::vector<std::string>& primary_key) {
  TableSchema table;
  table.database = "shop";
  table.name = name;
  for (const std::string& column : columns) {
    table.columns.push_back(IntColumn(column));
  }
  for (const std::string& column : primary_key) {
    KeyPart part;
    part.column = *table.FindColumn(column);
    table.columns[part.column].nullable = false;
    table.primary_key.push_back(part);
  }
  return table;
}

inline void AddUnique(TableSchema* table, const std::string& column) {
  Key key;
  key.name = "u_" + column;
  key.unique = true;
  key.parts.push_back(KeyPart{*table->FindColumn(column), 0, false});
  table->keys.push_back(key);
}

inline void AddForeignKey(TableSchema* child, const std::string& column, const std::string& parent,
                          ReferenceAction on_delete, ReferenceAction on_update) {
  ForeignKey key;
  key.name = "f" + std::to_string(child->foreign_keys.size());
  key.columns = {*child->FindColumn(column)};
  key.parent_table = parent;
  key.parent_columns = {"id"};
  key.on_delete = on_delete;
  key.on_update = on_update;
  child->foreign_keys.push_back(key);
}

// Cells of an image; kNone is NULL, kLeftOut is not in the log.
using Cells = std::vector<int64_t>;
inline constexpr int64_t kNone = -1;
inline constexpr int64_t kLeftOut = -2;

inline std::vector<Value> Image(const Cells& cells) {
  std::vector<Value> image;
  for (const int64_t cell : cells) {
    image.push_back(cell == kNone ? Value::Null() : cell == kLeftOut ? Value::Absent() : Value::Int(cell));
  }
  return image;
}

struct TestChange {
  const TableSchema* table = nullptr;
  ChangeKind kind = ChangeKind::kInsert;
  Cells before;
  Cells after;
  uint8_t flags = kEndOfStatement;
};

inline TestChange Insert(const TableSchema& table, Cells after, uint8_t flags = kEndOfStatement) {
  return {&table, ChangeKind::kInsert, {}, std::move(after), flags};
}
inline TestChange Update(const TableSchema& table, Cells before, Cells after, uint8_t flags = kEndOfStatement) {
  return {&table, ChangeKind::kUpdate, std::move(before), std::move(after), flags};
}
inline TestChange Delete(const TableSchema& table, Cells before, uint8_t flags = kEndOfStatement) {
  return {&table, ChangeKind::kDelete, std::move(before), {}, flags};
}
inline TestChange Truncate(const TableSchema& table) {
  return {&table, ChangeKind::kTruncate, {}, {}, kEndOfStatement};
}

// A builder over such changes: one block for each transaction.
class TestBatch {
 public:
  TestBatch(std::vector<TableSchema> tables, std::vector<ChunkWindow> windows = {}, BatchLimits limits = {})
      : tables_(std::move(tables)),
        routes_(Get(RouteSet::Make(tables_, RouteRules{}))),
        windows_(std::move(windows)),
        builder_(&routes_, &windows_, limits,
                 [this](const state::ChangeBlock& block) { return Decode(std::stoul(block.bytes)); }) {}

  const TableSchema& table(const std::string& name) const { return routes_.Find(name)->source; }
  BatchBuilder& builder() { return builder_; }

  Status AddTransaction(std::vector<TestChange> changes) {
    state::TransactionHeader header;
    header.seq = Seq{++seq_};
    header.changes = changes.size();
    builder_.BeginTransaction(header);
    lists_.push_back(std::move(changes));
    return builder_.Add(state::ChangeBlock{std::to_string(lists_.size() - 1)});
  }

  // "delete child 7,2 / update parent 2,1>2,5 3,1>3,0 / ..."
  static std::string Describe(const std::vector<Step>& steps) {
    std::string out;
    for (const Step& step : steps) {
      out += out.empty() ? "" : " / ";
      out += Name(step.kind) + (step.without_actions ? " unchecked " : " ") + step.route->source.name;
      for (const RowChange& row : step.rows) {
        const bool both = !row.before.empty() && !row.after.empty();
        out += " " + Text(row.before) + (both ? ">" : "") + Text(row.after);
      }
      for (const ChunkRange& range : step.ranges) {
        out += " [" + (range.from ? std::to_string(*range.from) : "") + "," +
               (range.to ? std::to_string(*range.to) : "") + ")";
      }
    }
    return out;
  }

  std::string Folded() { return Describe(builder_.Folded()); }
  std::string Exact(size_t first, size_t end, const BatchBuilder::Exceptions& exceptions = {}) {
    std::vector<size_t> changes;
    return Describe(builder_.Exact(first, end, exceptions, &changes));
  }

 private:
  class Decoder final : public state::ChangeDecoder {
   public:
    explicit Decoder(const std::vector<TestChange>& changes) : changes_(changes) {}
    Result<bool> Next(std::vector<Value>* values, Decoded* decoded) override {
      if (next_ == changes_.size()) {
        return false;
      }
      const TestChange& change = changes_[next_++];
      decoded->table = change.table;
      decoded->kind = change.kind;
      decoded->flags = change.flags;
      decoded->before = Push(change.before, values);
      decoded->before_count = change.before.size();
      decoded->after = Push(change.after, values);
      decoded->after_count = change.after.size();
      return true;
    }

   private:
    static size_t Push(const Cells& cells, std::vector<Value>* values) {
      const size_t at = values->size();
      const std::vector<Value> image = Image(cells);
      values->insert(values->end(), image.begin(), image.end());
      return at;
    }
    const std::vector<TestChange>& changes_;
    size_t next_ = 0;
  };

  std::unique_ptr<state::ChangeDecoder> Decode(size_t list) const { return std::make_unique<Decoder>(lists_[list]); }

  static std::string Name(StepKind kind) {
    switch (kind) {
      case StepKind::kInsert:
        return "insert";
      case StepKind::kUpdate:
        return "update";
      case StepKind::kDelete:
        return "delete";
      case StepKind::kUpsert:
        return "upsert";
      case StepKind::kUpdateIfThere:
        return "update?";
      case StepKind::kDeleteIfThere:
        return "delete?";
      case StepKind::kTruncate:
        return "truncate";
    }
    return "";
  }

  static std::string Text(std::span<const Value> image) {
    std::string out;
    for (const Value& value : image) {
      out += (out.empty() ? "" : ",");
      out += value.is_null() ? "NULL" : value.is_absent() ? "-" : std::to_string(value.i);
    }
    return out;
  }

  std::vector<TableSchema> tables_;
  RouteSet routes_;
  Windows windows_;
  std::deque<std::vector<TestChange>> lists_;
  BatchBuilder builder_;
  uint64_t seq_ = 0;
};

}  // namespace crossfade::apply
