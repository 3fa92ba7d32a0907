#include "snapshot/postgres/row_text.h"

#include <cstring>

#include "db/postgres/value_text.h"

namespace crossfade::snapshot {

namespace {

constexpr std::string_view kComponent = "snapshot.postgres";
constexpr std::string_view kNull = "\\N";

// What COPY writes behind a backslash; every other character stands for itself.
char Unescaped(char c) {
  switch (c) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return c;
  }
}

std::string_view Unescape(std::string_view text, std::string* storage) {
  size_t slash = text.find('\\');
  if (slash == std::string_view::npos) {
    return text;
  }
  storage->clear();
  size_t from = 0;
  while (slash != std::string_view::npos && slash + 1 < text.size()) {
    storage->append(text.substr(from, slash - from));
    storage->push_back(Unescaped(text[slash + 1]));
    from = slash + 2;
    slash = text.find('\\', from);
  }
  storage->append(text.substr(from));
  return *storage;
}

tl::unexpected<Error> NoRow(const TableSchema& table, size_t fields, size_t expected) {
  return MakeError(ErrorClass::kCorrupt, "CF1641", kComponent, "a row of {} came with {} fields, {} expected",
                   table.QualifiedName(), fields, expected);
}

}  // namespace

std::vector<uint32_t> ReadColumns(const TableSchema& table) {
  std::vector<uint32_t> columns;
  for (uint32_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].generated == GeneratedKind::kNone) {
      columns.push_back(i);
    }
  }
  return columns;
}

RowText::RowText(const TableSchema& table) : table_(table), values_(table.columns.size()) {
  for (const uint32_t column : ReadColumns(table)) {
    fields_.push_back({column, {}, {}});
  }
}

Status RowText::Read(Field* field, std::string_view text) {
  CROSSFADE_ASSIGN(values_[field->column],
                   postgres::ValueFromText(table_.columns[field->column], text, &field->storage));
  return {};
}

Result<std::span<const Value>> RowText::FromLine(std::string_view line) {
  size_t taken = 0;
  const char* at = line.data();
  const char* const end = at + line.size();
  for (bool more = !fields_.empty(); more; ++taken) {
    const auto* tab = static_cast<const char*>(std::memchr(at, '\t', static_cast<size_t>(end - at)));
    more = tab != nullptr;
    const std::string_view text(at, static_cast<size_t>((more ? tab : end) - at));
    at = more ? tab + 1 : end;
    if (taken >= fields_.size()) {
      continue;  // counted, for the error
    }
    Field& field = fields_[taken];
    if (text == kNull) {
      values_[field.column] = Value::Null();
    } else {
      CROSSFADE_TRY(Read(&field, Unescape(text, &field.unescaped)));
    }
  }
  if (taken != fields_.size()) {
    return NoRow(table_, taken, fields_.size());
  }
  return std::span<const Value>(values_);
}

Result<std::span<const Value>> RowText::FromFields(std::span<const std::optional<std::string_view>> fields) {
  if (fields.size() != fields_.size()) {
    return NoRow(table_, fields.size(), fields_.size());
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i]) {
      CROSSFADE_TRY(Read(&fields_[i], *fields[i]));
    } else {
      values_[fields_[i].column] = Value::Null();
    }
  }
  return std::span<const Value>(values_);
}

}  // namespace crossfade::snapshot
