#include "quant/gptq.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"
#include "quant/rtn.h"

namespace octavo::quant {
namespace {

using tensor::DType;

// sum over n of e H e^T / rows by the definition, in f64 on the inputs themselves.
double OutputError(const std::vector<float>& weight, const tensor::QuantizedTensor& q,
                   const std::vector<float>& x) {
  const auto rows = static_cast<int64_t>(x.size()) / q.k;
  double total = 0;
  for (int64_t n = 0; n < q.n; ++n) {
    for (int64_t r = 0; r < rows; ++r) {
      double y = 0;
      for (int64_t k = 0; k < q.k; ++k) {
        const auto i = static_cast<size_t>(n * q.k + k);
        const double restored =
            q.codes[i] *
            static_cast<double>(q.scales[static_cast<size_t>(n * q.groups() + k / q.group_size)]);
        y += (weight[i] - restored) * x[static_cast<size_t>(r * q.k + k)];
      }
      total += y * y;
    }
  }
  return total / static_cast<double>(rows);
}

// GPTQ as its paper states it: column by column with the inverse of H, in f64, for one row whose
// codes were chosen by others. Returns by how much the worst of them misses the nearest code of
// what the paper's algorithm would round there, given the codes before it, in codes.
double MissOfPaperGptq(const std::vector<double>& h, int64_t k, std::vector<double> w,
                       const std::vector<double>& scale, double low, double high,
                       const std::vector<int8_t>& codes) {
  std::vector<double> inverse(static_cast<size_t>(k * k));  // Gauss-Jordan
  std::vector<double> a = h;
  for (int64_t i = 0; i < k; ++i) inverse[static_cast<size_t>(i * (k + 1))] = 1;
  for (int64_t i = 0; i < k; ++i) {
    const double pivot = a[static_cast<size_t>(i * (k + 1))];
    for (int64_t j = 0; j < k; ++j) {
      a[static_cast<size_t>(i * k + j)] /= pivot;
      inverse[static_cast<size_t>(i * k + j)] /= pivot;
    }
    for (int64_t r = 0; r < k; ++r) {
      const double factor = a[static_cast<size_t>(r * k + i)];
      if (r == i) continue;
      for (int64_t j = 0; j < k; ++j) {
        a[static_cast<size_t>(r * k + j)] -= factor * a[static_cast<size_t>(i * k + j)];
        inverse[static_cast<size_t>(r * k + j)] -= factor * inverse[static_cast<size_t>(i * k + j)];
      }
    }
  }
  double worst = 0;
  for (int64_t j = 0; j < k; ++j) {
    const auto at = static_cast<size_t>(j);
    const double code = codes[at];
    worst = std::max(worst, std::abs(std::clamp(w[at] / scale[at], low, high) - code) - 0.5);
    const double error = (w[at] - code * scale[at]) / inverse[static_cast<size_t>(j * (k + 1))];
    for (int64_t i = j; i < k; ++i) {
      w[static_cast<size_t>(i)] -= error * inverse[static_cast<size_t>(j * k + i)];
    }
    // The inverse of H without input j.
    for (int64_t r = j + 1; r < k; ++r) {
      const double factor =
          inverse[static_cast<size_t>(r * k + j)] / inverse[static_cast<size_t>(j * (k + 1))];
      for (int64_t i = j; i < k; ++i) {
        inverse[static_cast<size_t>(r * k + i)] -= factor * inverse[static_cast<size_t>(j * k + i)];
      }
    }
  }
  return worst;
}

TEST(Gptq, IsThePapersAlgorithm) {
  const int64_t k = 48;
  const int64_t n = 70;
  core::ThreadPool pool(2);
  const std::vector<float> x = CorrelatedInputs(200, k, 1);
  const std::vector<float> w = Normal(n * k, 2, 0.05);
  const SecondMoments moments = Moments(x, k, pool);
  for (const bool act_order : {false, true}) {
    for (const char* name : {"w4a16-g16", "w8a16"}) {
      GptqOptions options;
      options.act_order = act_order;
      options.block = 20;
      const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
      const GptqResult result = Gptq(w, n, Parse(name), DType::kF32, factor, options, pool).value();
      const auto& q = result.tensor;
      double worst = 0;
      for (int64_t row = 0; row < n; ++row) {
        std::vector<double> h(static_cast<size_t>(k * k));
        std::vector<double> row_weight(static_cast<size_t>(k));
        std::vector<double> scale(static_cast<size_t>(k));
        std::vector<int8_t> codes(static_cast<size_t>(k));
        for (int64_t i = 0; i < k; ++i) {
          const int64_t input = factor.order()[static_cast<size_t>(i)];
          row_weight[static_cast<size_t>(i)] = w[static_cast<size_t>(row * k + input)];
          scale[static_cast<size_t>(i)] =
              q.scales[static_cast<size_t>(row * q.groups() + input / q.group_size)];
          codes[static_cast<size_t>(i)] = q.codes[static_cast<size_t>(row * k + input)];
          for (int64_t j = 0; j < k; ++j) {
            h[static_cast<size_t>(i * k + j)] =
                moments.matrix()[input * k + factor.order()[static_cast<size_t>(j)]] / 200.0 +
                (i == j ? factor.added() : 0);
          }
        }
        worst = std::max(worst, MissOfPaperGptq(h, k, row_weight, scale, q.bits == 8 ? -127 : -8,
                                                q.bits == 8 ? 127 : 7, codes));
      }
      EXPECT_LE(worst, 1e-4) << name << act_order;  // f32 against f64
    }
  }
}

TEST(Gptq, ErrorIsThatOfTheOutputs) {
  const int64_t k = 64;
  core::ThreadPool pool(2);
  const std::vector<float> x = CorrelatedInputs(300, k, 3);
  const std::vector<float> w = Normal(40 * k, 4, 0.05);
  const SecondMoments moments = Moments(x, k, pool);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
  const GptqResult result =
      Gptq(w, 40, Parse("w4a16-g32"), DType::kF16, factor, options, pool).value();
  const double expected = OutputError(w, result.tensor, x);
  EXPECT_NEAR(result.error, expected, 1e-3 * expected);
}

TEST(Gptq, BeatsRoundToNearestOnCorrelatedInputs) {
  const int64_t k = 128;
  core::ThreadPool pool(2);
  const std::vector<float> x = CorrelatedInputs(400, k, 5);
  const std::vector<float> w = Normal(96 * k, 6, 0.05);
  const SecondMoments moments = Moments(x, k, pool);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
  for (const char* name : {"w4a16-g32", "w8a16", "w8a16-g64"}) {
    const tensor::Scheme scheme = Parse(name);
    const GptqResult gptq = Gptq(w, 96, scheme, DType::kF32, factor, options, pool).value();
    const tensor::TensorView view{DType::kF32, {96, k}, std::as_bytes(std::span(w))};
    const auto rtn =
        RoundToNearest(view, scheme, DType::kF32, pool, Clip::kMse, factor.diagonal()).value();
    EXPECT_LT(gptq.error, 0.7 * OutputError(w, rtn, x)) << name;
  }
}

TEST(Gptq, ThreadsDoNotChangeABit) {
  const int64_t k = 160;
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  const std::vector<float> x = CorrelatedInputs(200, k, 7);
  const std::vector<float> w = Normal(200 * k, 8, 0.05);
  const GptqOptions options;
  std::vector<GptqResult> results;
  for (core::ThreadPool* pool : {&one, &three}) {
    const SecondMoments moments = Moments(x, k, *pool);
    const GptqFactor factor = GptqFactor::Make(moments, options, *pool).value();
    results.push_back(
        Gptq(w, 200, Parse("w4a16-g32"), DType::kF16, factor, options, *pool).value());
  }
  EXPECT_EQ(results[0].tensor.codes, results[1].tensor.codes);
  EXPECT_EQ(results[0].tensor.scales, results[1].tensor.scales);
  EXPECT_EQ(results[0].error, results[1].error);
}

TEST(Gptq, ZeroGroupGetsScaleOne) {
  const int64_t k = 64;
  core::ThreadPool pool(1);
  const std::vector<float> x = CorrelatedInputs(200, k, 9);
  std::vector<float> w = Normal(8 * k, 10, 0.05);
  std::fill_n(w.begin() + 3 * k, k, 0.0F);
  const SecondMoments moments = Moments(x, k, pool);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
  const auto q = Gptq(w, 8, Parse("w4a16-g32"), DType::kF16, factor, options, pool).value().tensor;
  for (size_t g = 6; g < 8; ++g) EXPECT_EQ(q.scales[g], 1);
  for (size_t i = 3 * 64; i < 4 * 64; ++i) EXPECT_EQ(q.codes[i], 0);
}

TEST(Gptq, DeadInputsGetWeightZeroAndAreReported) {
  const int64_t k = 32;
  core::ThreadPool pool(1);
  std::vector<float> x = CorrelatedInputs(100, k, 11);
  for (size_t r = 0; r < 100; ++r) x[r * 32 + 5] = x[r * 32 + 17] = 0;
  std::vector<float> w = Normal(8 * k, 12, 0.05);
  w[5] = 100;  // would spoil its group's scale
  const SecondMoments moments = Moments(x, k, pool);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
  EXPECT_EQ(factor.dead(), (std::vector<int64_t>{5, 17}));
  const auto q = Gptq(w, 8, Parse("w4a16-g16"), DType::kF16, factor, options, pool).value().tensor;
  for (size_t n = 0; n < 8; ++n) {
    EXPECT_EQ(q.codes[n * 32 + 5], 0);
    EXPECT_EQ(q.codes[n * 32 + 17], 0);
  }
  EXPECT_LT(q.scales[0], 0.1F);
}

TEST(Gptq, AllInputsDeadGivesZeros) {
  core::ThreadPool pool(1);
  const std::vector<float> x(10 * 16, 0.0F);
  const std::vector<float> w = Normal(4 * 16, 13);
  const SecondMoments moments = Moments(x, 16, pool);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
  const GptqResult result = Gptq(w, 4, Parse("w8a16"), DType::kF32, factor, options, pool).value();
  for (const int8_t code : result.tensor.codes) EXPECT_EQ(code, 0);
  EXPECT_EQ(result.error, 0);
}

TEST(Gptq, NamesTheFirstWeightThatIsNotFinite) {
  core::ThreadPool pool(1);
  const SecondMoments moments = Moments(CorrelatedInputs(40, 16, 14), 16, pool);
  const GptqOptions options;
  const GptqFactor factor = GptqFactor::Make(moments, options, pool).value();
  std::vector<float> w = Normal(4 * 16, 15);
  w[3 * 16 + 1] = INFINITY;
  w[2 * 16 + 9] = NAN;
  const auto result = Gptq(w, 4, Parse("w8a16"), DType::kF32, factor, options, pool);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message().find("weight [2, 9] is NaN"), 0U);
}

TEST(GptqFactor, RestoresTheMatrix) {
  const int64_t k = 300;  // more than one tile of the Cholesky
  core::ThreadPool pool(2);
  const SecondMoments moments = Moments(CorrelatedInputs(500, k, 16), k, pool);
  const GptqFactor f = GptqFactor::Make(moments, {}, pool).value();
  EXPECT_EQ(f.raises(), 0);
  for (int64_t a = 0; a < k; a += 7) {
    for (int64_t b = a; b < k; b += 5) {
      double sum = 0;  // ((I + M) D (I + M)^T)[a, b]
      for (int64_t j = b; j < k; ++j) {
        const double left = a == j ? 1 : f.feedback()[a * k + j];
        const double right = b == j ? 1 : f.feedback()[b * k + j];
        sum += left * right * f.pivots()[static_cast<size_t>(j)];
      }
      const int64_t i = f.order()[static_cast<size_t>(a)];
      const int64_t j = f.order()[static_cast<size_t>(b)];
      const double expected = moments.matrix()[i * k + j] / 500.0 + (a == b ? f.added() : 0);
      const double size = std::sqrt(static_cast<double>(f.diagonal()[static_cast<size_t>(i)]) *
                                    f.diagonal()[static_cast<size_t>(j)]);
      // M and D round to f32: 2^-22 of a sum whose terms' magnitudes Cauchy-Schwarz bounds.
      ASSERT_NEAR(sum, expected, 0x1p-22 * (size + f.added()));
    }
  }
}

TEST(GptqFactor, ActOrderIsThatOfTheDiagonal) {
  core::ThreadPool pool(1);
  const SecondMoments moments = Moments(CorrelatedInputs(60, 30, 17), 30, pool);
  const GptqFactor f = GptqFactor::Make(moments, {}, pool).value();
  for (size_t i = 1; i < 30; ++i) {
    EXPECT_GE(f.diagonal()[static_cast<size_t>(f.order()[i - 1])],
              f.diagonal()[static_cast<size_t>(f.order()[i])]);
  }
}

TEST(GptqFactor, SingularMomentsRaiseTheDampingUpToItsLimit) {
  core::ThreadPool pool(1);
  // Two equal inputs, and a damping that f64 rounds away.
  std::vector<float> x(64 * 2);
  for (size_t r = 0; r < 64; ++r) x[2 * r] = x[2 * r + 1] = static_cast<float>(r + 1);
  const SecondMoments moments = Moments(x, 2, pool);
  GptqOptions options;
  options.damping = 1e-20;
  options.damping_limit = 1;
  const GptqFactor f = GptqFactor::Make(moments, options, pool).value();
  EXPECT_GT(f.raises(), 0);
  EXPECT_NEAR(f.damping(), 1e-20 * std::pow(10, f.raises()), 1e-3 * f.damping());
  options.damping_limit = 1e-19;
  const auto refused = GptqFactor::Make(moments, options, pool);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("cannot be factored"), std::string::npos);
}

TEST(GptqFactor, NamesTheInputThatOverflowed) {
  core::ThreadPool pool(1);
  std::vector<float> x = CorrelatedInputs(40, 16, 18);
  x[3 * 16 + 11] = 1e30F;
  const SecondMoments moments = Moments(x, 16, pool);
  const auto refused = GptqFactor::Make(moments, {}, pool);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("input 11 is infinite"), std::string::npos)
      << refused.error().message();
}

}  // namespace
}  // namespace octavo::quant
