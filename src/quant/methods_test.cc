// Every method on every corner input: a new line in either list is tested at once.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"
#include "quant/gptq.h"
#include "quant/output_error.h"
#include "quant/refine.h"
#include "quant/rtn.h"

namespace octavo::quant {
namespace {

using tensor::DType;
using tensor::QuantizedTensor;

constexpr int64_t kMethodInputs = 64;

struct Input {
  std::string name;
  int64_t n = 0;
  std::vector<float> weight;
  std::vector<float> x;
};

struct Method {
  std::string name;
  std::function<core::Result<QuantizedTensor>(const Input&, const tensor::Scheme&,
                                              core::ThreadPool&)>
      run;
};

core::Result<QuantizedTensor> Rtn(const Input& input, const tensor::Scheme& scheme,
                                  core::ThreadPool& pool, Clip clip) {
  const tensor::TensorView view{
      DType::kF32, {input.n, kMethodInputs}, std::as_bytes(std::span(input.weight))};
  return RoundToNearest(view, scheme, DType::kF16, pool, clip,
                        Moments(input.x, kMethodInputs, pool).Diagonal());
}

core::Result<QuantizedTensor> RunGptq(const Input& input, const tensor::Scheme& scheme,
                                      core::ThreadPool& pool, bool act_order, int passes) {
  GptqOptions options;
  options.act_order = act_order;
  const SecondMoments moments = Moments(input.x, kMethodInputs, pool);
  OCTAVO_TRY(const GptqFactor factor, GptqFactor::Make(moments, options, pool));
  OCTAVO_TRY(GptqResult result,
             Gptq(input.weight, input.n, scheme, DType::kF16, factor, options, pool));
  Refine(input.weight, factor, passes, result.tensor, pool);
  return std::move(result.tensor);
}

std::vector<Method> Methods() {
  return {
      {"rtn", [](auto& i, auto& s, auto& p) { return Rtn(i, s, p, Clip::kNone); }},
      {"rtn with clip", [](auto& i, auto& s, auto& p) { return Rtn(i, s, p, Clip::kMse); }},
      {"gptq", [](auto& i, auto& s, auto& p) { return RunGptq(i, s, p, true, 0); }},
      {"gptq in order", [](auto& i, auto& s, auto& p) { return RunGptq(i, s, p, false, 0); }},
      {"gptq refined", [](auto& i, auto& s, auto& p) { return RunGptq(i, s, p, true, 3); }},
  };
}

std::vector<Input> CornerInputs() {
  const std::vector<float> x = CorrelatedInputs(150, kMethodInputs, 1);
  const auto make = [&](const char* name, int64_t n) {
    return Input{name, n, Normal(n * kMethodInputs, 2, 0.05), x};
  };
  std::vector<Input> inputs = {make("plain", 70), make("one row", 1), make("all zero", 5)};
  std::fill(inputs.back().weight.begin(), inputs.back().weight.end(), 0.0F);
  inputs.push_back(make("a zero row", 5));
  std::fill_n(inputs.back().weight.begin() + kMethodInputs, kMethodInputs, 0.0F);
  inputs.push_back(make("one large weight", 5));
  inputs.back().weight[70] = 90;
  inputs.push_back(make("all equal", 5));
  std::fill(inputs.back().weight.begin(), inputs.back().weight.end(), -0.125F);
  inputs.push_back(make("dead inputs", 5));
  for (size_t r = 0; r < 150; ++r) inputs.back().x[r * kMethodInputs + 3] = 0;
  inputs.push_back(make("all inputs dead", 5));
  std::fill(inputs.back().x.begin(), inputs.back().x.end(), 0.0F);
  inputs.push_back(make("fewer rows than inputs", 5));
  inputs.back().x.resize(3 * kMethodInputs);
  inputs.push_back(make("an input of a thousand", 5));
  for (size_t r = 0; r < 150; ++r)
    inputs.back().x[r * kMethodInputs + 9] = r % 2 == 0 ? 1000.0F : -1000;
  return inputs;
}

TEST(Methods, YieldWhatARuntimeCanMultiply) {
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  for (const Method& method : Methods()) {
    for (const Input& input : CornerInputs()) {
      for (const char* scheme_name : {"w8a16", "w8a16-g32", "w4a16-g16", "w4a16-g64"}) {
        SCOPED_TRACE(method.name + ", " + input.name + ", " + scheme_name);
        const tensor::Scheme scheme = tensor::ParseScheme(scheme_name).value();
        const auto result = method.run(input, scheme, one);
        ASSERT_TRUE(result.ok()) << result.error().message();
        const QuantizedTensor& q = result.value();
        ASSERT_EQ(q.codes.size(), static_cast<size_t>(input.n * kMethodInputs));
        ASSERT_EQ(q.scales.size(), static_cast<size_t>(input.n * q.groups()));
        for (const int8_t code : q.codes) {
          ASSERT_GE(code, q.bits == 8 ? -127 : -8);
          ASSERT_LE(code, q.bits == 8 ? 127 : 7);
        }
        for (const float scale : q.scales) {
          ASSERT_GT(scale, 0);
          ASSERT_EQ(scale, tensor::RoundToDType(scale, DType::kF16));
        }
        for (int64_t g = 0; g < input.n * q.groups(); ++g) {
          const auto begin = input.weight.begin() + g * q.group_size;
          if (!std::all_of(begin, begin + q.group_size, [](float w) { return w == 0; })) continue;
          EXPECT_EQ(q.scales[static_cast<size_t>(g)], 1);
          EXPECT_TRUE(std::all_of(q.codes.begin() + g * q.group_size,
                                  q.codes.begin() + (g + 1) * q.group_size,
                                  [](int8_t code) { return code == 0; }));
        }
        const auto again = method.run(input, scheme, three);
        ASSERT_EQ(q.codes, again.value().codes);
        ASSERT_EQ(q.scales, again.value().scales);
        // No method does worse than all codes zero.
        const SecondMoments moments = Moments(input.x, kMethodInputs, one);
        QuantizedTensor none = q;
        std::fill(none.codes.begin(), none.codes.end(), int8_t{0});
        EXPECT_LE(OutputError(input.weight, q, moments, one),
                  OutputError(input.weight, none, moments, one));
      }
    }
  }
}

TEST(Methods, NameAWeightThatIsNotFinite) {
  core::ThreadPool pool(2);
  for (const Method& method : Methods()) {
    Input input = CornerInputs().front();
    input.weight[3 * kMethodInputs + 7] = NAN;
    const auto result = method.run(input, tensor::ParseScheme("w8a16").value(), pool);
    ASSERT_FALSE(result.ok()) << method.name;
    EXPECT_EQ(result.error().message().find("weight [3, 7] is NaN"), 0U) << method.name;
  }
}

}  // namespace
}  // namespace octavo::quant
