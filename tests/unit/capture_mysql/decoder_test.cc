// The decoder on events made by hand: groups, savepoints, foreign keys, places.
#include "golden.h"

namespace crossfade::capture {
namespace {

constexpr uint8_t kStandalone = 1;
constexpr uint16_t kUnchecked = kNoChecks | kSqlForeignKeys;

class DecoderTest : public ::testing::Test {
 protected:
  DecoderTest() {
    golden_.flavor = mysql::Flavor::kMariaDb;
    golden_.database = "d";
    golden_.tables = {SimpleTable("t"), SimpleTable("c")};
    ForeignKey key;
    key.columns = {1};
    key.parent_table = "t";
    key.parent_columns = {"id"};
    key.on_delete = ReferenceAction::kCascade;
    golden_.tables[1].foreign_keys.push_back(key);
    Renew();
  }

  void Renew(uint64_t hold_bytes = 1 << 20) {
    decoder_ = MakeDecoder(golden_, hold_bytes);
    outcome_.clear();
    Feed(FormatEvent());
  }

  void Feed(const std::string& event) {
    const Status fed = FeedAll(decoder_.get(), event, &outcome_);
    ASSERT_TRUE(fed.has_value()) << fed.error().ToString();
  }

  std::string Refused(const std::string& event) {
    const Status fed = FeedAll(decoder_.get(), event, &outcome_);
    return fed ? "" : fed.error().code;
  }

  // Outcomes without positions.
  std::vector<std::string> Taken() {
    std::vector<std::string> taken;
    for (const std::string& line : outcome_) {
      taken.push_back(line.substr(0, line.find(" at ")));
    }
    outcome_.clear();
    return taken;
  }

  static std::string Xid() { return MakeEvent(EventType::kXid, std::string(8, '\0')); }

  // Table maps of t (1) and c (2).
  void Begin() {
    Feed(MariaDbGtidEvent(++sequence_));
    Feed(TableMapEvent(1, "t"));
    Feed(TableMapEvent(2, "c"));
  }

