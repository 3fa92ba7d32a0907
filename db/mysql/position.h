// GTID sets of MariaDB and MySQL, and how positions of these servers compare.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/position.h"
#include "db/mysql/connection.h"

namespace crossfade::mysql {

// MariaDB: the last sequence number (and server) of each domain: "0-1-100,1-2-30". Parse: Data error CF1132.
class MariaDbGtidState {
 public:
  struct Gtid {
    uint32_t domain = 0;
    uint32_t server = 0;
    uint64_t sequence = 0;
  };
  static Result<MariaDbGtidState> Parse(std::string_view text);
  static Result<Gtid> ParseOne(std::string_view text);
  static std::string Format(const Gtid& gtid);
  void Advance(const Gtid& gtid);
  bool Contains(const Gtid& gtid) const;
  bool ContainsAll(const MariaDbGtidState& other) const;
  bool empty() const { return domains_.empty(); }
  std::string ToString() const;

 private:
  std::map<uint32_t, Gtid> domains_;
};

// MySQL: intervals of transaction numbers by UUID and tag: "uuid:1-5:7:tag:1-3". Parse: Data error CF1132.
// ToString gives the text that the server itself would give, without line breaks.
class MySqlGtidSet {
 public:
  static Result<MySqlGtidSet> Parse(std::string_view text);
  // `sid` is "uuid" or "uuid:tag", lower case. Number 0 names no transaction and is left out.
  void Add(const std::string& sid, uint64_t number);
  void AddInterval(const std::string& sid, uint64_t first, uint64_t last);  // inclusive
  bool Contains(const std::string& sid, uint64_t number) const;
  bool ContainsAll(const MySqlGtidSet& other) const;
  // What `other` has and this has not.
  MySqlGtidSet Missing(const MySqlGtidSet& other) const;
  bool empty() const { return intervals_.empty(); }
  std::string ToString() const;
  // The set as COM_BINLOG_DUMP_GTID wants it at the end of its payload, without the length that stands before it
  // (untagged form if no tag is in the set, tagged form otherwise).
  std::string EncodeForDump() const;

 private:
  struct Interval {
    uint64_t first;
    uint64_t last;  // inclusive
  };
  using Intervals = std::vector<Interval>;
  static void Insert(Intervals* intervals, uint64_t first, uint64_t last);
  static bool Covers(const Intervals& intervals, uint64_t first, uint64_t last);

  std::map<std::string, Intervals> intervals_;  // sorted, disjoint, not adjacent; no entry is empty
};

// Compares by file:offset where both sides name the same server and the same series of log files (ordered by the number
// at their end): that is exact. Else by GTID: `last` of the transaction, or all of its set where it has no `last`;
// MariaDB by domain. Config error CF1130 where neither can be had.
class MySqlPositionOrder : public PositionOrder {
 public:
  explicit MySqlPositionOrder(Flavor flavor) : flavor_(flavor) {}
  Result<bool> Contains(const Position& upto, const Position& transaction) const override;

 private:
  Flavor flavor_;
};

// Where the server's log ends now. Not a `low` of a chunk (hazard H4). On MySQL, `set` is left out unless gtid_mode is
// ON: it would not name all transactions. Config error CF1131 if there is no binary log.
Result<Position> ReadHead(Connection& connection);

}  // namespace crossfade::mysql
