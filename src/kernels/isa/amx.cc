// AMX-INT8 and AMX-BF16 for products of many rows, AVX-512 VNNI for the rest.

#include <immintrin.h>

#include "kernels/table.h"

namespace octavo::kernels {
namespace {

#include "kernels/generic/avx512_vnni_vec.inc"
#include "kernels/generic/body.inc"
#include "kernels/generic/groups.inc"
#include "kernels/generic/hadamard.inc"

// kv_store.inc builds on body.inc and hadamard.inc.

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

// With fewer rows reading the weights takes longer than multiplying them without tiles.
constexpr int64_t kIntTiledFrom = 5;

#include "kernels/generic/amx.inc"

bool Supported(const CpuFeatures& cpu) {
  return cpu.amx_int8 && cpu.amx_bf16;
}

}  // namespace

extern const KernelTable kAmxTable;
const KernelTable kAmxTable =
    OCTAVO_KERNEL_TABLE("amx", Supported, kTileIntProducts, kTileBf16Products);

}  // namespace octavo::kernels
