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
  std::atomic<float> fixed_scale{0};  // of the last call's input codes; 0: each row had its own
  std::atomic<int64_t> calls{0};
  std::atomic<int64_t> weight_bytes{0};  // bytes of packed weights and scales that the calls read
};

// The active table's entry for this pair; nullptr if it has none.
const MatMulEntry* FindMatMul(InputType input, const PackedMatrix& weight);

// One product of a group that shares its input: out: [rows, N] f32 = x * weight^T (+ bias), or with
// `add` out + that.
struct Product {
  const PackedMatrix* weight;
  const float* bias;  // padded to whole blocks; nullptr: none
  float* out;
  CallCounter* counter;  // may be nullptr
  bool add = false;
};

// Runs the products of up to kMaxProducts weights with one input, as one parallel loop. All weights
// have x's K, and the table has an entry for each. A row's result depends on that row and the
// weights alone: not on the rows beside it or the number of threads.
inline constexpr size_t kMaxProducts = 4;
// What InputOptions::sum_inputs must be for inputs of all these: 0 where none has groups.
int64_t SumInputs(std::span<const Product> products);
void MatMul(const Activations& x, std::span<const Product> products, core::ThreadPool& pool);

// out: [rows, N] f32 = SiLU(x * gate^T) * (x * up^T), the first half of a gated MLP (Shazeer 2020),
// without either product in memory as a whole. Both weights have the same N; their `out` and `add`
// are not used. The same bits as the products one by one.
void GatedMatMul(const Activations& x, const Product& gate, const Product& up, float* out,
                 core::ThreadPool& pool);

// Tell threads that wait what the next MatMul, or GatedMatMul, of `rows` rows reads first
// (core::ThreadPool::ReadNext).
void ExpectMatMul(int64_t rows, std::span<const PackedMatrix* const> weights,
                  core::ThreadPool& pool);
void ExpectGatedMatMul(int64_t rows, const PackedMatrix& gate, const PackedMatrix& up,
                       core::ThreadPool& pool);

}  // namespace octavo::kernels
