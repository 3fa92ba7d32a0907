#include "db/mysql/connection.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "db/mysql/error.h"
#include "tests/unit/db_mysql/server.h"

namespace crossfade::mysql {
namespace {

using std::chrono::milliseconds;

TEST(ServerErrors, AreClassedByNumberAlone) {
  EXPECT_EQ(ServerError(1213, "40001", "Deadlock", "").error_class, ErrorClass::kTransient);
  EXPECT_EQ(ServerError(1205, "HY000", "Lock wait", "").error_class, ErrorClass::kTransient);
  EXPECT_EQ(ServerError(2013, "HY000", "Lost", "").error_class, ErrorClass::kReconnect);
  EXPECT_EQ(ServerError(1053, "08S01", "Shutdown", "").error_class, ErrorClass::kReconnect);
  EXPECT_EQ(ServerError(1142, "42000", "denied", "").error_class, ErrorClass::kConfig);
  EXPECT_EQ(ServerError(1146, "42S02", "no table", "").error_class, ErrorClass::kData);
  EXPECT_EQ(ConnectError(1053, "08S01", "Shutdown", "", false).error_class, ErrorClass::kTransient);
  EXPECT_EQ(ConnectError(1040, "08004", "Too many", "", false).error_class, ErrorClass::kTransient);
  EXPECT_EQ(ConnectError(1045, "28000", "denied", "", false).error_class, ErrorClass::kConfig);
  EXPECT_EQ(ConnectError(2026, "HY000", "TLS", "", true).error_class, ErrorClass::kConfig);
  EXPECT_EQ(ConnectError(2026, "HY000", "TLS", "", false).error_class, ErrorClass::kTransient);
  EXPECT_EQ(ServerError(1146, "42S02", "no table", "").server_code, "1146");
}

TEST(ServerErrors, HaveACodeByWhatToDoNext) {
  EXPECT_EQ(ServerError(2013, "HY000", "Lost", "").code, "CF1103");
  EXPECT_EQ(ServerError(1146, "42S02", "no table", "").code, "CF1104");
  EXPECT_EQ(ServerError(1213, "40001", "Deadlock", "").code, "CF1105");
  EXPECT_EQ(ServerError(1142, "42000", "denied", "").code, "CF1106");
}

TEST(ServerErrors, NeverShowTheSecret) {
  const Error error = ServerError(1064, "42000", "near 'hunter2' and hunter2", "hunter2");
  EXPECT_EQ(error.message.find("hunter2"), std::string::npos);
  EXPECT_EQ(error.message, "near '***' and *** (42000)");
}

TEST(ServerVersion, IsRead) {
  EXPECT_EQ(ParseVersion("10.11.19-MariaDB-0+deb12u1-log"), 101119u);
  EXPECT_EQ(ParseVersion("9.7.4-2"), 90704u);
  EXPECT_EQ(ParseVersion("8.0.36"), 80036u);
  EXPECT_EQ(ParseVersion(""), 0u);
  EXPECT_EQ(ParseVersion("abc"), 0u);
  EXPECT_EQ(ParseVersion("99999999999999999999.1"), 99990100u);
}

TEST(Identifier, IsQuoted) { EXPECT_EQ(Connection::Identifier("a`b"), "`a``b`"); }

class ConnectionTest : public ServerTest {};
INSTANTIATE_ON_SERVERS(ConnectionTest);

TEST_P(ConnectionTest, KnowsItsServer) {
  const ServerInfo& server = connection_->server();
  EXPECT_EQ(server.flavor == Flavor::kMariaDb, std::string(GetParam()) == "CROSSFADE_TEST_MARIADB");
  EXPECT_GE(server.version_number, mariadb() ? 100500u : 80000u);
  if (mariadb()) {
    EXPECT_EQ(server.identity,
              connection_->Scalar("SELECT CONCAT(@@server_id, '@', @@hostname, ':', @@port)").value().value());
  } else {
    EXPECT_EQ(server.identity.size(), 36u);
  }
  EXPECT_EQ(std::to_string(connection_->thread_id()), connection_->Scalar("SELECT CONNECTION_ID()").value().value());
}

TEST_P(ConnectionTest, SessionDoesNotShowServerSettings) {
  Do("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'");
  Do("SET GLOBAL time_zone = '+05:00'");
  Do("SET GLOBAL sql_select_limit = 1");
  Do("SET GLOBAL autocommit = 0");
  auto other = Connection::Open(options_);
  Do("SET GLOBAL sql_mode = DEFAULT, time_zone = DEFAULT, sql_select_limit = DEFAULT, autocommit = DEFAULT");
  ASSERT_OK(other);
  Connection& fresh = **other;
  EXPECT_EQ(fresh.Scalar("SELECT @@sql_mode").value(), "");
  EXPECT_EQ(fresh.Scalar("SELECT @@time_zone").value(), "+00:00");
  EXPECT_EQ(fresh.Scalar("SELECT @@autocommit").value(), "1");
  EXPECT_EQ(fresh.Scalar("SELECT @@lock_wait_timeout").value(), "5");
  EXPECT_EQ(fresh.Scalar("SELECT @@character_set_results").value(), std::nullopt);
  EXPECT_EQ(fresh.Rows("SELECT 1 UNION ALL SELECT 2").value().size(), 2u);
  EXPECT_EQ(fresh.Scalar("SELECT 'a\\'b'").value(), "a'b");
}

TEST_P(ConnectionTest, WhatAStatementMeetsHasItsCode) {
  UseDatabase("cf_statement_codes");
  Do("CREATE TABLE t (id INT PRIMARY KEY)");
  Do("INSERT INTO t VALUES (1)");
  EXPECT_EQ(connection_->Execute("SELECT * FROM no_such_table").error().code, "CF1104");

  auto other = Connection::Open(options_);
  ASSERT_OK(other);
  ASSERT_OK((*other)->Execute("BEGIN"));
  ASSERT_OK((*other)->Execute("DELETE FROM cf_statement_codes.t"));
  const auto locked = connection_->Execute("SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT");
  ASSERT_FALSE(locked.has_value());
  EXPECT_EQ(locked.error().code, "CF1105");
  ASSERT_OK((*other)->Execute("ROLLBACK"));
  ASSERT_OK(connection_->Execute("SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT"));

  Do("CREATE USER cf_modest IDENTIFIED BY 'modest-pw', cf_modest@localhost IDENTIFIED BY 'modest-pw'");
  Do("GRANT INSERT ON t TO cf_modest, cf_modest@localhost");
  ConnectionOptions modest = options_;
  modest.user = "cf_modest";
  modest.password = "modest-pw";
  modest.database = "cf_statement_codes";
  auto opened = Connection::Open(modest);
  EXPECT_TRUE(opened.has_value()) << Why(opened.error());
  if (opened) {
    EXPECT_EQ((*opened)->Execute("SELECT * FROM t").error().code, "CF1106");
    Do("GRANT SELECT ON t TO cf_modest, cf_modest@localhost");
    EXPECT_TRUE((*opened)->Execute("SELECT * FROM t"));
  }
  Do("DROP USER cf_modest, cf_modest@localhost");
}

TEST_P(ConnectionTest, OrdinaryUserCanOpenASession) {
  // By both names, as an anonymous user of localhost would otherwise come first.
  Do("CREATE USER IF NOT EXISTS cf_plain IDENTIFIED BY 'plain-pw', cf_plain@localhost IDENTIFIED BY 'plain-pw'");
  ConnectionOptions plain = options_;
  plain.user = "cf_plain";
  plain.password = "plain-pw";
  const auto opened = Connection::Open(plain);
  EXPECT_TRUE(opened.has_value()) << Why(opened.error());
  Do("DROP USER cf_plain, cf_plain@localhost");
}

TEST_P(ConnectionTest, WrongPasswordIsConfigAndNotShown) {
  ConnectionOptions wrong = options_;
  wrong.user = "nobody";
  wrong.password = "hunter2-secret";
  const auto opened = Connection::Open(wrong);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().error_class, ErrorClass::kConfig);
  EXPECT_EQ(opened.error().code, "CF1101");
  EXPECT_EQ(opened.error().server_code, "1045");
  EXPECT_EQ(opened.error().ToString().find("hunter2"), std::string::npos);
}

TEST_P(ConnectionTest, UnknownDatabaseIsConfig) {
  ConnectionOptions wrong = options_;
  wrong.database = "cf_no_such_database";
  const auto opened = Connection::Open(wrong);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().error_class, ErrorClass::kConfig);
}

