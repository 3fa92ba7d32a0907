#include "state/owner.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

namespace crossfade::state {

namespace {

constexpr std::string_view kComponent = "state.journal";

tl::unexpected<Error> Unusable(const std::string& path, std::string_view doing, int number) {
  Error error = MakeError(ErrorClass::kConfig, "CF1308", kComponent, "cannot {} {}", doing, path).value();
  error.object = path;
  error.found = std::strerror(number);
  error.fix = "name a state directory that this user may write";
  return Fail(std::move(error));
}

// It holds customers' data, so nobody else may look into it, whoever made it.
Status MakePrivateDirectory(const std::string& directory) {
  std::error_code error;
  std::filesystem::path parent = std::filesystem::path(directory).parent_path();
  if (!parent.empty()) {
    std::filesystem::create_directories(parent, error);
  }
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return Unusable(directory, "make", errno);
  }
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0) {
    return Unusable(directory, "look at", errno);
  }
  if ((info.st_mode & 0077) != 0 && ::chmod(directory.c_str(), 0700) != 0) {
    return Unusable(directory, "make private (mode 0700)", errno);
  }
  return {};
}

std::string Describe() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> time{};
  std::strftime(time.data(), time.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return fmt::format("host {} pid {} since {}\n", host.data(), ::getpid(), time.data());
}

std::string ReadHolder(int fd) {
  std::array<char, 512> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  std::string holder(text.data(), n > 0 ? static_cast<size_t>(n) : 0);
  while (!holder.empty() && (holder.back() == '\n' || holder.back() == ' ')) {
    holder.pop_back();
  }
  return holder;
}

}  // namespace

Result<Owner> Owner::Take(const std::string& directory) {
  CROSSFADE_TRY(MakePrivateDirectory(directory));
  const std::string path = directory + "/owner";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return Unusable(path, "open", errno);
  }
  Owner owner(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return Unusable(path, "lock", errno);
    }
    Error error =
        MakeError(ErrorClass::kConfig, "CF1301", kComponent, "the journal in {} is in use", directory).value();
    error.object = path;
    error.found = ReadHolder(fd);
    error.fix = "stop that process first: a migration has one process at a time";
    return Fail(std::move(error));
  }
  // Only a text for people: the lock decides, so a failure to write it is none of ours.
  const std::string text = Describe();
  if (::ftruncate(fd, 0) == 0) {
    [[maybe_unused]] const ssize_t written = ::pwrite(fd, text.data(), text.size(), 0);
  }
  return owner;
}

Owner::~Owner() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

}  // namespace crossfade::state
