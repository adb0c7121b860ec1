#include "kernels/hadamard.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/random.h"
#include "kernels/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/scratch.h"

namespace octavo::kernels {

Hadamard Hadamard::Make(int64_t n, uint64_t seed) {
  OCTAVO_CHECK(n >= 1);
  Hadamard out;
  out.n_ = n;
  out.seed_ = seed;
  int64_t blocks = 1;
  auto factors = FindHadamardFactors(n);
  while (!factors) {  // ends at blocks = n, whose order is 1
    do ++blocks;
    while (n % blocks != 0);
    factors = FindHadamardFactors(n / blocks);
  }
  out.order_ = n / blocks;
  out.walsh_ = factors->walsh;
  int64_t span = out.walsh_;
  for (auto size = factors->dense.rbegin(); size != factors->dense.rend(); ++size) {
    Factor factor{*size, span, PaleyMatrix(*size), {}};
    factor.transposed.resize(factor.matrix.size());
    for (int64_t i = 0; i < *size; ++i) {
      for (int64_t j = 0; j < *size; ++j) {
        factor.transposed[static_cast<size_t>(j * *size + i)] =
            factor.matrix[static_cast<size_t>(i * *size + j)];
      }
    }
    out.factors_.push_back(std::move(factor));
    span *= *size;
  }
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(out.order_)));
  core::Random random(seed);
  out.scaled_signs_.resize(static_cast<size_t>(n));
  for (float& sign : out.scaled_signs_) sign = random.Next() >> 63 == 0 ? scale : -scale;
  return out;
}

void Hadamard::Multiply(float* row, bool transposed) const {
  const KernelTable& table = ActiveTable();
  if (walsh_ > 1) table.walsh_hadamard(row, n_, walsh_);
  for (const Factor& factor : factors_) {
    const int64_t part = factor.size * factor.span;
    float* product = ThreadScratch(part);
    const float* matrix = transposed ? factor.transposed.data() : factor.matrix.data();
    for (int64_t i = 0; i < n_; i += part) {
      table.combine_spans(row + i, factor.size, factor.span, matrix, product);
      std::copy(product, product + part, row + i);
    }
  }
}

template <typename Body>
void Hadamard::ForRows(int64_t rows, core::ThreadPool& pool, const Body& body) const {
  // Rows per piece: a piece below some 16k floats costs less than waking a thread.
  pool.ParallelFor(rows, RowsPerPiece(n_), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

void Hadamard::Apply(float* x, int64_t rows, core::ThreadPool& pool) const {
  ForRows(rows, pool, [&](int64_t i) {
    float* row = x + i * n_;
    for (int64_t c = 0; c < n_; ++c) row[c] *= scaled_signs_[static_cast<size_t>(c)];
    Multiply(row, false);
  });
}

void Hadamard::ApplyTransposed(float* x, int64_t rows, core::ThreadPool& pool) const {
  ForRows(rows, pool, [&](int64_t i) {
    float* row = x + i * n_;
    Multiply(row, true);
    for (int64_t c = 0; c < n_; ++c) row[c] *= scaled_signs_[static_cast<size_t>(c)];
  });
}

}  // namespace octavo::kernels
