#include "verify/sides.h"

#include <algorithm>
#include <utility>

namespace crossfade::verify {

Result<std::unique_ptr<ComparedTable>> ComparedTable::Make(const apply::Route& route, apply::RowReader* target) {
  std::unique_ptr<ComparedTable> table(new ComparedTable(route));
  CROSSFADE_ASSIGN(table->form_, target->FormOf(route));
  for (const uint32_t column : route.key) {
    const auto place = std::find(route.columns.begin(), route.columns.end(), column);
    table->key_places_.push_back(static_cast<uint32_t>(place - route.columns.begin()));
  }
  return table;
}

void ComparedTable::KeyOf(apply::Fields row, std::string* key) const {
  if (whole_row()) {
    key->assign(row);
  } else {
    apply::SelectFields(row, key_places_, key);
  }
}

Status ReadSource(const ComparedTable& table, const ChunkRange& range, snapshot::Reader* source,
                  snapshot::CopyLimits* limits, const std::stop_token& stop, const RowSink& sink) {
  std::string fields;
  std::string key;
  uint64_t pending = 0;  // read, and not yet counted
  const auto admit = [&]() -> Status {
    if (!limits->Admit(std::exchange(pending, 0), stop)) {
      return MakeError(ErrorClass::kTransient, "CF1801", "verify", "stopped");
    }
    return {};
  };
  CROSSFADE_TRY(source->Read(table.route().source, range, [&](std::span<const Value> row) -> Status {
    if (++pending >= limits->step()) {
      CROSSFADE_TRY(admit());
    }
    CROSSFADE_TRY(table.form().FieldsOf(row, &fields));
    table.KeyOf(fields, &key);
    return sink(DigestOf(key), DigestOf(fields), key, fields);
  }));
  return admit();
}

Status ReadTarget(const ComparedTable& table, const ChunkRange& range, apply::RowReader* target, const RowSink& sink) {
  std::string key;
  return target->ReadRange(table.route(), range, [&](apply::Fields fields) -> Status {
    table.KeyOf(fields, &key);
    return sink(DigestOf(key), DigestOf(fields), key, fields);
  });
}

}  // namespace crossfade::verify
