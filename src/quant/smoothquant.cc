#include "quant/smoothquant.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "quant/balance.h"
#include "quant/finite.h"

namespace octavo::quant {
namespace {

// The mean over input rows of the squared step with which rows divided by `factors` are rounded.
double MeanSquaredStep(std::span<const float> rows, std::span<const float> factors) {
  double total = 0;
  size_t count = 0;
  for (size_t first = 0; first < rows.size(); first += factors.size(), ++count) {
    float largest = 0;
    for (size_t j = 0; j < factors.size(); ++j) {
      largest = std::max(largest, std::fabs(rows[first + j]) / factors[j]);
    }
    total += static_cast<double>(largest / 127) * (largest / 127);
  }
  return count == 0 ? 0 : total / static_cast<double>(count);
}

// |W * factors|^2 over the sampled rows.
double SquaredNorm(std::span<const MatrixView> weights, std::span<const float> factors,
                   int64_t most_rows) {
  const auto k = static_cast<int64_t>(factors.size());
  double total = 0;
  for (const MatrixView& weight : weights) {
    for (int64_t n = 0; n < SampledRows(weight.n, most_rows); ++n) {
      const std::span<const float> row = SampledRow(weight, k, n, most_rows);
      for (size_t j = 0; j < row.size(); ++j) {
        const double value = static_cast<double>(row[j]) * factors[j];
        total += value * value;
      }
    }
  }
  return total;
}

// The largest of each set of tied values, for all of the set.
void TakeLargest(std::span<const int64_t> ties, std::vector<float>& values) {
  if (ties.empty()) return;
  std::vector<float> largest(values.size());
  for (size_t j = 0; j < values.size(); ++j) {
    float& shared = largest[static_cast<size_t>(ties[j])];
    shared = std::max(shared, values[j]);
  }
  for (size_t j = 0; j < values.size(); ++j) values[j] = largest[static_cast<size_t>(ties[j])];
}

}  // namespace

std::vector<float> SmoothScales(std::span<const float> absmax_x, std::span<const float> absmax_w,
                                float alpha) {
  OCTAVO_CHECK(absmax_x.size() == absmax_w.size());
  std::vector<float> factors(absmax_x.size(), 1.0F);
  for (size_t j = 0; j < factors.size(); ++j) {
    if (absmax_x[j] == 0 || absmax_w[j] == 0) continue;
    factors[j] = std::max(std::pow(absmax_x[j], alpha) / std::pow(absmax_w[j], 1 - alpha), 1e-5F);
  }
  return factors;
}

std::vector<float> ColumnAbsMax(std::span<const MatrixView> weights, int64_t k) {
  std::vector<float> out(static_cast<size_t>(k));
  for (const MatrixView& weight : weights) {
    for (int64_t n = 0; n < weight.n; ++n) {
      for (int64_t j = 0; j < k; ++j) {
        float& largest = out[static_cast<size_t>(j)];
        largest = std::max(largest, std::fabs(weight.values[static_cast<size_t>(n * k + j)]));
      }
    }
  }
  return out;
}

core::Result<SmoothResult> SearchSmooth(std::span<const MatrixView> weights,
                                        std::span<const float> absmax_x,
                                        std::span<const float> sample, const SecondMoments& moments,
                                        const tensor::Scheme& scheme, const SmoothOptions& options,
                                        core::ThreadPool& pool) {
  const int64_t k = moments.k();
  OCTAVO_CHECK(static_cast<int64_t>(absmax_x.size()) == k && options.steps > 0);
  OCTAVO_CHECK(sample.size() % absmax_x.size() == 0);
  OCTAVO_CHECK(scheme.activations != tensor::Activations::kDynamicPerToken || !sample.empty());
  for (const MatrixView& weight : weights) OCTAVO_RETURN_IF_ERROR(CheckFinite(weight.values, k));

  const auto estimate = [&](std::span<const float> factors) {
    double error = ScaledRoundingError(weights, factors, moments, scheme, Clip::kNone,
                                       options.most_rows, pool);
    if (scheme.activations != tensor::Activations::kFloat) {
      const bool dynamic = scheme.activations == tensor::Activations::kDynamicPerToken;
      error += MeanSquaredStep(dynamic ? sample : absmax_x, factors) / 12 *
               SquaredNorm(weights, factors, options.most_rows);
    }
    return error;
  };
  SmoothResult best;
  best.factors.assign(static_cast<size_t>(k), 1.0F);
  best.error_before = best.error_after = estimate(best.factors);
  std::vector<float> x(absmax_x.begin(), absmax_x.end());
  std::vector<float> w = ColumnAbsMax(weights, k);
  TakeLargest(options.ties, x);
  TakeLargest(options.ties, w);
  for (int step = 0; step <= options.steps; ++step) {
    const float alpha = static_cast<float>(step) / static_cast<float>(options.steps);
    std::vector<float> factors = SmoothScales(x, w, alpha);
    const double error = estimate(factors);
    if (error < best.error_after) {
      best.error_after = error;
      best.alpha = alpha;
      best.factors = std::move(factors);
    }
  }
  if (scheme.activations != tensor::Activations::kDynamicPerToken) return best;
  BalanceOptions balance;
  balance.most_rows = options.most_rows;
  balance.ties = options.ties;
  std::vector<float> factors = BalanceFactors(weights, sample, best.factors, balance, pool);
  const double error = estimate(factors);
  if (error < best.error_after) {
    best.error_after = error;
    best.balanced = true;
    best.factors = std::move(factors);
  }
  return best;
}

}  // namespace octavo::quant
