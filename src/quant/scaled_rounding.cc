#include "quant/scaled_rounding.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "quant/output_error.h"

namespace octavo::quant {

int64_t SampledRows(int64_t n, int64_t most) {
  return std::min(n, most);
}

std::span<const float> SampledRow(const MatrixView& weight, int64_t k, int64_t index,
                                  int64_t most) {
  const int64_t row = index * weight.n / SampledRows(weight.n, most);
  return weight.values.subspan(static_cast<size_t>(row * k), static_cast<size_t>(k));
}

double ScaledRoundingError(std::span<const MatrixView> weights, std::span<const float> factors,
                           const SecondMoments& moments, const tensor::Scheme& scheme, Clip clip,
                           int64_t most_rows, core::ThreadPool& pool) {
  const int64_t k = moments.k();
  OCTAVO_CHECK(static_cast<int64_t>(factors.size()) == k);
  const int64_t group = scheme.group_size == 0 ? k : scheme.group_size;
  std::vector<float> importance = moments.Diagonal();
  for (size_t j = 0; j < importance.size(); ++j) importance[j] /= factors[j] * factors[j];

  double total = 0;
  for (const MatrixView& weight : weights) {
    total += OutputErrorOf(
        SampledRows(weight.n, most_rows),
        [&](int64_t n, std::span<float> row) {
          const std::span<const float> original = SampledRow(weight, k, n, most_rows);
          std::vector<int8_t> codes(static_cast<size_t>(group));
          for (size_t j = 0; j < row.size(); ++j) row[j] = original[j] * factors[j];
          for (size_t first = 0; first < row.size(); first += codes.size()) {
            const std::span<float> part = row.subspan(first, codes.size());
            const float scale =
                ChooseScale(part, std::span<const float>(importance).subspan(first, codes.size()),
                            scheme.weight_bits, tensor::DType::kF32, clip);
            tensor::EncodeGroup(part, scheme.weight_bits, scale, codes);
            for (size_t j = 0; j < codes.size(); ++j) {
              part[j] =
                  static_cast<float>(codes[j]) * scale / factors[first + j] - original[first + j];
            }
          }
        },
        moments, pool);
  }
  return total;
}

}  // namespace octavo::quant
