#include "state/audit_log.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "core/clock.h"
#include "core/failpoint.h"

namespace crossfade::state {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kComponent = "state.audit";
constexpr size_t kMaxLine = 256 << 10;
constexpr size_t kMaxTail = 4 * kMaxLine;  // how far back the last record is looked for
constexpr size_t kBlock = 64 << 10;
constexpr size_t kHashSize = 64;
constexpr std::string_view kHashBegin = ",\"hash\":\"";
constexpr std::string_view kHashEnd = "\"}";
constexpr std::chrono::milliseconds kLockWait{10'000};

tl::unexpected<Error> Unusable(const std::string& path, std::string_view doing, int number) {
  Error error =
      MakeError(ErrorClass::kConfig, "CF1320", kComponent, "cannot {} the audit log: {}", doing, std::strerror(number))
          .value();
  error.object = path;
  error.found = std::strerror(number);
  error.fix = fmt::format("let this user write it: chown $(id -un) {} && chmod 600 {}; and see that the disk has room",
                          path, path);
  return Fail(std::move(error));
}

tl::unexpected<Error> NotOurs(const std::string& path, const std::string& what) {
  Error error = MakeError(ErrorClass::kCorrupt, "CF1321", kComponent,
                          "the audit log does not end in a record that was written to it: {}", what)
                    .value();
  error.object = path;
  error.found = what;
  error.fix =
      "'crossfade audit verify' says where; put the log back from its backup, or keep it and begin a new one: "
      "'crossfade "
      "audit begin --reason TEXT'";
  return Fail(std::move(error));
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

struct Record {
  uint64_t seq = 0;
  std::string prev;
  std::string at;
  std::string hash;
  std::optional<std::pair<uint64_t, std::string>> torn;  // bytes, SHA-256
  std::string begins_anew;                               // what is said of the log before
};

// Whole JSON: somebody's line, if not ours. What a crash leaves of a line never is.
bool IsWhole(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  return json.is_object();
}

// Nothing: not a line that was written here.
std::optional<Record> ParseRecord(std::string_view line) {
  const size_t tail = kHashBegin.size() + kHashSize + kHashEnd.size();
  if (line.size() <= tail || line.substr(line.size() - kHashEnd.size()) != kHashEnd ||
      line.substr(line.size() - tail, kHashBegin.size()) != kHashBegin) {
    return std::nullopt;
  }
  Record record;
  record.hash = line.substr(line.size() - kHashEnd.size() - kHashSize, kHashSize);
  if (Sha256(std::string(line.substr(0, line.size() - tail)) + "}") != record.hash) {
    return std::nullopt;
  }
  const Json json = Json::parse(line, nullptr, false);
  const auto text = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (!json.is_object() || !json.contains("seq") || !json["seq"].is_number_unsigned()) {
    return std::nullopt;
  }
  record.seq = json["seq"].get<uint64_t>();
  record.prev = text("prev");
  record.at = text("at");
  if (const auto anew = json.find("begins_anew"); anew != json.end()) {
    record.begins_anew = anew->dump();
  }
  if (const auto torn = json.find("torn"); torn != json.end()) {
    if (!torn->is_object() || !torn->value("bytes", Json()).is_number_unsigned() ||
        !torn->value("sha256", Json()).is_string()) {
      return std::nullopt;
    }
    record.torn = {(*torn)["bytes"].get<uint64_t>(), (*torn)["sha256"].get<std::string>()};
  }
  return record;
}

std::string UtcNow() {
  const int64_t now = WallMicros();
  const std::time_t seconds = now / 1'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:06}Z", text.data(), now % 1'000'000);
}

Status Lock(const File& file, const std::string& path, std::chrono::milliseconds wait = kLockWait) {
  const Deadline give_up = After(wait);
  while (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return Unusable(path, "lock", errno);
    }
    if (std::chrono::steady_clock::now() > give_up) {
      return MakeError(ErrorClass::kTransient, "CF1322", kComponent,
                       "another process has held the audit log {} for {} ms; 'lsof {}' names it", path, wait.count(),
                       path);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return {};
}

// What the end of the file says.
struct End {
  AuditHead head;
  std::string torn;  // behind the last record; not ended by a newline unless ends_line
  bool needs_newline = false;
};

Result<std::string> ReadTail(const File& file, const std::string& path, uint64_t size) {
  std::string tail;
  tail.resize(std::min<uint64_t>(size, kMaxTail));
  size_t got = 0;
  while (got < tail.size()) {
    const ssize_t n =
        ::pread(file.fd(), tail.data() + got, tail.size() - got, static_cast<off_t>(size - tail.size() + got));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return Unusable(path, "read", n < 0 ? errno : EIO);
    }
    got += static_cast<size_t>(n);
  }
  return tail;
}

Result<End> FindEnd(const File& file, const std::string& path) {
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) {
    return Unusable(path, "look at", errno);
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  End end;
  if (size == 0) {
    return end;
  }
  CROSSFADE_ASSIGN(const std::string tail, ReadTail(file, path, size));
  end.needs_newline = tail.back() != '\n';
  const size_t last = end.needs_newline ? tail.size() : tail.size() - 1;
  // Backwards, over what crashes left, to the last record.
  for (size_t stop = last;;) {
    const size_t newline = stop == 0 ? std::string::npos : tail.rfind('\n', stop - 1);
    const size_t start = newline == std::string::npos ? 0 : newline + 1;
    const bool is_cut = newline == std::string::npos && size > tail.size();
    const std::string_view line = std::string_view(tail).substr(start, stop - start);
    if (is_cut) {
      return NotOurs(path, fmt::format("no record in its last {} bytes", tail.size()));
    }
    if (const std::optional<Record> record = ParseRecord(line)) {
      end.head = {record->seq, record->hash};
      if (stop < last) {
        end.torn = tail.substr(stop + 1, last - stop - 1);
      }
      return end;
    }
    if (IsWhole(line)) {
      return NotOurs(path, fmt::format("the line at byte {} was changed", size - tail.size() + start));
    }
    if (newline == std::string::npos) {
      end.torn = tail.substr(0, last);
      return end;
    }
    stop = newline;
  }
}

Result<std::string> MakeLine(const AuditHead& before, const End& end, const Json& members, std::string* hash) {
  Json json;
  json["seq"] = before.seq + 1;
  json["prev"] = before.seq == 0 ? std::string(kHashSize, '0') : before.hash;
  json["at"] = UtcNow();
  for (const auto& [name, value] : members.items()) {
    json[name] = value;
  }
  if (!end.torn.empty()) {
    json["torn"] = {{"bytes", end.torn.size()}, {"sha256", Sha256(end.torn)}};
  }
  std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (line.size() > kMaxLine - 100) {
    Error error = MakeError(ErrorClass::kConfig, "CF1323", kComponent,
                            "a record of {} bytes is too large for the audit log", line.size())
                      .value();
    error.found = fmt::format("{} bytes", line.size());
    error.fix = fmt::format("shorten the command line or the names in it: a record has at most {} bytes", kMaxLine);
    return Fail(std::move(error));
  }
  *hash = Sha256(line);
  line.pop_back();
  return fmt::format("{}{}{}{}{}\n", end.needs_newline ? "\n" : "", line, kHashBegin, *hash, kHashEnd);
}

Status WriteLine(const File& file, const std::string& path, const std::string& line) {
  CROSSFADE_FAILPOINT("audit.write.before");
  ssize_t written = 0;
  do {
    written = ::write(file.fd(), line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  CROSSFADE_FAILPOINT("audit.write.after");
  if (written != static_cast<ssize_t>(line.size())) {
    return Unusable(path, "write", written < 0 ? errno : ENOSPC);  // what is there of it is torn
  }
  CROSSFADE_FAILPOINT("audit.sync.before");
  const bool synced = ::fsync(file.fd()) == 0;
  CROSSFADE_FAILPOINT("audit.sync.after");
  return synced ? Status() : Unusable(path, "sync", errno);
}

// The name of a new file is as durable as its first line will be.
Status SyncDirectory(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const File file(::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CROSSFADE_FAILPOINT("audit.directory.before");
  const bool synced = file.fd() >= 0 && ::fsync(file.fd()) == 0;
  CROSSFADE_FAILPOINT("audit.directory.after");
  return synced ? Status() : Unusable(path, "make durable", errno);
}

// Lines of a file up to a size, in bounded memory.
class Lines {
 public:
  Lines(const File& file, std::string path, uint64_t size) : file_(file), path_(std::move(path)), left_(size) {}

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
      const size_t room = kMaxTail - line.text.size();
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
    buffer_.resize(std::min<uint64_t>(kBlock, left_));
    at_ = 0;
    ssize_t n = 0;
    do {
      n = buffer_.empty() ? 0 : ::read(file_.fd(), buffer_.data(), buffer_.size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      return Unusable(path_, "read", errno);
    }
    buffer_.resize(static_cast<size_t>(n));
    left_ -= static_cast<uint64_t>(n);
    return {};
  }

  const File& file_;
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
    const std::optional<Record> record = line.cut ? std::nullopt : ParseRecord(line.text);
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
    if (line.cut || rest_.size() > kMaxTail || IsWhole(line.text)) {
      ++changed_;
      rest_.clear();
      Problem("changed: its text does not fit its hash");
    }
  }

  void JudgeRest(const Record& record) {
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

  void JudgeOrder(const Record& record) {
    if (reading_.records + rest_lines_ == 0 && !record.begins_anew.empty() && record.seq > 0) {
      reading_.before = reading_.head = {record.seq - 1, record.prev};
      if (wanted_ != 0 && wanted_ == reading_.before.seq) {
        reading_.at = record.prev;
      }
      Notice(fmt::format("the log begins anew at record {}: {}", record.seq, record.begins_anew));
    }
    const uint64_t expected = reading_.head.seq + 1 + changed_;
    if (record.seq != expected) {
      Problem(fmt::format("record {} stands where record {} should: records were taken out, put in or moved",
                          record.seq, expected));
    } else if (changed_ == 0 && record.prev != (expected == 1 ? std::string(kHashSize, '0') : reading_.head.hash)) {
      Problem(fmt::format("record {} was not written behind the record {} that stands before it", record.seq,
                          expected - 1));
    }
    if (record.at < at_) {
      Notice(fmt::format("record {} is of {}, before that of the record before it: the clock was put back", record.seq,
                         record.at));
    }
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

std::string Sha256(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    return "";
  }
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text.push_back(kDigits[digest[i] >> 4]);
    text.push_back(kDigits[digest[i] & 15]);
  }
  return text;
}

std::string AuditPath(const std::string& directory) { return directory + "/audit.jsonl"; }

namespace {

// Opened and locked: the file that has this name.
Result<std::unique_ptr<File>> OpenLocked(const std::string& path, std::chrono::milliseconds lock_wait) {
  for (;;) {
    auto file = std::make_unique<File>(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (file->fd() < 0) {
      return Unusable(path, "open", errno);
    }
    CROSSFADE_TRY(Lock(*file, path, lock_wait));
    struct stat ours {};
    struct stat named {};
    if (::fstat(file->fd(), &ours) != 0) {
      return Unusable(path, "look at", errno);
    }
    // While it was waited for another may have taken its place.
    if (::stat(path.c_str(), &named) == 0 && named.st_ino == ours.st_ino && named.st_dev == ours.st_dev) {
      return file;
    }
  }
}

Result<std::string> ReadWhole(const File& file, const std::string& path) {
  std::string bytes;
  std::string block(kBlock, '\0');
  for (;;) {
    const ssize_t n = ::pread(file.fd(), block.data(), block.size(), static_cast<off_t>(bytes.size()));
    if (n < 0 && errno != EINTR) {
      return Unusable(path, "read", errno);
    }
    if (n == 0) {
      return bytes;
    }
    bytes.append(block, 0, n < 0 ? 0 : static_cast<size_t>(n));
  }
}

}  // namespace

Result<AuditHead> AppendAudit(const std::string& path, const Json& members, std::chrono::milliseconds lock_wait) {
  CROSSFADE_ASSIGN(const std::unique_ptr<File> file, OpenLocked(path, lock_wait));
  CROSSFADE_ASSIGN(const End end, FindEnd(*file, path));
  AuditHead head;
  head.seq = end.head.seq + 1;
  CROSSFADE_ASSIGN(const std::string line, MakeLine(end.head, end, members, &head.hash));
  if (end.head.seq == 0) {
    CROSSFADE_TRY(SyncDirectory(path));
  }
  CROSSFADE_TRY(WriteLine(*file, path, line));
  return head;
}

Result<AuditHead> BeginAuditAnew(const std::string& path, const std::string& kept_as, const AuditHead& known,
                                 const Json& members) {
  CROSSFADE_ASSIGN(const std::unique_ptr<File> old, OpenLocked(path, kLockWait));
  CROSSFADE_ASSIGN(const std::string bytes, ReadWhole(*old, path));
  const std::string next = path + ".next";
  AuditHead head;
  head.seq = known.seq + 1;
  Json all = members;
  all["begins_anew"] = {{"kept_as", kept_as}, {"bytes", bytes.size()}, {"sha256", Sha256(bytes)}};
  CROSSFADE_ASSIGN(const std::string line, MakeLine(known, {}, all, &head.hash));
  {
    const File file(::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
    if (file.fd() < 0) {
      return Unusable(next, "open", errno);
    }
    CROSSFADE_TRY(WriteLine(file, next, line));
  }
  // The old one has both names for a moment: at no time is there none.
  if (::link(path.c_str(), kept_as.c_str()) != 0) {
    return Unusable(kept_as, "keep", errno);
  }
  CROSSFADE_FAILPOINT("audit.anew.before");
  const bool renamed = ::rename(next.c_str(), path.c_str()) == 0;
  CROSSFADE_FAILPOINT("audit.anew.after");
  if (!renamed) {
    return Unusable(path, "replace", errno);
  }
  CROSSFADE_TRY(SyncDirectory(path));
  return head;
}

Result<AuditHead> ReadAuditHead(const std::string& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) {
    return errno == ENOENT ? Result<AuditHead>(AuditHead{}) : Unusable(path, "open", errno);
  }
  CROSSFADE_TRY(Lock(file, path));
  CROSSFADE_ASSIGN(End end, FindEnd(file, path));
  return std::move(end.head);
}

Result<AuditReading> ReadAudit(const std::string& path, uint64_t wanted,
                               const std::function<void(std::string_view line)>& each) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) {
    return errno == ENOENT ? Result<AuditReading>(AuditReading{}) : Unusable(path, "open", errno);
  }
  // While it is locked nothing is written by halves; what is added later is not looked at.
  CROSSFADE_TRY(Lock(file, path));
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) {
    return Unusable(path, "look at", errno);
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
