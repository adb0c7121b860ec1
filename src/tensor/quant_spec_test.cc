#include "tensor/quant_spec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"

namespace octavo::tensor {
namespace {

std::vector<float> Normal(size_t count, double sigma, uint64_t seed) {
  core::Random random(seed);
  std::vector<float> out(count);
  for (float& x : out) x = static_cast<float>(sigma * random.Normal());
  return out;
}

// The definition, in the plainest words: the fast form must equal it bit for bit.
float PlainQuantize(const std::vector<float>& weights, int bits, DType scale_dtype,
                    std::vector<int8_t>& codes) {
  const float low = bits == 8 ? -127.0F : -8.0F;
  const float high = bits == 8 ? 127.0F : 7.0F;
  float absmax = 0;
  for (const float w : weights) absmax = std::max(absmax, std::fabs(w));
  const float scale = RoundToDType(absmax / high, scale_dtype);
  codes.assign(weights.size(), 0);
  if (scale == 0) return 1;
  for (size_t i = 0; i < weights.size(); ++i) {
    codes[i] = static_cast<int8_t>(std::clamp(std::nearbyint(weights[i] / scale), low, high));
  }
  return scale;
}

TEST(QuantizeGroup, EqualsThePlainDefinition) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int bits : {8, 4}) {
      for (const size_t count : {1U, 2U, 7U, 64U, 1001U}) {
        const std::vector<float> weights = Normal(count, 0.04, count);
        std::vector<int8_t> codes(count);
        std::vector<int8_t> expected;
        const float scale = QuantizeGroup(weights, bits, dtype, codes);
        EXPECT_EQ(scale, PlainQuantize(weights, bits, dtype, expected));
        EXPECT_EQ(codes, expected);
      }
    }
  }
}

TEST(QuantizeGroup, RoundsHalfToEven) {
  const std::vector<float> weights = {127, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 126.5F};
  std::vector<int8_t> codes(weights.size());
  EXPECT_EQ(QuantizeGroup(weights, 8, DType::kF32, codes), 1);
  EXPECT_EQ(codes, (std::vector<int8_t>{127, 0, 2, 2, 0, -2, -2, 126}));
}

TEST(QuantizeGroup, CodesUseTheScaleAsItIsStored) {
  // 1/127 rounds down in bf16 to 0.00787353515625, so that 1 becomes 127.007 scales: still code
  // 127.
  const std::vector<float> weights = {1, -1, 0.25F};
  std::vector<int8_t> codes(weights.size());
  const float scale = QuantizeGroup(weights, 8, DType::kBF16, codes);
  EXPECT_EQ(scale, RoundToDType(scale, DType::kBF16));
  EXPECT_EQ(codes, (std::vector<int8_t>{127, -127, 32}));
}

TEST(QuantizeGroup, ZeroGroupHasScaleOneAndCodesZero) {
  const std::vector<float> weights = {0, -0.0F, 0};
  std::vector<int8_t> codes(3, 9);
  EXPECT_EQ(QuantizeGroup(weights, 8, DType::kF16, codes), 1);
  EXPECT_EQ(codes, (std::vector<int8_t>{0, 0, 0}));
}

TEST(AbsMax, ShowsWhatIsNotFinite) {
  EXPECT_EQ(AbsMax({}), 0);
  const std::vector<float> finite = {-3, 2};
  EXPECT_EQ(AbsMax(finite), 3);
  const std::vector<float> infinite = {1, -std::numeric_limits<float>::infinity()};
  EXPECT_TRUE(std::isinf(AbsMax(infinite)));
  const std::vector<float> nan = {std::numeric_limits<float>::infinity(), -std::nanf("1")};
  EXPECT_TRUE(std::isnan(AbsMax(nan)));
}

TEST(ScaleDType, IsF32WhereF16WouldLoseBits) {
  EXPECT_EQ(ScaleDType(DType::kF16, 0x1p-14F), DType::kF16);
  EXPECT_EQ(ScaleDType(DType::kF16, 0x1.FFCp-15F), DType::kF32);
  EXPECT_EQ(ScaleDType(DType::kBF16, 0x1p-30F), DType::kBF16);
}

TEST(ParseScheme, ReadsEveryNameThatItWrites) {
  for (const char* name : {"16", "w8a16", "w8a16-g128", "w8a8", "w8a8-static", "w4a16-g64",
                           "w4a8-g32", "w8a16-tensor", "w8a8-tensor", "w8a8-static-tensor"}) {
    const auto scheme = ParseScheme(name);
    ASSERT_TRUE(scheme.ok()) << name;
    EXPECT_EQ(SchemeName(scheme.value()), name);
  }
}

TEST(ParseScheme, RefusesOthersAndSaysWhichThereAre) {
  for (const char* name :
       {"", "w8", "w8a16-g", "w8a16-g0", "w8a16-g-4", "w8a16-g12x", "w8a8-g32", "W8A16",
        "w8a16-g99999999999999999999", "16-tensor", "w8a16-g32-tensor", "w4a8-tensor", "-tensor"}) {
    const auto scheme = ParseScheme(name);
    ASSERT_FALSE(scheme.ok()) << name;
    EXPECT_EQ(scheme.error().code(), core::ErrorCode::kUsage);
    EXPECT_NE(scheme.error().message().find("w8a16-gN"), std::string::npos);
  }
  EXPECT_NE(ParseScheme("w4a16").error().message().find("needs a group size"), std::string::npos);
}

}  // namespace
}  // namespace octavo::tensor
