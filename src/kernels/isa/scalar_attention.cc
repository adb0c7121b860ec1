#include "kernels/isa/scalar_attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

#include "tensor/dtype.h"

namespace octavo::kernels {
namespace {

constexpr int64_t kLanes = 16;

// 2^x for x <= 0, at least 2^-125, by x = n + r, |r| <= 1/2, and a polynomial for 2^r whose
// relative error stays below 1.6e-7 (equal ripples but for the 1). The same steps in every table.
float Exp2(float x) {
  x = x > -125.0F ? x : -125.0F;
  const float n = std::nearbyint(x);
  const float r = x - n;
  float p = 0.00132647261F;
  p = std::fma(p, r, 0.00967151299F);
  p = std::fma(p, r, 0.0555073358F);
  p = std::fma(p, r, 0.240222424F);
  p = std::fma(p, r, 0.693147004F);
  p = std::fma(p, r, 1.0F);
  return std::bit_cast<float>(std::bit_cast<int32_t>(p) + static_cast<int32_t>(n) * (1 << 23));
}

void Hadamard(float* x, int64_t d) {
  for (int64_t step = 1; step < HadamardSize(d); step *= 2) {
    for (int64_t i = 0; i < d; ++i) {
      if ((i & step) != 0) continue;
      const float a = x[i];
      const float b = x[i + step];
      x[i] = a + b;
      x[i + step] = a - b;
    }
  }
}

float LargerOf(float a, float b) {
  return a > b ? a : b;
}
// NaN becomes -limit; that it was there the sums of the softmax tell.
float Clamped(float x, float limit) {
  x = LargerOf(x, -limit);
  return x < limit ? x : limit;
}
float AbsMax(const float* x, int64_t count) {
  float absmax = 0;
  for (int64_t i = 0; i < count; ++i) absmax = LargerOf(std::fabs(x[i]), absmax);
  return absmax;
}

// Codes, and the scale of a position behind them.
int32_t CodeAt(const void* codes, KvStorage storage, int64_t index) {
  if (storage == KvStorage::kI8) return static_cast<const int8_t*>(codes)[index];
  return static_cast<const int16_t*>(codes)[index];
}
float ScaleAt(const void* codes, KvStorage storage, int64_t head_dim, int64_t t) {
  const int64_t count = kKvPositions * head_dim;
  if (storage == KvStorage::kI16)
    return reinterpret_cast<const float*>(static_cast<const int16_t*>(codes) + count)[t];
  return tensor::F16ToFloat(
      reinterpret_cast<const uint16_t*>(static_cast<const int8_t*>(codes) + count)[t]);
}
int64_t KeyIndex(int64_t i, int64_t t) {
  return (i / 2 * kKvPositions + t) * 2 + i % 2;
}
int64_t ValueIndex(int64_t t, int64_t i, int64_t head_dim) {
  return (t / 2 * head_dim + i) * 2 + t % 2;
}

// What a query keeps over the blocks of a partition. `lanes` is the sum by position modulo 16.
struct Partial {
  float maximum = -INFINITY;
  float lanes[kLanes] = {};
  float values[kMaxHeadDim] = {};
};
// And over partitions.
struct Total {
  float maximum = -INFINITY;
  float sum = 0;
  float values[kMaxHeadDim] = {};
};

// Row `row` of the angles; none: x stays as it is.
void Rotate(const float* cosine, const float* sine, int64_t row, int64_t head_dim, float* x) {
  if (cosine == nullptr) return;
  const int64_t half = head_dim / 2;
  cosine += row * half;
  sine += row * half;
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[i];
    const float b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

// A query row as it meets the keys: scaled, and where they are codes as codes.
struct Query {
  float q[kMaxHeadDim];
  int32_t codes[kMaxHeadDim];
  float scale = 1;
};

Query Prepare(const AttentionPiece& piece, int64_t row, const float* q) {
  Query out;
  const bool codes = piece.storage != KvStorage::kF32;
  float scale = piece.scale * kLog2E;
  if (codes) scale /= static_cast<float>(HadamardSize(piece.head_dim));
  std::copy_n(q, piece.head_dim, out.q);
  Rotate(piece.cosine, piece.sine, row, piece.head_dim, out.q);
  for (int64_t i = 0; i < piece.head_dim; ++i) out.q[i] *= scale;
  if (!codes) return out;
  Hadamard(out.q, piece.head_dim);
  const float steps = StepsOf(piece.storage, piece.head_dim).query;
  const float absmax = LargerOf(AbsMax(out.q, piece.head_dim), kZeroScale);
  const float inverse = steps / absmax;
  out.scale = absmax / steps;
  for (int64_t i = 0; i < piece.head_dim; ++i)
    out.codes[i] = static_cast<int32_t>(std::nearbyint(Clamped(out.q[i] * inverse, steps)));
  return out;
}

float Score(const AttentionPiece& piece, const Query& query, const void* keys, int64_t t) {
  const int64_t d = piece.head_dim;
  if (piece.storage != KvStorage::kF32) {
    int32_t sum = 0;
    for (int64_t i = 0; i < d; ++i)
      sum += query.codes[i] * CodeAt(keys, piece.storage, KeyIndex(i, t));
    return static_cast<float>(sum) * (ScaleAt(keys, piece.storage, d, t) * query.scale);
  }
  float score = 0;
  for (int64_t i = 0; i < d; ++i) {
    score = std::fma(static_cast<const float*>(keys)[i * kKvPositions + t], query.q[i], score);
  }
  return score;
}

// Adds the values of positions low <= t < high, times weights[t].
void AddValues(const AttentionPiece& piece, const void* values, const float* weights, int64_t low,
               int64_t high, float* to) {
  const int64_t d = piece.head_dim;
  if (piece.storage == KvStorage::kF32) {
    for (int64_t t = low; t < high; ++t) {
      for (int64_t i = 0; i < d; ++i)
        to[i] = std::fma(static_cast<const float*>(values)[t * d + i], weights[t], to[i]);
    }
    return;
  }
  // The scales of the values go to the weights, which become codes of the block's largest.
  float scaled[kKvPositions];
  float largest = kZeroScale;
  for (int64_t t = low; t < high; ++t) {
    scaled[t] = weights[t] * ScaleAt(values, piece.storage, d, t);
    largest = LargerOf(scaled[t], largest);
  }
  const float steps = StepsOf(piece.storage, d).weight;
  const float inverse = steps / largest;
  int32_t sums[kMaxHeadDim] = {};
  for (int64_t t = low; t < high; ++t) {
    const auto weight = static_cast<int32_t>(std::nearbyint(LargerOf(scaled[t] * inverse, 0)));
    for (int64_t i = 0; i < d; ++i)
      sums[i] += weight * CodeAt(values, piece.storage, ValueIndex(t, i, d));
  }
  const float scale = largest * (1.0F / steps);
  for (int64_t i = 0; i < d; ++i) to[i] = std::fma(static_cast<float>(sums[i]), scale, to[i]);
}

// One query against one block.
void AttendBlock(const AttentionPiece& piece, const Query& query, int64_t position, int64_t block,
                 Partial& partial) {
  const int64_t d = piece.head_dim;
  const int64_t offset = piece.blocks[block] * piece.block_bytes;
  const void* keys = static_cast<const std::byte*>(piece.keys) + offset;
  const void* values = static_cast<const std::byte*>(piece.values) + offset;
  const int64_t start = block * kKvPositions;
  const int64_t low =
      piece.window > 0 ? std::max<int64_t>(0, position - piece.window + 1 - start) : 0;
  const int64_t high = std::min(kKvPositions, position + 1 - start);
  float scores[kKvPositions];
  float updated = partial.maximum;
  for (int64_t t = low; t < high; ++t) {
    scores[t] = Score(piece, query, keys, t);
    updated = LargerOf(updated, scores[t]);
  }
  const float correction = Exp2(partial.maximum - updated);
  partial.maximum = updated;
  float lanes[kLanes] = {};
  for (int64_t t = low; t < high; ++t) {
    scores[t] = Exp2(scores[t] - updated);
    lanes[t % kLanes] += scores[t];
  }
  for (int64_t i = 0; i < kLanes; ++i)
    partial.lanes[i] = std::fma(partial.lanes[i], correction, lanes[i]);
  for (int64_t i = 0; i < d; ++i) partial.values[i] *= correction;
  AddValues(piece, values, scores, low, high, partial.values);
}

// Adds the sums of one partition to those before it. One that the query sees nothing of adds
// nothing.
void Merge(const float* values, float maximum, float sum, int64_t head_dim, Total& total) {
  if (maximum == -INFINITY) return;
  if (total.maximum == -INFINITY) {
    std::copy_n(values, head_dim, total.values);
    total.maximum = maximum;
    total.sum = sum;
    return;
  }
  const float updated = LargerOf(total.maximum, maximum);
  const float before = Exp2(total.maximum - updated);
  const float now = Exp2(maximum - updated);
  total.sum = std::fma(sum, now, total.sum * before);
  for (int64_t i = 0; i < head_dim; ++i)
    total.values[i] = std::fma(values[i], now, total.values[i] * before);
  total.maximum = updated;
}

void Finish(const Total& total, int64_t head_dim, float* out) {
  const float inverse = 1.0F / total.sum;
  for (int64_t i = 0; i < head_dim; ++i) out[i] = total.values[i] * inverse;
}

Partial AttendPartition(const AttentionPiece& piece, const Query& query, int64_t position,
                        int64_t partition) {
  constexpr int64_t kBlocks = kPartitionPositions / kKvPositions;
  const int64_t first_seen =
      piece.window > 0 ? std::max<int64_t>(0, position - piece.window + 1) : 0;
  const int64_t begin = std::max(partition * kBlocks, first_seen / kKvPositions);
  const int64_t end = std::min((partition + 1) * kBlocks, position / kKvPositions + 1);
  Partial out;
  for (int64_t block = begin; block < end; ++block) AttendBlock(piece, query, position, block, out);
  return out;
}

// Lanes i and i + 8, i + 4, i + 2, i + 1.
float FoldLanes(Partial& partial) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) partial.lanes[i] += partial.lanes[i + width];
  }
  return partial.lanes[0];
}