TEST_P(ConnectionTest, ClosedPortIsTransient) {
  ConnectionOptions wrong = options_;
  wrong.host = "127.0.0.1";
  wrong.port = 1;
  const auto opened = Connection::Open(wrong);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().error_class, ErrorClass::kTransient);
  EXPECT_EQ(opened.error().code, "CF1100");
}

bool HasTls(Connection& connection) {
  const auto have = connection.Rows("SHOW STATUS LIKE 'Ssl_server_not_after'");
  return have && !have->empty() && !(*have)[0][1].value_or("").empty();
}

// A cipher is what proves TLS: the server without it must be refused, not used in clear.
TEST_P(ConnectionTest, TlsIsProven) {
  EXPECT_EQ(connection_->tls_cipher(), "");
  ConnectionOptions tls = options_;
  tls.tls = TlsMode::kRequired;
  tls.tls_ca.clear();
  const auto opened = Connection::Open(tls);
  if (opened.has_value()) {
    EXPECT_NE((*opened)->tls_cipher(), "");
    EXPECT_EQ((*opened)->Rows("SHOW STATUS LIKE 'Ssl_cipher'").value().at(0).at(1), (*opened)->tls_cipher());
  } else {
    EXPECT_EQ(opened.error().code, "CF1102");
    EXPECT_EQ(opened.error().error_class, ErrorClass::kConfig);
    EXPECT_FALSE(HasTls(*connection_));
  }
}

