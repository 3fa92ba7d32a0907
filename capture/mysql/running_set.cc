#include "capture/mysql/running_set.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

namespace crossfade::capture {

namespace {

constexpr size_t kUuidLength = 36;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Where the intervals of `sid` begin in the text of a set: at the colon before the first; npos if it has none.
size_t FindIntervals(std::string_view text, std::string_view sid) {
  const std::string_view uuid = sid.substr(0, kUuidLength);
  const size_t at = text.find(uuid);
  if (at == std::string_view::npos) {
    return at;
  }
  if (sid.size() == uuid.size()) {
    return at + kUuidLength;
  }
  const size_t end = std::min(text.find(',', at), text.size());
  const std::string tag = std::string(sid.substr(kUuidLength)) + ":";
  const size_t found = text.substr(0, end).find(tag, at + kUuidLength);
  return found == std::string_view::npos ? found : found + tag.size() - 1;
}

}  // namespace

Result<RunningSet> RunningSet::Parse(mysql::Flavor flavor, std::string_view text) {
  RunningSet set;
  set.dirty_ = true;
  if (flavor == mysql::Flavor::kMySql) {
    CROSSFADE_ASSIGN(set.set_, mysql::MySqlGtidSet::Parse(text));
    return set;
  }
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    CROSSFADE_ASSIGN(const auto gtid, mysql::MariaDbGtidState::ParseOne(text.substr(0, end)));
    set.Add(MariaDbGroup{gtid.domain, gtid.server, gtid.sequence, 0});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return set;
}

void RunningSet::Add(const MariaDbGroup& group) {
  const mysql::MariaDbGtidState::Gtid gtid{group.domain, group.server, group.sequence};
  const auto at = std::lower_bound(domains_.begin(), domains_.end(), gtid.domain,
                                   [](const auto& entry, uint32_t domain) { return entry.domain < domain; });
  if (at != domains_.end() && at->domain == gtid.domain) {
    *at = gtid;
  } else {
    domains_.insert(at, gtid);
  }
  dirty_ = true;
}

void RunningSet::Add(const MySqlGtid& gtid) {
  dirty_ = true;
  if (gtid.number == pending_last_ + 1 && gtid.sid == pending_sid_) {
    ++pending_last_;
    return;
  }
  if (pending_first_ != 0) {
    set_.AddInterval(pending_sid_, pending_first_, pending_last_);
  }
  pending_sid_ = gtid.sid;
  pending_first_ = pending_last_ = gtid.number;
  located_ = false;
}

// Makes the text once in full, and finds the place where the pending numbers end.
void RunningSet::Locate() {
  mysql::MySqlGtidSet all = set_;
  all.AddInterval(pending_sid_, pending_first_, pending_last_);
  text_ = all.ToString();
  if (pending_first_ == 0) {
    return;
  }
  const std::string last = std::to_string(pending_last_);
  size_t at = FindIntervals(text_, pending_sid_);
  while (at != std::string::npos && at + 1 < text_.size() && text_[at] == ':' && IsDigit(text_[at + 1])) {
    const size_t end = std::min(text_.find_first_of(":,", at + 1), text_.size());
    const std::string_view interval(text_.data() + at + 1, end - at - 1);
    const size_t dash = interval.find('-');
    const bool is_last = interval.substr(dash == std::string_view::npos ? 0 : dash + 1) == last;
    if (is_last) {
      const size_t number = dash == std::string_view::npos ? end : at + 1 + dash;
      head_ = text_.substr(0, number);
      tail_ = text_.substr(end);
      // A number right behind this interval would have to be joined with it: such a set is made in full each time.
      located_ = tail_.empty() || tail_[0] == ',' || !IsDigit(tail_[1]);
      return;
    }
    at = end;
  }
}

const std::string& RunningSet::text() {
  if (!dirty_) {
    return text_;
  }
  dirty_ = false;
  if (!domains_.empty()) {
    text_.clear();
    for (const auto& gtid : domains_) {
      fmt::format_to(std::back_inserter(text_), "{}{}-{}-{}", text_.empty() ? "" : ",", gtid.domain, gtid.server,
                     gtid.sequence);
    }
    return text_;
  }
  if (!located_) {
    Locate();
    return text_;
  }
  text_.assign(head_);
  text_ += '-';
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), pending_last_).ptr;
  text_.append(digits.data(), end);
  text_ += tail_;
  return text_;
}

}  // namespace crossfade::capture
