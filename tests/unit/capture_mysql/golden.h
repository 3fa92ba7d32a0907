// Recorded logs: what a server sent, and what the decoder made of it when that was compared with the server's own
// words. Lines of a file in tests/golden: "flavor", "database", "table" (encoded schema, hex), "event" (hex), "="
// (outcome).
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "capture/mysql/log_decoder.h"
#include "db/mysql/charset.h"

namespace crossfade::capture {

struct Golden {
  mysql::Flavor flavor{};
  std::string database;
  std::vector<TableSchema> tables;
  std::vector<std::string> events;
  std::vector<std::string> outcome;
};

inline std::string ToHex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
  }
  return hex;
}

inline std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

inline std::string GoldenDirectory() {
  const std::string here = __FILE__;
  return here.substr(0, here.rfind("/tests/")) + "/tests/golden/";
}

inline Golden ReadGolden(const std::string& name) {
  std::ifstream file(GoldenDirectory() + name);
  EXPECT_TRUE(file.good()) << name;
  Golden golden;
  for (std::string line; std::getline(file, line);) {
    const size_t space = line.find(' ');
    const std::string kind = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (kind == "flavor") {
      golden.flavor = rest == "mysql" ? mysql::Flavor::kMySql : mysql::Flavor::kMariaDb;
    } else if (kind == "database") {
      golden.database = rest;
    } else if (kind == "table") {
      auto table = TableSchema::Decode(FromHex(rest));
      EXPECT_TRUE(table.has_value());
      golden.tables.push_back(std::move(*table));
    } else if (kind == "event") {
      golden.events.push_back(FromHex(rest));
    } else if (kind == "=") {
      golden.outcome.push_back(rest);
    }
  }
  return golden;
}

// Text as it is stored, and latin1: enough without a server.
class TestCharset : public mysql::CharsetConverter {
 public:
  explicit TestCharset(bool latin1) : latin1_(latin1) {}
  bool passes_through() const override { return !latin1_; }
  bool Convert(std::string_view bytes, std::string* out) const override {
    for (const char c : bytes) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte < 0x80) {
        *out += c;
      } else {
        *out += static_cast<char>(0xC0 | byte >> 6);
        *out += static_cast<char>(0x80 | (byte & 63));
      }
    }
    return true;
  }

 private:
  bool latin1_;
};

inline ServerText TestText() {
  ServerText text;
  text.converter = [](const std::string& charset) -> Result<std::shared_ptr<const mysql::CharsetConverter>> {
    return std::make_shared<const TestCharset>(charset == "latin1");
  };
  return text;
}

inline std::string DescribeImage(std::span<const Value> image) {
  std::string text;
  for (const Value& value : image) {
    text += (text.empty() ? "" : ", ") + ToDisplay(value, 60);
  }
  return "(" + text + ")";
}

inline std::string Describe(const Event& event) {
  if (std::holds_alternative<TransactionBegin>(event)) {
    return "begin";
  }
  if (const auto* change = std::get_if<Change>(&event)) {
    constexpr const char* kKinds[] = {"?", "insert", "update", "delete", "truncate"};
    std::string text = fmt::format("{} {}", kKinds[static_cast<int>(change->kind)], change->table->name);
    text += change->before.empty() ? "" : " " + DescribeImage(change->before);
    text += change->after.empty() ? "" : " " + DescribeImage(change->after);
    text += (change->flags & kNoForeignKeyChecks) != 0 ? " unchecked" : "";
    text += (change->flags & kCascaded) != 0 ? " cascaded" : "";
    text += (change->flags & kEndOfStatement) != 0 ? " end" : "";
    return text;
  }
  if (const auto* end = std::get_if<TransactionEnd>(&event)) {
    constexpr const char* kOutcomes[] = {"commit", "rollback", "prepare", "commit prepared", "rollback prepared"};
    return fmt::format("{} {}{}at {}", kOutcomes[static_cast<int>(end->outcome)], end->xid, end->xid.empty() ? "" : " ",
                       end->position.ToString());
  }
  if (const auto* change = std::get_if<SchemaChange>(&event)) {
    return fmt::format("schema change of {}: {}", change->table, change->statement);
  }
  return "heartbeat at " + std::get<Heartbeat>(event).position.ToString();
}

inline std::unique_ptr<LogDecoder> MakeDecoder(const Golden& golden, uint64_t hold_bytes = 1 << 20) {
  LogOptions options;
  options.flavor = golden.flavor;
  options.server = "server";
  options.database = golden.database;
  options.hold_bytes = hold_bytes;
  auto decoder = std::make_unique<LogDecoder>(options, golden.tables, TestText());
  EXPECT_TRUE(decoder->Start(Position(), true, false).has_value());
  return decoder;
}

