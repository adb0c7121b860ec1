// Histograms, clips and ranges: exact whatever the order, cuts and threads, and against plain sums.
#include "compress/observer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "core/random.h"

namespace octavo::compress {
namespace {

std::vector<float> HeavyTailed(int64_t count, uint64_t seed) {
  core::Random random(seed);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) {
    const double x = random.Normal();
    v = static_cast<float>(x * x * x * std::exp(random.Normal()));
  }
  return out;
}

InputRanges Fresh(int64_t k) {
  InputRanges out;
  out.modules = {"m"};
  out.channel_absmax.assign(static_cast<size_t>(k), 0);
  return out;
}

void ExpectEqual(const InputRanges& a, const InputRanges& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.min, b.min);
  EXPECT_EQ(a.max, b.max);
  EXPECT_EQ(a.channel_absmax, b.channel_absmax);
  EXPECT_EQ(a.magnitudes.exponent(), b.magnitudes.exponent());
  EXPECT_EQ(a.magnitudes.bins(), b.magnitudes.bins());
}

TEST(InputRanges, AreThoseOfPlainLoopsForAnyCutThreadsAndShards) {
  constexpr int64_t kRows = 700;
  constexpr int64_t kWidth = 300;
  const std::vector<float> x = HeavyTailed(kRows * kWidth, 1);
  core::ThreadPool one(1);
  InputRanges whole = Fresh(kWidth);
  ASSERT_TRUE(whole.Observe(x.data(), kRows, one).ok());
  EXPECT_EQ(whole.min, *std::min_element(x.begin(), x.end()));
  EXPECT_EQ(whole.max, *std::max_element(x.begin(), x.end()));
  for (int64_t c = 0; c < kWidth; ++c) {
    float most = 0;
    for (int64_t r = 0; r < kRows; ++r)
      most = std::max(most, std::abs(x[static_cast<size_t>(r * kWidth + c)]));
    EXPECT_EQ(whole.channel_absmax[static_cast<size_t>(c)], most);
  }
  std::vector<int64_t> bins(MagnitudeHistogram::kBins, 0);
  for (const float v : x) {
    ++bins[static_cast<size_t>(
        std::floor(std::abs(static_cast<double>(v)) / whole.magnitudes.width()))];
  }
  EXPECT_EQ(whole.magnitudes.bins(), bins);
  // The largest value lies in the upper half: no resolution is given away.
  EXPECT_GE(static_cast<double>(whole.absmax()) / whole.magnitudes.width(), 1024);

  core::ThreadPool three(3);
  InputRanges cut = Fresh(kWidth);
  InputRanges shards[2] = {Fresh(kWidth), Fresh(kWidth)};
  for (int64_t row = 0, n = 1; row < kRows; row += n, n = n * 2 + 1) {
    n = std::min(n, kRows - row);
    ASSERT_TRUE(cut.Observe(x.data() + row * kWidth, n, three).ok());
    ASSERT_TRUE(shards[n % 4 == 3 ? 1 : 0].Observe(x.data() + row * kWidth, n, three).ok());
  }
  ExpectEqual(cut, whole);
  shards[0].Merge(shards[1]);
  ExpectEqual(shards[0], whole);
}

TEST(InputRanges, ExtremesStayExact) {
  core::ThreadPool pool(1);
  const std::vector<float> x = {0.0F,
                                -0.0F,
                                std::numeric_limits<float>::denorm_min(),
                                std::numeric_limits<float>::min(),
                                -std::numeric_limits<float>::max(),
                                1.0F};
  InputRanges ranges = Fresh(2);
  ASSERT_TRUE(ranges.Observe(x.data(), 3, pool).ok());
  EXPECT_EQ(ranges.magnitudes.count(), 6);
  EXPECT_EQ(ranges.magnitudes.bins().back(), 1);
  EXPECT_EQ(ranges.magnitudes.bins().front(), 5);
  InputRanges zeros = Fresh(2);
  ASSERT_TRUE(zeros.Observe(x.data(), 1, pool).ok());
  for (const float clip : {PercentileClip(zeros.magnitudes, 0, 0.99), MseClip(zeros.magnitudes, 0),
                           EntropyClip(zeros.magnitudes, 0)})
    EXPECT_EQ(clip, 1);
}

