#include "quant/awq.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "quant/finite.h"

namespace octavo::quant {
namespace {

// [K]: mean over all rows of |w| / (the largest of its group).
std::vector<float> MeanRelativeSize(std::span<const MatrixView> weights, int64_t k, int64_t group) {
  std::vector<double> sums(static_cast<size_t>(k));
  int64_t rows = 0;
  for (const MatrixView& weight : weights) {
    rows += weight.n;
    for (int64_t n = 0; n < weight.n; ++n) {
      for (int64_t first = 0; first < k; first += group) {
        const std::span<const float> part =
            weight.values.subspan(static_cast<size_t>(n * k + first), static_cast<size_t>(group));
        const float largest = tensor::AbsMax(part);
        if (largest == 0) continue;
        for (int64_t j = 0; j < group; ++j) {
          sums[static_cast<size_t>(first + j)] += std::fabs(part[static_cast<size_t>(j)]) / largest;
        }
      }
    }
  }
  std::vector<float> out(sums.size());
  for (size_t j = 0; j < out.size(); ++j) {
    out[j] = static_cast<float>(sums[j] / static_cast<double>(rows));
  }
  return out;
}

// The mean of each set of tied values, for all of the set.
void TakeMean(std::span<const int64_t> ties, std::vector<float>& values) {
  if (ties.empty()) return;
  std::vector<double> sums(values.size());
  std::vector<double> counts(values.size());
  for (size_t j = 0; j < values.size(); ++j) {
    sums[static_cast<size_t>(ties[j])] += values[j];
    counts[static_cast<size_t>(ties[j])] += 1;
  }
  for (size_t j = 0; j < values.size(); ++j) {
    const auto set = static_cast<size_t>(ties[j]);
    values[j] = static_cast<float>(sums[set] / counts[set]);
  }
}

std::vector<float> Factors(std::span<const float> x, std::span<const float> w, double ratio,
                           bool duo) {
  std::vector<double> raw(x.size());
  for (size_t j = 0; j < raw.size(); ++j) {
    raw[j] = std::pow(std::max(static_cast<double>(x[j]), 1e-8), ratio);
    if (duo) raw[j] /= std::pow(static_cast<double>(w[j]), 1 - ratio) + 1e-4;
    raw[j] = std::max(raw[j], 1e-4);
  }
  const auto [least, most] = std::minmax_element(raw.begin(), raw.end());
  const double middle = std::sqrt(*least * *most);
  std::vector<float> out(raw.size());
  for (size_t j = 0; j < out.size(); ++j) out[j] = static_cast<float>(raw[j] / middle);
  return out;
}

}  // namespace

core::Result<AwqScales> SearchAwq(std::span<const MatrixView> weights,
                                  std::span<const float> mean_x, const SecondMoments& moments,
                                  const tensor::Scheme& scheme, const AwqOptions& options,
                                  core::ThreadPool& pool) {
  const int64_t k = moments.k();
  OCTAVO_CHECK(static_cast<int64_t>(mean_x.size()) == k && options.steps > 0);
  for (const MatrixView& weight : weights) OCTAVO_RETURN_IF_ERROR(CheckFinite(weight.values, k));

  const auto estimate = [&](std::span<const float> factors) {
    return ScaledRoundingError(weights, factors, moments, scheme, options.clip, options.most_rows,
                               pool);
  };
  AwqScales best;
  best.factors.assign(static_cast<size_t>(k), 1.0F);
  best.error_before = best.error_after = estimate(best.factors);
  std::vector<float> x(mean_x.begin(), mean_x.end());
  std::vector<float> w =
      MeanRelativeSize(weights, k, scheme.group_size == 0 ? k : scheme.group_size);
  TakeMean(options.ties, x);
  TakeMean(options.ties, w);
  for (int step = 0; step < options.steps; ++step) {
    const double ratio = static_cast<double>(step) / options.steps;
    for (const bool duo : {false, true}) {
      std::vector<float> factors = Factors(x, w, ratio, duo);
      const double error = estimate(factors);
      if (error < best.error_after) {
        best.error_after = error;
        best.ratio = ratio;
        best.duo = duo;
        best.factors = std::move(factors);
      }
    }
  }
  return best;
}

}  // namespace octavo::quant
