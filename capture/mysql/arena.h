// Bytes that live as long as one row.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace crossfade::capture {

// Memory handed out stays where it is until Reset. One thread.
class Arena {
 public:
  char* Allocate(size_t bytes) {
    if (bytes > left_) {
      Grow(bytes);
    }
    char* const out = next_;
    next_ += bytes;
    left_ -= bytes;
    return out;
  }

  std::string_view Copy(std::string_view bytes) {
    if (bytes.empty()) {
      return {};
    }
    char* const out = Allocate(bytes.size());
    std::memcpy(out, bytes.data(), bytes.size());
    return {out, bytes.size()};
  }

  // Keeps one block, so that the usual row allocates nothing.
  void Reset() {
    if (blocks_.empty()) {
      return;
    }
    blocks_.resize(1);
    next_ = blocks_.front().get();
    left_ = kBlockBytes;
  }

 private:
  static constexpr size_t kBlockBytes = 64 << 10;

  void Grow(size_t bytes) {
    const size_t size = !blocks_.empty() && bytes > kBlockBytes ? bytes : kBlockBytes;
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
    next_ = blocks_.back().get();
    left_ = size;
    if (bytes > left_) {
      Grow(bytes);  // the first block always has the usual size
    }
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace crossfade::capture
