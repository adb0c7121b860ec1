// The input of linear layers in the form that their kernels read, made once for all layers that
// share it.
#pragma once

#include <cstdint>

#include "core/thread_pool.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

namespace octavo::kernels {

// An RMS norm (Zhang, Sennrich 2019) that rows pass before anything else.
struct RowNorm {
  const float* weight = nullptr;  // [k]; nullptr: none
  float eps = 0;
};

struct InputOptions {
  RowNorm norm = {};
  // For weights in groups, with codes: signed codes and the sums of so many of them are kept, a
  // divisor of each group (SumInputs). 0: none.
  int64_t sum_inputs = 0;
  // With kF32 and kI24: the values are rounded to bf16 first, which is what a bf16 product means
  // where there is no bf16 dot for it.
  bool round_to_bf16 = false;
  // With kI8: one scale, positive and finite, for all rows: codes = round half even(x / scale),
  // clamped to +-127. 0: each row has its own.
  float fixed_scale = 0;
};

// Memory is kept from call to call. Not thread-safe.
class Activations {
 public:
  // x: [rows, k] f32, row-major. For kF32 that is neither normed nor rounded it is only referred to
  // and must live as long as this is used; else it is converted, each row by itself.
  void Assign(const float* x, int64_t rows, int64_t k, InputType type, core::ThreadPool& pool,
              const InputOptions& options = {});

  InputType type() const { return type_; }
  // options.fixed_scale of the last assignment.
  float fixed_scale() const { return fixed_scale_; }
  int64_t rows() const { return rows_; }
  int64_t k() const { return k_; }
  // Whether rows lie in tiles (table.h); then `index` is a multiple of 16 and the stride is that of
  // 16 rows of codes.
  bool tiled() const { return tiled_; }
  const std::byte* row(int64_t index) const {
    const int64_t code_row = index * CodeRows(type_);
    return data_ + (tiled_ ? code_row / kTileSide : code_row) * stride_bytes_;
  }
  int64_t stride_bytes() const { return stride_bytes_; }
  const float* scales() const { return scales_; }  // codes: [rows]
  // As options.sum_inputs has it; with sums the codes also stand there signed, the same stride
  // apart.
  int64_t sum_inputs() const { return sum_inputs_; }
  const std::byte* signed_row(int64_t index) const {
    return signed_data_ + index * CodeRows(type_) * stride_bytes_;
  }
  const int32_t* sums(int64_t index) const {
    return sums_ + index * CodeRows(type_) * sums_stride();
  }
  int64_t sums_stride() const { return k_ / sum_inputs_; }

 private:
  struct Room;
  // For rows of elements of that size, padded to `unit` of them.
  Room Reserve(int64_t element_bytes, int64_t unit);
  std::byte* TileRow(std::byte* data, int64_t row) const;
  void AssignFloats(const float* x, const InputOptions& options, core::ThreadPool& pool);
  void AssignCodes(const float* x, const InputOptions& options, core::ThreadPool& pool);
  InputType type_ = InputType::kF32;
  float fixed_scale_ = 0;
  int64_t rows_ = 0;
  int64_t k_ = 0;
  int64_t stride_bytes_ = 0;
  bool tiled_ = false;
  const std::byte* data_ = nullptr;
  float* scales_ = nullptr;
  int64_t sum_inputs_ = 0;
  const std::byte* signed_data_ = nullptr;
  const int32_t* sums_ = nullptr;
  FloatBuffer buffer_;
};

}  // namespace octavo::kernels
