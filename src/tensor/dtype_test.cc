#include "tensor/dtype.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace octavo::tensor {
namespace {

// What IEEE 754 says that a half is worth.
float HalfByDefinition(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  float magnitude = 0;
  if (exponent == 31) {
    magnitude = mantissa != 0 ? std::nanf("") : std::numeric_limits<float>::infinity();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(DType, EveryHalfHasItsValueAndComesBack) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float expected = HalfByDefinition(bits);
    const float value = F16ToFloat(bits);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value) && std::isnan(F16ToFloat(FloatToF16(value)))) << bits;
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected)) << bits;
    ASSERT_EQ(FloatToF16(value), bits);
  }
}

TEST(DType, RoundsToTheNearestAndTiesToEven) {
  for (uint32_t i = 0; i < 0x7BFF; ++i) {  // every finite half but the last and its successor
    const auto bits = static_cast<uint16_t>(i);
    const float middle = (F16ToFloat(bits) + F16ToFloat(static_cast<uint16_t>(i + 1))) / 2;
    ASSERT_EQ(FloatToF16(middle), i % 2 == 0 ? i : i + 1);
    ASSERT_EQ(FloatToF16(std::nextafter(middle, 0.0F)), i);
    ASSERT_EQ(FloatToF16(std::nextafter(middle, 1e9F)), i + 1);
  }
  EXPECT_EQ(FloatToF16(65519.996F), 0x7BFF);
  EXPECT_EQ(FloatToF16(65520.0F), 0x7C00);
  EXPECT_EQ(FloatToBF16(1.00390625F), 0x3F80);  // half way: down to even
  EXPECT_EQ(FloatToBF16(1.01171875F), 0x3F82);  // half way: up to even
  EXPECT_EQ(FloatToBF16(std::numeric_limits<float>::max()), 0x7F80);
}

TEST(DType, WholeTensorsConvertAsSingleValuesDo) {
  std::vector<uint16_t> halves;
  for (uint32_t i = 0; i < 0x7C00; i += 7) halves.push_back(static_cast<uint16_t>(i));
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<float> values(halves.size());
    ConvertToFloat(dtype, core::AsBytes(std::span<const uint16_t>(halves)), values);
    for (size_t i = 0; i < halves.size(); ++i) {
      ASSERT_EQ(values[i], dtype == DType::kF16 ? F16ToFloat(halves[i]) : BF16ToFloat(halves[i]));
    }
    std::vector<uint16_t> back(halves.size());
    ConvertFromFloat(values, dtype, std::as_writable_bytes(std::span(back)));
    EXPECT_EQ(back, halves);
  }
}

TEST(DType, NamesAreThoseOfSafetensors) {
  for (const char* name : {"F32", "F16", "BF16", "I8", "I32", "I64", "U8"}) {
    const auto dtype = ParseDType(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    EXPECT_EQ(DTypeName(*dtype), name);
  }
  EXPECT_FALSE(ParseDType("F8_E4M3").has_value());
  EXPECT_FALSE(ParseDType("f32").has_value());
}

}  // namespace
}  // namespace octavo::tensor
