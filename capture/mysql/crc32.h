// The checksum of log events.
#pragma once

#include <cstdint>
#include <string_view>

namespace crossfade::capture {

// CRC-32 as in zlib, with the processor's own multiplication where it has one. Any thread.
uint32_t Crc32(std::string_view bytes);

}  // namespace crossfade::capture
