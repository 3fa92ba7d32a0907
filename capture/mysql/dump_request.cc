#include "capture/mysql/dump_request.h"

#include <random>

#include "core/bytes.h"

namespace crossfade::capture {

namespace {
constexpr uint8_t kThroughGtid = 0x04;
}

std::string DumpByFile(const std::string& file, uint32_t offset, uint32_t server_id) {
  std::string payload;
  ByteWriter out(&payload);
  out.FixedU32(offset);
  out.U8(0);  // flags, 2 bytes: wait at the end of the log
  out.U8(0);
  out.FixedU32(server_id);
  out.Bytes(file);
  return payload;
}

std::string DumpByGtid(const mysql::MySqlGtidSet& set, uint32_t server_id) {
  std::string payload;
  ByteWriter out(&payload);
  out.U8(kThroughGtid);
  out.U8(0);
  out.FixedU32(server_id);
  out.FixedU32(0);  // no file name
  out.FixedU64(kFirstOffset);
  const std::string encoded = set.EncodeForDump();
  out.FixedU32(static_cast<uint32_t>(encoded.size()));
  out.Bytes(encoded);
  return payload;
}

uint32_t RandomServerId() {
  std::random_device device;
  return 0x40000000U | (device() & 0x3FFFFFFFU);
}

}  // namespace crossfade::capture
