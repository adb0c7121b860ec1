#include "model/kv_cache.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace octavo::model {
namespace {

ModelConfig TinyConfig() {
  ModelConfig config;
  config.layers = 2;
  config.kv_heads = 3;
  config.head_dim = 16;
  return config;
}

TEST(KvPool, BlocksComeBackWhenASequenceGoes) {
  KvPool pool(TinyConfig(), KvType::kF32, 300);
  EXPECT_EQ(pool.free_blocks(), 5);
  {
    KvSequence a(&pool);
    EXPECT_EQ(a.BlocksFor(64, 512), 1);
    EXPECT_EQ(a.BlocksFor(65, 512), 2);
    a.Extend(64);
    EXPECT_EQ(a.BlocksFor(0, 512), 0);
    EXPECT_EQ(a.BlocksFor(1, 512), 1);
    a.Extend(1);
    EXPECT_EQ(pool.free_blocks(), 3);
    KvSequence b(std::move(a));
    EXPECT_EQ(b.length(), 65);
    a = KvSequence(&pool);
    EXPECT_EQ(pool.free_blocks(), 3);
  }
  EXPECT_EQ(pool.free_blocks(), 5);
}

TEST(KvPool, BlocksBehindAllWindowsComeBack) {
  ModelConfig config = TinyConfig();
  config.windows = {100, 70};
  KvPool pool(config, KvType::kF32, 640);
  EXPECT_EQ(pool.window(), 100);
  KvSequence a(&pool);
  int64_t most = 0;
  for (int64_t length = 1; length <= 1000; ++length) {
    const int64_t before = pool.free_blocks();
    const int64_t allowed = a.BlocksFor(1, 512);
    a.Extend(1);
    EXPECT_LE(before - pool.free_blocks(), allowed);
    most = std::max(most, pool.total_blocks() - pool.free_blocks());
    // What the position just added sees is still there.
    for (int64_t at = std::max<int64_t>(0, length - 100); at < length; ++at)
      ASSERT_GE(a.blocks()[static_cast<size_t>(at / 64)], 0) << length;
  }
  EXPECT_EQ(a.blocks()[0], -1);
  EXPECT_LE(most, pool.MostBlocks(1000, 1));
  EXPECT_EQ(pool.MostBlocks(1000, 1), 3);
  KvSequence b(&pool);
  EXPECT_LE(b.BlocksFor(100000, 256), pool.free_blocks());
  for (int64_t i = 0; i < 20; ++i) {
    const int64_t before = pool.free_blocks();
    const int64_t allowed = b.BlocksFor(256, 256);
    b.Extend(256);
    EXPECT_LE(before - pool.free_blocks(), allowed);
  }
  b = KvSequence(&pool);
  a = KvSequence(&pool);
  EXPECT_EQ(pool.free_blocks(), 10);
}

TEST(KvPool, OneLayerThatSeesAllKeepsAll) {
  ModelConfig config = TinyConfig();
  config.windows = {100, 0};
  KvPool pool(config, KvType::kF32, 640);
  KvSequence a(&pool);
  for (int64_t i = 0; i < 640; ++i) a.Extend(1);
  EXPECT_EQ(pool.free_blocks(), 0);
}

TEST(KvPool, PartsOfABlockDoNotOverlap) {
  KvPool pool(TinyConfig(), KvType::kI16, 128);
  const int64_t part = 64 * (16 * 2 + 4);
  EXPECT_EQ(pool.block_bytes(), 2 * 3 * 2 * part);
  const std::byte* expected = pool.Keys(0, 0);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t head = 0; head < 3; ++head) {
      EXPECT_EQ(pool.Keys(layer, head), expected);
      EXPECT_EQ(pool.Values(layer, head), expected + part);
      expected += 2 * part;
    }
  }
  EXPECT_EQ(expected, pool.Keys(0, 0) + pool.block_bytes());
}

TEST(KvPool, ABlockOfCodesHoldsTheirScales) {
  KvPool pool(TinyConfig(), KvType::kI8, 64);
  EXPECT_EQ(pool.block_bytes(), 2 * 3 * 2 * (64 * 16 + 64 * 2));
}

}  // namespace
}  // namespace octavo::model
