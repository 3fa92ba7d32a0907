// Messages of pgoutput, as the server would write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace crossfade::capture {

inline std::string Big(uint64_t number, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(number >> shift));
  }
  return out;
}
inline std::string Zero(const std::string& text) { return text + '\0'; }

constexpr int64_t kNewYear2000 = 946'684'800'000'000;

inline std::string BeginMessage(uint64_t commit_lsn, uint32_t xid, int64_t time_us = kNewYear2000) {
  return "B" + Big(commit_lsn, 8) + Big(static_cast<uint64_t>(time_us - kNewYear2000), 8) + Big(xid, 4);
}
inline std::string CommitMessage(uint64_t commit_lsn, uint64_t end_lsn, int64_t time_us = kNewYear2000) {
  return "C" + Big(0, 1) + Big(commit_lsn, 8) + Big(end_lsn, 8) + Big(static_cast<uint64_t>(time_us - kNewYear2000), 8);
}

struct ColumnMessage {
  std::string name;
  uint32_t type = 25;
  bool identity = false;
};
inline std::string RelationMessage(uint32_t id, const std::string& schema, const std::string& name, char identity,
                                   const std::vector<ColumnMessage>& columns) {
  std::string out = "R" + Big(id, 4) + Zero(schema) + Zero(name) + identity + Big(columns.size(), 2);
  for (const ColumnMessage& column : columns) {
    out += Big(column.identity ? 1 : 0, 1) + Zero(column.name) + Big(column.type, 4) + Big(0xFFFFFFFF, 4);
  }
  return out;
}

// "NULL" and "UNCHANGED" are what they say, all else is text.
inline std::string TupleMessage(const std::vector<std::string>& fields) {
  std::string out = Big(fields.size(), 2);
  for (const std::string& field : fields) {
    out += field == "NULL" ? "n" : field == "UNCHANGED" ? "u" : "t" + Big(field.size(), 4) + field;
  }
  return out;
}
inline std::string InsertMessage(uint32_t id, const std::vector<std::string>& after) {
  return "I" + Big(id, 4) + "N" + TupleMessage(after);
}
inline std::string UpdateMessage(uint32_t id, char old, const std::vector<std::string>& before,
                                 const std::vector<std::string>& after) {
  return "U" + Big(id, 4) + (old == 0 ? "" : old + TupleMessage(before)) + "N" + TupleMessage(after);
}
inline std::string DeleteMessage(uint32_t id, char old, const std::vector<std::string>& before) {
  return "D" + Big(id, 4) + old + TupleMessage(before);
}
inline std::string TruncateMessage(const std::vector<uint32_t>& ids, uint8_t options = 0) {
  std::string out = "T" + Big(ids.size(), 4) + Big(options, 1);
  for (const uint32_t id : ids) {
    out += Big(id, 4);
  }
  return out;
}

}  // namespace crossfade::capture
