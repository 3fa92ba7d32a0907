// What the tests of the apply session share: a database of their own, a journal, and tables in both forms.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apply/postgres/session.h"
#include "apply/route.h"
#include "core/schema.h"
#include "db/postgres/connection.h"
#include "state/journal.h"

namespace crossfade::apply {

inline void Check(const Status& status) { ASSERT_TRUE(status) << status.error().ToString(); }

template <typename T>
T Get(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().ToString();
    std::abort();
  }
  return *std::move(result);
}

Column IntColumn(const std::string& name, bool nullable = true);
Column TextColumn(const std::string& name, bool nullable = true);
// `primary_key`: names of columns.
TableSchema MakeTable(const std::string& name, std::vector<Column> columns,
                      const std::vector<std::string>& primary_key);
void AddUnique(TableSchema* table, const std::vector<std::string>& columns);
void AddForeignKey(TableSchema* child, const std::string& column, const std::string& parent,
                   const std::string& parent_column, ReferenceAction on_delete, ReferenceAction on_update);

// A database of its own for each test, with the tables in which a migration keeps itself.
// Skipped without CROSSFADE_TEST_POSTGRES.
class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  void Sql(const std::string& sql);
  // All rows as "a|b|NULL" lines.
  std::vector<std::string> Lines(const std::string& sql);
  std::string Value(const std::string& sql);

  // Makes routes and target tables (keys and foreign keys included) for tenant "acme", beside a row of tenant "other".
  void MakeTables(const std::vector<TableSchema>& tables, bool with_keys = true);
  void MakeKeys();
  std::unique_ptr<ApplySession> Open(uint64_t epoch = 1, bool synchronous_commit = true);

  void OpenJournal();
  void Append(const std::vector<Change>& changes);
  void Append(const Change& change) { Append(std::vector<Change>{change}); }

  postgres::ConnectionOptions server_;
  postgres::ConnectionOptions options_;
  std::unique_ptr<postgres::Connection> sql_;
  std::vector<TableSchema> tables_;
  RouteSet routes_;
  std::filesystem::path directory_;
  std::unique_ptr<state::Journal> journal_;
  uint64_t commits_ = 0;
};

Position PositionOf(uint64_t number);

// Contains by the number in PositionOf.
class NumberOrder final : public PositionOrder {
 public:
  Result<bool> Contains(const Position& upto, const Position& transaction) const override {
    return upto.offset >= transaction.offset;
  }
};

}  // namespace crossfade::apply