TEST_P(ConnectionTest, VerifyRefusesWhatItCannotVerify) {
  ConnectionOptions tls = options_;
  tls.tls = TlsMode::kVerify;
  tls.tls_ca = "/no/such/file";
  EXPECT_EQ(Connection::Open(tls).error().code, "CF1102");
  tls.tls_ca.clear();  // the system's authorities did not sign a test's certificate
  const auto unverified = Connection::Open(tls);
  ASSERT_FALSE(unverified.has_value());
  EXPECT_EQ(unverified.error().code, "CF1102");
  if (!options_.tls_ca.empty()) {
    tls.tls_ca = options_.tls_ca;
    const auto verified = Connection::Open(tls);
    ASSERT_OK(verified);
    EXPECT_NE((*verified)->tls_cipher(), "");
    tls.host = "localhost";  // the certificate names 127.0.0.1 only
    EXPECT_EQ(Connection::Open(tls).error().code, "CF1102");
  }
}

TEST_P(ConnectionTest, LiteralsComeBackUnchanged) {
  std::string text = "a'b\\c\"d\n\r\x1a e\xc3\xa9\xf0\x9f\x98\x80";
  text += '\0';
  text += "z";
  EXPECT_EQ(connection_->Scalar("SELECT " + connection_->Literal(text)).value(), text);
  EXPECT_EQ(connection_->Literal(""), "''");
}

