// How long a source will still keep what capture would have to read after a restart.
#pragma once

#include <cstdint>
#include <string>

namespace crossfade::capture {

struct Retention {
  int64_t kept_s = -1;  // how long what is not written any more is kept; -1: not limited by time
  int64_t left_s = -1;  // until what we need may be purged; -1: it is still written, or not limited
  bool purged = false;  // it is not there any more
  std::string warning;  // empty: there is time enough
};

}  // namespace crossfade::capture
