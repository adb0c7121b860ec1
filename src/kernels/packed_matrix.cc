#include "kernels/packed_matrix.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <vector>

#include "core/check.h"
#include "kernels/weight_memory.h"

namespace octavo::kernels {
namespace {

const StorageLayout& LayoutOf(Storage storage) {
  return kStorageLayouts[static_cast<int>(storage)];
}

tensor::DType FloatOf(Storage storage) {
  if (storage == Storage::kF32) return tensor::DType::kF32;
  return storage == Storage::kF16 ? tensor::DType::kF16 : tensor::DType::kBF16;
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

// So many bytes of each row go into a panel at a time: their part of the panel stays in the
// first-level cache.
constexpr int64_t kPieceBytes = 256;

// Lays rows of `stride` bytes out as a panel of `features` features does: the first units of all
// rows, the second ones, and so on; what is missing of features and of a row's last unit is left as
// it is. seen(row, its next kPieceBytes) may look at them while they are in the cache.
template <typename Unit, typename Seen>
void Interleave(const std::byte* rows, int64_t count, int64_t stride, int64_t features,
                std::byte* panel, const Seen& seen) {
  constexpr int64_t kUnits = kPieceBytes / sizeof(Unit);
  const auto step = static_cast<size_t>(features) * sizeof(Unit);
  for (int64_t at = 0; at < stride; at += kPieceBytes) {
    const int64_t bytes = std::min(kPieceBytes, stride - at);
    std::byte* const piece = panel + static_cast<size_t>(at) / sizeof(Unit) * step;
    for (int64_t row = 0; row < count; ++row) {
      const std::byte* from = rows + row * stride + at;
      seen(row, core::ByteSpan(from, static_cast<size_t>(bytes)));
      std::byte* to = piece + row * static_cast<int64_t>(sizeof(Unit));
      if (bytes == kPieceBytes) {
        for (int64_t u = 0; u < kUnits; ++u, from += sizeof(Unit), to += step)
          std::memcpy(to, from, sizeof(Unit));
        continue;
      }
      const int64_t whole = bytes / static_cast<int64_t>(sizeof(Unit));
      for (int64_t u = 0; u < whole; ++u, from += sizeof(Unit), to += step)
        std::memcpy(to, from, sizeof(Unit));
      std::memcpy(to, from, static_cast<size_t>(bytes) % sizeof(Unit));
    }
  }
}

// Words of 8 codes of 4 bits, 8 added: the first four in the low halves of a word's bytes.
// words: [codes.size() / 8].
void PackNibbles(std::span<const int8_t> codes, std::byte* words) {
  for (size_t i = 0; i < codes.size(); i += 8, words += 4) {
    for (size_t j = 0; j < 4; ++j) {
      const int low = codes[i + j] + 8;
      const int high = codes[i + 4 + j] + 8;
      words[j] = static_cast<std::byte>(low | high << 4);
    }
  }
}

// Of at most a piece: an int16, which holds it, is added twice as fast as an int32.
static_assert(kPieceBytes * 128 <= 32768);
int32_t SumOf(core::ByteSpan codes) {
  int16_t sum = 0;
  for (const std::byte code : codes) sum = static_cast<int16_t>(sum + static_cast<int8_t>(code));
  return sum;
}

// Bytes that lie in memory, in one piece.
auto AllAtOnce(core::ByteSpan bytes) {
  return [bytes]() -> core::Result<core::ByteSpan> { return bytes; };
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
  const auto row_bytes = weight.shape[1] * static_cast<int64_t>(tensor::DTypeSize(weight.dtype));
  const auto all = AllAtOnce(weight.bytes);
  return Pack(weight, {row_bytes, all}, pool).value();
}

core::Result<PackedMatrix> PackedMatrix::Pack(const tensor::TensorView& weight,
                                              const StoredRows& rows, core::ThreadPool& pool) {
  OCTAVO_CHECK(weight.rank() == 2);
  PackedMatrix out;
  out.Allocate(weight.shape[0], weight.shape[1], StorageOf(weight.dtype), nullptr);
  const auto nothing = [](int64_t, core::ByteSpan) {};
  const auto pack = [&](int64_t first, core::ByteSpan bytes, std::byte* panel) -> core::Status {
    const int64_t count = static_cast<int64_t>(bytes.size()) / rows.row_bytes;
    const int64_t features = out.panel_blocks(first / kPanelFeatures) * kBlockFeatures;
    // Units of 4 bytes, but for F16.
    if (out.storage_ == Storage::kF16) {
      Interleave<uint16_t>(bytes.data(), count, rows.row_bytes, features, panel, nothing);
    } else {
      Interleave<uint32_t>(bytes.data(), count, rows.row_bytes, features, panel, nothing);
    }
    return {};
  };
  OCTAVO_RETURN_IF_ERROR(out.PackPanels(rows, pack, pool));
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
  const auto all = AllAtOnce(std::as_bytes(std::span(weight.codes)));
  return Pack(weight, {weight.k, all}, pool).value();
}

core::Result<PackedMatrix> PackedMatrix::Pack(const tensor::QuantizedTensor& weight,
                                              const StoredRows& rows, core::ThreadPool& pool) {
  OCTAVO_CHECK(CanPack(weight.bits, weight.group_size, weight.k));
  OCTAVO_CHECK(rows.decode || rows.row_bytes == weight.k);
  PackedMatrix out;
  out.Allocate(weight.n, weight.k, weight.bits == 4 ? Storage::kI4 : Storage::kI8, &weight);
  if (out.group_ > 0) {
    out.PackGroupScales(weight);
  } else {
    std::fill(out.scales_.begin(), out.scales_.end(), 1.0F);
    std::copy(weight.scales.begin(), weight.scales.end(), out.scales_.begin());
    std::fill(out.offsets_.begin(), out.offsets_.end(), 0);
  }
  OCTAVO_RETURN_IF_ERROR(out.PackCodes(rows, pool));
  return out;
}

core::Status PackedMatrix::PackCodes(const StoredRows& rows, core::ThreadPool& pool) {
  const bool nibbles = storage_ == Storage::kI4;
  const int64_t unit_bytes = nibbles ? k_ / 2 : k_;  // of a row as the kernels read it
  const auto pack = [&](int64_t first, core::ByteSpan bytes, std::byte* panel) -> core::Status {
    const int64_t count = static_cast<int64_t>(bytes.size()) / rows.row_bytes;
    const std::byte* units = bytes.data();
    std::vector<std::byte> made;
    if (rows.decode || nibbles) {
      made.resize(static_cast<size_t>(count * unit_bytes));
      units = made.data();
      std::vector<int8_t> row(static_cast<size_t>(nibbles ? k_ : 0));
      for (int64_t r = 0; r < count; ++r) {
        const core::ByteSpan stored = bytes.subspan(static_cast<size_t>(r * rows.row_bytes),
                                                    static_cast<size_t>(rows.row_bytes));
        std::byte* to = made.data() + r * unit_bytes;
        const std::span<int8_t> codes(nibbles ? row.data() : reinterpret_cast<int8_t*>(to),
                                      static_cast<size_t>(k_));
        if (rows.decode) {
          OCTAVO_RETURN_IF_ERROR((*rows.decode)(first + r, stored, codes));
        } else {
          std::memcpy(codes.data(), stored.data(), codes.size());
        }
        if (nibbles) PackNibbles(codes, to);
      }
    }
    std::array<int32_t, kPanelFeatures> sums{};
    const auto add = [&](int64_t row, core::ByteSpan codes) {
      if (!offsets_.empty()) sums[static_cast<size_t>(row)] += SumOf(codes);
    };
    const int64_t features = panel_blocks(first / kPanelFeatures) * kBlockFeatures;
    Interleave<uint32_t>(units, count, unit_bytes, features, panel, add);
    for (int64_t r = 0; r < count && !offsets_.empty(); ++r) {
      // Within an int32 for every K that is multiplied in integers.
      offsets_[static_cast<size_t>(first + r)] =
          static_cast<int32_t>(static_cast<uint32_t>(sums[static_cast<size_t>(r)]) * 128U);
    }
    return {};
  };
  return PackPanels(rows, pack, pool);
}

core::Status PackedMatrix::PackPanels(
    const StoredRows& rows,
    core::FunctionRef<core::Status(int64_t, core::ByteSpan, std::byte*)> pack,
    core::ThreadPool& pool) {
  const auto row_bytes = static_cast<size_t>(rows.row_bytes);
  std::mutex mutex;
  core::Status failed;
  for (int64_t first = 0; first < n_;) {
    OCTAVO_TRY(const core::ByteSpan bytes, rows.next());
    const auto count = static_cast<int64_t>(bytes.size() / row_bytes);
    OCTAVO_CHECK(count > 0 && first + count <= n_ && bytes.size() % row_bytes == 0);
    OCTAVO_CHECK(first + count == n_ || count % kPanelFeatures == 0);
    const int64_t panels = (count + kPanelFeatures - 1) / kPanelFeatures;
    pool.ParallelFor(panels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t row = p * kPanelFeatures;
        const core::ByteSpan of_panel =
            bytes.subspan(static_cast<size_t>(row) * row_bytes,
                          static_cast<size_t>(std::min(kPanelFeatures, count - row)) * row_bytes);
        const int64_t at = first / kPanelFeatures + p;
        core::Status status =
            pack(first + row, of_panel, data_.get() + at * kPanelBlocks * block_bytes());
        if (status.ok()) continue;
        const std::lock_guard lock(mutex);
        failed = std::move(status);
      }
    });
    if (!failed.ok()) return failed;
    first += count;
  }
  return {};
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
  const std::byte* from = panel(at) + row % kPanelFeatures * layout.unit_bytes;
  const int64_t step = panel_blocks(at) * kBlockFeatures * layout.unit_bytes;
  const auto unit_bytes = static_cast<size_t>(layout.unit_bytes);
  std::array<std::byte, 512> units;  // of the row, side by side
  const int64_t most = static_cast<int64_t>(units.size() / unit_bytes) * layout.unit;
  for (int64_t first = 0; first < k_; first += most) {
    const int64_t count = std::min(most, k_ - first);
    std::byte* to = units.data();
    for (int64_t i = 0; i < count; i += layout.unit, from += step, to += unit_bytes)
      std::memcpy(to, from, unit_bytes);
    const std::span<float> part =
        out.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    switch (storage_) {
      case Storage::kF32:
      case Storage::kF16:
      case Storage::kBF16: {
        const tensor::DType dtype = FloatOf(storage_);
        const size_t bytes = part.size() * tensor::DTypeSize(dtype);
        tensor::ConvertToFloat(dtype, core::ByteSpan(units).first(bytes), part);
        break;
      }
      case Storage::kI8:
        for (size_t i = 0; i < part.size(); ++i)
          part[i] = static_cast<float>(static_cast<int8_t>(units[i]));
        break;
      case Storage::kI4:
        for (size_t i = 0; i < part.size(); ++i) {
          const auto both = static_cast<int>(units[i / 8 * 4 + i % 4]);
          part[i] = static_cast<float>((i % 8 < 4 ? both & 15 : both >> 4) - 8);
        }
        break;
    }
  }
  if (storage_ != Storage::kI8 && storage_ != Storage::kI4) return;
  const int64_t group = group_ == 0 ? k_ : group_;
  for (int64_t first = 0; first < k_; first += group) {
    const float scale = ScaleOf(row, first);
    for (float& x : out.subspan(static_cast<size_t>(first), static_cast<size_t>(group))) x *= scale;
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