// The one scale of `head_dim` values, and their codes: number i at codes[index(i)].
template <typename Code, typename Index>
float QuantizeHead(const float* x, int64_t head_dim, float steps, const Index& index, Code* codes) {
  float scale = AbsMax(x, head_dim) / steps;
  if (sizeof(Code) == 1)
    scale = tensor::F16ToFloat(tensor::FloatToF16(std::fmin(scale, kLargestF16)));
  if (scale < kZeroScale) scale = 0;
  const float inverse = scale > 0 ? 1.0F / scale : 0.0F;
  for (int64_t i = 0; i < head_dim; ++i) {
    codes[index(i)] = static_cast<Code>(std::nearbyint(Clamped(x[i] * inverse, steps)));
  }
  return scale;
}

void PutScale(int8_t* scales, int64_t t, float scale) {
  reinterpret_cast<uint16_t*>(scales)[t] = tensor::FloatToF16(scale);
}
void PutScale(int16_t* scales, int64_t t, float scale) {
  reinterpret_cast<float*>(scales)[t] = scale;
}

template <typename Code>
void StoreCodes(const KvStorePiece& piece, const float* k, const float* v, int64_t t) {
  const int64_t d = piece.head_dim;
  const KvSteps steps = StepsOf(piece.storage, d);
  auto* keys = static_cast<Code*>(piece.keys);
  auto* values = static_cast<Code*>(piece.values);
  float key[kMaxHeadDim];
  std::copy_n(k, d, key);
  Hadamard(key, d);
  const auto key_index = [t](int64_t i) { return KeyIndex(i, t); };
  const auto value_index = [t, d](int64_t i) { return ValueIndex(t, i, d); };
  PutScale(keys + kKvPositions * d, t, QuantizeHead(key, d, steps.key, key_index, keys));
  PutScale(values + kKvPositions * d, t, QuantizeHead(v, d, steps.value, value_index, values));
}

}  // namespace

