// Which captured table the rows of a table id belong to, and how they are read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "capture/mysql/table_plan.h"
#include "core/error.h"
#include "core/schema.h"

namespace crossfade::capture {

// Not thread-safe. The schemas live as long as the tracker and do not move.
class TableTracker {
 public:
  // `fold_case`: the server compares names without case (lower_case_table_names is not 0).
  TableTracker(mysql::Flavor flavor, std::string database, bool fold_case, std::vector<TableSchema> tables,
               ServerText text);

  struct Mapped {
    std::string body;                       // of the table map, to know it again
    std::shared_ptr<const TablePlan> plan;  // null: not captured
  };

  // Takes a TABLE_MAP. Data error CF1210 if the table has another shape than the one captured.
  Result<const Mapped*> Map(std::string_view body);
  // The table of a rows event, or null if no table map named it. Valid until Forget.
  const Mapped* Find(uint64_t table_id) const;
  // Table ids grow without end; old ones are dropped now and then. Not between a table map and its rows.
  void Forget();

  // A statement's text as UTF-8: statements are logged as the client sent them. As it is, if it cannot be told.
  std::string_view ToUtf8(std::string_view text, uint32_t collation, std::string* converted) const;

  bool IsOurDatabase(std::string_view database) const;
  const TableSchema* FindTable(std::string_view database, std::string_view table) const;

 private:
  std::string Folded(std::string_view name) const;

  mysql::Flavor flavor_;
  std::string database_;
  bool fold_case_;
  std::vector<TableSchema> tables_;
  ServerText text_;
  std::unordered_map<std::string, const TableSchema*> by_name_;
  std::unordered_map<uint64_t, Mapped> mapped_;
  mutable uint64_t last_id_ = 0;
  mutable const Mapped* last_ = nullptr;
};

}  // namespace crossfade::capture
