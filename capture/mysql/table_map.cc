#include "capture/mysql/table_map.h"

#include <algorithm>
#include <functional>

namespace crossfade::capture {

namespace {

// Kinds of optional metadata.
enum Metadata : uint8_t {
  kSignedness = 1,
  kDefaultCharset = 2,
  kColumnCharset = 3,
  kColumnName = 4,
  kSetLabels = 5,
  kEnumLabels = 6,
  kEnumAndSetDefaultCharset = 10,
  kEnumAndSetColumnCharset = 11,
  // Geometry types, primary keys, visibility and vector dimensions say nothing that decoding needs.
};

// What the servers call a number: YEAR is one, and unsigned.
bool IsNumeric(FieldType type) {
  switch (type) {
    case FieldType::kTiny:
    case FieldType::kShort:
    case FieldType::kInt24:
    case FieldType::kLong:
    case FieldType::kLongLong:
    case FieldType::kDecimal:
    case FieldType::kFloat:
    case FieldType::kDouble:
    case FieldType::kYear:
      return true;
    default:
      return false;
  }
}

bool IsText(FieldType type) {
  switch (type) {
    case FieldType::kString:
    case FieldType::kVarString:
    case FieldType::kVarchar:
    case FieldType::kBlob:
    case FieldType::kVarcharCompressed:
    case FieldType::kBlobCompressed:
      return true;
    default:
      return false;
  }
}

bool IsMariaDbText(FieldType type) { return IsText(type) || type == FieldType::kGeometry; }

bool IsEnumOrSet(FieldType type) { return type == FieldType::kEnum || type == FieldType::kSet; }

// The two bytes of a 254: the real type, and in spare bits of it the high bits of the length.
MappedColumn ReadStringMeta(ByteReader* meta) {
  const uint8_t type = meta->U8();
  const uint8_t length = meta->U8();
  MappedColumn column;
  if ((type & 0x30) != 0x30) {
    column.type = static_cast<FieldType>(type | 0x30);
    column.meta = length | static_cast<uint32_t>((type & 0x30) ^ 0x30) << 4;
  } else {
    column.type = static_cast<FieldType>(type);
    column.meta = length;
  }
  if (column.type != FieldType::kString && !IsEnumOrSet(column.type)) {
    Break(meta);
  }
  return column;
}

MappedColumn ReadColumn(uint8_t type, ByteReader* meta) {
  MappedColumn column{static_cast<FieldType>(type), 0};
  switch (column.type) {
    case FieldType::kTiny:
    case FieldType::kShort:
    case FieldType::kLong:
    case FieldType::kLongLong:
    case FieldType::kInt24:
    case FieldType::kTimestamp:
    case FieldType::kDate:
    case FieldType::kNewDate:
    case FieldType::kTime:
    case FieldType::kDateTime:
    case FieldType::kYear:
      return column;
    case FieldType::kFloat:
    case FieldType::kDouble:
    case FieldType::kBlob:
    case FieldType::kBlobCompressed:
    case FieldType::kGeometry:
    case FieldType::kJson:
    case FieldType::kVector:
    case FieldType::kTimestamp2:
    case FieldType::kDateTime2:
    case FieldType::kTime2:
      column.meta = meta->U8();
      return column;
    case FieldType::kVarchar:
    case FieldType::kVarString:
    case FieldType::kVarcharCompressed:
    case FieldType::kDecimal:
      column.meta = meta->FixedU16();
      return column;
    case FieldType::kBit: {
      const uint8_t bits = meta->U8();
      column.meta = bits + 8U * meta->U8();
      return column;
    }
    case FieldType::kString:
    case FieldType::kEnum:
    case FieldType::kSet:
      return ReadStringMeta(meta);
    default:
      Break(meta);
      return column;
  }
}

std::vector<size_t> ColumnsThat(const TableMap& map, bool (*test)(FieldType)) {
  std::vector<size_t> found;
  for (size_t i = 0; i < map.columns.size(); ++i) {
    if (test(map.columns[i].type)) {
      found.push_back(i);
    }
  }
  return found;
}

// A default collation, then pairs of ordinal and collation for the columns that differ.
void ReadDefaultCharset(ByteReader in, const std::vector<size_t>& columns, TableMap* map) {
  const size_t first = map->charsets.size();
  const auto common = static_cast<uint32_t>(ReadLengthEncoded(&in));
  for (const size_t column : columns) {
    map->charsets.push_back({column, common});
  }
  while (in.ok() && !in.at_end()) {
    const uint64_t ordinal = ReadLengthEncoded(&in);
    const auto collation = static_cast<uint32_t>(ReadLengthEncoded(&in));
    if (ordinal < columns.size()) {
      map->charsets[first + ordinal].collation = collation;
    }
  }
}

void ReadColumnCharsets(ByteReader in, const std::vector<size_t>& columns, TableMap* map) {
  for (const size_t column : columns) {
    const auto collation = static_cast<uint32_t>(ReadLengthEncoded(&in));
    if (!in.ok()) {
      return;
    }
    map->charsets.push_back({column, collation});
  }
}

void ReadSignedness(ByteReader in, TableMap* map) {
  // One bit for each numeric column, the highest first.
  map->is_unsigned.emplace(map->columns.size(), false);
  uint8_t bits = 0;
  int left = 0;
  for (const size_t column : ColumnsThat(*map, IsNumeric)) {
    if (left == 0) {
      bits = in.U8();
      left = 8;
    }
    (*map->is_unsigned)[column] = (bits & 0x80) != 0;
    bits = static_cast<uint8_t>(bits << 1);
    --left;
  }
}

void ReadLabels(ByteReader in, FieldType type, TableMap* map) {
  for (size_t column = 0; column < map->columns.size(); ++column) {
    if (map->columns[column].type != type) {
      continue;
    }
    std::vector<std::string_view> labels;
    const uint64_t count = ReadLengthEncoded(&in);
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
      labels.push_back(in.Bytes(ReadLengthEncoded(&in)));
    }
    if (in.ok()) {
      map->labels.emplace_back(column, std::move(labels));
    }
  }
}

void ReadMetadata(mysql::Flavor flavor, uint8_t kind, std::string_view bytes, TableMap* map) {
  ByteReader in(bytes);
  const auto is_text = flavor == mysql::Flavor::kMariaDb ? IsMariaDbText : IsText;
  switch (kind) {
    case kSignedness:
      return ReadSignedness(in, map);
    case kDefaultCharset:
      return ReadDefaultCharset(in, ColumnsThat(*map, is_text), map);
    case kColumnCharset:
      return ReadColumnCharsets(in, ColumnsThat(*map, is_text), map);
    case kEnumAndSetDefaultCharset:
      return ReadDefaultCharset(in, ColumnsThat(*map, IsEnumOrSet), map);
    case kEnumAndSetColumnCharset:
      return ReadColumnCharsets(in, ColumnsThat(*map, IsEnumOrSet), map);
    case kColumnName:
      while (!in.at_end()) {
        map->names.push_back(in.Bytes(ReadLengthEncoded(&in)));
      }
      return;
    case kSetLabels:
      return ReadLabels(in, FieldType::kSet, map);
    case kEnumLabels:
      return ReadLabels(in, FieldType::kEnum, map);
    default:
      return;
  }
}

}  // namespace

