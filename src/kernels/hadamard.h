// Randomized Hadamard rotation (Tseng et al. 2024, QuIP#; Ashkboos et al. 2024, QuaRot): spreads a
// few large numbers of a row over all of them, so that int8 codes fit.
#pragma once

#include <cstdint>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/hadamard_orders.h"

namespace octavo::kernels {

// R = diag(signs) * H / sqrt(order), an orthonormal [n, n] matrix that n and the seed determine for
// ever: files rely on it (docs/numerics.md). Safe to use from many threads.
class Hadamard {
 public:
  // Whether H is one matrix of order n. Where not, H is block-diagonal with the largest order()
  // that exists and divides n.
  static bool Exists(int64_t n) { return FindHadamardFactors(n).has_value(); }
  // n from 1 on.
  static Hadamard Make(int64_t n, uint64_t seed);

  int64_t n() const { return n_; }
  int64_t order() const { return order_; }
  uint64_t seed() const { return seed_; }
  // x: [rows, n] f32 becomes x * R, or x * R^T, in place. The same bits on every instruction set
  // and for any number of threads; a row's result depends on that row alone.
  void Apply(float* x, int64_t rows, core::ThreadPool& pool) const;
  void ApplyTransposed(float* x, int64_t rows, core::ThreadPool& pool) const;

 private:
  // One dense factor: x [..., size, span] is multiplied along `size`.
  struct Factor {
    int64_t size;
    int64_t span;
    std::vector<float> matrix;      // [size, size] of +1 and -1
    std::vector<float> transposed;  // of it
  };
  void Multiply(float* row, bool transposed) const;
  template <typename Body>
  void ForRows(int64_t rows, core::ThreadPool& pool, const Body& body) const;
  int64_t n_ = 0;
  int64_t order_ = 0;
  uint64_t seed_ = 0;
  int64_t walsh_ = 1;
  std::vector<Factor> factors_;      // innermost first
  std::vector<float> scaled_signs_;  // [n], +-1 / sqrt(order)
};

}  // namespace octavo::kernels
