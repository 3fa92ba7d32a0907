// The GTID set behind each transaction, kept as text: a position is made for every commit, so adding is cheap.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capture/mysql/gtid_event.h"
#include "core/error.h"
#include "db/mysql/connection.h"
#include "db/mysql/position.h"

namespace crossfade::capture {

class RunningSet {
 public:
  // The set as the server's own text; an empty one is a known, empty set.
  static Result<RunningSet> Parse(mysql::Flavor flavor, std::string_view text);

  void Add(const MariaDbGroup& group);
  void Add(const MySqlGtid& gtid);
  const std::string& text();

 private:
  void Locate();

  // MariaDB: the last transaction of each domain, by domain.
  std::vector<mysql::MariaDbGtidState::Gtid> domains_;
  // MySQL: the set without the numbers pending_first_ to pending_last_ of pending_sid_.
  mysql::MySqlGtidSet set_;
  std::string pending_sid_;
  uint64_t pending_first_ = 0;
  uint64_t pending_last_ = 0;

  bool dirty_ = false;
  std::string text_;
  // Where in text_ the number stands that grows with the next transaction: in front of it and behind it.
  bool located_ = false;
  std::string head_;
  std::string tail_;
};

}  // namespace crossfade::capture
