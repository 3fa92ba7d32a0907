// The decoder and what makes events of it, without a server.
#include <gtest/gtest.h>

#include <random>
#include <variant>

#include "capture/postgres/pgoutput.h"
#include "capture/postgres/stream_decoder.h"
#include "messages.h"

namespace crossfade::capture {
namespace {

template <typename T>
std::string CodeOf(const Result<T>& result) {
  return result ? "" : result.error().code;
}

std::vector<std::string> OneOfEach() {
  const std::string lsn = Big(0x16'B374'D848, 8);
  return {BeginMessage(0x1000, 737),
          CommitMessage(0x1000, 0x1030),
          "O" + lsn + Zero("origin"),
          RelationMessage(7, "public", "t", 'd', {{"id", 23, true}, {"x", 25, false}}),
          "Y" + Big(99, 4) + Zero("public") + Zero("mood"),
          InsertMessage(7, {"1", "NULL"}),
          UpdateMessage(7, 0, {}, {"1", "UNCHANGED"}),
          UpdateMessage(7, 'K', {"1", "NULL"}, {"2", "x"}),
          UpdateMessage(7, 'O', {"1", "y"}, {"2", "x"}),
          DeleteMessage(7, 'K', {"1", "NULL"}),
          TruncateMessage({7, 8}, 3),
          "M" + Big(1, 1) + lsn + Zero("crossfade") + Big(4, 4) + "head",
          "S" + Big(737, 4) + Big(1, 1),
          "c" + Big(737, 4) + Big(0, 1) + lsn + lsn + Big(0, 8),
          "A" + Big(737, 4) + Big(738, 4)};
}

TEST(PgOutput, ReadsEachMessage) {
  const auto messages = OneOfEach();
  pgoutput::Decoder decoder;
  const auto get = [&](size_t i) {
    auto decoded = decoder.Decode(messages[i]);
    EXPECT_TRUE(decoded) << i;
    return *decoded;
  };
  const auto begin = std::get<pgoutput::Begin>(get(0).message);
  EXPECT_EQ(begin.commit_lsn, 0x1000U);
  EXPECT_EQ(begin.xid, 737U);
  EXPECT_EQ(begin.commit_time_us, kNewYear2000);
  const auto commit = std::get<pgoutput::Commit>(get(1).message);
  EXPECT_EQ(commit.end_lsn, 0x1030U);
  EXPECT_EQ(std::get<pgoutput::Origin>(get(2).message).name, "origin");
  const auto relation = std::get<pgoutput::Relation>(get(3).message);
  EXPECT_EQ(relation.name, "t");
  ASSERT_EQ(relation.columns.size(), 2U);
  EXPECT_TRUE(relation.columns[0].identity);
  EXPECT_EQ(relation.columns[1].name, "x");
  EXPECT_EQ(relation.columns[1].type, 25U);
  EXPECT_EQ(relation.columns[1].modifier, -1);
  EXPECT_EQ(std::get<pgoutput::Type>(get(4).message).name, "mood");
  const auto insert = std::get<pgoutput::Insert>(get(5).message);
  EXPECT_EQ(insert.after[0].bytes, "1");
  EXPECT_EQ(insert.after[1].kind, pgoutput::FieldKind::kNull);
  const auto update = std::get<pgoutput::Update>(get(6).message);
  EXPECT_EQ(update.old, pgoutput::OldTuple::kNone);
  EXPECT_EQ(update.after[1].kind, pgoutput::FieldKind::kUnchanged);
  EXPECT_EQ(std::get<pgoutput::Update>(get(7).message).old, pgoutput::OldTuple::kKey);
  const auto whole = std::get<pgoutput::Update>(get(8).message);
  EXPECT_EQ(whole.before[1].bytes, "y");
  EXPECT_EQ(whole.after[1].bytes, "x");
  EXPECT_EQ(std::get<pgoutput::Delete>(get(9).message).old, pgoutput::OldTuple::kKey);
  const auto truncate = std::get<pgoutput::Truncate>(get(10).message);
  EXPECT_TRUE(truncate.cascade && truncate.restart_identity);
  EXPECT_EQ(truncate.relations[1], 8U);
  EXPECT_EQ(std::get<pgoutput::Message>(get(11).message).content, "head");
}

// Version 2: within a stream each change says whose it is.
TEST(PgOutput, ReadsTransactionsInPieces) {
  const auto messages = OneOfEach();
  pgoutput::Decoder decoder;
  EXPECT_EQ(CodeOf(decoder.Decode("E")), "CF1920");
  ASSERT_TRUE(decoder.Decode(messages[12]));
  EXPECT_TRUE(decoder.in_stream());
  const std::string insert = messages[5];
  const auto decoded = decoder.Decode("I" + Big(740, 4) + insert.substr(1));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->xid, 740U);
  EXPECT_EQ(std::get<pgoutput::Insert>(decoded->message).after[0].bytes, "1");
  EXPECT_EQ(CodeOf(decoder.Decode(messages[12])), "CF1920");
  EXPECT_EQ(CodeOf(decoder.Decode(messages[0])), "CF1920");
  ASSERT_TRUE(decoder.Decode("E"));
  EXPECT_FALSE(decoder.in_stream());
  EXPECT_EQ(std::get<pgoutput::StreamCommit>(decoder.Decode(messages[13])->message).commit.end_lsn, 0x16'B374'D848U);
  EXPECT_EQ(std::get<pgoutput::StreamAbort>(decoder.Decode(messages[14])->message).subxid, 738U);
}

TEST(PgOutput, EveryTruncationAndEveryTailIsRefused) {
  for (const std::string& message : OneOfEach()) {
    for (size_t size = 0; size < message.size(); ++size) {
      pgoutput::Decoder decoder;
      const std::string cut = message.substr(0, size);
      EXPECT_EQ(CodeOf(decoder.Decode(cut)), "CF1920") << message[0] << " " << size;
    }
    pgoutput::Decoder decoder;
    EXPECT_EQ(CodeOf(decoder.Decode(message + "x")), "CF1920") << message[0];
    EXPECT_TRUE(decoder.Decode(message));  // it stands where it stood
  }
  pgoutput::Decoder decoder;
  EXPECT_EQ(CodeOf(decoder.Decode("z")), "CF1920");
  EXPECT_EQ(CodeOf(decoder.Decode("T" + Big(0xFFFFFFFF, 4) + Big(0, 1))), "CF1920");
  EXPECT_EQ(CodeOf(decoder.Decode("I" + Big(7, 4) + "N" + Big(1, 2) + "t" + Big(0xFFFFFFFF, 4) + "x")), "CF1920");
}

TEST(PgOutput, DamagedBytesAreRefusedOrRead) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto messages = OneOfEach();
  for (int i = 0; i < 20'000; ++i) {
    std::string message = messages[random() % messages.size()];
    for (unsigned damage = random() % 4; damage > 0; --damage) {
      message[random() % message.size()] = static_cast<char>(random());
    }
    pgoutput::Decoder decoder;
    const auto decoded = decoder.Decode(message);
    EXPECT_TRUE(decoded || decoded.error().code == "CF1920");
  }
}

