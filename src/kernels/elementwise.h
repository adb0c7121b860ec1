// Row-wise operations between the matrix products, spread over the pool when there are rows enough.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/thread_pool.h"

namespace octavo::kernels {

// Rows of n floats that are worth waking a thread for: some 16k floats.
inline int64_t RowsPerPiece(int64_t n) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, n));
}

// RMS norm (Zhang, Sennrich 2019) of each of `rows` rows of n floats. x and out may be the same.
void RmsNorm(const float* x, const float* weight, int64_t rows, int64_t n, float eps, float* out,
             core::ThreadPool& pool);
// gate = SiLU(gate) * up over `rows` rows of n floats (Shazeer 2020).
void SiluMul(float* gate, const float* up, int64_t rows, int64_t n, core::ThreadPool& pool);

}  // namespace octavo::kernels
