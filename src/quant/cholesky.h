// Cholesky of a large matrix on all threads.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"

namespace octavo::quant {

// The lower triangle of a [n, n] f64, row-major, becomes that of L with a = L L^T; what lies above
// the diagonal is garbage afterwards. False when a is not positive definite (or holds a NaN). Tiles
// of 256, the same bits for any number of threads.
bool CholeskyLower(int64_t n, double* a, core::ThreadPool& pool);

}  // namespace octavo::quant