uint64_t TableIdOf(std::string_view body) {
  ByteReader in(body);
  return ReadLittleEndian(&in, 6);
}

Result<TableName> ParseTableName(std::string_view body) {
  ByteReader in(body);
  in.Skip(8);
  TableName name;
  name.database = in.Bytes(in.U8());
  in.Skip(1);
  name.table = in.Bytes(in.U8());
  if (!in.ok()) {
    return Malformed(EventType::kTableMap, "too short");
  }
  return name;
}

Result<TableMap> ParseTableMap(mysql::Flavor flavor, std::string_view body) {
  constexpr EventType kType = EventType::kTableMap;
  ByteReader in(body);
  TableMap map;
  map.table_id = ReadLittleEndian(&in, 6);
  in.Skip(2);  // flags
  map.database = in.Bytes(in.U8());
  in.Skip(1);
  map.table = in.Bytes(in.U8());
  in.Skip(1);
  const uint64_t count = ReadLengthEncoded(&in);
  const std::string_view types = in.Bytes(count);
  ByteReader meta(in.Bytes(ReadLengthEncoded(&in)));
  in.Skip((count + 7) / 8);  // which columns may be null
  if (!in.ok()) {
    return Malformed(kType, "too short");
  }
  map.columns.reserve(types.size());
  for (const char type : types) {
    map.columns.push_back(ReadColumn(static_cast<uint8_t>(type), &meta));
    if (!meta.ok()) {
      return Malformed(kType, fmt::format("column {} of {}.{} has a type that is not known ({})", map.columns.size(),
                                          map.database, map.table, static_cast<uint8_t>(type)));
    }
  }
  while (!in.at_end()) {
    const uint8_t kind = in.U8();
    const std::string_view bytes = in.Bytes(ReadLengthEncoded(&in));
    if (!in.ok()) {
      return Malformed(kType, "optional metadata too short");
    }
    ReadMetadata(flavor, kind, bytes, &map);
  }
  if (!map.names.empty() && map.names.size() != map.columns.size()) {
    return Malformed(kType, "as many names as columns are needed");
  }
  return map;
}

}  // namespace crossfade::capture
