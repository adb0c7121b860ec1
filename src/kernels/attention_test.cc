// Attention and the KV cache's codes of every table against the scalar definition, bit for bit, and
// the definition against plain double arithmetic.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/dispatch.h"
#include "kernels/fixture.h"
#include "kernels/scratch.h"
#include "tensor/dtype.h"

namespace octavo::kernels {
namespace {

using core::Random;

struct AttentionCase {
  std::vector<float> q;
  std::vector<float> k;  // [positions, D], as they were before they were stored
  std::vector<float> v;
  std::vector<std::byte> kv;
  std::vector<int32_t> blocks;
  std::vector<float> cosine;  // [positions, D / 2]; empty: nothing is rotated
  std::vector<float> sine;
  AttentionPiece piece;
};

int64_t Positions(const AttentionPiece& p) {
  return p.first_position + p.rows;
}

// Stores keys and values block by block, in pieces of random length.
void FillKv(Random& random, const KernelTable& table, AttentionCase& c) {
  const AttentionPiece& p = c.piece;
  KvStorePiece store;
  store.stride = p.head_dim;
  store.head_dim = p.head_dim;
  store.storage = p.storage;
  for (int64_t at = 0; at < Positions(p); at += store.rows) {
    store.slot = at % kKvPositions;
    store.rows = 1 + static_cast<int64_t>(random.Below(kKvPositions));
    store.rows = std::min({store.rows, kKvPositions - store.slot, Positions(p) - at});
    store.k = c.k.data() + at * p.head_dim;
    store.v = c.v.data() + at * p.head_dim;
    store.cosine = c.cosine.empty() ? nullptr : c.cosine.data() + at * (p.head_dim / 2);
    store.sine = c.sine.empty() ? nullptr : c.sine.data() + at * (p.head_dim / 2);
    std::byte* block =
        c.kv.data() + c.blocks[static_cast<size_t>(at / kKvPositions)] * p.block_bytes;
    store.keys = block;
    store.values = block + p.block_bytes / 2;
    table.attention.store(store);
  }
}

// Angles for all positions, which the keys are stored with from now on.
void Rotate(Random& random, AttentionCase& c) {
  AttentionPiece& p = c.piece;
  const int64_t half = p.head_dim / 2;
  c.cosine = RandomFloats(random, Positions(p) * half);
  c.sine = RandomFloats(random, Positions(p) * half);
  p.cosine = c.cosine.data() + p.first_position * half;
  p.sine = c.sine.data() + p.first_position * half;
}

AttentionCase RandomAttention(Random& random) {
  AttentionCase out;
  AttentionPiece& p = out.piece;
  p.head_dim = 16 * (1 + static_cast<int64_t>(random.Below(16)));
  p.heads = 1 + static_cast<int64_t>(random.Below(4));
  p.rows =
      1 + static_cast<int64_t>(random.Below(static_cast<uint64_t>(kAttentionQueries / p.heads)));
  if (random.Below(3) == 0) p.rows = 1;
  p.first_position = static_cast<int64_t>(random.Below(random.Below(3) == 0 ? 1500 : 300));
  p.window = random.Below(2) == 0
                 ? 0
                 : 1 + static_cast<int64_t>(random.Below(random.Below(2) == 0 ? 150 : 900));
  p.scale = 1.0F / std::sqrt(static_cast<float>(p.head_dim));
  p.storage = static_cast<KvStorage>(random.Below(3));
  p.q_stride = p.heads * p.head_dim + 3;
  p.out_stride = p.heads * p.head_dim + 5;
  out.q = RandomFloats(random, p.rows * p.q_stride, 2.0F);
  out.k = RandomFloats(random, Positions(p) * p.head_dim);
  out.v = RandomFloats(random, Positions(p) * p.head_dim);
  const int64_t blocks = (Positions(p) + kKvPositions - 1) / kKvPositions;
  for (int64_t i = 0; i < blocks; ++i) out.blocks.push_back(static_cast<int32_t>(blocks - 1 - i));
  p.block_bytes = 2 * KvPartBytes(p.storage, p.head_dim);
  out.kv.resize(static_cast<size_t>(blocks * p.block_bytes));
  p.keys = out.kv.data();
  p.values = out.kv.data() + p.block_bytes / 2;
  p.blocks = out.blocks.data();
  p.q = out.q.data();
  FillKv(random, ScalarTable(), out);
  return out;
}

std::vector<float> RunAttention(const KernelTable& table, AttentionPiece piece) {
  std::vector<float> out(static_cast<size_t>(piece.rows * piece.out_stride), 0.0F);
  FloatBuffer scratch;
  piece.out = out.data();
  piece.scratch = scratch.Reserve(kAttentionScratch);
  table.attention.attend(piece);
  return out;
}

// The same in partitions, which are computed from the last to the first.
std::vector<float> RunPartitions(const KernelTable& table, AttentionPiece piece) {
  std::vector<float> out(static_cast<size_t>(piece.rows * piece.out_stride), 0.0F);
  FloatBuffer scratch;
  piece.out = out.data();
  piece.scratch = scratch.Reserve(kAttentionScratch);
  piece.partitions = (Positions(piece) - 1) / kPartitionPositions + 1;
  const int64_t floats = piece.rows * piece.heads * (piece.head_dim + kPartialTail);
  std::vector<float> partials(static_cast<size_t>(piece.partitions * floats), NAN);
  for (piece.partition = piece.partitions - 1; piece.partition >= 0; --piece.partition) {
    piece.partial = partials.data() + piece.partition * floats;
    table.attention.attend(piece);
  }
  piece.partial = partials.data();
  table.attention.merge(piece);
  return out;
}

TEST(Attention, EveryTableStoresTheSameBits) {
  Random random(16);
  for (int trial = 0; trial < 100; ++trial) {
    AttentionCase c = RandomAttention(random);
    if (trial % 2 == 0) {
      Rotate(random, c);
      FillKv(random, ScalarTable(), c);
    }
    if (trial % 3 == 0) {
      // Rows of zeros, and scales at both ends of F16.
      std::fill_n(c.k.begin(), c.piece.head_dim, 0.0F);
      std::fill_n(c.v.begin(), c.piece.head_dim, 1e-9F);
      c.k.back() = trial % 2 == 0 ? 3e7F : 1e-6F;
      FillKv(random, ScalarTable(), c);
    }
    const std::vector<std::byte> want = c.kv;
    for (const KernelTable* table : RunnableTables()) {
      std::fill(c.kv.begin(), c.kv.end(), std::byte{0});
      FillKv(random, *table, c);
      EXPECT_TRUE(c.kv == want) << table->isa << " trial " << trial;
    }
  }
}

// The transform of keys as kI8, from its matrix: entries are 1 or -1 by the parity of the bits that
// row and column share.
std::vector<float> HadamardOf(const float* x, int64_t head_dim) {
  std::vector<float> out;
  const int64_t size = HadamardSize(head_dim);
  for (int64_t i = 0; i < head_dim; ++i) {
    double sum = 0;
    for (int64_t j = i / size * size; j < i / size * size + size; ++j) {
      const bool odd = std::popcount(static_cast<uint64_t>(i & j & (size - 1))) % 2 != 0;
      sum += odd ? -x[j] : x[j];
    }
    out.push_back(static_cast<float>(sum));
  }
  return out;
}

// What was stored at a position, as f32; keys that are codes as they were transformed.
std::vector<float> Stored(const AttentionCase& c, bool keys, int64_t at) {
  const AttentionPiece& p = c.piece;
  const std::byte* part = static_cast<const std::byte*>(keys ? p.keys : p.values) +
                          p.blocks[at / kKvPositions] * p.block_bytes;
  const int64_t t = at % kKvPositions;
  const int64_t count = kKvPositions * p.head_dim;
  std::vector<float> out;
  for (int64_t i = 0; i < p.head_dim; ++i) {
    const int64_t plain = keys ? i * kKvPositions + t : t * p.head_dim + i;
    const int64_t code =
        keys ? (i / 2 * kKvPositions + t) * 2 + i % 2 : (t / 2 * p.head_dim + i) * 2 + t % 2;
    if (p.storage == KvStorage::kF32) {
      out.push_back(reinterpret_cast<const float*>(part)[plain]);
    } else if (p.storage == KvStorage::kI16) {
      out.push_back(static_cast<float>(reinterpret_cast<const int16_t*>(part)[code]) *
                    reinterpret_cast<const float*>(part + 2 * count)[t]);
    } else {
      out.push_back(static_cast<float>(static_cast<int8_t>(part[code])) *
                    tensor::F16ToFloat(reinterpret_cast<const uint16_t*>(part + count)[t]));
    }
  }
  return out;
}

TEST(Attention, StoredCodesAreWithinHalfAStep) {
  Random random(17);
  for (int trial = 0; trial < 30; ++trial) {
    AttentionCase c = RandomAttention(random);
    if (c.piece.storage == KvStorage::kF32) continue;
    const KvSteps steps = StepsOf(c.piece.storage, c.piece.head_dim);
    for (int64_t at = 0; at < Positions(c.piece); ++at) {
      for (const bool keys : {true, false}) {
        const float* x = (keys ? c.k : c.v).data() + at * c.piece.head_dim;
        const std::vector<float> from =
            keys ? HadamardOf(x, c.piece.head_dim) : std::vector<float>(x, x + c.piece.head_dim);
        const std::vector<float> got = Stored(c, keys, at);
        float absmax = 0;
        for (int64_t i = 0; i < c.piece.head_dim; ++i)
          absmax = std::max(absmax, std::fabs(from[static_cast<size_t>(i)]));
        // Half a step of a scale that F16 rounds by at most 2^-11 of it; where that made the scale
        // smaller, the largest values lose up to 127 * 2^-11 of a step, which is less. Scales of
        // kI16 are f32, but HadamardOf is exact and the transform is not.
        const float bound = absmax / (keys ? steps.key : steps.value) * 0.5F * (1 + 0x1p-8F);
        for (int64_t i = 0; i < c.piece.head_dim; ++i)
          ASSERT_NEAR(got[static_cast<size_t>(i)], from[static_cast<size_t>(i)], bound);
      }
    }
  }
}

TEST(Attention, KeysAreRotatedByPairs) {
  Random random(18);
  for (int64_t head_dim = 16; head_dim <= 256; head_dim += 16) {
    AttentionCase c = RandomAttention(random);
    AttentionPiece& p = c.piece;
    p.head_dim = head_dim;
    p.storage = KvStorage::kF32;
    p.rows = 1;
    p.first_position = 5;
    p.block_bytes = 2 * KvPartBytes(p.storage, head_dim);
    c.blocks = {0};
    p.blocks = c.blocks.data();
    c.k = RandomFloats(random, Positions(p) * head_dim);
    c.v = RandomFloats(random, Positions(p) * head_dim);
    c.kv.assign(static_cast<size_t>(p.block_bytes), std::byte{0});
    p.keys = c.kv.data();
    p.values = c.kv.data() + p.block_bytes / 2;
    Rotate(random, c);
    FillKv(random, ScalarTable(), c);
    const int64_t half = head_dim / 2;
    for (int64_t t = 0; t < Positions(p); ++t) {
      const std::vector<float> got = Stored(c, true, t);
      for (int64_t i = 0; i < half; ++i) {
        const double cosine = c.cosine[static_cast<size_t>(t * half + i)];
        const double sine = c.sine[static_cast<size_t>(t * half + i)];
        const double a = c.k[static_cast<size_t>(t * head_dim + i)];
        const double b = c.k[static_cast<size_t>(t * head_dim + i + half)];
        const double bound = (std::fabs(a) + std::fabs(b)) * 0x1p-22;
        EXPECT_NEAR(got[static_cast<size_t>(i)], a * cosine - b * sine, bound);
        EXPECT_NEAR(got[static_cast<size_t>(i + half)], b * cosine + a * sine, bound);
      }
    }
  }
}

// All codes of queries, keys, weights and values at their ends at once: the largest sums there are.
TEST(Attention, SumsOfTheLargestCodesAreExact) {
  for (const KvStorage storage : {KvStorage::kI16, KvStorage::kI8}) {
    for (const int64_t head_dim : {16, 48, 64, 80, 128, 144, 256}) {
      Random random(20);
      AttentionCase c = RandomAttention(random);
      AttentionPiece& p = c.piece;
      p.storage = storage;
      p.head_dim = head_dim;
      p.heads = 1;
      p.rows = 7;
      p.first_position = kKvPositions - p.rows;
      p.window = 0;
      p.q_stride = head_dim;
      p.out_stride = head_dim;
      p.block_bytes = 2 * KvPartBytes(storage, head_dim);
      c.blocks = {0};
      p.blocks = c.blocks.data();
      c.kv.assign(static_cast<size_t>(p.block_bytes), std::byte{0});
      p.keys = c.kv.data();
      p.values = c.kv.data() + p.block_bytes / 2;
      // One number in each transform becomes as many equal ones.
      const auto numbers = static_cast<size_t>(kKvPositions * head_dim);
      c.q.assign(numbers, 0.0F);
      c.k.assign(numbers, 0.0F);
      for (size_t i = 0; i < numbers; i += static_cast<size_t>(HadamardSize(head_dim))) {
        c.q[i] = 3;
        c.k[i] = -2;
      }
      c.v.assign(numbers, -1.5F);
      p.q = c.q.data();
      FillKv(random, ScalarTable(), c);
      const auto want = RunAttention(ScalarTable(), p);
      for (const float x : want) EXPECT_NEAR(x, -1.5F, 1e-3);
      for (const KernelTable* table : RunnableTables())
        ExpectSameBits(RunAttention(*table, p), want, table->isa);
    }
  }
}

TEST(Attention, PartitionsMergeToTheSameBits) {
  Random random(19);
  for (int trial = 0; trial < 60; ++trial) {
    const AttentionCase c = RandomAttention(random);
    for (const KernelTable* table : RunnableTables()) {
      ExpectSameBits(RunPartitions(*table, c.piece), RunAttention(*table, c.piece), table->isa);
    }
  }
}

TEST(Attention, EveryTableEqualsTheDefinition) {
  Random random(6);
  for (int trial = 0; trial < 120; ++trial) {
    AttentionCase c = RandomAttention(random);
    if (trial % 2 == 0) Rotate(random, c);
    const auto want = RunAttention(ScalarTable(), c.piece);
    for (const KernelTable* table : RunnableTables()) {
      ExpectSameBits(RunAttention(*table, c.piece), want,
                     std::string(table->isa) + " trial " + std::to_string(trial));
    }
  }
}

TEST(Attention, AQueryDoesNotDependOnTheOthersInThePiece) {
  Random random(7);
  for (int trial = 0; trial < 60; ++trial) {
    AttentionCase c = RandomAttention(random);
    Rotate(random, c);
    for (const KernelTable* table : RunnableTables()) {
      const auto all = RunAttention(*table, c.piece);
      AttentionPiece alone = c.piece;
      const int64_t row = static_cast<int64_t>(random.Below(static_cast<uint64_t>(c.piece.rows)));
      alone.q += row * alone.q_stride;
      alone.cosine += row * (alone.head_dim / 2);
      alone.sine += row * (alone.head_dim / 2);
      alone.first_position += row;
      alone.rows = 1;
      const auto got = RunAttention(*table, alone);
      const int64_t width = alone.heads * alone.head_dim;
      ExpectSameBits(
          {got.begin(), got.begin() + width},
          {all.begin() + row * alone.out_stride, all.begin() + row * alone.out_stride + width},
          table->isa);
    }
  }
}

TEST(Attention, DefinitionIsSoftmaxOfScaledScores) {
  Random random(8);
  for (int trial = 0; trial < 60; ++trial) {
    const AttentionCase c = RandomAttention(random);
    const AttentionPiece& p = c.piece;
    const auto got = RunAttention(ScalarTable(), p);
    const int64_t position = Positions(p) - 1;
    std::vector<float> q(p.q + (p.rows - 1) * p.q_stride,
                         p.q + (p.rows - 1) * p.q_stride + p.head_dim);
    const int64_t first = p.window > 0 ? std::max<int64_t>(0, position - p.window + 1) : 0;
    double total = 0;
    std::vector<double> want(q.size(), 0.0);
    for (int64_t t = first; t <= position; ++t) {
      std::vector<float> k = Stored(c, true, t);
      if (p.storage != KvStorage::kF32) {
        k = HadamardOf(k.data(), p.head_dim);
        for (float& x : k) x /= static_cast<float>(HadamardSize(p.head_dim));
      }
      const std::vector<float> v = Stored(c, false, t);
      double score = 0;
      for (size_t i = 0; i < q.size(); ++i) score += static_cast<double>(k[i]) * q[i] * p.scale;
      const double weight = std::exp(score);
      total += weight;
      for (size_t i = 0; i < q.size(); ++i) want[i] += weight * v[i];
    }
    for (size_t i = 0; i < q.size(); ++i) {
      // Scores of about 2 sqrt(D) with relative error D * 2^-24 each, then a sum of up to 1600
      // terms: below 1e-4. Queries that meet codes are rounded by up to half a step, some 1e-3 of
      // their numbers' usual size at kI16, and weights by half a step of the block's largest.
      const double bound = p.storage == KvStorage::kF32 ? 1e-4 : 1e-3;
      EXPECT_NEAR(got[static_cast<size_t>((p.rows - 1) * p.out_stride) + i], want[i] / total,
                  bound);
    }
  }
}

}  // namespace
}  // namespace octavo::kernels
