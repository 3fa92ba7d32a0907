#include "capture/postgres/row_images.h"

#include <algorithm>

#include "db/postgres/value_text.h"

namespace crossfade::capture {

namespace {

constexpr std::string_view kComponent = "capture.postgres";

using pgoutput::FieldKind;
using pgoutput::OldTuple;

}  // namespace

Status RowImages::Fill(const CapturedRelation& relation, pgoutput::Tuple tuple, bool identity_only, Image* image) {
  const std::vector<Column>& columns = relation.table->columns;
  if (tuple.size() != relation.columns.size()) {
    return MakeError(ErrorClass::kCorrupt, "CF1921", kComponent, "a tuple of {} has {} fields, and its table {}",
                     relation.table->QualifiedName(), tuple.size(), relation.columns.size());
  }
  image->values.assign(columns.size(), Value::Absent());
  image->texts.resize(std::max(image->texts.size(), columns.size()));
  for (size_t i = 0; i < tuple.size(); ++i) {
    const uint32_t column = relation.columns[i];
    if (identity_only && !relation.identity[i]) {
      continue;
    }
    switch (tuple[i].kind) {
      case FieldKind::kNull:
        image->values[column] = Value::Null();
        break;
      case FieldKind::kUnchanged:
        break;
      case FieldKind::kText: {
        CROSSFADE_ASSIGN(image->values[column],
                         postgres::ValueFromText(columns[column], tuple[i].bytes, &image->texts[column]));
        break;
      }
      case FieldKind::kBinary:
        return MakeError(ErrorClass::kCorrupt, "CF1921", kComponent, "a value of {}.{} is binary, which nobody wanted",
                         relation.table->QualifiedName(), columns[column].name);
    }
  }
  return {};
}

Status RowImages::CheckIdentity(const CapturedRelation& relation, const Image& image) {
  for (size_t i = 0; i < relation.columns.size(); ++i) {
    const uint32_t column = relation.columns[i];
    if (relation.identity[i] && image.values[column].is_absent()) {
      return MakeError(ErrorClass::kCorrupt, "CF1921", kComponent,
                       "a change of {} does not hold {} of the row's identity", relation.table->QualifiedName(),
                       relation.table->columns[column].name);
    }
  }
  return {};
}

// The description is that of a partitioned table, the old row that of its partition: a key's row would pass for a whole
// one.
Status RowImages::CheckFull(const CapturedRelation& relation, pgoutput::OldTuple old) {
  if (relation.replica_identity != 'f' || old == OldTuple::kWhole) {
    return {};
  }
  return MakeError(ErrorClass::kCorrupt, "CF1921", kComponent,
                   "a change of {}, whose replica identity is FULL, has no whole old row: a partition has another one",
                   relation.table->QualifiedName());
}

Status RowImages::Take(const CapturedRelation& relation, const pgoutput::Insert& insert) {
  before_.values.clear();
  return Fill(relation, insert.after, false, &after_);
}

Status RowImages::Take(const CapturedRelation& relation, const pgoutput::Update& update) {
  CROSSFADE_TRY(Fill(relation, update.after, false, &after_));
  CROSSFADE_TRY(CheckFull(relation, update.old));
  if (update.old == OldTuple::kNone) {
    before_.values.assign(after_.values.size(), Value::Absent());
    for (size_t i = 0; i < relation.columns.size(); ++i) {
      if (relation.identity[i]) {
        before_.values[relation.columns[i]] = after_.values[relation.columns[i]];
      }
    }
    return CheckIdentity(relation, before_);
  }
  CROSSFADE_TRY(Fill(relation, update.before, update.old == OldTuple::kKey, &before_));
  for (size_t column = 0; column < after_.values.size(); ++column) {
    if (after_.values[column].is_absent()) {
      after_.values[column] = before_.values[column];
    }
  }
  return CheckIdentity(relation, before_);
}

Status RowImages::Take(const CapturedRelation& relation, const pgoutput::Delete& deleted) {
  after_.values.clear();
  CROSSFADE_TRY(CheckFull(relation, deleted.old));
  CROSSFADE_TRY(Fill(relation, deleted.before, deleted.old == OldTuple::kKey, &before_));
  return CheckIdentity(relation, before_);
}

}  // namespace crossfade::capture
