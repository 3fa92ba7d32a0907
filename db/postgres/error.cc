#include "db/postgres/error.h"

#include <libpq-fe.h>

#include <cctype>
#include <utility>

namespace crossfade::postgres {

ErrorClass ClassOfSqlState(std::string_view sqlstate) {
  const std::string_view group = sqlstate.substr(0, 2);
  if (sqlstate == "40001" || sqlstate == "40P01" || sqlstate == "55P03" || sqlstate == "55006" || sqlstate == "57014" ||
      group == "53") {
    return ErrorClass::kTransient;
  }
  // 25P02: a statement in a transaction that has failed, 26000: a prepared statement the session does not know. Both
  // say that this side's picture of the session is wrong; a new session and durable progress put it right.
  if (sqlstate.empty() || group == "08" || sqlstate.substr(0, 4) == "57P0" || sqlstate == "25P02" ||
      sqlstate == "25P03" || group == "26") {
    return ErrorClass::kReconnect;
  }
  if (group == "28" || sqlstate == "3D000" || sqlstate == "3F000" || sqlstate == "42501" || sqlstate == "25006" ||
      group == "0A") {
    return ErrorClass::kConfig;
  }
  if (sqlstate == "XX001" || sqlstate == "XX002") {
    return ErrorClass::kCorrupt;
  }
  return ErrorClass::kData;
}

std::string_view CodeOfClass(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::kReconnect:
      return "CF1401";
    case ErrorClass::kInDoubt:
      return "CF1402";
    case ErrorClass::kTransient:
      return "CF1403";
    case ErrorClass::kConfig:
      return "CF1404";
    case ErrorClass::kData:
      return "CF1405";
    case ErrorClass::kCorrupt:
      return "CF1406";
  }
  return "CF1406";
}

Error ErrorFromServer(std::string_view component, std::string_view sqlstate, std::string message) {
  Error error;
  error.error_class = ClassOfSqlState(sqlstate);
  error.code = CodeOfClass(error.error_class);
  error.component = component;
  error.message = std::move(message);
  error.server_code = sqlstate;
  return error;
}

namespace {

std::string Trimmed(const char* text) {
  std::string out = text == nullptr ? "" : text;
  while (!out.empty() && std::isspace(static_cast<unsigned char>(out.back())) != 0) {
    out.pop_back();
  }
  return out;
}

}  // namespace

std::string ServerText(const PGresult* result) {
  std::string text = Trimmed(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
  if (text.empty()) {
    text = Trimmed(PQresultErrorMessage(result));
  }
  const auto add = [&](int field, const char* label) {
    if (const char* value = PQresultErrorField(result, field); value != nullptr && *value != '\0') {
      text += fmt::format("; {}: {}", label, value);
    }
  };
  add(PG_DIAG_MESSAGE_DETAIL, "detail");
  add(PG_DIAG_SCHEMA_NAME, "schema");
  add(PG_DIAG_TABLE_NAME, "table");
  add(PG_DIAG_COLUMN_NAME, "column");
  add(PG_DIAG_CONSTRAINT_NAME, "constraint");
  add(PG_DIAG_CONTEXT, "context");
  return text;
}

}  // namespace crossfade::postgres
