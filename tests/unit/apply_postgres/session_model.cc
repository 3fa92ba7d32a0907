#include "session_model.h"

#include <algorithm>
#include <utility>

namespace crossfade::apply {

namespace {

bool IsNull(const Cell& cell) { return std::holds_alternative<std::monostate>(cell); }

std::vector<std::vector<uint32_t>> UniqueKeys(const TableSchema& table) {
  std::vector<std::vector<uint32_t>> keys;
  const auto add = [&](const std::vector<KeyPart>& parts) {
    std::vector<uint32_t> columns;
    for (const KeyPart& part : parts) {
      columns.push_back(part.column);
    }
    keys.push_back(std::move(columns));
  };
  if (!table.primary_key.empty()) {
    add(table.primary_key);
  }
  for (const Key& key : table.keys) {
    if (key.unique) {
      add(key.parts);
    }
  }
  return keys;
}

}  // namespace

SourceModel::SourceModel(const std::vector<TableSchema>* tables, bool logs_cascades)
    : tables_(tables), logs_cascades_(logs_cascades), state_(tables->size()) {}

size_t SourceModel::IndexOf(const std::string& table) const {
  for (size_t i = 0; i < tables_->size(); ++i) {
    if ((*tables_)[i].name == table) {
      return i;
    }
  }
  std::abort();
}

bool SourceModel::KeysAllow(size_t table, const Row& row, const Row* except) const {
  for (const std::vector<uint32_t>& key : UniqueKeys((*tables_)[table])) {
    if (std::any_of(key.begin(), key.end(), [&](uint32_t c) { return IsNull(row[c]); })) {
      continue;
    }
    for (const Row& other : state_[table]) {
      if (&other != except && std::all_of(key.begin(), key.end(), [&](uint32_t c) { return other[c] == row[c]; })) {
        return false;
      }
    }
  }
  for (size_t c = 0; c < row.size(); ++c) {
    if (IsNull(row[c]) && !(*tables_)[table].columns[c].nullable) {
      return false;
    }
  }
  return true;
}

bool SourceModel::ParentsAllow(size_t table, const Row& row) const {
  for (const ForeignKey& key : (*tables_)[table].foreign_keys) {
    const Cell& cell = row[key.columns[0]];
    const size_t parent = IndexOf(key.parent_table);
    const uint32_t column = *(*tables_)[parent].FindColumn(key.parent_columns[0]);
    const bool self = parent == table && row[column] == cell;
    if (!IsNull(cell) && !self &&
        std::none_of(state_[parent].begin(), state_[parent].end(), [&](const Row& r) { return r[column] == cell; })) {
      return false;
    }
  }
  return true;
}

// `row` by value of its cells; removes one such row and what follows from it.
bool SourceModel::Remove(size_t table, const Row& row, LoggedTransaction* cascaded, int depth) {
  if (depth > 12) {
    return false;
  }
  const auto found = std::find(state_[table].begin(), state_[table].end(), row);
  const Row gone = *found;
  state_[table].erase(found);
  for (size_t child = 0; child < tables_->size(); ++child) {
    for (const ForeignKey& key : (*tables_)[child].foreign_keys) {
      if (key.parent_table != (*tables_)[table].name) {
        continue;
      }
      const uint32_t column = *(*tables_)[table].FindColumn(key.parent_columns[0]);
      for (;;) {
        const auto affected = std::find_if(state_[child].begin(), state_[child].end(), [&](const Row& r) {
          return !IsNull(r[key.columns[0]]) && r[key.columns[0]] == gone[column];
        });
        if (affected == state_[child].end()) {
          break;
        }
        const Row before = *affected;
        LoggedChange change{&(*tables_)[child], ChangeKind::kDelete, kCascaded, before, {}};
        if (key.on_delete == ReferenceAction::kCascade) {
          if (!Remove(child, before, cascaded, depth + 1)) {
            return false;
          }
        } else if (key.on_delete == ReferenceAction::kSetNull) {
          Row to = before;
          to[key.columns[0]] = std::monostate();
          if (!Replace(child, before, to, cascaded, depth + 1)) {
            return false;
          }
          change.kind = ChangeKind::kUpdate;
          change.after = to;
        } else {
          return false;
        }
        cascaded->push_back(change);
      }
    }
  }
  return true;
}

bool SourceModel::Replace(size_t table, const Row& row, const Row& to, LoggedTransaction* cascaded, int depth) {
  if (depth > 12) {
    return false;
  }
  const auto found = std::find(state_[table].begin(), state_[table].end(), row);
  if (!KeysAllow(table, to, &*found)) {
    return false;
  }
  const Row before = *found;
  *found = to;
  for (size_t child = 0; child < tables_->size(); ++child) {
    for (const ForeignKey& key : (*tables_)[child].foreign_keys) {
      const uint32_t column =
          key.parent_table == (*tables_)[table].name ? *(*tables_)[table].FindColumn(key.parent_columns[0]) : 0;
      if (key.parent_table != (*tables_)[table].name || before[column] == to[column] || IsNull(before[column])) {
        continue;
      }
      for (;;) {
        const auto affected = std::find_if(state_[child].begin(), state_[child].end(),
                                           [&](const Row& r) { return r[key.columns[0]] == before[column]; });
        if (affected == state_[child].end()) {
          break;
        }
        if (key.on_update != ReferenceAction::kCascade || child == table) {
          return false;
        }
        const Row old_child = *affected;
        Row new_child = old_child;
        new_child[key.columns[0]] = to[column];
        if (!Replace(child, old_child, new_child, cascaded, depth + 1)) {
          return false;
        }
        cascaded->push_back({&(*tables_)[child], ChangeKind::kUpdate, kCascaded, old_child, new_child});
      }
    }
  }
  return true;
}

bool SourceModel::Finish(bool done, State saved, LoggedTransaction cascaded, LoggedChange change, bool checked) {
  if (!done) {
    state_ = std::move(saved);
    return false;
  }
  if (logs_cascades_) {
    log_.insert(log_.end(), cascaded.begin(), cascaded.end());
  }
  change.flags = static_cast<uint8_t>(kEndOfStatement | (checked ? 0 : kNoForeignKeyChecks));
  log_.push_back(std::move(change));
  return true;
}

bool SourceModel::Insert(size_t table, const Row& row, bool checked) {
  if (!KeysAllow(table, row, nullptr) || (checked && !ParentsAllow(table, row))) {
    return false;
  }
  State saved = state_;
  state_[table].push_back(row);
  return Finish(true, std::move(saved), {}, {&(*tables_)[table], ChangeKind::kInsert, 0, {}, row}, checked);
}

bool SourceModel::Update(size_t table, size_t row, const Row& to, bool checked) {
  const Row before = state_[table][row];
  if (before == to || !KeysAllow(table, to, &state_[table][row])) {
    return false;
  }
  for (const ForeignKey& key : (*tables_)[table].foreign_keys) {
    if (checked && before[key.columns[0]] != to[key.columns[0]] && !ParentsAllow(table, to)) {
      return false;
    }
  }
  State saved = state_;
  LoggedTransaction cascaded;
  bool done = true;
  if (checked) {
    done = Replace(table, before, to, &cascaded, 0);
  } else {
    state_[table][row] = to;
  }
  return Finish(done, std::move(saved), std::move(cascaded), {&(*tables_)[table], ChangeKind::kUpdate, 0, before, to},
                checked);
}

bool SourceModel::Delete(size_t table, size_t row, bool checked) {
  const Row before = state_[table][row];
  State saved = state_;
  LoggedTransaction cascaded;
  bool done = true;
  if (checked) {
    done = Remove(table, before, &cascaded, 0);
  } else {
    state_[table].erase(state_[table].begin() + static_cast<int64_t>(row));
  }
  return Finish(done, std::move(saved), std::move(cascaded), {&(*tables_)[table], ChangeKind::kDelete, 0, before, {}},
                checked);
}

void SourceModel::Truncate(size_t table) {
  state_[table].clear();
  log_.push_back({&(*tables_)[table], ChangeKind::kTruncate, kEndOfStatement, {}, {}});
}

LoggedTransaction SourceModel::Commit() { return std::exchange(log_, {}); }

std::vector<std::string> SourceModel::Lines(size_t table) const {
  std::vector<std::string> lines;
  for (const Row& row : state_[table]) {
    lines.push_back(LineOf(row));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

RandomWorkload::RandomWorkload(SourceModel* model, const std::vector<TableSchema>* tables, uint64_t seed, Mix mix)
    : model_(model), tables_(tables), random_(seed), mix_(mix) {}

Cell RandomWorkload::RandomCell(const Column& column) {
  if (column.nullable && Below(4) == 0) {
    return std::monostate();
  }
  const auto number = static_cast<int64_t>(Below(static_cast<uint64_t>(mix_.keys)));
  if (column.type == ColumnType::kInt) {
    return number;
  }
  constexpr const char* kTexts[] = {"", "a", "A", "a ", "b", "long text with 'quotes' and \\ and \xC3\xBC", "c", "d"};
  return std::string(kTexts[number % 8]);
}

Row RandomWorkload::RandomRow(size_t table) {
  Row row;
  for (const Column& column : (*tables_)[table].columns) {
    row.push_back(RandomCell(column));
  }
  return row;
}

bool RandomWorkload::Statement() {
  const size_t table = Below(tables_->size());
  const bool checked = !mix_.unchecked || Below(10) != 0;
  const std::vector<Row>& rows = model_->rows(table);
  const uint64_t what = Below(100);
  if (rows.empty() || what < 35) {
    return model_->Insert(table, RandomRow(table), checked);
  }
  const size_t row = Below(rows.size());
  if (what < 75) {
    Row to = rows[row];
    const size_t cells = 1 + Below(2);
    for (size_t i = 0; i < cells; ++i) {
      const size_t column = Below(to.size());
      to[column] = RandomCell((*tables_)[table].columns[column]);
    }
    return model_->Update(table, row, to, checked);
  }
  if (mix_.truncate && what == 99 && Below(4) == 0) {
    model_->Truncate(table);
    return true;
  }
  return model_->Delete(table, row, checked);
}

LoggedTransaction RandomWorkload::Next() {
  const size_t statements = 1 + Below(4);
  for (size_t done = 0, tries = 0; done < statements && tries < 100; ++tries) {
    done += Statement() ? 1 : 0;
  }
  return model_->Commit();
}

Value ValueOf(const Cell& cell) {
  if (const auto* number = std::get_if<int64_t>(&cell)) {
    return Value::Int(*number);
  }
  if (const auto* text = std::get_if<std::string>(&cell)) {
    return Value::OfBytes(ValueKind::kText, *text);
  }
  return Value::Null();
}

std::string LineOf(const Row& row) {
  std::string line;
  for (const Cell& cell : row) {
    line += line.empty() && &cell == &row.front() ? "" : "|";
    if (const auto* number = std::get_if<int64_t>(&cell)) {
      line += std::to_string(*number);
    } else if (const auto* text = std::get_if<std::string>(&cell)) {
      line += *text;
    } else {
      line += "NULL";
    }
  }
  return line;
}

}  // namespace crossfade::apply
