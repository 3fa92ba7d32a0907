#include "apply/postgres/audit_head.h"

#include <gtest/gtest.h>

#include "target_fixture.h"

namespace crossfade::apply {
namespace {

using state::AuditHead;

class AuditHeadTest : public TargetTest {
 protected:
  std::unique_ptr<PgAuditHead> OpenHead(const std::string& migration) const {
    auto head = PgAuditHead::Open(Options(migration, "a"));
    EXPECT_TRUE(head) << head.error().ToString();
    return head ? std::move(*head) : nullptr;
  }
};

TEST_F(AuditHeadTest, AnOlderProcessDoesNotPutItBack) {
  auto first = OpenHead("m");
  EXPECT_FALSE(*first->Read());
  EXPECT_FALSE(*first->Keep({1, "one"})) << "there is nothing to keep it in";
  auto target = Own(Options("m", "a"));
  EXPECT_FALSE(*first->Read());
  auto second = OpenHead("m");
  ASSERT_TRUE(*second->Keep({5, "five"}));
  ASSERT_TRUE(*first->Keep({4, "four"}));
  ASSERT_TRUE(*first->Keep({5, "another"}));
  EXPECT_EQ(**first->Read(), (AuditHead{5, "five"}));
  ASSERT_TRUE(*first->Keep({6, "six"}));
  EXPECT_EQ(**second->Read(), (AuditHead{6, "six"}));
  EXPECT_FALSE(*OpenHead("another")->Read());
}

TEST_F(AuditHeadTest, AHelperSchemaWithoutItIsGivenIt) {
  Own(Options("m", "a"))->Release();
  Run("DROP TABLE crossfade.audit_head");
  EXPECT_FALSE(*OpenHead("m")->Keep({1, "one"}));
  Own(Options("m", "a"))->Release();
  EXPECT_TRUE(*OpenHead("m")->Keep({1, "one"}));
  EXPECT_EQ(Ask("SELECT count(DISTINCT relowner) FROM pg_class WHERE relnamespace = 'crossfade'::regnamespace"), "1");
}

}  // namespace
}  // namespace crossfade::apply
