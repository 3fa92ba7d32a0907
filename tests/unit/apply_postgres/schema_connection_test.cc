#include <gtest/gtest.h>

#include "apply/postgres/schema_catalog.h"
#include "db/postgres/error.h"
#include "target_fixture.h"

namespace crossfade::apply {
namespace {

using SchemaConnectionTest = TargetTest;

// libpqxx has a type of its own for some errors, and forgets the code of those.
TEST_F(SchemaConnectionTest, ARefusalIsNotTakenForALostSession) {
  auto connection = SchemaConnection::Open(connection_options_, 1000);
  ASSERT_TRUE(connection) << connection.error().ToString();
  Run("CREATE FUNCTION public.fails(code text) RETURNS int LANGUAGE plpgsql AS"
      " $$ BEGIN RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'as asked for'; END $$");
  for (const char* code : {"0A000", "22003", "23001", "23502", "23503", "23505", "23514", "24000", "26000", "34000",
                           "40001", "40P01", "42501", "42601", "42703", "42883", "42P01", "53100", "53200", "53300",
                           "55P03", "57014", "P0001", "P0002", "P0003", "XX001", "22012", "23P01", "42710"}) {
    const auto failed = (*connection)->Select("SELECT public.fails($1)", {code});
    ASSERT_FALSE(failed) << code;
    EXPECT_EQ(failed.error().error_class, postgres::ClassOfSqlState(code)) << code << ": " << failed.error().ToString();
    EXPECT_EQ(failed.error().server_code.substr(0, 2), std::string(code).substr(0, 2));
    connection = SchemaConnection::Open(connection_options_, 1000);
    ASSERT_TRUE(connection) << connection.error().ToString();
  }
}

}  // namespace
}  // namespace crossfade::apply
