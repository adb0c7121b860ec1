#include "quant/cholesky.h"

#include <algorithm>

#include "quant/blas.h"

namespace octavo::quant {

bool CholeskyLower(int64_t n, double* a, core::ThreadPool& pool) {
  constexpr int64_t kTile = 256;
  for (int64_t d = 0; d < n; d += kTile) {
    const int64_t width = std::min(kTile, n - d);
    double* diagonal = a + d * n + d;
    if (!blas::Cholesky(width, diagonal, n)) return false;
    const int64_t first = d + width;
    const int64_t side = (n - first + kTile - 1) / kTile;
    pool.ParallelFor(side, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t row = first + t * kTile;
        blas::SolveTransposedLower(std::min(kTile, n - row), width, diagonal, n, a + row * n + d,
                                   n);
      }
    });
    pool.ParallelFor(side * (side + 1) / 2, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        int64_t i = 0;
        while ((i + 1) * (i + 2) / 2 <= t) ++i;
        const int64_t row = first + i * kTile;
        const int64_t column = first + (t - i * (i + 1) / 2) * kTile;
        blas::Gemm(blas::Op::kNone, blas::Op::kTranspose, std::min(kTile, n - row),
                   std::min(kTile, n - column), width, -1.0, a + row * n + d, n, a + column * n + d,
                   n, 1.0, a + row * n + column, n);
      }
    });
  }
  return true;
}

}  // namespace octavo::quant
