#include "quant/clip.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "tensor/quant_spec.h"

namespace octavo::quant {
namespace {

// The weighted squared error of rounding to multiples of `scale`. Sixteen sums, folded at the end:
// an order that depends on the length only and that every vector width can take.
double SquaredError(std::span<const float> weights, std::span<const float> importance, float low,
                    float high, float scale) {
  constexpr size_t kLanes = 16;
  constexpr float kIntegers = 12582912.0F;  // as in tensor::EncodeGroup
  float sums[kLanes] = {};
  const auto error = [&](size_t i) {
    float code = weights[i] / scale;
    code = code < low ? low : code;
    code = code > high ? high : code;
    code = (code + kIntegers) - kIntegers;
    const float difference = weights[i] - code * scale;
    return difference * difference * (importance.empty() ? 1.0F : importance[i]);
  };
  size_t i = 0;
  for (; i + kLanes <= weights.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += error(i + lane);
  }
  double total = 0;
  for (const float sum : sums) total += sum;
  for (; i < weights.size(); ++i) total += error(i);
  return total;
}

}  // namespace

float PlainScale(float absmax, int bits, tensor::DType scale_dtype) {
  const float scale = tensor::RoundToDType(absmax / (bits == 8 ? 127.0F : 7.0F), scale_dtype);
  return scale == 0 ? 1.0F : scale;
}

float ChooseScale(std::span<const float> weights, std::span<const float> importance, int bits,
                  tensor::DType scale_dtype, Clip clip) {
  OCTAVO_CHECK(bits == 8 || bits == 4);
  OCTAVO_CHECK(importance.empty() || importance.size() == weights.size());
  const float absmax = tensor::AbsMax(weights);
  if (clip == Clip::kNone) return PlainScale(absmax, bits, scale_dtype);
  const float low = bits == 8 ? -127.0F : -8.0F;
  const float high = bits == 8 ? 127.0F : 7.0F;
  const float largest = absmax / high;
  float best = tensor::RoundToDType(largest, scale_dtype);
  if (best == 0) return 1;

  double least = SquaredError(weights, importance, low, high, best);
  const int parts = bits == 8 ? 100 : 80;
  const int last = bits == 8 ? 80 : 40;
  for (int part = parts - 1; part >= last; --part) {
    const float scale = tensor::RoundToDType(
        largest * static_cast<float>(part) / static_cast<float>(parts), scale_dtype);
    if (scale == 0) break;
    const double error = SquaredError(weights, importance, low, high, scale);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

}  // namespace octavo::quant
