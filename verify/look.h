// Looks at touched rows once, on both sides at the same time.
#pragma once

#include <cstdint>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/position.h"
#include "core/seq.h"
#include "snapshot/limits.h"
#include "verify/sides.h"
#include "verify/touched.h"

namespace crossfade::verify {

struct Looked {
  // Keys of rows that are not the same on both sides, which may only mean that they are being changed.
  std::map<const ComparedTable*, std::vector<std::string>> unequal;
  // Tables of which so many rows would have to be looked at that all of it must be compared.
  std::map<const ComparedTable*, std::string> whole;
  uint64_t rows = 0;  // compared
};

struct LookLimits {
  uint64_t max_children = 200'000;  // rows found by other columns than their key, on one side
};

// What both sides must show.
struct ShownUpto {
  Seq seq;
  Position position;  // of that transaction; empty: the source showed it before
};

// Reads each of the rows in one state of the target and in one of the source, both of which show all up to `upto`; and
// those that refer to a child that was found, where an action went on to them. A row that is the same in both needs no
// journal: what changed it later than `upto` touches it again.
// Transient CF1820 if a side does not show that much within two seconds. After an error the sides can do nothing more.
Result<Looked> Look(const ComparedTables& tables, const Touched& touched, const ShownUpto& upto, const Sides& sides,
                    const PositionOrder& order, snapshot::CopyLimits* pressure, const LookLimits& limits,
                    const std::stop_token& stop);

}  // namespace crossfade::verify