Column TextColumn(const std::string& name, ColumnType type, const std::string& source_type) {
  Column column;
  column.name = name;
  column.type = type;
  column.source_type = source_type;
  column.bits = 32;
  column.of_postgres = true;
  return column;
}

TableSchema Table(const std::string& name) {
  TableSchema table;
  table.database = "shop";
  table.name = name;
  table.columns = {TextColumn("id", ColumnType::kInt, "integer"), TextColumn("x", ColumnType::kText, "text"),
                   TextColumn("big", ColumnType::kText, "text")};
  table.primary_key = {KeyPart{0, 0, false}};
  return table;
}

std::string Shown(std::span<const Value> image) {
  std::string out;
  for (const Value& value : image) {
    out += (out.empty() ? "" : ",") + (value.is_absent() ? "-" : ToDisplay(value));
  }
  return out;
}

class StreamTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kId = 7;
  StreamTest() {
    TableSchema generated = Table("generated");
    generated.columns[1].generated = GeneratedKind::kStored;
    relations_ = std::make_unique<Relations>(
        "public", std::vector<TableSchema>{Table("t"), generated},
        [](uint32_t type, int32_t) -> Result<std::string> { return type == 23 ? "integer" : "text"; });
    decoder_ = std::make_unique<StreamDecoder>(Position{.server = "1/1", .last = "9", .offset = 100}, relations_.get(),
                                               [this]() -> Result<uint64_t> {
                                                 ++asked_;
                                                 return next_xid_;
                                               });
  }

  static std::string Named(char identity = 'd', const std::string& name = "t", uint32_t id = kId) {
    const bool full = identity == 'f';
    return RelationMessage(id, "public", name, identity, {{"id", 23, true}, {"x", 25, full}, {"big", 25, full}});
  }

  // What the message becomes; an error's code.
  std::string Feed(const std::string& message) {
    kept_ = message;
    const Status fed = decoder_->Feed(kept_);
    if (!fed) {
      return fed.error().code;
    }
    std::string out;
    while (const auto event = decoder_->Take()) {
      out += out.empty() ? "" : " ";
      if (const auto* change = std::get_if<Change>(&*event)) {
        EXPECT_EQ(change->flags, kNoForeignKeyChecks);
        constexpr const char* kNames[] = {"?", "insert", "update", "delete", "truncate"};
        out += fmt::format("{} {} {}>{}", kNames[static_cast<int>(change->kind)], change->table->name,
                           Shown(change->before), Shown(change->after));
      } else if (const auto* end = std::get_if<TransactionEnd>(&*event)) {
        out += fmt::format("commit {} of {} at {}", end->position.offset, end->position.last, end->commit_time_us);
        EXPECT_EQ(end->position.server, "1/1");
      } else if (const auto* schema = std::get_if<SchemaChange>(&*event)) {
        out += "schema " + schema->statement;
      } else {
        out += "begin";
      }
    }
    return out;
  }

  std::unique_ptr<Relations> relations_;
  std::unique_ptr<StreamDecoder> decoder_;
  uint64_t next_xid_ = (uint64_t{3} << 32) + 5;
  int asked_ = 0;
  std::string kept_;
};

