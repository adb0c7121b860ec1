#include "kernels/elementwise.h"

#include "kernels/dispatch.h"

namespace octavo::kernels {

void RmsNorm(const float* x, const float* weight, int64_t rows, int64_t n, float eps, float* out,
             core::ThreadPool& pool) {
  const KernelTable& table = ActiveTable();
  pool.ParallelFor(rows, RowsPerPiece(n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) table.rms_norm(x + i * n, weight, n, eps, out + i * n);
  });
}

void SiluMul(float* gate, const float* up, int64_t rows, int64_t n, core::ThreadPool& pool) {
  const KernelTable& table = ActiveTable();
  pool.ParallelFor(rows, RowsPerPiece(n), [&](int64_t begin, int64_t end) {
    table.silu_mul(gate + begin * n, up + begin * n, (end - begin) * n, gate + begin * n);
  });
}

}  // namespace octavo::kernels
