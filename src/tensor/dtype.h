// The element types that checkpoints store, and conversion to and from f32, rounding half to even.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/bytes.h"

namespace octavo::tensor {

enum class DType : uint8_t { kF32, kF16, kBF16, kI8, kI32, kI64, kU8 };

// Bytes of one element.
size_t DTypeSize(DType dtype);
// The name that safetensors uses: "F32", "F16", "BF16", "I8", "I32", "I64", "U8".
std::string_view DTypeName(DType dtype);
std::optional<DType> ParseDType(std::string_view name);
inline bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// bfloat16 is the upper half of an f32. NaN stays NaN (quiet).
inline float BF16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
inline uint16_t FloatToBF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}
// IEEE 754 binary16, subnormals included; a value beyond 65504 becomes infinity.
float F16ToFloat(uint16_t bits);
uint16_t FloatToF16(float value);

// `value` rounded to `dtype` (kF32, kF16 or kBF16) and back: what a stored scale is worth.
float RoundToDType(float value, DType dtype);

// Converts a whole float tensor; in.size() == out.size() * DTypeSize(dtype), dtype kF32, kF16 or
// kBF16.
void ConvertToFloat(DType dtype, core::ByteSpan in, std::span<float> out);
void ConvertFromFloat(std::span<const float> in, DType dtype, core::MutableByteSpan out);

}  // namespace octavo::tensor
