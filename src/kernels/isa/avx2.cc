// AVX2 with FMA and F16C: 16 lanes are two registers.

#include <immintrin.h>

#include "kernels/table.h"

namespace octavo::kernels {
namespace {

struct Vec {
  __m256 a;
  __m256 b;
};
inline Vec Zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
inline Vec Broadcast(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
inline Vec Load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
inline void Store(float* p, Vec x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline Vec LoadFirst(const float* p, int64_t count) {
  alignas(32) float lanes[16] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return Load(lanes);
}
inline void StoreFirst(float* p, Vec x, int64_t count) {
  alignas(32) float lanes[16];
  Store(lanes, x);
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}
inline __m256 HalfToFloat(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Vec LoadHalf(const uint16_t* p) {
  return {HalfToFloat(p), HalfToFloat(p + 8)};
}
inline Vec Fma(Vec x, Vec y, Vec z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Vec Add(Vec x, Vec y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
inline Vec Sub(Vec x, Vec y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
inline Vec Mul(Vec x, Vec y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
inline Vec Div(Vec x, Vec y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
inline Vec Max(Vec x, Vec y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
inline Vec Min(Vec x, Vec y) {
  return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
inline Vec Absolute(Vec x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline Vec RoundEven(Vec x) {
  return {_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline __m256 PowerOfTwo(__m256 n) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
// x * 2^n for whole n in [-126, 127].
inline Vec TimesPowerOfTwo(Vec x, Vec n) {
  return Mul(x, {PowerOfTwo(n.a), PowerOfTwo(n.b)});
}
// x where y > limit, else 0.
inline Vec ZeroUnlessGreater(Vec x, Vec y, float limit) {
  const __m256 bound = _mm256_set1_ps(limit);
  return {_mm256_and_ps(x.a, _mm256_cmp_ps(y.a, bound, _CMP_GT_OQ)),
          _mm256_and_ps(x.b, _mm256_cmp_ps(y.b, bound, _CMP_GT_OQ))};
}
// x in lanes low <= i < high, else -infinity.
inline Vec KeepLanes(Vec x, int64_t low, int64_t high) {
  alignas(32) float lanes[16];
  Store(lanes, x);
  for (int64_t i = 0; i < 16; ++i) {
    if (i < low || i >= high) lanes[i] = -__builtin_inff();
  }
  return Load(lanes);
}
inline __m256 RoundBf16Half(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256 kept = _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(quiet),
                                       _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return _mm256_and_ps(kept, _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xFFFF0000U))));
}
inline Vec RoundBf16(Vec x) {
  return {RoundBf16Half(x.a), RoundBf16Half(x.b)};
}
inline void Split8(Vec x, __m256& low, __m256& high) {
  low = x.a;
  high = x.b;
}

// The 2 or 4 inputs that lie side by side for each of 16 features, as f32.
inline void UnpackBf16(const uint16_t* p, Vec out[2]) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000U));
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
  out[0] = {_mm256_castsi256_ps(_mm256_slli_epi32(x, 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(y, 16))};
  out[1] = {_mm256_castsi256_ps(_mm256_and_si256(x, upper)),
            _mm256_castsi256_ps(_mm256_and_si256(y, upper))};
}
template <int kByte>
inline __m256 SignedByte(__m256i four) {
  return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(four, 24 - 8 * kByte), 24));
}
inline void UnpackI8(const int8_t* p, Vec out[4]) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32));
  out[0] = {SignedByte<0>(x), SignedByte<0>(y)};
  out[1] = {SignedByte<1>(x), SignedByte<1>(y)};
  out[2] = {SignedByte<2>(x), SignedByte<2>(y)};
  out[3] = {SignedByte<3>(x), SignedByte<3>(y)};
}

struct IntVec {
  __m256i a;
  __m256i b;
};
inline IntVec IntZero() {
  return {_mm256_setzero_si256(), _mm256_setzero_si256()};
}
inline Vec ToFloat(IntVec x) {
  return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
inline int32_t SumInts(IntVec x) {
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi32(x.a, x.b));
  int32_t sum = 0;
  for (const int32_t lane : lanes) sum += lane;
  return sum;
}
// Rounded values as int8, clamped to [-127, 127]; returns total plus the codes.
inline IntVec StoreCodes(int8_t* codes, int64_t count, Vec rounded, IntVec total) {
  const __m256i low = _mm256_set1_epi32(-127);
  const __m256i high = _mm256_set1_epi32(127);
  alignas(32) int32_t lanes[16];
  const __m256i a = _mm256_max_epi32(_mm256_min_epi32(_mm256_cvtps_epi32(rounded.a), high), low);
  const __m256i b = _mm256_max_epi32(_mm256_min_epi32(_mm256_cvtps_epi32(rounded.b), high), low);
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), a);
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes + 8), b);
  for (int64_t i = 0; i < 16; ++i) {
    if (i < count) {
      codes[i] = static_cast<int8_t>(lanes[i]);
    } else {
      lanes[i] = 0;
    }
  }
  return {
      _mm256_add_epi32(total.a, _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes))),
      _mm256_add_epi32(total.b, _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes + 8)))};
}

// |w| <= 128 times |x| <= 127, two of them, fit the int16 of VPMADDUBSW (32,512 of 32,767); VPSIGNB
// puts w's sign on x.
struct CodeVec {
  __m256i a;
  __m256i b;
};
inline CodeVec LoadCodes(const char* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
inline __m256i DotHalf(__m256i sum, __m256i w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline IntVec DotCodes(IntVec sum, const CodeVec& w, int32_t four) {
  const __m256i x = _mm256_set1_epi32(four);
  return {DotHalf(sum.a, w.a, x), DotHalf(sum.b, w.b, x)};
}
inline IntVec RemoveOffset(IntVec sum, int32_t) {
  return sum;
}

// 16 registers: 12 sums, 2 of weights and the broadcast input.
constexpr int kTileRows = 6;
constexpr int kTileBlocks = 1;
constexpr int kStreamBlocks = 2;
constexpr int kIntTileRows = 4;
constexpr int kIntTileBlocks = 1;

#include "kernels/generic/body.inc"

bool Supported(const CpuFeatures& cpu) {
  return cpu.avx2;
}

}  // namespace

extern const KernelTable kAvx2Table;
const KernelTable kAvx2Table = OCTAVO_KERNEL_TABLE("avx2", Supported, nullptr, nullptr);

}  // namespace octavo::kernels
