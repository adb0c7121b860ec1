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

// The sums of kSumInputs codes each, 128 taken off.
void SumCodes(const std::byte* codes, int64_t count, int16_t* sums) {
  for (int64_t i = 0; i < count; ++i, codes += kSumInputs) {
    int sum = -128 * static_cast<int>(kSumInputs);
    for (int64_t j = 0; j < kSumInputs; ++j) sum += static_cast<int>(codes[j]);
    sums[i] = static_cast<int16_t>(sum);
  }
}

// A row of `bytes` bytes into its place in tiles: 64 of them in each, the rest of the last
// `padding`.
void ScatterRow(const std::byte* row, int64_t bytes, int padding, std::byte* to) {
  for (int64_t i = 0; i < bytes; i += kTileRowBytes, to += kTileBytes) {
    const int64_t there = std::min(kTileRowBytes, bytes - i);
    std::memcpy(to, row + i, static_cast<size_t>(there));
    std::memset(to + there, padding, static_cast<size_t>(kTileRowBytes - there));
  }
}

}  // namespace

std::byte* Activations::Reserve(int64_t rows, int64_t k, int64_t element_bytes, int64_t unit) {
  rows_ = rows;
  k_ = k;
  const int64_t row_bytes = (k + unit - 1) / unit * unit * element_bytes;
  stride_bytes_ = tiled_ ? (row_bytes + kTileRowBytes - 1) / kTileRowBytes * kTileBytes : row_bytes;
  const int64_t strides = tiled_ ? (rows + kTileSide - 1) / kTileSide : rows;
  const int64_t data_floats = (strides * stride_bytes_ + 63) / 64 * 16;
  float* memory = buffer_.Reserve(data_floats + rows + rows * (k / kSumInputs) / 2 + 1);
  scales_ = memory + data_floats;
  data_ = reinterpret_cast<std::byte*>(memory);
  return reinterpret_cast<std::byte*>(memory);
}

void Activations::Assign(const float* x, int64_t rows, int64_t k, InputType type,
                         core::ThreadPool& pool, bool sums) {
  const KernelTable& table = ActiveTable();
  type_ = type;
  tiled_ = false;
  sums_ = nullptr;
  if (type == InputType::kF32) {
    rows_ = rows;
    k_ = k;
    stride_bytes_ = k * static_cast<int64_t>(sizeof(float));
    data_ = reinterpret_cast<const std::byte*>(x);
    return;
  }
  const bool codes = type == InputType::kI8;
  OCTAVO_CHECK(!codes || k <= kMaxIntegerInputs);
  const int64_t tiled_from = table.tiled_from[static_cast<int>(type)];
  tiled_ = tiled_from > 0 && rows >= tiled_from && !sums;
  std::byte* out = Reserve(rows, k, codes ? 1 : 2, codes ? 4 : 2);
  if (codes && sums) sums_ = reinterpret_cast<int16_t*>(scales_ + rows);
  const int64_t used = codes ? k : 2 * k;
  const int padding = codes ? 128 : 0;  // zero
  const auto convert = [&](int64_t i, std::byte* to) {
    if (codes) {
      table.quantize_row(x + i * k, k, reinterpret_cast<uint8_t*>(to), scales_ + i);
    } else {
      table.to_bf16(x + i * k, k, reinterpret_cast<uint16_t*>(to));
    }
  };
  pool.ParallelFor(rows, Grain(k), [&](int64_t begin, int64_t end) {
    if (!tiled_) {
      for (int64_t i = begin; i < end; ++i) {
        std::byte* row = out + i * stride_bytes_;
        convert(i, row);
        std::memset(row + used, padding, static_cast<size_t>(stride_bytes_ - used));
        if (sums_ != nullptr) SumCodes(row, sums_stride(), sums_ + i * sums_stride());
      }
      return;
    }
    auto* row = reinterpret_cast<std::byte*>(ThreadScratch(used / 4 + 1));
    for (int64_t i = begin; i < end; ++i) {
      convert(i, row);
      ScatterRow(row, used, padding,
                 out + i / kTileSide * stride_bytes_ + i % kTileSide * kTileRowBytes);
    }
  });
}

void Activations::AssignRounded(const float* x, int64_t rows, int64_t k, core::ThreadPool& pool) {
  const KernelTable& table = ActiveTable();
  type_ = InputType::kF32;
  tiled_ = false;
  sums_ = nullptr;
  auto* out = reinterpret_cast<float*>(Reserve(rows, k, sizeof(float), 1));
  pool.ParallelFor(rows, Grain(k), [&](int64_t begin, int64_t end) {
    table.round_to_bf16(x + begin * k, (end - begin) * k, out + begin * k);
  });
}

}  // namespace octavo::kernels
