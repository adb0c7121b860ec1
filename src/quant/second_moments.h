// What the calibrated methods know of a layer's inputs: the sum over all rows of x x^T. With it the
// squared error of the layer's output under a weight error D is tr(D H D^T), so no activation needs
// to be kept.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_pool.h"

namespace octavo::quant {

// Takes 4 K^2 bytes (256 MiB at K = 8192). One thread at a time may call the functions.
class SecondMoments {
 public:
  explicit SecondMoments(int64_t k);

  // x: [rows, K] f32, row-major. The same bits for any number of threads, but not for any cut of
  // the rows into calls: each call's products are summed first. At best a few hundred rows a call.
  void Add(const float* x, int64_t rows, core::ThreadPool& pool);

  int64_t k() const { return k_; }
  int64_t rows() const { return rows_; }
  // [K, K], symmetric: sum of x x^T, not divided by the rows. Valid until the next Add.
  const float* matrix() const;
  // As if each input had been divided by its factor: [K], not zero.
  void DivideInputs(std::span<const float> factors);
  // [K]: its diagonal, the sum of the squares of each input.
  std::vector<float> Diagonal() const;

 private:
  int64_t k_;
  int64_t rows_ = 0;
  mutable bool mirrored_ = true;  // whether the upper triangle is up to date
  mutable std::vector<float> matrix_;
};

}  // namespace octavo::quant
