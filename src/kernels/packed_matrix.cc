#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

#include "core/check.h"
#include "kernels/weight_memory.h"

namespace octavo::kernels {
namespace {

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
    // Whole units of 4 bytes, which is what quantized weights are made of.
    if (unit_bytes == sizeof(uint32_t)) {
      const int64_t whole = k / unit;
      for (int64_t u = 0; u < whole; ++u)
        std::memcpy(to + u * 4 * kBlockFeatures, from + u * 4, sizeof(uint32_t));
      const auto left = static_cast<size_t>(k % unit) * sizeof(Element);
      std::memcpy(to + whole * 4 * kBlockFeatures, from + whole * 4, left);
      continue;
    }
    for (int64_t i = 0; i < k; i += unit) {
      const auto count = static_cast<size_t>(std::min(unit, k - i)) * sizeof(Element);
      std::memcpy(to, from, count);
      from += unit_bytes;
      to += unit_bytes * kBlockFeatures;
    }
  }
}

// The same of 4-bit codes, 8 added, two to a byte.
void PackNibbles(const int8_t* codes, int64_t rows, int64_t k, std::byte* block) {
  for (int64_t row = 0; row < rows; ++row) {
    const int8_t* from = codes + row * k;
    std::byte* to = block + row * 4;
    for (int64_t i = 0; i < k; i += 8, to += kBlockFeatures * 4) {
      for (int64_t j = 0; j < 4; ++j) {
        const int low = from[i + j] + 8;
        const int high = from[i + 4 + j] + 8;
        to[j] = static_cast<std::byte>(low | high << 4);
      }
    }
  }
}

}  // namespace

void PackedMatrix::Free::operator()(std::byte* p) const {
  FreeWeights(p);
}

int64_t PackedMatrix::block_bytes() const {
  const StorageLayout& layout = LayoutOf(storage_);
  return (k_ + layout.unit - 1) / layout.unit * kBlockFeatures * layout.unit_bytes;
}

void PackedMatrix::Allocate(int64_t n, int64_t k, Storage storage,
                            const tensor::QuantizedTensor* weight) {
  n_ = n;
  k_ = k;
  storage_ = storage;
  const auto features = static_cast<size_t>(blocks() * kBlockFeatures);
  const auto weight_bytes = static_cast<size_t>(blocks() * block_bytes());
  const bool grouped = weight != nullptr && (weight->bits == 4 || weight->groups() > 1);
  size_t scale_bytes = 0;
  if (grouped) {
    group_ = k / weight->groups();
    group_scale_type_ = StorageOf(weight->scale_dtype);
    scale_bytes =
        features * static_cast<size_t>(weight->groups()) * tensor::DTypeSize(weight->scale_dtype);
  } else if (weight != nullptr) {
    scale_bytes = features * (sizeof(float) + sizeof(int32_t));
  }
  data_.reset(
      static_cast<std::byte*>(AllocateWeights(std::max<size_t>(weight_bytes + scale_bytes, 1))));
  std::byte* scales = data_.get() + weight_bytes;
  if (grouped) {
    group_scales_ = {scales, scale_bytes};
  } else if (weight != nullptr) {
    scales_ = {reinterpret_cast<float*>(scales), features};
    offsets_ = {reinterpret_cast<int32_t*>(scales + features * sizeof(float)), features};
  }
}

int64_t PackedMatrix::BytesOf(const tensor::TensorView& weight) {
  PackedMatrix shape;
  shape.n_ = weight.shape[0];
  shape.k_ = weight.shape[1];
  shape.storage_ = StorageOf(weight.dtype);
  return shape.bytes();
}

PackedMatrix PackedMatrix::Pack(const tensor::TensorView& weight, core::ThreadPool& pool) {
  OCTAVO_CHECK(weight.rank() == 2);
  PackedMatrix out;
  out.Allocate(weight.shape[0], weight.shape[1], StorageOf(weight.dtype), nullptr);
  const int64_t unit = LayoutOf(out.storage_).unit;
  const int64_t row_bytes = out.k_ * static_cast<int64_t>(tensor::DTypeSize(weight.dtype));
  const auto pack = [&](int64_t first, int64_t rows, std::byte* block) {
    const std::byte* source = weight.bytes.data() + first * row_bytes;
    if (out.storage_ == Storage::kF32) {
      PackBlock<uint32_t>(source, rows, out.k_, unit, block);
    } else {
      PackBlock<uint16_t>(source, rows, out.k_, unit, block);
    }
  };
  out.PackPanels(pack, pool);
  return out;
}

