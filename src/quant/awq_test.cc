#include "quant/awq.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"
#include "quant/rtn.h"

namespace octavo::quant {
namespace {

constexpr int64_t kAwqInputs = 64;

std::vector<float> MeanMagnitude(const std::vector<float>& x) {
  std::vector<float> out(kAwqInputs);
  for (size_t i = 0; i < x.size(); ++i) out[i % kAwqInputs] += std::fabs(x[i]);
  for (float& mean : out) mean /= static_cast<float>(x.size()) / kAwqInputs;
  return out;
}

struct Case {
  std::vector<float> x = CorrelatedInputs(300, kAwqInputs, 1);  // every 7th is ten times larger
  std::vector<float> q = Normal(40 * kAwqInputs, 2, 0.05);
  std::vector<float> k = Normal(24 * kAwqInputs, 3, 0.05);
  std::vector<MatrixView> weights = {{q, 40}, {k, 24}};
};

TEST(Awq, ErrorsAreThoseOfRoundingTheScaledWeights) {
  core::ThreadPool pool(2);
  const Case c;
  const SecondMoments moments = Moments(c.x, kAwqInputs, pool);
  for (const Clip clip : {Clip::kNone, Clip::kMse}) {
    AwqOptions options;
    options.clip = clip;
    const auto found =
        SearchAwq(c.weights, MeanMagnitude(c.x), moments, Parse("w4a16-g32"), options, pool)
            .value();
    EXPECT_LT(found.error_after, 0.9 * found.error_before);
    EXPECT_GT(found.ratio, 0);
    const auto measured = [&](const std::vector<float>& f) {
      std::vector<float> importance = moments.Diagonal();
      for (size_t j = 0; j < kAwqInputs; ++j) importance[j] /= f[j] * f[j];
      double total = 0;
      for (const MatrixView& w : c.weights) {
        std::vector<float> scaled(w.values.begin(), w.values.end());
        for (size_t i = 0; i < scaled.size(); ++i) scaled[i] *= f[i % kAwqInputs];
        const tensor::TensorView view{
            tensor::DType::kF32, {w.n, kAwqInputs}, std::as_bytes(std::span(scaled))};
        const auto q =
            RoundToNearest(view, Parse("w4a16-g32"), tensor::DType::kF32, pool, clip, importance)
                .value();
        for (size_t n = 0; n < static_cast<size_t>(w.n); ++n) {
          for (size_t r = 0; r < 300; ++r) {
            double y = 0;
            for (size_t j = 0; j < kAwqInputs; ++j) {
              const size_t i = n * kAwqInputs + j;
              y += (w.values[i] - static_cast<double>(q.codes[i]) * q.scales[i / 32] / f[j]) *
                   c.x[r * kAwqInputs + j];
            }
            total += y * y;
          }
        }
      }
      return total / 300;
    };
    const double before = measured(std::vector<float>(kAwqInputs, 1.0F));
    EXPECT_NEAR(found.error_before, before, 1e-3 * before);
    const double after = measured(found.factors);
    EXPECT_NEAR(found.error_after, after, 1e-3 * after);
  }
}

TEST(Awq, EqualInputsNeedNoFactors) {
  // No input stands out, so that the search may find a grain of gain by chance but no more.
  core::ThreadPool pool(1);
  const std::vector<float> x = Normal(2000 * kAwqInputs, 5);
  const std::vector<float> w = Normal(32 * kAwqInputs, 6, 0.05);
  const auto found = SearchAwq(std::vector{MatrixView{w, 32}}, MeanMagnitude(x),
                               Moments(x, kAwqInputs, pool), Parse("w4a16-g32"), {}, pool)
                         .value();
  EXPECT_LE(found.error_after, found.error_before);
  EXPECT_GT(found.error_after, 0.9 * found.error_before);
}

TEST(Awq, ThreadsDoNotChangeABitAndTiesHold) {
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  const Case c;
  const SecondMoments moments = Moments(c.x, kAwqInputs, one);
  std::vector<int64_t> ties(kAwqInputs);
  for (size_t j = 0; j < ties.size(); ++j) ties[j] = static_cast<int64_t>(j % 32);
  AwqOptions options;
  options.ties = ties;
  const auto scheme = Parse("w4a16-g16");
  const auto a = SearchAwq(c.weights, MeanMagnitude(c.x), moments, scheme, options, one).value();
  const auto b = SearchAwq(c.weights, MeanMagnitude(c.x), moments, scheme, options, three).value();
  EXPECT_EQ(a.factors, b.factors);
  EXPECT_EQ(a.error_after, b.error_after);
  for (size_t j = 0; j < 32; ++j) EXPECT_EQ(a.factors[j], a.factors[j + 32]);
}

TEST(Awq, DeadInputAndZeroWeightsAreHarmless) {
  core::ThreadPool pool(1);
  Case c;
  for (size_t r = 0; r < 300; ++r) c.x[r * kAwqInputs + 9] = 0;
  std::fill(c.k.begin(), c.k.end(), 0.0F);
  const auto found = SearchAwq(c.weights, MeanMagnitude(c.x), Moments(c.x, kAwqInputs, pool),
                               Parse("w4a16-g32"), {}, pool)
                         .value();
  for (const float factor : found.factors) {
    EXPECT_TRUE(std::isfinite(factor));
    EXPECT_GT(factor, 0);
  }
}

}  // namespace
}  // namespace octavo::quant
