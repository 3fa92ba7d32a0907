// Tables of a report. Cells are HTML: what comes from elsewhere goes through Escaped first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crossfade::tools {

enum class Cell : uint8_t { kText, kName, kNumber, kNarrow };

struct Heading {
  std::string text;
  Cell cell = Cell::kText;
};

class HtmlTable {
 public:
  explicit HtmlTable(std::vector<Heading> headings) : headings_(std::move(headings)) {}
  // As many cells as headings.
  void Row(const std::vector<std::string>& cells, std::string_view row_class = "");
  bool empty() const { return rows_.empty(); }
  // The table, or `otherwise` when it has no row.
  std::string Html(std::string_view otherwise) const;

 private:
  std::vector<Heading> headings_;
  std::string rows_;
  size_t count_ = 0;
};

// Names and what they are, one below the other; values are HTML.
std::string Facts(const std::vector<std::pair<std::string, std::string>>& facts);

}  // namespace crossfade::tools
