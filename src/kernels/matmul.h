// Matrix products of activations with packed weights: the checked, parallel face of the kernel
// tables.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "core/thread_pool.h"
#include "kernels/activations.h"
#include "kernels/packed_matrix.h"

namespace octavo::kernels {

// What ran, read from the table entry that was called. Thread-safe.
struct CallCounter {
  std::atomic<const MatMulEntry*> entry{nullptr};
  std::atomic<int64_t> calls{0};
  std::atomic<int64_t> weight_bytes{0};  // bytes of packed weights and scales that the calls read
};

// The active table's entry for this pair; nullptr if it has none.
const MatMulEntry* FindMatMul(InputType input, Storage storage);

// One product of a group that shares its input: out: [rows, N] f32 = x * weight^T (+ bias).
struct Product {
  const PackedMatrix* weight;
  const float* bias;  // padded to whole blocks; nullptr: none
  float* out;
  CallCounter* counter;  // may be nullptr
};

// Runs the products of up to kMaxProducts weights with one input, as one parallel loop. All weights
// have x's K, and the table has an entry for each. A row's result depends on that row and the
// weights alone: not on the rows beside it or the number of threads.
inline constexpr size_t kMaxProducts = 4;
void MatMul(const Activations& x, std::span<const Product> products, core::ThreadPool& pool);

}  // namespace octavo::kernels
