#include "capture/mysql/crc32.h"

#include <zlib.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace crossfade::capture {

namespace {

uint32_t Plain(uint32_t crc, std::string_view bytes) {
  return static_cast<uint32_t>(crc32_z(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

#ifdef __x86_64__

constexpr size_t kLane = 16;
constexpr size_t kLanes = 4;

// Powers of x modulo the polynomial, bits reversed: by how far a lane's two halves are moved on before they are added.
// The method is that of Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ".
constexpr int64_t kFourLanesLow = 0x154442bd4;
constexpr int64_t kFourLanesHigh = 0x1c6e41596;
constexpr int64_t kOneLaneLow = 0x1751997d0;
constexpr int64_t kOneLaneHigh = 0x0ccaa009e;
constexpr int64_t kHalfLane = 0x163cd6124;
constexpr int64_t kPolynomial = 0x1db710641;
constexpr int64_t kInverse = 0x1f7011641;

#define CROSSFADE_CLMUL __attribute__((target("pclmul,sse4.1")))

CROSSFADE_CLMUL __m128i Load(const char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

CROSSFADE_CLMUL __m128i MoveOn(__m128i lane, __m128i by, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(lane, by, 0x00);
  const __m128i high = _mm_clmulepi64_si128(lane, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

// 128 bits to 64, to 32, and the remainder of that by the polynomial.
CROSSFADE_CLMUL uint32_t Reduce(__m128i lane) {
  const __m128i low_words = _mm_setr_epi32(~0, 0, ~0, 0);
  __m128i x = _mm_xor_si128(_mm_srli_si128(lane, 8),
                            _mm_clmulepi64_si128(lane, _mm_set_epi64x(kOneLaneHigh, kOneLaneLow), 0x10));
  x = _mm_xor_si128(_mm_srli_si128(x, 4),
                    _mm_clmulepi64_si128(_mm_and_si128(x, low_words), _mm_set_epi64x(0, kHalfLane), 0x00));
  const __m128i barrett = _mm_set_epi64x(kInverse, kPolynomial);
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(x, low_words), barrett, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, low_words), barrett, 0x00);
  return static_cast<uint32_t>(_mm_extract_epi32(_mm_xor_si128(x, quotient), 1));
}

// At least four lanes.
CROSSFADE_CLMUL uint32_t Folded(std::string_view bytes) {
  const char* at = bytes.data();
  const char* const end = at + bytes.size() / kLane * kLane;
  __m128i lanes[kLanes];
  for (size_t i = 0; i < kLanes; ++i, at += kLane) {
    lanes[i] = Load(at);
  }
  lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(-1));
  const __m128i by_four = _mm_set_epi64x(kFourLanesHigh, kFourLanesLow);
  while (static_cast<size_t>(end - at) >= kLanes * kLane) {
    for (size_t i = 0; i < kLanes; ++i, at += kLane) {
      lanes[i] = MoveOn(lanes[i], by_four, Load(at));
    }
  }
  const __m128i by_one = _mm_set_epi64x(kOneLaneHigh, kOneLaneLow);
  __m128i lane = lanes[0];
  for (size_t i = 1; i < kLanes; ++i) {
    lane = MoveOn(lane, by_one, lanes[i]);
  }
  for (; at != end; at += kLane) {
    lane = MoveOn(lane, by_one, Load(at));
  }
  return Plain(~Reduce(lane), bytes.substr(static_cast<size_t>(end - bytes.data())));
}

#endif

}  // namespace

uint32_t Crc32(std::string_view bytes) {
#ifdef __x86_64__
  static const bool has_clmul = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  if (has_clmul && bytes.size() >= kLanes * kLane) {
    return Folded(bytes);
  }
#endif
  return Plain(0, bytes);
}

}  // namespace crossfade::capture
