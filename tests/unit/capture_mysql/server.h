// A real server, named by the environment, and what a source reads from its log.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "capture/mysql/mysql_source.h"
#include "db/mysql/catalog.h"
#include "db/mysql/connection.h"
#include "db/mysql/position.h"

namespace crossfade::capture {

// "host=127.0.0.1 port=3306 user=root password="; nothing if the variable is not set.
inline std::optional<mysql::ConnectionOptions> ServerFromEnvironment(const char* variable) {
  const char* const text = std::getenv(variable);
  if (text == nullptr) {
    return std::nullopt;
  }
  std::map<std::string, std::string> values;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    values[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
  }
  mysql::ConnectionOptions options;
  options.host = values["host"];
  options.port = static_cast<uint16_t>(std::stoi(values["port"]));
  options.user = values["user"];
  options.password = values["password"];
  options.tls = mysql::TlsMode::kOff;
  return options;
}

// A row's image, owned.
struct OwnedValue {
  Value value;
  std::string bytes;
};

struct SeenChange {
  std::string table;
  ChangeKind kind{};
  int flags = 0;
  std::vector<OwnedValue> before;
  std::vector<OwnedValue> after;
};

struct SeenTransaction {
  std::vector<SeenChange> changes;
  TransactionEnd end;
};

// What a source gave until it stood at a position.
struct Seen {
  std::vector<SeenTransaction> transactions;
  std::vector<SchemaChange> schema_changes;
  size_t heartbeats = 0;
  std::optional<Error> error;
  Position last;

  std::vector<SeenChange> Changes() const {
    std::vector<SeenChange> all;
    for (const SeenTransaction& transaction : transactions) {
      all.insert(all.end(), transaction.changes.begin(), transaction.changes.end());
    }
    return all;
  }
};

inline std::vector<OwnedValue> Own(std::span<const Value> image) {
  std::vector<OwnedValue> owned;
  for (const Value& value : image) {
    owned.push_back({value, std::string(value.bytes)});
    owned.back().value.bytes = {};
  }
  return owned;
}

// Reads until everything up to `until` has come, an error, or ten seconds.
inline Seen ReadUntil(Source* source, const Position& until, mysql::Flavor flavor) {
  Seen seen;
  const mysql::MySqlPositionOrder order(flavor);
  const Deadline deadline = After(std::chrono::seconds(10));
  const auto reached = [&](const Position& position) {
    seen.last = position;
    const auto contained = order.Contains(position, until);
    return contained && *contained;
  };
  SeenTransaction open;
  bool begun = false;
  while (std::chrono::steady_clock::now() < deadline) {
    auto next = source->Next(deadline);
    if (!next) {
      seen.error = next.error();
      return seen;
    }
    if (!*next) {
      continue;
    }
    Event& event = **next;
    if (std::holds_alternative<TransactionBegin>(event)) {
      EXPECT_FALSE(begun);
      begun = true;
      open = {};
    } else if (auto* change = std::get_if<Change>(&event)) {
      EXPECT_TRUE(begun);
      open.changes.push_back(
          {change->table->name, change->kind, change->flags, Own(change->before), Own(change->after)});
    } else if (auto* end = std::get_if<TransactionEnd>(&event)) {
      EXPECT_TRUE(begun);
      begun = false;
      open.end = *end;
      seen.transactions.push_back(open);
      if (reached(end->position)) {
        return seen;
      }
    } else if (auto* schema_change = std::get_if<SchemaChange>(&event)) {
      seen.schema_changes.push_back(*schema_change);
      if (reached(schema_change->position)) {
        return seen;
      }
    } else if (auto* heartbeat = std::get_if<Heartbeat>(&event)) {
      EXPECT_FALSE(begun);
      ++seen.heartbeats;
      if (reached(heartbeat->position)) {
        return seen;
      }
    }
  }
  ADD_FAILURE() << "the source did not reach " << until.ToString() << " but " << seen.last.ToString();
  return seen;
}

// Puts a global setting back when the test ends.
class WithGlobal {
 public:
  WithGlobal(mysql::Connection* connection, std::string name, const std::string& value)
      : connection_(connection), name_(std::move(name)) {
    before_ = connection_->Scalar("SELECT @@GLOBAL." + name_).value().value();
    Set(value);
    EXPECT_TRUE(connection_->Execute("FLUSH BINARY LOGS").has_value());
  }
  ~WithGlobal() { Set(before_); }
  WithGlobal(const WithGlobal&) = delete;
  WithGlobal& operator=(const WithGlobal&) = delete;

