// The statements by which a table's rows are read.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/chunk.h"
#include "core/schema.h"
#include "core/value.h"

namespace crossfade::snapshot {

// All columns of the table, in its order, of the rows in the range. The table must have a primary key whose first
// column has ordinals, unless the range is the whole table.
std::string SelectRows(const TableSchema& table, const ChunkRange& range);

// All columns of the rows whose `columns` have one of these tuples of values. `quote` makes a literal of utf8mb4 text.
using QuoteText = std::function<std::string(std::string_view)>;
std::string SelectKeys(const TableSchema& table, std::span<const uint32_t> columns,
                       std::span<const std::vector<Value>> keys, const QuoteText& quote);

// All columns of the first `max_rows` rows behind `after`, in the order of the index on `key`; see Reader::ReadPage.
std::string SelectPage(const TableSchema& table, std::span<const uint32_t> key, std::span<const Value> after,
                       uint64_t max_rows, const QuoteText& quote);

// The first primary key column of the row with the smallest (or largest) key; no row for an empty table.
enum class KeyEnd : uint8_t { kSmallest, kLargest };
std::string SelectKeyEnd(const TableSchema& table, KeyEnd end);

// "`db`.`table`".
std::string QuotedName(const TableSchema& table);

}  // namespace crossfade::snapshot
