// What the session and the applier promise, one promise at a time.
#include <deque>
#include <thread>

#include "apply/applier.h"
#include "session_fixture.h"

namespace crossfade::apply {
namespace {

using enum ReferenceAction;
using Cell = ::crossfade::Value;
using Lines_ = std::vector<std::string>;
using Outcome = CommitResult::Outcome;

Cell Int(int64_t v) { return Cell::Int(v); }
Cell Text(std::string_view v) { return Cell::OfBytes(ValueKind::kText, v); }

// Rows of one step; owns their images.
struct OwnedStep {
  std::deque<std::vector<Cell>> images;
  Step step;

  OwnedStep(const Route* route, StepKind kind) {
    step.route = route;
    step.kind = kind;
  }
  OwnedStep& Row(std::vector<Cell> before, std::vector<Cell> after) {
    RowChange row;
    row.before = images.emplace_back(std::move(before));
    row.after = images.emplace_back(std::move(after));
    row.seq = Seq{1};
    step.rows.push_back(row);
    return *this;
  }
};

class PgSessionTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    MakeTables({MakeTable("t", {IntColumn("id"), IntColumn("x"), TextColumn("note")}, {"id"}),
                MakeTable("heap", {IntColumn("a"), TextColumn("b")}, {})});
    Sql("INSERT INTO t VALUES ('other', 1, 1, 'not ours'), ('other', 2, 2, 'nor this')");
  }

  const Route* route(const std::string& name) const { return routes_.Find(name); }

  Batch BatchOf(std::vector<Step> steps, uint64_t seq = 1) {
    Batch batch;
    batch.steps = std::move(steps);
    batch.progress.low = Seq{seq};
    batch.progress.position = PositionOf(seq);
    batch.progress.commit_time_us = 77;
    return batch;
  }

  std::string Ours() {
    std::string out;
    for (const std::string& line : Lines("SELECT id, x, note FROM t WHERE tenant_id = 'acme' ORDER BY id")) {
      out += (out.empty() ? "" : " ") + line;
    }
    return out;
  }

  void AppendInsert(int64_t id, int64_t x) {
    const std::vector<Cell> after = {Int(id), Int(x), Cell::Null()};
    Append({.table = &tables_[0], .kind = ChangeKind::kInsert, .flags = kEndOfStatement, .after = after});
  }
  void AppendUpdate(int64_t id, int64_t from, int64_t to) {
    const std::vector<Cell> before = {Int(id), Int(from), Cell::Null()};
    const std::vector<Cell> after = {Int(id), Int(to), Cell::Null()};
    Append({&tables_[0], ChangeKind::kUpdate, kEndOfStatement, before, after});
  }
  void AppendDelete(int64_t id, int64_t x) {
    const std::vector<Cell> before = {Int(id), Int(x), Cell::Null()};
    Append({.table = &tables_[0], .kind = ChangeKind::kDelete, .flags = kEndOfStatement, .before = before});
  }

  Result<Applier::Ended> Follow(ApplySession* session, OnDivergence policy = OnDivergence::kStop) {
    Check(journal_->writer().Sync());
    ApplierOptions options;
    options.on_divergence = policy;
    options.last = journal_->tail().seq;
    Applier applier(journal_.get(), &routes_, &windows_, session, options);
    auto ended = applier.Run(Seq{0}, {});
    progress_ = applier.progress();
    return ended;
  }

  Windows windows_;
  ApplyProgress progress_;
};

