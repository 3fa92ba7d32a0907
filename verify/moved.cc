#include "verify/moved.h"

#include <algorithm>
#include <limits>

#include "core/bytes.h"

namespace crossfade::verify {

namespace {

void EncodeSet(const FieldSet& set, ByteWriter* writer) {
  writer->Varint(set.size());
  for (const std::string& one : set) {
    writer->String(one);
  }
}

std::string Encode(const Touched& touched) {
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.Varint(touched.rows().size());
  for (const auto& [table, rows] : touched.rows()) {
    writer.String(table->route().source.name);
    EncodeSet(rows.keys, &writer);
    writer.Varint(rows.by.size());
    for (const auto& [columns, values] : rows.by) {
      writer.Varint(columns.size());
      for (const uint32_t column : columns) {
        writer.Varint(column);
      }
      EncodeSet(values, &writer);
    }
  }
  writer.Varint(touched.whole().size());
  for (const auto& [table, why] : touched.whole()) {
    writer.String(table->route().source.name);
    writer.String(why);
  }
  return bytes;
}

bool Decode(std::string_view bytes, const ComparedTables& tables, Touched* touched) {
  ByteReader reader(bytes);
  for (uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    const ComparedTable* table = tables.Find(reader.String());
    if (table == nullptr) {
      return false;
    }
    for (uint64_t keys = reader.Varint(); keys > 0 && reader.ok(); --keys) {
      touched->AddKey(table, std::string(reader.String()));
    }
    for (uint64_t by = reader.Varint(); by > 0 && reader.ok(); --by) {
      std::vector<uint32_t> columns;
      for (uint64_t count = reader.Varint(); count > 0 && reader.ok(); --count) {
        columns.push_back(static_cast<uint32_t>(reader.Varint()));
      }
      for (uint64_t values = reader.Varint(); values > 0 && reader.ok(); --values) {
        touched->AddChildren(table, columns, std::string(reader.String()));
      }
    }
  }
  for (uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    const ComparedTable* table = tables.Find(reader.String());
    const std::string_view why = reader.String();
    if (table == nullptr) {
      return false;
    }
    touched->AddWhole(table, why);
  }
  return reader.ok() && reader.at_end();
}

}  // namespace

void MovedRows::Merge(const Touched& more) {
  for (const auto& [table, rows] : more.rows()) {
    for (const std::string& key : rows.keys) {
      rows_.AddKey(table, key);
    }
    for (const auto& [columns, values] : rows.by) {
      for (const std::string& one : values) {
        rows_.AddChildren(table, columns, one);
      }
    }
  }
  for (const auto& [table, why] : more.whole()) {
    rows_.AddWhole(table, why);
  }
}

bool MovedRows::Add(std::string_view noted) {
  Touched more;
  if (!Decode(noted, *tables_, &more)) {
    return false;
  }
  Merge(more);
  return true;
}

Result<std::string> MovedRows::Follow(const std::stop_token& stop) {
  CROSSFADE_TRY(journal_->Refresh());
  const TouchedLimits room{limits_.max_keys - std::min(limits_.max_keys, rows_.keys()),
                           limits_.max_bytes - std::min(limits_.max_bytes, rows_.bytes())};
  constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
  TouchedReader reader(tables_, journal_, room);
  Touched more;
  CROSSFADE_TRY(reader.Open(followed_));
  CROSSFADE_TRY(reader.Collect(journal_->tail().seq, {kAny, kAny}, &more, stop));
  followed_ = reader.collected();
  Merge(more);
  return more.rows().empty() && more.whole().empty() ? std::string() : Encode(more);
}

std::string MovedRows::AddWhole(const ComparedTable* table, std::string_view why) {
  Touched more;
  more.AddWhole(table, why);
  Merge(more);
  return Encode(more);
}

}  // namespace crossfade::verify
