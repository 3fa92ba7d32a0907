#include "tests/unit/state/journal_workload.h"

#include <fstream>

#include "tests/unit/state/journal_fixture.h"

namespace crossfade::state {

namespace {

constexpr int kLarge = 20;  // rows: several parts

// What a step does, in the order of the steps; then again from the first.
enum Step : uint64_t {
  kCommitLarge = 0,
  kCommitSmall = 1,
  kCommitNothing = 2,
  kRollbackLarge = 3,
  kPrepareSmall = 4,
  kPrepareLarge = 5,
  kCommitSmallAgain = 6,
  kCommitPreparedSmall = 7,
  kCommitPreparedLarge = 8,
  kPrepareLargeAgain = 9,
  kRollbackPrepared = 10,
  kCommitAndKeepHouse = 11,
  kStepKinds = 12,
};

std::string XidOf(uint64_t step) { return fmt::format("xid{}", step); }
std::string NameOf(uint64_t step) { return fmt::format("step {}", step); }

Status AddRows(JournalWriter& writer, uint64_t step, int rows) {
  const TableSchema table = MakeTable(fmt::format("t{}", step % 5));
  CROSSFADE_TRY(writer.Begin());
  for (int id = 0; id < rows; ++id) {
    CROSSFADE_TRY(AddInsert(writer, table, id, NameOf(step)));
  }
  return {};
}

std::string ExpectedRows(uint64_t position, uint64_t step, int rows) {
  std::string text = fmt::format("at {}:", position);
  for (int id = 0; id < rows; ++id) {
    text += fmt::format(" insert shop.t{} {},'{}',NULL", step % 5, id, NameOf(step));
  }
  return text;
}

Status DoStep(JournalWriter& writer, uint64_t step) {
  switch (static_cast<Step>(step % kStepKinds)) {
    case kCommitLarge:
      CROSSFADE_TRY(AddRows(writer, step, kLarge));
      return writer.Commit(MakeCommit(step));
    case kCommitNothing:
      CROSSFADE_TRY(AddRows(writer, step, 0));
      return writer.Commit(MakeCommit(step));
    case kRollbackLarge:
      CROSSFADE_TRY(AddRows(writer, step, kLarge));
      return writer.Rollback(MakePosition(step));
    case kPrepareSmall:
      CROSSFADE_TRY(AddRows(writer, step, 1));
      return writer.Prepare(XidOf(step), MakePosition(step));
    case kPrepareLarge:
    case kPrepareLargeAgain:
      CROSSFADE_TRY(AddRows(writer, step, kLarge));
      return writer.Prepare(XidOf(step), MakePosition(step));
    case kCommitPreparedSmall:
    case kCommitPreparedLarge:
      return writer.CommitPrepared(XidOf(step - 3), MakeCommit(step));
    case kRollbackPrepared:
      return writer.RollbackPrepared(XidOf(step - 1), MakePosition(step));
    default:
      CROSSFADE_TRY(AddRows(writer, step, 1));
      return writer.Commit(MakeCommit(step));
  }
}

Status KeepHouse(Journal& journal, uint64_t step, std::ofstream* out) {
  CROSSFADE_TRY(journal.PutRecord("run", fmt::format("{}", step)));
  *out << "record " << step << std::endl;
  const uint64_t tail = journal.tail().seq.value;
  CROSSFADE_TRY(journal.Pin("apply", Seq{tail - 2}));
  return journal.Trim();
}

}  // namespace

JournalOptions WorkloadOptions(const std::string& directory) {
  JournalOptions options = OptionsFor(directory);
  options.part_bytes = 200;
  return options;
}

Status RunWorkload(Journal& journal, const std::string& acknowledged) {
  std::ofstream out(acknowledged, std::ios::app);
  if (!journal.initialized()) {
    CROSSFADE_TRY(journal.Initialize(MakePosition(0), Seq{0}));
    out << "synced 0" << std::endl;
  }
  for (uint64_t step = journal.tail().position.offset + 1; step <= kWorkloadSteps; ++step) {
    CROSSFADE_TRY(DoStep(journal.writer(), step));
    const bool house = step % kStepKinds == kCommitAndKeepHouse;
    if (step % 4 == 0 || house) {
      CROSSFADE_TRY(journal.writer().Sync());
      out << "synced " << step << std::endl;
    }
    if (house) {
      CROSSFADE_TRY(KeepHouse(journal, step, &out));
    }
  }
  return {};
}

Expected ExpectedAfter(uint64_t last) {
  Expected expected;
  const auto add = [&expected](uint64_t position, uint64_t step, int rows) {
    expected.transactions.push_back(ExpectedRows(position, step, rows));
    expected.tail = expected.tail.Next();
  };
  for (uint64_t step = 1; step <= last; ++step) {
    switch (static_cast<Step>(step % kStepKinds)) {
      case kCommitLarge:
        add(step, step, kLarge);
        break;
      case kCommitSmall:
      case kCommitSmallAgain:
      case kCommitAndKeepHouse:
        add(step, step, 1);
        break;
      case kCommitPreparedSmall:
        add(step, step - 3, 1);
        break;
      case kCommitPreparedLarge:
        add(step, step - 3, kLarge);
        break;
      default:
        break;
    }
  }
  return expected;
}

}  // namespace crossfade::state
