// The second moments of a layer's inputs, damped and factored for GPTQ; matrices that share the
// inputs (q/k/v, gate/up) share it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "core/thread_pool.h"
#include "quant/clip.h"
#include "quant/second_moments.h"

namespace octavo::quant {

struct GptqOptions {
  double damping = 0.01;     // of the mean of H's diagonal, added to the diagonal
  double damping_limit = 1;  // raising it beyond is an Error
  bool act_order = true;     // inputs in the order of falling diagonal
  int64_t block = 128;       // inputs between two matrix products; changes no more than rounding
  Clip clip = Clip::kMse;    // how the scales are chosen, weighted by the pivots
};

// Let H = sum of x x^T / rows + damping, its rows and columns in the order in which the inputs are
// quantized. H = (I + M) D (I + M)^T with M strictly upper and D diagonal; then
//   tr(E H E^T) = sum over n, j of D[j] * (E[n, j] + sum over i < j of E[n, i] M[i, j])^2,
// so quantizing input j of w + E M to the nearest code is optimal given the errors E of the inputs
// before it: GPTQ's update (arXiv 2210.17323), in the form of LDLQ (QuIP, arXiv 2307.13304 section
// 4), which needs one factorisation and no inverse. The factorisation is in f64: an outlier input
// gives H a condition number near K / damping, where f32 fails or drowns the small pivots.
class GptqFactor {
 public:
  // Keeps a reference to `moments`, which must live as long as the factor. Takes 12 K^2 bytes more
  // while it runs and 4 K^2 afterwards. H that is not positive definite raises the damping tenfold
  // until it is. An Error when no damping up to the limit helps, and when H holds a NaN or an
  // infinity (the inputs overflowed), which names the input. The same bytes for any threads.
  static core::Result<GptqFactor> Make(const SecondMoments& moments, const GptqOptions& options,
                                       core::ThreadPool& pool);

  int64_t k() const { return moments_->k(); }
  const SecondMoments& moments() const { return *moments_; }
  double damping() const { return damping_; }  // what it took
  float added() const { return added_; }  // damping * mean diagonal, what each diagonal element got
  int raises() const { return raises_; }
  // Inputs that were zero in every row: their weights do not matter and become 0.
  const std::vector<int64_t>& dead() const { return dead_; }

  const std::vector<int64_t>& order() const { return order_; }      // position -> input
  const float* feedback() const { return feedback_.data(); }        // M, [K, K] by position
  const std::vector<float>& pivots() const { return pivots_; }      // D, by position
  const std::vector<float>& diagonal() const { return diagonal_; }  // of H before damping, by input

 private:
  GptqFactor() = default;

  const SecondMoments* moments_ = nullptr;
  double damping_ = 0;
  float added_ = 0;
  int raises_ = 0;
  std::vector<int64_t> dead_;
  std::vector<int64_t> order_;
  std::vector<float> feedback_;
  std::vector<float> pivots_;
  std::vector<float> diagonal_;
};

}  // namespace octavo::quant
