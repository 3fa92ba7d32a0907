// Values in the text form that PostgreSQL itself gives them: one reading of it for COPY, query results and the log.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "core/schema.h"
#include "core/value.h"

namespace crossfade::postgres {

// What a session must have set for its text to be read here; every one of Connection::Open has. Money has no other
// form than that of the session's lc_monetary.
inline constexpr std::string_view kTextSettings =
    "SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; "
    "SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C';";

// The value of a column in `text`, which is not NULL. Bytes are borrowed from `text`, or from `storage`, which is then
// overwritten. Corrupt CF1420 for text that is none of the column's type, Data CF1421 for a time that is too far from
// our days to be kept exactly (beyond the year 161318).
Result<Value> ValueFromText(const Column& column, std::string_view text, std::string* storage);

}  // namespace crossfade::postgres
