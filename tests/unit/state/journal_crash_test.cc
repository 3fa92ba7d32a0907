// A process dies at each of the journal's failpoints in turn; what it had been told is durable must be there, whole,
// and the work must go on from there to the same end.
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "core/failpoint.h"
#include "tests/unit/state/journal_fixture.h"
#include "tests/unit/state/journal_workload.h"

namespace crossfade::state {
namespace {

// All of state/'s; EveryFailpointIsListed compares.
const char* const kFailpoints[] = {
    "journal.append.before",
    "journal.append.after",
    "journal.commit_prepared.before",
    "journal.commit_prepared.after",
    "journal.commit_prepared.part.before",
    "journal.commit_prepared.part.after",
    "journal.create.before",
    "journal.create.after",
    "journal.initialize.before",
    "journal.initialize.after",
    "journal.part.before",
    "journal.part.after",
    "journal.pin.before",
    "journal.pin.after",
    "journal.prepare.before",
    "journal.prepare.after",
    "journal.prepare.part.before",
    "journal.prepare.part.after",
    "journal.record.before",
    "journal.record.after",
    "journal.recover.before",
    "journal.recover.after",
    "journal.sync.before",
    "journal.sync.after",
    "journal.trim.before",
    "journal.trim.after",
    "journal.trim.drop.before",
    "journal.trim.drop.after",
};

class JournalCrashTest : public ::testing::TestWithParam<const char*> {
 protected:
  // The workload in a process of its own; its exit status.
  int Run(const std::string& failpoints, const std::string& log = "") {
    const std::string arguments[] = {"unit_state", "--journal-workload", directory_->path()};
    char* argv[] = {const_cast<char*>(arguments[0].c_str()), const_cast<char*>(arguments[1].c_str()),
                    const_cast<char*>(arguments[2].c_str()), nullptr};
    const std::string variables[] = {"CROSSFADE_FAILPOINTS=" + failpoints, "CROSSFADE_FAILPOINT_LOG=" + log};
    std::vector<char*> environment = {const_cast<char*>(variables[0].c_str()), const_cast<char*>(variables[1].c_str())};
    for (const char* name : {"TSAN_OPTIONS", "ASAN_OPTIONS", "UBSAN_OPTIONS"}) {
      if (const char* value = std::getenv(name)) {
        inherited_.push_back(fmt::format("{}={}", name, value));
      }
    }
    for (std::string& variable : inherited_) {
      environment.push_back(variable.data());
    }
    environment.push_back(nullptr);
    pid_t pid = 0;
    EXPECT_EQ(::posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv, environment.data()), 0);
    inherited_.clear();
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  void StartAnew() { directory_ = std::make_unique<TemporaryDirectory>(); }
  std::string AcknowledgedPath() const { return directory_->path() + "/acknowledged"; }

  struct Acknowledged {
    std::optional<uint64_t> synced;
    std::optional<uint64_t> record;
  };
  Acknowledged ReadAcknowledged() const {
    Acknowledged acknowledged;
    std::ifstream in(AcknowledgedPath());
    std::string what;
    uint64_t step = 0;
    while (in >> what >> step) {
      (what == "synced" ? acknowledged.synced : acknowledged.record) = step;
    }
    return acknowledged;
  }

  static void ExpectContent(Journal& journal, uint64_t step) {
    const Expected expected = ExpectedAfter(step);
    ASSERT_EQ(journal.tail().seq, expected.tail);
    const Seq first = journal.stats().first;
    std::vector<std::string> found(first.value - 1);
    for (const ReadTransaction& transaction : Get(ReadAll(journal, Seq{first.value - 1}))) {
      std::string text = fmt::format("at {}:", transaction.header.commit.position.offset);
      for (const std::string& change : transaction.changes) {
        text += " " + change;
      }
      EXPECT_EQ(transaction.header.changes, transaction.changes.size());
      found.push_back(std::move(text));
    }
    ASSERT_EQ(found.size(), expected.transactions.size());
    for (size_t i = first.value - 1; i < found.size(); ++i) {
      EXPECT_EQ(found[i], expected.transactions[i]) << "seq " << i + 1;
    }
  }

  // What the dead process left, and then the rest of the work.
  void ExpectNothingLost() {
    const Acknowledged acknowledged = ReadAcknowledged();
    {
      const std::unique_ptr<Journal> journal = Get(Journal::Open(WorkloadOptions(directory_->path())));
      if (acknowledged.synced) {
        ASSERT_TRUE(journal->initialized());
      }
      if (journal->initialized()) {
        const uint64_t step = journal->tail().position.offset;
        EXPECT_GE(step, acknowledged.synced.value_or(0));
        ExpectContent(*journal, step);
      }
      if (acknowledged.record) {
        EXPECT_GE(std::stoull(Get(journal->GetRecord("run")).value_or("0")), *acknowledged.record);
      }
      Check(RunWorkload(*journal, AcknowledgedPath()));
      Check(journal->writer().Sync());
      ExpectContent(*journal, kWorkloadSteps);
    }
    const std::unique_ptr<Journal> journal = Get(Journal::Open(WorkloadOptions(directory_->path())));
    ExpectContent(*journal, kWorkloadSteps);
  }

  std::unique_ptr<TemporaryDirectory> directory_ = std::make_unique<TemporaryDirectory>();
  std::vector<std::string> inherited_;
};

TEST_P(JournalCrashTest, NothingAcknowledgedIsLost) {
  const std::string name = GetParam();
  const bool recovers = name.find("recover") != std::string::npos;
  // Every hit at first, then in growing steps, until a run meets no more.
  for (uint64_t hit = 1;; hit += 1 + hit / 3) {
    StartAnew();
    if (recovers) {
      ASSERT_EQ(Run("journal.prepare.part.after=crash@3"), failpoint::kCrashStatus);
    }
    const int status = Run(fmt::format("{}=crash@{}", name, hit));
    if (status == 0) {
      EXPECT_GT(hit, 1u) << name << " was never met";
      break;
    }
    ASSERT_EQ(status, failpoint::kCrashStatus) << name << " hit " << hit;
    ExpectNothingLost();
    ASSERT_FALSE(HasFailure()) << name << " hit " << hit;
  }
}

INSTANTIATE_TEST_SUITE_P(At, JournalCrashTest, ::testing::ValuesIn(kFailpoints), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

TEST_F(JournalCrashTest, EveryFailpointIsListed) {
  const std::string log = directory_->path() + "/failpoints";
  ASSERT_EQ(Run("journal.prepare.part.after=crash@3", log), failpoint::kCrashStatus);
  ASSERT_EQ(Run("", log), 0);
  std::ifstream in(log);
  const std::set<std::string> met{std::istream_iterator<std::string>(in), {}};
  EXPECT_EQ(met, std::set<std::string>(std::begin(kFailpoints), std::end(kFailpoints)));
}

}  // namespace
}  // namespace crossfade::state

// The tests' program is also the process that dies: "unit_state --journal-workload DIRECTORY".
int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--journal-workload") {
    crossfade::failpoint::ArmFromEnvironment();
    const std::string directory = argv[2];
    auto journal = crossfade::state::Journal::Open(crossfade::state::WorkloadOptions(directory));
    if (!journal) {
      fmt::print(stderr, "{}\n", journal.error().ToString());
      return 1;
    }
    const crossfade::Status done = crossfade::state::RunWorkload(**journal, directory + "/acknowledged");
    if (!done) {
      fmt::print(stderr, "{}\n", done.error().ToString());
      return 1;
    }
    return 0;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
