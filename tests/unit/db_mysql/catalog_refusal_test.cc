#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/clock.h"
#include "db/mysql/catalog.h"
#include "tests/unit/db_mysql/server.h"

namespace crossfade::mysql {
namespace {

class CatalogRefusalTest : public ServerTest {};
INSTANTIATE_ON_SERVERS(CatalogRefusalTest);

// The catalog is read by several queries: a table that goes between them is not one without columns.
TEST_P(CatalogRefusalTest, ATableThatGoesMeanwhileIsForAnotherTry) {
  UseDatabase("cf_catalog_moving");
  auto other = Connection::Open(options_);
  ASSERT_OK(other);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    while (!stop) {
      (void)(*other)->Execute("CREATE TABLE cf_catalog_moving.goes (id INT PRIMARY KEY)");
      (void)(*other)->Execute("DROP TABLE cf_catalog_moving.goes");
    }
  });
  std::string met;
  const Deadline deadline = After(std::chrono::seconds(60));
  while (met.empty() && std::chrono::steady_clock::now() < deadline) {
    const auto catalog = ReadCatalog(*connection_, database_);
    met = catalog ? "" : catalog.error().ToString();
  }
  stop = true;
  writer.join();
  EXPECT_NE(met.find("CF1112"), std::string::npos) << met;
  EXPECT_TRUE(ReadCatalog(*connection_, database_));
}

}  // namespace
}  // namespace crossfade::mysql
