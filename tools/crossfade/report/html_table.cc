#include "tools/crossfade/report/html_table.h"

#include <fmt/format.h>

#include "tools/crossfade/report/report_text.h"

namespace crossfade::tools {

namespace {

std::string_view ClassOf(Cell cell) {
  switch (cell) {
    case Cell::kText:
      return "";
    case Cell::kName:
      return " class=\"name\"";
    case Cell::kNumber:
      return " class=\"number\"";
    case Cell::kNarrow:
      return " class=\"narrow\"";
  }
  return "";
}

}  // namespace

void HtmlTable::Row(const std::vector<std::string>& cells, std::string_view row_class) {
  rows_ += row_class.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", row_class);
  for (size_t i = 0; i < cells.size() && i < headings_.size(); ++i) {
    rows_ += fmt::format("<td{}>{}</td>", ClassOf(headings_[i].cell), cells[i]);
  }
  rows_ += "</tr>\n";
  ++count_;
}

std::string HtmlTable::Html(std::string_view otherwise) const {
  if (rows_.empty()) {
    return fmt::format("<p class=\"none\">{}</p>\n", Escaped(otherwise));
  }
  // A page ends before a short table rather than within it.
  constexpr size_t kShort = 12;
  std::string out = count_ <= kShort ? "<table class=\"short\"><thead><tr>" : "<table><thead><tr>";
  for (const Heading& heading : headings_) {
    out += fmt::format("<th scope=\"col\"{}>{}</th>", ClassOf(heading.cell), Escaped(heading.text));
  }
  return out + "</tr></thead><tbody>\n" + rows_ + "</tbody></table>\n";
}

std::string Facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string out = "<table class=\"facts\"><tbody>\n";
  for (const auto& [name, value] : facts) {
    out += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", Escaped(name), value);
  }
  return out + "</tbody></table>\n";
}

}  // namespace crossfade::tools
