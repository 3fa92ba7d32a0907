// What went wrong, classed by what to do next. Every interface between folders returns Result.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace crossfade {

enum class ErrorClass : uint8_t {
  kTransient,  // the same call again, after a pause
  kReconnect,  // the session is gone: reopen, resume from durable progress
  kInDoubt,    // the outcome of a commit is unknown: ask the target's progress, under row locks, first
  kData,       // a row or DDL cannot be applied: stop this migration, keep the journal, ask the operator
  kConfig,     // the user must change something; never retried
  kCorrupt,    // an invariant is broken: stop and stick
};

std::string_view ErrorClassName(ErrorClass error_class);

// One error. `code` is stable, documented and tested ("CF1203"); `object`, `found` and `fix` are filled for every
// refusal a user can mend: the thing, the value found there, the statement or setting that mends it.
// Carries no secret: whoever builds a message from a server's text is answerable for that.
struct Error {
  ErrorClass error_class = ErrorClass::kCorrupt;
  std::string code;
  std::string component;    // "capture.mysql", "state.journal", ...
  std::string message;      // with values; context is put in front on the way up
  std::string server_code;  // SQLSTATE or errno of the server, empty if none
  std::string object;
  std::string found;
  std::string fix;

  // "state.journal: append at seq 812: ... [CF2001, server 28000]; fix: ..."
  std::string ToString() const;
  Error&& WithContext(std::string_view context) &&;
};

template <typename T>
using Result = tl::expected<T, Error>;

using Status = Result<void>;

// Usage: return MakeError(ErrorClass::kConfig, "CF1203", "capture.mysql", "binlog_format is {}", value);
template <typename... Args>
tl::unexpected<Error> MakeError(ErrorClass error_class, std::string_view code, std::string_view component,
                                fmt::format_string<Args...> format, Args&&... args) {
  Error error;
  error.error_class = error_class;
  error.code = code;
  error.component = component;
  error.message = fmt::format(format, std::forward<Args>(args)...);
  return tl::unexpected<Error>(std::move(error));
}

inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

// Returns the error of `expr` from the calling function, if it has one.
#define CROSSFADE_TRY(expr)                                          \
  do {                                                               \
    auto&& crossfade_status = (expr);                                \
    if (!crossfade_status) {                                         \
      return ::crossfade::Fail(std::move(crossfade_status).error()); \
    }                                                                \
  } while (false)

#define CROSSFADE_CONCAT_INNER(a, b) a##b
#define CROSSFADE_CONCAT(a, b) CROSSFADE_CONCAT_INNER(a, b)

// CROSSFADE_ASSIGN(auto row, ReadRow()): declares `row`, or returns the error from the calling function.
#define CROSSFADE_ASSIGN(declaration, expr) \
  CROSSFADE_ASSIGN_INNER(CROSSFADE_CONCAT(crossfade_result_, __LINE__), declaration, expr)
#define CROSSFADE_ASSIGN_INNER(temporary, declaration, expr) \
  auto temporary = (expr);                                   \
  if (!temporary) {                                          \
    return ::crossfade::Fail(std::move(temporary).error());  \
  }                                                          \
  declaration = std::move(*temporary)

}  // namespace crossfade
