#include "quant/balance.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"
#include "quant/smoothquant.h"

namespace octavo::quant {
namespace {

constexpr size_t kBalanceInputs = 44;  // no whole vectors
constexpr int64_t kFeatures = 30;
constexpr int64_t kRows = 120;

// The error of balance.h, by its formula; `order` of the norms instead of maxima, 0: maxima.
double Error(const std::vector<float>& w, const std::vector<float>& x, const std::vector<float>& f,
             double order = 0) {
  double weight_norm = 0;
  double input_norm = 0;
  const auto maxima = [&](const std::vector<float>& rows, bool divide, double& norm) {
    double total = 0;
    for (size_t first = 0; first < rows.size(); first += kBalanceInputs) {
      double largest = 0;
      double powers = 0;
      for (size_t j = 0; j < kBalanceInputs; ++j) {
        const double magnitude = std::fabs(static_cast<double>(rows[first + j]));
        const double value = divide ? magnitude / f[j] : magnitude * f[j];
        largest = std::max(largest, value);
        powers += std::pow(value, order);
        norm += value * value;
      }
      total += order == 0 ? largest * largest : std::pow(powers, 2 / order);
    }
    return total;
  };
  const double inputs = maxima(x, true, input_norm);
  const double weights = maxima(w, false, weight_norm);
  return inputs * weight_norm + weights * input_norm;
}

// Inputs with heavy tails in some columns, each seldom large and at other rows than the others.
std::vector<float> HeavyTails() {
  std::vector<float> x = Normal(kRows * static_cast<int64_t>(kBalanceInputs), 1);
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % kBalanceInputs % 5 == 0) x[i] = x[i] * x[i] * x[i] * 3;
    if (i % kBalanceInputs % 7 == 0) x[i] *= 0.05F;
  }
  return x;
}

std::vector<float> Balance(const std::vector<float>& w, const std::vector<float>& x,
                           const BalanceOptions& options, int threads) {
  core::ThreadPool pool(threads);
  const std::vector<MatrixView> weights = {
      {std::span(w).first(kBalanceInputs * 10), 10},
      {std::span(w).subspan(kBalanceInputs * 10), kFeatures - 10}};
  return BalanceFactors(weights, x, std::vector<float>(kBalanceInputs, 1.0F), options, pool);
}

TEST(Balance, ReachesTheMinimumOfTheSmoothError) {
  const std::vector<float> x = HeavyTails();
  const std::vector<float> w = Normal(kFeatures * static_cast<int64_t>(kBalanceInputs), 2, 0.05);
  BalanceOptions options;
  options.steps = 600;
  const std::vector<float> found = Balance(w, x, options, 2);
  const double least = Error(w, x, found, 16);
  EXPECT_LT(least, 0.5 * Error(w, x, std::vector<float>(kBalanceInputs, 1.0F), 16));
  // It is convex in the factors' logarithms, so no other minimum is anywhere if none is here.
  for (size_t j = 0; j < kBalanceInputs; ++j) {
    for (const float change : {0.9F, 1.1F}) {
      std::vector<float> moved = found;
      moved[j] *= change;
      EXPECT_GT(Error(w, x, moved, 16), 0.9995 * least) << j;
    }
  }
}

TEST(Balance, BeatsEveryExponentOfSmoothQuant) {
  const std::vector<float> x = HeavyTails();
  const std::vector<float> w = Normal(kFeatures * static_cast<int64_t>(kBalanceInputs), 2, 0.05);
  const double balanced = Error(w, x, Balance(w, x, {}, 1));
  const auto absmax = [](const std::vector<float>& rows) {
    const auto n = static_cast<int64_t>(rows.size() / kBalanceInputs);
    return ColumnAbsMax(std::vector{MatrixView{rows, n}}, static_cast<int64_t>(kBalanceInputs));
  };
  for (int alpha = 0; alpha <= 20; ++alpha) {
    const auto factors = SmoothScales(absmax(x), absmax(w), static_cast<float>(alpha) / 20);
    EXPECT_LT(balanced, 0.96 * Error(w, x, factors)) << alpha;
  }
}

TEST(Balance, TiedInputsShareAFactorAndThreadsChangeNoBit) {
  const std::vector<float> x = HeavyTails();
  const std::vector<float> w = Normal(kFeatures * static_cast<int64_t>(kBalanceInputs), 2, 0.05);
  std::vector<int64_t> ties(kBalanceInputs);
  for (size_t j = 0; j < kBalanceInputs; ++j) ties[j] = static_cast<int64_t>(j / 4);
  BalanceOptions options;
  options.ties = ties;
  const std::vector<float> found = Balance(w, x, options, 1);
  for (size_t j = 0; j < kBalanceInputs; ++j) EXPECT_EQ(found[j], found[j / 4 * 4]);
  EXPECT_NE(found[0], found[4]);
  EXPECT_EQ(found, Balance(w, x, options, 3));
}

TEST(Balance, InputsThatAreAlwaysZeroAreNoTrouble) {
  std::vector<float> x = HeavyTails();
  std::vector<float> w = Normal(kFeatures * static_cast<int64_t>(kBalanceInputs), 2, 0.05);
  for (size_t i = 0; i < x.size(); i += kBalanceInputs) x[i + 3] = 0;
  for (size_t i = 0; i < w.size(); i += kBalanceInputs) w[i + 3] = 0;
  std::fill_n(x.begin(), kBalanceInputs, 0.0F);
  for (const float factor : Balance(w, x, {}, 1)) EXPECT_TRUE(std::isfinite(factor) && factor > 0);
  std::fill(x.begin(), x.end(), 0.0F);
  for (const float factor : Balance(w, x, {}, 1)) EXPECT_TRUE(std::isfinite(factor) && factor > 0);
}

}  // namespace
}  // namespace octavo::quant