// Feeds one event and takes all that comes of it.
inline Status FeedAll(LogDecoder* decoder, std::string_view event, std::vector<std::string>* outcome) {
  CROSSFADE_TRY(decoder->Feed(event, 1));
  for (;;) {
    CROSSFADE_ASSIGN(const auto next, decoder->Next());
    if (!next) {
      return {};
    }
    if (outcome != nullptr) {
      outcome->push_back(Describe(*next));
    }
  }
}

inline Status DecodeAll(const Golden& golden, std::vector<std::string>* outcome, uint64_t hold_bytes = 1 << 20) {
  const auto decoder = MakeDecoder(golden, hold_bytes);
  for (const std::string& event : golden.events) {
    CROSSFADE_TRY(FeedAll(decoder.get(), event, outcome));
  }
  return {};
}

// An event with its size and checksum made right again after its bytes were changed.
inline std::string Sealed(std::string event) {
  const auto size = static_cast<uint32_t>(event.size() + kChecksumBytes);
  std::memcpy(event.data() + 9, &size, sizeof size);
  const auto checksum = static_cast<uint32_t>(
      crc32(crc32(0, nullptr, 0), reinterpret_cast<const Bytef*>(event.data()), static_cast<uInt>(event.size())));
  event.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
  return event;
}

// An event of our own making.
inline std::string MakeEvent(EventType type, std::string_view body, uint32_t next_position = 0, uint16_t flags = 0) {
  std::string event;
  ByteWriter out(&event);
  out.FixedU32(1'700'000'000);
  out.U8(static_cast<uint8_t>(type));
  out.FixedU32(1);
  out.FixedU32(0);
  out.FixedU32(next_position);
  out.U8(static_cast<uint8_t>(flags));
  out.U8(static_cast<uint8_t>(flags >> 8));
  event += body;
  return Sealed(std::move(event));
}

inline std::string FormatEvent() {
  std::string body("\x04\x00", 2);
  std::string version = "10.11.19-MariaDB";
  version.resize(50);
  body += version + std::string(4, '\0') + '\x13' + std::string(40, '\x08') + '\x01';
  return MakeEvent(EventType::kFormatDescription, body);
}

inline std::string QueryEvent(std::string_view statement, std::string_view database = "d", uint32_t next_position = 0) {
  std::string body(8, '\0');
  body += static_cast<char>(database.size());
  body += std::string(4, '\0');
  body += std::string(database) + '\0' + std::string(statement);
  return MakeEvent(EventType::kQuery, body, next_position);
}

inline std::string MariaDbGtidEvent(uint64_t sequence, uint8_t flags = 0) {
  std::string body;
  ByteWriter out(&body);
  out.FixedU64(sequence);
  out.FixedU32(0);
  out.U8(flags);
  body += std::string(6, '\0');
  return MakeEvent(EventType::kMariaDbGtid, body);
}

// TABLE_MAP of (INT, VARCHAR(20) utf8mb4).
inline std::string TableMapEvent(uint8_t id, std::string_view table, std::string_view database = "d") {
  std::string body{static_cast<char>(id), 0, 0, 0, 0, 0, 1, 0};
  body += static_cast<char>(database.size()) + std::string(database) + '\0';
  body += static_cast<char>(table.size()) + std::string(table) + '\0';
  body += std::string("\x02\x03\x0f\x02\x50\x00\x02", 7);
  return MakeEvent(EventType::kTableMap, body);
}

inline std::string InsertEvent(uint8_t id, int32_t key, uint16_t flags = kStatementEnd) {
  std::string body{static_cast<char>(id), 0, 0, 0, 0, 0, static_cast<char>(flags), static_cast<char>(flags >> 8)};
  body += std::string("\x02\x03\xfc", 3);
  ByteWriter(&body).FixedU32(static_cast<uint32_t>(key));
  body += std::string("\x01x", 2);
  return MakeEvent(EventType::kWriteRowsV1, body);
}

inline TableSchema SimpleTable(const std::string& name) {
  TableSchema table;
  table.database = "d";
  table.name = name;
  Column id;
  id.name = "id";
  id.type = ColumnType::kInt;
  id.bits = 32;
  Column v;
  v.name = "v";
  v.type = ColumnType::kVarchar;
  v.length = 20;
  v.charset = "utf8mb4";
  table.columns = {id, v};
  table.primary_key = {{0, 0, false}};
  return table;
}

}  // namespace crossfade::capture
