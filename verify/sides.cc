#include "verify/sides.h"

#include <algorithm>
#include <utility>

namespace crossfade::verify {

Result<std::unique_ptr<ComparedTable>> ComparedTable::Make(const apply::Route& route, apply::RowReader* target) {
  std::unique_ptr<ComparedTable> table(new ComparedTable(route));
  CROSSFADE_ASSIGN(table->form_, target->FormOf(route));
  CROSSFADE_ASSIGN(table->stored_form_, target->FormOf(table->stored_route_));
  table->key_places_ = table->PlacesOf(route.key);
  return table;
}

std::vector<uint32_t> ComparedTable::PlacesOf(const std::vector<uint32_t>& columns) const {
  std::vector<uint32_t> places;
  for (const uint32_t column : columns) {
    const auto place = std::find(route_.columns.begin(), route_.columns.end(), column);
    places.push_back(static_cast<uint32_t>(place - route_.columns.begin()));
  }
  return places;
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

Status ReadSourceBy(const ComparedTable& table, const std::vector<uint32_t>& columns,
                    std::span<const std::string> tuples, snapshot::Reader* source, const RowSink& sink) {
  const std::vector<uint32_t> places = table.PlacesOf(columns);
  std::vector<std::vector<std::string>> storage(tuples.size());
  std::vector<std::vector<Value>> values(tuples.size());
  std::vector<std::string_view> parts;
  for (size_t i = 0; i < tuples.size(); ++i) {
    apply::SplitFields(tuples[i], &parts);
    const Status valued = table.form().ValuesOf(places, parts, &storage[i], &values[i]);
    if (!valued && valued.error().error_class != ErrorClass::kData) {
      return valued;
    }
    if (!valued) {
      values[i].clear();  // no row of the source can have it
    }
  }
  std::erase_if(values, [](const std::vector<Value>& tuple) { return tuple.empty(); });
  if (values.empty()) {
    return {};
  }
  std::string fields;
  std::string key;
  return source->ReadKeys(table.route().source, columns, values, [&](std::span<const Value> row) -> Status {
    CROSSFADE_TRY(table.form().FieldsOf(row, &fields));
    table.KeyOf(fields, &key);
    return sink({}, DigestOf(fields), key, fields);
  });
}

}  // namespace crossfade::verify