TEST_P(ConnectionTest, QueryStreamsAndMayEndEarly) {
  std::vector<std::string> seen;
  ASSERT_OK(connection_->Query("SELECT 1, NULL, '' UNION ALL SELECT 2, 'x', 'y' UNION ALL SELECT 3, 'x', 'y'",
                               [&](TextRow row) {
                                 seen.push_back(std::string(row[0].value_or("-")));
                                 if (seen.size() == 1) {
                                   EXPECT_FALSE(row[1].has_value());
                                   EXPECT_EQ(row[2], "");
                                 }
                                 return seen.size() < 2;
                               }));
  EXPECT_EQ(seen, (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(connection_->Scalar("SELECT 7").value(), "7");  // the session is in order
  const Status wrong = connection_->Execute("SELEKT 1");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().error_class, ErrorClass::kData);
  EXPECT_EQ(wrong.error().server_code, "1064");
  EXPECT_EQ(connection_->Scalar("SELECT 8").value(), "8");
}

// COM_QUERY by hand: column count, definitions, EOF, rows, EOF.
void ReadBigRow(Connection& connection, size_t bytes) {
  const Status sent = connection.SendCommand(3, fmt::format("SELECT REPEAT('x', {}), 1", bytes));
  ASSERT_OK(sent);
  const auto count = connection.ReadPacket();
  ASSERT_OK(count);
  EXPECT_EQ((*count)[0], '\x02');  // MariaDB adds a flag
  ASSERT_OK(connection.ReadPacket());
  ASSERT_OK(connection.ReadPacket());
  EXPECT_TRUE(connection.ReadPacket().value().empty());
  const auto row = connection.ReadPacket();
  ASSERT_OK(row);
  const size_t prefix = bytes > 0xFFFFFF ? 9 : 4;
  ASSERT_EQ(row->size(), prefix + bytes + 2);
  EXPECT_EQ(row->substr(prefix).find_first_not_of('x'), bytes);
  EXPECT_EQ(row->substr(prefix + bytes), "\x01\x31");
  EXPECT_TRUE(connection.ReadPacket().value().empty());
  EXPECT_FALSE(connection.HasBuffered());
}

TEST_P(ConnectionTest, PacketsOver16MiBAreJoined) {
  for (const TlsMode mode : {TlsMode::kOff, TlsMode::kRequired}) {
    ConnectionOptions options = options_;
    options.tls = mode;
    auto opened = Connection::Open(options);
    if (!opened) {
      continue;
    }
    ReadBigRow(**opened, 20 << 20);
    ReadBigRow(**opened, 0xFFFFFF - 6);  // the row fills the last packet exactly: an empty one follows
    ReadBigRow(**opened, 40 << 20);
    EXPECT_EQ((*opened)->Scalar("SELECT 1").value(), "1");
  }
}

TEST_P(ConnectionTest, ErrorPacketIsAnError) {
  ASSERT_OK(connection_->SendCommand(3, "SELECT * FROM mysql.no_such_table"));
  const auto packet = connection_->ReadPacket();
  ASSERT_FALSE(packet.has_value());
  EXPECT_EQ(packet.error().error_class, ErrorClass::kData);
  EXPECT_EQ(packet.error().server_code, "1146");
  EXPECT_EQ(connection_->Scalar("SELECT 1").value(), "1");
}

// Whatever size the packets have, in clear and over TLS: as long as packets of an answer are outstanding that the
// server has sent, waiting for them ends at once, although the socket itself may have nothing more to give.
TEST_P(ConnectionTest, WaitingSeesWhatIsBufferedAnywhere) {
  for (const TlsMode mode : {TlsMode::kOff, TlsMode::kRequired}) {
    ConnectionOptions options = options_;
    options.tls = mode;
    auto opened = Connection::Open(options);
    if (!opened) {
      continue;
    }
    Connection& connection = **opened;
    for (int size = 1; size < 70000; size += size / 7 + 1) {
      ASSERT_OK(connection.SendCommand(3, fmt::format("SELECT REPEAT('x', {0}) UNION ALL SELECT REPEAT('y', 10) UNION "
                                                      "ALL SELECT REPEAT('z', {0})",
                                                      size)));
      for (int packet = 0; packet < 7; ++packet) {
        const auto ready = connection.WaitReadable(After(milliseconds(2000)));
        ASSERT_OK(ready);
        ASSERT_TRUE(*ready) << "size " << size << " packet " << packet;
        ASSERT_OK(connection.ReadPacket());
      }
      ASSERT_FALSE(connection.HasBuffered());
    }
    const auto quiet = connection.WaitReadable(After(milliseconds(30)));
    ASSERT_OK(quiet);
    EXPECT_FALSE(*quiet);
  }
}

TEST_P(ConnectionTest, KillEndsABlockedCall) {
  std::atomic<bool> started = false;
  std::thread killer([&] {
    while (!started) {
      std::this_thread::yield();
    }
    std::this_thread::sleep_for(milliseconds(100));
    connection_->Kill();
  });
  started = true;
  const auto begin = std::chrono::steady_clock::now();
  const auto result = connection_->Scalar("SELECT SLEEP(30)");
  killer.join();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().error_class, ErrorClass::kReconnect);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(connection_->Execute("SELECT 1").error().error_class, ErrorClass::kReconnect);
  EXPECT_EQ(connection_->ReadPacket().error().error_class, ErrorClass::kReconnect);
  connection_->Kill();  // again is safe
}

TEST_P(ConnectionTest, KillEndsAWait) {
  std::thread killer([&] {
    std::this_thread::sleep_for(milliseconds(100));
    connection_->Kill();
  });
  const auto waited = connection_->WaitReadable(After(std::chrono::seconds(20)));
  killer.join();
  ASSERT_OK(waited);
  EXPECT_TRUE(*waited);
  EXPECT_EQ(connection_->ReadPacket().error().error_class, ErrorClass::kReconnect);
}

TEST_P(ConnectionTest, SessionKilledByTheServerIsReconnect) {
  auto other = Connection::Open(options_);
  ASSERT_OK(other);
  Do(fmt::format("KILL {}", (*other)->thread_id()));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ((*other)->Execute("SELECT 1").error().error_class, ErrorClass::kReconnect);
}

}  // namespace
}  // namespace crossfade::mysql
