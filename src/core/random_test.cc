#include "core/random.h"

#include <cmath>

#include <gtest/gtest.h>

namespace octavo::core {
namespace {

// The authors' C code (prng.di.unimi.it, splitmix64.c and xoshiro256starstar.c) with seed 0.
TEST(Random, FollowsTheReferenceCode) {
  Random random(0);
  EXPECT_EQ(random.Next(), 0x99ec5f36cb75f2b4u);
  EXPECT_EQ(random.Next(), 0xbf6e1f784956452au);
  EXPECT_EQ(random.Next(), 0x1a5f849d4933e6e0u);
}

TEST(Random, SeedDecidesTheSequence) {
  Random a(7);
  Random b(7);
  Random c(8);
  EXPECT_EQ(a.Next(), b.Next());
  EXPECT_NE(a.Next(), c.Next());
}

// Bounds of 5 standard errors: a right generator fails one seed in about two million, and the seed
// is fixed.
TEST(Random, MomentsAreThoseOfTheDistributions) {
  constexpr int kDraws = 100'000;
  Random random(1);
  double uniform_sum = 0;
  double normal_sum = 0;
  double normal_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double uniform = random.Uniform();
    ASSERT_GE(uniform, 0.0);
    ASSERT_LT(uniform, 1.0);
    uniform_sum += uniform;
    const double normal = random.Normal();
    normal_sum += normal;
    normal_squares += normal * normal;
  }
  const double root = std::sqrt(static_cast<double>(kDraws));
  EXPECT_NEAR(uniform_sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12) / root);
  EXPECT_NEAR(normal_sum / kDraws, 0.0, 5 / root);
  EXPECT_NEAR(normal_squares / kDraws, 1.0, 5 * std::sqrt(2.0) / root);
}

TEST(Random, BelowReachesEveryValueEvenly) {
  Random random(2);
  int counts[3] = {};
  for (int i = 0; i < 30'000; ++i) ++counts[random.Below(3)];
  // 5 standard errors of a binomial count.
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 5 * std::sqrt(30'000 * 2.0 / 9));
  EXPECT_EQ(random.Below(1), 0u);
  EXPECT_LT(random.Below(~uint64_t{0}), ~uint64_t{0});
}

TEST(RandomDeathTest, BelowZeroIsABug) {
  EXPECT_DEATH(Random(0).Below(0), "internal error");
}

}  // namespace
}  // namespace octavo::core