TEST_F(StreamTest, ATransactionBeginsWithItsFirstRowAndEndsWithItsWholeNumber) {
  EXPECT_EQ(Feed(BeginMessage(200, 4)), "");
  EXPECT_TRUE(decoder_->in_transaction());
  EXPECT_EQ(Feed(Named()), "");
  EXPECT_EQ(Feed(InsertMessage(kId, {"1", "a", "NULL"})), "begin insert t >1,'a',NULL");
  EXPECT_EQ(Feed(InsertMessage(kId, {"2", "", "b"})), "insert t >2,'','b'");
  EXPECT_EQ(Feed(CommitMessage(200, 230, 1'700'000'000'123'456)),
            "commit 230 of " + std::to_string((uint64_t{3} << 32) + 4) + " at 1700000000123456");
  EXPECT_EQ(Feed(BeginMessage(300, 0xFFFFFFFE)), "");  // began before the counter went round
  EXPECT_EQ(Feed(DeleteMessage(kId, 'K', {"1", "NULL", "NULL"})), "begin delete t 1,-,->");
  EXPECT_EQ(Feed(CommitMessage(300, 330)),
            "commit 330 of " + std::to_string((uint64_t{3} << 32) - 2) + " at " + std::to_string(kNewYear2000));
  EXPECT_EQ(asked_, 1);
  EXPECT_FALSE(decoder_->moved());
}

TEST_F(StreamTest, ATransactionWithoutRowsOfOursOnlyMovesThePosition) {
  Feed(BeginMessage(200, 4));
  EXPECT_EQ(Feed(Named('d', "another", 8)), "");
  EXPECT_EQ(Feed(InsertMessage(8, {"1", "a", "b"})), "");
  decoder_->Advance(500);  // within a transaction that says nothing
  EXPECT_EQ(decoder_->position().offset, 100U);
  EXPECT_EQ(Feed(CommitMessage(200, 230)), "");
  EXPECT_TRUE(decoder_->moved());
  EXPECT_EQ(decoder_->position(), (Position{.server = "1/1", .offset = 230}));
  decoder_->Told();
  decoder_->Advance(230);
  EXPECT_FALSE(decoder_->moved());
  decoder_->Advance(231);
  EXPECT_TRUE(decoder_->moved());
}

// With the default identity the log has no old row where the key did not change, and only the key where it did.
TEST_F(StreamTest, ImagesHoldWhatTheLogHolds) {
  Feed(BeginMessage(200, 4));
  Feed(Named());
  EXPECT_EQ(Feed(UpdateMessage(kId, 0, {}, {"1", "a", "UNCHANGED"})), "begin update t 1,-,->1,'a',-");
  EXPECT_EQ(Feed(UpdateMessage(kId, 'K', {"1", "NULL", "NULL"}, {"2", "NULL", "UNCHANGED"})),
            "update t 1,-,->2,NULL,-");
  EXPECT_EQ(Feed(UpdateMessage(kId, 'K', {"1", "NULL", "NULL"}, {"UNCHANGED", "a", "b"})), "update t 1,-,->1,'a','b'");
  EXPECT_EQ(Feed(DeleteMessage(kId, 'K', {"1", "NULL", "NULL"})), "delete t 1,-,->");
  Feed(Named('f'));
  EXPECT_EQ(Feed(UpdateMessage(kId, 'O', {"1", "NULL", "big"}, {"1", "a", "UNCHANGED"})),
            "update t 1,NULL,'big'>1,'a','big'");
  EXPECT_EQ(Feed(DeleteMessage(kId, 'O', {"1", "NULL", "big"})), "delete t 1,NULL,'big'>");
}

TEST_F(StreamTest, OneTruncateOfSeveralTables) {
  Feed(BeginMessage(200, 4));
  Feed(Named());
  Feed(Named('d', "another", 8));
  Feed(RelationMessage(9, "public", "generated", 'd', {{"id", 23, true}, {"big", 25, false}}));
  EXPECT_EQ(Feed(TruncateMessage({8, kId, 9}, 1)), "begin truncate t > truncate generated >");
}

TEST_F(StreamTest, GeneratedColumnsMayBeThereOrNot) {
  Feed(BeginMessage(200, 4));
  EXPECT_EQ(Feed(RelationMessage(9, "public", "generated", 'd', {{"id", 23, true}, {"big", 25, false}})), "");
  EXPECT_EQ(Feed(InsertMessage(9, {"1", "b"})), "begin insert generated >1,-,'b'");
  EXPECT_EQ(Feed(Named('d', "generated", 9)), "");
  EXPECT_EQ(Feed(InsertMessage(9, {"1", "g", "b"})), "insert generated >1,'g','b'");
}

TEST_F(StreamTest, AChangedTableIsSaidBeforeItsRows) {
  Feed(BeginMessage(200, 4));
  const auto changed = [&](const std::vector<ColumnMessage>& columns) {
    return Feed(RelationMessage(kId, "public", "t", 'd', columns));
  };
  EXPECT_EQ(changed({{"id", 23, true}, {"x", 25}}),
            "schema ALTER TABLE t: its columns were (id integer, x text, big text) and are (id integer, x text)");
  EXPECT_EQ(Feed(InsertMessage(kId, {"1", "a"})), "CF1922");
  EXPECT_NE(changed({{"id", 23, true}, {"x", 25}, {"big", 25}, {"more", 25}}), "");
  EXPECT_NE(changed({{"id", 23, true}, {"x", 23}, {"big", 25}}), "");
  EXPECT_NE(changed({{"id", 23, true}, {"y", 25}, {"big", 25}}), "");
  EXPECT_NE(changed({{"id", 23, true}, {"big", 25}, {"x", 25}}), "");  // dropped and added again
  EXPECT_EQ(Feed(Named()), "");
  EXPECT_EQ(Feed(InsertMessage(kId, {"1", "a", "b"})), "begin insert t >1,'a','b'");
}

TEST_F(StreamTest, ATableIsKnownByItsNumberUnderAnotherName) {
  relations_->Know(kId, "t");
  Feed(BeginMessage(200, 4));
  EXPECT_EQ(Feed(Named()), "");
  EXPECT_EQ(Feed(Named('d', "renamed")), "schema ALTER TABLE t: it is public.renamed now");
  EXPECT_EQ(Feed(InsertMessage(kId, {"1", "a", "b"})), "CF1922");
  EXPECT_EQ(Feed(Named('d', "t", 70)), "schema ALTER TABLE t: another table has its name");
}

TEST_F(StreamTest, WhatCannotFollowIsRefused) {
  EXPECT_EQ(Feed(CommitMessage(200, 230)), "CF1921");
  EXPECT_EQ(Feed(InsertMessage(kId, {"1", "a", "b"})), "CF1921");
  EXPECT_EQ(Feed(TruncateMessage({kId})), "CF1921");
  Feed(BeginMessage(200, 4));
  EXPECT_EQ(Feed(BeginMessage(200, 4)), "CF1921");
  EXPECT_EQ(Feed(InsertMessage(kId, {"1", "a", "b"})), "CF1921");  // which table is that?
  Feed(Named());
  EXPECT_EQ(Feed(InsertMessage(kId, {"1", "a"})), "CF1921");
  EXPECT_EQ(Feed("I" + Big(kId, 4) + "N" + Big(3, 2) + "b" + Big(4, 4) + "1234nn"), "CF1921");
  EXPECT_EQ(Feed(UpdateMessage(kId, 0, {}, {"UNCHANGED", "a", "b"})), "CF1921");
  EXPECT_EQ(Feed(InsertMessage(kId, {"one", "a", "b"})), "CF1420");
  Feed(Named('f'));
  EXPECT_EQ(Feed(UpdateMessage(kId, 0, {}, {"1", "a", "b"})), "CF1921");
  EXPECT_EQ(Feed(UpdateMessage(kId, 'K', {"1", "NULL", "NULL"}, {"2", "a", "b"})), "CF1921");
  EXPECT_EQ(Feed(DeleteMessage(kId, 'K', {"1", "NULL", "NULL"})), "CF1921");
  EXPECT_EQ(Feed(CommitMessage(201, 230)), "CF1921");
  EXPECT_EQ(Feed("S" + Big(737, 4) + Big(1, 1)), "CF1921");
}

TEST_F(StreamTest, ACommitThatWasReadBeforeIsRefused) {
  Feed(BeginMessage(90, 4));
  EXPECT_EQ(Feed(CommitMessage(90, 100)), "CF1921");
}

}  // namespace
}  // namespace crossfade::capture
