#include "core/error.h"

namespace crossfade {

std::string_view ErrorClassName(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::kTransient:
      return "transient";
    case ErrorClass::kReconnect:
      return "reconnect";
    case ErrorClass::kInDoubt:
      return "in doubt";
    case ErrorClass::kData:
      return "data";
    case ErrorClass::kConfig:
      return "config";
    case ErrorClass::kCorrupt:
      return "corrupt";
  }
  return "corrupt";
}

std::string Error::ToString() const {
  std::string text = fmt::format("{}: {}", component, message);
  if (!object.empty()) {
    text += fmt::format(" (object: {}{}{})", object, found.empty() ? "" : ", found: ", found);
  }
  text += fmt::format(" [{}{}{}]", code, server_code.empty() ? "" : ", server ", server_code);
  if (!fix.empty()) {
    text += fmt::format("; fix: {}", fix);
  }
  return text;
}

Error&& Error::WithContext(std::string_view context) && {
  message = fmt::format("{}: {}", context, message);
  return std::move(*this);
}

}  // namespace crossfade
