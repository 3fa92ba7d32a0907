#include "db/mysql/position.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/bytes.h"

namespace crossfade::mysql {
namespace {

constexpr std::string_view kComponent = "db.mysql.position";
constexpr uint64_t kMaxTransactionNumber = (uint64_t{1} << 63) - 2;
constexpr size_t kMaxTagLength = 32;
constexpr size_t kUuidLength = 36;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && IsSpace(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

// Takes the part of `rest` before `separator` off its front; the whole of it where there is none.
std::string_view Cut(std::string_view* rest, char separator) {
  const size_t end = rest->find(separator);
  const std::string_view part = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return part;
}

template <typename T>
std::optional<T> Number(std::string_view text) {
  text = Trim(text);
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

tl::unexpected<Error> BadText(std::string_view what, std::string_view text) {
  return MakeError(ErrorClass::kData, "CF1132", kComponent, "not a {}: '{}'", what, text.substr(0, 200));
}

// Lower case with dashes, or none. The server also takes it without dashes.
std::optional<std::string> Uuid(std::string_view text) {
  std::string uuid;
  for (const char c : Trim(text)) {
    if (c == '-') {
      continue;
    }
    const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!((lower >= '0' && lower <= '9') || (lower >= 'a' && lower <= 'f')) || uuid.size() >= kUuidLength) {
      return std::nullopt;
    }
    if (uuid.size() == 8 || uuid.size() == 13 || uuid.size() == 18 || uuid.size() == 23) {
      uuid += '-';
    }
    uuid += lower;
  }
  return uuid.size() == kUuidLength ? std::optional(uuid) : std::nullopt;
}

std::optional<std::string> Tag(std::string_view text) {
  text = Trim(text);
  std::string tag;
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool digit = lower >= '0' && lower <= '9';
    if (!((lower >= 'a' && lower <= 'z') || lower == '_' || (digit && !tag.empty()))) {
      return std::nullopt;
    }
    tag += lower;
  }
  return tag.empty() || tag.size() > kMaxTagLength ? std::nullopt : std::optional(tag);
}

// "5" or "5-9". An interval whose end lies before its begin is empty, as for the server.
std::optional<std::pair<uint64_t, uint64_t>> IntervalText(std::string_view text) {
  std::string_view rest = text;
  const auto first = Number<uint64_t>(Cut(&rest, '-'));
  const auto last = text.find('-') == std::string_view::npos ? first : Number<uint64_t>(rest);
  if (!first || !last || *first == 0 || *first > kMaxTransactionNumber || *last > kMaxTransactionNumber) {
    return std::nullopt;
  }
  return std::pair(*first, *last);
}

}  // namespace

// MariaDB

Result<MariaDbGtidState::Gtid> MariaDbGtidState::ParseOne(std::string_view text) {
  std::string_view rest = Trim(text);
  const auto domain = Number<uint32_t>(Cut(&rest, '-'));
  const auto server = Number<uint32_t>(Cut(&rest, '-'));
  const auto sequence = Number<uint64_t>(rest);
  if (!domain || !server || !sequence) {
    return BadText("MariaDB GTID", text);
  }
  return Gtid{*domain, *server, *sequence};
}

Result<MariaDbGtidState> MariaDbGtidState::Parse(std::string_view text) {
  MariaDbGtidState state;
  std::string_view rest = Trim(text);
  while (!rest.empty()) {
    const bool more = rest.find(',') != std::string_view::npos;
    CROSSFADE_ASSIGN(const Gtid gtid, ParseOne(Cut(&rest, ',')));
    if (!state.domains_.emplace(gtid.domain, gtid).second || (more && rest.empty())) {
      return BadText("MariaDB GTID state", text);
    }
  }
  return state;
}

std::string MariaDbGtidState::Format(const Gtid& gtid) {
  return fmt::format("{}-{}-{}", gtid.domain, gtid.server, gtid.sequence);
}

void MariaDbGtidState::Advance(const Gtid& gtid) { domains_[gtid.domain] = gtid; }

bool MariaDbGtidState::Contains(const Gtid& gtid) const {
  const auto found = domains_.find(gtid.domain);
  return found != domains_.end() && gtid.sequence <= found->second.sequence;
}

bool MariaDbGtidState::ContainsAll(const MariaDbGtidState& other) const {
  return std::all_of(other.domains_.begin(), other.domains_.end(),
                     [this](const auto& entry) { return Contains(entry.second); });
}

std::string MariaDbGtidState::ToString() const {
  std::string text;
  for (const auto& [domain, gtid] : domains_) {
    text += text.empty() ? "" : ",";
    text += Format(gtid);
  }
  return text;
}

// MySQL

Result<MySqlGtidSet> MySqlGtidSet::Parse(std::string_view text) {
  MySqlGtidSet set;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view item = Trim(Cut(&rest, ','));
    if (item.empty()) {
      continue;  // the server takes empty items, too
    }
    const auto uuid = Uuid(Cut(&item, ':'));
    if (!uuid || item.empty()) {
      return BadText("GTID set", text);
    }
    std::string sid = *uuid;
    while (!item.empty()) {
      const bool more = item.find(':') != std::string_view::npos;
      const std::string_view part = Cut(&item, ':');
      if (more && item.empty()) {
        return BadText("GTID set", text);
      }
      if (const auto interval = IntervalText(part)) {
        set.AddInterval(sid, interval->first, interval->second);
      } else if (const auto tag = Tag(part); tag && more) {
        sid = *uuid + ":" + *tag;
      } else {
        return BadText("GTID set", text);
      }
    }
  }
  return set;
}

