// /status and /metrics on the address the configuration names.
#pragma once

#include <memory>
#include <string>

#include "core/error.h"
#include "tools/crossfade/status.h"

namespace crossfade::tools {

// Serves until it is destroyed. Read-only: nothing can be changed over it.
class HttpServer {
 public:
  // `listen` is "address:port"; port 0 takes a free one. Config error CF1735 if it cannot be bound.
  static Result<std::unique_ptr<HttpServer>> Start(const std::string& listen, StatusBoard* board);
  virtual ~HttpServer() = default;
  virtual std::string address() const = 0;
};

}  // namespace crossfade::tools
