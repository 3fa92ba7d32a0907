// How many one-row transactions a second the journal takes and gives.
//   journal_bench DIRECTORY [TRANSACTIONS [GROUP [TEXT_BYTES]]]
// DIRECTORY must not exist; GROUP transactions are synced together.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "state/journal.h"

namespace crossfade::state {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

void Report(std::string_view what, uint64_t transactions, double seconds, uint64_t bytes) {
  fmt::print("{:<28} {:>12.0f} tx/s {:>8.1f} MB/s {:>8.2f} s\n", what, static_cast<double>(transactions) / seconds,
             static_cast<double>(bytes) / seconds / 1e6, seconds);
  std::fflush(stdout);
}

uint64_t WrittenBytes() {
  std::ifstream io("/proc/self/io");
  std::string name;
  uint64_t value = 0;
  while (io >> name >> value) {
    if (name == "wchar:") {
      return value;
    }
  }
  return 0;
}

TableSchema MakeTable() {
  TableSchema table;
  table.database = "sb";
  table.name = "sbtest1";
  table.columns.resize(4);
  const char* names[] = {"id", "k", "c", "pad"};
  for (size_t i = 0; i < 4; ++i) {
    table.columns[i].name = names[i];
    table.columns[i].source_type = i < 2 ? "int(11)" : "char(60)";
    table.columns[i].charset = i < 2 ? "" : "utf8mb4";
  }
  table.primary_key = {{.column = 0}};
  return table;
}

Status Append(Journal& journal, uint64_t transactions, uint64_t group, const std::string& text) {
  const TableSchema table = MakeTable();
  JournalWriter& writer = journal.writer();
  CommitInfo commit;
  commit.position.server = "1@127.0.0.1:3306";
  commit.position.file = "binlog.000001";
  for (uint64_t n = 1; n <= transactions; ++n) {
    const int64_t id = static_cast<int64_t>(n * 7919 % 1'000'003);
    const Value row[] = {Value::Int(id), Value::Int(id / 2), Value::OfBytes(ValueKind::kText, text),
                         Value::OfBytes(ValueKind::kText, "pad")};
    commit.position.offset = n * 300;
    commit.position.set = fmt::format("0-1-{}", n);
    commit.position.last = commit.position.set;
    commit.commit_time_us = commit.arrival_time_us = static_cast<int64_t>(1'700'000'000'000'000 + n * 10);
    CROSSFADE_TRY(writer.Begin());
    CROSSFADE_TRY(writer.Add({.table = &table, .kind = ChangeKind::kInsert, .flags = kEndOfStatement, .after = row}));
    CROSSFADE_TRY(writer.Commit(commit));
    if (n % group == 0) {
      CROSSFADE_TRY(writer.Sync());
    }
  }
  return writer.Sync();
}

Result<uint64_t> ReadBack(Journal& journal, bool decode, uint64_t* bytes) {
  CROSSFADE_ASSIGN(const std::unique_ptr<JournalReader> reader, journal.Read(Seq{0}));
  std::vector<Value> values;
  uint64_t transactions = 0;
  while (true) {
    CROSSFADE_ASSIGN(const std::optional<TransactionHeader> header, reader->NextTransaction(After({})));
    if (!header) {
      return transactions;
    }
    ++transactions;
    *bytes += header->bytes;
    while (decode) {
      CROSSFADE_ASSIGN(const std::optional<ChangeBlock> block, reader->NextBlock());
      if (!block) {
        break;
      }
      const std::unique_ptr<ChangeDecoder> decoder = DecodeBlock(journal, *block);
      ChangeDecoder::Decoded change;
      values.clear();
      while (true) {
        CROSSFADE_ASSIGN(const bool more, decoder->Next(&values, &change));
        if (!more) {
          break;
        }
        values.clear();
      }
    }
  }
}

Status Measure(const std::string& directory, uint64_t transactions, uint64_t group, size_t text_bytes) {
  JournalOptions options;
  options.directory = directory;
  CROSSFADE_ASSIGN(std::unique_ptr<Journal> journal, Journal::Open(options));
  CROSSFADE_TRY(journal->Initialize({.server = "1@127.0.0.1:3306", .file = "binlog.000001", .offset = 4}, Seq{0}));
  std::string text(text_bytes, '-');
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>('0' + i * i % 77);
  }
  const uint64_t written_before = WrittenBytes();
  Clock::time_point start = Clock::now();
  CROSSFADE_TRY(Append(*journal, transactions, group, text));
  Report(fmt::format("append, sync every {}", group), transactions, Seconds(start), 0);
  for (const bool decode : {false, true, true}) {
    uint64_t bytes = 0;
    start = Clock::now();
    CROSSFADE_ASSIGN(const uint64_t read, ReadBack(*journal, decode, &bytes));
    Report(decode ? "read and decode" : "read headers", read, Seconds(start), bytes);
  }
  fmt::print("disk {} MB, written {} MB\n", journal->stats().disk_bytes >> 20, (WrittenBytes() - written_before) >> 20);
  start = Clock::now();
  journal.reset();
  CROSSFADE_ASSIGN(journal, Journal::Open(options));
  fmt::print("close and open {:.2f} s\n", Seconds(start));
  CROSSFADE_TRY(journal->Pin("bench", journal->tail().seq));
  start = Clock::now();
  CROSSFADE_TRY(journal->Trim());
  fmt::print("trim {:.3f} s, disk {} MB\n", Seconds(start), journal->stats().disk_bytes >> 20);
  return {};
}

}  // namespace
}  // namespace crossfade::state

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: journal_bench DIRECTORY [TRANSACTIONS [GROUP [TEXT_BYTES]]]\n");
    return 3;
  }
  const auto number = [&](int index, uint64_t value) {
    return argc > index ? std::strtoull(argv[index], nullptr, 10) : value;
  };
  const crossfade::Status done =
      crossfade::state::Measure(argv[1], number(2, 2'000'000), number(3, 1000), number(4, 60));
  if (!done) {
    fmt::print(stderr, "{}\n", done.error().ToString());
    return 1;
  }
  return 0;
}
