// Who has the journal open: a lock, and a text for people, in the file "owner" of its directory.
#pragma once

#include <string>

#include "core/error.h"

namespace crossfade::state {

// Held until destroyed, or until the process ends in any way.
class Owner {
 public:
  // Makes the directory (mode 0700) if it is not there. Config CF1301, with the holder's text, if somebody has it;
  // Config CF1308 if the directory cannot be used.
  static Result<Owner> Take(const std::string& directory);
  Owner(Owner&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  ~Owner();

 private:
  explicit Owner(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace crossfade::state
