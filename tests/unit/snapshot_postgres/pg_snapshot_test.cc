#include "snapshot/postgres/pg_snapshot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "db/postgres/catalog.h"
#include "db/postgres/position.h"
#include "snapshot/postgres/pg_reader.h"
#include "snapshot/postgres/select.h"
#include "tests/unit/db_postgres/server.h"

namespace crossfade::snapshot {
namespace {

using postgres::Connection;

class PgSnapshotTest : public postgres::ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    if (connection_) {
      Run("DROP SCHEMA IF EXISTS cf_copy CASCADE; CREATE SCHEMA cf_copy; SET search_path = cf_copy");
    }
  }
  void TearDown() override {
    if (connection_) {
      Run("DROP SCHEMA IF EXISTS cf_copy CASCADE");
    }
  }

  TableSchema TableOf(const std::string& name) {
    auto other = Connect();
    auto catalog = postgres::ReadCatalog(*other, "cf_copy");
    EXPECT_TRUE(catalog) << catalog.error().ToString();
    for (const postgres::CatalogTable& table : catalog->tables) {
      if (table.schema.name == name) {
        return table.schema;
      }
    }
    ADD_FAILURE() << "no table " << name;
    return {};
  }

  std::unique_ptr<PgReader> OpenReader() {
    auto reader = PgReader::Open(options_);
    EXPECT_TRUE(reader) << reader.error().ToString();
    return reader ? std::move(*reader) : nullptr;
  }

  PgSnapshotSource Source() { return PgSnapshotSource({options_, std::chrono::seconds(10)}); }

  // Rows as text, sorted.
  struct Rows {
    std::vector<std::string> lines;
    Reader::RowSink Sink() {
      return [this](std::span<const Value> row) -> Status {
        std::string line;
        for (const Value& value : row) {
          line += (line.empty() ? "" : "|") + ToDisplay(value);
        }
        lines.push_back(std::move(line));
        return {};
      };
    }
    std::vector<std::string> Sorted() {
      std::sort(lines.begin(), lines.end());
      return lines;
    }
  };

  std::vector<std::string> ReadAll(Reader* reader, const TableSchema& table, const ChunkRange& range = {}) {
    Rows rows;
    const Status status = reader->Read(table, range, rows.Sink());
    EXPECT_TRUE(status) << status.error().ToString();
    return rows.Sorted();
  }

  std::string CodeOf(const Status& status) { return status ? "" : status.error().code; }
  std::string ReadCode(Reader* reader, const TableSchema& table) {
    Rows rows;
    const Status status = reader->Read(table, {}, rows.Sink());
    EXPECT_TRUE(!status || !rows.lines.empty()) << "rows are missing, and no error says so";
    return CodeOf(status);
  }
};

TEST_F(PgSnapshotTest, RowsComeAsTheyAre) {
  Run("CREATE TABLE t (id int PRIMARY KEY, x text, y bytea, n numeric, a text[], g int GENERATED ALWAYS AS (id * 2) "
      "STORED)");
  Run("INSERT INTO t (id, x, y, n, a) VALUES (1, E'a\\tb\\nc\\\\d\\r\\b\\f\\x0b', '\\x00095c', 1.50, array['x\\y', "
      "null]),"
      " (2, NULL, NULL, NULL, NULL), (3, '\\N', '', 'NaN', '{}'), (4, '', '\\x5c4e', 0.0, array[E'\\t'])");
  const TableSchema table = TableOf("t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  EXPECT_EQ(ReadAll(reader.get(), table),
            (std::vector<std::string>{"1|'a\tb\nc\\d\r\b\f\v'|0x00095c|1.50|'{\"x\\\\y\",NULL}'|(absent)",
                                      "2|NULL|NULL|NULL|NULL|(absent)", "3|'\\N'|0x|NaN|'{}'|(absent)",
                                      "4|''|0x5c4e|0.0|'{\"\t\"}'|(absent)"}));
}