 private:
  void Set(const std::string& value) {
    const bool number = value.find_first_not_of("0123456789") == std::string::npos && !value.empty();
    EXPECT_TRUE(connection_->Execute("SET GLOBAL " + name_ + " = " + (number ? value : "'" + value + "'")).has_value());
  }

  mysql::Connection* connection_;
  std::string name_;
  std::string before_;
};

// One database of its own on the server.
class ServerTest : public ::testing::Test {
 protected:
  // `variable` of the environment names the server; false (and a skip) if it is not set.
  bool Connect(const char* variable, const std::string& database) {
    const auto options = ServerFromEnvironment(variable);
    if (!options) {
      return false;
    }
    options_ = *options;
    database_ = database;
    auto opened = mysql::Connection::Open(options_);
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().ToString());
    connection_ = std::move(*opened);
    flavor_ = connection_->server().flavor;
    Run("DROP DATABASE IF EXISTS " + database);
    Run("CREATE DATABASE " + database + " CHARACTER SET utf8mb4");
    Run("USE " + database);
    return true;
  }

  void Run(const std::string& sql) {
    const Status done = connection_->Execute(sql);
    EXPECT_TRUE(done.has_value()) << sql << ": " << (done ? "" : done.error().ToString());
  }

  // All logs but a new one. Those that a session just ended still reads are kept by the server: waits for it.
  void PurgeAll() {
    Run("FLUSH BINARY LOGS");
    for (const Deadline deadline = After(std::chrono::seconds(5)); std::chrono::steady_clock::now() < deadline;) {
      Run("PURGE BINARY LOGS TO '" + Head().file + "'");
      const auto logs = connection_->Rows("SHOW BINARY LOGS");
      if (logs && logs->size() == 1) {
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    ADD_FAILURE() << "logs are not purged";
  }

  Position Head() {
    auto head = mysql::ReadHead(*connection_);
    EXPECT_TRUE(head.has_value()) << (head ? "" : head.error().ToString());
    return *head;
  }

  MySqlSourceOptions SourceOptions() {
    MySqlSourceOptions options;
    options.connection = options_;
    options.database = database_;
    auto catalog = mysql::ReadCatalog(*connection_, database_);
    EXPECT_TRUE(catalog.has_value()) << (catalog ? "" : catalog.error().ToString());
    for (mysql::CatalogTable& table : catalog->tables) {
      options.tables.push_back(std::move(table.schema));
    }
    return options;
  }

  std::unique_ptr<MySqlSource> OpenSource(const Position& from) {
    auto source = std::make_unique<MySqlSource>(SourceOptions());
    const Status opened = source->Open(from);
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().ToString());
    return source;
  }

  // What the log has between now and behind the statements. The tables are read from the catalog before them.
  Seen Capture(const std::vector<std::string>& statements) {
    const Position from = Head();
    const auto source = OpenSource(from);
    for (const std::string& sql : statements) {
      Run(sql);
    }
    return ReadUntil(source.get(), Head(), flavor_);
  }

  mysql::ConnectionOptions options_;
  std::string database_;
  std::unique_ptr<mysql::Connection> connection_;
  mysql::Flavor flavor_{};
};

}  // namespace crossfade::capture
