#include "core/bytes.h"

namespace crossfade {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "durable formats are written in host order: little-endian");

void ByteWriter::BigEndianU32(uint32_t v) { FixedU32(__builtin_bswap32(v)); }
void ByteWriter::BigEndianU64(uint64_t v) { FixedU64(__builtin_bswap64(v)); }
uint32_t ByteReader::BigEndianU32() { return __builtin_bswap32(FixedU32()); }
uint64_t ByteReader::BigEndianU64() { return __builtin_bswap64(FixedU64()); }

}  // namespace crossfade
