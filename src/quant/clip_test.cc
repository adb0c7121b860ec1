#include "quant/clip.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"
#include "tensor/quant_spec.h"

namespace octavo::quant {
namespace {

using tensor::DType;

double Error(const std::vector<float>& weights, const std::vector<float>& importance, int bits,
             float scale) {
  std::vector<int8_t> codes(weights.size());
  tensor::EncodeGroup(weights, bits, scale, codes);
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double d = weights[i] - static_cast<double>(scale) * codes[i];
    sum += d * d * (importance.empty() ? 1.0 : importance[i]);
  }
  return sum;
}

TEST(Clip, NoneIsTheLargestMagnitude) {
  for (const int bits : {8, 4}) {
    const std::vector<float> w = Normal(32, 1, 0.05);
    std::vector<int8_t> codes(w.size());
    EXPECT_EQ(ChooseScale(w, {}, bits, DType::kF16, Clip::kNone),
              tensor::QuantizeGroup(w, bits, DType::kF16, codes));
  }
}

TEST(Clip, MseIsTheBestOfItsCandidates) {
  for (const int bits : {8, 4}) {
    for (const size_t length : {16U, 32U, 37U, 576U}) {
      const std::vector<float> w = Normal(static_cast<int64_t>(length), length, 0.05);
      std::vector<float> importance = Normal(static_cast<int64_t>(length), 3, 0.05);
      for (float& h : importance) h *= h;
      for (const auto& weighting : {std::vector<float>{}, importance}) {
        const float chosen = ChooseScale(w, weighting, bits, DType::kF32, Clip::kMse);
        double least = INFINITY;
        const int parts = bits == 8 ? 100 : 80;
        for (int part = bits == 8 ? 80 : 40; part <= parts; ++part) {
          const float scale = tensor::AbsMax(w) / (bits == 8 ? 127.0F : 7.0F) *
                              static_cast<float>(part) / static_cast<float>(parts);
          least = std::min(least, Error(w, weighting, bits, scale));
        }
        // The search sums in f32: at most length / 16 + 2 roundings of 2^-24 each, relative.
        EXPECT_LE(Error(w, weighting, bits, chosen),
                  least * (1 + (static_cast<double>(length) / 16 + 4) * 0x1p-23));
      }
    }
  }
}

TEST(Clip, NegativeExtremeTakesTheCodeMinusEight) {
  std::vector<float> w(16, 0.0F);
  w[0] = -8;
  w[1] = 5;
  w[2] = 3;
  const float scale = ChooseScale(w, {}, 4, DType::kF32, Clip::kMse);
  EXPECT_NEAR(scale, 1, 1e-6);
}

TEST(Clip, ImportanceDecidesWhatIsClipped) {
  std::vector<float> w = Normal(64, 9, 0.05);
  w[5] = 0.4F;  // an outlier
  std::vector<float> importance(64, 1.0F);
  importance[5] = 0;
  const float free = ChooseScale(w, importance, 4, DType::kF32, Clip::kMse);
  importance[5] = 1e6F;
  const float bound = ChooseScale(w, importance, 4, DType::kF32, Clip::kMse);
  EXPECT_LT(free, 0.6F * bound);
}

TEST(Clip, ZeroGroupHasScaleOne) {
  const std::vector<float> zeros(32, 0.0F);
  const std::vector<float> tiny(32, 1e-9F);  // its scale rounds to zero in F16
  for (const Clip clip : {Clip::kNone, Clip::kMse}) {
    EXPECT_EQ(ChooseScale(zeros, {}, 4, DType::kF16, clip), 1);
    EXPECT_EQ(ChooseScale(tiny, {}, 8, DType::kF16, clip), 1);
  }
}

}  // namespace
}  // namespace octavo::quant
