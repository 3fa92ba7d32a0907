// The source against a real MariaDB server: CROSSFADE_TEST_MARIADB.
#include "server.h"

namespace crossfade::capture {
namespace {

class MariaDbTest : public ServerTest {
 protected:
  void SetUp() override {
    if (!Connect("CROSSFADE_TEST_MARIADB", "capture_test")) {
      GTEST_SKIP() << "CROSSFADE_TEST_MARIADB is not set";
    }
  }
};

TEST_F(MariaDbTest, GivesRowsOfOneTransactionInOrder) {
  Run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))");
  const Seen seen = Capture({"BEGIN", "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
                             "UPDATE t SET v = 'zwei' WHERE id = 2", "DELETE FROM t WHERE id = 1", "COMMIT"});
  ASSERT_FALSE(seen.error) << seen.error->ToString();
  ASSERT_EQ(seen.transactions.size(), 1U);
  const auto& changes = seen.transactions[0].changes;
  ASSERT_EQ(changes.size(), 4U);
  EXPECT_EQ(changes[0].kind, ChangeKind::kInsert);
  EXPECT_EQ(changes[0].flags, 0);
  EXPECT_EQ(changes[1].flags, kEndOfStatement);
  EXPECT_EQ(changes[1].after[1].bytes, "two");
  EXPECT_EQ(changes[2].kind, ChangeKind::kUpdate);
  EXPECT_EQ(changes[2].before[1].bytes, "two");
  EXPECT_EQ(changes[2].after[1].bytes, "zwei");
  EXPECT_EQ(changes[3].kind, ChangeKind::kDelete);
  EXPECT_EQ(changes[3].before[0].value.i, 1);
  EXPECT_EQ(seen.transactions[0].end.outcome, Outcome::kCommit);
  EXPECT_EQ(seen.transactions[0].end.position.set, Head().set);
}

}  // namespace
}  // namespace crossfade::capture
