// What rounding costs when inputs are divided and weights multiplied by factors: the question that
// SmoothQuant's and AWQ's searches ask again and again.
#pragma once

#include <cstdint>
#include <span>

#include "core/result.h"
#include "core/thread_pool.h"
#include "quant/clip.h"
#include "quant/second_moments.h"
#include "tensor/quant_spec.h"

namespace octavo::quant {

// A weight matrix in f32 that lies in somebody else's memory; values: [n, k], row-major.
struct MatrixView {
  std::span<const float> values;
  int64_t n = 0;
};

// The rows that a search looks at: all, or `most` of them at equal distances.
int64_t SampledRows(int64_t n, int64_t most);
std::span<const float> SampledRow(const MatrixView& weight, int64_t k, int64_t index, int64_t most);

// tr(E H E^T) over the sampled rows of all matrices, E = round(weight * factors) / factors -
// weight: the output error with weights rounded to the nearest code of `scheme` after the factors
// [K], > 0, were multiplied in. With Clip::kMse scales are chosen by the moments' diagonal.
// Deterministic.
double ScaledRoundingError(std::span<const MatrixView> weights, std::span<const float> factors,
                           const SecondMoments& moments, const tensor::Scheme& scheme, Clip clip,
                           int64_t most_rows, core::ThreadPool& pool);

}  // namespace octavo::quant
