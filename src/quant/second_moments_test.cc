#include "quant/second_moments.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"

namespace octavo::quant {
namespace {

TEST(SecondMoments, IsTheSumOfOuterProducts) {
  core::ThreadPool pool(2);
  for (const int64_t k : {1, 7, 64, 193, 450}) {
    const int64_t rows = 40;
    const std::vector<float> x = CorrelatedInputs(rows, k, 5);
    SecondMoments moments(k);
    moments.Add(x.data(), 25, pool);
    moments.Add(x.data() + 25 * k, 15, pool);
    EXPECT_EQ(moments.rows(), rows);
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < k; ++j) {
        double sum = 0;
        double magnitude = 0;
        for (int64_t r = 0; r < rows; ++r) {
          const double product = static_cast<double>(x[static_cast<size_t>(r * k + i)]) *
                                 x[static_cast<size_t>(r * k + j)];
          sum += product;
          magnitude += std::fabs(product);
        }
        // Each of the 40 products and additions rounds once.
        ASSERT_NEAR(moments.matrix()[i * k + j], sum, 41 * 0x1p-23 * magnitude) << i << ", " << j;
        ASSERT_EQ(moments.matrix()[i * k + j], moments.matrix()[j * k + i]);
      }
      EXPECT_EQ(moments.Diagonal()[static_cast<size_t>(i)], moments.matrix()[i * k + i]);
    }
  }
}

TEST(SecondMoments, ThreadsDoNotChangeABit) {
  const std::vector<float> x = CorrelatedInputs(70, 450, 8);
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  const SecondMoments a = Moments(x, 450, one);
  const SecondMoments b = Moments(x, 450, three);
  for (int64_t i = 0; i < 450 * 450; ++i) ASSERT_EQ(a.matrix()[i], b.matrix()[i]);
}

TEST(SecondMoments, AddAfterReadingCounts) {
  core::ThreadPool pool(1);
  SecondMoments moments(2);
  const float x[] = {1, 2};
  moments.Add(x, 1, pool);
  EXPECT_EQ(moments.matrix()[1], 2);
  moments.Add(x, 1, pool);
  EXPECT_EQ(moments.matrix()[1], 4);
  EXPECT_EQ(moments.matrix()[3], 8);
}

}  // namespace
}  // namespace octavo::quant
