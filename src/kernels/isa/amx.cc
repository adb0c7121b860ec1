// AMX-INT8 and AMX-BF16 for products of many rows, AVX-512 VNNI for the rest.

#include <immintrin.h>

#include "kernels/table.h"

namespace octavo::kernels {
namespace {

#include "kernels/generic/avx512_vnni_vec.inc"
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

// The intrinsics take the numbers of tiles as literals only.
template <int kTile>
struct TileRegister;
#define OCTAVO_TILE(n)                                                    \
  template <>                                                             \
  struct TileRegister<n> {                                                \
    static inline void Zero() { _tile_zero(n); }                          \
    static inline void Load(const char* from, int64_t stride_bytes) {     \
      _tile_loadd(n, from, stride_bytes);                                 \
    }                                                                     \
    static inline void LoadOnce(const char* from, int64_t stride_bytes) { \
      _tile_stream_loadd(n, from, stride_bytes);                          \
    }                                                                     \
    static inline void Store(char* to, int64_t stride_bytes) {            \
      _tile_stored(n, to, stride_bytes);                                  \
    }                                                                     \
  };
OCTAVO_TILE(0)
OCTAVO_TILE(1)
OCTAVO_TILE(2)
OCTAVO_TILE(3)
OCTAVO_TILE(4)
OCTAVO_TILE(5)
OCTAVO_TILE(6)
OCTAVO_TILE(7)
#undef OCTAVO_TILE

template <int kSum, int kInput, int kWeight>
inline void TileDotInt();
template <int kSum, int kInput, int kWeight>
inline void TileDotBf16();
#define OCTAVO_TILE_DOTS(sum, input, weight)      \
  template <>                                     \
  inline void TileDotInt<sum, input, weight>() {  \
    _tile_dpbusd(sum, input, weight);             \
  }                                               \
  template <>                                     \
  inline void TileDotBf16<sum, input, weight>() { \
    _tile_dpbf16ps(sum, input, weight);           \
  }
OCTAVO_TILE_DOTS(0, 4, 6)
OCTAVO_TILE_DOTS(1, 4, 7)
OCTAVO_TILE_DOTS(2, 5, 6)
OCTAVO_TILE_DOTS(3, 5, 7)
#undef OCTAVO_TILE_DOTS

template <int kSum, int kInput, int kColumn>
inline void TileDotBytes();
#define OCTAVO_TILE_DOT_BYTES(sum, column)     \
  template <>                                  \
  inline void TileDotBytes<sum, 4, column>() { \
    _tile_dpbssd(sum, 4, column);              \
  }                                            \
  template <>                                  \
  inline void TileDotBytes<sum, 5, column>() { \
    _tile_dpbusd(sum, 5, column);              \
  }
OCTAVO_TILE_DOT_BYTES(0, 6)
OCTAVO_TILE_DOT_BYTES(1, 7)
OCTAVO_TILE_DOT_BYTES(2, 6)
OCTAVO_TILE_DOT_BYTES(3, 7)
#undef OCTAVO_TILE_DOT_BYTES

inline void LoadTileConfig(const void* config) {
  _tile_loadconfig(config);
}
inline void ReleaseTiles() {
  _tile_release();
}
// 4 codes of 16 features become two units of bf16 pairs.
inline void CodesToPairs(const char* codes, char* first, char* second) {
  Vec w[4];
  UnpackI8(reinterpret_cast<const int8_t*>(codes), w);
  _mm512_storeu_si512(first, JoinPairs(w[0], w[1]));
  _mm512_storeu_si512(second, JoinPairs(w[2], w[3]));
}

// 2 x 16 pairs of int8 become 16 quads.
inline void PairsToQuads(const int8_t* first, const int8_t* second, char* quads) {
  const __m512i a =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first)));
  const __m512i b =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)));
  _mm512_storeu_si512(quads, _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
}
// The bytes of 16 int16.
inline void SplitShorts(const int16_t* from, char* high, char* low) {
  const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(low), _mm256_cvtepi16_epi8(all));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(high),
                   _mm256_cvtepi16_epi8(_mm256_srli_epi16(all, 8)));
}
// The bytes of 64 codes of weights, quads of positions in the order that is fast.
inline void StoreBytes(const Vec (&codes)[kScoreVecs], char* high, char* low) {
  const auto shorts = [](Vec a, Vec b) {
    return _mm512_packs_epi32(_mm512_cvtps_epi32(a.v), _mm512_cvtps_epi32(b.v));
  };
  const __m512i first = shorts(codes[0], codes[1]);
  const __m512i second = shorts(codes[2], codes[3]);
  const __m512i byte = _mm512_set1_epi16(255);
  _mm512_storeu_si512(
      low, _mm512_packus_epi16(_mm512_and_si512(first, byte), _mm512_and_si512(second, byte)));
  _mm512_storeu_si512(
      high, _mm512_packs_epi16(_mm512_srai_epi16(first, 8), _mm512_srai_epi16(second, 8)));
}
// Where StoreBytes puts quad i.
constexpr int64_t PlaceOfWeights(int64_t i) {
  return i % 4 * 4 + i / 4;
}
inline IntVec JoinSums(const int32_t* high, const int32_t* low) {
  return _mm512_add_epi32(_mm512_slli_epi32(LoadInts(high), 8), LoadInts(low));
}

// With fewer rows reading the weights takes longer than multiplying them without tiles.
constexpr int64_t kIntTiledFrom = 5;

#include "kernels/generic/amx_sums.inc"

// amx.inc builds on amx_sums.inc.

#include "kernels/generic/amx.inc"

// amx_attention.inc builds on attention.inc and amx.inc.

#include "kernels/generic/amx_attention.inc"

bool Supported(const CpuFeatures& cpu) {
  return cpu.amx_int8 && cpu.amx_bf16;
}

}  // namespace

extern const KernelTable kAmxTable;
const KernelTable kAmxTable =
    OCTAVO_KERNEL_TABLE("amx", Supported, kTileIntProducts, kTileBf16Products, TileProducts);

}  // namespace octavo::kernels
