// What quantization means in octavo: schemes, code ranges, rounding and granularity, stated once
// for all methods, kernels and formats. docs/numerics.md gives the reasons.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "tensor/dtype.h"

namespace octavo::tensor {

enum class Activations : uint8_t { kFloat, kDynamicPerToken, kStaticPerTensor };

// How the weights and inputs of a linear layer are stored and multiplied.
struct Scheme {
  int weight_bits = 16;    // 16 (kept as stored), 8 or 4
  int64_t group_size = 0;  // inputs per scale; 0 means one scale per output channel
  Activations activations = Activations::kFloat;
  bool per_tensor = false;  // one scale for the whole weight (group_size is 0): for comparison

  bool operator==(const Scheme&) const = default;
};

// "w8a16", "w8a16-g128", "w8a8", "w8a8-static", "w4a16-g64", "w4a8-g32", those without a group size
// also with "-tensor" behind them, and "16" for a layer that stays as it is. An unknown name is a
// Usage error that lists the known ones.
core::Result<Scheme> ParseScheme(std::string_view name);
std::string SchemeName(const Scheme& scheme);

// The largest code magnitude that octavo writes: codes lie in [-127, 127] (8 bit) or [-8, 7] (4
// bit). Readers accept -128.
inline constexpr int kMaxCode8 = 127;

// The largest magnitude; infinite or NaN exactly when some weight is.
float AbsMax(std::span<const float> weights);

// Symmetric round-to-nearest of one group of weights that share a scale: scale = absmax / 127 (or /
// 7), rounded to `scale_dtype` first, codes = round half to even (weight / rounded scale), clamped.
// An all-zero group, or one whose scale would round to zero, gets scale 1 and codes 0. Weights must
// be finite. Returns the rounded scale.
float QuantizeGroup(std::span<const float> weights, int bits, DType scale_dtype,
                    std::span<int8_t> codes);

// The codes of weights whose scale is given: round half to even (weight / scale), clamped to [-127,
// 127] or [-8, 7]. scale > 0 and already rounded to its stored type; weights finite.
void EncodeGroup(std::span<const float> weights, int bits, float scale, std::span<int8_t> codes);

// The stored type of scales for a model whose floats are `model_dtype`: the model's own, or F32
// where `scale` would be subnormal in F16 (below 2^-14) and so lose bits.
DType ScaleDType(DType model_dtype, float smallest_scale);

}  // namespace octavo::tensor
