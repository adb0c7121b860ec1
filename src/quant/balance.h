// Factors between the inputs and the weights of a layer that is rounded on both sides. SmoothQuant
// chooses them out of a family of one parameter; here each input has one of its own, which the
// expected error itself decides.
#pragma once

#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "quant/scaled_rounding.h"

namespace octavo::quant {

struct BalanceOptions {
  int steps = 100;          // of the descent
  int64_t most_rows = 512;  // of each matrix, and of the sample, that are looked at
  // ties[j]: the factor that input j shares with others, below K. Empty: none.
  std::span<const int64_t> ties;
};

// With codes a step apart whose errors are uniform and independent, inputs divided by the factors f
// (row by row to 127 steps) and weights multiplied by them (likewise) give the output an error of
//   mean_t max_j (x[t, j] / f[j])^2 * sum_j f[j]^2 |W[:, j]|^2
//     + sum_n max_j (W[n, j] f[j])^2 * mean_t sum_j (x[t, j] / f[j])^2,
// over 12 * 127^2. In log f both terms are convex, and so is the logarithm of their sum, hence
// there is one minimum; it is approached by gradient descent (Adam, arXiv 1412.6980) from `start`,
// with norms of order 16 for the maxima.
//
// sample: [any, K], rows of inputs; start: [K], > 0. Returns [K], > 0, of the same geometric mean
// as `start`. An input that is always zero or has no weight keeps its factor. All values must be
// finite. The same bits for any number of threads.
std::vector<float> BalanceFactors(std::span<const MatrixView> weights,
                                  std::span<const float> sample, std::span<const float> start,
                                  const BalanceOptions& options, core::ThreadPool& pool);

}  // namespace octavo::quant