// What groups of 4-bit codes are multiples of.
constexpr int64_t kNibbleUnit = 16;

bool PackedMatrix::CanPack(int bits, int64_t group_size, int64_t k) {
  const bool grouped = group_size != 0 && group_size != k;
  if (bits == 8) return !grouped || (group_size % 4 == 0 && k % group_size == 0);
  return grouped ? group_size % kNibbleUnit == 0 && k % group_size == 0 : k % kNibbleUnit == 0;
}

PackedMatrix PackedMatrix::Pack(const tensor::QuantizedTensor& weight, core::ThreadPool& pool) {
  const auto read = [&](int64_t first, std::span<int8_t> codes) -> core::Status {
    std::memcpy(codes.data(), weight.codes.data() + first * weight.k, codes.size());
    return {};
  };
  return Pack(weight, read, pool).value();
}

core::Result<PackedMatrix> PackedMatrix::Pack(const tensor::QuantizedTensor& weight, ReadRows read,
                                              core::ThreadPool& pool) {
  OCTAVO_CHECK(CanPack(weight.bits, weight.group_size, weight.k));
  PackedMatrix out;
  out.Allocate(weight.n, weight.k, weight.bits == 4 ? Storage::kI4 : Storage::kI8, &weight);
  if (out.group_ > 0) {
    out.PackGroupScales(weight);
  } else {
    std::fill(out.scales_.begin(), out.scales_.end(), 1.0F);
    std::copy(weight.scales.begin(), weight.scales.end(), out.scales_.begin());
    std::fill(out.offsets_.begin(), out.offsets_.end(), 0);
  }
  std::mutex mutex;
  std::optional<core::Error> failed;
  const auto pack = [&](int64_t first, int64_t rows, std::byte* block) {
    std::vector<int8_t> codes(static_cast<size_t>(rows * out.k_));
    const core::Status status = read(first, codes);
    if (!status.ok()) {
      const std::lock_guard lock(mutex);
      if (!failed) failed = status.error();
      return;
    }
    if (out.storage_ == Storage::kI4) return PackNibbles(codes.data(), rows, out.k_, block);
    PackBlock<int8_t>(reinterpret_cast<const std::byte*>(codes.data()), rows, out.k_,
                      LayoutOf(out.storage_).unit, block);
    if (!out.offsets_.empty()) out.SumCodes(codes.data(), first, rows);
  };
  out.PackPanels(pack, pool);
  if (failed) return std::move(*failed);
  return out;
}

void PackedMatrix::PackPanels(core::FunctionRef<void(int64_t, int64_t, std::byte*)> pack,
                              core::ThreadPool& pool) {
  const auto unit_bytes = static_cast<size_t>(kBlockFeatures * LayoutOf(storage_).unit_bytes);
  const int64_t units = block_bytes() / static_cast<int64_t>(unit_bytes);
  pool.ParallelFor(blocks(), 1, [&](int64_t begin, int64_t end) {
    // A block by itself stays in the first-level cache while its rows are interleaved.
    std::vector<std::byte> one(static_cast<size_t>(block_bytes()));
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kBlockFeatures;
      const int64_t rows = std::min(kBlockFeatures, n_ - first);
      if (rows < kBlockFeatures) std::fill(one.begin(), one.end(), std::byte{0});
      pack(first, rows, one.data());
      const int64_t panel = b / kPanelBlocks;
      const auto step = static_cast<size_t>(panel_blocks(panel)) * unit_bytes;
      std::byte* to = data_.get() + panel * kPanelBlocks * block_bytes() +
                      static_cast<size_t>(b % kPanelBlocks) * unit_bytes;
      const std::byte* from = one.data();
      for (int64_t u = 0; u < units; ++u, from += unit_bytes, to += step)
        std::memcpy(to, from, unit_bytes);
    }
  });
}

