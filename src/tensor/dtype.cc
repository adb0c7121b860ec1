#include "tensor/dtype.h"

#include <cstring>

#include "core/check.h"

namespace octavo::tensor {
namespace {

struct Entry {
  std::string_view name;
  size_t size;
};
// In the order of the enumeration.
constexpr Entry kEntries[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I8", 1},
                              {"I32", 4}, {"I64", 8}, {"U8", 1}};

}  // namespace

size_t DTypeSize(DType dtype) {
  return kEntries[static_cast<size_t>(dtype)].size;
}

std::string_view DTypeName(DType dtype) {
  return kEntries[static_cast<size_t>(dtype)].name;
}

std::optional<DType> ParseDType(std::string_view name) {
  for (size_t i = 0; i < std::size(kEntries); ++i) {
    if (kEntries[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

float F16ToFloat(uint16_t bits) {
  // Without a branch, so that loops over it vectorise.
  const uint32_t sign = (bits & 0x8000U) << 16;
  const uint32_t magnitude = (bits & 0x7FFFU) << 13;  // exponent and mantissa in their f32 places
  constexpr uint32_t kRebias = 112U << 23;
  const uint32_t normal = magnitude + kRebias + (magnitude >= 31U << 23 ? kRebias : 0U);
  // A subnormal is m * 2^-24: the mantissa behind an exponent of 2^-14, less that 2^-14; exact.
  const float subnormal = std::bit_cast<float>(magnitude + (113U << 23)) - 0x1p-14F;
  const auto is_subnormal =  // all ones or none
      static_cast<uint32_t>((static_cast<int32_t>(magnitude) - (1 << 23)) >> 31);
  const uint32_t wide =
      (std::bit_cast<uint32_t>(subnormal) & is_subnormal) | (normal & ~is_subnormal);
  return std::bit_cast<float>(sign | wide);
}

uint16_t FloatToF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  // 65520 is halfway between the largest half and the next power of two; from there on it rounds to
  // infinity.
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x38800000U) {
    // Below 2^-14 a half is a multiple of 2^-24; adding 0.5 in f32 makes the hardware round to that
    // multiple.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000U));
  }
  const uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

float RoundToDType(float value, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return value;
    case DType::kF16:
      return F16ToFloat(FloatToF16(value));
    case DType::kBF16:
      return BF16ToFloat(FloatToBF16(value));
    default:
      OCTAVO_CHECK(false);
  }
}

void ConvertToFloat(DType dtype, core::ByteSpan in, std::span<float> out) {
  OCTAVO_CHECK(IsFloat(dtype) && in.size() == out.size() * DTypeSize(dtype));
  if (dtype == DType::kF32) {
    if (!out.empty()) std::memcpy(out.data(), in.data(), in.size());
    return;
  }
  const auto convert = [&](auto to_float) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = to_float(core::LoadLittle<uint16_t>(in, 2 * i));
    }
  };
  if (dtype == DType::kF16) {
    convert([](uint16_t bits) { return F16ToFloat(bits); });
  } else {
    convert(BF16ToFloat);
  }
}

void ConvertFromFloat(std::span<const float> in, DType dtype, core::MutableByteSpan out) {
  OCTAVO_CHECK(IsFloat(dtype) && out.size() == in.size() * DTypeSize(dtype));
  if (dtype == DType::kF32) {
    if (!in.empty()) std::memcpy(out.data(), in.data(), out.size());
    return;
  }
  for (size_t i = 0; i < in.size(); ++i) {
    const uint16_t bits = dtype == DType::kF16 ? FloatToF16(in[i]) : FloatToBF16(in[i]);
    std::memcpy(out.data() + 2 * i, &bits, sizeof(bits));
  }
}

}  // namespace octavo::tensor
