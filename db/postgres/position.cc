#include "db/postgres/position.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace crossfade::postgres {

namespace {

constexpr std::string_view kComponent = "db.postgres";
constexpr int kHalfBits = 32;

tl::unexpected<Error> Unreadable(std::string_view what, std::string_view text) {
  return MakeError(ErrorClass::kData, "CF1900", kComponent, "'{}' is not {}", text.substr(0, 100), what);
}

template <typename T>
std::optional<T> Number(std::string_view text, int base = 10) {
  T number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return failed == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

// Takes the text before the next `separator`, or all that is left.
std::string_view Cut(std::string_view* rest, char separator) {
  const std::string_view part = rest->substr(0, rest->find(separator));
  rest->remove_prefix(std::min(part.size() + 1, rest->size()));
  return part;
}

}  // namespace

std::string FormatLsn(uint64_t lsn) { return fmt::format("{:X}/{:X}", lsn >> kHalfBits, lsn & 0xFFFFFFFF); }

Result<uint64_t> ParseLsn(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    const auto high = Number<uint32_t>(text.substr(0, slash), 16);
    const auto low = Number<uint32_t>(text.substr(slash + 1), 16);
    if (high && low) {
      return (uint64_t{*high} << kHalfBits) | *low;
    }
  }
  return Unreadable("a place in the log, like 0/15785B0", text);
}

uint64_t WidenXid(uint32_t xid, uint64_t near) {
  const uint32_t ahead = xid - static_cast<uint32_t>(near);
  const auto distance = static_cast<int32_t>(ahead);
  const uint64_t back = distance < 0 ? uint64_t{0} - static_cast<uint64_t>(int64_t{distance}) : 0;
  return back > near || distance >= 0 ? near + ahead : near - back;
}

Result<Snapshot> Snapshot::Parse(std::string_view text) {
  std::string_view rest = text;
  const auto xmin = Number<uint64_t>(Cut(&rest, ':'));
  const auto xmax = Number<uint64_t>(Cut(&rest, ':'));
  if (!xmin || !xmax || *xmin > *xmax || std::count(text.begin(), text.end(), ':') != 2) {
    return Unreadable("a snapshot, like 737:739:738", text);
  }
  Snapshot snapshot;
  snapshot.xmin_ = *xmin;
  snapshot.xmax_ = *xmax;
  while (!rest.empty()) {
    const auto xid = Number<uint64_t>(Cut(&rest, ','));
    if (!xid || *xid < *xmin || *xid >= *xmax) {
      return Unreadable("a snapshot, like 737:739:738", text);
    }
    snapshot.in_progress_.push_back(*xid);
  }
  std::sort(snapshot.in_progress_.begin(), snapshot.in_progress_.end());
  return snapshot;
}

bool Snapshot::Sees(uint64_t xid) const {
  return xid < xmin_ || (xid < xmax_ && !std::binary_search(in_progress_.begin(), in_progress_.end(), xid));
}

bool Snapshot::SeesAllOf(const Snapshot& other) const {
  if (std::any_of(in_progress_.begin(), in_progress_.end(), [&](uint64_t xid) { return other.Sees(xid); })) {
    return false;
  }
  // Nor may the other see any beyond our end.
  if (xmax_ >= other.xmax_) {
    return true;
  }
  const auto first = std::lower_bound(other.in_progress_.begin(), other.in_progress_.end(), xmax_);
  return static_cast<uint64_t>(other.in_progress_.end() - first) == other.xmax_ - xmax_;
}

std::string ServerName::ToString() const { return fmt::format("{}/{}", system, timeline); }

Result<ServerName> ServerName::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto timeline = slash == std::string_view::npos ? std::nullopt : Number<uint32_t>(text.substr(slash + 1));
  if (!timeline || slash == 0) {
    return Unreadable("a server's system identifier and timeline", text);
  }
  return ServerName{std::string(text.substr(0, slash)), *timeline};
}

namespace {

tl::unexpected<Error> NotComparable(const Position& upto, const Position& transaction, std::string_view why) {
  return MakeError(ErrorClass::kConfig, "CF1901", kComponent, "{} of '{}' and {} of '{}' cannot be compared: {}",
                   upto.ToString(), upto.server, transaction.ToString(), transaction.server, why);
}

// The same snapshot is asked about one transaction after the other: its text is read once.
Result<const Snapshot*> ParsedOnce(const std::string& text) {
  thread_local std::optional<std::pair<std::string, Snapshot>> last;
  if (!last || last->first != text) {
    CROSSFADE_ASSIGN(Snapshot snapshot, Snapshot::Parse(text));
    last.emplace(text, std::move(snapshot));
  }
  return &last->second;
}

Result<bool> SeenBySnapshot(const Position& upto, const Position& transaction) {
  CROSSFADE_ASSIGN(const Snapshot* const snapshot, ParsedOnce(upto.set));
  if (!transaction.last.empty()) {
    const auto xid = Number<uint64_t>(transaction.last);
    if (!xid) {
      return Unreadable("a transaction's number", transaction.last);
    }
    return snapshot->Sees(*xid);
  }
  if (transaction.set.empty()) {
    return NotComparable(upto, transaction, "a snapshot knows transactions, and no places in the log");
  }
  CROSSFADE_ASSIGN(const Snapshot other, Snapshot::Parse(transaction.set));
  return snapshot->SeesAllOf(other);
}

Result<bool> BeforePlace(const Position& upto, const ServerName& upto_server, const Position& transaction,
                         const ServerName& server) {
  const bool within = transaction.offset <= upto.offset;
  if (upto.offset == 0 || transaction.offset == 0) {
    return NotComparable(upto, transaction, "one of them names no place");
  }
  if (within && server.timeline > upto_server.timeline) {
    return NotComparable(upto, transaction, "the server has left the earlier one's timeline");
  }
  return within;
}

}  // namespace

Result<bool> PgPositionOrder::Contains(const Position& upto, const Position& transaction) const {
  CROSSFADE_ASSIGN(const ServerName upto_server, ServerName::Parse(upto.server));
  CROSSFADE_ASSIGN(const ServerName server, ServerName::Parse(transaction.server));
  if (upto_server.system != server.system) {
    return NotComparable(upto, transaction, "they are of different clusters");
  }
  return upto.set.empty() ? BeforePlace(upto, upto_server, transaction, server) : SeenBySnapshot(upto, transaction);
}

}  // namespace crossfade::postgres
