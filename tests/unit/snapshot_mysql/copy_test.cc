#include <numeric>

#include "apply/route.h"
#include "snapshot/copier.h"
#include "tests/unit/snapshot/fakes.h"
#include "tests/unit/snapshot_mysql/source_test.h"

namespace crossfade::snapshot {
namespace {

// The whole way from a real server to a target in memory.
class CopyTest : public SourceTest {
 protected:
  void SetUp() override {
    SourceTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    for (const std::string& statement : Bank::Setup()) {
      Do(statement);
    }
    auto routes = apply::RouteSet::Make({Schema("account")}, {});
    ASSERT_TRUE(routes.has_value()) << Why(routes.error());
    routes_ = std::move(*routes);
    PlanOptions options;
    options.chunk_rows = 20;
    auto plan = PlanCopy(routes_, {{"account", {Bank::kAccounts, 0}}}, source_.get(), options);
    ASSERT_TRUE(plan.has_value()) << Why(plan.error());
    plan_ = std::move(*plan);
    ASSERT_EQ(plan_.chunk_count(), 10U);
  }

  std::unique_ptr<Bank> OpenBank() {
    std::vector<std::unique_ptr<mysql::Connection>> connections;
    connections.push_back(Connect());
    connections.push_back(Connect());
    return std::make_unique<Bank>(std::move(connections));
  }

  int64_t Sum(const FakeTarget& target) {
    const Database tables = target.tables();
    const Rows& rows = tables.at("account");
    EXPECT_EQ(rows.size(), static_cast<size_t>(Bank::kAccounts));
    return std::accumulate(rows.begin(), rows.end(), int64_t{0},
                           [](int64_t sum, const auto& row) { return sum + row.second; });
  }

  apply::RouteSet routes_;
  CopyPlan plan_;
  CopyLimits limits_;
  CopyProgress progress_;
};

TEST_P(CopyTest, FourReadersCopyOneStateOfABankAtWork) {
  const auto bank = OpenBank();
  for (int round = 0; round < 3; ++round) {
    FakeTarget target;
    // Slow enough for the bank to work between the first chunk and the last.
    target.on_commit = [](const ChunkMark&) -> Status {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return {};
    };
    auto readers = source_->OpenConsistent(4);
    ASSERT_TRUE(readers.has_value()) << Why(readers.error());
    const uint64_t before = bank->transfers();
    const auto result = Copier(&plan_, &routes_, source_.get(), &target, &limits_, &progress_, {})
                            .CopyConsistent(std::move(*readers), {}, {});
    ASSERT_TRUE(result.has_value()) << Why(result.error());
    EXPECT_GT(bank->transfers(), before) << "the bank stood still: nothing was tested";
    EXPECT_TRUE(result->one_state());
    EXPECT_EQ(Sum(target), Bank::kAccounts * Bank::kEach);
  }
}

TEST_P(CopyTest, AChunkedCopyOfAQuietSourceIsWhole) {
  FakeTarget target;
  const auto result = Copier(&plan_, &routes_, source_.get(), &target, &limits_, &progress_, {}).CopyChunked({}, {});
  ASSERT_TRUE(result.has_value()) << Why(result.error());
  EXPECT_EQ(result->marks.size(), 10U);
  EXPECT_EQ(Sum(target), Bank::kAccounts * Bank::kEach);
}

TEST_P(CopyTest, StopsWithinASecondAndGoesOnLater) {
  FakeTarget target;
  std::stop_source stop;
  target.on_commit = [&](const ChunkMark&) -> Status {
    if (target.marks().size() == 3) {
      stop.request_stop();
    }
    return {};
  };
  const auto start = std::chrono::steady_clock::now();
  auto readers = source_->OpenConsistent(1);
  ASSERT_TRUE(readers.has_value()) << Why(readers.error());
  const auto stopped = Copier(&plan_, &routes_, source_.get(), &target, &limits_, &progress_, {})
                           .CopyConsistent(std::move(*readers), {}, stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, "CF1600");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  const size_t kept = target.marks().size();
  EXPECT_LT(kept, 10U);

  target.on_commit = nullptr;
  const auto result =
      Copier(&plan_, &routes_, source_.get(), &target, &limits_, &progress_, {}).CopyChunked(target.marks(), {});
  ASSERT_TRUE(result.has_value()) << Why(result.error());
  EXPECT_EQ(result->totals.chunks_kept, kept);
  EXPECT_EQ(Sum(target), Bank::kAccounts * Bank::kEach);
}

INSTANTIATE_ON_SERVERS(CopyTest);

}  // namespace
}  // namespace crossfade::snapshot
