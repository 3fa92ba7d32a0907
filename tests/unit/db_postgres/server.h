// The throw-away PostgreSQL that a test may use, named by the environment.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "db/postgres/connection.h"

namespace crossfade::postgres {

// From CROSSFADE_TEST_POSTGRES: "host=127.0.0.1 port=55432 user=postgres password= dbname=postgres".
inline std::optional<ConnectionOptions> TestServer() {
  const char* text = std::getenv("CROSSFADE_TEST_POSTGRES");
  if (text == nullptr) {
    return std::nullopt;
  }
  ConnectionOptions options;
  options.tls = TlsMode::kOff;
  options.database = "postgres";
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
    } else if (key == "dbname") {
      options.database = value;
    }
  }
  return options;
}

// A connection to it; the test is skipped without a server, and fails if the server refuses.
class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto options = TestServer();
    if (!options) {
      GTEST_SKIP() << "CROSSFADE_TEST_POSTGRES is not set";
    }
    options_ = *options;
    connection_ = Connect();
    ASSERT_TRUE(connection_);
  }

  std::unique_ptr<Connection> Connect() {
    auto connection = Connection::Open(options_);
    EXPECT_TRUE(connection) << connection.error().ToString();
    return connection ? std::move(*connection) : nullptr;
  }

  std::string Ask(const std::string& sql) {
    auto value = connection_->Scalar(sql);
    EXPECT_TRUE(value) << value.error().ToString();
    return value ? value->value_or("NULL") : "";
  }

  void Run(const std::string& sql) {
    auto status = connection_->Execute(sql);
    EXPECT_TRUE(status) << status.error().ToString();
  }

  ConnectionOptions options_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace crossfade::postgres