void MySqlGtidSet::Add(const std::string& sid, uint64_t number) {
  if (number == 0) {
    return;
  }
  Intervals& intervals = intervals_[sid];
  if (!intervals.empty() && intervals.back().last == number - 1) {
    intervals.back().last = number;  // nearly always: the next transaction of the server
    return;
  }
  Insert(&intervals, number, number);
}

void MySqlGtidSet::AddInterval(const std::string& sid, uint64_t first, uint64_t last) {
  if (first != 0 && first <= last) {
    Insert(&intervals_[sid], first, last);
  }
}

void MySqlGtidSet::Insert(Intervals* intervals, uint64_t first, uint64_t last) {
  // All intervals that overlap or touch [first, last] are replaced by their union with it. No sum may overflow here:
  // the numbers come from a log.
  const auto begin =
      std::partition_point(intervals->begin(), intervals->end(), [&](const Interval& i) { return i.last < first - 1; });
  const auto end = std::partition_point(begin, intervals->end(),
                                        [&](const Interval& i) { return i.first <= last || i.first - last == 1; });
  if (begin != end) {
    first = std::min(first, begin->first);
    last = std::max(last, std::prev(end)->last);
  }
  const auto at = intervals->erase(begin, end);
  intervals->insert(at, Interval{first, last});
}

bool MySqlGtidSet::Covers(const Intervals& intervals, uint64_t first, uint64_t last) {
  const auto at =
      std::partition_point(intervals.begin(), intervals.end(), [&](const Interval& i) { return i.last < first; });
  return at != intervals.end() && at->first <= first && last <= at->last;
}

bool MySqlGtidSet::Contains(const std::string& sid, uint64_t number) const {
  const auto found = intervals_.find(sid);
  return found != intervals_.end() && Covers(found->second, number, number);
}

bool MySqlGtidSet::ContainsAll(const MySqlGtidSet& other) const {
  for (const auto& [sid, intervals] : other.intervals_) {
    const auto found = intervals_.find(sid);
    if (found == intervals_.end()) {
      return false;
    }
    for (const Interval& interval : intervals) {
      if (!Covers(found->second, interval.first, interval.last)) {
        return false;
      }
    }
  }
  return true;
}

