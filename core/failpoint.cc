#include "core/failpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace crossfade::failpoint {

std::atomic<bool> Site::armed{false};

namespace {

struct Action {
  std::string name;
  std::string verb;      // "crash", "sleep", "wait"
  std::string argument;  // milliseconds, or a path
  uint64_t at = 1;       // crash: at this hit
};

// Written by ArmFromEnvironment before any thread starts, read-only afterwards.
std::vector<Action>& Actions() {
  static std::vector<Action> actions;
  return actions;
}

std::string& LogPath() {
  static std::string path;
  return path;
}

Action ParseAction(const std::string& text) {
  Action action;
  const size_t equals = text.find('=');
  action.name = text.substr(0, equals);
  std::string rest = equals == std::string::npos ? "crash" : text.substr(equals + 1);
  if (const size_t colon = rest.find(':'); colon != std::string::npos) {
    action.argument = rest.substr(colon + 1);
    rest.resize(colon);
  } else if (const size_t at = rest.find('@'); at != std::string::npos) {
    action.at = std::strtoull(rest.c_str() + at + 1, nullptr, 10);
    rest.resize(at);
  }
  action.verb = rest;
  return action;
}

void Log(std::string_view name) {
  const int fd = ::open(LogPath().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) {
    return;
  }
  const std::string line = std::string(name) + "\n";
  [[maybe_unused]] const ssize_t written = ::write(fd, line.data(), line.size());
  ::close(fd);
}

}  // namespace

Site::Site(std::string_view name) : name_(name) {}

void Site::HitArmed() {
  const uint64_t hit = hits_.fetch_add(1) + 1;
  if (hit == 1 && !LogPath().empty()) {
    Log(name_);
  }
  for (const Action& action : Actions()) {
    if (action.name != name_) {
      continue;
    }
    if (action.verb == "crash" && hit == action.at) {
      ::_exit(kCrashStatus);
    }
    if (action.verb == "sleep") {
      std::this_thread::sleep_for(std::chrono::milliseconds(std::strtol(action.argument.c_str(), nullptr, 10)));
    }
    if (action.verb == "wait") {
      while (::access(action.argument.c_str(), F_OK) != 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    }
  }
}

void ArmFromEnvironment() {
  if (const char* log = std::getenv("CROSSFADE_FAILPOINT_LOG"); log != nullptr && *log != '\0') {
    LogPath() = log;
  }
  if (const char* text = std::getenv("CROSSFADE_FAILPOINTS"); text != nullptr) {
    const std::string all = text;
    for (size_t begin = 0; begin < all.size();) {
      const size_t comma = std::min(all.find(',', begin), all.size());
      if (comma > begin) {
        Actions().push_back(ParseAction(all.substr(begin, comma - begin)));
      }
      begin = comma + 1;
    }
  }
  Site::armed.store(!Actions().empty() || !LogPath().empty());
}

}  // namespace crossfade::failpoint
