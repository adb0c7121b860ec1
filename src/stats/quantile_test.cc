// Quantiles against NumPy.
#include "stats/quantile.h"

#include <vector>

#include <gtest/gtest.h>

namespace octavo::stats {
namespace {

// numpy 2.4.6: numpy.quantile(sample, q).
TEST(Quantile, IsThatOfNumpy) {
  const std::vector<double> sample = {0.3, -1.0, 5.5, 2.25, 2.25, 9.0, -4.0};
  struct Case {
    double q, expected;
  };
  for (const Case& c : {Case{0, -4}, Case{0.01, -3.82}, Case{0.25, -0.35}, Case{0.5, 2.25},
                        Case{0.9, 6.9}, Case{0.999, 8.979}, Case{1, 9}}) {
    std::vector<double> copy = sample;
    EXPECT_NEAR(Quantile(copy, c.q), c.expected, 1e-12) << c.q;
  }
}

TEST(Quantile, OfOneValueIsThatValue) {
  std::vector<double> sample = {3};
  EXPECT_EQ(Quantile(sample, 0.999), 3);
  EXPECT_EQ(Median(sample), 3);
}

TEST(Median, OfAnEvenNumberLiesInTheMiddle) {
  std::vector<double> sample = {4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(Median(sample), 2.5);
}

TEST(Quantile, AboveOneIsABug) {
  std::vector<double> sample = {1};
  EXPECT_DEATH(Quantile(sample, 1.5), "q <= 1");
}

}  // namespace
}  // namespace octavo::stats