TEST_F(PgSnapshotTest, ReadersOfOneOpeningSeeOneState) {
  Run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
  const TableSchema table = TableOf("t");
  PgSnapshotSource source = Source();
  auto opened = source.OpenConsistent(3);
  ASSERT_TRUE(opened) << opened.error().ToString();
  Run("INSERT INTO t VALUES (3); DELETE FROM t WHERE id = 1");
  EXPECT_TRUE(opened->position.set.empty());
  EXPECT_GT(opened->position.offset, 0U);
  const auto head = postgres::ParseLsn(Ask("SELECT pg_current_wal_insert_lsn()"));
  EXPECT_LT(opened->position.offset, *head);
  ASSERT_EQ(opened->readers.size(), 3U);
  for (const auto& reader : opened->readers) {
    EXPECT_EQ(ReadAll(reader.get(), table), (std::vector<std::string>{"1", "2"}));
  }
  // The server drops it when it sees that the session has ended.
  const std::string slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'crossfade\\_copy%'";
  for (int i = 0; i < 200 && Ask(slots) != "0"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  EXPECT_EQ(Ask(slots), "0");
}

TEST_F(PgSnapshotTest, ConsistentOpeningGivesUpOnAnOpenWriter) {
  Run("CREATE TABLE t (id int PRIMARY KEY)");
  auto writer = Connect();
  ASSERT_TRUE(writer->Execute("BEGIN; INSERT INTO cf_copy.t VALUES (1)"));
  PgSnapshotSource source({options_, std::chrono::milliseconds(300)});
  const auto opened = source.OpenConsistent(1);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "CF1911");
  EXPECT_EQ(opened.error().error_class, ErrorClass::kTransient);
}

