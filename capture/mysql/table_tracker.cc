#include "capture/mysql/table_tracker.h"

#include <algorithm>
#include <cctype>

namespace crossfade::capture {

namespace {

constexpr size_t kMaxRemembered = 4096;

}  // namespace

TableTracker::TableTracker(mysql::Flavor flavor, std::string database, bool fold_case, std::vector<TableSchema> tables,
                           ServerText text)
    : flavor_(flavor),
      database_(std::move(database)),
      fold_case_(fold_case),
      tables_(std::move(tables)),
      text_(std::move(text)) {
  database_ = Folded(database_);
  for (const TableSchema& table : tables_) {
    by_name_.emplace(Folded(table.name), &table);
  }
}

std::string TableTracker::Folded(std::string_view name) const {
  std::string folded(name);
  if (fold_case_) {
    std::transform(folded.begin(), folded.end(), folded.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
  return folded;
}

std::string_view TableTracker::ToUtf8(std::string_view text, uint32_t collation, std::string* converted) const {
  const auto charset = text_.charset_of_collation.find(collation);
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  if (ascii || charset == text_.charset_of_collation.end()) {
    return text;
  }
  const auto converter = text_.converter(charset->second);
  converted->clear();
  if (!converter || (*converter)->passes_through() || !(*converter)->Convert(text, converted)) {
    return text;
  }
  return *converted;
}

bool TableTracker::IsOurDatabase(std::string_view database) const {
  return database == database_ || (fold_case_ && Folded(database) == database_);
}

const TableSchema* TableTracker::FindTable(std::string_view database, std::string_view table) const {
  if (!IsOurDatabase(database)) {
    return nullptr;
  }
  const auto found = by_name_.find(Folded(table));
  return found == by_name_.end() ? nullptr : found->second;
}

Result<const TableTracker::Mapped*> TableTracker::Map(std::string_view body) {
  const uint64_t id = TableIdOf(body);
  if (const Mapped* known = Find(id); known != nullptr && known->body == body) {
    return known;
  }
  CROSSFADE_ASSIGN(const TableName name, ParseTableName(body));
  Mapped mapped{std::string(body), nullptr};
  if (const TableSchema* schema = FindTable(name.database, name.table); schema != nullptr) {
    CROSSFADE_ASSIGN(const TableMap map, ParseTableMap(flavor_, body));
    CROSSFADE_ASSIGN(TablePlan plan, MakePlan(map, *schema, text_));
    mapped.plan = std::make_shared<const TablePlan>(std::move(plan));
  }
  Mapped& entry = mapped_[id];
  entry = std::move(mapped);
  last_id_ = id;
  last_ = &entry;
  return last_;
}

const TableTracker::Mapped* TableTracker::Find(uint64_t table_id) const {
  if (last_ != nullptr && last_id_ == table_id) {
    return last_;
  }
  const auto found = mapped_.find(table_id);
  if (found == mapped_.end()) {
    return nullptr;
  }
  last_id_ = table_id;
  last_ = &found->second;
  return last_;
}

void TableTracker::Forget() {
  if (mapped_.size() > kMaxRemembered) {
    mapped_.clear();
    last_ = nullptr;
  }
}

}  // namespace crossfade::capture
