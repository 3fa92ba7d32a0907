// What is sent to a server to be given its log.
#pragma once

#include <cstdint>
#include <string>

#include "db/mysql/position.h"

namespace crossfade::capture {

inline constexpr uint8_t kBinlogDump = 0x12;
inline constexpr uint8_t kBinlogDumpGtid = 0x1E;
// Where the first event of a log file is.
inline constexpr uint64_t kFirstOffset = 4;

std::string DumpByFile(const std::string& file, uint32_t offset, uint32_t server_id);
std::string DumpByGtid(const mysql::MySqlGtidSet& set, uint32_t server_id);

// Above what people number their servers with, and never 0.
uint32_t RandomServerId();

}  // namespace crossfade::capture
