// The input of linear layers in the form that their kernels read, made once for all layers that
// share it.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

namespace octavo::kernels {

// Memory is kept from call to call. Not thread-safe.
class Activations {
 public:
  // x: [rows, k] f32, row-major. For kF32 it is only referred to and must live as long as this is
  // used; for the others it is converted, each row by itself.
  // `sums`: for weights of 4 bits, with int8 rows, of whose codes sums are then kept.
  void Assign(const float* x, int64_t rows, int64_t k, InputType type, core::ThreadPool& pool,
              bool sums = false);
  // kF32 with the values rounded to bf16: what a bf16 product means where the CPU has no bf16 dots.
  void AssignRounded(const float* x, int64_t rows, int64_t k, core::ThreadPool& pool);

  InputType type() const { return type_; }
  int64_t rows() const { return rows_; }
  int64_t k() const { return k_; }
  // Whether rows lie in tiles (table.h); then `index` is a multiple of 16 and the stride is that of
  // 16 rows.
  bool tiled() const { return tiled_; }
  const std::byte* row(int64_t index) const {
    return data_ + (tiled_ ? index / kTileSide : index) * stride_bytes_;
  }
  int64_t stride_bytes() const { return stride_bytes_; }
  const float* scales() const { return scales_; }  // kI8: [rows]
  // kI8 with sums: [rows][sums_stride()], each of kSumInputs codes; else nullptr.
  const int16_t* sums() const { return sums_; }
  int64_t sums_stride() const { return k_ / kSumInputs; }

 private:
  // Room for [rows, padded k] elements and, for kI8, scales.
  std::byte* Reserve(int64_t rows, int64_t k, int64_t element_bytes, int64_t unit);
  InputType type_ = InputType::kF32;
  int64_t rows_ = 0;
  int64_t k_ = 0;
  int64_t stride_bytes_ = 0;
  bool tiled_ = false;
  const std::byte* data_ = nullptr;
  float* scales_ = nullptr;
  int16_t* sums_ = nullptr;
  FloatBuffer buffer_;
};

}  // namespace octavo::kernels