void PackedMatrix::SumCodes(const int8_t* codes, int64_t row, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r, codes += k_) {
    // Within an int32 for every K that is multiplied in integers.
    int32_t sum = 0;
    for (int64_t i = 0; i < k_; ++i) sum += codes[i];
    offsets_[static_cast<size_t>(row + r)] =
        static_cast<int32_t>(static_cast<uint32_t>(sum) * 128U);
  }
}

void PackedMatrix::PackGroupScales(const tensor::QuantizedTensor& weight) {
  const int64_t groups = weight.groups();
  // Rows that do not exist keep scale 0, and their codes do not matter.
  std::vector<float> scales(static_cast<size_t>(blocks() * groups * kBlockFeatures), 0.0F);
  for (int64_t n = 0; n < n_; ++n) {
    for (int64_t g = 0; g < groups; ++g) {
      scales[static_cast<size_t>(GroupScaleAt(n, g))] =
          weight.scales[static_cast<size_t>(n * groups + g)];
    }
  }
  tensor::ConvertFromFloat(scales, weight.scale_dtype, group_scales_);
}

int64_t PackedMatrix::GroupScaleAt(int64_t row, int64_t group) const {
  const int64_t panel = row / kPanelFeatures;
  return panel * kPanelFeatures * (k_ / group_) + group * panel_blocks(panel) * kBlockFeatures +
         row % kPanelFeatures;
}

const std::byte* PackedMatrix::group_scales(int64_t panel) const {
  if (group_ == 0) return nullptr;
  return group_scales_.data() +
         GroupScaleAt(panel * kPanelFeatures, 0) * (group_scale_type_ == Storage::kF32 ? 4 : 2);
}

void PackedMatrix::UnpackRow(int64_t row, std::span<float> out) const {
  OCTAVO_CHECK(row >= 0 && row < n_ && static_cast<int64_t>(out.size()) == k_);
  const StorageLayout& layout = LayoutOf(storage_);
  const int64_t at = row / kPanelFeatures;
  const std::byte* base = panel(at) + row % kPanelFeatures * layout.unit_bytes;
  const int64_t step = panel_blocks(at) * kBlockFeatures * layout.unit_bytes;
  for (int64_t i = 0; i < k_; ++i) {
    const std::byte* unit = base + i / layout.unit * step;
    const int64_t inside = i % layout.unit;
    float value = 0;
    uint16_t half = 0;
    switch (storage_) {
      case Storage::kF32:
        std::memcpy(&value, unit, sizeof(value));
        break;
      case Storage::kF16:
        std::memcpy(&half, unit, sizeof(half));
        value = tensor::F16ToFloat(half);
        break;
      case Storage::kBF16:
        std::memcpy(&half, unit + 2 * inside, sizeof(half));
        value = tensor::BF16ToFloat(half);
        break;
      case Storage::kI8:
        value = static_cast<float>(static_cast<int8_t>(unit[inside])) * ScaleOf(row, i);
        break;
      case Storage::kI4: {
        const auto both = static_cast<int>(unit[inside % 4]);
        value = static_cast<float>((inside < 4 ? both & 15 : both >> 4) - 8) * ScaleOf(row, i);
        break;
      }
    }
    out[static_cast<size_t>(i)] = value;
  }
}

float PackedMatrix::ScaleOf(int64_t row, int64_t input) const {
  if (group_ == 0) return scales_[static_cast<size_t>(row)];
  const auto at = static_cast<size_t>(GroupScaleAt(row, input / group_));
  float scale = 0;
  uint16_t half = 0;
  if (group_scale_type_ == Storage::kF32) {
    std::memcpy(&scale, group_scales_.data() + at * sizeof(scale), sizeof(scale));
    return scale;
  }
  std::memcpy(&half, group_scales_.data() + at * sizeof(half), sizeof(half));
  return group_scale_type_ == Storage::kF16 ? tensor::F16ToFloat(half) : tensor::BF16ToFloat(half);
}

}  // namespace octavo::kernels
