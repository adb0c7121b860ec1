// SmoothQuant (arXiv 2211.10438): inputs with outliers are divided, and their weights multiplied,
// by factors that a norm or a matrix before the layer can take up.
#pragma once

#include <span>
#include <vector>

#include "core/result.h"
#include "core/thread_pool.h"
#include "quant/scaled_rounding.h"
#include "quant/second_moments.h"
#include "tensor/quant_spec.h"

namespace octavo::quant {

// factors[j] = absmax_x[j]^alpha / absmax_w[j]^(1 - alpha); x is to be divided by them, the
// weights' columns multiplied. 1 where either maximum is zero; at least 1e-5. absmax_x, absmax_w:
// [K], over all calibration rows and over all matrices that share the input.
std::vector<float> SmoothScales(std::span<const float> absmax_x, std::span<const float> absmax_w,
                                float alpha);

// [K]: the largest magnitude of each column over all matrices.
std::vector<float> ColumnAbsMax(std::span<const MatrixView> weights, int64_t k);

struct SmoothOptions {
  int steps = 20;           // alpha = 0, 1/steps, ..., 1
  int64_t most_rows = 512;  // of each matrix that the search looks at
  // ties[j] is the factor that input j must share with others (values of one KV head that several
  // query heads read, say): any numbers below K. Empty: none.
  std::span<const int64_t> ties;
};

struct SmoothResult {
  std::vector<float> factors;  // [K]; all 1 where nothing beats it
  float alpha = -1;            // of the family; -1 when its best are all 1
  bool balanced = false;       // the factors are not of the family (balance.h)
  double error_before = 0;     // the estimate with all factors 1
  double error_after = 0;
};

// The alpha of least estimated output error, and for kDynamicPerToken what BalanceFactors makes of
// its factors where that is better: tr(E H E^T) of the rounded weights, plus what rounding the
// inputs adds, mean step^2 / 12 * |W|^2 (errors of a step's width, independent and uniform). An
// input row's step is its own absmax / 127 (kDynamicPerToken; over the rows of `sample`, [any, K])
// or that of `absmax_x` (kStaticPerTensor); kFloat adds nothing. A weight that is NaN or infinite
// is an Error that gives its index.
core::Result<SmoothResult> SearchSmooth(std::span<const MatrixView> weights,
                                        std::span<const float> absmax_x,
                                        std::span<const float> sample, const SecondMoments& moments,
                                        const tensor::Scheme& scheme, const SmoothOptions& options,
                                        core::ThreadPool& pool);

}  // namespace octavo::quant
