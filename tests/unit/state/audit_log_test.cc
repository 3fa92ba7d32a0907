#include "state/audit_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <vector>

namespace crossfade::state {
namespace {

using Json = nlohmann::ordered_json;

class AuditLogTest : public testing::Test {
 protected:
  AuditLogTest() {
    std::string name = testing::TempDir() + "audit-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    path_ = AuditPath(directory_);
  }
  ~AuditLogTest() override { std::filesystem::remove_all(directory_); }

  AuditHead Append(const std::string& action) const {
    const auto head = AppendAudit(path_, Json{{"action", action}});
    EXPECT_TRUE(head) << head.error().ToString();
    return head ? *head : AuditHead{};
  }
  void Fill(int records) const {
    for (int i = 1; i <= records; ++i) {
      Append("action " + std::to_string(i));
    }
  }
  AuditReading Read(uint64_t wanted = 0) const {
    const auto reading = ReadAudit(path_, wanted);
    EXPECT_TRUE(reading) << reading.error().ToString();
    return reading ? *reading : AuditReading{};
  }
  std::string Bytes() const {
    std::ifstream file(path_, std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
  }
  void Write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  std::vector<std::string> Lines() const {
    std::istringstream in(Bytes());
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
      lines.push_back(line);
    }
    return lines;
  }
  void WriteLines(const std::vector<std::string>& lines) const {
    std::string bytes;
    for (const std::string& line : lines) {
      bytes += line + "\n";
    }
    Write(bytes);
  }

