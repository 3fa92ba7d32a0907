// Named places at which a test makes the real program die, fail, wait or stall.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace crossfade::failpoint {

// One place in the code. Made once, by the macro below.
class Site {
 public:
  explicit Site(std::string_view name);

  // Does what the environment asks for at this hit; nothing, at the price of one load, if it asks for nothing.
  void Hit() {
    if (armed.load(std::memory_order_relaxed)) {
      HitArmed();
    }
  }

  // Any action is set, or hits are recorded, anywhere in this process.
  static std::atomic<bool> armed;

 private:
  void HitArmed();

  std::string_view name_;
  std::atomic<uint64_t> hits_{0};
};

// Status with which a process dies at a failpoint, so that a test waits for that death and no other.
inline constexpr int kCrashStatus = 85;

// Reads, once at start of the program:
//   CROSSFADE_FAILPOINTS      "name=crash", "name=crash@3" (at the third hit), "name=sleep:500" (ms, at each hit),
//                             "name=wait:/path" (until that file exists); several joined by ','
//   CROSSFADE_FAILPOINT_LOG   a file to which the name of every failpoint is appended at its first hit
void ArmFromEnvironment();

}  // namespace crossfade::failpoint

// Before and after every durable write. `name`: "journal.sync.before", "journal.sync.after".
#define CROSSFADE_FAILPOINT(name)                                  \
  do {                                                             \
    static ::crossfade::failpoint::Site crossfade_failpoint(name); \
    crossfade_failpoint.Hit();                                     \
  } while (false)