MySqlGtidSet MySqlGtidSet::Missing(const MySqlGtidSet& other) const {
  MySqlGtidSet missing;
  for (const auto& [sid, intervals] : other.intervals_) {
    const auto found = intervals_.find(sid);
    const Intervals none;
    const Intervals& here = found == intervals_.end() ? none : found->second;
    for (const Interval& wanted : intervals) {
      uint64_t next = wanted.first;
      auto had = std::partition_point(here.begin(), here.end(), [&](const Interval& i) { return i.last < next; });
      bool done = false;
      for (; !done && had != here.end() && had->first <= wanted.last; ++had) {
        missing.AddInterval(sid, next, had->first - 1);  // nothing if there is no gap
        done = had->last >= wanted.last;
        next = had->last + 1;
      }
      if (!done) {
        missing.AddInterval(sid, next, wanted.last);
      }
    }
  }
  return missing;
}

std::string MySqlGtidSet::ToString() const {
  std::string text;
  std::string_view uuid;
  for (const auto& [sid, intervals] : intervals_) {
    const std::string_view this_uuid = std::string_view(sid).substr(0, kUuidLength);
    if (this_uuid == uuid) {
      text.append(sid, kUuidLength);  // ":tag": the UUID is said once for all its tags
    } else {
      text += text.empty() ? "" : ",";
      text += sid;
    }
    uuid = this_uuid;
    for (const Interval& interval : intervals) {
      text += interval.first == interval.last ? fmt::format(":{}", interval.first)
                                              : fmt::format(":{}-{}", interval.first, interval.last);
    }
  }
  return text;
}

namespace {

void AppendUuid(std::string_view uuid, std::string* out) {
  uint8_t byte = 0;
  bool half = false;
  for (const char c : uuid) {
    if (c == '-') {
      continue;
    }
    const auto digit = static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    byte = static_cast<uint8_t>(byte << 4 | digit);
    if (half) {
      out->push_back(static_cast<char>(byte));
    }
    half = !half;
  }
}

}  // namespace

std::string MySqlGtidSet::EncodeForDump() const {
  const bool tagged = std::any_of(intervals_.begin(), intervals_.end(),
                                  [](const auto& entry) { return entry.first.size() > kUuidLength; });
  const uint64_t count = intervals_.size();
  std::string out;
  ByteWriter writer(&out);
  // The format number is 1 for a set with tags, and stands in the first and in the last byte of the count.
  writer.FixedU64(tagged ? uint64_t{1} << 56 | count << 8 | 1 : count);
  for (const auto& [sid, intervals] : intervals_) {
    AppendUuid(std::string_view(sid).substr(0, kUuidLength), &out);
    if (tagged) {
      const std::string_view tag =
          sid.size() > kUuidLength ? std::string_view(sid).substr(kUuidLength + 1) : std::string_view();
      writer.U8(static_cast<uint8_t>(tag.size() << 1));  // MySQL's own variable-length number: one byte below 128
      writer.Bytes(tag);
    }
    writer.FixedU64(intervals.size());
    for (const Interval& interval : intervals) {
      writer.FixedU64(interval.first);
      writer.FixedU64(interval.last + 1);
    }
  }
  return out;
}

// Order

