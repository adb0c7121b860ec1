#include "model/kv_cache.h"

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
    EXPECT_EQ(a.BlocksFor(64), 1);
    EXPECT_EQ(a.BlocksFor(65), 2);
    a.Extend(64);
    EXPECT_EQ(a.BlocksFor(0), 0);
    EXPECT_EQ(a.BlocksFor(1), 1);
    a.Extend(1);
    EXPECT_EQ(pool.free_blocks(), 3);
    KvSequence b(std::move(a));
    EXPECT_EQ(b.length(), 65);
    a = KvSequence(&pool);
    EXPECT_EQ(pool.free_blocks(), 3);
  }
  EXPECT_EQ(pool.free_blocks(), 5);
}

TEST(KvPool, PartsOfABlockDoNotOverlap) {
  KvPool pool(TinyConfig(), KvType::kF16, 128);
  const int64_t part = 64 * 16 * 2;
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

}  // namespace
}  // namespace octavo::model
