#include "kernels/activations.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "kernels/dispatch.h"
#include "kernels/elementwise.h"

namespace octavo::kernels {
namespace {

// A row of `bytes` bytes into its place in tiles: 64 of them in each, the rest of the last
// `padding`.
void ScatterRow(const std::byte* row, int64_t bytes, int padding, std::byte* to) {
  for (; bytes >= kTileRowBytes; bytes -= kTileRowBytes, row += kTileRowBytes, to += kTileBytes)
    std::memcpy(to, row, kTileRowBytes);
  if (bytes == 0) return;
  std::memcpy(to, row, static_cast<size_t>(bytes));
  std::memset(to + bytes, padding, static_cast<size_t>(kTileRowBytes - bytes));
}

// The row itself, or in `to` what becomes of it.
const float* Normed(const KernelTable& table, const RowNorm& norm, const float* row, int64_t k,
                    float* to) {
  if (norm.weight == nullptr) return row;
  table.rms_norm(row, norm.weight, k, norm.eps, to);
  return to;
}

}  // namespace

// Where a converted row goes.
struct Activations::Room {
  std::byte* data;
  float* scales;
  std::byte* signed_data;
  int32_t* sums;
};

Activations::Room Activations::Reserve(int64_t element_bytes, int64_t unit) {
  const int64_t code_rows = rows_ * CodeRows(type_);
  const int64_t row_bytes = (k_ + unit - 1) / unit * unit * element_bytes;
  stride_bytes_ = tiled_ ? (row_bytes + kTileRowBytes - 1) / kTileRowBytes * kTileBytes : row_bytes;
  const int64_t strides = tiled_ ? (code_rows + kTileSide - 1) / kTileSide : code_rows;
  const int64_t data_floats = (strides * stride_bytes_ + 63) / 64 * 16;
  const int64_t sums = sum_inputs_ > 0 ? code_rows * sums_stride() : 0;
  const int64_t signed_floats = sum_inputs_ > 0 ? data_floats : 0;
  float* memory = buffer_.Reserve(data_floats + signed_floats + sums + rows_);
  Room room;
  room.data = reinterpret_cast<std::byte*>(memory);
  room.signed_data = reinterpret_cast<std::byte*>(memory + data_floats);
  room.sums = reinterpret_cast<int32_t*>(memory + data_floats + signed_floats);
  room.scales = memory + data_floats + signed_floats + sums;
  data_ = room.data;
  signed_data_ = room.signed_data;
  sums_ = room.sums;
  scales_ = room.scales;
  return room;
}

void Activations::Assign(const float* x, int64_t rows, int64_t k, InputType type,
                         core::ThreadPool& pool, const InputOptions& options) {
  type_ = type;
  rows_ = rows;
  k_ = k;
  tiled_ = false;
  sum_inputs_ = 0;
  fixed_scale_ = options.fixed_scale;
  if (type == InputType::kI8 || type == InputType::kI24) return AssignCodes(x, options, pool);
  if (type == InputType::kF32 && !options.round_to_bf16 && options.norm.weight == nullptr) {
    stride_bytes_ = k * static_cast<int64_t>(sizeof(float));
    data_ = reinterpret_cast<const std::byte*>(x);
    return;
  }
  AssignFloats(x, options, pool);
}

void Activations::AssignFloats(const float* x, const InputOptions& options,
                               core::ThreadPool& pool) {
  const KernelTable& table = ActiveTable();
  const bool bf16 = type_ == InputType::kBf16;
  const int64_t tiled_from = table.tiled_from[static_cast<int>(type_)];
  tiled_ = tiled_from > 0 && rows_ >= tiled_from;
  const Room room = Reserve(bf16 ? 2 : 4, bf16 ? 2 : 1);
  const int64_t used = bf16 ? 2 * k_ : 4 * k_;
  const auto convert = [&](int64_t i, std::byte* to, float* spare) {
    const float* row = Normed(table, options.norm, x + i * k_, k_, spare);
    if (bf16) {
      table.to_bf16(row, k_, reinterpret_cast<uint16_t*>(to));
    } else if (options.round_to_bf16) {
      table.round_to_bf16(row, k_, reinterpret_cast<float*>(to));
    } else {
      std::memcpy(to, row, static_cast<size_t>(used));
    }
  };
  pool.ParallelFor(rows_, RowsPerPiece(k_), [&](int64_t begin, int64_t end) {
    float* spare = ThreadScratch(k_ + used / 4 + 1);
    auto* row = reinterpret_cast<std::byte*>(spare + k_);
    for (int64_t i = begin; i < end; ++i) {
      if (tiled_) {
        convert(i, row, spare);
        ScatterRow(row, used, 0, TileRow(room.data, i));
      } else {
        std::byte* to = room.data + i * stride_bytes_;
        convert(i, to, spare);
        std::memset(to + used, 0, static_cast<size_t>(stride_bytes_ - used));
      }
    }
  });
}

std::byte* Activations::TileRow(std::byte* data, int64_t row) const {
  return data + row / kTileSide * stride_bytes_ + row % kTileSide * kTileRowBytes;
}

void Activations::AssignCodes(const float* x, const InputOptions& options, core::ThreadPool& pool) {
  OCTAVO_CHECK(k_ <= kMaxIntegerInputs);
  OCTAVO_CHECK(fixed_scale_ == 0 || (type_ == InputType::kI8 && fixed_scale_ > 0));
  const KernelTable& table = ActiveTable();
  const int64_t parts = CodeRows(type_);
  const int64_t tiled_from = table.tiled_from[static_cast<int>(type_)];
  sum_inputs_ = options.sum_inputs;
  tiled_ = tiled_from > 0 && rows_ * parts >= tiled_from && sum_inputs_ == 0;
  const Room room = Reserve(1, 4);
  const int64_t padded = (k_ + 3) / 4 * 4;
  constexpr int kZeroCode = 128;
  // One row as `parts` rows of codes, `stride` bytes apart; `spare` holds k floats.
  const auto convert = [&](int64_t i, std::byte* to, int64_t stride, float* spare) {
    const float* row = Normed(table, options.norm, x + i * k_, k_, spare);
    if (options.round_to_bf16) {
      table.round_to_bf16(row, k_, spare);
      row = spare;
    }
    auto* codes = reinterpret_cast<uint8_t*>(to);
    if (fixed_scale_ != 0) {
      table.quantize_row_by(row, k_, fixed_scale_, codes);
      room.scales[i] = fixed_scale_;
    } else if (type_ == InputType::kI8) {
      table.quantize_row(row, k_, codes, room.scales + i);
    } else {
      table.split_row(row, k_, codes, stride, room.scales + i);
    }
  };
  pool.ParallelFor(rows_, RowsPerPiece(k_), [&](int64_t begin, int64_t end) {
    float* spare = ThreadScratch(k_ + parts * padded / 4);
    auto* scattered = reinterpret_cast<std::byte*>(spare + k_);
    for (int64_t i = begin; i < end; ++i) {
      std::byte* to = tiled_ ? scattered : room.data + i * parts * stride_bytes_;
      const int64_t stride = tiled_ ? padded : stride_bytes_;
      convert(i, to, stride, spare);
      for (int64_t p = 0; p < parts; ++p) {
        std::byte* row = to + p * stride;
        const int64_t code_row = i * parts + p;
        if (tiled_) {
          ScatterRow(row, k_, kZeroCode, TileRow(room.data, code_row));
          continue;
        }
        std::memset(row + k_, kZeroCode, static_cast<size_t>(stride - k_));
        if (sum_inputs_ == 0) continue;
        table.sign_codes(reinterpret_cast<const uint8_t*>(row), k_, sum_inputs_,
                         reinterpret_cast<int8_t*>(room.signed_data + code_row * stride_bytes_),
                         room.sums + code_row * sums_stride());
      }
    }
  });
}

}  // namespace octavo::kernels