// What the log left out because it did not change stays as it is on the target.
TEST_F(PgSessionTest, UpdatesSetOnlyWhatTheirImagesHold) {
  auto session = Open();
  const Cell left_out = Cell::Absent();
  OwnedStep inserts(route("t"), StepKind::kInsert);
  inserts.Row({}, {Int(1), Int(10), Text("a")})
      .Row({}, {Int(2), Int(20), Text("b")})
      .Row({}, {Int(3), Int(30), Text("c")});
  OwnedStep updates(route("t"), StepKind::kUpdate);
  updates.Row({Int(1), left_out, left_out}, {Int(1), Int(11), left_out})
      .Row({Int(2), left_out, left_out}, {Int(2), left_out, Text("B")})
      .Row({Int(3), left_out, left_out}, {Int(3), Cell::Null(), Text("C")});
  EXPECT_EQ(Get(session->Commit(BatchOf({inserts.step, updates.step}, 5))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Ours(), "1|11|a 2|20|B 3|NULL|C");
  OwnedStep moved(route("t"), StepKind::kUpdate);
  moved.Row({Int(1), left_out, left_out}, {Int(7), left_out, left_out});
  OwnedStep lenient(route("t"), StepKind::kUpdateIfThere);
  lenient.Row({Int(2), left_out, left_out}, {Int(2), Int(22), left_out})
      .Row({Int(9), left_out, left_out}, {Int(9), Int(1), left_out})
      .Row({Int(3), left_out, left_out}, {Int(3), Int(33), Text("D")});
  EXPECT_EQ(Get(session->Commit(BatchOf({moved.step, lenient.step}, 6))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Ours(), "2|22|B 3|33|D 7|11|a");
  OwnedStep missing(route("t"), StepKind::kUpdate);
  missing.Row({Int(9), left_out, left_out}, {Int(9), Int(1), left_out});
  EXPECT_EQ(Get(session->Commit(BatchOf({missing.step}, 7))).outcome, Outcome::kRejected);
}

TEST_F(PgSessionTest, CommitsStepsWithTheirProgress) {
  auto session = Open();
  OwnedStep inserts(route("t"), StepKind::kInsert);
  inserts.Row({}, {Int(1), Int(10), Text("a")})
      .Row({}, {Int(2), Cell::Null(), Cell::Null()})
      .Row({}, {Int(3), Int(30), Text("")});
  EXPECT_EQ(Get(session->Commit(BatchOf({inserts.step}, 5))).outcome, Outcome::kCommitted);
  OwnedStep updates(route("t"), StepKind::kUpdate);
  updates.Row({Int(1), Int(10), Text("a")}, {Int(1), Int(11), Text("a")})
      .Row({Int(3), Int(30), Text("")}, {Int(3), Int(30), Text("three")});
  OwnedStep deletes(route("t"), StepKind::kDelete);
  deletes.Row({Int(2), Cell::Null(), Cell::Null()}, {});
  EXPECT_EQ(Get(session->Commit(BatchOf({updates.step, deletes.step}, 6))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Ours(), "1|11|a 3|30|three");
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE tenant_id = 'other'"), "2");
  EXPECT_EQ(
      Value("SELECT low, journal_id, epoch, commit_time_us, counter, worker FROM crossfade.progress WHERE worker = 0"),
      "6|j|1|77|2|0");
}

TEST_F(PgSessionTest, MakesItSoInsideAWindow) {
  Sql("INSERT INTO t VALUES ('acme', 1, 1, 'old')");
  auto session = Open();
  OwnedStep upserts(route("t"), StepKind::kUpsert);
  upserts.Row({}, {Int(1), Int(9), Text("new")}).Row({}, {Int(2), Int(2), Text("two")});
  OwnedStep updates(route("t"), StepKind::kUpdateIfThere);
  updates.Row({Int(2), Int(0), Text("x")}, {Int(2), Int(0), Text("x")})
      .Row({Int(7), Int(0), Text("")}, {Int(7), Int(1), Text("")});
  OwnedStep deletes(route("t"), StepKind::kDeleteIfThere);
  deletes.Row({Int(8), Int(0), Text("")}, {});
  EXPECT_EQ(Get(session->Commit(BatchOf({upserts.step, updates.step, deletes.step}))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Ours(), "1|9|new 2|0|x");
}

TEST_F(PgSessionTest, RejectsAndRollsBackWhatDoesNotFit) {
  Sql("INSERT INTO t VALUES ('acme', 1, 1, NULL)");
  auto session = Open();
  OwnedStep good(route("t"), StepKind::kInsert);
  good.Row({}, {Int(5), Int(5), Cell::Null()});
  OwnedStep missing(route("t"), StepKind::kUpdate);
  missing.Row({Int(1), Int(1), Cell::Null()}, {Int(1), Int(2), Cell::Null()})
      .Row({Int(2), Int(1), Cell::Null()}, {Int(2), Int(2), Cell::Null()});
  OwnedStep gone(route("t"), StepKind::kDelete);
  gone.Row({Int(3), Int(1), Cell::Null()}, {});
  const CommitResult counted = Get(session->Commit(BatchOf({good.step, missing.step, gone.step})));
  EXPECT_EQ(counted.outcome, Outcome::kRejected);
  EXPECT_EQ(counted.step, 1U);
  EXPECT_EQ(counted.affected, 1U);
  EXPECT_EQ(counted.wrong_steps, (std::vector<size_t>{1, 2}));
  EXPECT_FALSE(counted.error);

  OwnedStep twice(route("t"), StepKind::kInsert);
  twice.Row({}, {Int(1), Int(5), Cell::Null()});
  const CommitResult duplicate = Get(session->Commit(BatchOf({good.step, twice.step})));
  EXPECT_EQ(duplicate.outcome, Outcome::kRejected);
  EXPECT_EQ(duplicate.step, 1U);
  ASSERT_TRUE(duplicate.error);
  EXPECT_EQ(duplicate.error->server_code, "23505");

  OwnedStep nul(route("t"), StepKind::kInsert);
  nul.Row({}, {Int(6), Int(5), Text(std::string_view("a\0b", 3))});
  const CommitResult value = Get(session->Commit(BatchOf({good.step, nul.step})));
  EXPECT_EQ(value.outcome, Outcome::kRejected);
  EXPECT_EQ(value.step, 1U);
  ASSERT_TRUE(value.error);
  EXPECT_EQ(value.error->code, "CF1411");

  EXPECT_EQ(Ours(), "1|1|NULL");
  EXPECT_EQ(Value("SELECT low FROM crossfade.progress WHERE worker = 0"), "0");
  EXPECT_EQ(Get(session->Commit(BatchOf({good.step}))).outcome, Outcome::kCommitted);
}

TEST_F(PgSessionTest, AHigherEpochFencesEveryCommit) {
  auto session = Open();
  OwnedStep step(route("t"), StepKind::kInsert);
  step.Row({}, {Int(1), Int(1), Cell::Null()});
  Sql("UPDATE crossfade.migration SET epoch = 2");
  const auto result = session->Commit(BatchOf({step.step}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, "CF1502");
  EXPECT_EQ(result.error().error_class, ErrorClass::kCorrupt);
  EXPECT_EQ(Ours(), "");
  PgSessionOptions options;
  options.connection = options_;
  options.migration = "m";
  options.journal_id = "j";
  options.epoch = 1;
  const auto late = OpenPgSession(options);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, "CF1502");
  options.epoch = 2;
  options.journal_id = "another";
  const auto other_journal = OpenPgSession(options);
  ASSERT_FALSE(other_journal);
  EXPECT_EQ(other_journal.error().code, "CF1571");
}

TEST_F(PgSessionTest, ALostSessionIsForReconnect) {
  auto session = Open();
  Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND"
      " pid <> pg_backend_pid()");
  const auto result = session->Commit(BatchOf({}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().error_class, ErrorClass::kReconnect);
}

// Libpq keeps room for the largest statement, so such a session is exchanged once the statement is committed.
TEST_F(PgSessionTest, GoesOnInAnotherSessionBehindALargeRow) {
  const auto pids = [&] {
    return Value(
        "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        "pg_backend_pid()");
  };
  auto session = Open();
  const std::string first = pids();
  const std::string large(40 << 20, 'x');
  for (int64_t id = 1; id <= 3; ++id) {
    OwnedStep step(route("t"), StepKind::kInsert);
    step.Row({}, {Int(id), Int(id), id == 2 ? Text(large) : Text("small")});
    EXPECT_EQ(Get(session->Commit(BatchOf({step.step}, static_cast<uint64_t>(id)))).outcome, Outcome::kCommitted);
    EXPECT_EQ(pids().find(first) == std::string::npos, id >= 2);
  }
  EXPECT_EQ(Value("SELECT string_agg(id || ':' || length(note), ' ' ORDER BY id) FROM t WHERE tenant_id = 'acme'"),
            "1:5 2:41943040 3:5");
  EXPECT_EQ(Value("SELECT low FROM crossfade.progress"), "3");
}

TEST_F(PgSessionTest, CancelEndsAWaitingCommit) {
  auto session = Open();
  OwnedStep step(route("t"), StepKind::kInsert);
  step.Row({}, {Int(1), Int(1), Cell::Null()});
  Sql("BEGIN; LOCK TABLE t IN EXCLUSIVE MODE");
  std::jthread canceller([&] {
    auto watch = Get(postgres::Connection::Open(options_));
    while (Get(watch->Scalar("SELECT count(*) FROM pg_locks WHERE NOT granted")) == "0") {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    session->Cancel();
  });
  const auto result = session->Commit(BatchOf({step.step}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().error_class, ErrorClass::kTransient);
  Sql("COMMIT");
  EXPECT_EQ(Get(session->Commit(BatchOf({step.step}))).outcome, Outcome::kCommitted);
}

TEST_F(PgSessionTest, PiecesAreOneTransaction) {
  auto session = Open();
  Progress progress;
  progress.low = Seq{9};
  Check(session->Begin(progress));
  for (int64_t id = 1; id <= 3; ++id) {
    OwnedStep step(route("t"), StepKind::kInsert);
    step.Row({}, {Int(id), Int(0), Cell::Null()});
    EXPECT_EQ(Get(session->Write({step.step})).outcome, Outcome::kCommitted);
    EXPECT_EQ(Ours(), "");
  }
  EXPECT_EQ(Get(session->Finish({})).outcome, Outcome::kCommitted);
  EXPECT_EQ(Ours(), "1|0|NULL 2|0|NULL 3|0|NULL");
  EXPECT_EQ(Value("SELECT low FROM crossfade.progress WHERE worker = 0"), "9");

  Check(session->Begin(progress));
  OwnedStep fresh(route("t"), StepKind::kInsert);
  fresh.Row({}, {Int(4), Int(0), Cell::Null()});
  EXPECT_EQ(Get(session->Write({fresh.step})).outcome, Outcome::kCommitted);
  OwnedStep again(route("t"), StepKind::kInsert);
  again.Row({}, {Int(1), Int(0), Cell::Null()});
  EXPECT_EQ(Get(session->Write({again.step})).outcome, Outcome::kRejected);
  EXPECT_EQ(session->Finish({}).error().code, "CF1572") << "a rejected transaction cannot be finished";
  EXPECT_EQ(session->Write({fresh.step}).error().code, "CF1572");
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE tenant_id = 'acme'"), "3");
}

TEST_F(PgSessionTest, LargeStepsAreSplitAndCountedTogether) {
  auto session = Open();
  OwnedStep step(route("t"), StepKind::kInsert);
  const std::string text(1000, 'x');
  for (int64_t id = 0; id < 5000; ++id) {
    step.Row({}, {Int(id), Int(0), Text(text)});
  }
  EXPECT_EQ(Get(session->Commit(BatchOf({step.step}))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT count(*), sum(length(note)) FROM t WHERE tenant_id = 'acme'"), "5000|5000000");
}

// A large value that did not change is not written again.
TEST_F(PgSessionTest, UpdatesSetOnlyWhatChanged) {
  auto session = Open();
  const std::string large(300'000, 'x');
  Sql("ALTER TABLE t ALTER note SET STORAGE EXTERNAL");
  OwnedStep insert(route("t"), StepKind::kInsert);
  insert.Row({}, {Int(1), Int(1), Text(large)});
  EXPECT_EQ(Get(session->Commit(BatchOf({insert.step}))).outcome, Outcome::kCommitted);
  const std::string toast = Value("SELECT reltoastrelid::regclass FROM pg_class WHERE relname = 't'");
  const std::string before = Value("SELECT pg_relation_size('" + toast + "')");
  for (int64_t x = 1; x < 5; ++x) {
    OwnedStep update(route("t"), StepKind::kUpdate);
    update.Row({Int(1), Int(x), Text(large)}, {Int(1), Int(x + 1), Text(large)});
    EXPECT_EQ(Get(session->Commit(BatchOf({update.step}))).outcome, Outcome::kCommitted);
  }
  EXPECT_EQ(Value("SELECT pg_relation_size('" + toast + "')"), before);
  EXPECT_EQ(Value("SELECT x FROM t WHERE tenant_id = 'acme'"), "5");
}

TEST_F(PgSessionTest, OfEqualRowsWithoutAKeyOneIsTaken) {
  Sql("INSERT INTO heap VALUES ('acme', 1, 'x'), ('acme', 1, 'x'), ('acme', 1, 'x'), ('acme', NULL, NULL),"
      " ('other', 1, 'x'), ('acme', 1, 'X')");
  auto session = Open();
  OwnedStep deletes(route("heap"), StepKind::kDelete);
  deletes.Row({Int(1), Text("x")}, {}).Row({Cell::Null(), Cell::Null()}, {});
  OwnedStep updates(route("heap"), StepKind::kUpdate);
  updates.Row({Int(1), Text("x")}, {Int(2), Text("x")}).Row({Int(2), Text("x")}, {Int(3), Cell::Null()});
  EXPECT_EQ(Get(session->Commit(BatchOf({deletes.step, updates.step}))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Lines("SELECT tenant_id, a, b FROM heap ORDER BY tenant_id, a, b COLLATE \"C\""),
            (Lines_{"acme|1|X", "acme|1|x", "acme|3|NULL", "other|1|x"}));
  OwnedStep too_many(route("heap"), StepKind::kDelete);
  too_many.Row({Int(1), Text("x")}, {}).Row({Int(1), Text("x")}, {});
  EXPECT_EQ(Get(session->Commit(BatchOf({too_many.step}))).outcome, Outcome::kRejected);
}

// Found in one pass over the table, not in one for each.
TEST_F(PgSessionTest, ManyRowsWithoutAKeyAreFoundTogether) {
  Sql("INSERT INTO heap SELECT 'acme', i % 1000, CASE WHEN i % 5 = 0 THEN NULL ELSE 'x' || i % 1000 END"
      " FROM generate_series(0, 49999) i; INSERT INTO heap SELECT 'other', a, b FROM heap");
  auto session = Open();
  OwnedStep deletes(route("heap"), StepKind::kDelete);
  OwnedStep updates(route("heap"), StepKind::kUpdate);
  const std::string names[] = {"x1", "x2", "x3", "x4"};
  const auto row = [&](int64_t i) {
    return std::vector<Cell>{Int(i), i % 5 == 0 ? Cell::Null() : Text(names[i % 5 - 1])};
  };
  for (int64_t i = 0; i < 5; ++i) {
    for (int copy = 0; copy < 20; ++copy) {
      deletes.Row(row(i), {});
      updates.Row(row(i), {Int(5000 + copy), row(i)[1]});
    }
  }
  EXPECT_EQ(Get(session->Commit(BatchOf({deletes.step, updates.step}))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Lines("SELECT tenant_id, a, b, count(*) FROM heap WHERE a < 5 GROUP BY 1, 2, 3 ORDER BY 1, 2"),
            (Lines_{"acme|0|NULL|10", "acme|1|x1|10", "acme|2|x2|10", "acme|3|x3|10", "acme|4|x4|10", "other|0|NULL|50",
                    "other|1|x1|50", "other|2|x2|50", "other|3|x3|50", "other|4|x4|50"}));
  EXPECT_EQ(Value("SELECT count(*), count(DISTINCT a), count(b) FROM heap WHERE a >= 5000"), "100|20|80");
  EXPECT_EQ(Get(session->Commit(BatchOf({deletes.step}))).outcome, Outcome::kRejected)
      << "ten are left of twenty wanted";

  // One row's new image is the next one's old one: the order counts.
  OwnedStep chain(route("heap"), StepKind::kUpdate);
  Sql("DELETE FROM heap; INSERT INTO heap VALUES ('acme', 0, NULL)");
  for (int64_t i = 0; i < 20; ++i) {
    chain.Row({Int(i), Cell::Null()}, {Int(i + 1), Cell::Null()});
  }
  EXPECT_EQ(Get(session->Commit(BatchOf({chain.step}))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT a FROM heap"), "20");
}

// Types that have no equality, or one that is not that of their stored form.
TEST_F(PgSessionTest, RowsWithoutAKeyAreComparedAsTheyAreStored) {
  TableSchema odd = MakeTable("odd", {IntColumn("n")}, {});
  const auto add = [&](const char* name, ColumnType type) {
    Column column;
    column.name = name;
    column.type = type;
    column.length = 3;
    column.precision = 10;
    column.scale = 2;
    column.charset = type == ColumnType::kJsonText ? "utf8mb4" : "";
    odd.columns.push_back(column);
  };
  add("f", ColumnType::kDouble);
  add("j", ColumnType::kJsonText);
  add("d", ColumnType::kDecimal);
  add("bits", ColumnType::kBit);
  add("v", ColumnType::kVector);
  add("bin", ColumnType::kBlob);
  std::string columns = "tenant_id text NOT NULL";
  for (const Column& column : odd.columns) {
    columns += ", " + column.name + " " + Get(postgres::MapType(column, {})).sql;
  }
  Sql("CREATE TABLE odd (" + columns + ")");
  RouteRules rules;
  rules.tenancy.value = "acme";
  const RouteSet routes = Get(RouteSet::Make({odd}, rules));
  const auto row = [&](int64_t n, double f, std::string_view json) {
    return std::vector<Cell>{Int(n),
                             Cell::Double(f),
                             Cell::OfBytes(ValueKind::kJson, json),
                             Cell::OfBytes(ValueKind::kDecimal, "1.50"),
                             Cell::Bits(5),
                             Cell::OfBytes(ValueKind::kVector, std::string_view("\0\0\x80\x3f", 4)),
                             Cell::OfBytes(ValueKind::kBytes, std::string_view("\0\xff", 2))};
  };
  auto session = Open();
  for (const int64_t many : {1, 20}) {
    OwnedStep inserts(routes.Find("odd"), StepKind::kInsert);
    OwnedStep updates(routes.Find("odd"), StepKind::kUpdate);
    OwnedStep deletes(routes.Find("odd"), StepKind::kDelete);
    for (int64_t n = 0; n < many; ++n) {
      inserts.Row({}, row(n, 0.0, "{\"a\": 1}")).Row({}, row(n, -0.0, "{\"a\":1}"));
      updates.Row(row(n, -0.0, "{\"a\":1}"), row(n, 2.5, "[]"));
      deletes.Row(row(n, 0.0, "{\"a\": 1}"), {});
    }
    EXPECT_EQ(Get(session->Commit(BatchOf({inserts.step, updates.step, deletes.step}))).outcome, Outcome::kCommitted);
    EXPECT_EQ(Value("SELECT count(*), min(f), max(j::text), min(bits::text), min(v::text) FROM odd"),
              std::to_string(many) + "|2.5|[]|101|{1}");
    Sql("DELETE FROM odd");
  }
}

TEST_F(PgSessionTest, TruncateEmptiesThisTenantAndOnlyTheRangesAsked) {
  Sql("INSERT INTO t SELECT 'acme', i, i, NULL FROM generate_series(-5, 5) i");
  auto session = Open();
  Step step;
  step.route = route("t");
  step.kind = StepKind::kTruncate;
  step.ranges = {{std::nullopt, -4}, {2, 4}};
  EXPECT_EQ(Get(session->Commit(BatchOf({step}))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t WHERE tenant_id = 'acme'"),
            "-4 -3 -2 -1 0 1 4 5");
  step.ranges.clear();
  EXPECT_EQ(Get(session->Commit(BatchOf({step}))).outcome, Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT count(*) FROM t"), "2");
}

TEST_F(PgSessionTest, WithoutTheRightToSwitchForeignKeysOffTheFixIsNamed) {
  Sql("DROP ROLE IF EXISTS crossfade_plain; CREATE ROLE crossfade_plain LOGIN;"
      " GRANT ALL ON ALL TABLES IN SCHEMA public, crossfade TO crossfade_plain;"
      " GRANT USAGE ON SCHEMA crossfade TO crossfade_plain");
  PgSessionOptions options;
  options.connection = options_;
  options.connection.user = "crossfade_plain";
  options.migration = "m";
  options.journal_id = "j";
  options.epoch = 1;
  options.tenancy.value = "acme";
  {
    auto session = Get(OpenPgSession(options));
    OwnedStep step(route("t"), StepKind::kInsert);
    step.Row({}, {Int(1), Int(1), Cell::Null()});
    step.step.without_actions = true;
    const auto result = session->Commit(BatchOf({step.step}));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, "CF1570");
    EXPECT_EQ(result.error().error_class, ErrorClass::kConfig);
    EXPECT_EQ(result.error().fix, "GRANT SET ON PARAMETER session_replication_role TO \"crossfade_plain\"");
    if (std::stoi(Value("SHOW server_version_num")) >= 150000) {
      Sql(result.error().fix);
      EXPECT_EQ(Get(session->Commit(BatchOf({step.step}))).outcome, Outcome::kCommitted);
      Sql("REVOKE SET ON PARAMETER session_replication_role FROM crossfade_plain");
    }
  }
  Sql("DROP OWNED BY crossfade_plain; DROP ROLE crossfade_plain");
}

// With asynchronous commits only some say that they are on the disk, and the pin follows those.
TEST_F(PgSessionTest, AsynchronousCommitsTellWhichAreDurable) {
  auto session = Open(1, false);
  EXPECT_TRUE(Get(session->Commit(BatchOf({}, 1))).durable);
  EXPECT_FALSE(Get(session->Commit(BatchOf({}, 2))).durable);
  std::this_thread::sleep_for(std::chrono::milliseconds(550));
  EXPECT_TRUE(Get(session->Commit(BatchOf({}, 3))).durable);
  auto careful = Open(1, true);
  EXPECT_TRUE(Get(careful->Commit(BatchOf({}, 4))).durable);
  EXPECT_TRUE(Get(careful->Commit(BatchOf({}, 5))).durable);
}

TEST_F(PgSessionTest, ForgetsStatementsInsteadOfKeepingThemWithoutBound) {
  PgSessionOptions options;
  options.connection = options_;
  options.migration = "m";
  options.journal_id = "j";
  options.epoch = 1;
  options.tenancy.value = "acme";
  options.prepared_statements = 2;
  auto session = Get(OpenPgSession(options));
  for (int64_t id = 1; id <= 10; ++id) {
    OwnedStep insert(route("t"), StepKind::kInsert);
    insert.Row({}, {Int(id), Int(1), Cell::Null()});
    OwnedStep x(route("t"), StepKind::kUpdate);
    x.Row({Int(id), Int(1), Cell::Null()}, {Int(id), Int(2), Cell::Null()});
    OwnedStep note(route("t"), StepKind::kUpdate);
    note.Row({Int(id), Int(2), Cell::Null()}, {Int(id), Int(2), Text("n")});
    OwnedStep gone(route("t"), StepKind::kDelete);
    gone.Row({Int(id), Int(2), Text("n")}, {});
    EXPECT_EQ(Get(session->Commit(BatchOf({insert.step, x.step, note.step, gone.step}))).outcome, Outcome::kCommitted);
  }
  EXPECT_EQ(Ours(), "");
}

TEST_F(PgSessionTest, DecodesTheListOfAppliedTransactions) {
  const std::vector<Progress::Applied> above = {{Seq{5}, PositionOf(50)}, {Seq{7}, PositionOf(70)}};
  const std::string bytes = EncodeAbove(above);
  const auto decoded = Get(DecodeAbove(bytes));
  ASSERT_EQ(decoded.size(), 2U);
  EXPECT_EQ(decoded[1].seq, Seq{7});
  EXPECT_EQ(decoded[1].position, PositionOf(70));
  EXPECT_EQ(Get(DecodeAbove(EncodeAbove({}))).size(), 0U);
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeAbove(std::string_view(bytes).substr(0, length)));
  }
  EXPECT_EQ(DecodeAbove(bytes + "x").error().code, "CF1573");
}

TEST_F(PgSessionTest, ADivergenceStopsBehindEverythingBeforeIt) {
  OpenJournal();
  AppendInsert(1, 1);
  AppendInsert(2, 1);
  AppendUpdate(9, 1, 2);
  AppendInsert(3, 1);
  auto session = Open();
  const auto ended = Follow(session.get());
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, "CF1550");
  EXPECT_EQ(ended.error().error_class, ErrorClass::kData);
  EXPECT_EQ(ended.error().object, "t");
  EXPECT_NE(ended.error().message.find("Seq 3"), std::string::npos);
  EXPECT_NE(ended.error().message.find("before: {id=9, x=1"), std::string::npos) << ended.error().message;
  EXPECT_EQ(Ours(), "1|1|NULL 2|1|NULL");
  EXPECT_EQ(progress_.seq, Seq{2});
  EXPECT_EQ(Value("SELECT low FROM crossfade.progress WHERE worker = 0"), "2");
}

TEST_F(PgSessionTest, DivergencesAreRepairedAndKept) {
  Sql("INSERT INTO t VALUES ('acme', 2, 77, 'stranger')");
  OpenJournal();
  AppendInsert(1, 1);
  AppendInsert(2, 1);
  AppendUpdate(3, 1, 2);
  AppendDelete(4, 1);
  AppendInsert(5, 1);
  auto session = Open();
  const auto ended = Follow(session.get(), OnDivergence::kRepair);
  ASSERT_TRUE(ended) << ended.error().ToString();
  EXPECT_EQ(Ours(), "1|1|NULL 2|1|NULL 3|2|NULL 5|1|NULL");
  EXPECT_EQ(progress_.divergences, 3U);
  EXPECT_EQ(Lines("SELECT seq, table_name, kind, row_key, action FROM crossfade.divergence ORDER BY id"),
            (Lines_{"2|t|insert|id=2|repaired", "3|t|update|id=3|repaired", "4|t|delete|id=4|repaired"}));
}

TEST_F(PgSessionTest, DivergencesAreSkippedAndKept) {
  Sql("INSERT INTO t VALUES ('acme', 2, 77, 'stranger')");
  OpenJournal();
  AppendInsert(2, 1);
  AppendUpdate(3, 1, 2);
  AppendInsert(5, 1);
  auto session = Open();
  ASSERT_TRUE(Follow(session.get(), OnDivergence::kSkip));
  EXPECT_EQ(Ours(), "2|77|stranger 5|1|NULL");
  EXPECT_EQ(Value("SELECT count(*) FROM crossfade.divergence WHERE action = 'skipped'"), "2");
}

TEST_F(PgSessionTest, WhatRepairCannotMendStopsAllTheSame) {
  Sql("CREATE UNIQUE INDEX ON t (tenant_id, x); INSERT INTO t VALUES ('acme', 50, 7, 'has x')");
  OpenJournal();
  AppendInsert(1, 7);
  auto session = Open();
  const auto ended = Follow(session.get(), OnDivergence::kRepair);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, "CF1550");
  EXPECT_EQ(Ours(), "50|7|has x");
}

TEST_F(PgSessionTest, AValueThatCannotBeHeldStopsBehindEverythingBeforeIt) {
  OpenJournal();
  AppendInsert(1, 1);
  const std::vector<Cell> bad = {Int(2), Int(1), Text(std::string_view("\0", 1))};
  Append({.table = &tables_[0], .kind = ChangeKind::kInsert, .flags = kEndOfStatement, .after = bad});
  AppendInsert(3, 1);
  auto session = Open();
  const auto ended = Follow(session.get(), OnDivergence::kSkip);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, "CF1411");
  EXPECT_EQ(Ours(), "1|1|NULL");
}

TEST_F(PgSessionTest, ALargeTransactionWithADivergenceIsWrittenInPieces) {
  OpenJournal();
  Sql("INSERT INTO t VALUES ('acme', 150, 7, 'stranger')");
  std::deque<std::vector<Cell>> images;
  std::vector<Change> changes;
  for (int64_t id = 0; id < 300; ++id) {
    const auto& after = images.emplace_back(std::vector<Cell>{Int(id), Int(0), Text("some text to fill a part")});
    changes.push_back({.table = &tables_[0], .kind = ChangeKind::kInsert, .flags = kEndOfStatement, .after = after});
  }
  Append(changes);
  Check(journal_->writer().Sync());
  ApplierOptions options;
  options.limits.max_bytes = 4000;
  options.on_divergence = OnDivergence::kRepair;
  options.last = journal_->tail().seq;
  auto session = Open();
  Applier applier(journal_.get(), &routes_, &windows_, session.get(), options);
  const auto ended = applier.Run(Seq{0}, {});
  ASSERT_TRUE(ended) << ended.error().ToString();
  EXPECT_EQ(Value("SELECT count(*), count(DISTINCT note) FROM t WHERE tenant_id = 'acme'"), "300|1");
  EXPECT_EQ(applier.progress().divergences, 1U);
  EXPECT_EQ(Lines("SELECT row_key FROM crossfade.divergence"), (Lines_{"id=150"}));
}

TEST_F(PgSessionTest, FollowsMovesThePinAndStopsWhenAsked) {
  OpenJournal();
  auto session = Open();
  ApplierOptions options;
  options.pin_every = std::chrono::milliseconds(0);
  Applier applier(journal_.get(), &routes_, &windows_, session.get(), options);
  Result<Applier::Ended> ended = Applier::Ended::kDone;
  {
    std::jthread thread([&](std::stop_token stop) { ended = applier.Run(Seq{0}, stop); });
    for (int64_t id = 1; id <= 50; ++id) {
      AppendInsert(id, 0);
      Check(journal_->writer().Sync());
    }
    Check(journal_->writer().Advance(PositionOf(1000)));
    Check(journal_->writer().Sync());
    while (!applier.progress().caught_up || applier.progress().position != PositionOf(1000)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  EXPECT_EQ(Get(std::move(ended)), Applier::Ended::kStopped);
  EXPECT_EQ(applier.progress().seq, Seq{50});
  EXPECT_EQ(applier.progress().transactions, 50U);
  ASSERT_EQ(journal_->stats().pins.size(), 1U);
  EXPECT_EQ(journal_->stats().pins[0].second, Seq{50});
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE tenant_id = 'acme'"), "50");
}

}  // namespace
}  // namespace crossfade::apply
