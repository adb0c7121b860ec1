// What an instruction set does for attention: rotation, the layout of keys and values in the KV
// cache, and attention itself. As in table.h the order of every sum is part of the contract.
#pragma once

#include <cstdint>

namespace octavo::kernels {

// A KV block holds kKvPositions positions of one layer and KV head, keys and then values, so that
// both are right-hand sides of row-major products:
//   kF32:      keys [D][64], values [64][D]
//   kI16, kI8: keys [D / 2][64][2], values [32][D][2] codes, where pairs of dimensions and pairs of
//              positions lie side by side; each followed by [64] scales, one for each position: f32
//              (kI16) or F16 (kI8)
// Codes meet codes: queries, and the probabilities that weigh the values, become int16 as well, and
// every sum of products is an exact int32 (docs/adr/0013).
// Keys often have a few dimensions that are far larger than the others, which would take the codes
// of all. Keys that become codes, and their queries, therefore pass a Hadamard transform, which
// leaves their products as they are and spreads such dimensions over all (QuaRot, arXiv 2404.00456,
// section 4).
enum class KvStorage : uint8_t { kF32, kI16, kI8 };
inline constexpr int64_t kKvPositions = 64;
inline constexpr int64_t kMaxHeadDim = 256;
inline constexpr float kLargestF16 = 65504.0F;

// Codes are whole numbers within +-steps: of keys, queries, values, and of probabilities.
struct KvSteps {
  float key;
  float query;
  float value;
  float weight;
};
// D * key * query and 64 * value * weight are below 2^31.
constexpr KvSteps StepsOf(KvStorage storage, int64_t head_dim) {
  if (storage == KvStorage::kI8) return {127, 32767, 127, 32767};
  const float key = head_dim <= 64 ? 5792 : head_dim <= 128 ? 4095 : 2895;
  return {key, key, 4095, 8191};
}

// Bytes of the keys, or of the values, of one block.
constexpr int64_t KvPartBytes(KvStorage storage, int64_t head_dim) {
  switch (storage) {
    case KvStorage::kF32:
      return kKvPositions * head_dim * 4;
    case KvStorage::kI16:
      return kKvPositions * (head_dim * 2 + 4);
    case KvStorage::kI8:
      break;
  }
  return kKvPositions * (head_dim + 2);
}

// Dimensions that one Hadamard transform takes: the largest power of two in `head_dim`. For steps
// s = 1, 2, 4, ...: (x[i], x[i + s]) becomes (x[i] + x[i + s], x[i] - x[i + s]). The result is
// sqrt(HadamardSize) too large, which the queries' scale takes back.
constexpr int64_t HadamardSize(int64_t head_dim) {
  return head_dim & -head_dim;
}

// Keys and values of `rows` consecutive positions, all in one block, on their way to the cache.
// Codes: scale = absmax / steps, for kI8 rounded to F16 and at most the largest F16; code = round
// half even(x * (1 / scale)), clamped to [-steps, steps]. A scale below kZeroScale is 0, and so are
// its codes. x must be finite. Keys are rotated before, as queries are: pairs (a, b) = (i, i + D /
// 2) become (a cos - b sin, b cos + a sin), each product rounded (RoPE, arXiv 2104.09864).
struct KvStorePiece {
  const float* k;  // row r at k + r * stride; not yet rotated
  const float* v;
  int64_t stride;
  // Of row r at cosine + r * head_dim / 2; nullptr: not rotated.
  const float* cosine = nullptr;
  const float* sine = nullptr;
  int64_t rows;
  int64_t slot;  // place of row 0 in the block; slot + rows <= kKvPositions
  int64_t head_dim;
  KvStorage storage;
  void* keys;  // of the block
  void* values;
};

// Sums are kept for partitions of this many positions, cut at multiples of it, and then merged in
// their order, whoever computed them.
inline constexpr int64_t kPartitionPositions = 512;
inline constexpr int64_t kAttentionQueries = 96;
// A partial result of one query: head_dim values, then the maximum and the sum.
inline constexpr int64_t kPartialTail = 16;
// The two bytes of the codes of queries, and the bytes of the keys and values of a block, for who
// multiplies bytes alone (generic/amx_attention.inc).
inline constexpr int64_t kAttentionPlanes = 2 * (kAttentionQueries + kKvPositions) * kMaxHeadDim;
inline constexpr int64_t kAttentionScratch =
    kAttentionQueries * (3 * kMaxHeadDim + 16) + 32 * kKvPositions + kAttentionPlanes / 4;

// Attention of `rows` consecutive positions of one sequence, for the `heads` query heads that share
// one KV head. Softmax runs online over KV blocks (Milakov, Gimelshein 2018; Dao 2022), always cut
// at multiples of 64 positions, so that a query's sums do not depend on which other queries are in
// the piece. Scores are in powers of two: q is multiplied by scale * log2(e), and for codes then by
// 1 / HadamardSize.
struct AttentionPiece {
  const float* q;  // row r, head h at q + r * q_stride + h * head_dim; not yet rotated or scaled
  int64_t q_stride;
  const float* cosine = nullptr;  // as in KvStorePiece
  const float* sine = nullptr;
  int64_t rows;
  int64_t heads;           // rows * heads <= kAttentionQueries
  int64_t head_dim;        // a multiple of 16, at most kMaxHeadDim
  int64_t first_position;  // of row 0
  int64_t window;          // positions a query sees, itself included; 0: all
  float scale;             // multiplies q
  KvStorage storage;
  const void* keys;  // block b at keys + blocks[b] * block_bytes
  const void* values;
  const int32_t* blocks;  // those that no query sees are not read
  int64_t block_bytes;
  float* out;  // row r, head h at out + r * out_stride + h * head_dim
  int64_t out_stride;
  float* scratch;  // kAttentionScratch floats, 64-byte aligned
  // The keys that the thread reads next, to be fetched meanwhile; nullptr: none. Only a hint.
  const void* next_keys = nullptr;
  // `attend` with `partial`: only the positions of one partition, and its unfinished sums go to
  // partial + (r * heads + h) * (head_dim + kPartialTail) instead of `out`. `merge`: those of
  // partitions 0 to partitions - 1, one after the other.
  float* partial = nullptr;
  int64_t partition = 0;
  int64_t partitions = 0;
};

inline constexpr float kLog2E = 1.44269504F;

// What is smaller counts as nothing: scales of keys and values, the largest number of a query, and
// the largest weight of a block.
inline constexpr float kZeroScale = 0x1p-100F;

struct AttentionKernels {
  void (*store)(const KvStorePiece& piece);
  void (*attend)(const AttentionPiece& piece);
  // Reads only rows, heads, head_dim, partial, partitions, out and out_stride.
  void (*merge)(const AttentionPiece& piece);
};

}  // namespace octavo::kernels
