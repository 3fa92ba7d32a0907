// Reading the audit log from beginning to end.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "state/audit_log.h"
#include "state/audit_record.h"

namespace crossfade::state {

namespace {

// Lines of a file up to a size, in bounded memory.
class Lines {
 public:
  Lines(const AuditFile& file, std::string path, uint64_t size) : file_(file), path_(std::move(path)), left_(size) {}

  struct Line {
    std::string text;    // without its newline
    bool ended = false;  // there was one
    bool cut = false;    // too long to be held: text is its beginning
  };
  // Nothing: the end.
  Result<std::optional<Line>> Next() {
    Line line;
    bool any = false;
    for (;;) {
      if (at_ == buffer_.size()) {
        CROSSFADE_TRY(Fill());
        if (buffer_.empty()) {
          return any ? std::optional(std::move(line)) : std::nullopt;
        }
      }
      any = true;
      const size_t newline = buffer_.find('\n', at_);
      const size_t stop = newline == std::string::npos ? buffer_.size() : newline;
      const size_t room = kMaxAuditTail - line.text.size();
      line.cut = line.cut || stop - at_ > room;
      line.text.append(buffer_, at_, std::min(room, stop - at_));
      at_ = newline == std::string::npos ? stop : stop + 1;
      if (newline != std::string::npos) {
        line.ended = true;
        return std::optional(std::move(line));
      }
    }
  }

 private:
  Status Fill() {
    buffer_.resize(std::min<uint64_t>(kAuditBlock, left_));
    at_ = 0;
    ssize_t n = 0;
    do {
      n = buffer_.empty() ? 0 : ::read(file_.fd(), buffer_.data(), buffer_.size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      return AuditUnusable(path_, "read", errno);
    }
    buffer_.resize(static_cast<size_t>(n));
    left_ -= static_cast<uint64_t>(n);
    return {};
  }

  const AuditFile& file_;
  const std::string path_;
  uint64_t left_;
  std::string buffer_;
  size_t at_ = 0;
};

// Holds lines against the chain, one after the other.
class Chain {
 public:
  Chain(uint64_t wanted, const std::function<void(std::string_view)>& each) : wanted_(wanted), each_(each) {}

  void Take(const Lines::Line& line) {
    ++number_;
    const std::optional<AuditRecord> record = line.cut ? std::nullopt : ParseAuditRecord(line.text);
    if (!record) {
      TakeOther(line);
      return;
    }
    JudgeRest(*record);
    JudgeOrder(*record);
    ++reading_.records;
    reading_.head = {record->seq, record->hash};
    at_ = record->at;
    if (record->seq == wanted_) {
      reading_.at = record->hash;
    }
    if (each_) {
      each_(line.text);
    }
    rest_.clear();
    rest_lines_ = changed_ = 0;
  }

  AuditReading End() {
    if (rest_lines_ > changed_) {
      reading_.torn_end = true;
      Notice("what a crash left of a record that was not written whole; the next record will say so");
    }
    return std::move(reading_);
  }

 private:
  void Problem(std::string what) {
    if (++reading_.problem_count <= AuditReading::kProblemsKept) {
      reading_.problems.push_back({number_, std::move(what)});
    }
  }
  void Notice(std::string what) {
    if (reading_.notices.size() < AuditReading::kProblemsKept) {
      reading_.notices.push_back({number_, std::move(what)});
    }
  }

  // No record: changed, or what a crash left, which the next record tells.
  void TakeOther(const Lines::Line& line) {
    ++rest_lines_;
    rest_ += rest_lines_ == 1 ? line.text : "\n" + line.text;
    if (line.cut || rest_.size() > kMaxAuditTail || IsWholeJson(line.text)) {
      ++changed_;
      rest_.clear();
      Problem("changed: its text does not fit its hash");
    }
  }

  void JudgeRest(const AuditRecord& record) {
    if (changed_ > 0) {
      return;  // told already
    }
    const bool fits =
        record.torn && rest_lines_ > 0 && record.torn->first == rest_.size() && record.torn->second == Sha256(rest_);
    if (fits) {
      Notice(fmt::format("record {} says that a crash left {} bytes of another before it", record.seq, rest_.size()));
    } else if (record.torn || rest_lines_ > 0) {
      Problem(fmt::format("before record {} stands something else than when it was written", record.seq));
    }
  }

  void JudgeOrder(const AuditRecord& record) {
    if (!record.begins_anew.empty()) {
      JudgeBeginning(record);
    }
    const uint64_t expected = reading_.head.seq + 1 + changed_;
    if (record.seq != expected) {
      Problem(fmt::format("record {} stands where record {} should: records were taken out, put in or moved",
                          record.seq, expected));
    } else if (changed_ == 0 &&
               record.prev != (expected == 1 ? std::string(kAuditHashSize, '0') : reading_.head.hash)) {
      Problem(fmt::format("record {} was not written behind the record {} that stands before it", record.seq,
                          expected - 1));
    }
    if (record.at < at_) {
      Notice(fmt::format("record {} is of {}, before that of the record before it: the clock was put back", record.seq,
                         record.at));
    }
  }

  void JudgeBeginning(const AuditRecord& record) {
    if (reading_.records + rest_lines_ > 0 || record.seq == 0) {
      Problem(fmt::format("record {} says that the log begins anew, but others stand before it", record.seq));
      return;
    }
    reading_.beginning = {{record.seq, record.hash}, record.begins_anew};
    reading_.head = {record.seq - 1, record.prev};
    if (wanted_ != 0 && wanted_ == reading_.head.seq) {
      reading_.at = record.prev;
    }
    Notice(fmt::format("the log begins anew at record {}: {}", record.seq, record.begins_anew));
  }

  const uint64_t wanted_;
  const std::function<void(std::string_view)>& each_;
  AuditReading reading_;
  uint64_t number_ = 0;
  std::string at_;
  std::string rest_;
  uint64_t rest_lines_ = 0;
  uint64_t changed_ = 0;
};

}  // namespace

Result<AuditReading> ReadAudit(const std::string& path, uint64_t wanted,
                               const std::function<void(std::string_view line)>& each) {
  const AuditFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) {
    return errno == ENOENT ? Result<AuditReading>(AuditReading{}) : AuditUnusable(path, "open", errno);
  }
  // While it is locked nothing is written by halves; what is added later is not looked at.
  CROSSFADE_TRY(LockAudit(file, path));
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) {
    return AuditUnusable(path, "look at", errno);
  }
  ::flock(file.fd(), LOCK_UN);
  Lines lines(file, path, static_cast<uint64_t>(info.st_size));
  Chain chain(wanted, each);
  for (;;) {
    CROSSFADE_ASSIGN(const std::optional<Lines::Line> line, lines.Next());
    if (!line) {
      return chain.End();
    }
    chain.Take(*line);
  }
}

}  // namespace crossfade::state
