#include "verify/shown.h"

#include <algorithm>

namespace crossfade::verify {

std::string Shown(const ComparedTable& table, uint32_t place, std::string_view part) {
  std::vector<std::string> storage;
  std::vector<Value> values;
  const uint32_t places[] = {place};
  const std::string_view parts[] = {part};
  if (!table.form().ValuesOf(places, parts, &storage, &values)) {
    std::string hex = "0x";  // nothing that the source's type could be
    for (const char c : part.substr(0, 64)) {
      hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
    }
    return hex;
  }
  return ToDisplay(values[0]);
}

std::string ColumnName(const ComparedTable& table, uint32_t place) {
  return table.route().source.columns[table.route().columns[place]].name;
}

std::string ShownKey(const ComparedTable& table, std::string_view key) {
  std::vector<std::string_view> parts;
  apply::SplitFields(key, &parts);
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const uint32_t place = table.whole_row() ? static_cast<uint32_t>(i) : table.key_places()[i];
    text += fmt::format("{}{}={}", i == 0 ? "" : ", ", ColumnName(table, place), Shown(table, place, parts[i]));
  }
  return text;
}

std::string ShownWriter(const Writer& writer) {
  return writer.foreign ? fmt::format("written by somebody else (transaction {}{})", writer.transaction,
                                      writer.at.empty() ? "" : ", " + writer.at)
                        : "";
}

namespace {

// For long values that begin alike.
void SayWhere(std::string_view source, std::string_view target, ShownDifference::Cell* cell) {
  const auto at = std::mismatch(source.begin(), source.end(), target.begin(), target.end()).first - source.begin();
  const std::string where = fmt::format(" (first different byte: {})", at + 1);
  cell->source += where;
  cell->target += where;
}

}  // namespace

ShownDifference Show(const ComparedTable& table, const Difference& difference) {
  ShownDifference shown;
  shown.kind = difference.kind;
  shown.key = ShownKey(table, difference.key);
  shown.writer = difference.writer;
  std::vector<std::string_view> source;
  std::vector<std::string_view> target;
  apply::SplitFields(difference.source, &source);
  apply::SplitFields(difference.target, &target);
  const auto columns = static_cast<uint32_t>(table.route().columns.size());
  for (uint32_t place = 0; place < columns; ++place) {
    const bool both = !source.empty() && !target.empty();
    const bool same = both && source[place] == target[place] &&
                      (source[place].data() == nullptr) == (target[place].data() == nullptr);
    if (!same) {
      shown.cells.push_back({ColumnName(table, place), source.empty() ? "" : Shown(table, place, source[place]),
                             target.empty() ? "" : Shown(table, place, target[place])});
      if (both && shown.cells.back().source == shown.cells.back().target) {
        SayWhere(source[place], target[place], &shown.cells.back());
      }
    }
  }
  return shown;
}

}  // namespace crossfade::verify
