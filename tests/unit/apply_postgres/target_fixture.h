// A database of its own on the throw-away PostgreSQL, for tests of the target.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "apply/postgres/pg_target.h"
#include "core/schema.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

Column IdColumn();
Column NumberColumn(const std::string& name, bool nullable = true);
Column VarcharColumn(const std::string& name, uint64_t length, const std::string& collation = "utf8mb4_nopad_bin");

// A table `name` with an auto_increment column id as its primary key, and `more`.
TableSchema TableWithId(const std::string& name, const std::vector<Column>& more);
// Foreign key of `child` column `column` to `parent` (id).
void AddReference(TableSchema* child, const std::string& column, const std::string& parent,
                  ReferenceAction on_delete = ReferenceAction::kNoAction,
                  ReferenceAction on_update = ReferenceAction::kNoAction);
void AddIndex(TableSchema* table, const std::string& name, bool unique, const std::vector<std::string>& columns,
              uint32_t prefix = 0);

class TargetTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  PgTargetOptions Options(const std::string& migration, const std::string& tenant) const;
  std::unique_ptr<Target> Open(const PgTargetOptions& options) const;
  // Opened and taken over.
  std::unique_ptr<Target> Own(const PgTargetOptions& options) const;
  RouteSet Routes(const std::vector<TableSchema>& tables, const PgTargetOptions& options) const;

  void Build(Target* target, const RouteSet& routes, std::vector<SchemaStage> stages = {}) const;
  // Loads one chunk of rows; all of them committed.
  Status Load(Target* target, const Route& route, const ChunkRange& range, uint32_t chunk, bool replace,
              const std::vector<std::vector<Value>>& rows) const;

  std::string Ask(const std::string& sql) const;
  void Run(const std::string& sql) const;

  postgres::ConnectionOptions connection_options_;
  std::unique_ptr<postgres::Connection> connection_;

 private:
  std::unique_ptr<postgres::Connection> admin_;
  std::string database_;
};

}  // namespace crossfade::apply
