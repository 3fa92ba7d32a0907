// Numbers and times as MySQL and MariaDB pack them into rows. Pure; a reader that ends too early is left broken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/bytes.h"

namespace crossfade::capture {

// Bytes that DECIMAL(precision, scale) takes; 0 for a pair that cannot be.
size_t PackedDecimalBytes(unsigned precision, unsigned scale);
// Longest text that it can become.
constexpr size_t kMaxDecimalText = 96;
// Writes the text in the form of ValueKind::kDecimal; 0 for bytes that are no decimal.
size_t ReadDecimal(ByteReader* in, unsigned precision, unsigned scale, char* text);

// Big-endian number of 1 to 8 bytes.
uint64_t ReadBigEndian(ByteReader* in, size_t bytes);

// The results are those of the ValueKind of the same name.
int64_t ReadDate(ByteReader* in);
int64_t ReadTime2(ByteReader* in, unsigned fraction);
int64_t ReadDateTime2(ByteReader* in, unsigned fraction);
int64_t ReadTimestamp2(ByteReader* in, unsigned fraction);
// The forms before MySQL 5.6, without fractions.
int64_t ReadOldTime(ByteReader* in);
int64_t ReadOldDateTime(ByteReader* in);
int64_t ReadOldTimestamp(ByteReader* in);

}  // namespace crossfade::capture
