// The AMX kernels on a model of the tile instructions in plain loops: the definition of what amx.cc
// computes in bf16, and a check of its code on every machine. Never chosen by itself.

#include <immintrin.h>

#include "kernels/table.h"

namespace octavo::kernels {
namespace {

#include "kernels/generic/avx2_vec.inc"
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

struct TileState {
  uint8_t rows[8] = {};
  uint16_t row_bytes[8] = {};
  char bytes[8][1024] = {};
};
thread_local TileState tile_state;

inline void ReleaseTiles() {
  tile_state = {};
}
inline void LoadTileConfig(const void* config) {
  tile_state = {};
  const auto* bytes = static_cast<const char*>(config);
  for (int i = 0; i < 8; ++i) {
    __builtin_memcpy(&tile_state.row_bytes[i], bytes + 16 + 2 * i, sizeof(uint16_t));
    __builtin_memcpy(&tile_state.rows[i], bytes + 48 + i, 1);
  }
}

template <int kTile>
struct TileRegister {
  static void Zero() {
    __builtin_memset(tile_state.bytes[kTile], 0, sizeof(tile_state.bytes[kTile]));
  }
  static void Load(const char* from, int64_t stride_bytes) {
    Zero();
    for (int r = 0; r < tile_state.rows[kTile]; ++r)
      __builtin_memcpy(tile_state.bytes[kTile] + 64 * r, from + r * stride_bytes,
                       tile_state.row_bytes[kTile]);
  }
  static void LoadOnce(const char* from, int64_t stride_bytes) { Load(from, stride_bytes); }
  static void Store(char* to, int64_t stride_bytes) {
    for (int r = 0; r < tile_state.rows[kTile]; ++r)
      __builtin_memcpy(to + r * stride_bytes, tile_state.bytes[kTile] + 64 * r,
                       tile_state.row_bytes[kTile]);
  }
};

template <typename Element>
inline Element At(int tile, int row, int index) {
  Element value;
  __builtin_memcpy(&value,
                   tile_state.bytes[tile] + 64 * row + sizeof(Element) * static_cast<size_t>(index),
                   sizeof(value));
  return value;
}
template <typename Element>
inline void Set(int tile, int row, int index, Element value) {
  __builtin_memcpy(tile_state.bytes[tile] + 64 * row + sizeof(Element) * static_cast<size_t>(index),
                   &value, sizeof(value));
}

template <typename Input, int kSum, int kInput, int kWeight>
inline void TileDot() {
  for (int m = 0; m < tile_state.rows[kSum]; ++m) {
    for (int n = 0; n < tile_state.row_bytes[kSum] / 4; ++n) {
      auto sum = At<int32_t>(kSum, m, n);
      for (int k = 0; k < tile_state.row_bytes[kInput]; ++k)
        sum += At<Input>(kInput, m, k) * At<int8_t>(kWeight, k / 4, 4 * n + k % 4);
      Set(kSum, m, n, sum);
    }
  }
}
template <int kSum, int kInput, int kWeight>
inline void TileDotInt() {
  TileDot<uint8_t, kSum, kInput, kWeight>();
}
template <int kSum, int kInput, int kColumn>
inline void TileDotBytes() {
  if constexpr (kInput == 4) {
    TileDot<int8_t, kSum, kInput, kColumn>();
  } else {
    TileDot<uint8_t, kSum, kInput, kColumn>();
  }
}

// What is below the smallest normal number counts as zero, of its sign.
inline float Flush(float x) {
  return __builtin_fabsf(x) < 0x1p-126F ? __builtin_copysignf(0.0F, x) : x;
}
inline float Bf16At(int tile, int row, int index) {
  const uint32_t bits = static_cast<uint32_t>(At<uint16_t>(tile, row, index)) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return Flush(value);
}

template <int kSum, int kInput, int kWeight>
inline void TileDotBf16() {
  for (int m = 0; m < tile_state.rows[kSum]; ++m) {
    for (int n = 0; n < tile_state.row_bytes[kSum] / 4; ++n) {
      float halves[2] = {};
      for (int k = 0; k < tile_state.row_bytes[kInput] / 2; ++k) {
        halves[k % 2] = Flush(__builtin_fmaf(Bf16At(kInput, m, k),
                                             Bf16At(kWeight, k / 2, 2 * n + k % 2), halves[k % 2]));
      }
      const float sum = Flush(At<float>(kSum, m, n));
      Set(kSum, m, n, Flush(sum + Flush(halves[0] + halves[1])));
    }
  }
}

inline void CodesToPairs(const char* codes, char* first, char* second) {
  for (int i = 0; i < 64; ++i) {
    const auto code = static_cast<float>(static_cast<int8_t>(codes[i]));
    uint32_t bits;
    __builtin_memcpy(&bits, &code, sizeof(bits));
    const auto value = static_cast<uint16_t>(bits >> 16);
    char* pairs = i % 4 < 2 ? first : second;
    __builtin_memcpy(pairs + i / 4 * 4 + i % 2 * 2, &value, sizeof(value));
  }
}

inline void PairsToQuads(const int8_t* first, const int8_t* second, char* quads) {
  for (int i = 0; i < 64; ++i)
    quads[i] = static_cast<char>((i % 4 < 2 ? first : second)[i / 4 * 2 + i % 2]);
}
inline void SplitShorts(const int16_t* from, char* high, char* low) {
  for (int i = 0; i < 16; ++i) {
    high[i] = static_cast<char>(from[i] >> 8);
    low[i] = static_cast<char>(from[i] & 255);
  }
}
inline void StoreBytes(const Vec (&codes)[kScoreVecs], char* high, char* low) {
  int16_t shorts[kKvPositions];
  for (int j = 0; j < kScoreVecs; ++j) StoreShorts(shorts + 16 * j, codes[j]);
  for (int j = 0; j < kScoreVecs; ++j) SplitShorts(shorts + 16 * j, high + 16 * j, low + 16 * j);
}
constexpr int64_t PlaceOfWeights(int64_t i) {
  return i;
}
inline IntVec JoinSums(const int32_t* high, const int32_t* low) {
  int32_t sums[16];
  for (int i = 0; i < 16; ++i) {
    sums[i] =
        static_cast<int32_t>(static_cast<uint32_t>(high[i]) * 256U + static_cast<uint32_t>(low[i]));
  }
  return LoadInts(sums);
}

// Every integer product goes through the tiles.
constexpr int64_t kIntTiledFrom = 1;

#include "kernels/generic/amx_sums.inc"

// amx.inc builds on amx_sums.inc.

#include "kernels/generic/amx.inc"

// amx_attention.inc builds on attention.inc and amx.inc.

#include "kernels/generic/amx_attention.inc"

bool Supported(const CpuFeatures& cpu) {
  return cpu.avx2;
}

}  // namespace

extern const KernelTable kAmxModelTable;
const KernelTable kAmxModelTable =
    OCTAVO_KERNEL_TABLE("amx_model", Supported, kTileIntProducts, kTileBf16Products, TileProducts);

}  // namespace octavo::kernels
