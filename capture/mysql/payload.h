// TRANSACTION_PAYLOAD: the events of one MySQL transaction, compressed. Taken apart as a stream, so that no more than
// the largest event in it is in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace crossfade::capture {

class Payload {
 public:
  Payload();
  ~Payload();

  // `body` must stay until the last event is read. Corrupt CF1205 if it is no payload we can read.
  Status Start(std::string_view body);
  // The next event, without checksum; borrowed until the next call. None behind the last.
  Result<std::optional<std::string_view>> Next();

 private:
  struct Stream;

  Status Fill(size_t bytes);

  std::unique_ptr<Stream> stream_;
  bool plain_ = false;
  std::string_view input_;  // not yet taken
  std::string buffer_;
  size_t taken_ = 0;  // bytes at the front of buffer_ that have been given out
};

}  // namespace crossfade::capture
