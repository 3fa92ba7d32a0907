#include "db/mysql/error.h"

#include <errmsg.h>
#include <mysqld_error.h>

#include <algorithm>
#include <string>

namespace crossfade::mysql {
namespace {

// Numbers that the client's header does not name: those of MySQL, and of newer servers.
enum : unsigned {
  kCrAuthPluginCannotLoad = 2059,
  kCrAuthPluginError = 2061,
  kCrServerLostExtended = 2055,
  kSecureTransportRequired = 3159,
  kSessionWasKilled = 3169,
  kMySqlQueryTimeout = 3024,
  kMySqlMustChangePassword = 1820,
  kMySqlAccountLocked = 3118,
  kMySqlLockNowait = 3572,
  kMySqlIdleDisconnect = 4031,
  kMariaDbAccountLocked = 4151,
  kMariaDbStatementTimeout = 1969,
  kMariaDbConnectionKilled = 1927,
};

bool IsSessionGone(unsigned number) {
  switch (number) {
    case CR_SERVER_GONE_ERROR:
    case CR_SERVER_LOST:
    case kCrServerLostExtended:
    case CR_COMMANDS_OUT_OF_SYNC:
    case CR_MALFORMED_PACKET:
    case CR_SSL_CONNECTION_ERROR:
    case CR_UNKNOWN_ERROR:
    case ER_SERVER_SHUTDOWN:
    case ER_NORMAL_SHUTDOWN:
    case ER_ABORTING_CONNECTION:
    case ER_NEW_ABORTING_CONNECTION:
    case ER_NET_READ_ERROR:
    case ER_NET_READ_INTERRUPTED:
    case ER_NET_ERROR_ON_WRITE:
    case ER_NET_WRITE_INTERRUPTED:
    case ER_NET_PACKETS_OUT_OF_ORDER:
    case kSessionWasKilled:
    case kMySqlIdleDisconnect:
    case kMariaDbConnectionKilled:
      return true;
    default:
      return false;
  }
}

bool IsBusy(unsigned number) {
  switch (number) {
    case ER_LOCK_WAIT_TIMEOUT:
    case ER_LOCK_DEADLOCK:
    case ER_CON_COUNT_ERROR:
    case ER_TOO_MANY_USER_CONNECTIONS:
    case ER_USER_LIMIT_REACHED:
    case ER_TOO_MANY_CONCURRENT_TRXS:
    case ER_QUERY_INTERRUPTED:
    case ER_OUTOFMEMORY:
    case ER_OUT_OF_RESOURCES:
    case ER_OUT_OF_SORTMEMORY:
    case ER_DISK_FULL:
    case kMySqlLockNowait:
    case kMySqlQueryTimeout:
    case kMariaDbStatementTimeout:
      return true;
    default:
      return false;
  }
}

bool IsLoginRefused(unsigned number) {
  switch (number) {
    case ER_ACCESS_DENIED_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
    case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
    case ER_BAD_DB_ERROR:
    case ER_HOST_IS_BLOCKED:
    case ER_USER_IS_BLOCKED:
    case ER_HOST_NOT_PRIVILEGED:
    case ER_NOT_SUPPORTED_AUTH_MODE:
    case ER_PLUGIN_IS_NOT_LOADED:
    case ER_MUST_CHANGE_PASSWORD_LOGIN:
    case kMySqlMustChangePassword:
    case kMySqlAccountLocked:
    case kMariaDbAccountLocked:
    case kSecureTransportRequired:
    case kCrAuthPluginCannotLoad:
    case kCrAuthPluginError:
    case CR_VERSION_ERROR:
      return true;
    default:
      return false;
  }
}

bool IsNotPermitted(unsigned number) {
  switch (number) {
    case ER_TABLEACCESS_DENIED_ERROR:
    case ER_COLUMNACCESS_DENIED_ERROR:
    case ER_SPECIFIC_ACCESS_DENIED_ERROR:
    case ER_PROCACCESS_DENIED_ERROR:
    case ER_OPTION_PREVENTS_STATEMENT:
    case ER_MASTER_FATAL_ERROR_READING_BINLOG:
    case ER_NO_BINARY_LOGGING:
      return true;
    default:
      return false;
  }
}

std::string WithoutSecret(std::string_view message, std::string_view secret) {
  std::string text(message);
  if (secret.empty()) {
    return text;
  }
  for (size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
    text.replace(at, secret.size(), "***");
    at += 3;
  }
  return text;
}

Error Made(ErrorClass error_class, std::string_view code, unsigned number, std::string_view sql_state,
           std::string text) {
  Error error;
  error.error_class = error_class;
  error.code = code;
  error.component = "db.mysql";
  error.server_code = std::to_string(number);
  error.message = sql_state.empty() || sql_state == "HY000" ? std::move(text) : fmt::format("{} ({})", text, sql_state);
  return error;
}

}  // namespace

Error ServerError(unsigned number, std::string_view sql_state, std::string_view message, std::string_view secret) {
  std::string text = WithoutSecret(message, secret);
  if (IsSessionGone(number)) {
    return Made(ErrorClass::kReconnect, "CF1103", number, sql_state, std::move(text));
  }
  if (IsBusy(number)) {
    return Made(ErrorClass::kTransient, "CF1105", number, sql_state, std::move(text));
  }
  if (IsLoginRefused(number) || IsNotPermitted(number)) {
    return Made(ErrorClass::kConfig, "CF1106", number, sql_state, std::move(text));
  }
  return Made(ErrorClass::kData, "CF1104", number, sql_state, std::move(text));
}

Error ConnectError(unsigned number, std::string_view sql_state, std::string_view message, std::string_view secret,
                   bool verifying) {
  std::string text = WithoutSecret(message, secret);
  if (number == CR_SSL_CONNECTION_ERROR && verifying) {
    return Made(ErrorClass::kConfig, "CF1102", number, sql_state, std::move(text));
  }
  if (IsLoginRefused(number)) {
    return Made(ErrorClass::kConfig, "CF1101", number, sql_state, std::move(text));
  }
  return Made(ErrorClass::kTransient, "CF1100", number, sql_state, std::move(text));
}

uint32_t ParseVersion(std::string_view version) {
  uint32_t parts[3] = {0, 0, 0};
  size_t part = 0;
  bool digit_seen = false;
  for (const char c : version) {
    if (c >= '0' && c <= '9') {
      parts[part] = std::min<uint32_t>(parts[part] * 10 + static_cast<uint32_t>(c - '0'), 9999);
      digit_seen = true;
    } else if (c == '.' && part < 2 && digit_seen) {
      ++part;
    } else {
      break;
    }
  }
  return parts[0] * 10000 + std::min<uint32_t>(parts[1], 99) * 100 + std::min<uint32_t>(parts[2], 99);
}

}  // namespace crossfade::mysql
