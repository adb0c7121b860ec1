#include "quant/rtn.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <span>
#include <vector>

#include "quant/finite.h"

namespace octavo::quant {
namespace {

constexpr int64_t kRowsPerPiece = 16;

int64_t GroupSize(const tensor::TensorView& weight, const tensor::Scheme& scheme) {
  return scheme.group_size == 0 ? weight.shape[1] : scheme.group_size;
}

// Calls visit(row index, row as f32) for each row, on many threads at once.
void ForEachRow(const tensor::TensorView& weight, core::ThreadPool& pool,
                const std::function<void(int64_t, std::span<const float>)>& visit) {
  const auto row_bytes = static_cast<size_t>(weight.shape[1]) * DTypeSize(weight.dtype);
  pool.ParallelFor(weight.shape[0], kRowsPerPiece, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(weight.shape[1]));
    for (int64_t n = begin; n < end; ++n) {
      tensor::ConvertToFloat(
          weight.dtype, weight.bytes.subspan(static_cast<size_t>(n) * row_bytes, row_bytes), row);
      visit(n, row);
    }
  });
}

tensor::QuantizedTensor Empty(const tensor::TensorView& weight, int bits, int64_t group_size,
                              tensor::DType scale_dtype) {
  OCTAVO_CHECK(weight.rank() == 2 && tensor::IsFloat(weight.dtype));
  tensor::QuantizedTensor out;
  out.n = weight.shape[0];
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
  // Whether all of row n is finite.
  bool Passes(int64_t n, std::span<const float> row) {
    if (std::isfinite(tensor::AbsMax(row))) return true;
    const auto bad =
        std::find_if(row.begin(), row.end(), [](float w) { return !std::isfinite(w); });
    const int64_t index = n * static_cast<int64_t>(row.size()) + (bad - row.begin());
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

}  // namespace

tensor::DType ScaleDTypeFor(const tensor::TensorView& weight, const tensor::Scheme& scheme,
                            core::ThreadPool& pool) {
  if (weight.dtype != tensor::DType::kF16) return tensor::ScaleDType(weight.dtype, 1);
  const auto group = static_cast<size_t>(GroupSize(weight, scheme));
  const float levels = scheme.weight_bits == 8 ? 127.0F : 7.0F;
  float smallest = std::numeric_limits<float>::infinity();
  std::mutex mutex;
  ForEachRow(weight, pool, [&](int64_t, std::span<const float> row) {
    float row_smallest = std::numeric_limits<float>::infinity();
    for (size_t k = 0; k < row.size(); k += group) {
      const float absmax = tensor::AbsMax(row.subspan(k, group));
      if (absmax > 0) row_smallest = std::min(row_smallest, absmax / levels);
    }
    const std::lock_guard lock(mutex);
    smallest = std::min(smallest, row_smallest);
  });
  return tensor::ScaleDType(weight.dtype, smallest);
}

core::Result<tensor::QuantizedTensor> RoundToNearest(const tensor::TensorView& weight,
                                                     const tensor::Scheme& scheme,
                                                     tensor::DType scale_dtype,
                                                     core::ThreadPool& pool, Clip clip,
                                                     std::span<const float> importance) {
  OCTAVO_CHECK(importance.empty() || static_cast<int64_t>(importance.size()) == weight.shape[1]);
  tensor::QuantizedTensor out =
      Empty(weight, scheme.weight_bits, GroupSize(weight, scheme), scale_dtype);
  FirstNotFinite not_finite;
  ForEachRow(weight, pool, [&](int64_t n, std::span<const float> row) {
    if (!not_finite.Passes(n, row)) return;
    const auto group = static_cast<size_t>(out.group_size);
    const std::span codes(out.codes.data() + n * out.k, row.size());
    for (int64_t g = 0; g < out.groups(); ++g) {
      const auto first = static_cast<size_t>(g) * group;
      const float scale =
          ChooseScale(row.subspan(first, group),
                      importance.empty() ? importance : importance.subspan(first, group), out.bits,
                      scale_dtype, clip);
      tensor::EncodeGroup(row.subspan(first, group), out.bits, scale, codes.subspan(first, group));
      out.scales[static_cast<size_t>(n * out.groups() + g)] = scale;
    }
  });
  if (not_finite.index() >= 0) return NotFinite(weight, not_finite.index());
  return out;
}

core::Result<tensor::QuantizedTensor> RoundToNearestPerTensor(const tensor::TensorView& weight,
                                                              int bits, tensor::DType scale_dtype,
                                                              core::ThreadPool& pool) {
  tensor::QuantizedTensor out = Empty(weight, bits, weight.shape[1], scale_dtype);
  std::vector<float> absmax(static_cast<size_t>(out.n));
  FirstNotFinite not_finite;
  ForEachRow(weight, pool, [&](int64_t n, std::span<const float> row) {
    if (not_finite.Passes(n, row)) absmax[static_cast<size_t>(n)] = tensor::AbsMax(row);
  });
  if (not_finite.index() >= 0) return NotFinite(weight, not_finite.index());
  const float scale = ChooseScale(absmax, {}, bits, scale_dtype, Clip::kNone);
  std::fill(out.scales.begin(), out.scales.end(), scale);
  ForEachRow(weight, pool, [&](int64_t n, std::span<const float> row) {
    tensor::EncodeGroup(row, bits, scale, std::span(out.codes.data() + n * out.k, row.size()));
  });
  return out;
}

}  // namespace octavo::quant
