// A source database of a few small tables in memory: keys, foreign keys and their actions as InnoDB has them, and a log
// of what was done.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "core/change.h"
#include "core/schema.h"
#include "core/value.h"

namespace crossfade::apply {

using Cell = std::variant<std::monostate, int64_t, std::string>;
using Row = std::vector<Cell>;

struct LoggedChange {
  const TableSchema* table = nullptr;
  ChangeKind kind = ChangeKind::kInsert;
  uint8_t flags = 0;
  Row before;
  Row after;
};
using LoggedTransaction = std::vector<LoggedChange>;

class SourceModel {
 public:
  // `logs_cascades`: rows that foreign keys change are logged, before their parent's, as MySQL 9.6+ does.
  SourceModel(const std::vector<TableSchema>* tables, bool logs_cascades);

  // Each is one statement; false, and nothing happened, if a constraint forbids it. `checked`: foreign_key_checks.
  bool Insert(size_t table, const Row& row, bool checked = true);
  bool Update(size_t table, size_t row, const Row& to, bool checked = true);
  bool Delete(size_t table, size_t row, bool checked = true);
  void Truncate(size_t table);
  LoggedTransaction Commit();

  const std::vector<Row>& rows(size_t table) const { return state_[table]; }
  std::vector<std::string> Lines(size_t table) const;  // sorted

 private:
  using State = std::vector<std::vector<Row>>;  // no order among rows

  bool KeysAllow(size_t table, const Row& row, const Row* except) const;
  bool ParentsAllow(size_t table, const Row& row) const;
  bool Remove(size_t table, const Row& row, LoggedTransaction* cascaded, int depth);
  bool Replace(size_t table, const Row& row, const Row& to, LoggedTransaction* cascaded, int depth);
  bool Finish(bool done, State saved, LoggedTransaction cascaded, LoggedChange change, bool checked);
  size_t IndexOf(const std::string& table) const;

  const std::vector<TableSchema>* tables_;
  bool logs_cascades_;
  State state_;
  LoggedTransaction log_;
};

// Random statements, valid or not, on a small set of keys.
class RandomWorkload {
 public:
  struct Mix {
    bool unchecked = false;  // some statements run with foreign_key_checks = 0
    bool truncate = false;
    int keys = 8;
  };
  RandomWorkload(SourceModel* model, const std::vector<TableSchema>* tables, uint64_t seed, Mix mix);
  LoggedTransaction Next();

 private:
  Row RandomRow(size_t table);
  Cell RandomCell(const Column& column);
  bool Statement();
  uint64_t Below(uint64_t n) { return random_() % n; }

  SourceModel* model_;
  const std::vector<TableSchema>* tables_;
  std::mt19937_64 random_;
  Mix mix_;
};

Value ValueOf(const Cell& cell);
std::string LineOf(const Row& row);

}  // namespace crossfade::apply
