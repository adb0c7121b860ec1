// AVX-512 (F, BW, DQ, VL) without VNNI: 16 lanes are one register.

#include <immintrin.h>

#include "kernels/table.h"

namespace octavo::kernels {
namespace {

#include "kernels/generic/avx512_vec.inc"

// |w| and w's sign: |w| <= 128 times |x| <= 127, two of them, fit the int16 of VPMADDUBSW (32,512
// of 32,767).
struct CodeVec {
  __m512i magnitude;
  __mmask64 negative;
};
inline CodeVec LoadCodes(const char* p) {
  const __m512i w = _mm512_loadu_si512(p);
  return {_mm512_abs_epi8(w), _mm512_movepi8_mask(w)};
}
inline IntVec DotCodes(IntVec sum, const CodeVec& w, int32_t four) {
  const __m512i x = _mm512_set1_epi32(four ^ static_cast<int32_t>(0x80808080U));  // signed again
  const __m512i signed_x = _mm512_mask_sub_epi8(x, w.negative, _mm512_setzero_si512(), x);
  const __m512i pairs = _mm512_maddubs_epi16(w.magnitude, signed_x);
  return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
inline IntVec RemoveOffset(IntVec sum, const int32_t*) {
  return sum;
}

// Products of kVectors vectors of 4-bit codes with as many fours of codes. Pairs of products, each
// at most 2 * 15 * 127, are summed as int16 before they are widened.
template <int kVectors>
inline IntVec DotNibbles(IntVec sum, const NibbleVec* w, const int32_t* fours) {
  static_assert(kVectors <= 8);
  __m512i pairs = _mm512_setzero_si512();
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const __m512i four = _mm512_set1_epi32(fours[v]);
    pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(w[v], four));
  }
  return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
constexpr int kApartVectors = 2;

// Signed codes with signed inputs, as groups have them.
using SignedVec = CodeVec;
inline SignedVec LoadSigned(const char* p) {
  return LoadCodes(p);
}
inline IntVec DotSigned(IntVec sum, const SignedVec& w, int32_t four) {
  return DotCodes(sum, w, four ^ static_cast<int32_t>(0x80808080U));
}
// What DotSigned adds to a code.
constexpr int32_t kSignedSurplus = 0;

inline IntVec DotPairs(IntVec sum, PairVec w, int32_t two) {
  return _mm512_add_epi32(sum, _mm512_madd_epi16(w, _mm512_set1_epi32(two)));
}

// 32 registers: 24 sums, 4 weights and the broadcast input.
constexpr int kTileRows = 6;
constexpr int kTileBlocks = 4;
constexpr int kStreamSums = 20;
constexpr int kIntTileRows = 6;
constexpr int kIntTileBlocks = 2;

#include "kernels/generic/body.inc"

// elementwise.inc and int_products.inc build on body.inc; limits.inc and groups.inc on these.

#include "kernels/generic/elementwise.inc"
#include "kernels/generic/groups.inc"
#include "kernels/generic/hadamard.inc"
#include "kernels/generic/int_products.inc"
#include "kernels/generic/limits.inc"

// kv_store.inc builds on elementwise.inc and hadamard.inc.

#include "kernels/generic/kv_store.inc"

// attention.inc builds on kv_store.inc.

#include "kernels/generic/attention.inc"

bool Supported(const CpuFeatures& cpu) {
  return cpu.avx512;
}

}  // namespace

extern const KernelTable kAvx512Table;
const KernelTable kAvx512Table =
    OCTAVO_KERNEL_TABLE("avx512", Supported, kIntProducts, kNoProducts, VectorProducts);

}  // namespace octavo::kernels