TEST(InputRanges, ValuesThatAreNotFiniteNameTheLayer) {
  core::ThreadPool pool(1);
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x(20, 1.0F);
    x[13] = bad;
    InputRanges ranges = Fresh(5);
    const auto status = ranges.Observe(x.data(), 4, pool);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().message().find("the input of m has values"), 0U);
  }
}

MagnitudeHistogram HistogramOf(const std::vector<float>& x, float& absmax) {
  absmax = 0;
  for (const float v : x) absmax = std::max(absmax, std::abs(v));
  MagnitudeHistogram out;
  out.Widen(absmax);
  out.Add(x);
  return out;
}

TEST(Clips, PercentileIsThatOfTheValuesToABin) {
  std::vector<float> x = HeavyTailed(100000, 2);
  float absmax = 0;
  const MagnitudeHistogram histogram = HistogramOf(x, absmax);
  for (float& v : x) v = std::abs(v);
  std::sort(x.begin(), x.end());
  for (const double q : {0.5, 0.99, 0.9999, 1.0}) {
    const float exact = x[static_cast<size_t>(std::ceil(q * 100000)) - 1];
    const float clip = PercentileClip(histogram, absmax, q);
    EXPECT_GE(clip, exact);
    EXPECT_LE(clip, exact + static_cast<float>(histogram.width()) * 1.001F);
  }
}

double RoundingError(const std::vector<float>& x, float clip) {
  double sum = 0;
  const double step = static_cast<double>(clip) / 127;
  for (const float v : x) {
    const double code = std::clamp(std::nearbyint(static_cast<double>(v) / step), -127.0, 127.0);
    sum += std::pow(static_cast<double>(v) - code * step, 2);
  }
  return sum;
}

TEST(Clips, MseIsNearlyTheBestOfAFineSearchAndBeatsTheWholeRange) {
  core::Random random(3);
  std::vector<float> x(50000);
  for (float& v : x) v = static_cast<float>(random.Normal());
  for (size_t i = 0; i < 25; ++i) x[i * 100] *= 4;  // a few outliers that are worth clipping
  float absmax = 0;
  const MagnitudeHistogram histogram = HistogramOf(x, absmax);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 1; i <= 1000; ++i)
    best = std::min(best, RoundingError(x, absmax * static_cast<float>(i) / 1000));
  const float clip = MseClip(histogram, absmax);
  EXPECT_LT(clip, absmax);
  // Candidates are 1/128 apart and values are taken at the middle of their bins.
  EXPECT_LE(RoundingError(x, clip), best * 1.02);
  EXPECT_LT(RoundingError(x, clip), RoundingError(x, absmax));
}

TEST(Clips, EntropyLeavesOutAFarOutlierAndKeepsAUniformRange) {
  core::Random random(4);
  std::vector<float> x(100000);
  for (float& v : x) v = static_cast<float>(random.Normal());
  x[0] = 40;
  float absmax = 0;
  const MagnitudeHistogram with_outlier = HistogramOf(x, absmax);
  EXPECT_LT(EntropyClip(with_outlier, absmax), 10);
  EXPECT_GT(EntropyClip(with_outlier, absmax), 2);
  for (float& v : x) v = static_cast<float>(random.Uniform());
  const MagnitudeHistogram uniform = HistogramOf(x, absmax);
  EXPECT_GT(EntropyClip(uniform, absmax), 0.95F);
}

TEST(MagnitudeHistogram, RefusesWhatNoFileOfOursHolds) {
  EXPECT_TRUE(MagnitudeHistogram::Make(std::vector<int64_t>(2048, 1), -3).ok());
  EXPECT_FALSE(MagnitudeHistogram::Make(std::vector<int64_t>(2047, 1), -3).ok());
  EXPECT_FALSE(MagnitudeHistogram::Make(std::vector<int64_t>(2048, -1), -3).ok());
  EXPECT_FALSE(MagnitudeHistogram::Make(std::vector<int64_t>(2048, INT64_MAX / 4), -3).ok());
  EXPECT_FALSE(MagnitudeHistogram::Make(std::vector<int64_t>(2048, 1), -127).ok());
  EXPECT_FALSE(MagnitudeHistogram::Make(std::vector<int64_t>(2048, 1), 118).ok());
}

}  // namespace
}  // namespace octavo::compress