  std::string directory_;
  std::string path_;
};

TEST_F(AuditLogTest, AChainThatAnybodyCanCheck) {
  EXPECT_EQ(Read().records, 0u);
  EXPECT_EQ(ReadAuditHead(path_)->seq, 0u);
  Append("first");
  const AuditHead head = Append(
      "s\xc3\xa9"
      "cond \xff\n");
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 2u);
  std::string prev(64, '0');
  for (size_t i = 0; i < lines.size(); ++i) {
    const Json record = Json::parse(lines[i]);
    EXPECT_EQ(record["seq"], i + 1);
    EXPECT_EQ(record["prev"], prev);
    EXPECT_EQ(record["at"].get<std::string>().size(), 27u);
    prev = record["hash"];
    EXPECT_EQ(Sha256(lines[i].substr(0, lines[i].find(",\"hash\":")) + "}"), prev);
  }
  EXPECT_EQ(head, (AuditHead{2, prev}));
  EXPECT_EQ(*ReadAuditHead(path_), head);
  const AuditReading reading = Read(1);
  EXPECT_EQ(reading.records, 2u);
  EXPECT_EQ(reading.head, head);
  EXPECT_EQ(reading.problem_count, 0u);
  EXPECT_TRUE(reading.notices.empty());
  EXPECT_EQ(reading.at, Json::parse(lines[0])["hash"].get<std::string>());
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(Sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(AuditLogTest, EveryEditedByteIsFound) {
  Fill(3);
  const std::string bytes = Bytes();
  const size_t last_line = bytes.rfind('\n', bytes.size() - 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string edited = bytes;
    edited[i] = edited[i] == '7' ? '8' : '7';
    Write(edited);
    const AuditReading reading = Read();
    // In the last line it can look as if a crash had left it: then the head is another one.
    EXPECT_TRUE(reading.problem_count > 0 || (reading.torn_end && reading.head.seq < 3)) << "byte " << i;
    EXPECT_TRUE(reading.problem_count > 0 || i >= last_line) << "byte " << i;
  }
}

TEST_F(AuditLogTest, LinesTakenOutMovedOrDoubledAreFound) {
  Fill(5);
  const std::vector<std::string> lines = Lines();
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    auto cut = lines;
    cut.erase(cut.begin() + static_cast<ptrdiff_t>(i));
    WriteLines(cut);
    EXPECT_EQ(Read().problem_count, 1u) << i;
    auto moved = lines;
    std::swap(moved[i], moved[i + 1]);
    WriteLines(moved);
    EXPECT_GT(Read().problem_count, 0u) << i;
    auto twice = lines;
    twice.insert(twice.begin() + static_cast<ptrdiff_t>(i), lines[i]);
    WriteLines(twice);
    EXPECT_GT(Read().problem_count, 0u) << i;
  }
  // The end alone can be cut without a trace here: that takes the head that is kept elsewhere.
  WriteLines({lines.begin(), lines.begin() + 3});
  const AuditReading reading = Read(5);
  EXPECT_EQ(reading.problem_count, 0u);
  EXPECT_EQ(reading.head.seq, 3u);
  EXPECT_FALSE(reading.at);
}

TEST_F(AuditLogTest, ALineWithANewHashDoesNotFitTheNext) {
  Fill(3);
  std::vector<std::string> lines = Lines();
  std::string body = lines[1].substr(0, lines[1].find(",\"hash\":"));
  body.replace(body.find("action 2"), 8, "action 9");
  lines[1] = body + ",\"hash\":\"" + Sha256(body + "}") + "\"}";
  WriteLines(lines);
  const AuditReading reading = Read();
  ASSERT_EQ(reading.problem_count, 1u);
  EXPECT_EQ(reading.problems[0].line, 3u);
}

TEST_F(AuditLogTest, WhatACrashLeftIsKeptAndTold) {
  Fill(2);
  const std::string before = Bytes();
  Append("torn");
  const std::string after = Bytes();
  for (size_t size = before.size() + 1; size < after.size(); ++size) {
    Write(after.substr(0, size));
    const bool whole = size + 1 == after.size();  // only its newline is missing
    AuditReading reading = Read();
    EXPECT_EQ(reading.problem_count, 0u) << size;
    EXPECT_EQ(reading.torn_end, !whole) << size;
    const AuditHead head = Append("next");
    EXPECT_EQ(head.seq, whole ? 4u : 3u);
    EXPECT_EQ(Bytes().substr(0, size), after.substr(0, size)) << "something was taken away";
    reading = Read();
    EXPECT_EQ(reading.problem_count, 0u) << size << ": " << reading.problems[0].what;
    EXPECT_EQ(reading.notices.size(), whole ? 0u : 1u);
    EXPECT_EQ(reading.head, head);
    const Json record = Json::parse(Lines().back());
    EXPECT_EQ(record.contains("torn"), !whole);
    if (!whole) {
      EXPECT_EQ(record["torn"]["bytes"], size - before.size());
    }
  }
}

TEST_F(AuditLogTest, SeveralCrashesInARow) {
  Fill(1);
  const std::string first = Bytes();
  Append("torn");
  const std::string half = Bytes().substr(0, first.size() + 40);
  // The second crash comes in the record that would have told of the first one.
  for (const std::string& left : {half + "\n", half + "\n{\"seq\":2,\"prev\"", half + "\n" + std::string(70, '\0')}) {
    Write(left);
    EXPECT_TRUE(Read().torn_end);
    EXPECT_EQ(Append("next").seq, 2u);
    EXPECT_EQ(Read().problem_count, 0u);
    EXPECT_EQ(Read().notices.size(), 1u);
  }
  // What is told is held against what is there.
  std::string bytes = Bytes();
  bytes[first.size() + 30] ^= 1;
  Write(bytes);
  EXPECT_EQ(Read().problem_count, 1u);
  Write(first + Lines().back() + "\n");
  EXPECT_EQ(Read().problem_count, 1u);
  // Even when nothing was there before.
  Write(half.substr(first.size()));
  EXPECT_EQ(Append("next").seq, 1u);
  EXPECT_EQ(Read().problem_count, 0u);
}

TEST_F(AuditLogTest, NothingIsAddedBehindAnEditedLine) {
  Fill(2);
  std::string bytes = Bytes();
  bytes[bytes.find("action 2")] = 'A';
  for (const std::string& edited : {bytes, bytes.substr(0, bytes.size() - 1)}) {
    Write(edited);
    const auto head = AppendAudit(path_, Json{{"action", "next"}});
    ASSERT_FALSE(head);
    EXPECT_EQ(head.error().code, "CF1321");
    EXPECT_EQ(head.error().error_class, ErrorClass::kCorrupt);
    EXPECT_EQ(ReadAuditHead(path_).error().code, "CF1321");
    EXPECT_EQ(Bytes(), edited);
    EXPECT_EQ(Read().problem_count, 1u);
  }
}

TEST_F(AuditLogTest, AClockThatIsPutBackIsNoticed) {
  Append("first");
  std::string line = Lines()[0];
  std::string body = line.substr(0, line.find(",\"hash\":"));
  body.replace(body.find("\"at\":\"") + 6, 4, "2999");
  Write(body + ",\"hash\":\"" + Sha256(body + "}") + "\"}\n");
  Append("second");
  EXPECT_EQ(Read().problem_count, 0u);
  ASSERT_EQ(Read().notices.size(), 1u);
  EXPECT_NE(Read().notices[0].what.find("clock"), std::string::npos);
}

TEST_F(AuditLogTest, ThreadsAndProcessesAppendAtOnce) {
  constexpr int kProcesses = 4;
  constexpr int kEach = 25;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      bool good = true;
      for (int j = 0; j < kEach; ++j) {
        good = AppendAudit(path_, Json{{"process", i}}).has_value() && good;
      }
      ::_exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < kEach; ++j) {
          Append("thread");
        }
      });
    }
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const AuditReading reading = Read();
  EXPECT_EQ(reading.records, (kProcesses + 2u) * kEach);
  EXPECT_EQ(reading.problem_count, 0u);
  EXPECT_TRUE(reading.notices.empty());
}

TEST_F(AuditLogTest, RefusalsNameWhatMendsThem) {
  const auto nowhere = AppendAudit(directory_ + "/none/audit.jsonl", Json{{"action", "x"}});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, "CF1320");
  EXPECT_NE(nowhere.error().fix.find("chown"), std::string::npos);
  Fill(1);
  const std::string bytes = Bytes();
  const auto large = AppendAudit(path_, Json{{"action", std::string(300'000, 'x')}});
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, "CF1323");
  EXPECT_EQ(Bytes(), bytes);
}

TEST_F(AuditLogTest, AHolderIsNotWaitedForForEver) {
  Fill(1);
  const int fd = ::open(path_.c_str(), O_RDONLY);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const auto head = AppendAudit(path_, Json{{"action", "x"}}, std::chrono::milliseconds(50));
  ::close(fd);
  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().code, "CF1322");
  EXPECT_EQ(head.error().error_class, ErrorClass::kTransient);
}

TEST_F(AuditLogTest, ALongFileWithoutLinesTakesNoMemory) {
  Fill(1);
  std::ofstream(path_, std::ios::app) << std::string(8 << 20, 'x') << "\n";
  EXPECT_EQ(Read().problem_count, 1u);
  EXPECT_EQ(ReadAuditHead(path_).error().code, "CF1321");
}

}  // namespace
}  // namespace crossfade::state
