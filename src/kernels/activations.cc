#include "kernels/activations.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "kernels/dispatch.h"

namespace octavo::kernels {
namespace {

// Rows per piece: converting some 16k floats costs about as much as waking a thread.
int64_t Grain(int64_t k) {
  return std::max<int64_t>(1, 16384 / k);
}

}  // namespace

std::byte* Activations::Reserve(int64_t rows, int64_t k, int64_t element_bytes, int64_t unit) {
  rows_ = rows;
  k_ = k;
  stride_bytes_ = (k + unit - 1) / unit * unit * element_bytes;
  const int64_t data_floats = (rows * stride_bytes_ + 63) / 64 * 16;
  float* memory = buffer_.Reserve(data_floats + 2 * rows);
  scales_ = memory + data_floats;
  sums_ = reinterpret_cast<int32_t*>(scales_ + rows);
  data_ = reinterpret_cast<std::byte*>(memory);
  return reinterpret_cast<std::byte*>(memory);
}

void Activations::Assign(const float* x, int64_t rows, int64_t k, InputType type,
                         core::ThreadPool& pool) {
  const KernelTable& table = ActiveTable();
  type_ = type;
  if (type == InputType::kF32) {
    rows_ = rows;
    k_ = k;
    stride_bytes_ = k * static_cast<int64_t>(sizeof(float));
    data_ = reinterpret_cast<const std::byte*>(x);
    return;
  }
  const bool codes = type == InputType::kI8;
  OCTAVO_CHECK(!codes || k <= kMaxIntegerInputs);
  std::byte* out = Reserve(rows, k, codes ? 1 : 2, codes ? 4 : 2);
  pool.ParallelFor(rows, Grain(k), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::byte* row = out + i * stride_bytes_;
      const int64_t used = codes ? k : 2 * k;
      std::memset(row + used, 0, static_cast<size_t>(stride_bytes_ - used));
      if (codes) {
        table.quantize_row(x + i * k, k, reinterpret_cast<int8_t*>(row), scales_ + i, sums_ + i);
      } else {
        table.to_bf16(x + i * k, k, reinterpret_cast<uint16_t*>(row));
      }
    }
  });
}

void Activations::AssignRounded(const float* x, int64_t rows, int64_t k, core::ThreadPool& pool) {
  const KernelTable& table = ActiveTable();
  type_ = InputType::kF32;
  auto* out = reinterpret_cast<float*>(Reserve(rows, k, sizeof(float), 1));
  pool.ParallelFor(rows, Grain(k), [&](int64_t begin, int64_t end) {
    table.round_to_bf16(x + begin * k, (end - begin) * k, out + begin * k);
  });
}

}  // namespace octavo::kernels
