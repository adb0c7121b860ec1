// Clustered intervals against SciPy and statsmodels, and their coverage on correlated tokens.
#include "stats/interval.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/random.h"
#include "stats/student_t.h"

namespace octavo::stats {
namespace {

// scipy 1.17.1: scipy.stats.t.ppf(p, degrees).
TEST(StudentT, QuantilesAreThoseOfScipy) {
  struct Case {
    double p, degrees, expected;
  };
  for (const Case& c : {Case{0.975, 1, 12.706204736174694}, Case{0.975, 2, 4.302652729749462},
                        Case{0.975, 11, 2.200985160091639}, Case{0.95, 11, 1.7958848187040433},
                        Case{0.975, 39, 2.022690920036761}, Case{0.995, 4, 4.604094871349992},
                        Case{0.975, 1e6, 1.959966356814107}, Case{0.25, 7, -0.7111417780817866}}) {
    EXPECT_NEAR(StudentTQuantile(c.p, c.degrees), c.expected, 1e-12 * std::abs(c.expected));
  }
}

ClusterMean WindowMeans() {
  ClusterMean mean;
  for (double nll :
       {2.784471035003662, 2.6027228832244873, 2.5051698684692383, 2.81501841545105,
        2.5918993949890137, 2.932666301727295, 2.9013781547546387, 2.8322105407714844,
        2.9523513317108154, 2.7349472045898438, 2.9464211463928223, 2.5488991737365723}) {
    mean.Add(nll * 256, 256);
  }
  return mean;
}

// scipy 1.17.1: scipy.stats.ttest_1samp(window_means, 0).confidence_interval(c).
TEST(ClusterMean, EqualWindowsGiveTheOrdinaryTInterval) {
  const Estimate at95 = WindowMeans().Mean(0.95);
  EXPECT_NEAR(at95.value, 2.7623462875684104, 1e-12);
  EXPECT_NEAR(at95.interval->lower, 2.6585700487039783, 1e-12);
  EXPECT_NEAR(at95.interval->upper, 2.8661225264328425, 1e-12);
  const Estimate at99 = WindowMeans().Mean(0.99);
  EXPECT_NEAR(at99.interval->lower, 2.615907808714744, 1e-12);
  EXPECT_NEAR(at99.interval->upper, 2.9087847664220767, 1e-12);
}

// statsmodels 0.15.0: OLS of the tokens on a constant, cov_type="cluster", use_t=True. Sums and
// counts as below.
TEST(ClusterMean, UnequalWindowsGiveTheClusterRobustInterval) {
  ClusterMean mean;
  mean.Add(3.5, 256);
  mean.Add(-1.25, 128);
  mean.Add(7.0, 300);
  mean.Add(2.0, 256);
  mean.Add(0.5, 64);
  const Estimate estimate = mean.Mean(0.95);
  EXPECT_EQ(mean.samples(), 1004);
  EXPECT_EQ(estimate.clusters, 5);
  EXPECT_NEAR(estimate.value, 0.01170318725099604, 1e-15);
  EXPECT_NEAR(estimate.interval->lower, -0.0024763238412361, 1e-14);
  EXPECT_NEAR(estimate.interval->upper, 0.0258826983432282, 1e-14);
}

TEST(ClusterMean, OneWindowHasNoInterval) {
  ClusterMean mean;
  mean.Add(5, 10);
  EXPECT_DOUBLE_EQ(mean.Mean(0.95).value, 0.5);
  EXPECT_FALSE(mean.Mean(0.95).interval.has_value());
  EXPECT_FALSE(Exp(mean.Mean(0.95)).interval.has_value());
}

TEST(ClusterMean, EqualModelsHaveAnIntervalOfNoWidth) {
  ClusterMean mean;
  for (int i = 0; i < 3; ++i) mean.Add(0, 256);
  const Estimate ratio = Exp(mean.Mean(0.95));
  EXPECT_EQ(ratio.value, 1);
  EXPECT_EQ(ratio.interval->lower, 1);
  EXPECT_EQ(ratio.interval->upper, 1);
}

TEST(Exp, MapsValueAndEnds) {
  const Estimate ratio = Exp({0.01, Interval{-0.02, 0.04}, 7});
  EXPECT_DOUBLE_EQ(ratio.value, std::exp(0.01));
  EXPECT_DOUBLE_EQ(ratio.interval->lower, std::exp(-0.02));
  EXPECT_DOUBLE_EQ(ratio.interval->upper, std::exp(0.04));
  EXPECT_EQ(ratio.clusters, 7);
}

TEST(AtConfidence, TurnsThe95IntervalIntoTheOneComputedAt99) {
  const Estimate at95 = WindowMeans().Mean(0.95);
  const Interval at99 = AtConfidence(at95.value, *at95.interval, 0.95, 0.99, at95.clusters);
  EXPECT_NEAR(at99.lower, 2.615907808714744, 1e-12);
  EXPECT_NEAR(at99.upper, 2.9087847664220767, 1e-12);
}

// 4,000 runs of 12 windows of 32 tokens that share a random effect. The share of intervals that
// hold the true mean has a standard deviation of sqrt(0.95 * 0.05 / 4000) = 0.0034 around 0.95.
// Taking each token as its own cluster, which is the mistake the clusters are there to prevent,
// must fall far short: that shows that this test can fail.
TEST(ClusterMean, CoverageIsNominalForCorrelatedTokensAndNotWhenTheyAreTakenAsIndependent) {
  constexpr int kRuns = 4000;
  constexpr double kTrueMean = 0.02;
  core::Random random(20261124);
  int clustered_hits = 0;
  int independent_hits = 0;
  for (int run = 0; run < kRuns; ++run) {
    ClusterMean clustered;
    ClusterMean independent;
    for (int window = 0; window < 12; ++window) {
      const double effect = 0.1 * random.Normal();
      double sum = 0;
      for (int token = 0; token < 32; ++token) {
        const double x = kTrueMean + effect + 0.2 * random.Normal();
        independent.Add(x, 1);
        sum += x;
      }
      clustered.Add(sum, 32);
    }
    const auto holds = [](const Interval& i) {
      return i.lower <= kTrueMean && kTrueMean <= i.upper;
    };
    clustered_hits += holds(*clustered.Mean(0.95).interval) ? 1 : 0;
    independent_hits += holds(*independent.Mean(0.95).interval) ? 1 : 0;
  }
  EXPECT_NEAR(clustered_hits / double{kRuns}, 0.95, 4 * 0.0034);
  EXPECT_LT(independent_hits / double{kRuns}, 0.7);
}

}  // namespace
}  // namespace octavo::stats
