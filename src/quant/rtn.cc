#include "quant/rtn.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kernels/dispatch.h"
#include "quant/finite.h"

namespace octavo::quant {
namespace {

constexpr int64_t kRowsPerPiece = 16;

int64_t GroupSize(const tensor::TensorView& weight, const tensor::Scheme& scheme) {
  return scheme.group_size == 0 ? weight.shape[1] : scheme.group_size;
}

// Rows [first, first + count) of a matrix.
struct Rows {
  int64_t first;
  int64_t count;
};

// Calls visit(n, bytes of row n, room for the row as f32) for each row, on many threads at once.
template <typename Visit>
void ForEachRow(const tensor::TensorView& weight, Rows rows, core::ThreadPool& pool,
                const Visit& visit) {
  const auto row_bytes = static_cast<size_t>(weight.shape[1]) * DTypeSize(weight.dtype);
  pool.ParallelFor(rows.count, kRowsPerPiece, [&](int64_t begin, int64_t end) {
    std::vector<float> room(static_cast<size_t>(weight.shape[1]));
    for (int64_t n = rows.first + begin; n < rows.first + end; ++n)
      visit(n, weight.bytes.subspan(static_cast<size_t>(n) * row_bytes, row_bytes),
            std::span<float>(room));
  });
}

// tensor::ConvertToFloat and tensor::AbsMax of the result in one pass.
float Widen(tensor::DType dtype, core::ByteSpan in, std::span<float> out) {
  const kernels::KernelTable& table = kernels::ActiveTable();
  const auto count = static_cast<int64_t>(out.size());
  if (dtype == tensor::DType::kF16) return table.widen_f16(in.data(), count, out.data());
  if (dtype == tensor::DType::kBF16) return table.widen_bf16(in.data(), count, out.data());
  tensor::ConvertToFloat(dtype, in, out);
  return tensor::AbsMax(out);
}

// tensor::EncodeGroup by the kernel that encodes activations: rounding and clamping to whole
// numbers may change places, so 4-bit codes are 8-bit ones clamped once more.
void Encode(std::span<const float> weights, int bits, float scale, std::span<int8_t> codes) {
  auto* offset = reinterpret_cast<uint8_t*>(codes.data());
  kernels::ActiveTable().quantize_row_by(weights.data(), static_cast<int64_t>(weights.size()),
                                         scale, offset);
  const uint8_t low = bits == 8 ? 128 - 127 : 128 - 8;
  const uint8_t high = bits == 8 ? 128 + 127 : 128 + 7;
  for (size_t i = 0; i < codes.size(); ++i)
    offset[i] = std::min(std::max(offset[i], low), high) ^ uint8_t { 128 };
}

tensor::QuantizedTensor Empty(const tensor::TensorView& weight, Rows rows, int bits,
                              int64_t group_size, tensor::DType scale_dtype) {
  OCTAVO_CHECK(weight.rank() == 2 && tensor::IsFloat(weight.dtype));
  OCTAVO_CHECK(rows.first >= 0 && rows.count >= 0 && rows.count <= weight.shape[0] - rows.first);
  tensor::QuantizedTensor out;
  out.n = rows.count;
  out.k = weight.shape[1];
  out.bits = bits;
  out.group_size = group_size;
  out.scale_dtype = scale_dtype;
  OCTAVO_CHECK(out.k % out.group_size == 0);
  out.codes.resize(static_cast<size_t>(out.n * out.k));
  out.scales.resize(static_cast<size_t>(out.n * out.groups()));
  return out;
}

// The first index of a matrix that is not finite, whichever thread meets it.
class FirstNotFinite {
 public:
  // Whether these weights, which begin at `index`, are all finite; `absmax`: of them.
  bool Passes(int64_t index, std::span<const float> weights, float absmax) {
    if (std::isfinite(absmax)) return true;
    const auto bad =
        std::find_if(weights.begin(), weights.end(), [](float w) { return !std::isfinite(w); });
    index += bad - weights.begin();
    int64_t seen = index_.load();
    while (index < seen && !index_.compare_exchange_weak(seen, index)) {
    }
    return false;
  }
  int64_t index() const { return index_ == kNone ? -1 : index_.load(); }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> index_{kNone};
};

core::Error NotFinite(const tensor::TensorView& weight, int64_t index) {
  float value = 0;
  tensor::ConvertToFloat(weight.dtype,
                         weight.bytes.subspan(static_cast<size_t>(index) * DTypeSize(weight.dtype),
                                              DTypeSize(weight.dtype)),
                         std::span(&value, 1));
  return quant::NotFinite(index, weight.shape[1], value);
}

// Whether the scale of these F16 weights would be subnormal in F16. Most groups show by their first
// weights that it is not.
bool HasSubnormalScale(core::ByteSpan weights, int bits) {
  constexpr size_t kPiece = 64;
  float room[kPiece];
  float absmax = 0;
  for (size_t at = 0; at < weights.size(); at += kPiece * sizeof(uint16_t)) {
    const size_t bytes = std::min(kPiece * sizeof(uint16_t), weights.size() - at);
    absmax = std::max(absmax, Widen(tensor::DType::kF16, weights.subspan(at, bytes),
                                    std::span(room).first(bytes / sizeof(uint16_t))));
    const float scale = absmax / (bits == 8 ? 127.0F : 7.0F);
    if (tensor::ScaleDType(tensor::DType::kF16, scale) == tensor::DType::kF16) return false;
  }
  return absmax > 0;
}

core::Result<tensor::QuantizedTensor> RoundRows(const tensor::TensorView& weight, Rows rows,
                                                const tensor::Scheme& scheme,
                                                tensor::DType scale_dtype, core::ThreadPool& pool,
                                                Clip clip, std::span<const float> importance) {
  tensor::QuantizedTensor out =
      Empty(weight, rows, scheme.weight_bits, GroupSize(weight, scheme), scale_dtype);
  const auto group = static_cast<size_t>(out.group_size);
  const size_t group_bytes = group * DTypeSize(weight.dtype);
  FirstNotFinite not_finite;
  ForEachRow(weight, rows, pool, [&](int64_t n, core::ByteSpan bytes, std::span<float> row) {
    const std::span codes(out.codes.data() + (n - rows.first) * out.k, row.size());
    float* scales = out.scales.data() + (n - rows.first) * out.groups();
    for (size_t first = 0; first < row.size(); first += group) {
      const std::span weights = row.subspan(first, group);
      const float absmax =
          Widen(weight.dtype, bytes.subspan(first / group * group_bytes, group_bytes), weights);
      if (!not_finite.Passes(n * out.k + static_cast<int64_t>(first), weights, absmax)) return;
      const float scale =
          clip == Clip::kNone
              ? PlainScale(absmax, out.bits, scale_dtype)
              : ChooseScale(weights,
                            importance.empty() ? importance : importance.subspan(first, group),
                            out.bits, scale_dtype, clip);
      Encode(weights, out.bits, scale, codes.subspan(first, group));
      *scales++ = scale;
    }
  });
  if (not_finite.index() >= 0) return NotFinite(weight, not_finite.index());
  return out;
}

}  // namespace

tensor::DType ScaleDTypeFor(const tensor::TensorView& weight, const tensor::Scheme& scheme,
                            core::ThreadPool& pool) {
  if (weight.dtype != tensor::DType::kF16) return tensor::ScaleDType(weight.dtype, 1);
  const size_t group_bytes = static_cast<size_t>(GroupSize(weight, scheme)) * sizeof(uint16_t);
  std::atomic<bool> subnormal{false};
  ForEachRow(weight, {0, weight.shape[0]}, pool,
             [&](int64_t, core::ByteSpan bytes, std::span<float>) {
               for (size_t at = 0; at < bytes.size() && !subnormal; at += group_bytes) {
                 if (HasSubnormalScale(bytes.subspan(at, group_bytes), scheme.weight_bits))
                   subnormal = true;
               }
             });
  return subnormal ? tensor::DType::kF32 : tensor::DType::kF16;
}

core::Result<tensor::QuantizedTensor> RoundToNearest(const tensor::TensorView& weight,
                                                     const tensor::Scheme& scheme,
                                                     tensor::DType scale_dtype,
                                                     core::ThreadPool& pool, Clip clip,
                                                     std::span<const float> importance) {
  OCTAVO_CHECK(importance.empty() || static_cast<int64_t>(importance.size()) == weight.shape[1]);
  return RoundRows(weight, {0, weight.shape[0]}, scheme, scale_dtype, pool, clip, importance);
}

core::Result<tensor::QuantizedTensor> RoundRowsToNearest(const tensor::TensorView& weight,
                                                         int64_t first_row, int64_t rows,
                                                         const tensor::Scheme& scheme,
                                                         tensor::DType scale_dtype,
                                                         core::ThreadPool& pool) {
  return RoundRows(weight, {first_row, rows}, scheme, scale_dtype, pool, Clip::kNone, {});
}

core::Result<tensor::QuantizedTensor> RoundToNearestPerTensor(const tensor::TensorView& weight,
                                                              int bits, tensor::DType scale_dtype,
                                                              core::ThreadPool& pool) {
  const Rows all{0, weight.shape[0]};
  tensor::QuantizedTensor out = Empty(weight, all, bits, weight.shape[1], scale_dtype);
  std::vector<float> absmax(static_cast<size_t>(out.n));
  FirstNotFinite not_finite;
  ForEachRow(weight, all, pool, [&](int64_t n, core::ByteSpan bytes, std::span<float> row) {
    const float largest = Widen(weight.dtype, bytes, row);
    if (not_finite.Passes(n * out.k, row, largest)) absmax[static_cast<size_t>(n)] = largest;
  });
  if (not_finite.index() >= 0) return NotFinite(weight, not_finite.index());
  const float scale = PlainScale(tensor::AbsMax(absmax), bits, scale_dtype);
  std::fill(out.scales.begin(), out.scales.end(), scale);
  ForEachRow(weight, all, pool, [&](int64_t n, core::ByteSpan bytes, std::span<float> row) {
    Widen(weight.dtype, bytes, row);
    Encode(row, bits, scale, std::span(out.codes.data() + n * out.k, row.size()));
  });
  return out;
}

}  // namespace octavo::quant
