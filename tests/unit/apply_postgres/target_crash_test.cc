// A process that builds the schema and loads a chunk is killed at every failpoint in turn, until one gets through.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "core/failpoint.h"
#include "target_fixture.h"

namespace crossfade::apply {
namespace {

class TargetCrashTest : public TargetTest {
 protected:
  static std::vector<TableSchema> Tables() {
    TableSchema customer = TableWithId("customer", {VarcharColumn("email", 200)});
    customer.comment = "people";
    AddIndex(&customer, "email", true, {"email"});
    TableSchema order = TableWithId("orders", {NumberColumn("customer")});
    AddReference(&order, "customer", "customer", ReferenceAction::kCascade);
    return {customer, order};
  }

  // What one start of the program does; its connections are its own.
  bool Work(const std::string& tenant) const {
    const auto options = Options("m" + tenant, tenant);
    auto target = OpenPgTarget(options);
    if (!target || !(*target)->TakeOver({"host", getpid(), "test"}, true, {})) {
      return false;
    }
    auto routes = RouteSet::Make(Tables(), {.tenancy = options.tenancy});
    for (const SchemaStage stage : {SchemaStage::kTables, SchemaStage::kActionForeignKeys, SchemaStage::kKeys,
                                    SchemaStage::kForeignKeys, SchemaStage::kIdentity}) {
      if (!(*target)->BuildSchema(*routes, stage, {})) {
        return false;
      }
    }
    const Value name = Value::OfBytes(ValueKind::kText, "x");
    return Load(target->get(), *routes->Find("customer"), {}, 0, false, {{Value::Int(1), name}}).has_value() &&
           (*target)->SetFact("copied").has_value();
  }

  int RunUntilDeath(const std::string& tenant, const std::string& failpoints) const {
    const pid_t child = fork();
    if (child == 0) {
      setenv("CROSSFADE_FAILPOINTS", failpoints.c_str(), 1);
      failpoint::ArmFromEnvironment();
      _exit(Work(tenant) ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // Number of deaths until a run gets through.
  int KillAtEvery(const std::string& tenant, const std::string& name) const {
    for (int nth = 1; nth < 100; ++nth) {
      const int status = RunUntilDeath(tenant, name + "=crash@" + std::to_string(nth));
      if (status == 0) {
        return nth - 1;
      }
      EXPECT_EQ(status, failpoint::kCrashStatus) << name << " " << nth;
      if (status != failpoint::kCrashStatus) {
        return -1;
      }
    }
    return -1;
  }

  void ExpectWhole(const std::string& tenants) const {
    EXPECT_EQ(Ask("SELECT string_agg(tenant_id || id || email, ' ' ORDER BY tenant_id) FROM customer"), tenants);
    EXPECT_EQ(Ask("SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_index i JOIN pg_class c"
                  " ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace AND i.indisvalid"),
              "customer_email customer_pkey orders_pkey");
    EXPECT_EQ(Ask("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"), "1");
    EXPECT_EQ(Ask("SELECT obj_description('customer'::regclass)"), "people");
    EXPECT_EQ(Ask("SELECT count(*) FROM crossfade.chunk WHERE rows <> 1"), "0");
  }
};

TEST_F(TargetCrashTest, ARepeatedRunIsAsGoodAsOne) {
  int deaths = 0;
  for (const char* name :
       {"control.commit.before", "control.commit.after", "schema.commit.before", "schema.commit.after",
        "chunk.copy_end.after", "chunk.commit.before", "chunk.commit.after"}) {
    Run("DROP SCHEMA IF EXISTS crossfade CASCADE; DROP TABLE IF EXISTS orders, customer");
    const int died = KillAtEvery("a", name);
    EXPECT_GT(died, 0) << name;
    deaths += died;
    ExpectWhole("a1x");
  }
  EXPECT_GT(deaths, 15);
  // The second tenant's indexes are built concurrently, outside of transactions. An index of the first is away, so
  // that there is one to build.
  Run("DROP INDEX customer_email");
  for (const char* name : {"schema.alone.before", "schema.alone.after"}) {
    EXPECT_GT(KillAtEvery("b", name), 0) << name;
    ExpectWhole("a1x b1x");
    Run("DROP INDEX customer_email");
  }
}

}  // namespace
}  // namespace crossfade::apply
