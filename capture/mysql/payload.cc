#include "capture/mysql/payload.h"

#include <zstd.h>

#include "capture/mysql/event.h"

namespace crossfade::capture {

namespace {

enum Field : uint8_t { kEnd = 0, kPayloadSize = 1, kCompression = 2, kUncompressedSize = 3 };
constexpr uint64_t kZstd = 0;
constexpr uint64_t kNone = 255;
constexpr size_t kPieceBytes = 64 << 10;
// The server compresses with windows far smaller; a payload that asks for more memory is refused.
constexpr int kMaxWindowLog = 27;
constexpr size_t kMaxEventBytes = size_t{1} << 30;

}  // namespace

struct Payload::Stream {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  Stream() = default;
  ~Stream() { ZSTD_freeDCtx(context); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

Payload::Payload() = default;
Payload::~Payload() = default;

Status Payload::Start(std::string_view body) {
  constexpr EventType kType = EventType::kTransactionPayload;
  ByteReader in(body);
  uint64_t size = 0;
  uint64_t compression = kNone;
  for (;;) {
    const uint64_t field = ReadLengthEncoded(&in);
    if (!in.ok() || field == kEnd) {
      break;
    }
    ByteReader value(in.Bytes(ReadLengthEncoded(&in)));
    if (field == kPayloadSize) {
      size = ReadLengthEncoded(&value);
    } else if (field == kCompression) {
      compression = ReadLengthEncoded(&value);
    }
    if (!value.ok()) {
      Break(&in);
    }
  }
  if (!in.ok() || in.remaining() != size) {
    return Malformed(kType, "its size is wrong");
  }
  if (compression != kZstd && compression != kNone) {
    return Malformed(kType, fmt::format("compression {} is not known", compression));
  }
  plain_ = compression == kNone;
  input_ = in.rest();
  buffer_.clear();
  taken_ = 0;
  if (stream_ == nullptr) {
    stream_ = std::make_unique<Stream>();
  }
  ZSTD_DCtx_reset(stream_->context, ZSTD_reset_session_only);
  ZSTD_DCtx_setParameter(stream_->context, ZSTD_d_windowLogMax, kMaxWindowLog);
  return {};
}

// Makes at least so many bytes stand behind taken_, or as many as there are.
Status Payload::Fill(size_t bytes) {
  if (buffer_.size() - taken_ >= bytes) {
    return {};
  }
  buffer_.erase(0, taken_);
  taken_ = 0;
  while (buffer_.size() < bytes) {
    const size_t had = buffer_.size();
    if (plain_) {
      const size_t piece = std::min(kPieceBytes, input_.size());
      buffer_.append(input_.substr(0, piece));
      input_.remove_prefix(piece);
    } else {
      buffer_.resize(had + kPieceBytes);
      ZSTD_inBuffer in{input_.data(), input_.size(), 0};
      ZSTD_outBuffer out{buffer_.data() + had, kPieceBytes, 0};
      const size_t state = ZSTD_decompressStream(stream_->context, &out, &in);
      buffer_.resize(had + out.pos);
      input_.remove_prefix(in.pos);
      if (ZSTD_isError(state) != 0) {
        return Malformed(EventType::kTransactionPayload, ZSTD_getErrorName(state));
      }
    }
    if (buffer_.size() == had && (plain_ || input_.empty())) {
      return {};
    }
  }
  return {};
}

Result<std::optional<std::string_view>> Payload::Next() {
  CROSSFADE_TRY(Fill(kEventHeaderBytes));
  const size_t have = buffer_.size() - taken_;
  if (have == 0) {
    return std::nullopt;
  }
  ByteReader header(std::string_view(buffer_).substr(taken_));
  header.Skip(9);
  const uint32_t size = header.FixedU32();
  if (!header.ok() || size < kEventHeaderBytes || size > kMaxEventBytes) {
    return Malformed(EventType::kTransactionPayload, "an event in it has no size");
  }
  CROSSFADE_TRY(Fill(size));
  if (buffer_.size() - taken_ < size) {
    return Malformed(EventType::kTransactionPayload, "ends inside an event");
  }
  const std::string_view event = std::string_view(buffer_).substr(taken_, size);
  taken_ += size;
  return event;
}

}  // namespace crossfade::capture
