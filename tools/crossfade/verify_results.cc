#include "tools/crossfade/verify_results.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/failpoint.h"
#include "tools/crossfade/verify_output.h"

namespace crossfade::tools {

namespace {

// Closes it, too. 0, or the reason.
int WriteAndSync(int fd, std::string_view bytes) {
  int reason = fd < 0 ? errno : 0;
  while (reason == 0 && !bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) {
      reason = errno;
    }
    bytes.remove_prefix(written < 0 ? 0 : static_cast<size_t>(written));
  }
  if (reason == 0 && ::fsync(fd) != 0) {
    reason = errno;
  }
  if (fd >= 0) {
    ::close(fd);
  }
  return reason;
}

int SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path();
  return WriteAndSync(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "");
}

// The last line; empty if there is none. A line that was torn by a loss of power has no end.
struct LastLine {
  std::string text;
  bool torn = false;
};
LastLine ReadLastLine(const std::string& path) {
  constexpr std::streamoff kLongest = 1 << 20;
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : 0;
  std::string tail(static_cast<size_t>(std::min(size, kLongest)), '\0');
  in.seekg(size - static_cast<std::streamoff>(tail.size()));
  in.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  LastLine last;
  last.torn = !tail.empty() && tail.back() != '\n';
  if (!tail.empty() && !last.torn) {
    tail.pop_back();
    last.text = tail.substr(tail.rfind('\n') + 1);
  }
  return last;
}

}  // namespace

tl::unexpected<Error> CannotKeep(const std::string& path, int reason) {
  auto failed = MakeError(ErrorClass::kConfig, "CF1784", "verify", "what was compared cannot be kept");
  failed.value().object = path;
  failed.value().found = std::strerror(reason);
  failed.value().fix = "free space on that disk, and let this account write there; then compare again";
  return failed;
}

Status ReplaceFile(const std::string& path, std::string_view bytes) {
  const std::string next = path + ".next";
  int reason = WriteAndSync(::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), bytes);
  if (reason == 0) {
    CROSSFADE_FAILPOINT("verify.replace.before");
    reason = std::rename(next.c_str(), path.c_str()) == 0 ? SyncFolderOf(path) : errno;
    CROSSFADE_FAILPOINT("verify.replace.after");
  }
  return reason == 0 ? Status{} : CannotKeep(path, reason);
}

Status MakeVerifyFolder(const std::string& state_dir) {
  const std::string path = state_dir + "/" + kVerifyFolder;
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return CannotKeep(path, errno);
  }
  return {};
}

std::string VerifyResults::LastPath() const { return state_dir_ + "/" + kVerifyFolder + "/last.json"; }
std::string VerifyResults::PassesPath() const { return state_dir_ + "/" + kVerifyFolder + "/passes.jsonl"; }

Status VerifyResults::Keep(const verify::Outcome& outcome) const {
  CROSSFADE_TRY(MakeVerifyFolder(state_dir_));
  CROSSFADE_TRY(ReplaceFile(LastPath(), JsonText(outcome)));
  return AppendPass(outcome);
}

Status VerifyResults::AppendPass(const verify::Outcome& outcome) const {
  nlohmann::json whole = SummaryOf(outcome);
  uint64_t rows = 0;
  for (const verify::TableOutcome& table : outcome.tables) {
    rows += table.source_rows;
  }
  whole.erase("resumed");
  whole["rows"] = rows;
  whole["tables"] = outcome.tables.size();
  const LastLine last = ReadLastLine(PassesPath());
  const auto before = nlohmann::json::parse(last.text, nullptr, false);
  if (before.is_object() && before.value("began_us", int64_t{0}) == outcome.began_us) {
    return {};  // killed behind this point, and kept again
  }
  const int fd = ::open(PassesPath().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  CROSSFADE_FAILPOINT("verify.append.before");
  const int reason = WriteAndSync(fd, (last.torn ? "\n" : "") + whole.dump() + "\n");
  CROSSFADE_FAILPOINT("verify.append.after");
  return reason == 0 ? Status{} : CannotKeep(PassesPath(), reason);
}

}  // namespace crossfade::tools
