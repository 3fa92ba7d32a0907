// Servers for the tests of this folder, named by the environment: CROSSFADE_TEST_MARIADB and CROSSFADE_TEST_MYSQL hold
// "host=127.0.0.1 port=3306 user=root password=". Optional: "ca=/file" where the server's certificate is verifiable.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "db/mysql/connection.h"

namespace crossfade::mysql {

inline std::optional<ConnectionOptions> OptionsFrom(const char* variable) {
  const char* const text = std::getenv(variable);
  if (text == nullptr) {
    return std::nullopt;
  }
  ConnectionOptions options;
  options.tls = TlsMode::kOff;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (key == "host") {
      options.host = value;
    } else if (key == "port") {
      options.port = static_cast<uint16_t>(std::stoi(value));
    } else if (key == "user") {
      options.user = value;
    } else if (key == "password") {
      options.password = value;
    } else if (key == "socket") {
      options.socket = value;
    } else if (key == "ca") {
      options.tls_ca = value;
    }
  }
  return options;
}

inline std::string Why(const Error& error) { return error.ToString(); }

#define ASSERT_OK(expr)                                           \
  do {                                                            \
    const auto& ok_status = (expr);                               \
    ASSERT_TRUE(ok_status.has_value()) << Why(ok_status.error()); \
  } while (false)

// Runs each test on either server.
class ServerTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto options = OptionsFrom(GetParam());
    if (!options) {
      GTEST_SKIP() << GetParam() << " is not set";
    }
    options_ = *options;
    auto opened = Connection::Open(options_);
    ASSERT_TRUE(opened.has_value()) << Why(opened.error());
    connection_ = std::move(*opened);
  }

  bool mariadb() const { return connection_->server().flavor == Flavor::kMariaDb; }

  void Do(const std::string& sql) {
    const Status status = connection_->Execute(sql);
    ASSERT_TRUE(status.has_value()) << sql << ": " << Why(status.error());
  }

  // An empty database of this test's own, made the current one; dropped at the end.
  void UseDatabase(const std::string& name) {
    database_ = name;
    Do("DROP DATABASE IF EXISTS " + name);
    Do("CREATE DATABASE " + name + " CHARACTER SET utf8mb4");
    Do("USE " + name);
  }

  void TearDown() override {
    if (connection_ != nullptr && !database_.empty()) {
      (void)connection_->Execute("DROP DATABASE IF EXISTS " + database_);
    }
  }

  ConnectionOptions options_;
  std::unique_ptr<Connection> connection_;
  std::string database_;
};

#define INSTANTIATE_ON_SERVERS(Suite)                                                                             \
  INSTANTIATE_TEST_SUITE_P(                                                                                       \
      Servers, Suite, ::testing::Values("CROSSFADE_TEST_MARIADB", "CROSSFADE_TEST_MYSQL"), [](const auto& info) { \
        return std::string(info.param).find("MARIADB") != std::string::npos ? "MariaDb" : "MySql";                \
      })

}  // namespace crossfade::mysql
