#include "quant/refine.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "quant/blas.h"

namespace octavo::quant {
namespace {

constexpr int64_t kRowsPerTile = 64;
constexpr int64_t kLargestScaledGroup = 256;
constexpr int kSweeps = 3;  // of scale and codes over a group before the next group's turn

// One group of one row: g inputs.
struct GroupView {
  int64_t size;
  const float* h;  // [g, g] block of H on the diagonal, row stride `stride`
  int64_t stride;
  float* error;     // [g], E
  float* gradient;  // [g], E H
  int8_t* codes;    // [g]
};

// The scale of least error given the codes, or the old one where that is no better.
float ImproveScale(const GroupView& group, float scale, tensor::DType dtype, float* scratch) {
  // scratch = codes * H
  std::fill_n(scratch, group.size, 0.0F);
  double slope = 0;
  for (int64_t i = 0; i < group.size; ++i) {
    const auto code = static_cast<float>(group.codes[i]);
    if (code == 0) continue;
    slope += static_cast<double>(code) * group.gradient[i];
    const float* h = group.h + i * group.stride;
    for (int64_t j = 0; j < group.size; ++j) scratch[j] += code * h[j];
  }
  double curvature = 0;
  for (int64_t i = 0; i < group.size; ++i) {
    curvature += static_cast<double>(group.codes[i]) * scratch[i];
  }
  if (curvature <= 0) return scale;
  const float better = tensor::RoundToDType(scale + static_cast<float>(slope / curvature), dtype);
  const double change = static_cast<double>(better) - scale;
  if (better <= 0 || change * (change * curvature - 2 * slope) >= 0) return scale;
  const auto step = static_cast<float>(change);
  for (int64_t i = 0; i < group.size; ++i) {
    group.error[i] -= step * static_cast<float>(group.codes[i]);
    group.gradient[i] -= step * scratch[i];
  }
  return better;
}

// Each code in turn the one of least error; whether any changed.
bool ImproveCodes(const GroupView& group, float scale, float low, float high) {
  constexpr float kIntegers = 12582912.0F;  // as in tensor::EncodeGroup
  bool changed = false;
  for (int64_t i = 0; i < group.size; ++i) {
    const float* h = group.h + i * group.stride;
    const auto code = static_cast<float>(group.codes[i]);
    float better = code + group.gradient[i] / (h[i] * scale);
    better = better < low ? low : better;
    better = better > high ? high : better;
    better = (better + kIntegers) - kIntegers;
    if (better == code) continue;
    const float step = (better - code) * scale;
    group.codes[i] = static_cast<int8_t>(better);
    group.error[i] -= step;
    for (int64_t j = 0; j < group.size; ++j) group.gradient[j] -= step * h[j];
    changed = true;
  }
  return changed;
}

}  // namespace

void Refine(std::span<const float> weight, const GptqFactor& factor, int passes,
            tensor::QuantizedTensor& quantized, core::ThreadPool& pool) {
  tensor::QuantizedTensor& q = quantized;
  const int64_t k = q.k;
  OCTAVO_CHECK(k == factor.k() && static_cast<int64_t>(weight.size()) == q.n * k);
  const bool scaled = q.group_size <= kLargestScaledGroup;
  const int64_t width = scaled ? q.group_size : 64;
  const float low = q.bits == 8 ? -127.0F : -8.0F;
  const float high = q.bits == 8 ? 127.0F : 7.0F;
  const float per_row = 1.0F / static_cast<float>(factor.moments().rows());
  const float* sums = factor.moments().matrix();

  pool.ParallelFor((q.n + kRowsPerTile - 1) / kRowsPerTile, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> error(static_cast<size_t>(kRowsPerTile * k));
    std::vector<float> gradient(static_cast<size_t>(kRowsPerTile * k));
    std::vector<float> block(static_cast<size_t>(width * width));
    std::vector<float> change(static_cast<size_t>(kRowsPerTile * width));
    std::vector<float> local(static_cast<size_t>(3 * width));
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = t * kRowsPerTile;
      const int64_t rows = std::min(kRowsPerTile, q.n - first);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < k; ++j) {
          const auto i = static_cast<size_t>((first + r) * k + j);
          const float scale =
              q.scales[static_cast<size_t>((first + r) * q.groups() + j / q.group_size)];
          error[static_cast<size_t>(r * k + j)] =
              weight[i] - static_cast<float>(q.codes[i]) * scale;
        }
        for (const int64_t dead : factor.dead()) error[static_cast<size_t>(r * k + dead)] = 0;
      }
      for (int pass = 0; pass < passes; ++pass) {
        // From scratch each pass, so that rounding does not pile up.
        std::copy_n(error.begin(), rows * k, gradient.begin());
        blas::Gemm(blas::Op::kNone, blas::Op::kNone, rows, k, k, per_row, error.data(), k, sums, k,
                   factor.added(), gradient.data(), k);
        bool any = false;
        for (int64_t c = 0, size = 0; c < k; c += size) {
          size = std::min(width, q.group_size - c % q.group_size);
          for (int64_t i = 0; i < size; ++i) {
            for (int64_t j = 0; j < size; ++j) {
              block[static_cast<size_t>(i * width + j)] =
                  sums[(c + i) * k + c + j] * per_row + (i == j ? factor.added() : 0);
            }
          }
          bool moved = false;
          for (int64_t r = 0; r < rows; ++r) {
            float* delta = change.data() + r * width;
            float* g = local.data();
            std::copy_n(error.begin() + r * k + c, size, delta);
            std::copy_n(gradient.begin() + r * k + c, size, g);
            const GroupView group{size,  block.data(),
                                  width, error.data() + r * k + c,
                                  g,     q.codes.data() + (first + r) * k + c};
            float& scale =
                q.scales[static_cast<size_t>((first + r) * q.groups() + c / q.group_size)];
            for (int sweep = 0; sweep < kSweeps; ++sweep) {
              if (scaled) scale = ImproveScale(group, scale, q.scale_dtype, local.data() + width);
              if (!ImproveCodes(group, scale, low, high)) break;
            }
            for (int64_t i = 0; i < size; ++i) {
              delta[i] = group.error[i] - delta[i];
              moved = moved || delta[i] != 0;
            }
          }
          any = any || moved;
          if (!moved) continue;
          blas::Gemm(blas::Op::kNone, blas::Op::kNone, rows, k, size, per_row, change.data(), width,
                     sums + c * k, k, 1.0F, gradient.data(), k);
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t i = 0; i < size; ++i) {
              gradient[static_cast<size_t>(r * k + c + i)] +=
                  factor.added() * change[static_cast<size_t>(r * width + i)];
            }
          }
        }
        if (!any) break;
      }
    }
  });
}

}  // namespace octavo::quant
