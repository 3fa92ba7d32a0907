#include "core/schema.h"

#include <array>

#include "core/bytes.h"

namespace crossfade {

namespace {

constexpr uint8_t kSchemaVersion = 1;

void EncodeColumn(ByteWriter* out, const Column& c) {
  out->String(c.name);
  out->U8(static_cast<uint8_t>(c.type));
  out->String(c.source_type);
  const uint8_t flags = static_cast<uint8_t>(
      (c.nullable ? 1 : 0) | (c.is_unsigned ? 2 : 0) | (c.auto_increment ? 4 : 0) | (c.invisible ? 8 : 0) |
      (c.default_value ? 16 : 0) | (c.default_is_expression ? 32 : 0) | (c.of_postgres ? 64 : 0));
  out->U8(flags);
  out->U8(c.bits);
  out->Varint(c.length);
  out->Varint(c.precision);
  out->Varint(c.scale);
  out->U8(c.fraction);
  out->String(c.charset);
  out->String(c.collation);
  out->Varint(c.labels.size());
  for (const std::string& label : c.labels) {
    out->String(label);
  }
  out->String(c.default_value.value_or(""));
  out->U8(static_cast<uint8_t>(c.generated));
  out->String(c.generation_expression);
  out->String(c.comment);
}

Column DecodeColumn(ByteReader* in) {
  Column c;
  c.name = in->String();
  c.type = static_cast<ColumnType>(in->U8());
  c.source_type = in->String();
  const uint8_t flags = in->U8();
  c.nullable = (flags & 1) != 0;
  c.is_unsigned = (flags & 2) != 0;
  c.auto_increment = (flags & 4) != 0;
  c.invisible = (flags & 8) != 0;
  c.default_is_expression = (flags & 32) != 0;
  c.of_postgres = (flags & 64) != 0;
  c.bits = in->U8();
  c.length = in->Varint();
  c.precision = static_cast<uint16_t>(in->Varint());
  c.scale = static_cast<uint16_t>(in->Varint());
  c.fraction = in->U8();
  c.charset = in->String();
  c.collation = in->String();
  const uint64_t labels = in->Varint();
  for (uint64_t i = 0; i < labels && in->ok(); ++i) {
    c.labels.emplace_back(in->String());
  }
  const std::string_view default_value = in->String();
  if ((flags & 16) != 0) {
    c.default_value = std::string(default_value);
  }
  c.generated = static_cast<GeneratedKind>(in->U8());
  c.generation_expression = in->String();
  c.comment = in->String();
  return c;
}

void EncodeParts(ByteWriter* out, const std::vector<KeyPart>& parts) {
  out->Varint(parts.size());
  for (const KeyPart& part : parts) {
    out->Varint(part.column);
    out->Varint(part.prefix);
    out->U8(part.descending ? 1 : 0);
  }
}

std::vector<KeyPart> DecodeParts(ByteReader* in) {
  std::vector<KeyPart> parts;
  const uint64_t count = in->Varint();
  for (uint64_t i = 0; i < count && in->ok(); ++i) {
    KeyPart part;
    part.column = static_cast<uint32_t>(in->Varint());
    part.prefix = static_cast<uint32_t>(in->Varint());
    part.descending = in->U8() != 0;
    parts.push_back(part);
  }
  return parts;
}

void EncodeForeignKey(ByteWriter* out, const ForeignKey& key) {
  out->String(key.name);
  out->Varint(key.columns.size());
  for (const uint32_t column : key.columns) {
    out->Varint(column);
  }
  out->String(key.parent_table);
  out->Varint(key.parent_columns.size());
  for (const std::string& column : key.parent_columns) {
    out->String(column);
  }
  out->U8(static_cast<uint8_t>(key.on_delete));
  out->U8(static_cast<uint8_t>(key.on_update));
}

ForeignKey DecodeForeignKey(ByteReader* in) {
  ForeignKey key;
  key.name = in->String();
  const uint64_t columns = in->Varint();
  for (uint64_t i = 0; i < columns && in->ok(); ++i) {
    key.columns.push_back(static_cast<uint32_t>(in->Varint()));
  }
  key.parent_table = in->String();
  const uint64_t parents = in->Varint();
  for (uint64_t i = 0; i < parents && in->ok(); ++i) {
    key.parent_columns.emplace_back(in->String());
  }
  key.on_delete = static_cast<ReferenceAction>(in->U8());
  key.on_update = static_cast<ReferenceAction>(in->U8());
  return key;
}

}  // namespace

std::string_view ColumnTypeName(ColumnType type) {
  constexpr std::array<std::string_view, 28> kNames = {
      "?",         "int",  "float", "double", "decimal",  "bit",       "char", "varchar", "text", "binary",
      "varbinary", "blob", "date",  "time",   "datetime", "timestamp", "year", "enum",    "set",  "json",
      "json text", "uuid", "inet4", "inet6",  "geometry", "vector",    "bool", "native"};
  const auto index = static_cast<size_t>(type);
  return index < kNames.size() ? kNames[index] : kNames[0];
}

std::optional<uint32_t> TableSchema::FindColumn(std::string_view column) const {
  for (uint32_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == column) {
      return i;
    }
  }
  return std::nullopt;
}

std::string TableSchema::QualifiedName() const { return database + "." + name; }

std::string TableSchema::Encode() const {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(kSchemaVersion);
  out.String(database);
  out.String(name);
  out.Varint(columns.size());
  for (const Column& column : columns) {
    EncodeColumn(&out, column);
  }
  EncodeParts(&out, primary_key);
  out.Varint(keys.size());
  for (const Key& key : keys) {
    out.String(key.name);
    out.U8(key.unique ? 1 : 0);
    EncodeParts(&out, key.parts);
    out.String(key.method);
  }
  out.Varint(foreign_keys.size());
  for (const ForeignKey& key : foreign_keys) {
    EncodeForeignKey(&out, key);
  }
  out.String(engine);
  out.String(comment);
  out.Varint(checks.size());
  for (const std::string& check : checks) {
    out.String(check);
  }
  return bytes;
}

Result<TableSchema> TableSchema::Decode(std::string_view bytes) {
  ByteReader in(bytes);
  const uint8_t version = in.U8();
  TableSchema table;
  table.database = in.String();
  table.name = in.String();
  const uint64_t columns = in.Varint();
  for (uint64_t i = 0; i < columns && in.ok(); ++i) {
    table.columns.push_back(DecodeColumn(&in));
  }
  table.primary_key = DecodeParts(&in);
  const uint64_t keys = in.Varint();
  for (uint64_t i = 0; i < keys && in.ok(); ++i) {
    Key key;
    key.name = in.String();
    key.unique = in.U8() != 0;
    key.parts = DecodeParts(&in);
    key.method = in.String();
    table.keys.push_back(std::move(key));
  }
  const uint64_t foreign_keys = in.Varint();
  for (uint64_t i = 0; i < foreign_keys && in.ok(); ++i) {
    table.foreign_keys.push_back(DecodeForeignKey(&in));
  }
  table.engine = in.String();
  table.comment = in.String();
  const uint64_t checks = in.Varint();
  for (uint64_t i = 0; i < checks && in.ok(); ++i) {
    table.checks.emplace_back(in.String());
  }
  if (!in.ok() || !in.at_end() || version != kSchemaVersion) {
    return MakeError(ErrorClass::kCorrupt, "CF1002", "core.schema",
                     "not an encoded table schema ({} bytes, version {})", bytes.size(), version);
  }
  return table;
}

}  // namespace crossfade
