#include "core/bytes.h"
#include "tools/crossfade/pipeline.h"

namespace crossfade::tools {

namespace {
constexpr const char* kSchemasRecord = "run.schemas";
}  // namespace

Status SaveSchemas(state::Journal* journal, const std::vector<TableSchema>& schemas) {
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.Varint(schemas.size());
  for (const TableSchema& schema : schemas) {
    writer.String(schema.Encode());
  }
  return journal->PutRecord(kSchemasRecord, bytes);
}

Result<std::vector<TableSchema>> LoadSchemas(state::Journal* journal) {
  CROSSFADE_ASSIGN(const std::optional<std::string> bytes, journal->GetRecord(kSchemasRecord));
  std::vector<TableSchema> schemas;
  ByteReader reader(bytes ? std::string_view(*bytes) : std::string_view());
  const uint64_t count = reader.Varint();
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    CROSSFADE_ASSIGN(TableSchema schema, TableSchema::Decode(reader.String()));
    schemas.push_back(std::move(schema));
  }
  if (!bytes || !reader.ok() || !reader.at_end()) {
    return MakeError(ErrorClass::kCorrupt, "CF1723", "pipeline",
                     "the run record in the state directory is not readable");
  }
  return schemas;
}

}  // namespace crossfade::tools
