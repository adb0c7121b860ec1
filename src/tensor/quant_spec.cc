#include "tensor/quant_spec.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include "core/bytes.h"

namespace octavo::tensor {
namespace {

struct Family {
  std::string_view name;
  Scheme scheme;
  bool grouped;  // takes a -gN suffix
};
constexpr Family kFamilies[] = {
    {"16", {16, 0, Activations::kFloat}, false},
    {"w8a16", {8, 0, Activations::kFloat}, true},
    {"w8a8-static", {8, 0, Activations::kStaticPerTensor}, false},
    {"w8a8", {8, 0, Activations::kDynamicPerToken}, false},
    {"w4a16", {4, 0, Activations::kFloat}, true},
    {"w4a8", {4, 0, Activations::kDynamicPerToken}, true},
};

constexpr std::string_view kPerTensor = "-tensor";

core::Error UnknownScheme(std::string_view name) {
  return core::Usage(
      "unknown scheme '" + core::Printable(name) +
      "'; known: w8a16, w8a16-gN, w8a8, w8a8-static, w4a16-gN, w4a8-gN (N inputs share a scale), "
      "w8a16-tensor, w8a8-tensor, w8a8-static-tensor (all weights do)");
}

}  // namespace

core::Result<Scheme> ParseScheme(std::string_view name) {
  const bool per_tensor = name.ends_with(kPerTensor);
  const std::string_view grouped =
      per_tensor ? name.substr(0, name.size() - kPerTensor.size()) : name;
  const size_t dash = grouped.rfind("-g");
  const std::string_view family_name = grouped.substr(0, dash);
  for (const Family& family : kFamilies) {
    if (family.name != family_name) continue;
    Scheme scheme = family.scheme;
    scheme.per_tensor = per_tensor;
    if (per_tensor && (dash != std::string_view::npos || scheme.weight_bits != 8)) break;
    if (dash != std::string_view::npos) {
      const std::string_view digits = grouped.substr(dash + 2);
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), scheme.group_size);
      if (!family.grouped || error != std::errc() || end != digits.data() + digits.size() ||
          scheme.group_size < 1) {
        return UnknownScheme(name);
      }
    }
    if (scheme.weight_bits == 4 && scheme.group_size == 0) {
      return core::Usage("scheme '" + std::string(name) + "' needs a group size, e.g. " +
                         std::string(name) + "-g32");
    }
    return scheme;
  }
  return UnknownScheme(name);
}

std::string SchemeName(const Scheme& scheme) {
  for (const Family& family : kFamilies) {
    if (family.scheme.weight_bits != scheme.weight_bits ||
        family.scheme.activations != scheme.activations)
      continue;
    std::string name(family.name);
    if (scheme.group_size > 0) name += "-g" + std::to_string(scheme.group_size);
    if (scheme.per_tensor) name += kPerTensor;
    return name;
  }
  return "unknown";
}

float AbsMax(std::span<const float> weights) {
  // On the bits of non-negative floats integers order as the floats do, infinity and NaN last, and
  // unlike a float maximum an integer one may be taken in any order, so that it vectorises.
  int32_t largest = 0;
  for (const float w : weights) {
    largest = std::max(largest, std::bit_cast<int32_t>(w) & 0x7FFFFFFF);
  }
  return std::bit_cast<float>(largest);
}

float QuantizeGroup(std::span<const float> weights, int bits, DType scale_dtype,
                    std::span<int8_t> codes) {
  const float high = bits == 8 ? 127.0F : 7.0F;
  const float scale = RoundToDType(AbsMax(weights) / high, scale_dtype);
  if (scale == 0) {
    OCTAVO_CHECK(weights.size() == codes.size());
    std::fill(codes.begin(), codes.end(), int8_t{0});
    return 1;
  }
  EncodeGroup(weights, bits, scale, codes);
  return scale;
}

void EncodeGroup(std::span<const float> weights, int bits, float scale, std::span<int8_t> codes) {
  OCTAVO_CHECK(weights.size() == codes.size() && (bits == 8 || bits == 4));
  const float low = bits == 8 ? -127.0F : -8.0F;
  const float high = bits == 8 ? 127.0F : 7.0F;
  // 1.5 * 2^23, where floats are the integers: adding it rounds half to even, as nearbyint does,
  // and leaves the integer in the low bits.  (Unlike nearbyint it vectorises on every x86-64.)
  constexpr float kIntegers = 12582912.0F;
  for (size_t i = 0; i < weights.size(); ++i) {
    float code = weights[i] / scale;
    code = code < low ? low : code;
    code = code > high ? high : code;
    codes[i] = static_cast<int8_t>(std::bit_cast<int32_t>(code + kIntegers));
  }
}

DType ScaleDType(DType model_dtype, float smallest_scale) {
  constexpr float kSmallestNormalF16 = 6.103515625e-05F;
  if (model_dtype == DType::kF16 && smallest_scale < kSmallestNormalF16) return DType::kF32;
  return model_dtype;
}

}  // namespace octavo::tensor