void ScalarStoreKv(const KvStorePiece& piece) {
  const int64_t d = piece.head_dim;
  for (int64_t r = 0; r < piece.rows; ++r) {
    float k[kMaxHeadDim];
    std::copy_n(piece.k + r * piece.stride, d, k);
    Rotate(piece.cosine, piece.sine, r, d, k);
    const float* v = piece.v + r * piece.stride;
    const int64_t t = piece.slot + r;
    for (int64_t i = 0; i < d && piece.storage == KvStorage::kF32; ++i) {
      static_cast<float*>(piece.keys)[i * kKvPositions + t] = k[i];
      static_cast<float*>(piece.values)[t * d + i] = v[i];
    }
    if (piece.storage == KvStorage::kI16) StoreCodes<int16_t>(piece, k, v, t);
    if (piece.storage == KvStorage::kI8) StoreCodes<int8_t>(piece, k, v, t);
  }
}

void ScalarAttend(const AttentionPiece& piece) {
  const int64_t d = piece.head_dim;
  for (int64_t i = 0; i < piece.rows * piece.heads; ++i) {
    const int64_t position = piece.first_position + i / piece.heads;
    const int64_t head = i % piece.heads;
    const Query query = Prepare(piece, i / piece.heads,
                                piece.q + i / piece.heads * piece.q_stride + head * piece.head_dim);
    if (piece.partial != nullptr) {
      Partial partial = AttendPartition(piece, query, position, piece.partition);
      float* to = piece.partial + i * (d + kPartialTail);
      std::copy_n(partial.values, d, to);
      to[d] = partial.maximum;
      to[d + 1] = FoldLanes(partial);
      continue;
    }
    Total total;
    for (int64_t p = 0; p <= position / kPartitionPositions; ++p) {
      Partial partial = AttendPartition(piece, query, position, p);
      Merge(partial.values, partial.maximum, FoldLanes(partial), d, total);
    }
    Finish(total, d, piece.out + i / piece.heads * piece.out_stride + head * d);
  }
}

void ScalarMergePartials(const AttentionPiece& piece) {
  const int64_t d = piece.head_dim;
  const int64_t queries = piece.rows * piece.heads;
  for (int64_t i = 0; i < queries; ++i) {
    Total total;
    for (int64_t p = 0; p < piece.partitions; ++p) {
      const float* partial = piece.partial + (p * queries + i) * (d + kPartialTail);
      Merge(partial, partial[d], partial[d + 1], d, total);
    }
    Finish(total, d, piece.out + i / piece.heads * piece.out_stride + i % piece.heads * d);
  }
}

}  // namespace octavo::kernels
