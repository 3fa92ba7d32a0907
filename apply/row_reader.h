// Reads back what the target stores of this tenant, in a form in which rows of both sides can be compared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "apply/route.h"
#include "apply/target.h"
#include "core/chunk.h"
#include "core/error.h"
#include "core/value.h"

namespace crossfade::apply {

// A row's columns in the order of Route::columns: each as 4 bytes of length (big-endian; -1 for NULL) and that many
// bytes. Two fields of one column are the same bytes exactly if they are the same value as stored: numbers by value
// with all digits, floats by their bits, text and bytes to the letter, jsonb by value.
using Fields = std::string_view;

// Splits fields; the parts have no length, and are NULL where data() is null. Borrowed from `fields`.
void SplitFields(Fields fields, std::vector<std::string_view>* parts);
// The fields at the given places, one behind the other.
void SelectFields(Fields fields, std::span<const uint32_t> places, std::string* out);

// What a source row is on the target. Immutable; any thread.
class RowForm {
 public:
  virtual ~RowForm() = default;
  // Of a row with one Value per source column; overwrites `out`. Values that are not in the image come as NULL: of such
  // a row only the key says anything. Data CF1411 for a value that the target cannot hold.
  virtual Status FieldsOf(std::span<const Value> row, std::string* out) const = 0;
  // One Value for each part: of the columns Route::columns[places[i]]. Borrowed from the parts and from `storage`.
  virtual Status ValuesOf(std::span<const uint32_t> places, std::span<const std::string_view> parts,
                          std::vector<std::string>* storage, std::vector<Value>* values) const = 0;
};

// Who wrote a row as it stands.
struct RowVersion {
  uint32_t transaction = 0;  // the target's number: goes round, see IsLater
  std::string committed_at;  // empty: the target does not keep it
};
// Whether a transaction took its number after another, of two that are not two thousand million apart.
constexpr bool IsLater(uint32_t transaction, uint32_t than) { return static_cast<int32_t>(transaction - than) > 0; }

// One connection that reads and never writes. One thread, but for Cancel.
class RowReader {
 public:
  using FieldsSink = std::function<Status(Fields)>;
  virtual ~RowReader() = default;

  virtual Result<std::unique_ptr<RowForm>> FormOf(const Route& route) = 0;
  // What this migration has done so far; empty if the target knows nothing of it.
  virtual Result<TargetState> ReadState() = 0;
  // The reads that follow see one state, in which exactly this is applied. Ends the state before.
  virtual Result<Progress> BeginState() = 0;
  virtual void EndState() = 0;
  // This tenant's rows of a range over the first column of the primary key, in no promised order.
  virtual Status ReadRange(const Route& route, const ChunkRange& range, const FieldsSink& sink) = 0;
  // This tenant's rows with these keys: each the fields of Route::key. Not for routes whose identity is the whole row.
  virtual Status ReadKeys(const Route& route, std::span<const std::string> keys, const FieldsSink& sink) = 0;
  // The same, with who wrote each row.
  using VersionSink = std::function<Status(Fields row, const RowVersion& version)>;
  virtual Status ReadVersions(const Route& route, std::span<const std::string> keys, const VersionSink& sink) = 0;
  // The latest transaction of this migration that may have written rows, as far as the state shows; none has a later
  // number. None if there was no such transaction.
  virtual Result<std::optional<uint32_t>> LastOwnTransaction() = 0;
  // This tenant's rows whose `columns`, source columns that the target has, have one of these tuples of fields, none of
  // them NULL.
  virtual Status ReadBy(const Route& route, std::span<const uint32_t> columns, std::span<const std::string> tuples,
                        const FieldsSink& sink) = 0;
  // Up to `max_rows` of this tenant's rows behind the key `after` (as ReadKeys takes it; empty: from the beginning), in
  // the order in which the target sorts their keys.
  virtual Status ReadPage(const Route& route, std::string_view after, uint64_t max_rows, const FieldsSink& sink) = 0;
  // From any thread: cancels what runs, which then fails with Transient.
  virtual void Cancel() = 0;
};

}  // namespace crossfade::apply