  Golden golden_;
  std::unique_ptr<LogDecoder> decoder_;
  std::vector<std::string> outcome_;
  uint64_t sequence_ = 0;
};

using Lines = std::vector<std::string>;

TEST_F(DecoderTest, AGroupIsATransaction) {
  Begin();
  Feed(InsertEvent(1, 5));
  Feed(Xid());
  EXPECT_EQ(Taken(), (Lines{"begin", "insert t (5, 'x') end", "commit"}));
  EXPECT_EQ(decoder_->position().set, "0-1-1");
}

TEST_F(DecoderTest, RowsOfTablesWeDoNotCaptureAreNotLookedAt) {
  Feed(MariaDbGtidEvent(1));
  Feed(TableMapEvent(9, "t", "other"));
  Feed(InsertEvent(9, 5));
  Feed(TableMapEvent(8, "unknown"));
  Feed(InsertEvent(8, 5));
  Feed(Xid());
  EXPECT_EQ(Taken(), Lines{});
  EXPECT_EQ(decoder_->position().set, "0-1-1");
}

TEST_F(DecoderTest, ARollbackEndsTheGroup) {
  Begin();
  Feed(InsertEvent(1, 5));
  Feed(QueryEvent("ROLLBACK"));
  EXPECT_EQ(Taken(), (Lines{"begin", "insert t (5, 'x') end", "rollback"}));
}

TEST_F(DecoderTest, AGroupWithoutItsEndIsRolledBack) {
  for (const std::string& event :
       {FormatEvent(), MakeEvent(EventType::kRotate, std::string(8, '\4') + "binlog.000002"), MariaDbGtidEvent(9)}) {
    Renew();
    Begin();
    Feed(InsertEvent(1, 5));
    Feed(event);
    EXPECT_EQ(Taken(), (Lines{"begin", "insert t (5, 'x') end", "rollback"}));
  }
  Renew();
  Begin();
  Feed(FormatEvent());
  EXPECT_EQ(Taken(), Lines{});  // nothing had been given out
}

TEST_F(DecoderTest, RowsBehindASavepointWaitForTheEnd) {
  Begin();
  Feed(InsertEvent(1, 1));
  Feed(QueryEvent("SAVEPOINT `a`"));
  Feed(InsertEvent(1, 2));
  EXPECT_EQ(Taken(), (Lines{"begin", "insert t (1, 'x') end"}));
  Feed(QueryEvent("SAVEPOINT b"));
  Feed(InsertEvent(1, 3));
  Feed(QueryEvent("ROLLBACK TO `B`"));
  Feed(InsertEvent(1, 4));
  Feed(Xid());
  EXPECT_EQ(Taken(), (Lines{"insert t (2, 'x') end", "insert t (4, 'x') end", "commit"}));
}

TEST_F(DecoderTest, RollbackToTheFirstSavepointTakesBackAllBehindIt) {
  Begin();
  Feed(QueryEvent("SAVEPOINT a"));
  Feed(InsertEvent(1, 2));
  Feed(QueryEvent("SAVEPOINT b"));
  Feed(InsertEvent(1, 3));
  Feed(QueryEvent("ROLLBACK TO a"));
  Feed(Xid());
  EXPECT_EQ(Taken(), Lines{});
  EXPECT_EQ(decoder_->position().set, "0-1-1");
}

TEST_F(DecoderTest, ASavepointOfTheSameNameReplacesTheOldOne) {
  Begin();
  Feed(QueryEvent("SAVEPOINT a"));
  Feed(InsertEvent(1, 2));
  Feed(QueryEvent("SAVEPOINT a"));
  Feed(InsertEvent(1, 3));
  Feed(QueryEvent("ROLLBACK TO a"));
  Feed(Xid());
  EXPECT_EQ(Taken(), (Lines{"begin", "insert t (2, 'x') end", "commit"}));
}

TEST_F(DecoderTest, RollbackOverMoreThanCanWaitStops) {
  Renew(10);
  Begin();
  Feed(QueryEvent("SAVEPOINT a"));
  Feed(InsertEvent(1, 2));
  EXPECT_EQ(Taken(), (Lines{"begin", "insert t (2, 'x') end"}));
  EXPECT_EQ(Refused(QueryEvent("ROLLBACK TO a")), "CF1214");
}

TEST_F(DecoderTest, ASavepointBehindWhatCouldNotWaitIsStillGood) {
  Renew(100);
  Begin();
  Feed(QueryEvent("SAVEPOINT a"));
  for (int i = 0; i < 10; ++i) {
    Feed(InsertEvent(1, i));
  }
  Feed(QueryEvent("SAVEPOINT b"));
  Feed(InsertEvent(1, 77));
  Feed(QueryEvent("ROLLBACK TO b"));
  Feed(Xid());
  const Lines taken = Taken();
  EXPECT_EQ(taken.size(), 12U);
  EXPECT_EQ(taken.back(), "commit");
  EXPECT_EQ(taken[10], "insert t (9, 'x') end");
}

TEST_F(DecoderTest, UncheckedRowsBeforeACheckedOneAreCascaded) {
  Begin();
  Feed(InsertEvent(2, 1, kUnchecked));
  Feed(InsertEvent(2, 2, kUnchecked));
  EXPECT_EQ(Taken(), Lines{});
  Feed(InsertEvent(1, 3, kSqlForeignKeys));
  EXPECT_EQ(Taken(), (Lines{"begin", "insert c (1, 'x') cascaded", "insert c (2, 'x') cascaded", "insert t (3, 'x')"}));
  Feed(InsertEvent(2, 4, kUnchecked));
  EXPECT_EQ(Taken(), Lines{"insert c (4, 'x') cascaded"});  // known by now
  Feed(InsertEvent(1, 5, kSqlForeignKeys | kStatementEnd));
  Feed(Xid());
  EXPECT_EQ(Taken(), (Lines{"insert t (5, 'x') end", "commit"}));
}

TEST_F(DecoderTest, AStatementWithoutAnyCheckIsUnchecked) {
  Begin();
  Feed(InsertEvent(2, 1, kUnchecked));
  Feed(InsertEvent(1, 2, kUnchecked | kStatementEnd));
  EXPECT_EQ(Taken(), (Lines{"begin", "insert c (1, 'x') unchecked", "insert t (2, 'x') unchecked end"}));
  Feed(InsertEvent(2, 1, kUnchecked));
  Feed(Xid());  // no end of the statement: what waits comes out
  EXPECT_EQ(Taken().size(), 2U);
}

TEST_F(DecoderTest, OldServersFlagIsEnough) {
  Begin();
  Feed(InsertEvent(2, 1, kNoChecks));
  EXPECT_EQ(Taken(), (Lines{"begin", "insert c (1, 'x') unchecked"}));
}

TEST_F(DecoderTest, TooManyRowsToWaitAreToldByTheirTables) {
  Renew(40);
  Begin();
  Feed(InsertEvent(2, 1, kUnchecked));
  Feed(InsertEvent(2, 2, kUnchecked));
  Feed(InsertEvent(2, 3, kUnchecked));
  EXPECT_EQ(Taken()[1], "insert c (1, 'x') cascaded");
}

TEST_F(DecoderTest, EndOfStatementOnATableWeDoNotCapture) {
  Begin();
  Feed(TableMapEvent(8, "unknown"));
  Feed(InsertEvent(2, 1, kUnchecked));
  Feed(InsertEvent(8, 2, kUnchecked | kStatementEnd));
  EXPECT_EQ(Taken(), (Lines{"begin", "insert c (1, 'x') unchecked end"}));
}

TEST_F(DecoderTest, XaWithoutRowsIsStillTold) {
  Feed(MariaDbGtidEvent(1, 0x40));
  std::string body("\0\7\0\0\0\1\0\0\0\0\0\0\0", 13);
  Feed(MakeEvent(EventType::kXaPrepare, body + "g"));
  Feed(MariaDbGtidEvent(2, 0x81));
  Feed(QueryEvent("XA COMMIT X'67',X'',7"));
  EXPECT_EQ(Taken(), (Lines{"begin", "prepare X'67',X'',7", "begin", "commit prepared X'67',X'',7"}));
}

TEST_F(DecoderTest, StatementsWithinAGroupOfOneEventEndIt) {
  Feed(MariaDbGtidEvent(1, kStandalone));
  EXPECT_TRUE(decoder_->in_transaction());
  Feed(QueryEvent("GRANT ALL ON d.* TO u"));
  EXPECT_FALSE(decoder_->in_transaction());
  EXPECT_EQ(decoder_->position().set, "0-1-1");
  Feed(MariaDbGtidEvent(2, kStandalone));
  Feed(QueryEvent("DROP DATABASE d"));
  EXPECT_EQ(Taken(), Lines{"schema change of : DROP DATABASE d"});
}

// MariaDB's binlog_alter_two_phase: the statement stands in the log when it begins, and again when it is done.
TEST_F(DecoderTest, OnlyTheEndOfALongAlterCounts) {
  const auto gtid = [](uint64_t sequence, uint8_t more_flags) {
    std::string body;
    ByteWriter out(&body);
    out.FixedU64(sequence);
    out.FixedU32(0);
    out.U8(0x29);
    out.U8(more_flags);
    body += std::string(8, '\0');
    return MakeEvent(EventType::kMariaDbGtid, body);
  };
  Feed(gtid(1, 0x02));
  Feed(QueryEvent("alter table t add x int"));
  EXPECT_EQ(Taken(), Lines{});
  Begin();
  Feed(InsertEvent(1, 1));
  Feed(Xid());
  EXPECT_EQ(Taken().size(), 3U);
  Feed(gtid(3, 0x08));
  Feed(QueryEvent("alter table t add x int"));
  EXPECT_EQ(Taken(), Lines{});
  Feed(gtid(4, 0x04));
  Feed(QueryEvent("alter table t add x int"));
  EXPECT_EQ(Taken(), Lines{"schema change of t: alter table t add x int"});
}

TEST_F(DecoderTest, ChangesLoggedAsStatementsStop) {
  for (const char* statement :
       {"INSERT INTO t VALUES (1)", "update `t` set v = 1", "/* x */ DELETE FROM t", "REPLACE t SET id = 1",
        "LOAD DATA INFILE 'x' INTO TABLE t", "WITH x AS (SELECT 1) UPDATE t SET v = 1"}) {
    Renew();
    Begin();
    EXPECT_EQ(Refused(QueryEvent(statement)), "CF1212") << statement;
  }
  Renew();
  Begin();
  EXPECT_EQ(Refused(QueryEvent("INSERT INTO d.t SELECT * FROM x", "other")), "CF1212");
  Renew();
  Begin();
  EXPECT_EQ(Refused(QueryEvent("INSERT INTO t VALUES (1)", "other")), "");
}

TEST_F(DecoderTest, OffsetsGoOnBehindFourGiB) {
  Position from;
  from.file = "binlog.000001";
  from.offset = 0xFFFFFF00;
  ASSERT_TRUE(decoder_->Start(from, true, false).has_value());
  Feed(MakeEvent(EventType::kMariaDbGtid, std::string("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 19), 0xFFFFFFF0));
  Feed(TableMapEvent(1, "t"));
  Feed(InsertEvent(1, 1));
  Feed(MakeEvent(EventType::kXid, std::string(8, '\0'), 0x100));
  EXPECT_EQ(decoder_->position().offset, 0x100000100U);
}

TEST_F(DecoderTest, SkippingOnlyTellsTheSet) {
  Position from;
  from.file = "binlog.000001";
  from.offset = 500;
  ASSERT_TRUE(decoder_->Start(from, false, true).has_value());
  std::string list;
  ByteWriter out(&list);
  out.FixedU32(1);
  out.FixedU32(0);
  out.FixedU32(1);
  out.FixedU64(41);
  Feed(MakeEvent(EventType::kGtidList, list, 200));
  const auto gtid = [](uint64_t sequence, uint32_t next) {
    std::string body;
    ByteWriter writer(&body);
    writer.FixedU64(sequence);
    writer.FixedU32(0);
    writer.U8(0);
    return MakeEvent(EventType::kMariaDbGtid, body, next);
  };
  Feed(gtid(42, 300));
  Feed(MakeEvent(EventType::kTableMap, "nonsense", 400));
  Feed(MakeEvent(EventType::kXid, std::string(8, '\0'), 500));
  EXPECT_EQ(decoder_->position().set, "0-1-42");
  EXPECT_EQ(decoder_->position().offset, 500U);
  Feed(gtid(43, 600));
  Feed(TableMapEvent(1, "t"));
  Feed(InsertEvent(1, 1));
  Feed(MakeEvent(EventType::kXid, std::string(8, '\0'), 700));
  EXPECT_EQ(Taken(), (Lines{"begin", "insert t (1, 'x') end", "commit"}));
  EXPECT_EQ(decoder_->position().set, "0-1-43");
  EXPECT_EQ(decoder_->position().offset, 700U);
}

TEST_F(DecoderTest, IncidentsAndUnknownEventsAreCorrupt) {
  EXPECT_EQ(Refused(MakeEvent(EventType::kIncident, "xx")), "CF1208");
  EXPECT_EQ(Refused(MakeEvent(static_cast<EventType>(200), "xx")), "CF1208");
  EXPECT_EQ(Refused(MakeEvent(static_cast<EventType>(200), "xx", 0, kIgnorableEvent)), "");
  EXPECT_EQ(Refused(InsertEvent(1, 1)), "CF1205");  // no table map
  Begin();
  EXPECT_EQ(Refused(TableMapEvent(3, "t").substr(0, 30)), "CF1205");
}

TEST_F(DecoderTest, TheSameTableMapAgainCostsNothingAndANewShapeStops) {
  Begin();
  Feed(TableMapEvent(1, "t"));
  Feed(InsertEvent(1, 1));
  std::string body{1, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0};
  body += std::string("\x02\x03\x0f\x02\x51\x00\x02", 7);  // VARCHAR of 81 bytes
  EXPECT_EQ(Refused(MakeEvent(EventType::kTableMap, body)), "CF1210");
}

}  // namespace
}  // namespace crossfade::capture
