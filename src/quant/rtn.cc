#include "quant/rtn.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <span>
#include <vector>

#include <fmt/format.h>

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

core::Error NotFinite(const tensor::TensorView& weight, int64_t index) {
  const int64_t k = weight.shape[1];
  float value = 0;
  tensor::ConvertToFloat(weight.dtype,
                         weight.bytes.subspan(static_cast<size_t>(index) * DTypeSize(weight.dtype),
                                              DTypeSize(weight.dtype)),
                         std::span(&value, 1));
  return core::Invalid(
      fmt::format("weight [{}, {}] is {}, which no integer can hold; the checkpoint is damaged or "
                  "was exported wrongly",
                  index / k, index % k, std::isnan(value) ? "NaN" : "infinite"));
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
                                                     core::ThreadPool& pool) {
  OCTAVO_CHECK(weight.rank() == 2 && tensor::IsFloat(weight.dtype));
  tensor::QuantizedTensor out;
  out.n = weight.shape[0];
  out.k = weight.shape[1];
  out.bits = scheme.weight_bits;
  out.group_size = GroupSize(weight, scheme);
  out.scale_dtype = scale_dtype;
  OCTAVO_CHECK(out.k % out.group_size == 0);
  out.codes.resize(static_cast<size_t>(out.n * out.k));
  out.scales.resize(static_cast<size_t>(out.n * out.groups()));

  // The first index that is not finite, whichever thread meets it.
  std::atomic<int64_t> not_finite{out.n * out.k};
  ForEachRow(weight, pool, [&](int64_t n, std::span<const float> row) {
    if (!std::isfinite(tensor::AbsMax(row))) {
      const auto bad =
          std::find_if(row.begin(), row.end(), [](float w) { return !std::isfinite(w); });
      const int64_t index = n * out.k + (bad - row.begin());
      int64_t seen = not_finite.load();
      while (index < seen && !not_finite.compare_exchange_weak(seen, index)) {
      }
      return;
    }
    const auto group = static_cast<size_t>(out.group_size);
    const std::span codes(out.codes.data() + n * out.k, row.size());
    for (int64_t g = 0; g < out.groups(); ++g) {
      const auto first = static_cast<size_t>(g) * group;
      out.scales[static_cast<size_t>(n * out.groups() + g)] = tensor::QuantizeGroup(
          row.subspan(first, group), out.bits, scale_dtype, codes.subspan(first, group));
    }
  });
  if (not_finite < out.n * out.k) return NotFinite(weight, not_finite);
  return out;
}

}  // namespace octavo::quant
