#include "tests/unit/state/journal_fixture.h"

#include <cstdlib>

namespace crossfade::state {

TemporaryDirectory::TemporaryDirectory() {
  std::string path = (std::filesystem::temp_directory_path() / "crossfade-journal-XXXXXX").string();
  path_ = ::mkdtemp(path.data());
}

TemporaryDirectory::~TemporaryDirectory() {
  if (!::testing::Test::HasFailure()) {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
}

TableSchema MakeTable(const std::string& name, int version) {
  TableSchema table;
  table.database = "shop";
  table.name = name;
  table.columns.resize(3);
  table.columns[0].name = "id";
  table.columns[1].name = "name";
  table.columns[1].type = ColumnType::kVarchar;
  table.columns[1].length = static_cast<uint64_t>(version) * 10;
  table.columns[2].name = "note";
  table.columns[2].type = ColumnType::kText;
  table.primary_key = {{.column = 0}};
  table.engine = "InnoDB";
  return table;
}

Position MakePosition(uint64_t number) {
  Position position;
  position.server = "1@localhost:3306";
  position.set = fmt::format("0-1-{}", number);
  position.last = position.set;
  position.file = "binlog.000001";
  position.offset = number;
  return position;
}

CommitInfo MakeCommit(uint64_t number) {
  return {.position = MakePosition(number),
          .commit_time_us = static_cast<int64_t>(number) * 1'000'000,
          .arrival_time_us = static_cast<int64_t>(number) * 1'000'000 + 5};
}

Result<bool> NumberOrder::Contains(const Position& upto, const Position& transaction) const {
  return transaction.offset <= upto.offset;
}

Status AddInsert(JournalWriter& writer, const TableSchema& table, int64_t id, std::string_view name) {
  const Value row[] = {Value::Int(id), Value::OfBytes(ValueKind::kText, name), Value::Null()};
  return writer.Add({.table = &table, .kind = ChangeKind::kInsert, .flags = kEndOfStatement, .after = row});
}

Status AppendOne(JournalWriter& writer, const TableSchema& table, int64_t id, std::string_view name) {
  CROSSFADE_TRY(writer.Begin());
  CROSSFADE_TRY(AddInsert(writer, table, id, name));
  return writer.Commit(MakeCommit(static_cast<uint64_t>(id)));
}

std::string Describe(const Change& change) {
  constexpr const char* kKinds[] = {"?", "insert", "update", "delete", "truncate"};
  std::string text = fmt::format("{} {}", kKinds[static_cast<int>(change.kind)], change.table->QualifiedName());
  const auto image = [&text](std::span<const Value> values) {
    text += ' ';
    for (size_t i = 0; i < values.size(); ++i) {
      text += (i == 0 ? "" : ",") + ToDisplay(values[i]);
    }
  };
  if (!change.before.empty()) {
    image(change.before);
  }
  if (!change.after.empty()) {
    image(change.after);
  }
  return text;
}

Result<std::vector<ReadTransaction>> ReadAll(Journal& journal, Seq after) {
  std::vector<ReadTransaction> all;
  CROSSFADE_ASSIGN(const std::unique_ptr<JournalReader> reader, journal.Read(after));
  while (true) {
    CROSSFADE_ASSIGN(std::optional<TransactionHeader> header, reader->NextTransaction(After({})));
    if (!header) {
      return all;
    }
    ReadTransaction& transaction = all.emplace_back();
    transaction.header = *std::move(header);
    while (true) {
      CROSSFADE_ASSIGN(const std::optional<ChangeBlock> block, reader->NextBlock());
      if (!block) {
        break;
      }
      ++transaction.blocks;
      const std::unique_ptr<ChangeDecoder> decoder = DecodeBlock(journal, *block);
      std::vector<Value> values;
      ChangeDecoder::Decoded decoded;
      while (true) {
        values.clear();
        CROSSFADE_ASSIGN(const bool more, decoder->Next(&values, &decoded));
        if (!more) {
          break;
        }
        const std::span<const Value> all_values = values;
        transaction.changes.push_back(Describe({.table = decoded.table,
                                                .kind = decoded.kind,
                                                .flags = decoded.flags,
                                                .before = all_values.subspan(decoded.before, decoded.before_count),
                                                .after = all_values.subspan(decoded.after, decoded.after_count)}));
      }
    }
  }
}

std::vector<std::string> Changes(const std::vector<ReadTransaction>& transactions) {
  std::vector<std::string> changes;
  for (const ReadTransaction& transaction : transactions) {
    changes.insert(changes.end(), transaction.changes.begin(), transaction.changes.end());
  }
  return changes;
}

JournalOptions OptionsFor(const std::string& directory) {
  JournalOptions options;
  options.directory = directory + "/journal";
  return options;
}

std::unique_ptr<Journal> OpenJournal(const JournalOptions& options) {
  std::unique_ptr<Journal> journal = Get(Journal::Open(options));
  if (!journal->initialized()) {
    Check(journal->Initialize(MakePosition(0), Seq{0}));
  }
  return journal;
}

}  // namespace crossfade::state
