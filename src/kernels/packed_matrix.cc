#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>

#include "core/check.h"

namespace octavo::kernels {
namespace {

constexpr size_t kAlignment = 64;

const StorageLayout& LayoutOf(Storage storage) {
  return kStorageLayouts[static_cast<int>(storage)];
}

Storage StorageOf(tensor::DType dtype) {
  switch (dtype) {
    case tensor::DType::kF32:
      return Storage::kF32;
    case tensor::DType::kF16:
      return Storage::kF16;
    case tensor::DType::kBF16:
      return Storage::kBF16;
    default:
      OCTAVO_CHECK(false);
  }
}

// Interleaves up to 16 rows of `source` ([rows, k] elements of Element) into one block; missing
// rows and inputs stay zero.
template <typename Element>
void PackBlock(const std::byte* source, int64_t rows, int64_t k, int64_t unit, std::byte* block) {
  for (int64_t row = 0; row < rows; ++row) {
    const std::byte* from = source + row * k * static_cast<int64_t>(sizeof(Element));
    std::byte* to = block + row * unit * static_cast<int64_t>(sizeof(Element));
    const auto unit_bytes = static_cast<size_t>(unit) * sizeof(Element);
    for (int64_t i = 0; i < k; i += unit) {
      const auto count = static_cast<size_t>(std::min(unit, k - i)) * sizeof(Element);
      std::memcpy(to, from, count);
      from += unit_bytes;
      to += unit_bytes * kBlockFeatures;
    }
  }
}

}  // namespace

void PackedMatrix::Free::operator()(std::byte* p) const {
  std::free(p);
}

int64_t PackedMatrix::block_bytes() const {
  const StorageLayout& layout = LayoutOf(storage_);
  return (k_ + layout.unit - 1) / layout.unit * layout.unit * kBlockFeatures * layout.element_bytes;
}

void PackedMatrix::Allocate(int64_t n, int64_t k, Storage storage) {
  n_ = n;
  k_ = k;
  storage_ = storage;
  const size_t bytes = std::max<size_t>(static_cast<size_t>(blocks() * block_bytes()), kAlignment);
  void* memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (memory == nullptr) throw std::bad_alloc();
  data_.reset(static_cast<std::byte*>(memory));
}

PackedMatrix PackedMatrix::Pack(const tensor::TensorView& weight, core::ThreadPool& pool) {
  OCTAVO_CHECK(weight.rank() == 2);
  PackedMatrix out;
  out.Allocate(weight.shape[0], weight.shape[1], StorageOf(weight.dtype));
  const int64_t unit = LayoutOf(out.storage_).unit;
  const int64_t row_bytes = out.k_ * LayoutOf(out.storage_).element_bytes;
  pool.ParallelFor(out.blocks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      std::byte* block = out.data_.get() + b * out.block_bytes();
      std::memset(block, 0, static_cast<size_t>(out.block_bytes()));
      const std::byte* source = weight.bytes.data() + b * kBlockFeatures * row_bytes;
      const int64_t rows = std::min(kBlockFeatures, out.n_ - b * kBlockFeatures);
      if (out.storage_ == Storage::kF32) {
        PackBlock<uint32_t>(source, rows, out.k_, unit, block);
      } else {
        PackBlock<uint16_t>(source, rows, out.k_, unit, block);
      }
    }
  });
  return out;
}

PackedMatrix PackedMatrix::Pack(const tensor::QuantizedTensor& weight, core::ThreadPool& pool) {
  OCTAVO_CHECK(weight.bits == 8 && weight.groups() == 1);
  PackedMatrix out;
  out.Allocate(weight.n, weight.k, Storage::kI8);
  out.scales_.assign(static_cast<size_t>(out.blocks() * kBlockFeatures), 1.0F);
  std::copy(weight.scales.begin(), weight.scales.end(), out.scales_.begin());
  out.offsets_.assign(out.scales_.size(), 0);
  pool.ParallelFor(out.blocks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      std::byte* block = out.data_.get() + b * out.block_bytes();
      std::memset(block, 0, static_cast<size_t>(out.block_bytes()));
      const int64_t rows = std::min(kBlockFeatures, out.n_ - b * kBlockFeatures);
      const auto* source =
          reinterpret_cast<const std::byte*>(weight.codes.data()) + b * kBlockFeatures * out.k_;
      PackBlock<int8_t>(source, rows, out.k_, LayoutOf(Storage::kI8).unit, block);
      for (int64_t row = b * kBlockFeatures; row < b * kBlockFeatures + rows; ++row) {
        const auto codes =
            std::span(weight.codes)
                .subspan(static_cast<size_t>(row * out.k_), static_cast<size_t>(out.k_));
        // Within an int32 for every K that is multiplied in integers.
        out.offsets_[static_cast<size_t>(row)] =
            static_cast<int32_t>(128 * std::accumulate(codes.begin(), codes.end(), int64_t{0}));
      }
    }
  });
  return out;
}

void PackedMatrix::UnpackRow(int64_t row, std::span<float> out) const {
  OCTAVO_CHECK(row >= 0 && row < n_ && static_cast<int64_t>(out.size()) == k_);
  const StorageLayout& layout = LayoutOf(storage_);
  const std::byte* base =
      block(row / kBlockFeatures) + row % kBlockFeatures * layout.unit * layout.element_bytes;
  for (int64_t i = 0; i < k_; ++i) {
    const std::byte* at =
        base +
        (i / layout.unit * kBlockFeatures * layout.unit + i % layout.unit) * layout.element_bytes;
    float value = 0;
    uint16_t half = 0;
    switch (storage_) {
      case Storage::kF32:
        std::memcpy(&value, at, sizeof(value));
        break;
      case Storage::kF16:
        std::memcpy(&half, at, sizeof(half));
        value = tensor::F16ToFloat(half);
        break;
      case Storage::kBF16:
        std::memcpy(&half, at, sizeof(half));
        value = tensor::BF16ToFloat(half);
        break;
      case Storage::kI8:
        value = static_cast<float>(static_cast<int8_t>(*at)) * scales_[static_cast<size_t>(row)];
        break;
    }
    out[static_cast<size_t>(i)] = value;
  }
}

}  // namespace octavo::kernels
