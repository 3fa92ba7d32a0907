// How a source column is stored in PostgreSQL, and the binary form of its values. The same for COPY, array parameters
// and single parameters, so the snapshot path and the log path cannot differ. Documented in docs/types.md.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/schema.h"
#include "core/value.h"

namespace crossfade::postgres {

// What to do with a value PostgreSQL cannot hold.
enum class ZeroDatePolicy : uint8_t {
  kStop,      // Data error naming column and value
  kNull,      // NULL; the column must be nullable on the target, which then drops NOT NULL
  kInfinity,  // 0000-00-00 becomes -infinity (reversible); partial dates (2020-02-00) stop
};
enum class NulBytePolicy : uint8_t { kStop, kRemove };  // U+0000 in text and JSON
enum class TimePolicy : uint8_t {
  kInterval,
  kTime
};  // TIME: interval (exact), or time (stops beyond 24 h or negative)

struct TypePolicy {
  ZeroDatePolicy zero_dates = ZeroDatePolicy::kStop;
  NulBytePolicy nul_bytes = NulBytePolicy::kStop;
  TimePolicy time = TimePolicy::kInterval;
};

enum class Encoding : uint8_t {
  kInt2,
  kInt4,
  kInt8,
  kNumericFromInteger,
  kFloat4,
  kFloat8,
  kNumeric,
  kBit,
  kText,
  kBytea,
  kDate,
  kInterval,
  kTime,
  kTimestamp,
  kTimestampTz,
  kJson,
  kJsonb,
  kUuid,
  kInet,
  kFloat4Array,
  kBool,
  kOid,
  kNative,  // its text, as a parameter of type text that is cast
};

struct PgType {
  std::string sql;         // "numeric(10,2)", "timestamp(6)"
  uint32_t oid = 0;        // 1700
  uint32_t array_oid = 0;  // of the parameter that ArrayBuilder makes: 1231
  Encoding encoding = Encoding::kText;
  std::string array_sql;  // name of array_oid's type, without length or scale: "numeric[]"
  // What each element of unnest() must be cast to before it is stored or compared; empty: nothing. unnest() takes apart
  // arrays of arrays down to their scalars, so values that are arrays themselves (vectors) travel as text[] and are
  // cast: "real[]". So do native types, of which only their text is known; they are cast where they are single
  // parameters, too. Never cast to `sql` instead: an explicit cast to varchar(n), bit(n) or numeric(p,s) cuts and
  // rounds silently, where an assignment stops.
  std::string array_cast;
};

// The type for a column. Config error CF1410 if there is none. A column of PostgreSQL gets the very type it has.
Result<PgType> MapType(const Column& column, const TypePolicy& policy);

// Appends a binary field: 4 bytes length (big-endian; -1 for NULL), then the value. `column` is named in errors.
// Data error CF1411 for a value that PostgreSQL cannot hold under `policy`. A kAbsent value is an assertion failure.
Status AppendField(const PgType& type, const Column& column, const TypePolicy& policy, const Value& value,
                   std::string* out);

// The inverse: the value in a binary field that the server sent for a column of this type (without its length). Bytes
// are borrowed from `field`, or from `storage`, which is overwritten. Corrupt CF1413 if the field is none of its type,
// Data CF1414 if the source's type cannot hold it.
Result<Value> DecodeField(const PgType& type, const Column& column, std::string_view field, std::string* storage);

// The expression of a column whose field DecodeField and RowForms can read: native types as their text.
std::string SelectedAs(const PgType& type, const std::string& expression);

// The literal of the first date that PostgreSQL has at or behind an ordinal of a date column of its own: 'infinity'
// behind the last one.
std::string DateLiteral(int64_t ordinal);

// Builds one array parameter of a type, element by element; reusable.
class ArrayBuilder {
 public:
  void Begin(const PgType& type);  // one dimension, no elements
  Status Append(const Column& column, const TypePolicy& policy, const Value& value);
  std::string_view Finish();  // the whole parameter; valid until the next Begin or Trim
  void Trim();                // gives the memory of a large parameter back
  size_t bytes() const { return buffer_.size(); }

 private:
  const PgType* type_ = nullptr;
  std::string buffer_;
  uint32_t count_ = 0;
  bool has_null_ = false;
};

}  // namespace crossfade::postgres
