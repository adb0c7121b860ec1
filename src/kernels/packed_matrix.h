// A weight matrix as the kernels read it: packed once at load into panels (table.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "core/bytes.h"
#include "core/function_ref.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "kernels/table.h"
#include "tensor/quantized_tensor.h"
#include "tensor/tensor_view.h"

namespace octavo::kernels {

// Owns the only resident copy of the weights. Movable; safe to read from many threads.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // weight: [N, K] F32, F16 or BF16, kept bit for bit.
  static PackedMatrix Pack(const tensor::TensorView& weight, core::ThreadPool& pool);
  // 8-bit codes with one scale per output feature or in groups, or 4-bit codes in groups; groups
  // are what CanPack allows.
  static PackedMatrix Pack(const tensor::QuantizedTensor& weight, core::ThreadPool& pool);

  // (row, its bytes, codes [K])
  using DecodeRow = core::FunctionRef<core::Status(int64_t, core::ByteSpan, std::span<int8_t>)>;
  // The rows of a matrix as a file stores them, from front to back.
  struct StoredRows {
    int64_t row_bytes = 0;
    // The bytes of the next rows, valid until the next call: all that are left or whole panels (a
    // multiple of kPanelFeatures rows). For one thread.
    core::FunctionRef<core::Result<core::ByteSpan>()> next;
    // Makes codes of them, called from many threads at once; none where the bytes are the codes.
    std::optional<DecodeRow> decode = {};
  };
  // The same from a file. Only the type and the shape of the floats are looked at, and everything
  // but the codes of the quantized weight. An error of `rows` is returned, of many one.
  static core::Result<PackedMatrix> Pack(const tensor::TensorView& weight, const StoredRows& rows,
                                         core::ThreadPool& pool);
  static core::Result<PackedMatrix> Pack(const tensor::QuantizedTensor& weight,
                                         const StoredRows& rows, core::ThreadPool& pool);
  // Groups of 8-bit codes are multiples of 4 inputs, those of 4-bit codes of 16; one scale for all
  // K inputs of 4-bit codes is one group.
  static bool CanPack(int bits, int64_t group_size, int64_t k);

  // bytes() of a float matrix that is not packed yet.
  static int64_t BytesOf(const tensor::TensorView& weight);

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  Storage storage() const { return storage_; }
  // Bytes that stay in memory: codes or floats with their padding, and scales.
  int64_t bytes() const {
    return blocks() * block_bytes() +
           static_cast<int64_t>(scales_.size_bytes() + offsets_.size_bytes() +
                                group_scales_.size());
  }
  int64_t blocks() const { return (n_ + kBlockFeatures - 1) / kBlockFeatures; }
  int64_t block_bytes() const;
  int64_t panels() const { return (blocks() + kPanelBlocks - 1) / kPanelBlocks; }
  const std::byte* panel(int64_t index) const {
    return data_.get() + index * kPanelBlocks * block_bytes();
  }
  int64_t panel_blocks(int64_t index) const {
    return std::min(kPanelBlocks, blocks() - index * kPanelBlocks);
  }
  // Padded with 1 to whole blocks; empty for float storages.
  std::span<const float> scales() const { return scales_; }
  // 128 times the sum of each feature's codes, which products with inputs that have 128 added take
  // off again; padded as the scales are, empty for float storages.
  std::span<const int32_t> offsets() const { return offsets_; }
  // Inputs that share a scale; 0: no groups.
  int64_t group() const { return group_; }
  // Scales of the groups of a panel, [K / group][blocks][16] of that type: the one in which they
  // are stored. nullptr without groups.
  const std::byte* group_scales(int64_t panel) const;
  Storage group_scale_type() const { return group_scale_type_; }
  // Row n as f32: codes times scale, or the float itself. out: [K].
  void UnpackRow(int64_t row, std::span<float> out) const;

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  // For the weights and the scales that come with them. `weight`: nullptr for floats.
  void Allocate(int64_t n, int64_t k, Storage storage, const tensor::QuantizedTensor* weight);
  void PackGroupScales(const tensor::QuantizedTensor& weight);
  // Lays out all panels: pack(first row, bytes of the panel's rows, panel), from many threads at
  // once, into memory that is zero.
  core::Status PackPanels(const StoredRows& rows,
                          core::FunctionRef<core::Status(int64_t, core::ByteSpan, std::byte*)> pack,
                          core::ThreadPool& pool);
  core::Status PackCodes(const StoredRows& rows, core::ThreadPool& pool);
  // Where the scale of a feature's group lies.
  int64_t GroupScaleAt(int64_t row, int64_t group) const;
  float ScaleOf(int64_t row, int64_t input) const;
  int64_t n_ = 0;
  int64_t k_ = 0;
  Storage storage_ = Storage::kF32;
  // Everything lies in one piece of memory: a step of decode reads some scales behind each panel,
  // and with pages of their own each would be a miss of the TLB as well.
  std::unique_ptr<std::byte[], Free> data_;
  std::span<float> scales_;
  std::span<int32_t> offsets_;
  int64_t group_ = 0;
  Storage group_scale_type_ = Storage::kF32;
  std::span<std::byte> group_scales_;
};

}  // namespace octavo::kernels
