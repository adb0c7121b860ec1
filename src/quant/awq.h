// AWQ (arXiv 2306.00978): weights of the inputs that matter are multiplied by factors above 1
// before rounding, and the inputs divided by them, so that they are rounded more finely.
#pragma once

#include <span>
#include <vector>

#include "core/result.h"
#include "core/thread_pool.h"
#include "quant/clip.h"
#include "quant/scaled_rounding.h"
#include "quant/second_moments.h"
#include "tensor/quant_spec.h"

namespace octavo::quant {

struct AwqOptions {
  int steps = 20;                 // ratio = 0, 1/steps, ..., (steps - 1)/steps
  Clip clip = Clip::kMse;         // of the scales, in each trial
  int64_t most_rows = 512;        // of each matrix that the search looks at
  std::span<const int64_t> ties;  // as SmoothOptions::ties
};

struct AwqScales {
  std::vector<float> factors;  // [K]: multiply the weights' columns, divide the inputs; geometric
                               // mean of the largest and smallest is 1; all 1 where nothing helps
  double ratio = 0;
  bool duo = false;         // whether the weights' own size is in it
  double error_before = 0;  // tr(E H E^T) of the sampled rows, factors 1
  double error_after = 0;
};

// Tries x^ratio and x^ratio / w^(1 - ratio) for each ratio of the grid, with x[j] the mean
// magnitude of input j (`mean_x`, [K]) and w[j] the mean over all rows of a weight's magnitude
// relative to the largest of its group (duo scaling, as in llm-awq), and keeps the factors of least
// output error of round to nearest. `weights` share the input. The same bytes for any number of
// threads. A weight that is NaN or infinite is an Error that gives its index.
core::Result<AwqScales> SearchAwq(std::span<const MatrixView> weights,
                                  std::span<const float> mean_x, const SecondMoments& moments,
                                  const tensor::Scheme& scheme, const AwqOptions& options,
                                  core::ThreadPool& pool);

}  // namespace octavo::quant