TEST_F(PgSnapshotTest, ChunksHaveTheRowsOfTheirRange) {
  Run("CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (-9223372036854775808), (-1), (0), (5), (6), "
      "(9223372036854775807)");
  const TableSchema table = TableOf("t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  EXPECT_EQ(ReadAll(reader.get(), table, {std::nullopt, -1}), (std::vector<std::string>{"-9223372036854775808"}));
  EXPECT_EQ(ReadAll(reader.get(), table, {-1, 6}), (std::vector<std::string>{"-1", "0", "5"}));
  EXPECT_EQ(ReadAll(reader.get(), table, {6, std::nullopt}), (std::vector<std::string>{"6", "9223372036854775807"}));
}

TEST_F(PgSnapshotTest, ChunksOfDatesBeforeTheFirstYearAndWithoutEnd) {
  Run("CREATE TABLE t (d date PRIMARY KEY); INSERT INTO t VALUES ('-infinity'), ('4714-11-24 BC'), ('0044-03-15 BC'),"
      " ('0001-12-31 BC'), ('0001-01-01'), ('2024-02-29'), ('2024-03-01'), ('5874897-12-31'), ('infinity')");
  const TableSchema table = TableOf("t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  const std::vector<std::string> all = ReadAll(reader.get(), table);
  ASSERT_EQ(all.size(), 9U);
  // Each cut gives all rows, once; wherever it lies.
  for (const int64_t cut : {kDateMinusInfinity + 1, PackDate(-4713, 11, 24), PackDate(-43, 3, 15), PackDate(-43, 3, 16),
                            PackDate(0, 12, 31), PackDate(0, 13, 5), PackDate(1, 0, 0), PackDate(2024, 2, 29),
                            PackDate(2024, 2, 30), PackDate(2024, 2, 31), PackDate(2024, 12, 31),
                            PackDate(5874897, 12, 31), PackDate(5874897, 12, 31) + 1, kDateInfinity}) {
    Rows below;
    Rows above;
    ASSERT_TRUE(reader->Read(table, {std::nullopt, cut}, [&](std::span<const Value> row) -> Status {
      EXPECT_LT(*KeyOrdinal(row[0]), cut) << ToDisplay(row[0]);
      return below.Sink()(row);
    }));
    ASSERT_TRUE(reader->Read(table, {cut, std::nullopt}, [&](std::span<const Value> row) -> Status {
      EXPECT_GE(*KeyOrdinal(row[0]), cut) << ToDisplay(row[0]);
      return above.Sink()(row);
    }));
    EXPECT_EQ(below.lines.size() + above.lines.size(), 9U) << cut;
  }
  PgSnapshotSource source = Source();
  const auto span = source.ReadKeySpan(table);
  ASSERT_TRUE(span) << span.error().ToString();
  EXPECT_EQ(*span, (KeySpan{PackDate(-4713, 11, 24), PackDate(5874897, 12, 31)}));
}

TEST_F(PgSnapshotTest, KeySpanOfAnEmptyTableIsNone) {
  Run("CREATE TABLE t (id int PRIMARY KEY)");
  PgSnapshotSource source = Source();
  EXPECT_EQ(*source.ReadKeySpan(TableOf("t")), std::nullopt);
  Run("INSERT INTO t VALUES (-3), (9)");
  EXPECT_EQ(*source.ReadKeySpan(TableOf("t")), (KeySpan{-3, 9}));
}

// Without the check the read would give no rows, and no error.
TEST_F(PgSnapshotTest, RewrittenTableIsNoEmptyOne) {
  for (const std::string how : {"ALTER TABLE t ALTER COLUMN x TYPE bigint USING x + 1", "TRUNCATE t", "VACUUM FULL t",
                                "ALTER TABLE t ADD COLUMN r float DEFAULT random()"}) {
    Run("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1)");
    const TableSchema table = TableOf("t");
    auto reader = OpenReader();
    ASSERT_TRUE(reader->OpenSnapshot());
    Run(how);
    EXPECT_EQ(ReadCode(reader.get(), table), "CF1640") << how;
  }
}

TEST_F(PgSnapshotTest, RewrittenPartitionIsNoEmptyOne) {
  for (const std::string how : {"TRUNCATE t1", "ALTER TABLE t DETACH PARTITION t1", "DROP TABLE t1",
                                "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (30) TO (40)", "VACUUM FULL t2"}) {
    Run("DROP TABLE IF EXISTS t, t1; CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (10) TO (20);"
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (20) TO (30); INSERT INTO t VALUES (10), (20)");
    const TableSchema table = TableOf("t");
    auto reader = OpenReader();
    ASSERT_TRUE(reader->OpenSnapshot());
    EXPECT_EQ(ReadAll(reader.get(), table), (std::vector<std::string>{"10", "20"}));
    Run(how);
    EXPECT_EQ(ReadCode(reader.get(), table), "CF1640") << how;
  }
}

TEST_F(PgSnapshotTest, ChangedShapeIsSaid) {
  const auto after = [this](const std::string& how) {
    Run("DROP TABLE IF EXISTS t, u; CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1)");
    const TableSchema table = TableOf("t");
    Run(how);
    auto reader = OpenReader();
    EXPECT_TRUE(reader->OpenSnapshot());
    return ReadCode(reader.get(), table);
  };
  EXPECT_EQ(after("SELECT 1"), "");
  EXPECT_EQ(after("ALTER TABLE t DROP COLUMN x"), "CF1610");
  EXPECT_EQ(after("ALTER TABLE t RENAME x TO y"), "CF1610");
  EXPECT_EQ(after("ALTER TABLE t ADD COLUMN z int"), "CF1610");
  EXPECT_EQ(after("ALTER TABLE t ALTER COLUMN x TYPE bigint"), "CF1610");
  EXPECT_EQ(after("ALTER TABLE t RENAME TO u"), "CF1610");
}

TEST_F(PgSnapshotTest, ColumnDroppedUnderTheSnapshotIsSaid) {
  Run("CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1)");
  const TableSchema table = TableOf("t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  Run("ALTER TABLE t DROP COLUMN x");
  EXPECT_EQ(ReadCode(reader.get(), table), "CF1610");
}

TEST_F(PgSnapshotTest, SchemaChangesDoNotWaitForTheCopy) {
  Run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
  const TableSchema table = TableOf("t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  ReadAll(reader.get(), table);
  Run("SET lock_timeout = '2s'; ALTER TABLE t ADD COLUMN y int; SET lock_timeout = 0");
  EXPECT_EQ(ReadAll(reader.get(), table), (std::vector<std::string>{"1"}));  // the snapshot is older
}

// A commit that waits for a standby is in the log, and nobody sees it (hazard H4).
TEST_F(PgSnapshotTest, CommitThatWaitsForAStandbyIsInTheLogAndNotInTheSnapshot) {
  Run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
  const TableSchema table = TableOf("t");
  Run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  Run("SELECT pg_reload_conf()");
  auto writer = Connect();
  ASSERT_TRUE(writer->Execute("SET synchronous_commit = on; BEGIN; INSERT INTO cf_copy.t VALUES (2)"));
  const std::string xid = *writer->Scalar("SELECT pg_current_xact_id()").value();
  std::jthread commit([&] { (void)writer->Execute("COMMIT"); });
  // Also when an assertion fails: the commit would wait for ever.
  const auto let_go = [this](void*) {
    Run("ALTER SYSTEM RESET synchronous_standby_names");
    Run("SELECT pg_reload_conf()");
  };
  std::unique_ptr<PgSnapshotTest, decltype(let_go)> held(this, let_go);
  const std::string waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = " +
                            std::to_string(writer->backend_pid());
  for (int i = 0; i < 200 && Ask(waits) != "1"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  ASSERT_EQ(Ask(waits), "1");
  const Position in_log{.server = "",
                        .set = "",
                        .last = xid,
                        .file = "",
                        .offset = *postgres::ParseLsn(Ask("SELECT pg_current_wal_insert_lsn()"))};
  auto reader = OpenReader();
  auto window = reader->OpenSnapshot();
  ASSERT_TRUE(window) << window.error().ToString();
  EXPECT_EQ(ReadAll(reader.get(), table), (std::vector<std::string>{"1"}));
  Position transaction = in_log;
  transaction.server = window->low.server;
  EXPECT_GE(window->low.offset, transaction.offset);  // by the log's place it would be in
  const auto contained = postgres::PgPositionOrder().Contains(window->low, transaction);
  ASSERT_TRUE(contained) << contained.error().ToString();
  EXPECT_FALSE(*contained);
  held.reset();
  commit.join();
  ASSERT_TRUE(reader->OpenSnapshot());
  EXPECT_EQ(ReadAll(reader.get(), table), (std::vector<std::string>{"1", "2"}));
}

TEST_F(PgSnapshotTest, KeysOfSeveralTypes) {
  Run("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE t (a char(3), b numeric(5,2), m mood, u uuid, f bool,"
      " PRIMARY KEY (a, b, m, u, f))");
  Run("INSERT INTO t SELECT a, b, m::mood, u, f FROM (VALUES ('x', 1.5, 'sad', gen_random_uuid(), true), "
      "('x', 1.5, 'glad', gen_random_uuid(), false), ('y', 2, 'sad', gen_random_uuid(), true)) v(a, b, m, u, f)");
  const TableSchema table = TableOf("t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  std::vector<std::vector<std::string>> kept;
  std::vector<std::vector<Value>> keys;
  ASSERT_TRUE(reader->Read(table, {}, [&](std::span<const Value> row) -> Status {
    std::vector<Value> key(row.begin(), row.end());
    auto& bytes = kept.emplace_back();
    bytes.reserve(key.size());
    for (Value& value : key) {
      value.bytes = bytes.emplace_back(value.bytes);
    }
    keys.push_back(std::move(key));
    return {};
  }));
  ASSERT_EQ(keys.size(), 3U);
  const std::vector<uint32_t> columns = {0, 1, 2, 3, 4};
  for (const auto& key : keys) {
    Rows found;
    const std::vector<std::vector<Value>> twice = {key, key};
    const Status status = reader->ReadKeys(table, columns, twice, found.Sink());
    ASSERT_TRUE(status) << status.error().ToString();
    EXPECT_EQ(found.lines.size(), 1U);
  }
  Rows both;
  ASSERT_TRUE(
      reader->ReadKeys(table, std::vector<uint32_t>{0}, std::vector<std::vector<Value>>{{keys[0][0]}}, both.Sink()));
  EXPECT_EQ(both.lines.size(), 2U);
}

TEST_F(PgSnapshotTest, PagesFollowTheKeyAndShowTheNewestState) {
  Run("CREATE TABLE t (a text COLLATE \"C\", b int, PRIMARY KEY (a, b)); INSERT INTO t SELECT chr(64 + n % 3), n FROM "
      "generate_series(1, 9) n");
  const TableSchema table = TableOf("t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  Run("INSERT INTO t VALUES ('Z', 0)");
  const std::vector<uint32_t> key = {0, 1};
  std::vector<std::string> all;
  std::string last_text;
  std::vector<Value> after;
  for (size_t before = 1; before != all.size();) {
    before = all.size();
    Rows rows;
    const Status status = reader->ReadPage(table, key, after, 4, [&](std::span<const Value> row) -> Status {
      (void)rows.Sink()(row);
      last_text = row[0].bytes;
      after = {Value::OfBytes(ValueKind::kText, last_text), row[1]};
      return {};
    });
    ASSERT_TRUE(status) << status.error().ToString();
    EXPECT_LE(rows.lines.size(), 4U);
    all.insert(all.end(), rows.lines.begin(), rows.lines.end());
  }
  EXPECT_EQ(all.size(), 10U);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_EQ(all.back(), "'Z'|0");
}

TEST_F(PgSnapshotTest, ErrorOfTheSinkIsHandedBack) {
  Run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)");
  const TableSchema table = TableOf("t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  const Status status = reader->Read(table, {}, [](std::span<const Value>) -> Status {
    return MakeError(ErrorClass::kData, "CF9999", "test", "enough");
  });
  EXPECT_EQ(CodeOf(status), "CF9999");
}

TEST_F(PgSnapshotTest, InterruptEndsAReadThatWaits) {
  Run("CREATE TABLE t (id int PRIMARY KEY)");
  const TableSchema table = TableOf("t");
  Run("BEGIN; LOCK TABLE t");
  auto reader = OpenReader();
  ASSERT_TRUE(reader->OpenSnapshot());
  std::jthread interrupt([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    reader->Interrupt();
  });
  Rows rows;
  const Status status = reader->Read(table, {}, rows.Sink());
  ASSERT_FALSE(status);
  interrupt.join();
  EXPECT_EQ(reader->OpenSnapshot().error().error_class, ErrorClass::kReconnect);
  Run("ROLLBACK");
}

TEST_F(PgSnapshotTest, RowsThatAPolicyHidesAreAnErrorAndNotMissing) {
  Run("DROP ROLE IF EXISTS cf_hidden; CREATE ROLE cf_hidden LOGIN PASSWORD 'x'; CREATE TABLE t (id int PRIMARY KEY);"
      "INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id = 1);"
      "GRANT USAGE ON SCHEMA cf_copy TO cf_hidden; GRANT SELECT ON t TO cf_hidden");
  const TableSchema table = TableOf("t");
  postgres::ConnectionOptions options = options_;
  options.user = "cf_hidden";
  options.password = "x";
  auto reader = PgReader::Open(options);
  ASSERT_TRUE(reader) << reader.error().ToString();
  ASSERT_TRUE((*reader)->OpenSnapshot());
  Rows rows;
  EXPECT_FALSE((*reader)->Read(table, {}, rows.Sink()));
  EXPECT_TRUE(rows.lines.empty());
  reader->reset();
  Run("DROP OWNED BY cf_hidden; DROP ROLE cf_hidden");
}

}  // namespace
}  // namespace crossfade::snapshot
