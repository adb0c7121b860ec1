#include "quant/output_error.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "quant/blas.h"

namespace octavo::quant {

double OutputErrorOf(int64_t n, core::FunctionRef<void(int64_t, std::span<float>)> fill,
                     const SecondMoments& moments, core::ThreadPool& pool) {
  OCTAVO_CHECK(moments.rows() > 0);
  constexpr int64_t kRows = 64;
  constexpr int64_t kColumns = 512;
  const int64_t k = moments.k();
  const float* h = moments.matrix();
  std::vector<double> errors(static_cast<size_t>(n));
  pool.ParallelFor((n + kRows - 1) / kRows, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> e(static_cast<size_t>(kRows * k));
    std::vector<float> product(static_cast<size_t>(kRows * kColumns));
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = t * kRows;
      const int64_t rows = std::min(kRows, n - first);
      for (int64_t r = 0; r < rows; ++r) {
        fill(first + r, std::span(e.data() + r * k, static_cast<size_t>(k)));
      }
      for (int64_t c = 0; c < k; c += kColumns) {
        const int64_t width = std::min(kColumns, k - c);
        blas::Gemm(blas::Op::kNone, blas::Op::kNone, rows, width, k, 1.0F, e.data(), k, h + c, k,
                   0.0F, product.data(), kColumns);
        for (int64_t r = 0; r < rows; ++r) {
          double sum = 0;
          for (int64_t j = 0; j < width; ++j) {
            sum += static_cast<double>(e[static_cast<size_t>(r * k + c + j)]) *
                   product[static_cast<size_t>(r * kColumns + j)];
          }
          errors[static_cast<size_t>(first + r)] += sum;
        }
      }
    }
  });
  double total = 0;
  for (const double error : errors) total += error;
  return std::max(total, 0.0) / static_cast<double>(moments.rows());
}

double OutputError(std::span<const float> weight, const tensor::QuantizedTensor& quantized,
                   const SecondMoments& moments, core::ThreadPool& pool) {
  const tensor::QuantizedTensor& q = quantized;
  OCTAVO_CHECK(q.k == moments.k() && static_cast<int64_t>(weight.size()) == q.n * q.k);
  return OutputErrorOf(
      q.n,
      [&](int64_t n, std::span<float> row) {
        for (int64_t k = 0; k < q.k; ++k) {
          const auto i = static_cast<size_t>(n * q.k + k);
          const float scale = q.scales[static_cast<size_t>(n * q.groups() + k / q.group_size)];
          row[static_cast<size_t>(k)] = weight[i] - static_cast<float>(q.codes[i]) * scale;
        }
      },
      moments, pool);
}

}  // namespace octavo::quant