namespace {

// "binlog.000012" is {"binlog", 12}. Numbers grow beyond six digits.
std::optional<std::pair<std::string_view, uint64_t>> LogFile(std::string_view file) {
  const size_t dot = file.rfind('.');
  if (dot == std::string_view::npos || dot == 0) {
    return std::nullopt;
  }
  const auto number = Number<uint64_t>(file.substr(dot + 1));
  return number ? std::optional(std::pair(file.substr(0, dot), *number)) : std::nullopt;
}

std::optional<bool> ContainsByFile(const Position& upto, const Position& transaction) {
  if (upto.server.empty() || upto.server != transaction.server) {
    return std::nullopt;
  }
  const auto a = LogFile(upto.file);
  const auto b = LogFile(transaction.file);
  if (!a || !b || a->first != b->first) {
    return std::nullopt;
  }
  return std::pair(b->second, transaction.offset) <= std::pair(a->second, upto.offset);
}

// The same `upto` is asked about for one transaction after the other: its text is read once.
template <typename Set>
Result<const Set*> ParsedOnce(const std::string& text) {
  thread_local std::optional<std::pair<std::string, Set>> last;
  if (!last || last->first != text) {
    CROSSFADE_ASSIGN(Set set, Set::Parse(text));
    last.emplace(text, std::move(set));
  }
  return &last->second;
}

Result<bool> ContainsByMariaDbGtid(const Position& upto, const Position& transaction) {
  CROSSFADE_ASSIGN(const MariaDbGtidState* const state, ParsedOnce<MariaDbGtidState>(upto.set));
  if (!transaction.last.empty()) {
    CROSSFADE_ASSIGN(const auto gtid, MariaDbGtidState::ParseOne(transaction.last));
    return state->Contains(gtid);
  }
  CROSSFADE_ASSIGN(const MariaDbGtidState other, MariaDbGtidState::Parse(transaction.set));
  return state->ContainsAll(other);
}

Result<bool> ContainsByMySqlGtid(const Position& upto, const Position& transaction) {
  CROSSFADE_ASSIGN(const MySqlGtidSet* const set, ParsedOnce<MySqlGtidSet>(upto.set));
  const std::string& wanted = transaction.last.empty() ? transaction.set : transaction.last;
  CROSSFADE_ASSIGN(const MySqlGtidSet other, MySqlGtidSet::Parse(wanted));
  return set->ContainsAll(other);
}

}  // namespace

Result<bool> MySqlPositionOrder::Contains(const Position& upto, const Position& transaction) const {
  if (const auto by_file = ContainsByFile(upto, transaction)) {
    return *by_file;
  }
  if (upto.set.empty() || (transaction.last.empty() && transaction.set.empty())) {
    return MakeError(ErrorClass::kConfig, "CF1130", kComponent,
                     "positions of different servers, or of different log series, without GTIDs cannot be compared: {} "
                     "of '{}' and {} of '{}'",
                     upto.ToString(), upto.server, transaction.ToString(), transaction.server);
  }
  return flavor_ == Flavor::kMariaDb ? ContainsByMariaDbGtid(upto, transaction)
                                     : ContainsByMySqlGtid(upto, transaction);
}

// Head

namespace {

tl::unexpected<Error> NoLog(const ServerInfo& server) {
  Error error;
  error.error_class = ErrorClass::kConfig;
  error.code = "CF1131";
  error.component = kComponent;
  error.message = "the server writes no binary log";
  error.object = server.identity;
  error.found = "log_bin = OFF";
  error.fix = "set log_bin in the server's configuration and restart it";
  return Fail(std::move(error));
}

}  // namespace

Result<Position> ReadHead(Connection& connection) {
  const ServerInfo& server = connection.server();
  const bool mariadb = server.flavor == Flavor::kMariaDb;
  const char* const sql = !mariadb && server.version_number >= 80200 ? "SHOW BINARY LOG STATUS" : "SHOW MASTER STATUS";
  CROSSFADE_ASSIGN(const auto rows, connection.Rows(sql));
  if (rows.empty() || rows[0].size() < 2) {
    return NoLog(server);
  }
  Position head;
  head.server = server.identity;
  head.file = rows[0][0].value_or("");
  head.offset = Number<uint64_t>(rows[0][1].value_or("")).value_or(0);
  if (mariadb) {
    CROSSFADE_ASSIGN(const auto set, connection.Scalar("SELECT @@global.gtid_binlog_pos"));
    head.set = set.value_or("");
    return head;
  }
  CROSSFADE_ASSIGN(const auto mode, connection.Scalar("SELECT @@global.gtid_mode"));
  if (mode.value_or("") == "ON" && rows[0].size() > 4) {
    CROSSFADE_ASSIGN(const MySqlGtidSet set, MySqlGtidSet::Parse(rows[0][4].value_or("")));
    head.set = set.ToString();
  }
  return head;
}

}  // namespace crossfade::mysql
