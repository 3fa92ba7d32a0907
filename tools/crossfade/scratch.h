// A folder of one process for the notes that RocksDB makes about a journal that it only reads.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace crossfade::tools {

// Gone with the process, or with 'abort' where that was killed.
inline constexpr const char* kScratchFolder = "scratch";

class Scratch {
 public:
  explicit Scratch(const std::string& state_dir)
      : path_(state_dir + "/" + kScratchFolder + "/" + std::to_string(::getpid())) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    std::filesystem::remove(std::filesystem::path(path_).parent_path(), ignored);  // if nobody else uses it
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

}  // namespace crossfade::tools
