#include "quant/gptq_factor.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "quant/cholesky.h"

namespace octavo::quant {
namespace {

core::Error NotFinite(int64_t input, float value) {
  return core::Invalid(
      fmt::format("the mean square of input {} is {}: an activation overflowed or the weights "
                  "before it are damaged",
                  input, std::isnan(value) ? "NaN" : "infinite"));
}

}  // namespace

core::Result<GptqFactor> GptqFactor::Make(const SecondMoments& moments, const GptqOptions& options,
                                          core::ThreadPool& pool) {
  OCTAVO_CHECK(moments.rows() > 0 && options.damping > 0);
  const int64_t k = moments.k();
  const double per_row = 1.0 / static_cast<double>(moments.rows());
  GptqFactor out;
  out.moments_ = &moments;
  out.diagonal_ = moments.Diagonal();
  double mean = 0;
  for (int64_t i = 0; i < k; ++i) {
    float& h = out.diagonal_[static_cast<size_t>(i)];
    if (!std::isfinite(h)) return NotFinite(i, h);
    h = static_cast<float>(h * per_row);
    mean += h / static_cast<double>(k);
    if (h == 0) out.dead_.push_back(i);
  }
  if (mean == 0) mean = 1;  // all inputs dead

  out.order_.resize(static_cast<size_t>(k));
  std::iota(out.order_.begin(), out.order_.end(), int64_t{0});
  if (options.act_order) {
    std::stable_sort(out.order_.begin(), out.order_.end(), [&](int64_t a, int64_t b) {
      return out.diagonal_[static_cast<size_t>(a)] > out.diagonal_[static_cast<size_t>(b)];
    });
  }

  // L L^T of H with the last position first; then (I + M) D (I + M)^T reads L from its far corner.
  const float* sums = moments.matrix();
  std::vector<double> lower(static_cast<size_t>(k * k));
  const auto input = [&](int64_t i) { return out.order_[static_cast<size_t>(k - 1 - i)]; };
  for (out.damping_ = options.damping;; out.damping_ *= 10, ++out.raises_) {
    if (out.damping_ > options.damping_limit * (1 + 1e-9)) {
      return core::Invalid(fmt::format(
          "the second moments of the inputs cannot be factored, not even with a damping of {:g}; "
          "more calibration samples, or a method that needs no factorisation",
          out.damping_ / 10));
    }
    out.added_ = static_cast<float>(out.damping_ * mean);
    pool.ParallelFor(k, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        double* row = lower.data() + i * k;
        const float* from = sums + input(i) * k;
        for (int64_t j = 0; j <= i; ++j) row[j] = from[input(j)] * per_row;
        row[i] += out.added_;
      }
    });
    if (CholeskyLower(k, lower.data(), pool)) break;
  }

  out.feedback_.assign(static_cast<size_t>(k * k), 0.0F);
  out.pivots_.resize(static_cast<size_t>(k));
  pool.ParallelFor(k, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double* row = lower.data() + (k - 1 - i) * k;
      float* to = out.feedback_.data() + i * k;
      for (int64_t j = i + 1; j < k; ++j) {
        const int64_t column = k - 1 - j;
        to[j] = static_cast<float>(row[column] / lower[static_cast<size_t>(column * (k + 1))]);
      }
      const double pivot = row[k - 1 - i];
      out.pivots_[static_cast<size_t>(i)] = static_cast<float>(pivot * pivot);
    }
  });
  return out;
}

}  // namespace octavo::quant
