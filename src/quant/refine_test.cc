#include "quant/refine.h"

#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"
#include "quant/gptq.h"
#include "quant/output_error.h"
#include "quant/rtn.h"

namespace octavo::quant {
namespace {

using tensor::DType;

constexpr int64_t kRefineInputs = 576;
constexpr int64_t kOutputs = 70;

// tr(E H E^T) with the damped H that Refine works on.
double DampedError(const std::vector<float>& w, const tensor::QuantizedTensor& q,
                   const GptqFactor& factor, core::ThreadPool& pool) {
  double total = OutputError(w, q, factor.moments(), pool);
  for (size_t i = 0; i < w.size(); ++i) {
    const double e =
        w[i] - static_cast<double>(q.codes[i]) * q.scales[i / static_cast<size_t>(q.group_size)];
    total += factor.added() * e * e;
  }
  return total;
}

TEST(Refine, EachPassLowersTheErrorOfAnyMethod) {
  core::ThreadPool pool(2);
  const std::vector<float> w = Normal(kOutputs * kRefineInputs, 1, 0.05);
  const SecondMoments moments =
      Moments(CorrelatedInputs(700, kRefineInputs, 2), kRefineInputs, pool);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
  for (const char* name : {"w4a16-g32", "w4a16-g16", "w8a16", "w8a16-g64", "w4a16-g288"}) {
    const tensor::Scheme scheme = tensor::ParseScheme(name).value();
    const tensor::TensorView view{
        DType::kF32, {kOutputs, kRefineInputs}, std::as_bytes(std::span(w))};
    const auto rtn = RoundToNearest(view, scheme, DType::kF16, pool, Clip::kMse).value();
    const auto gptq = Gptq(w, kOutputs, scheme, DType::kF16, factor, options, pool).value().tensor;
    for (const auto& start : {rtn, gptq}) {
      double before = DampedError(w, start, factor, pool);
      const double at_first = before;
      for (int passes = 1; passes <= 3; ++passes) {
        tensor::QuantizedTensor q = start;
        Refine(w, factor, passes, q, pool);
        const double after = DampedError(w, q, factor, pool);
        EXPECT_LE(after, before * (1 + 1e-5)) << name;  // both sums round in f32
        before = after;
      }
      EXPECT_LT(before, 0.99 * at_first) << name;
    }
  }
}

TEST(Refine, FindsTheScaleAndCodesOfAGridPoint) {
  // Weights that are codes times a scale, started from a scale 3 % off.
  core::ThreadPool pool(1);
  core::Random random(3);
  const SecondMoments moments = Moments(CorrelatedInputs(300, 32, 4), 32, pool);
  const GptqFactor factor = GptqFactor::Make(moments, {}, pool).value();
  tensor::QuantizedTensor q;
  q.n = 8;
  q.k = q.group_size = 32;
  q.bits = 4;
  q.codes.resize(8 * 32);
  q.scales.assign(8, 0.0515F);
  std::vector<float> w(8 * 32);
  for (size_t i = 0; i < w.size(); ++i) {
    q.codes[i] = static_cast<int8_t>(static_cast<int>(random.Below(15)) - 7);
    w[i] = 0.05F * static_cast<float>(q.codes[i]);
  }
  Refine(w, factor, 3, q, pool);
  for (const float scale : q.scales) EXPECT_NEAR(scale, 0.05F, 1e-6);
  EXPECT_LT(OutputError(w, q, moments, pool), 1e-6);
}

TEST(Refine, NoSingleCodeCanBeImprovedAfterwards) {
  core::ThreadPool pool(1);
  const int64_t k = 16;
  const int64_t n = 12;
  const std::vector<float> w = Normal(n * k, 5, 0.05);
  const SecondMoments moments = Moments(CorrelatedInputs(100, k, 6), k, pool);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
  const auto scheme = tensor::ParseScheme("w4a16-g16").value();
  auto q = Gptq(w, n, scheme, DType::kF32, factor, options, pool).value().tensor;
  Refine(w, factor, 30, q, pool);
  const double least = DampedError(w, q, factor, pool);
  for (size_t i = 0; i < q.codes.size(); ++i) {
    for (const int step : {-1, 1}) {
      const int code = q.codes[i] + step;
      if (code < -8 || code > 7) continue;
      tensor::QuantizedTensor other = q;
      other.codes[i] = static_cast<int8_t>(code);
      EXPECT_GE(DampedError(w, other, factor, pool), least * (1 - 1e-5));
    }
  }
}

TEST(Refine, ThreadsDoNotChangeABit) {
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  const std::vector<float> w = Normal(200 * kRefineInputs, 7, 0.05);
  const SecondMoments moments =
      Moments(CorrelatedInputs(300, kRefineInputs, 8), kRefineInputs, one);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, one).value();
  const auto scheme = tensor::ParseScheme("w4a16-g32").value();
  auto a = Gptq(w, 200, scheme, DType::kF16, factor, options, one).value().tensor;
  auto b = a;
  Refine(w, factor, 2, a, one);
  Refine(w, factor, 2, b, three);
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.scales, b.scales);
}

}  // namespace
}  // namespace octavo::quant
