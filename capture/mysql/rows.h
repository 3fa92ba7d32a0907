// Rows events: one row after the other, typed. Pure; whatever the bytes, nothing outside of them is read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capture/mysql/arena.h"
#include "capture/mysql/event.h"
#include "capture/mysql/table_plan.h"
#include "core/change.h"
#include "core/error.h"

namespace crossfade::capture {

bool IsRowsEvent(EventType type);

// Bits of RowsHeader::flags.
inline constexpr uint16_t kStatementEnd = 0x01;
inline constexpr uint16_t kNoChecks = 0x02;  // foreign keys not checked
inline constexpr uint16_t kSqlForeignKeys =
    0x10;  // MySQL 9.6+: the log has the rows that foreign keys' actions changed
// A rows event without rows, that only ends a statement, names this table.
inline constexpr uint64_t kDummyTableId = 0x00FFFFFF;

struct RowsHeader {
  uint64_t table_id = 0;
  uint16_t flags = 0;
};
Result<RowsHeader> ParseRowsHeader(EventType type, std::string_view body);

// Reads the rows of one event. The images it gives stay valid until the next call of Next or Start.
class RowsReader {
 public:
  // Both must stay as they are until the last row is read.
  Status Start(EventType type, std::string_view body, const TablePlan& plan);

  // False behind the last row. Corrupt CF1205 for bytes that are no row; Data CF1213 for text that is none.
  Result<bool> Next();

  ChangeKind kind() const { return kind_; }
  const TablePlan& plan() const { return *plan_; }
  const std::vector<Value>& before() const { return before_; }
  const std::vector<Value>& after() const { return after_; }
  bool at_end() const { return rows_.at_end(); }

 private:
  Status ReadImage(std::string_view present, bool partial, std::vector<Value>* image);
  Status ReadPartial(std::string_view present, std::vector<Value>* image);
  Status ReadValue(const ColumnPlan& plan, Value* value);
  Status ReadText(const ColumnPlan& plan, std::string_view bytes, Value* value);
  Status ReadString(const ColumnPlan& plan, Value* value);
  Status ReadLabels(const ColumnPlan& plan, Value* value);
  Status ApplyDiffs(const ColumnPlan& plan, const Value& before, Value* value);
  Result<std::string_view> Decompress(const ColumnPlan& plan, std::string_view bytes);
  // The log leaves out NUL bytes at the end of what has a fixed size.
  Value Padded(ValueKind kind, std::string_view bytes, size_t size);
  tl::unexpected<Error> Bad(std::string_view what) const;

  EventType type_{};
  ChangeKind kind_{};
  const TablePlan* plan_ = nullptr;
  std::string_view present_before_;  // bitmaps of the columns that the images have
  std::string_view present_after_;
  ByteReader rows_{{}};
  std::vector<Value> before_;
  std::vector<Value> after_;
  Arena arena_;
  std::string scratch_;
  std::string unpacked_;                       // the rows of a compressed event
  std::vector<std::string_view> before_json_;  // stored documents of the before image, for partial updates
};

}  // namespace crossfade::capture
